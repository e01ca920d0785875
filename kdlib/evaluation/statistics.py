"""Means, spreads and verdicts over replicas."""

import math

import numpy as np

from kdlib.numerics import exact


def mean_and_std(values):
    """{"mean", "std"} over the replicas, values (R,); std has the divisor R - 1 and is left out for one replica."""
    row = np.asarray(values, dtype=np.float64)[None]
    mean = exact.mean(row, axis=1)
    if row.size == 1:
        return {"mean": float(mean[0])}
    square = exact.sum((row - mean[:, None]) * (row - mean[:, None]), axis=1)
    return {"mean": float(mean[0]), "std": float(np.sqrt(square / (row.size - 1))[0])}


def student_t(degrees):
    """Two-sided 95 % point of Student's t, within 1 %. Abramowitz and Stegun (1964), 26.7.5, from 3 degrees on."""
    if degrees < 3:
        return (12.706204736432095, 4.302652729911275)[degrees - 1]
    z = 1.959963984540054
    z2, n = z * z, degrees
    g1 = z * (z2 + 1) / 4
    g2 = z * (5 * z2 * z2 + 16 * z2 + 3) / 96
    g3 = z * (3 * z2 * z2 * z2 + 19 * z2 * z2 + 17 * z2 - 15) / 384
    return z + g1 / n + g2 / (n * n) + g3 / (n * n * n)


def paired_gain(values, control):
    """Of values - control over paired replicas, (R,) each: mean, its standard error, and a verdict.

    The verdict is "higher" or "lower" where the 95 % confidence interval of the mean (Student's t) excludes zero,
    "no significant difference" elsewhere, and "one replica, no verdict" where there is nothing to tell from.
    """
    difference = np.asarray(values, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    spread = mean_and_std(difference)
    mean, degrees = spread["mean"], len(difference) - 1
    if degrees == 0:
        return {"mean": mean, "verdict": "one replica, no verdict"}
    error = spread["std"] / math.sqrt(degrees + 1)
    verdict = "no significant difference"
    if abs(mean) > student_t(degrees) * error:
        verdict = "higher" if mean > 0 else "lower"
    return {"mean": mean, "standard_error": error, "verdict": verdict}
