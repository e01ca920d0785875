"""Quantiles, intervals and exact tests, from integers and + - * / sqrt: the same bits on every machine."""

import math

NORMAL = 1.959963984540054  # two-sided 95 % point of the normal distribution


def _arctangent(y):
    """atan(y), y >= 0. atan(y) = 2 atan(y / (1 + sqrt(1 + y^2))) four times leaves y < 0.1, and y^27 / 27 < 1e-28."""
    for _ in range(4):
        y /= 1 + math.sqrt(1 + y * y)
    series = 0.0
    for odd in range(25, 0, -2):
        series = 1 / odd - y * y * series
    return 16 * y * series


def student_t_probability(t, degrees):
    """P(|T| <= t) of Student's t. t >= 0; degrees: an integer >= 1. Abramowitz and Stegun (1964), 26.7.3 and 26.7.4."""
    cosine2 = degrees / (degrees + t * t)
    tangent = t / math.sqrt(degrees)
    odd = degrees % 2
    term = math.sqrt(cosine2) if odd else 1.0
    total = 0.0
    for k in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine2 * (k - 1) / k
    sine = tangent * math.sqrt(cosine2)
    return (_arctangent(tangent) + sine * total) * 2 / math.pi if odd else sine * total


def student_t(degrees):
    """Two-sided 95 % point of Student's t, to 12 digits. degrees: an integer >= 1."""
    low, high = 1.9, 13.0
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        low, high = (middle, high) if student_t_probability(middle, degrees) < 0.95 else (low, middle)


def wilson_interval(correct, n):
    """95 % interval (low, high) of the fraction of which `correct` of n >= 1 independent examples are an estimate.

    Unlike mean ± standard error it has a width where all are right. Reference: Wilson, "Probable Inference, the Law of
    Succession, and Statistical Inference" (1927).
    """
    z2 = NORMAL * NORMAL
    half = NORMAL * math.sqrt(correct * (n - correct) / n + z2 / 4)
    middle = correct + z2 / 2
    return max(0.0, (middle - half) / (n + z2)), min(1.0, (middle + half) / (n + z2))


def mcnemar(only_first, only_second):
    """Exact two-sided p of two classifiers of the same examples being equally good.

    only_first, only_second: how many examples the first or the second alone has right. Under the hypothesis the lesser
    is binomial with n = only_first + only_second and p = 1/2. Integers up to the one division, which rounds correctly.
    Reference: McNemar, "Note on the Sampling Error of the Difference between Correlated Proportions" (1947).
    """
    n, least = only_first + only_second, min(only_first, only_second)
    ways, tail = 1, 0
    for k in range(least + 1):
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return min(1.0, 2 * tail / (1 << n))
