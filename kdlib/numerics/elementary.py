"""exp, log and cos from operations that IEEE 754 rounds exactly: the C library's functions differ between machines.

The constants come from `decimal`, which rounds correctly everywhere. numba compiles `exp` and `log_of_positive`
for the second back end.
"""

import decimal
import math
import operator
from itertools import accumulate

import numpy as np

_STEPS = 1024  # entries of exp's table: 2^(j / 1024)
_CELLS = 128  # log's table: ln(j / 128)
_FIRST_CELL = 90  # smallest j of log's table
_SINE_TERMS = [(-1) ** k / math.factorial(2 * k + 1) for k in range(8)]  # of t, t^3, ...; a quotient rounds once


def _high_and_low(value, bits):
    """Return a Decimal rounded to a multiple of 2^-bits, and the rest, both as floats."""
    high = math.ldexp(int((value * 2**bits).to_integral_value()), -bits)
    return high, float(value - decimal.Decimal(high))


with decimal.localcontext(decimal.Context(prec=60)):
    _LN2 = decimal.Decimal(2).ln()
    _LN2_HIGH, _LN2_LOW = _high_and_low(_LN2, 42)
    _STEP_HIGH, _STEP_LOW = _high_and_low(_LN2 / _STEPS, 41)  # k * _STEP_HIGH is exact: 31 bits, and |k| < 2^21
    _STEPS_PER_UNIT = float(_STEPS / _LN2)
    _RATIO = (_LN2 / _STEPS).exp()
    _EXACT_POWERS = accumulate([_RATIO] * (_STEPS - 1), operator.mul, initial=decimal.Decimal(1))
    _POWERS = np.array([float(power) for power in _EXACT_POWERS])
    _LOGS = [_high_and_low((decimal.Decimal(j) / _CELLS).ln(), 42) for j in range(_FIRST_CELL, 182)]
    _LOGS_HIGH, _LOGS_LOW = np.array(_LOGS).T.copy()


def scaled(p, e):
    """Return p * 2^e, rounded once: the first of the two factors rounds nothing.

    C's ldexp truncates subnormal results on some systems; a product rounds them.

    Parameters
    ----------
    p : float64 array
        |p| in [1, 2].
    e : integer array
        In [-1078, 1026].
    """
    half = e >> 1
    return np.ldexp(p, half) * np.ldexp(1.0, e - half)


def integer(k):
    """Convert whole float64 numbers to int32."""
    return k.astype(np.int32)


def entry(table, index):
    """Look up entries of a table by index."""
    return table.take(index)


def exp(x):
    """Return e^x within 1 ulp of the correctly rounded value, for every float64 x.

    Write x = k ln2/1024 + r with |r| < 3.4e-4. Then e^x = 2^(k // 1024) T[k % 1024] (1 + p(r)), where the Taylor sum p
    of degree 4 differs from e^r - 1 by about r^5/120 < 4e-20. T and the last addition round by half an ulp each, and a
    subnormal result rounds by half of its last place. NaN becomes an arbitrary k; the mask makes it a valid index.

    Parameters
    ----------
    x : float64 array, any shape
    """
    x = np.minimum(np.maximum(x, -746.0), 710.0)  # beyond them e^x rounds to 0, or overflows
    k = np.rint(x * _STEPS_PER_UNIT)
    r = (x - k * _STEP_HIGH) - k * _STEP_LOW
    p = (((r * (1 / 24) + 1 / 6) * r + 0.5) * r) * r + r
    k = integer(k)
    power = entry(_POWERS, k & (_STEPS - 1))
    return scaled(p * power + power, k >> 10)


def parts(x):
    """Return m and e with x = m 2^e and m in [0.5, 1)."""
    return np.frexp(x)


def log_of_positive(x):
    """Return the natural logarithm of positive finite float64 numbers, see `log`."""
    m, e = parts(x)
    small = m < 0.7071067811865476
    m = m + m * small
    e = e - small
    cell = np.rint(m * _CELLS)
    c = cell * (1 / _CELLS)
    t = (m - c) / c
    series = (((((t * (1 / 7) - 1 / 6) * t + 1 / 5) * t - 1 / 4) * t + 1 / 3) * t) - 1 / 2
    index = integer(cell) - _FIRST_CELL
    high = entry(_LOGS_HIGH, index)
    low = entry(_LOGS_LOW, index)
    return (e * _LN2_HIGH + high) + (t + (t * t * series + (e * _LN2_LOW + low)))


def log(x: float | np.ndarray) -> np.ndarray:
    """Return the natural logarithm within 1 ulp of the correctly rounded value, for every float64 x >= 0.

    Write x = 2^e m with m in [0.707, 1.415), c = j/128 the table's value nearest to m, and t = (m - c)/c, |t| < 0.0056.
    Then ln x = (e ln2 + ln c) + log1p(t). The high parts in the bracket are multiples of 2^-42 below 2^10, so their sum
    is exact. Where this sum is zero (x near 1), c = 1 and t is exact. The series of log1p has degree 7 and is off by
    about t^8/8.

    Parameters
    ----------
    x : float or array, any shape

    Returns
    -------
    float64 array, the shape of x
        log(0) = -inf and log(inf) = inf; NaN for negative x and NaN.
    """
    x = np.asarray(x, dtype=np.float64)
    usual = (x > 0.0) & (x < math.inf)
    result = log_of_positive(np.where(usual, x, 1.0))
    return np.where(usual, result, np.where(x == 0.0, -math.inf, np.where(x == math.inf, math.inf, math.nan)))


def cos_pi(x: float) -> float:
    """Return cos(pi x) for x in [0, 1], within 1e-15.

    Write cos(pi x) = 1 - 2 sin(t)^2 with t = pi x / 2; for x above 1/2 it is -cos(pi (1 - x)). So t is at most pi / 4,
    and the Taylor sum of the sine with 8 terms is off by at most t^17 / 17! < 5e-17.

    Examples
    --------
    >>> cos_pi(0), cos_pi(1)
    (1.0, -1.0)
    """
    if x > 0.5:
        return -cos_pi(1 - x)
    t = x * (math.pi / 2)
    square = t * t
    series = 0.0
    for term in reversed(_SINE_TERMS):
        series = series * square + term
    sine = series * t
    return 1 - 2 * sine * sine
