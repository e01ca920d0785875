"""The scaling of features, fitted on the training split."""

import numpy as np

from kdlib.data.mapped_rows import ends
from kdlib.numerics.sums import Sums

NOISE = 1 / 2**44  # of the magnitude: 256 times a float64's rounding
BLOCK = 1 << 20  # numbers of which float64 copies are made at once
TINY = 1e-300  # 1 / (TINY std) is finite for the least std of values in [0, 1], about 1 / sqrt(n)


def fit_scaling(x, kind, image):
    """(offset, scale), each (features,) float64; `Dataset` gives (x - offset) * scale.

    auto: minmax of images, standard of tables.
    minmax: to [0, 1] by the least and greatest value of the feature, of all pixels together if `image`.
    standard: to mean 0 and std 1; of a table what is 0 or 1 in every row stays as it is: a category's feature, a truth
    value, or one that says that a value is missing. Divided by its std, sqrt(p (1 - p)), a rare 1 would be an input of
    about 1 / sqrt(p), and outweigh all numbers of its row. Reference: Gelman, "Scaling regression inputs by dividing
    by two standard deviations" (2008), who leaves binary inputs as they are.
    A feature is constant, and gets its least value and the scale 1, if its range (greatest - least) is at most
    2^-44 of its largest magnitude, which rounding may make of equal numbers, or at most 1e-300, whose inverse may
    overflow.
    x: (n, features), uint8, or float64 of magnitudes of at most 1e300, without -0.0; or `mapped_rows.Rows`. It
    is read in blocks, once for minmax, three times for standard.
    """
    if kind == "auto":
        kind = "minmax" if image else "standard"
    if kind == "none":
        return np.zeros(x.shape[1]), np.ones(x.shape[1])
    least, greatest = ends(x)[:, 0].astype(np.float64)
    if image and kind == "minmax":
        least, greatest = (np.full_like(least, value) for value in (least.min(), greatest.max()))
    spread = greatest - least
    constant = spread <= np.maximum(NOISE * np.maximum(np.abs(least), np.abs(greatest)), TINY)
    spread = np.where(constant, 1.0, spread)
    if kind == "minmax":
        return least.copy(), 1 / spread

    def parts():
        """In [0, 1], so that no square overflows; transposed, so that each feature has an exact sum of its own."""
        rows = max(1, BLOCK // len(spread))
        for start in range(0, len(x), rows):
            yield (np.where(constant, 0.0, x[start : start + rows] - least) / spread).T

    # A feature that is not constant has a 0 and a 1: between these is the largest square of a difference, too.
    sums, truth = Sums(np.where(constant, 0.0, 1.0)[:, None], len(x)), (least == 0) & (greatest == 1) & (not image)
    for part in parts():
        sums.add(part)
        truth &= ((part == 0) | (part == 1)).all(axis=1)
    mean = sums.total() / len(x)
    farthest = np.where(constant, 0.0, np.maximum(mean, 1 - mean))
    sums = Sums((farthest * farthest)[:, None], len(x))
    for part in parts():
        part -= mean[:, None]
        sums.add(part * part)
    deviation = np.where(constant, 1.0, np.sqrt(sums.total() / len(x)))
    return np.where(truth, 0.0, least + spread * mean), np.where(truth, 1.0, 1 / (spread * deviation))
