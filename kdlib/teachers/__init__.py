"""Teachers that are not a network of this library: classifiers of any library, and the answers of other models."""
