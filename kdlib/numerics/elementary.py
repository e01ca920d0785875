"""Elementary functions from operations that IEEE 754 rounds exactly: the C library's differ between machines.

The constants come from `decimal`, which rounds correctly everywhere.
"""

import decimal
import math
import operator
from itertools import accumulate

import numpy as np

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


def scaled(p, e):
    """p 2^e, |p| in [1, 2], e in [-1078, 1026], rounded once: the first of two factors rounds nothing.

    C's ldexp truncates subnormals on some systems, a product rounds them.
    """
    half = e >> 1
    return np.ldexp(p, half) * np.ldexp(1.0, e - half)


def integer(k):
    return k.astype(np.int32)


def entry(table, index):
    return table.take(index)


def exp(x):
    """e^x within 1 ulp of the correctly rounded value, for every float64 x. Any shape.

    x = k ln2/1024 + r with |r| < 3.4e-4, so e^x = 2^(k // 1024) T[k % 1024] (1 + p(r)), where the Taylor sum p of
    degree 4 is off from e^r - 1 by about r^5/120 < 4e-20. T and the last addition round by half an ulp each, and a
    subnormal result by half of its last place. NaN becomes any k, of which the masks make an index.
    """
    x = np.minimum(np.maximum(x, -746.0), 710.0)  # beyond them e^x rounds to 0, or overflows
    k = np.rint(x * _STEPS_PER_UNIT)
    r = (x - k * _STEP_HIGH) - k * _STEP_LOW
    p = (((r * (1 / 24) + 1 / 6) * r + 0.5) * r) * r + r
    k = integer(k)
    power = entry(_POWERS, k & (_STEPS - 1))
    return scaled(p * power + power, k >> 10)


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
