"""Arithmetic whose results do not depend on the order of evaluation.

Float addition rounds, so a sum depends on its order, and a BLAS picks the order by CPU and by number of threads.
Here operands are first rounded ("snapped") to a grid so coarse that no partial sum can round; then every order,
blocking and use of fused multiply-adds gives the same bits (Demmel and Nguyen, "Fast Reproducible Floating-Point
Summation", 2013; Ozaki et al., "Error-free transformations of matrix multiplication", 2012).

The bound. Snapped to b bits, an operand is an integer of at most 2^b grid units. A product of operands of b1 and
b2 bits is an integer of at most 2^(b1+b2) units, and each partial sum of K such products, in any order, is an integer
of at most K 2^(b1+b2) <= 2^(b1+b2+ceil(log2 K)) units. Float64 holds every integer up to 2^53. Hence nothing rounds
if b1 + b2 + ceil(log2 K) <= 53. A sum of n operands is the case b2 = 0. Each row of the left operand and each column of
the right one has its own unit, because a sum meets one row and one column: the products of a row do not depend on the
other rows. `kdlib.numerics.grids` does the same in float32, for training; inference, losses and metrics are float64.

Operations that IEEE 754 rounds exactly are used directly: + - * / sqrt, comparisons, rint, frexp, and ldexp unless its
result is subnormal. `kdlib.numerics.elementary` builds exp and log from them.
"""

import math

import numpy as np

from kdlib.numerics.reductions import row_maxima, row_sums

SIGNIFICAND_BITS = 53
MINIMUM_BITS = 12
SAFE_SHIFT = 400  # shifts below it give no subnormal and no infinite number for a product of at most 53 bits


def ceil_log2(n: int) -> int:
    """Return the smallest k with n <= 2^k, for an integer n >= 1."""
    return (int(n) - 1).bit_length()


def product_bits(inner_length: int) -> int:
    """Return the bits for each of two operands whose products are summed over `inner_length` terms.

    Raises
    ------
    ValueError
        If fewer than 12 bits would remain.
    """
    bits = (SIGNIFICAND_BITS - ceil_log2(inner_length)) // 2
    if bits < MINIMUM_BITS:
        raise ValueError(
            f"a product over {inner_length} terms leaves {bits} bits for each operand; at least {MINIMUM_BITS}"
            f" are needed, that is, at most {2 ** (SIGNIFICAND_BITS - 2 * MINIMUM_BITS)} terms"
        )
    return bits


def sum_bits(n: int) -> int:
    """Return the bits for each of the n terms of a sum.

    Raises
    ------
    ValueError
        If fewer than 12 bits would remain.
    """
    bits = SIGNIFICAND_BITS - ceil_log2(n)
    if bits < MINIMUM_BITS:
        raise ValueError(f"a sum of {n} terms leaves {bits} bits for each; at least {MINIMUM_BITS} are needed")
    return bits


def scale(x: np.ndarray, shift: int | np.ndarray) -> np.ndarray:
    """Return x * 2^shift, rounded once where the result is subnormal and x is an integer.

    C's ldexp truncates subnormal results on some systems; a product rounds them. For integers x, the first two of the
    three products are exact unless the result is zero or infinite.

    Parameters
    ----------
    x : float64 array
    shift : int or integer array
        |shift| < 3000.
    """
    third = shift // 3
    power = np.ldexp(1.0, third)
    return x * power * power * np.ldexp(1.0, shift - 2 * third)


def _integers(x, bits, axis):
    """Return (q, shift) with x nearly q * 2^shift: q integers of at most 2^bits, ties to even; one shift per `axis`."""
    x = np.asarray(x, dtype=np.float64)
    magnitudes = np.abs(x)
    if axis in (-1, (-1,)) and x.shape[-1]:
        largest = row_maxima(magnitudes)
    else:
        largest = np.max(magnitudes, axis=axis, keepdims=True, initial=0.0)
    shift = np.frexp(largest)[1] - np.int32(bits)
    safe = np.abs(shift).max(initial=0) < SAFE_SHIFT
    integers = np.rint(x * np.ldexp(1.0, -shift) if safe else scale(x, -shift))
    integers += 0.0  # turns -0 into 0
    return integers, shift


def snap(x: np.ndarray, bits: int, axis: int | tuple[int, ...] = -1) -> np.ndarray:
    """Round x to the nearest multiple of 2^(e - bits), ties to even.

    2^e is the smallest power of two above all |x| along `axis`.

    Parameters
    ----------
    x : array, any shape
        Magnitudes below 2^1023.
    bits : int
    axis : int or tuple of int
        Numbers along it share a grid.

    Returns
    -------
    float64 array, the shape of x
        Without -0.
    """
    return scale(*_integers(x, bits, axis))


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply two stacks of matrices after a `snap` of the rows of `a` and of the columns of `b`.

    Each entry is the exact rational result for its snapped row and its snapped column. It is rounded once if it is
    subnormal, and it is +-inf if it is too large. It depends on nothing else.

    Parameters
    ----------
    a : array, shape (R, n, K)
    b : array, shape (R, K, m)

    Returns
    -------
    float64 array, shape (R, n, m)

    Raises
    ------
    ValueError
        If K is too long, see `product_bits`.
    """
    bits = product_bits(a.shape[-1])
    p, shift_p = _integers(a, bits, -1)
    q, shift_q = _integers(b, bits, -2)
    with np.errstate(all="ignore"):  # some BLAS set floating-point flags that mean nothing
        total = np.matmul(p, q) + 0.0  # some BLAS return -0
        if max(np.abs(shift_p).max(initial=0), np.abs(shift_q).max(initial=0)) < SAFE_SHIFT:
            return total * np.ldexp(1.0, shift_p) * np.ldexp(1.0, shift_q)
        return scale(total, shift_p + shift_q)


class SnappedMatrix:
    """Snap a right operand of `matmul` once, for many left operands.

    `product` returns the bits of `matmul` with far fewer NumPy calls.

    Parameters
    ----------
    b : array, shape (K, m)

    Raises
    ------
    ValueError
        If K is too long, see `product_bits`.
    """

    def __init__(self, b: np.ndarray):
        self._b = b
        self._bits = product_bits(len(b))
        self._integers, shift = _integers(b, self._bits, -2)
        self._is_safe = np.abs(shift).max(initial=0) < SAFE_SHIFT
        self._unit = np.ldexp(1.0, shift)

    def product(self, a: np.ndarray) -> np.ndarray:
        """Return `matmul(a, b)`.

        Parameters
        ----------
        a : float64 array, shape (n, K)

        Returns
        -------
        float64 array, shape (n, m)
        """
        shift = np.frexp(row_maxima(np.abs(a)))[1] - self._bits
        if not self._is_safe or np.abs(shift).max(initial=0) >= SAFE_SHIFT:
            return matmul(a, self._b)
        with np.errstate(all="ignore"):
            total = np.matmul(np.rint(a * np.ldexp(1.0, -shift)), self._integers) + 0.0
        return total * np.ldexp(1.0, shift) * self._unit


def sum(x: np.ndarray, axis: int | tuple[int, ...], keepdims: bool = False) -> np.ndarray:  # noqa: A001 - as in NumPy
    """Add the terms over `axis` after their `snap`; each sum has its own grid.

    Returns
    -------
    float64 array

    Raises
    ------
    ValueError
        If there are too many terms, see `sum_bits`.
    """
    axes = axis if isinstance(axis, tuple) else (axis,)
    integers, shift = _integers(x, sum_bits(max(1, math.prod(x.shape[a] for a in axes))), axes)
    total = row_sums(integers) if axes == (-1,) else np.add.reduce(integers, axis=axes, keepdims=True)
    total = scale(total, shift)
    return total if keepdims else np.squeeze(total, axis=axes)


def mean(x: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """Return the mean over `axis`: the `sum` divided by the number of terms."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    return sum(x, axis) / math.prod(x.shape[a] for a in axes)


def unit_anchor(n: int) -> float:
    """Return 1.5 * 2^52 units of a grid on which sums of n terms in [0, 1] do not round.

    The unit is 2^-50 or coarser. Adding the anchor to a term and subtracting it again rounds the term to the grid.
    """
    return math.ldexp(1.5, 52 - min(50, sum_bits(n)))


def unit_sum(x: np.ndarray) -> np.ndarray:
    """Add terms in [0, 1] over the last axis, on the grid of `unit_anchor`.

    Parameters
    ----------
    x : float64 array, shape (..., m)

    Returns
    -------
    float64 array, shape (..., 1)
    """
    anchor = unit_anchor(x.shape[-1])
    terms = x + anchor
    terms -= anchor
    return row_sums(terms)
