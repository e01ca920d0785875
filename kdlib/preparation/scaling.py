"""The scaling of features, fitted on the training split."""

import numpy as np

from kdlib.numerics import exact


def fit_scaling(x, kind, image):
    """(offset, scale), each (features,) float64; `Dataset` gives (x - offset) * scale.

    minmax: to [0, 1] by the least and greatest value of the feature, of all pixels together if `image`.
    standard: to mean 0 and std 1. A constant feature keeps the scale 1.
    """
    x = x.astype(np.float64)
    if kind == "none":
        return np.zeros(x.shape[1]), np.ones(x.shape[1])
    if kind == "minmax":
        axis = (0, 1) if image else 0
        offset = np.broadcast_to(x.min(axis=axis), x.shape[1:]).copy()
        spread = np.broadcast_to(x.max(axis=axis), x.shape[1:]) - offset
    else:
        columns = x.T  # one scale of the exact sum for each feature
        offset = exact.mean(columns, axis=1)
        centred = columns - offset[:, None]
        spread = np.sqrt(exact.mean(centred * centred, axis=1))
    return offset, 1 / np.where(spread > 0, spread, 1)
