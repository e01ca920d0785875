"""The two arithmetics that a network can be trained in. Its code is written once and is handed one of them.

An *operand* is what may enter `product` and `column_sum`: for `Exact` an array snapped to a grid on which neither can
round, for `Fast` any array.
"""

import math

import numpy as np

from kdlib import exact


class Exact:
    """Float64 on snapped operands: the same bits on every machine. See `kdlib.exact`.

    The products and sums of the operands may run over `inner_length` terms at most.
    """

    dtype = np.float64
    exp = staticmethod(exact.exp)
    log = staticmethod(exact.log)
    matmul = staticmethod(exact.matmul)
    sum = staticmethod(exact.sum)

    def __init__(self, inner_length):
        bits = exact.product_bits(inner_length)
        # A magnitude of 2^-400 is the least that sets a grid: no product of two operands is subnormal.
        self._floor = math.ldexp(1.0, -400)
        self._exponent = np.int64(0x7FF0 << 48)
        self._grid = math.ldexp(1.5, 53 - bits)  # times 2^(e - 1) it is c

    def operand(self, x, out=None):
        """`exact.snap(x, bits)` for |x| < 2^900, in two passes: x + c is rounded to a multiple of c's last place.

        c = 1.5 * 2^(52 + e - bits) has the last place 2^(e - bits), and |x| <= 2^e moves it by no binade.
        """
        axes = tuple(range(1, x.ndim))
        largest = np.maximum.reduce(x, axis=axes, keepdims=True, initial=self._floor)
        lowest = np.minimum.reduce(x, axis=axes, keepdims=True, initial=-self._floor)
        np.maximum(largest, np.negative(lowest, out=lowest), out=largest)
        bits_of_power = np.bitwise_and(largest.view(np.int64), self._exponent)  # those of 2^(e - 1)
        c = bits_of_power.view(np.float64) * self._grid
        out = np.add(x, c, out=out)
        return np.subtract(out, c, out=out)

    @staticmethod
    def product(a, b, out=None):
        """(R, n, K) @ (R, K, m) -> (R, n, m) of operands."""
        return np.matmul(a, b, out=out)

    @staticmethod
    def column_sum(a, out=None):
        """(R, n, m) -> (R, 1, m), the sum over the rows of an operand."""
        return np.add.reduce(a, axis=1, keepdims=True, out=out)

    @staticmethod
    def unit_sum(x):
        """(R, n, m) -> (R, n, 1), the sum over the last axis of terms in [0, 1], on a grid of 2^-50 or coarser."""
        c = math.ldexp(1.5, 52 - min(50, exact.sum_bits(x.shape[-1])))
        return np.add.reduce((x + c) - c, axis=-1, keepdims=True)


class Fast:
    """Plain float32: quicker, and repeatable on one machine only."""

    dtype = np.float32
    exp = staticmethod(np.exp)
    log = staticmethod(np.log)
    matmul = staticmethod(np.matmul)
    product = staticmethod(np.matmul)

    def __init__(self, inner_length):
        pass

    @staticmethod
    def operand(x, out=None):
        """`x` itself, or its float32 copy."""
        return x.astype(np.float32, copy=False)

    @staticmethod
    def sum(x, axis, keepdims=False):
        return np.add.reduce(x, axis=axis, keepdims=keepdims)

    @staticmethod
    def column_sum(a, out=None):
        return np.add.reduce(a, axis=1, keepdims=True, out=out)

    @staticmethod
    def unit_sum(x):
        return np.add.reduce(x, axis=-1, keepdims=True)


ARITHMETICS = {"exact": Exact, "fast": Fast}
