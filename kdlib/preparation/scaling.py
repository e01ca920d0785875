"""Fit the scaling of features on training rows."""

import numpy as np

from kdlib.data.mapped_rows import ConcatenatedRows, column_min_max
from kdlib.numerics.sums import Sums

RELATIVE_NOISE = 1 / 2**44  # of the largest magnitude: 256 times the rounding of a float64
CHUNK_ELEMENTS = 1 << 20  # numbers that are copied to float64 at once
MIN_RANGE = 1e-300  # 1 / (MIN_RANGE std) is finite for the least std of values in [0, 1], about 1 / sqrt(n)


def fit_scaling(x: np.ndarray | ConcatenatedRows, kind: str, image: bool) -> tuple[np.ndarray, np.ndarray]:
    """Fit offset and scale of each feature; a scaled feature is (x - offset) * scale.

    `minmax` maps a feature's least and greatest value to 0 and 1; for images it takes those of all pixels together.

    `standard` gives a feature mean 0 and standard deviation 1. In tables a feature that is 0 or 1 in every row stays as
    it is: the feature of a category, a truth value, or a mark of a missing value. Divided by its standard deviation
    sqrt(p (1 - p)), a rare 1 would become an input of about 1 / sqrt(p), and outweigh all numbers of its row.

    A feature is constant if its range (greatest - least) is at most 2^-44 of its largest magnitude, since rounding may
    make such a range from equal numbers, or at most 1e-300, whose inverse may overflow. A constant feature gets its
    least value as offset and the scale 1.

    Parameters
    ----------
    x : array or ConcatenatedRows, shape (n, features)
        uint8, or float64 of magnitudes of at most 1e300, without -0.0. It is read in chunks: once for `minmax`, three
        times for `standard`.
    kind : {"auto", "minmax", "standard", "none"}
        `auto` is `minmax` for images and `standard` for tables. `none` leaves x as it is.
    image : bool
        Whether the features are pixels.

    Returns
    -------
    offset, scale : float64, each of shape (features,)

    References
    ----------
    Gelman, "Scaling regression inputs by dividing by two standard deviations" (2008), who leaves binary inputs as they
    are.
    """
    if kind == "auto":
        kind = "minmax" if image else "standard"
    if kind == "none":
        return np.zeros(x.shape[1]), np.ones(x.shape[1])
    least, greatest = column_min_max(x)[:, 0].astype(np.float64)
    if image and kind == "minmax":
        least, greatest = (np.full_like(least, value) for value in (least.min(), greatest.max()))
    value_range = greatest - least
    constant = value_range <= np.maximum(RELATIVE_NOISE * np.maximum(np.abs(least), np.abs(greatest)), MIN_RANGE)
    value_range = np.where(constant, 1.0, value_range)
    if kind == "minmax":
        return least.copy(), 1 / value_range

    def chunks_in_unit_range():
        """Yield chunks of x in [0, 1], so that no square overflows; transposed, so that each feature is a row."""
        rows = max(1, CHUNK_ELEMENTS // len(value_range))
        for start in range(0, len(x), rows):
            yield (np.where(constant, 0.0, x[start : start + rows] - least) / value_range).T

    # A feature that is not constant has a 0 and a 1, so its largest squared difference from the mean is at one of them.
    sums = Sums(np.where(constant, 0.0, 1.0)[:, None], len(x))
    binary = (least == 0) & (greatest == 1) & (not image)
    for chunk in chunks_in_unit_range():
        sums.add(chunk)
        binary &= ((chunk == 0) | (chunk == 1)).all(axis=1)
    mean = sums.total() / len(x)
    farthest = np.where(constant, 0.0, np.maximum(mean, 1 - mean))
    sums = Sums((farthest * farthest)[:, None], len(x))
    for chunk in chunks_in_unit_range():
        chunk -= mean[:, None]
        sums.add(chunk * chunk)
    deviation = np.where(constant, 1.0, np.sqrt(sums.total() / len(x)))
    offset = np.where(binary, 0.0, least + value_range * mean)
    scale = np.where(binary, 1.0, 1 / (value_range * deviation))
    return offset, scale
