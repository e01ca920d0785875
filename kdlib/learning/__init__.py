"""From a dataset to a trained stack of networks."""
