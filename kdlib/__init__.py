"""Knowledge distillation in NumPy."""

BYTES = 1  # another number where the same parameters give other bytes: what an experiment depends on for the code


def load(path):
    """Load the network of `models/deployed/float.npz` or `models/deployed/int.npz`.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    kdlib.deployment.model_file.DeployedModel
        Its `predict`, `predict_proba` and `logits` take raw rows: a DataFrame, a dict of columns, a list of dicts, or
        an array.

    Raises
    ------
    kdlib.io.errors.UserError
        If the file is missing, damaged, or no deployed network.
    """
    from kdlib.deployment import model_file  # here: stages that deploy nothing do not depend on it

    return model_file.load(path)
