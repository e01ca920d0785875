"""Means, standard deviations and verdicts over replicas and over splits."""

import math
from collections.abc import Sequence

import numpy as np

from kdlib.evaluation.intervals import student_t_95
from kdlib.numerics import exact

ALL_EQUAL = "all differences are equal, no verdict"
ONE_CLASS = "the examples have one class, no verdict"
EQUAL_TOLERANCE = 1e-12  # equal differences have, by rounding, a standard error of up to this fraction of their mean


def mean_and_std(values: np.ndarray | Sequence[float]) -> dict[str, float | None]:
    """Compute mean and standard deviation over replicas.

    Parameters
    ----------
    values : array-like, (R,)
        NaN is left out, and does not count in R.

    Returns
    -------
    dict
        {"mean", "std"}; std has the divisor R - 1 and is left out if R = 1. The mean is None if R = 0.
    """
    row = np.asarray(values, dtype=np.float64)
    row = row[~np.isnan(row)][None]
    if not row.size:
        return {"mean": None}
    mean = exact.mean(row, axis=1)
    if row.size == 1:
        return {"mean": float(mean[0])}
    square = exact.sum((row - mean[:, None]) * (row - mean[:, None]), axis=1)
    return {"mean": float(mean[0]), "std": float(np.sqrt(square / (row.size - 1))[0])}


def mean_and_std_over_splits(values: Sequence[np.ndarray]) -> dict[str, float | None]:
    """Compute `mean_and_std` over the replicas of a single split, or over the means of several splits.

    Parameters
    ----------
    values : sequence of S arrays, (R,) each
        A split with NaN is left out.
    """
    if len(values) == 1:
        return mean_and_std(values[0])
    kept = [np.asarray(own, dtype=np.float64) for own in values if not np.isnan(own).any()]
    return mean_and_std([exact.mean(own[None], axis=1)[0] for own in kept])


def _gain(differences, unit, extra_share=0.0):
    """Return mean, standard error, 95 % interval and verdict by Student's t, of differences (n,), one a `unit`.

    The standard error is sqrt(1 / n + extra_share) * std.
    """
    spread = mean_and_std(differences)
    mean = spread["mean"]
    n = np.count_nonzero(~np.isnan(differences))
    if n == 0:
        return {"mean": None, "verdict": ONE_CLASS}
    if n == 1:
        return {"mean": mean, "verdict": f"one {unit}, no verdict"}
    error = math.sqrt(1 / n + extra_share) * spread["std"]
    margin = student_t_95(n - 1) * error
    verdict = "no significant difference"
    if abs(mean) > margin:
        verdict = "higher" if mean > 0 else "lower"
        if error <= EQUAL_TOLERANCE * abs(mean):
            verdict = ALL_EQUAL
    return {"mean": mean, "standard_error": error, "low": mean - margin, "high": mean + margin, "verdict": verdict}


def paired_gain(values: np.ndarray, control: np.ndarray) -> dict[str, float | str | None]:
    """Compare paired replicas on one split.

    Parameters
    ----------
    values, control : np.ndarray, (R,)
        A measure of the networks and of their controls, in the same order; both NaN where it is undefined.

    Returns
    -------
    dict
        "mean" of values - control; its "standard_error", and the ends "low" and "high" of its 95 % confidence interval
        by Student's t (all three left out if R = 1); and a "verdict": "higher" or "lower" if the interval excludes
        zero, else "no significant difference". It is "one replica, no verdict" if R = 1, and ALL_EQUAL if all
        differences are the same and not 0. NaN is left out; if nothing else is there, the mean is None and the verdict
        ONE_CLASS.
    """
    difference = np.asarray(values, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    return _gain(difference, "replica")


def corrected_resampled_gain(
    differences: np.ndarray, train_examples: int, test_examples: int
) -> dict[str, float | str | None]:
    """Compare on several splits, by the corrected resampled t-test.

    Training sets of splits overlap, so their gains are correlated. The test therefore multiplies their variance by
    1/S + test_examples / train_examples, where the plain t-test has 1/S; S - 1 degrees of freedom.

    Parameters
    ----------
    differences : np.ndarray, (S,)
        Mean gain of each split; NaN where it is undefined.
    train_examples, test_examples : int
        Numbers of examples in one split.

    Returns
    -------
    dict
        As of `paired_gain`, with splits in place of replicas.

    References
    ----------
    Nadeau and Bengio, "Inference for the Generalization Error" (2003), section 3.
    Bouckaert and Frank, "Evaluating the Replicability of Significance Tests for Comparing Learning Algorithms" (2004).
    """
    return _gain(np.asarray(differences, dtype=np.float64), "split", test_examples / train_examples)
