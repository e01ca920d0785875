"""The sums of `kdlib.numerics.exact` of what comes in pieces: the same bits, whatever the pieces and their order."""

import numpy as np

from kdlib.numerics import ranks
from kdlib.numerics.exact import scale, sum_bits


class Sums:
    """`exact.sum` over the last axis of (..., n), of which pieces are added. largest: (..., 1), its magnitudes."""

    def __init__(self, largest, n):
        self._shift = np.frexp(np.asarray(largest, np.float64))[1] - np.int32(sum_bits(max(1, n)))
        self._integers = 0.0

    def add(self, piece):
        """piece: (..., k)."""
        integers = np.rint(scale(np.asarray(piece, np.float64), -self._shift)) + 0.0
        self._integers = self._integers + np.add.reduce(integers, axis=-1, keepdims=True)

    def total(self, over=ranks.ALONE):
        """(...,), over these ranks."""
        return scale(over.total(self._integers), self._shift)[..., 0]


def mean_of(pieces, n):
    """`exact.mean` over the last axis of the pieces (..., k), one after another, without another copy of them.

    n: of all terms, of which these are what this of the `kdlib.numerics.ranks` has.
    """
    largest = [np.max(np.abs(piece), axis=-1, keepdims=True, initial=0.0) for piece in pieces]
    sums = Sums(ranks.current.largest(np.maximum.reduce(largest)), n)
    for piece in pieces:
        sums.add(piece)
    mean = sums.total(ranks.current) / n
    return np.where(np.isnan(mean), np.nan, mean)  # NaN has many bits, of which the order of a sum picks some
