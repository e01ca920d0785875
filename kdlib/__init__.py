"""Knowledge distillation in NumPy."""


def load(path):
    """Load the network of `models/deployed.npz` or `models/deployed_int8.npz`.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    kdlib.deployment.deployed.Deployed
        Its `predict`, `predict_proba` and `logits` take raw rows: a DataFrame, a dict of columns, a list of dicts, or
        an array.

    Raises
    ------
    kdlib.errors.UserError
        If the file is missing, damaged, or no deployed network.
    """
    from kdlib.deployment import deployed  # here: stages that deploy nothing do not depend on it

    return deployed.load(path)
