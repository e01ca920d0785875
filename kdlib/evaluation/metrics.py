"""Metrics of logits (R, n, classes) against labels (n,): one float64 result for each of R replicas.

All sums are exact (`kdlib.numerics.exact`), whatever arithmetic trained the network. Logits may be larger than memory:
only a block of rows is converted at a time.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.io.chunks import zeros_or_tempfile
from kdlib.learning import losses
from kdlib.learning.labels import one_hot
from kdlib.numerics import exact

CALIBRATION_BINS = 15
BLOCK_LOGITS = 1 << 18  # logits in a block, at most


def _blocks(logits):
    rows = max(1, BLOCK_LOGITS // (logits.shape[0] * logits.shape[-1]))
    return [slice(start, start + rows) for start in range(0, logits.shape[-2], rows)]


def _each(function, logits, *others):
    """Apply a function (R, m, classes), ... -> (R, m) to blocks of m rows, in float64; return (R, n)."""
    results = [
        function(logits[:, block].astype(np.float64), *(other[block] for other in others)) for block in _blocks(logits)
    ]
    return np.concatenate(results, axis=1)


def predictions(logits: np.ndarray) -> np.ndarray:
    """Return the class of the largest logit, the first one if several are largest: (R, n) int64."""
    return np.argmax(logits, axis=-1)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the fraction of examples whose prediction is the label, (R,)."""
    return exact.mean((predictions(logits) == labels).astype(np.float64), axis=1)


def negative_log_likelihood(
    logits: np.ndarray, labels: np.ndarray, changed: Callable[[np.ndarray], np.ndarray] = lambda block: block
) -> np.ndarray:
    """Return the mean of - log p(label).

    Parameters
    ----------
    logits : np.ndarray, (R, n, classes)
    labels : np.ndarray, (n,)
    changed : callable, optional
        Applied to each block of the logits first, (R, m, classes) float64.

    Returns
    -------
    np.ndarray, (R,)
        In nats.
    """

    def loss(logits, labels):
        return losses.cross_entropy(changed(logits), one_hot(labels, logits.shape[-1]), EXACT)

    return exact.mean(_each(loss, logits, labels), axis=1)


def brier_score(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean over the examples of sum_i (p_i - t_i)^2, between 0 and 2: (R,).

    References
    ----------
    Brier, "Verification of Forecasts Expressed in Terms of Probability" (1950).
    """

    def score(logits, labels):
        difference = losses.softmax(logits, EXACT) - one_hot(labels, logits.shape[-1])
        return exact.sum(difference * difference, axis=-1)

    return exact.mean(_each(score, logits, labels), axis=1)


def reliability(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum confidence and accuracy in 15 bins of confidence, of equal widths.

    Parameters
    ----------
    logits : np.ndarray, (R, n, classes)
    labels : np.ndarray, (n,)

    Returns
    -------
    count : np.ndarray, (R, 15)
        Examples in each bin.
    confidence : np.ndarray, (R, 15)
        Sum of their largest probabilities.
    accuracy : np.ndarray, (R, 15)
        How many of them are predicted correctly.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks" (2017), section 2.
    """
    confidence = _each(lambda block: np.maximum.reduce(losses.softmax(block, EXACT), axis=-1), logits)
    correct = (predictions(logits) == labels).astype(np.float64)
    # Bin k is (k / 15, (k + 1) / 15].
    bins = np.minimum(np.maximum(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0), CALIBRATION_BINS - 1)

    def sums(values):
        return np.stack([exact.sum((bins == k) * values, axis=1) for k in range(CALIBRATION_BINS)], axis=1)

    return sums(np.ones_like(confidence)), sums(confidence), sums(correct)


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean of |accuracy - confidence| over 15 bins, weighted by their shares of the examples: (R,).

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks" (2017), section 2.
    """
    count, confidence, correct = reliability(logits, labels)
    return exact.sum(np.abs(correct - confidence), axis=1) / exact.sum(count, axis=1)


def confusion(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count examples by label and prediction: (R, classes, classes)."""
    classes = logits.shape[-1]
    cells = labels * classes + predictions(logits)
    return np.stack([np.bincount(row, minlength=classes * classes).reshape(classes, classes) for row in cells])


def recall_by_class(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return for each class the fraction of its examples that are predicted correctly.

    Parameters
    ----------
    logits : np.ndarray, (R, n, classes)
    labels : np.ndarray, (n,)

    Returns
    -------
    np.ndarray, (R, classes)
        NaN for a class without examples.
    """
    counts = np.bincount(labels, minlength=logits.shape[-1])
    correct = np.diagonal(confusion(logits, labels), axis1=1, axis2=2)
    return np.where(counts > 0, correct / np.maximum(counts, 1), np.nan)


def balanced_accuracy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean of `recall_by_class` over the classes that have examples, (R,).

    References
    ----------
    Brodersen et al., "The Balanced Accuracy and Its Posterior Distribution" (2010).
    """
    return exact.mean(recall_by_class(logits, labels)[:, np.unique(labels)], axis=1)


def macro_f1(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean of the classes' F1, 2 TP / (2 TP + FP + FN), over those that have examples or predictions: (R,).

    References
    ----------
    Opitz and Burst, "Macro F1 and Macro F1" (2019).
    """
    means = []
    for counts in confusion(logits, labels):
        doubled = 2 * np.diagonal(counts)
        total = np.sum(counts, axis=0) + np.sum(counts, axis=1)  # lint: integer sum
        means.append(exact.mean((doubled[total > 0] / total[total > 0])[None], axis=1)[0])
    return np.array(means)


def _scores(logits):
    """Return what ranks the examples: (R, 1, n) the second of two logits less the first, or (R, classes, n) softmax."""
    if logits.shape[-1] == 2:
        return _each(lambda block: block[..., 1] - block[..., 0], logits)[:, None]
    scores = zeros_or_tempfile((logits.shape[0], logits.shape[2], logits.shape[1]), np.float64)
    for block in _blocks(logits):
        scores[..., block] = np.swapaxes(losses.softmax(logits[:, block].astype(np.float64), EXACT), 1, 2)
    return scores


def _counts_above(scores, positive):
    """Count the positive examples and all examples with at least a score, for each score from the highest: two (m,)."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    return np.cumsum(positive[order])[ends], ends + 1  # lint: integer sum


def _mean_over_rankings(of_counts, logits, labels):
    """Apply a function of `_counts_above` to each class's ranking, or to the second of two; return the means, (R,)."""
    counts = np.bincount(labels, minlength=logits.shape[-1])
    ranked = np.array([1]) if len(counts) == 2 else np.arange(len(counts))
    columns = np.flatnonzero((counts[ranked] > 0) & (counts[ranked] < len(labels)))
    if not columns.size:
        return np.full(len(logits), np.nan)
    scores = _scores(logits)
    values = [[of_counts(*_counts_above(own[k], labels == ranked[k])) for k in columns] for own in scores]
    return exact.mean(np.array(values), axis=1)


def roc_auc(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve.

    It is the share of the pairs of an example of the class and one of another class in which the former has the higher
    score; equal scores count as half a pair. All is in integers up to one division.

    Parameters
    ----------
    logits : np.ndarray, (R, n, classes)
    labels : np.ndarray, (n,)

    Returns
    -------
    np.ndarray, (R,)
        Of two classes that of the second one. Of more the mean over the classes that have examples, each against all
        others. NaN if all examples have one class.

    References
    ----------
    Hanley and McNeil, "The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC) Curve" (1982).
    """

    def area(positive, above):
        negative = above - positive
        doubled = np.diff(negative, prepend=0) * (positive + np.append(0, positive[:-1]))
        return int(np.sum(doubled)) / (2 * int(positive[-1]) * int(negative[-1]))  # lint: integer sum

    return _mean_over_rankings(area, logits, labels)


def average_precision(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean precision over the examples of the class, each at its own score as the threshold.

    Equal scores are one threshold, and nothing is interpolated, as in scikit-learn.

    Parameters and result as of `roc_auc`.

    References
    ----------
    Su, Yuan and Zhu, "A Relationship between the Average Precision and the Area under the ROC Curve" (2015).
    """

    def mean_precision(positive, above):
        return exact.sum((np.diff(positive, prepend=0) * positive / above)[None], axis=1)[0] / positive[-1]

    return _mean_over_rankings(mean_precision, logits, labels)


def agreement(logits: np.ndarray, logits_teacher: np.ndarray) -> np.ndarray:
    """Return the fraction of examples on which student and teacher predict the same class.

    Parameters
    ----------
    logits : np.ndarray, (R, n, classes)
    logits_teacher : np.ndarray, (n, classes)

    Returns
    -------
    np.ndarray, (R,)

    References
    ----------
    Stanton et al., "Does Knowledge Distillation Really Work?" (2021), equation 3.
    """
    return exact.mean((predictions(logits) == predictions(logits_teacher)).astype(np.float64), axis=1)


def teacher_divergence(logits: np.ndarray, logits_teacher: np.ndarray) -> np.ndarray:
    """Return the mean of KL(teacher || student) at temperature 1, in nats.

    Parameters and result as of `agreement`.

    References
    ----------
    Stanton et al., "Does Knowledge Distillation Really Work?" (2021), equation 4.
    """

    def divergence(logits, teacher):
        return losses.kd_divergence(logits, losses.softmax(teacher.astype(np.float64)[None], EXACT), 1.0, EXACT)

    return exact.mean(_each(divergence, logits, logits_teacher), axis=1)


def bias_shift(logits: np.ndarray, labels: np.ndarray, absent: np.ndarray) -> np.ndarray:
    """Return the number that leaves the fewest errors when it is added to the logits of the absent classes.

    Parameters
    ----------
    logits : np.ndarray, (R, n, classes)
    labels : np.ndarray, (n,)
    absent : np.ndarray, (classes,) bool
        Some classes but not all, such as those that the transfer set lacks.

    Returns
    -------
    np.ndarray, (R,)
        float64. If several numbers are equally good, it is the middle of the widest range of them.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), section 3.
    """
    shifts = []
    for replica in logits.astype(np.float64):
        of_present = np.where(absent, -np.inf, replica)
        of_absent = np.where(~absent, -np.inf, replica)
        # An absent class is predicted if the shift is greater than the margin of the example.
        margin = np.max(of_present, axis=1) - np.max(of_absent, axis=1)
        order = np.argsort(margin, kind="stable")
        gained = (np.argmax(of_absent, axis=1) == labels).astype(int) - (np.argmax(of_present, axis=1) == labels)
        correct = np.concatenate([[0], np.cumsum(gained[order])])  # lint: integer sum
        edges = np.concatenate([[margin[order[0]] - 1], margin[order], [margin[order[-1]] + 1]])
        widths = np.where(correct == np.max(correct), np.diff(edges), -1)
        best = int(np.argmax(widths))
        shifts.append((edges[best] + edges[best + 1]) / 2)
    return np.array(shifts)


class Metric(NamedTuple):
    """A measure of logits against labels, and how reports show it.

    Parameters
    ----------
    function : callable
        It takes logits (R, n, classes) and labels (n,), and returns (R,).
    name : str
    unit : str
        `%`, `nats` or empty. What is shown in percent is a fraction, and its differences are shown in points.
    higher_is_better : bool
    """

    function: Callable[[np.ndarray, np.ndarray], np.ndarray]
    name: str
    unit: str = "%"
    higher_is_better: bool = True

    @property
    def factor(self) -> int:
        """From the function's value to the unit."""
        return 100 if self.unit == "%" else 1

    @property
    def decimals(self) -> int:
        """Decimals to show."""
        return 2 if self.unit == "%" else 4


# The report and the table have each of them, in this order.
METRICS = {
    "accuracy": Metric(accuracy, "accuracy"),
    "balanced_accuracy": Metric(balanced_accuracy, "balanced accuracy"),
    "macro_f1": Metric(macro_f1, "macro-F1"),
    "roc_auc": Metric(roc_auc, "ROC AUC"),
    "average_precision": Metric(average_precision, "average precision"),
    "nll": Metric(negative_log_likelihood, "NLL", "nats", higher_is_better=False),
    "ece": Metric(expected_calibration_error, "calibration error", higher_is_better=False),
    "brier": Metric(brier_score, "Brier score", "", higher_is_better=False),
}
FIDELITY = {"agreement": agreement, "kl": teacher_divergence}
