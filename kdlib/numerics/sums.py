"""The sums of `kdlib.numerics.exact` for numbers that come in pieces: the same bits for any pieces in any order."""

from collections.abc import Callable

import numpy as np

from kdlib.numerics.exact import scale, sum_bits


class Sums:
    """Compute `exact.sum` over the last axis of an array (..., n) that is added piece by piece.

    Parameters
    ----------
    largest : array, shape (..., 1)
        Largest magnitude along the last axis, over all pieces.
    n : int
        Length of the last axis, over all pieces.

    Raises
    ------
    ValueError
        If there are too many terms, see `exact.sum_bits`.
    """

    def __init__(self, largest: np.ndarray, n: int):
        self._shift = np.frexp(np.asarray(largest, np.float64))[1] - np.int32(sum_bits(max(1, n)))
        self._integers = 0.0

    def add(self, piece: np.ndarray) -> None:
        """Add the terms of a piece, shape (..., k)."""
        integers = np.rint(scale(np.asarray(piece, np.float64), -self._shift)) + 0.0
        self._integers = self._integers + np.add.reduce(integers, axis=-1, keepdims=True)

    def total(self, add: Callable[[np.ndarray], np.ndarray] = lambda integers: integers) -> np.ndarray:
        """Return the sums, shape (...).

        Parameters
        ----------
        add : callable
            Adds the integers of several `Sums` on the same grid, for example those of all MPI ranks, without rounding.
        """
        return scale(add(self._integers), self._shift)[..., 0]
