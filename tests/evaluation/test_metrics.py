"""Measures by hand, against scikit-learn, and their identities."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss

from kdlib.backends.arithmetic import EXACT
from kdlib.evaluation import metrics
from kdlib.learning.losses import softmax

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(2, 40, 5)) * 2
LABELS = np.concatenate([np.arange(5), RANDOM.integers(0, 5, 35)])
P = softmax(LOGITS, EXACT)


def test_against_scikit_learn():
    for k in range(2):
        assert metrics.accuracy(LOGITS, LABELS)[k] == accuracy_score(LABELS, P[k].argmax(1))
        assert metrics.negative_log_likelihood(LOGITS, LABELS)[k] == pytest.approx(log_loss(LABELS, P[k]), rel=1e-12)
        assert np.array_equal(metrics.confusion(LOGITS, LABELS)[k], confusion_matrix(LABELS, P[k].argmax(1)))


def test_brier_score_by_hand():
    logits = np.log([[[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]])
    expected = (0.25 + 0.0625 + 0.0625 + 0.01 + 0.64 + 0.81) / 2
    assert metrics.brier_score(logits, np.array([0, 2])).item() == pytest.approx(expected, rel=1e-12)


def test_calibration_error_by_hand():
    """Two bins: confidence 0.9, right 1 of 2; confidence 0.6, right 2 of 2."""
    logits = np.log([[[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]]])
    labels = np.array([0, 1, 0, 1])
    expected = (2 * abs(0.5 - 0.9) + 2 * abs(1 - 0.6)) / 4
    assert metrics.expected_calibration_error(logits, labels).item() == pytest.approx(expected, rel=1e-12)


def test_a_network_that_is_sure_and_right_is_calibrated():
    logits = 1000 * np.eye(5)[LABELS][None]
    assert metrics.expected_calibration_error(logits, LABELS).item() == 0
    assert metrics.brier_score(logits, LABELS).item() == 0


def test_bins_hold_every_example():
    count, confidence, correct = metrics.reliability(LOGITS, LABELS)
    assert count.sum(axis=1).tolist() == [40, 40]
    np.testing.assert_allclose(confidence.sum(axis=1), P.max(-1).sum(axis=1))
    np.testing.assert_allclose(correct.sum(axis=1) / 40, metrics.accuracy(LOGITS, LABELS))


def test_fidelity_to_itself_is_perfect():
    assert metrics.agreement(LOGITS[:1], LOGITS[0]).item() == 1
    assert abs(metrics.teacher_divergence(LOGITS[:1], LOGITS[0]).item()) < 1e-15  # log rounds to 1 ulp


def test_divergence_from_the_teacher():
    expected = (P[1] * np.log(P[1] / P[0])).sum(-1).mean()
    assert metrics.teacher_divergence(LOGITS[:1], LOGITS[1]).item() == pytest.approx(expected, rel=1e-12)
    assert metrics.agreement(LOGITS[:1], LOGITS[1]).item() == (P[0].argmax(1) == P[1].argmax(1)).mean()


class TestBiasShift:
    ABSENT = np.array([False, False, True])

    def errors(self, logits, labels, shift):
        return (np.argmax(logits + shift * self.ABSENT, axis=-1) != labels).sum()

    def test_by_hand(self):
        # Margins over the absent class: 1, 3 and 2. The second is right at once, the others if it wins there.
        logits = np.array([[[4.0, 0, 3], [4, 0, 1], [0, 5, 3]]])
        assert metrics.bias_shift(logits, np.array([2, 0, 2]), self.ABSENT).tolist() == [2.5]

    def test_no_other_shift_leaves_fewer_errors(self):
        random = np.random.default_rng(0)
        logits, labels = random.normal(size=(4, 60, 3)), random.integers(0, 3, 60)
        for replica, shift in zip(logits, metrics.bias_shift(logits, labels, self.ABSENT), strict=True):
            least = min(self.errors(replica, labels, other) for other in np.linspace(-9, 9, 2001))
            assert self.errors(replica, labels, shift) <= least
