"""Means, spreads and verdicts over replicas and over splits."""

import math

import numpy as np

from kdlib.evaluation.intervals import student_t
from kdlib.numerics import exact

EQUAL = "all differences are equal, no verdict"
ROUNDING = 1e-12  # a standard error below so much of the mean is what rounding leaves of equal differences


def mean_and_std(values):
    """{"mean", "std"} over the replicas, values (R,); std has the divisor R - 1 and is left out for one replica."""
    row = np.asarray(values, dtype=np.float64)[None]
    mean = exact.mean(row, axis=1)
    if row.size == 1:
        return {"mean": float(mean[0])}
    square = exact.sum((row - mean[:, None]) * (row - mean[:, None]), axis=1)
    return {"mean": float(mean[0]), "std": float(np.sqrt(square / (row.size - 1))[0])}


def over_splits(values):
    """`mean_and_std` of values [(R,), of each split]: over the replicas of one split, over the means of several."""
    if len(values) == 1:
        return mean_and_std(values[0])
    return mean_and_std([exact.mean(np.asarray(own, dtype=np.float64)[None], axis=1)[0] for own in values])


def _gain(difference, unit, share):
    """Mean, standard error sqrt(share) std, and verdict by Student's t. difference: (n,), one for each `unit`."""
    spread = mean_and_std(difference)
    mean, degrees = spread["mean"], len(difference) - 1
    if degrees == 0:
        return {"mean": mean, "verdict": f"one {unit}, no verdict"}
    error = math.sqrt(share) * spread["std"]
    verdict = "no significant difference"
    if abs(mean) > student_t(degrees) * error:
        verdict = "higher" if mean > 0 else "lower"
        if error <= ROUNDING * abs(mean):
            verdict = EQUAL
    return {"mean": mean, "standard_error": error, "verdict": verdict}


def paired_gain(values, control):
    """Of values - control over paired replicas on one split, (R,) each: mean, its standard error, and a verdict.

    The verdict is "higher" or "lower" where the 95 % confidence interval of the mean (Student's t) excludes zero, and
    "no significant difference" elsewhere; where there is nothing to tell from it is "one replica, no verdict", or, if
    all differences are the same and not 0, EQUAL.
    """
    difference = np.asarray(values, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    return _gain(difference, "replica", 1 / len(difference))


def corrected_resampled_gain(differences, train_examples, test_examples):
    """Of the mean gains of several splits, differences (S,): mean, standard error, and a verdict as `paired_gain`'s.

    The corrected resampled t-test: training sets overlap, so that the gains of splits are alike, and their variance
    counts (1/S + test_examples / train_examples) times; S - 1 degrees of freedom. The examples are those of one split.
    References: Nadeau and Bengio, "Inference for the Generalization Error" (2003), section 3; Bouckaert and Frank,
    "Evaluating the Replicability of Significance Tests for Comparing Learning Algorithms" (2004).
    """
    return _gain(differences, "split", 1 / len(differences) + test_examples / train_examples)
