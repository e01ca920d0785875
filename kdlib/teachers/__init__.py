"""Teachers that are not a network of this library: scikit-learn's classifiers, and the answers of other models."""
