"""The two arithmetics that a network can be trained in. Its code is written once and is handed one of them.

An *operand* is what may enter `product`: for `Exact` an array snapped to a grid on which it cannot round, for `Fast`
any array.
"""

import math

import numpy as np

from kdlib.numerics import elementary, exact
from kdlib.numerics.mirrors import Mirror, Same

LIMIT = math.ldexp(1.0, 480)  # 480 + 480 + log2 of the inner length < 1023: no partial sum overflows


class Exact:
    """Float64 on snapped operands: the same bits on every machine. See `kdlib.numerics.exact`.

    The products and sums of the operands may run over `inner_length` terms at most.
    """

    dtype = np.float64
    exp = staticmethod(elementary.exp)
    log = staticmethod(elementary.log)
    matmul = staticmethod(exact.matmul)
    sum = staticmethod(exact.sum)

    def __init__(self, inner_length):
        # A magnitude of 2^-400 is the least that sets a grid: no product of two operands is subnormal.
        self._floor = math.ldexp(1.0, -400)
        self._unit = math.ldexp(1.5, 52 - exact.product_bits(inner_length))

    def bound(self, x, nonnegative=False):
        """Largest magnitude of each replica, at least the floor. x: (R, n) -> (R, 1), or a float if R = 1."""
        if len(x) == 1:  # numbers in place of arrays of one element: 10 % of a step of a small network
            lowest = 0.0 if nonnegative else float(np.minimum.reduce(x[0]))
            return max(float(np.maximum.reduce(x[0])), -lowest, self._floor)
        largest = np.maximum.reduce(x, axis=1, keepdims=True, initial=self._floor)
        return largest if nonnegative else np.maximum(largest, -np.minimum.reduce(x, axis=1, keepdims=True))

    def anchor(self, bound):
        """c = 1.5 * 2^(52 + e - bits), where bound < 2^e: a number's last place is 2^(e - bits) if it is near c."""
        if isinstance(bound, float):
            return math.ldexp(self._unit, math.frexp(bound)[1]) if bound < LIMIT else math.inf
        return np.where(bound < LIMIT, np.ldexp(self._unit, np.frexp(np.minimum(bound, LIMIT))[1]), math.inf)

    def operand(self, x, out=None, nonnegative=False):
        """`exact.snap(x, bits)` in two passes: x + c is rounded to a multiple of c's last place.

        |x| <= 2^e moves c by no binade, so that x + c has the same last place, and subtracting c is exact.
        A replica with a NaN or a magnitude of 2^480 or more becomes NaN: training has diverged.
        x, out: (R, ...), contiguous. nonnegative: the caller knows that x >= 0.
        """
        out = np.empty_like(x, dtype=self.dtype) if out is None else out
        flat = x.reshape(len(x), -1)
        self.snap(flat, self.anchor(self.bound(flat, nonnegative)), out.reshape(len(x), -1))
        return out

    @staticmethod
    def snap(x, anchor, out):
        """Round x (R, n) to multiples of the last place of `anchor`, a number or (R, 1)."""
        np.add(x, anchor, out=out)
        np.subtract(out, anchor, out=out)

    def batches(self, x, take=None):
        """Function of indices (R, batch) to the operand x[indices], (R, batch, features), on the grid of all x.

        take: in place of x[indices], a function whose result has no magnitude beyond those of x.
        Snapping each batch anew is 2 % of a step; a snapped float64 copy of MNIST takes as long as 300 steps to make.
        """
        anchor = self.anchor(self.bound(x.reshape(1, -1)))

        def batch(indices):
            result = (take(indices) if take else x.take(indices, axis=0)).astype(np.float64, copy=False)
            self.snap(result, anchor, result)
            return result

        return batch

    def mirror(self, parameters):
        """The operand of an array (R, n) that changes block by block. See `Mirror`."""
        return Mirror(self, parameters)

    @staticmethod
    def product(a, b, out=None):
        """(R, n, K) @ (R, K, m) -> (R, n, m) of operands."""
        return np.matmul(a, b, out=out)

    @staticmethod
    def square_sum(x):
        """(R, n, m) -> (R, 1, m), the sum over n of the squares of an operand. Exact: the product of it and itself."""
        return np.einsum("rnm,rnm->rm", x, x)[:, None]

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
    def operand(x, out=None, nonnegative=False):
        """`x` itself, or its float32 copy."""
        return x.astype(np.float32, copy=False)

    @staticmethod
    def batches(x, take=None):
        """Function of indices (R, batch) to x[indices], (R, batch, features), or to what `take` makes of them."""
        if take:
            return lambda indices: take(indices).astype(np.float32, copy=False)
        x = x.astype(np.float32, copy=False)
        return lambda indices: x.take(indices, axis=0)

    @staticmethod
    def mirror(parameters):
        """The array itself."""
        return Same(parameters)

    @staticmethod
    def sum(x, axis, keepdims=False):
        return np.add.reduce(x, axis=axis, keepdims=keepdims)

    @staticmethod
    def square_sum(x):
        return np.einsum("rnm,rnm->rm", x, x)[:, None]

    @staticmethod
    def unit_sum(x):
        return np.add.reduce(x, axis=-1, keepdims=True)


ARITHMETICS = {"exact": Exact, "fast": Fast}
