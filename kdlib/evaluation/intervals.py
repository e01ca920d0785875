"""Quantiles, intervals and exact tests, from integers and + - * / sqrt only: the same bits on every machine."""

import math

NORMAL_95 = 1.959963984540054  # two-sided 95 % point of the normal distribution


def _arctangent(y):
    """Compute atan(y), y >= 0.

    atan(y) = 2 atan(y / (1 + sqrt(1 + y^2))), four times, leaves y < 0.1. Of the series, y^27 / 27 < 1e-28.
    """
    for _ in range(4):
        y /= 1 + math.sqrt(1 + y * y)
    series = 0.0
    for odd in range(25, 0, -2):
        series = 1 / odd - y * y * series
    return 16 * y * series


def student_t_probability(t: float, degrees: int) -> float:
    """Compute P(|T| <= t) of Student's t distribution.

    Parameters
    ----------
    t : float
        At least 0.
    degrees : int
        Degrees of freedom, at least 1.

    References
    ----------
    Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 26.7.3 and 26.7.4.
    """
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


def student_t_95(degrees: int) -> float:
    """Compute the two-sided 95 % point of Student's t, to 12 digits, for at least 1 degree of freedom."""
    low = 1.9
    high = 13.0
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        low, high = (middle, high) if student_t_probability(middle, degrees) < 0.95 else (low, middle)


def wilson_interval(correct: float, n: float) -> tuple[float, float]:
    """Compute Wilson's 95 % interval of a fraction.

    Unlike mean ± standard error, it has a width even if all examples are correct.

    Parameters
    ----------
    correct : float
        How many of the examples are correct.
    n : float
        Number of independent examples, at least 1.

    Returns
    -------
    low, high : float

    References
    ----------
    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference" (1927).
    """
    z2 = NORMAL_95 * NORMAL_95
    half = NORMAL_95 * math.sqrt(correct * (n - correct) / n + z2 / 4)
    middle = correct + z2 / 2
    return max(0.0, (middle - half) / (n + z2)), min(1.0, (middle + half) / (n + z2))


def mcnemar_p_value(only_first: int, only_second: int) -> float:
    """Compute the exact two-sided p-value of the hypothesis that two classifiers are equally good.

    Under the hypothesis the smaller of the two counts is binomial with n = only_first + only_second and p = 1/2. All is
    in integers up to the one division, which rounds correctly.

    Parameters
    ----------
    only_first, only_second : int
        How many examples only the first classifier has right, and only the second.

    References
    ----------
    McNemar, "Note on the Sampling Error of the Difference between Correlated Proportions" (1947).
    """
    n = only_first + only_second
    least = min(only_first, only_second)
    ways = 1  # binomial coefficient n over k
    tail = 0
    for k in range(least + 1):
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return min(1.0, 2 * tail / (1 << n))
