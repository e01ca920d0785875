"""Means, standard deviations and verdicts over replicas and over splits."""

import math
from collections.abc import Sequence

import numpy as np

from kdlib.evaluation.intervals import student_t_95
from kdlib.numerics import exact

ALL_EQUAL = "all differences are equal, no verdict"
EQUAL_TOLERANCE = 1e-12  # equal differences have, by rounding, a standard error of up to this fraction of their mean


def mean_and_std(values: np.ndarray | Sequence[float]) -> dict[str, float]:
    """Compute mean and standard deviation over replicas.

    Parameters
    ----------
    values : array-like, (R,)

    Returns
    -------
    dict
        {"mean", "std"}; std has the divisor R - 1 and is left out if R = 1.
    """
    row = np.asarray(values, dtype=np.float64)[None]
    mean = exact.mean(row, axis=1)
    if row.size == 1:
        return {"mean": float(mean[0])}
    square = exact.sum((row - mean[:, None]) * (row - mean[:, None]), axis=1)
    return {"mean": float(mean[0]), "std": float(np.sqrt(square / (row.size - 1))[0])}


def mean_and_std_over_splits(values: Sequence[np.ndarray]) -> dict[str, float]:
    """Compute `mean_and_std` over the replicas of a single split, or over the means of several splits.

    Parameters
    ----------
    values : sequence of S arrays, (R,) each
    """
    if len(values) == 1:
        return mean_and_std(values[0])
    return mean_and_std([exact.mean(np.asarray(own, dtype=np.float64)[None], axis=1)[0] for own in values])


def _gain(difference, unit, share):
    """Return mean, standard error sqrt(share) * std, and verdict by Student's t, of differences (n,), one a `unit`."""
    spread = mean_and_std(difference)
    mean = spread["mean"]
    degrees = len(difference) - 1
    if degrees == 0:
        return {"mean": mean, "verdict": f"one {unit}, no verdict"}
    error = math.sqrt(share) * spread["std"]
    verdict = "no significant difference"
    if abs(mean) > student_t_95(degrees) * error:
        verdict = "higher" if mean > 0 else "lower"
        if error <= EQUAL_TOLERANCE * abs(mean):
            verdict = ALL_EQUAL
    return {"mean": mean, "standard_error": error, "verdict": verdict}


def paired_gain(values: np.ndarray, control: np.ndarray) -> dict[str, float | str]:
    """Compare paired replicas on one split.

    Parameters
    ----------
    values, control : np.ndarray, (R,)
        A measure of the networks and of their controls, in the same order.

    Returns
    -------
    dict
        "mean" of values - control, its "standard_error" (left out if R = 1), and a "verdict": "higher" or "lower" if
        the 95 % confidence interval of the mean (Student's t) excludes zero, else "no significant difference". It is
        "one replica, no verdict" if R = 1, and ALL_EQUAL if all differences are the same and not 0.
    """
    difference = np.asarray(values, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    return _gain(difference, "replica", 1 / len(difference))


def corrected_resampled_gain(
    differences: np.ndarray, train_examples: int, test_examples: int
) -> dict[str, float | str]:
    """Compare on several splits, by the corrected resampled t-test.

    Training sets of splits overlap, so their gains are correlated. The test therefore multiplies their variance by
    1/S + test_examples / train_examples, where the plain t-test has 1/S; S - 1 degrees of freedom.

    Parameters
    ----------
    differences : np.ndarray, (S,)
        Mean gain of each split.
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
    return _gain(differences, "split", 1 / len(differences) + test_examples / train_examples)
