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
`exp` and `log` are built from these; the constants of both come from `decimal`, which rounds correctly everywhere.
"""

import decimal
import math
import operator
from itertools import accumulate

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
        return _scale(np.matmul(p, q), shift_p + shift_q)


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


_STEPS = 1024  # exp's table: 2^(j / 1024)
_CELLS = 128  # log's table: ln(j / 128)


def _short(value, bits):
    """`value` (Decimal) rounded to a multiple of 2^-bits, and what remains, both as floats."""
    high = math.ldexp(int((value * 2**bits).to_integral_value()), -bits)
    return high, float(value - decimal.Decimal(high))


with decimal.localcontext(decimal.Context(prec=60)):
    _LN2 = decimal.Decimal(2).ln()
    _LN2_HIGH, _LN2_LOW = _short(_LN2, 42)
    _STEP_HIGH, _STEP_LOW = _short(_LN2 / _STEPS, 41)  # k * _STEP_HIGH is exact: 31 bits, and |k| < 2^21
    _STEPS_PER_UNIT = float(_STEPS / _LN2)
    _RATIO = (_LN2 / _STEPS).exp()
    _POWERS = np.array(
        [float(p) for p in accumulate([_RATIO] * (_STEPS - 1), operator.mul, initial=decimal.Decimal(1))]
    )
    _LOGS = np.array([_short((decimal.Decimal(j) / _CELLS).ln(), 42) for j in range(90, 182)]).T


def exp(x):
    """e^x within 1 ulp of the correctly rounded value, for every float64 x. Any shape.

    x = k ln2/1024 + r with |r| < 3.4e-4, so e^x = 2^(k // 1024) T[k % 1024] (1 + p(r)), where the Taylor sum p of
    degree 4 is off from e^r - 1 by about r^5/120 < 4e-20. T and the last addition round by half an ulp each.
    """
    x = np.minimum(np.maximum(x, -746.0), 710.0)  # beyond them e^x rounds to 0, or overflows
    k = np.rint(x * _STEPS_PER_UNIT)
    r = (x - k * _STEP_HIGH) - k * _STEP_LOW
    p = r * (1 / 24)
    p += 1 / 6
    p *= r
    p += 0.5
    p *= r
    p *= r
    p += r
    k = k.astype(np.int32)
    power = _POWERS.take(k & (_STEPS - 1))
    p *= power
    p += power
    half = k >> 11
    return np.ldexp(p, half) * np.ldexp(1.0, (k >> 10) - half)  # as in `_scale`


_SERIES = [1 / 7, -1 / 6, 1 / 5, -1 / 4, 1 / 3, -1 / 2]


def log(x):
    """Natural logarithm within 1 ulp of the correctly rounded value, for every float64 x >= 0. Any shape.

    x = 2^e m with m in [0.707, 1.415), c = j/128 the nearest of the table to m, t = (m - c)/c, |t| < 0.0056:
    ln x = (e ln2 + ln c) + log1p(t). The bracket's high parts are multiples of 2^-42 below 2^10, so their sum is
    exact; where it is zero (x near 1) c = 1, t is exact, and the series of degree 7 is off by about t^8/8.
    log(0) = -inf, log(inf) = inf; NaN for the rest.
    """
    x = np.asarray(x, dtype=np.float64)
    usual = (x > 0.0) & (x < math.inf)
    m, e = np.frexp(np.where(usual, x, 1.0))
    low = m < 0.7071067811865476
    m, e = np.where(low, m + m, m), (e - low).astype(np.float64)
    cell = np.rint(m * _CELLS)
    c = cell * (1 / _CELLS)
    t = (m - c) / c
    series = np.zeros_like(t)
    for coefficient in _SERIES:
        series = coefficient + t * series
    high, low = _LOGS[:, cell.astype(np.int32) - 90]
    result = (e * _LN2_HIGH + high) + (t + (t * t * series + (e * _LN2_LOW + low)))
    return np.where(usual, result, np.where(x == 0.0, -math.inf, np.where(x == math.inf, math.inf, math.nan)))
