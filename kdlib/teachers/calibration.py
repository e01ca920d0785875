"""Calibration: one temperature with which a classifier's probabilities fit the labels best."""

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.numerics import exact

TEMPERATURES = np.arange(2, 81) / 20  # 0.1 to 4


def fit_temperature(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Choose the one of TEMPERATURES for which logits / T have the least mean NLL.

    Call it with logits out of fold, for labelled rows only. The probabilities of a forest are not confident enough and
    those of boosting are too confident; a student that is taught by them learns this too. The predicted classes do not
    change.

    Parameters
    ----------
    logits : ndarray, shape (n, classes)
    labels : ndarray of int, shape (n,)
    weights : ndarray, shape (n,), optional
        Of the rows in the mean.

    Returns
    -------
    float

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks" (2017).
    """
    z = logits.astype(np.float64)
    z = z - z.max(axis=1, keepdims=True)
    label_logits = z[np.arange(len(z)), labels]
    losses = [EXACT.log(EXACT.sum(EXACT.exp(z / t), axis=1)) - label_logits / t for t in TEMPERATURES]
    losses = np.stack(losses) if weights is None else np.stack(losses) * weights
    return float(TEMPERATURES[np.argmin(exact.mean(losses, axis=1))])
