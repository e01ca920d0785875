"""The scaling of features, fitted on the training split."""

import numpy as np

from kdlib.numerics import exact

NOISE = 1 / 2**44  # of the magnitude: 256 times a float64's rounding
TINY = 1e-300  # 1 / (TINY std) is finite for the least std of values in [0, 1], about 1 / sqrt(n)


def fit_scaling(x, kind, image):
    """(offset, scale), each (features,) float64; `Dataset` gives (x - offset) * scale.

    auto: minmax of images, standard of tables.
    minmax: to [0, 1] by the least and greatest value of the feature, of all pixels together if `image`.
    standard: to mean 0 and std 1.
    A feature is constant, and gets its least value and the scale 1, if its range (greatest - least) is at most
    2^-44 of its largest magnitude, which rounding may make of equal numbers, or at most 1e-300, whose inverse may
    overflow.
    x: (n, features), magnitudes of at most 1e300, without -0.0.
    """
    x = x.astype(np.float64)
    if kind == "auto":
        kind = "minmax" if image else "standard"
    if kind == "none":
        return np.zeros(x.shape[1]), np.ones(x.shape[1])
    axis = (0, 1) if image and kind == "minmax" else 0
    least, greatest = (np.broadcast_to(value, x.shape[1:]) for value in (x.min(axis=axis), x.max(axis=axis)))
    spread = greatest - least
    constant = spread <= np.maximum(NOISE * np.maximum(np.abs(least), np.abs(greatest)), TINY)
    spread = np.where(constant, 1.0, spread)
    if kind == "minmax":
        return least.copy(), 1 / spread
    # In [0, 1], so that no square overflows; transposed, so that each feature has an exact sum of its own.
    part = (np.where(constant, 0.0, x - least) / spread).T
    mean = exact.mean(part, axis=1)
    centred = part - mean[:, None]
    deviation = np.sqrt(exact.mean(centred * centred, axis=1))
    return least + spread * mean, 1 / (spread * np.where(constant, 1.0, deviation))
