"""From a source of examples to the dataset artifact; used by the stage prepare alone."""
