"""Teachers that are not a network of ours: classifiers of scikit-learn, and answers that another model gave."""
