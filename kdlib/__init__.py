"""Knowledge distillation in NumPy."""


def load(path):
    """`kdlib.deployment.deployed.Deployed` of the file at `path`, whose `predict_proba` takes raw rows."""
    from kdlib.deployment import deployed  # here: stages that deploy nothing do not depend on it

    return deployed.load(path)
