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

    def _bound(self, x, nonnegative=False):
        """Largest magnitude of each replica, at least the floor. x: (R, n) -> (R, 1)."""
        largest = np.maximum.reduce(x, axis=1, keepdims=True, initial=self._floor)
        if not nonnegative:
            lowest = np.minimum.reduce(x, axis=1, keepdims=True, initial=-self._floor)
            np.maximum(largest, np.negative(lowest, out=lowest), out=largest)
        return largest

    def _anchor(self, bound):
        """1.5 * 2^(52 + e - bits) where 2^(e - 1) <= bound < 2^e: the bound's exponent bits are those of 2^(e - 1)."""
        return np.bitwise_and(bound.view(np.int64), self._exponent).view(np.float64) * self._grid

    def operand(self, x, out=None, nonnegative=False):
        """`exact.snap(x, bits)` for |x| < 2^900, in two passes: x + c is rounded to a multiple of c's last place.

        c = 1.5 * 2^(52 + e - bits) has the last place 2^(e - bits), and |x| <= 2^e moves it by no binade.
        x, out: (R, ...), contiguous. nonnegative: the caller knows that x >= 0.
        """
        out = np.empty_like(x, dtype=self.dtype) if out is None else out
        flat, flat_out = x.reshape(len(x), -1), out.reshape(len(x), -1)
        anchor = self._anchor(self._bound(flat, nonnegative))
        np.add(flat, anchor, out=flat_out)
        np.subtract(flat_out, anchor, out=flat_out)
        return out

    def mirror(self, parameters):
        """The operand of an array (R, n) that changes block by block. See `Mirror`."""
        return Mirror(self, parameters)

    @staticmethod
    def product(a, b, out=None):
        """(R, n, K) @ (R, K, m) -> (R, n, m) of operands."""
        return np.matmul(a, b, out=out)

    @staticmethod
    def column_sum(a, out=None):
        """(R, n, m) -> (R, 1, m), the sum over the rows of an operand: a product with ones, which a BLAS does best."""
        return np.matmul(np.ones((1, a.shape[1]), a.dtype), a, out=out)

    @staticmethod
    def unit_sum(x):
        """(R, n, m) -> (R, n, 1), the sum over the last axis of terms in [0, 1], on a grid of 2^-50 or coarser."""
        c = math.ldexp(1.5, 52 - min(50, exact.sum_bits(x.shape[-1])))
        return np.add.reduce((x + c) - c, axis=-1, keepdims=True)


class Mirror:
    """`operand` of an array (R, n) of which blocks of columns are `update`d while they are in cache; then `finish`.

    The grid follows from the largest magnitude of all columns, which is known after the last block. It seldom leaves
    its binade: each block is snapped to the grid of the last round, and all again in the rounds where the grid moved.
    """

    def __init__(self, arithmetic, parameters):
        self._arithmetic, self._parameters = arithmetic, parameters
        self.operand = np.empty_like(parameters)
        self._anchor = self._bound = np.zeros((len(parameters), 1))
        self.finish()

    def update(self, columns):
        block, out = self._parameters[:, columns], self.operand[:, columns]
        if block.shape == self._parameters.shape:  # `finish` meets it in cache
            return
        self._bound = np.maximum(self._bound, self._arithmetic._bound(block))
        np.add(block, self._anchor, out=out)
        np.subtract(out, self._anchor, out=out)

    def finish(self):
        whole = not self._bound.any()
        anchor = self._arithmetic._anchor(self._arithmetic._bound(self._parameters) if whole else self._bound)
        if whole or (anchor != self._anchor).any():
            np.add(self._parameters, anchor, out=self.operand)
            np.subtract(self.operand, anchor, out=self.operand)
        self._anchor, self._bound = anchor, np.zeros_like(anchor)


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
    def operand(x, out=None, nonnegative=False):
        """`x` itself, or its float32 copy."""
        return x.astype(np.float32, copy=False)

    @staticmethod
    def mirror(parameters):
        """The array itself."""
        return Same(parameters)

    @staticmethod
    def sum(x, axis, keepdims=False):
        return np.add.reduce(x, axis=axis, keepdims=keepdims)

    @staticmethod
    def column_sum(a, out=None):
        return np.matmul(np.ones((1, a.shape[1]), a.dtype), a, out=out)

    @staticmethod
    def unit_sum(x):
        return np.add.reduce(x, axis=-1, keepdims=True)


class Same:
    """`Mirror` of an array that is its own operand."""

    def __init__(self, parameters):
        self.operand = parameters

    def update(self, columns):
        pass

    def finish(self):
        pass


ARITHMETICS = {"exact": Exact, "fast": Fast}
