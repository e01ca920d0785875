"""Arithmetic whose results do not depend on the order of evaluation.

Float addition rounds, so a sum depends on its order, and a BLAS picks the order by CPU and by number of threads.
Here operands are first rounded ("snapped") to a grid so coarse that no partial sum can round; then every order,
blocking and use of fused multiply-adds gives the same bits (Demmel and Nguyen, "Fast Reproducible Floating-Point
Summation", 2013; Ozaki et al., "Error-free transformations of matrix multiplication", 2012).

The bound. Snapped to b bits, an operand is an integer of at most 2^b grid units. A product of operands of b1 and
b2 bits is an integer of at most 2^(b1+b2) units, and each partial sum of K of them, in any order, is an integer of
at most K 2^(b1+b2) <= 2^(b1+b2+ceil(log2 K)) units. Float64 holds every integer up to 2^53. Hence nothing rounds
if b1 + b2 + ceil(log2 K) <= 53. A sum of n operands is the case b2 = 0. Each row of the left operand and each column of
the right one has a unit of its own, as a sum meets one of each: a row's products do not depend on the rows beside it.
`kdlib.numerics.grids` is the same in float32, for training; inference, losses and measures are float64.

What IEEE 754 rounds exactly is used as it is: + - * / sqrt, comparisons, rint, frexp, and ldexp unless it is subnormal.
`kdlib.numerics.elementary` builds exp and log from these.
"""

import math

import numpy as np

SIGNIFICAND_BITS = 53
MINIMUM_BITS = 12
USUAL = 400  # shifts by less of a product of at most 53 bits give no subnormal and no infinite number


def ceil_log2(n):
    """Smallest k with n <= 2^k, for an integer n >= 1."""
    return (int(n) - 1).bit_length()


def product_bits(inner_length):
    """Bits for each of two operands whose products are summed over `inner_length` terms.

    Raises ValueError where fewer than 12 bits would remain.
    """
    bits = (SIGNIFICAND_BITS - ceil_log2(inner_length)) // 2
    if bits < MINIMUM_BITS:
        raise ValueError(
            f"a product over {inner_length} terms leaves {bits} bits for each operand; at least {MINIMUM_BITS}"
            f" are needed, that is, at most {2 ** (SIGNIFICAND_BITS - 2 * MINIMUM_BITS)} terms"
        )
    return bits


def sum_bits(n):
    """Bits for each of n terms of a sum. Raises ValueError where fewer than 12 bits would remain."""
    bits = SIGNIFICAND_BITS - ceil_log2(n)
    if bits < MINIMUM_BITS:
        raise ValueError(f"a sum of {n} terms leaves {bits} bits for each; at least {MINIMUM_BITS} are needed")
    return bits


def scale(x, shift):
    """x * 2^shift for |shift| < 3000; of a result that is subnormal, integers x are rounded once.

    C's ldexp truncates subnormal results on some systems, a product rounds them. For integers the first two of the
    three products are exact unless the result is zero or infinite.
    """
    third = shift // 3
    power = np.ldexp(1.0, third)
    return x * power * power * np.ldexp(1.0, shift - 2 * third)


def _integers(x, bits, axis):
    """(q, shift): x is nearly q * 2^shift, q integers of at most 2^bits, ties to even; one shift along `axis`."""
    x = np.asarray(x, dtype=np.float64)
    largest = np.max(np.abs(x), axis=axis, keepdims=True, initial=0.0)
    shift = np.frexp(largest)[1] - np.int32(bits)
    return np.rint(scale(x, -shift)) + 0.0, shift  # + 0.0 turns -0 into 0


def snap(x, bits, axis=-1):
    """Round to the nearest multiple of 2^(e - bits), ties to even, where all |x| along `axis` are below 2^e.

    x: below 2^1023, any shape. axis: an int or a tuple. Returns float64 of the same shape, without -0.
    """
    return scale(*_integers(x, bits, axis))


def matmul(a, b):
    """Product of two stacks of matrices, (R, n, K) @ (R, K, m) -> (R, n, m), float64, after `snap` of rows and columns.

    Each entry is the exact rational result for its snapped row of `a` and its snapped column of `b`, rounded once if it
    is subnormal, +-inf if it is too large; it depends on nothing else. Raises ValueError if K is too long.
    """
    bits = product_bits(a.shape[-1])
    (p, shift_p), (q, shift_q) = _integers(a, bits, -1), _integers(b, bits, -2)
    with np.errstate(all="ignore"):  # some BLAS set floating-point flags that mean nothing
        total = np.matmul(p, q) + 0.0  # some BLAS return -0
        if max(np.abs(shift_p).max(initial=0), np.abs(shift_q).max(initial=0)) < USUAL:
            return total * np.ldexp(1.0, shift_p) * np.ldexp(1.0, shift_q)
        return scale(total, shift_p + shift_q)


class Right:
    """A right operand (K, m) of `matmul` that is snapped once, for many left ones. Raises ValueError if K is too long.

    Its `product` has the bits of `matmul`, at a fraction of the calls.
    """

    def __init__(self, b):
        self._b, self._bits = b, product_bits(len(b))
        self._integers, shift = _integers(b, self._bits, -2)
        self._usual = np.abs(shift).max(initial=0) < USUAL
        self._unit = np.ldexp(1.0, shift)

    def product(self, a):
        """a: (n, K) float64 -> (n, m) float64."""
        shift = np.frexp(np.maximum.reduce(np.abs(a), axis=-1, keepdims=True))[1] - self._bits
        if not self._usual or np.abs(shift).max(initial=0) >= USUAL:
            return matmul(a, self._b)
        with np.errstate(all="ignore"):
            total = np.matmul(np.rint(a * np.ldexp(1.0, -shift)), self._integers) + 0.0
        return total * np.ldexp(1.0, shift) * self._unit


def sum(x, axis, keepdims=False):  # noqa: A001 - the name of what it does, as in NumPy
    """Sum over `axis` (an int or a tuple) of the terms after their `snap`, each sum on a grid of its own, float64."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    integers, shift = _integers(x, sum_bits(max(1, math.prod(x.shape[a] for a in axes))), axes)
    total = scale(np.add.reduce(integers, axis=axes, keepdims=True), shift)
    return total if keepdims else np.squeeze(total, axis=axes)


def mean(x, axis):
    """Mean over `axis`, the `sum` divided by the number of terms."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    return sum(x, axis) / math.prod(x.shape[a] for a in axes)


def unit_anchor(n):
    """1.5 2^52 units of a grid, of 2^-50 or coarser, on which sums of n terms in [0, 1] do not round."""
    return math.ldexp(1.5, 52 - min(50, sum_bits(n)))


def unit_sum(x):
    """(..., m) -> (..., 1), the sum over the last axis of terms in [0, 1] on the grid of `unit_anchor`."""
    c = unit_anchor(x.shape[-1])
    return np.add.reduce((x + c) - c, axis=-1, keepdims=True)
