"""What is measured. Logits are (R, n, classes), labels (n,); results are (R,), one for each replica, in float64.

All sums are exact (`kdlib.numerics.exact`), whatever arithmetic trained the network. Logits may be larger than memory:
of (R, n, classes) a block of rows is in work at a time.
"""

import numpy as np

from kdlib.backends.arithmetic import Exact
from kdlib.learning import losses
from kdlib.numerics import exact

CALIBRATION_BINS = 15
BLOCK = 1 << 18  # logits that are in work at a time


def _blocks(logits):
    rows = max(1, BLOCK // (logits.shape[0] * logits.shape[-1]))
    return [slice(start, start + rows) for start in range(0, logits.shape[-2], rows)]


def _each(function, logits, *others):
    """(R, n): a function of float64 logits (R, m, classes), and of the same m of the others, (..., m, ?)."""
    found = [function(logits[:, b].astype(np.float64), *(other[b] for other in others)) for b in _blocks(logits)]
    return np.concatenate(found, axis=1)


def predictions(logits):
    """Class of the largest logit, the first one if several are. (R, n) int64."""
    return np.argmax(logits, axis=-1)


def accuracy(logits, labels):
    """Fraction of examples whose prediction is the label."""
    return exact.mean((predictions(logits) == labels).astype(np.float64), axis=1)


def _one_hot(labels, classes):
    return (labels[:, None] == np.arange(classes)).astype(np.float64)


def negative_log_likelihood(logits, labels, changed=lambda block: block):
    """Mean of - log p(label), in nats. changed: a function of blocks of the logits, (R, m, classes) float64."""

    def loss(logits, labels):
        return losses.cross_entropy(changed(logits), _one_hot(labels, logits.shape[-1]), Exact)

    return exact.mean(_each(loss, logits, labels), axis=1)


def brier_score(logits, labels):
    """Mean over the examples of sum_i (p_i - t_i)^2, between 0 and 2. Brier (1950)."""

    def score(logits, labels):
        difference = losses.softmax(logits, Exact) - _one_hot(labels, logits.shape[-1])
        return exact.sum(difference * difference, axis=-1)

    return exact.mean(_each(score, logits, labels), axis=1)


def reliability(logits, labels):
    """(count, confidence, accuracy) by bin of confidence, each (R, 15): sums over the bin's examples, of equal widths.

    Reference: Guo et al., "On Calibration of Modern Neural Networks" (2017), section 2.
    """
    confidence = _each(lambda block: np.maximum.reduce(losses.softmax(block, Exact), axis=-1), logits)
    correct = (predictions(logits) == labels).astype(np.float64)
    # The bin (k / 15, (k + 1) / 15] has the number k.
    bins = np.minimum(np.maximum(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0), CALIBRATION_BINS - 1)
    return tuple(
        np.stack([exact.sum((bins == k) * values, axis=1) for k in range(CALIBRATION_BINS)], axis=1)
        for values in (np.ones_like(confidence), confidence, correct)
    )


def expected_calibration_error(logits, labels):
    """Sum over 15 bins of |accuracy - confidence| weighted by the bin's share of the examples. Guo et al. (2017)."""
    count, confidence, correct = reliability(logits, labels)
    return exact.sum(np.abs(correct - confidence), axis=1) / exact.sum(count, axis=1)


def confusion(logits, labels):
    """Counts (R, classes, classes) by label and prediction."""
    classes = logits.shape[-1]
    cells = labels * classes + predictions(logits)
    return np.stack([np.bincount(row, minlength=classes * classes).reshape(classes, classes) for row in cells])


def agreement(logits, logits_teacher):
    """Fraction of examples on which both predict the same class. Stanton et al., "Does Knowledge Distillation Really
    Work?" (2021), equation 3. logits_teacher: (n, classes)."""
    return exact.mean((predictions(logits) == predictions(logits_teacher)).astype(np.float64), axis=1)


def teacher_divergence(logits, logits_teacher):
    """Mean of KL(teacher || student) at temperature 1, in nats. Stanton et al. (2021), equation 4."""

    def divergence(logits, teacher):
        return losses.kd_divergence(logits, losses.softmax(teacher.astype(np.float64)[None], Exact), 1.0, Exact)

    return exact.mean(_each(divergence, logits, logits_teacher), axis=1)


def bias_shift(logits, labels, absent):
    """The number that, added to the logits of the `absent` classes, leaves the fewest errors, (R,) float64.

    absent: (classes,) bool, such as those that the transfer set lacks, some but not all. Of equally good numbers it is
    the middle of the widest range. Reference: Hinton, Vinyals and Dean (2015), section 3.
    """
    shifts = []
    for replica in logits.astype(np.float64):
        inside, outside = (np.where(mask, -np.inf, replica) for mask in (absent, ~absent))
        # An example goes to an absent class where the shift is greater than its margin.
        margin = np.max(inside, axis=1) - np.max(outside, axis=1)
        order = np.argsort(margin, kind="stable")
        gained = (np.argmax(outside, axis=1) == labels).astype(int) - (np.argmax(inside, axis=1) == labels)
        correct = np.concatenate([[0], np.cumsum(gained[order])])  # integers
        edges = np.concatenate([[margin[order[0]] - 1], margin[order], [margin[order[-1]] + 1]])
        widths = np.where(correct == np.max(correct), np.diff(edges), -1)
        best = int(np.argmax(widths))
        shifts.append((edges[best] + edges[best + 1]) / 2)
    return np.array(shifts)


MEASURES = {
    "accuracy": accuracy,
    "nll": negative_log_likelihood,
    "ece": expected_calibration_error,
    "brier": brier_score,
}
FIDELITY = {"agreement": agreement, "kl": teacher_divergence}
