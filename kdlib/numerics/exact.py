"""Arithmetic whose results do not depend on the order of evaluation.

Float addition rounds, so a sum depends on its order, and a BLAS picks the order by CPU and by number of threads.
Here operands are first rounded ("snapped") to a grid so coarse that no partial sum can round; then every order,
blocking and use of fused multiply-adds gives the same bits (Demmel and Nguyen, "Fast Reproducible Floating-Point
Summation", 2013; Ozaki et al., "Error-free transformations of matrix multiplication", 2012).

The bound. Snapped to b bits, an operand is an integer of at most 2^b grid units. A product of operands of b1 and
b2 bits is an integer of at most 2^(b1+b2) units, and each partial sum of K of them, in any order, is an integer of
at most K 2^(b1+b2) <= 2^(b1+b2+ceil(log2 K)) units. Float64 holds every integer up to 2^53. Hence nothing rounds
if b1 + b2 + ceil(log2 K) <= 53. A sum of n operands is the case b2 = 0.

What IEEE 754 rounds exactly is used as it is: + - * / sqrt, comparisons, rint, frexp, and ldexp unless it is subnormal.
`kdlib.numerics.elementary` builds exp and log from these.
"""

import math

import numpy as np

SIGNIFICAND_BITS = 53
MINIMUM_BITS = 12


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


def _scale(x, shift):
    """x * 2^shift for |shift| < 3000; of a result that is subnormal, integers x are rounded once.

    C's ldexp truncates subnormal results on some systems, a product rounds them. For integers the first two of the
    three products are exact unless the result is zero or infinite.
    """
    third = shift // 3
    power = np.ldexp(1.0, third)
    return x * power * power * np.ldexp(1.0, shift - 2 * third)


def _integers(x, bits):
    """(q, shift): x[k] is nearly q[k] * 2^shift[k], q integers of at most 2^bits, ties to even. x: (R, ...)."""
    x = np.asarray(x, dtype=np.float64)
    largest = np.max(np.abs(x), axis=tuple(range(1, x.ndim)), keepdims=True, initial=0.0)
    shift = np.frexp(largest)[1] - np.int32(bits)
    return np.rint(_scale(x, -shift)) + 0.0, shift  # + 0.0 turns -0 into 0


def snap(x, bits):
    """Round each replica x[k] to the nearest multiple of 2^(e - bits), where max|x[k]| < 2^e; ties to even.

    x: (R, ...), below 2^1023. Returns float64 of the same shape, without -0.
    """
    return _scale(*_integers(x, bits))


def matmul(a, b):
    """Product of two stacks of matrices after `snap`, (R, n, K) @ (R, K, m) -> (R, n, m), float64.

    Each entry is the exact rational result for the snapped operands, rounded once if it is subnormal, +-inf if it
    is too large. Raises ValueError if K is too long.
    """
    bits = product_bits(a.shape[-1])
    (p, shift_p), (q, shift_q) = _integers(a, bits), _integers(b, bits)
    with np.errstate(all="ignore"):  # some BLAS set floating-point flags that mean nothing
        return _scale(np.matmul(p, q) + 0.0, shift_p + shift_q)  # some BLAS return -0


def sum(x, axis, keepdims=False):  # noqa: A001 - the name of what it does, as in NumPy
    """Sum over `axis` (an int or a tuple) after `snap`: (R, ...) -> float64 without these axes."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    bits = sum_bits(max(1, math.prod(x.shape[a] for a in axes)))
    integers, shift = _integers(x, bits)
    total = np.add.reduce(integers, axis=axis, keepdims=True)
    total = _scale(total, shift)
    return total if keepdims else np.squeeze(total, axis=axes)


def mean(x, axis):
    """Mean over `axis`, the `sum` divided by the number of terms."""
    axes = axis if isinstance(axis, tuple) else (axis,)
    return sum(x, axis) / math.prod(x.shape[a] for a in axes)
