"""Measures by hand, against scikit-learn, and their identities."""

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    recall_score,
    roc_auc_score,
)

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


def drawn(seed):
    """Logits (2, n, classes) of few values, so that there are ties, and labels; a class may have no examples."""
    random = np.random.default_rng(seed)
    classes = int(random.integers(2, 6))
    n = int(random.integers(8, 60))
    logits = random.integers(-2, 3, size=(2, n, classes)) / 2
    return logits, np.concatenate([[0, 1], random.choice(classes, n - 2, p=random.dirichlet(np.ones(classes)))])


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_measures_for_rare_classes_against_scikit_learn(first):
    for seed in range(first, first + 50):
        logits, labels = drawn(seed)
        classes = logits.shape[-1]
        present = [1] if classes == 2 else np.unique(labels)
        for k, replica in enumerate(logits):
            predicted = replica.argmax(1)
            known = np.unique(labels)
            recall = recall_score(labels, predicted, labels=known, average=None, zero_division=0)
            scores = (replica[:, 1] - replica[:, 0])[:, None][:, [0, 0]] if classes == 2 else softmax(replica, EXACT)
            pairs = [(labels == c, scores[:, c]) for c in present]
            expected = {
                "balanced_accuracy": np.mean(recall),  # of scikit-learn's, which drops the other classes with a warning
                "macro_f1": f1_score(labels, predicted, average="macro"),
                "roc_auc": np.mean([roc_auc_score(*pair) for pair in pairs]),
                "average_precision": np.mean([average_precision_score(*pair) for pair in pairs]),
            }
            for name, value in expected.items():
                found = metrics.METRICS[name].function(logits, labels)[k]
                assert found == pytest.approx(value, rel=1e-12), (name, seed)
            assert metrics.recall_by_class(logits, labels)[k, known].tolist() == pytest.approx(recall.tolist())
            if len(known) == classes:
                assert metrics.balanced_accuracy(logits, labels)[k] == pytest.approx(
                    balanced_accuracy_score(labels, predicted), rel=1e-12
                )


def test_several_classes_one_against_the_rest_are_scikit_learns():
    for k in range(2):
        expected = roc_auc_score(LABELS, P[k], multi_class="ovr", average="macro")
        assert metrics.roc_auc(LOGITS, LABELS)[k] == pytest.approx(expected, rel=1e-12)
        expected = average_precision_score(LABELS, P[k], average="macro")
        assert metrics.average_precision(LOGITS, LABELS)[k] == pytest.approx(expected, rel=1e-12)


def test_the_area_under_the_roc_curve_counts_pairs():
    """Positives 3 and 1, negatives 2, 1 and 0: of six pairs 3 > 2, 3 > 1, 3 > 0, 1 > 0, and 1 = 1."""
    logits = np.array([[[0, 3], [0, 1], [0, 2], [0, 1], [0, 0.0]]])
    labels = np.array([1, 1, 0, 0, 0])
    assert metrics.roc_auc(logits, labels).tolist() == [4.5 / 6]
    assert metrics.average_precision(logits, labels).item() == pytest.approx((1 + 2 / 4) / 2, rel=1e-15)


def test_the_order_of_the_examples_is_no_matter():
    logits, labels = drawn(3)
    order = np.random.default_rng(0).permutation(len(labels))
    for name, metric in metrics.METRICS.items():
        assert np.array_equal(metric.function(logits, labels), metric.function(logits[:, order], labels[order])), name


def test_many_rows_are_ranked_as_few_are(monkeypatch):
    expected = metrics.roc_auc(LOGITS, LABELS)
    monkeypatch.setattr(metrics, "BLOCK_LOGITS", 20)
    assert np.array_equal(metrics.roc_auc(LOGITS, LABELS), expected)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("classes", [2, 3])
def test_examples_of_one_class_have_no_ranking_and_no_error(classes):
    logits = RANDOM.normal(size=(2, 4, classes))
    for label in range(classes):
        labels = np.full(4, label)
        assert np.isnan(metrics.roc_auc(logits, labels)).tolist() == [True, True]
        assert np.isnan(metrics.average_precision(logits, labels)).tolist() == [True, True]
        recall = metrics.recall_by_class(logits, labels)
        assert np.isnan(recall).sum(axis=1).tolist() == [classes - 1] * 2
        assert metrics.balanced_accuracy(logits, labels).tolist() == recall[:, label].tolist()
        assert np.isfinite(metrics.macro_f1(logits, labels)).all()


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
