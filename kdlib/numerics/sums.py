"""The sums of `kdlib.numerics.exact` of what comes in pieces: the same bits, whatever the pieces and their order."""

import numpy as np

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

    def total(self, add=lambda integers: integers):
        """(...,). add: function that adds up the integers of several such sums, of the same grid, without rounding."""
        return scale(add(self._integers), self._shift)[..., 0]
