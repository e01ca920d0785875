"""Losses: gradients against finite differences and PyTorch, and the identities that define them."""

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.io.errors import UserError
from kdlib.learning import labels, losses
from kdlib.learning.lazy_targets import LazyTargets
from kdlib.learning.objectives import CrossEntropy, Distillation, Objective
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.standardization import standardize
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams

CLASSES = 6
RANDOM = np.random.default_rng(0)
STUDENT = RANDOM.normal(size=(2, 5, CLASSES)) * 3
TEACHER = RANDOM.normal(size=(5, CLASSES)) * 3
LABELS = RANDOM.integers(0, CLASSES, 5)
ONE_HOT = np.eye(CLASSES)[LABELS]
UNLABELED = np.where(np.arange(5)[:, None] < 2, 0.0, ONE_HOT)

OBJECTIVES = {
    **{name: Distillation(ONE_HOT, TEACHER, loss=name, temperature=3.0, alpha=0.5) for name in losses.LOSSES},
    "ce": CrossEntropy(ONE_HOT, EXACT),
    "ls": CrossEntropy(labels.smooth_labels(ONE_HOT, 0.1), EXACT),
    "kd without T^2": Distillation(ONE_HOT, TEACHER, EXACT, temperature=4.0, alpha=0.7, scale_by_t2=False),
    "kd, some unlabelled": Distillation(UNLABELED, TEACHER, EXACT, temperature=2.0, alpha=0.3),
    "wttm, some unlabelled": Distillation(UNLABELED, TEACHER, EXACT, loss="wttm", temperature=2.0, alpha=0.3),
    "dist, some unlabelled": Distillation(
        UNLABELED, TEACHER, EXACT, loss="dist", temperature=2.0, alpha=0.3, inter_class=0.7, intra_class=2.0
    ),
    "dist, two temperatures and alphas": Distillation(
        UNLABELED, TEACHER, EXACT, loss="dist", temperature=[1.0, 5.0], alpha=[0.3, 0.8]
    ),
    "dist, standardized": Distillation(UNLABELED, TEACHER, EXACT, loss="dist", alpha=0.4, standardize_logits=True),
    "kd, standardized": Distillation(ONE_HOT, TEACHER, EXACT, temperature=2.0, alpha=0.9, standardize_logits=True),
    "dkd, standardized": Distillation(ONE_HOT, TEACHER, EXACT, loss="dkd", alpha=1.0, standardize_logits=True),
}


def value(objective, logits):
    return objective.value(logits, *objective.targets)


def gradient(objective, logits):
    return objective.gradient(logits, *objective.targets)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_is_that_of_the_value(name):
    objective, step = OBJECTIVES[name], 1e-5
    numeric = np.empty_like(STUDENT)
    for row, c in np.ndindex(STUDENT.shape[1:]):
        shift = np.zeros(STUDENT.shape[1:])
        shift[row, c] = step
        change = value(objective, STUDENT + shift) - value(objective, STUDENT - shift)
        assert objective.relational or not np.delete(change, row, axis=1).any()
        numeric[:, row, c] = change.sum(axis=1) / (2 * step)
    analytic = gradient(objective, STUDENT)
    # Central differences err by step^2 f''' / 6 and by eps f / step: about 1e-9 for losses of about 10.
    assert np.abs(analytic - numeric).max() < 1e-7, f"analytic\n{analytic}\nnumeric\n{numeric}"


def test_the_logarithm_of_soft_targets_is_computed_once_with_the_same_bits():
    soft = losses.softmax(TEACHER * [1, 300, 1, 1, 1, 1], EXACT, 1.5)[None]
    assert (soft == 0).any()
    known = losses.kd_divergence(STUDENT, soft, 1.5, EXACT, losses.log_or_zero(soft, EXACT))
    assert (known == losses.kd_divergence(STUDENT, soft, 1.5, EXACT)).all()
    assert (OBJECTIVES["kd"].targets[2] == losses.log_or_zero(OBJECTIVES["kd"].targets[1], EXACT)).all()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_terms_of_compiled_loops_are_value_and_gradient(name):
    """A loss that `softens` promises it: compiled steps never call its value or gradient."""
    objective = OBJECTIVES[name]
    terms = objective.as_softmax_terms(len(STUDENT))
    if terms is None:
        return
    found = np.zeros_like(STUDENT)
    total = np.zeros(STUDENT.shape[:2])
    for index, log_index, temperature, weight in terms:
        target = objective.targets[index]
        logs = None if log_index is None else objective.targets[log_index]
        found += weight * (losses.softmax(STUDENT, EXACT, temperature) - target) / temperature
        total += weight[..., 0] * EXACT.divergence(STUDENT, target, logs, temperature)
    np.testing.assert_allclose(found, gradient(objective, STUDENT), rtol=1e-12, atol=1e-15)
    assert (total == value(objective, STUDENT)).all()


def test_targets_on_request_have_the_shape_of_what_they_compute():
    one_hot, teacher = (LazyTargets((1, 5, CLASSES), lambda g, rows, x=x: x[rows], "") for x in (UNLABELED, TEACHER))
    objective = Distillation(one_hot, teacher, EXACT, temperature=[2.0, 3.0])
    shapes = [target.to_array().shape for target in objective.targets]
    assert shapes == [(1, 5, CLASSES), (2, 5, CLASSES), (2, 5, CLASSES), (1, 5, 1)]
    assert [target.shape for target in objective.targets] == shapes


def test_kd_against_torch():
    torch = pytest.importorskip("torch", reason="no PyTorch (pip install torch)")
    functional = torch.nn.functional
    temperature, alpha = 4.0, 0.7
    student = torch.tensor(STUDENT[0], requires_grad=True)
    soft = functional.log_softmax(student / temperature, dim=1)
    targets = functional.softmax(torch.tensor(TEACHER) / temperature, dim=1)
    divergence = functional.kl_div(soft, targets, reduction="none").sum(1)
    hard = functional.cross_entropy(student, torch.tensor(LABELS), reduction="none")
    loss = alpha * temperature**2 * divergence + (1 - alpha) * hard
    loss.sum().backward()
    ours = Distillation(ONE_HOT, TEACHER, temperature=temperature, alpha=alpha)
    np.testing.assert_allclose(value(ours, STUDENT)[0], loss.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(gradient(ours, STUDENT)[0], student.grad.numpy(), rtol=1e-12, atol=1e-14)


def test_at_t_1_and_alpha_0_it_is_cross_entropy_bit_for_bit():
    objective = Distillation(ONE_HOT, TEACHER, EXACT, temperature=1.0, alpha=0.0)
    assert np.array_equal(value(objective, STUDENT), value(OBJECTIVES["ce"], STUDENT))
    assert np.array_equal(gradient(objective, STUDENT), gradient(OBJECTIVES["ce"], STUDENT))


def test_smoothing_by_0_is_cross_entropy_bit_for_bit():
    objective = CrossEntropy(labels.smooth_labels(ONE_HOT, 0.0), EXACT)
    assert np.array_equal(value(objective, STUDENT), value(OBJECTIVES["ce"], STUDENT))


@pytest.mark.parametrize("loss", losses.LOSSES)
def test_a_student_equal_to_its_teacher_has_zero_gradient(loss):
    objective = Distillation(ONE_HOT, TEACHER, EXACT, loss=loss, temperature=4.0, alpha=1.0)
    student = TEACHER / 4.0 if loss == "wttm" else TEACHER  # which softens the teacher alone
    assert not gradient(objective, student[None].copy()).any()


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_divergence_is_cross_entropy_with_the_soft_targets_less_their_entropy(temperature):
    targets = losses.softmax(TEACHER[None], EXACT, temperature)
    entropy = -(targets * np.log(targets)).sum(-1)
    crossed = losses.cross_entropy(STUDENT / temperature, targets, EXACT)
    divergence = losses.kd_divergence(STUDENT, targets, temperature, EXACT)
    np.testing.assert_allclose(divergence, crossed - entropy, rtol=0, atol=1e-13)


def test_large_temperature_is_logit_matching():
    """T^2 KL tends to the squared distance of centred logits / (2 classes); the error falls as 1 / T."""
    centred = [z - z.mean(-1, keepdims=True) for z in (STUDENT, TEACHER)]
    matching = losses.logit_mse_gradient(*centred)
    errors = []
    for temperature in (100.0, 1000.0, 10000.0):
        objective = Distillation(ONE_HOT, TEACHER, EXACT, temperature=temperature, alpha=1.0)
        errors.append(np.abs(gradient(objective, STUDENT) - matching).max())
    assert errors[1] < errors[0] / 8
    assert errors[2] < errors[1] / 8


def test_t2_keeps_the_size_of_the_gradient():
    def size(scale_by_t2, temperature):
        objective = Distillation(
            ONE_HOT, TEACHER, EXACT, temperature=temperature, alpha=1.0, scale_by_t2=scale_by_t2
        )  # fmt: skip
        return np.abs(gradient(objective, STUDENT)).mean()

    assert 0.99 < size(True, 200.0) / size(True, 100.0) < 1.01
    assert 0.24 < size(False, 200.0) / size(False, 100.0) < 0.26


def test_dkd_with_beta_1_minus_p_is_kd():
    temperature = 3.0
    targets = losses.softmax(TEACHER[None], EXACT, temperature)
    beta = 1 - (targets * ONE_HOT).sum(-1)
    decoupled = losses.dkd_divergence(STUDENT, ONE_HOT, TEACHER, temperature, beta, EXACT)
    np.testing.assert_allclose(decoupled, losses.kd_divergence(STUDENT, targets, temperature, EXACT), rtol=1e-12)


def test_dkd_needs_labels():
    with pytest.raises(ValueError, match="loss: got 'dkd', and dkd needs a label for each"):
        Distillation(UNLABELED, TEACHER, EXACT, loss="dkd")


def test_wttm_by_hand():
    """U = sum p^(1 / T), times the KL from p^(1 / T) / U to the student's softmax at T = 1."""
    p = np.array([0.64, 0.32, 0.04])
    q = np.array([0.5, 0.3, 0.2])
    roots = np.sqrt(p)
    targets = roots / roots.sum()
    expected = roots.sum() * (targets * np.log(targets / q)).sum()
    objective = Distillation(np.array([0]), np.log(p)[None], EXACT, loss="wttm", temperature=2.0, alpha=1.0)
    np.testing.assert_allclose(value(objective, np.log(q)[None, None]), [[expected]], rtol=1e-13)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_dist_is_made_of_pearson_correlations(temperature):
    options = {"inter_class": 0.7, "intra_class": 2.0, "temperature": temperature}
    objective = Distillation(ONE_HOT, TEACHER, EXACT, loss="dist", alpha=1.0, **options)
    teacher = losses.softmax(TEACHER, EXACT, temperature)
    found = value(objective, STUDENT)
    for student, own in zip(losses.softmax(STUDENT, EXACT, temperature), found, strict=True):
        inter = [1 - np.corrcoef(pair)[0, 1] for pair in zip(student, teacher, strict=True)]
        intra = [1 - np.corrcoef(pair)[0, 1] for pair in zip(student.T, teacher.T, strict=True)]
        np.testing.assert_allclose(own, 0.7 * np.array(inter) + 2.0 * np.mean(intra), rtol=1e-12)
        np.testing.assert_allclose(own.mean(), 0.7 * np.mean(inter) + 2.0 * np.mean(intra), rtol=1e-12)


@pytest.mark.parametrize("arithmetic", [EXACT, FAST])
@pytest.mark.parametrize("constant", ["student", "teacher", "both"])
def test_dist_counts_no_correlation_with_what_is_constant(constant, arithmetic):
    """An example with equal probabilities, a batch of equal examples, a batch of one example."""
    flat = np.full((1, 4, CLASSES), 0.1)
    equal = np.repeat(STUDENT[:1, :1], 4, axis=1)
    for batch, part in (
        (flat, "inter_class"),
        (flat, "intra_class"),
        (equal, "intra_class"),
        (equal[:, :1], "intra_class"),
    ):
        varied = STUDENT[:1, : batch.shape[1]]
        student = varied if constant == "teacher" else batch
        teacher = (varied if constant == "student" else batch)[0]
        options = {"inter_class": 0.0, "intra_class": 0.0, part: 1.0}
        objective = Distillation(LABELS[: len(teacher)], teacher, arithmetic, loss="dist", alpha=1.0, **options)
        logits = student.astype(arithmetic.logits_dtype)
        assert (value(objective, logits) == 1).all()
        assert not gradient(objective, logits).any()


def test_of_two_classes_dist_teaches_by_the_batch_alone():
    options = {"loss": "dist", "alpha": 1.0, "temperature": 2.0}
    settings = [{"intra_class": 0.0}, {"inter_class": 0.0}]
    both = [Distillation(np.array([0, 1, 0, 1, 1]), TEACHER[:, :2], EXACT, **options, **each) for each in settings]
    over_classes, over_batch = (np.abs(gradient(objective, STUDENT[..., :2])).max() for objective in both)
    assert over_classes < 1e-12
    assert over_batch > 1e-3


def test_the_gradient_of_dist_does_not_shrink_as_t_grows():
    def size(temperature):
        objective = Distillation(ONE_HOT, TEACHER, EXACT, loss="dist", temperature=temperature, alpha=1.0)
        return np.abs(gradient(objective, STUDENT)).mean()

    assert 0.95 < size(1000.0) / size(100.0) < 1.05


def test_a_schedule_goes_linearly_from_its_start_to_its_end():
    assert [LinearSchedule(1, 4).at(epoch, 4) for epoch in range(4)] == [1, 2, 3, 4]
    assert [LinearSchedule(0.9, 0.1).at(epoch, 3) for epoch in range(3)] == [0.9, 0.5, 0.1]
    assert LinearSchedule(0.1, 0.7).at(6, 7) == 0.7
    assert LinearSchedule(2, 5).at(0, 1) == 2
    assert {LinearSchedule(0.3, 0.3).at(epoch, 50) for epoch in range(50)} == {0.3}


@pytest.mark.parametrize("options", [*({"loss": loss} for loss in losses.LOSSES), {"standardize_logits": True}])
def test_of_an_epoch_an_objective_with_schedules_is_the_one_with_its_numbers(options):
    settings = {"temperature": [LinearSchedule(1, 4), 2.0], "alpha": LinearSchedule(0, 1)}
    objective = Distillation(ONE_HOT, TEACHER, EXACT, **settings, **options)
    for epoch, (temperature, alpha) in enumerate(((1.0, 0.0), (2.5, 0.5), (4.0, 1.0))):
        plain = Distillation(ONE_HOT, TEACHER, EXACT, temperature=[temperature, 2.0], alpha=alpha, **options)
        of_epoch = objective.at(epoch, 3)
        for function in (value, gradient):
            assert np.array_equal(function(of_epoch, STUDENT), function(plain, STUDENT))


def test_a_training_asks_for_the_objective_of_each_epoch():
    """The mean loss that it reports is each epoch's own, and it ends where one by the listed numbers ends."""

    class Listed(Objective):
        arithmetic = EXACT

        def at(self, epoch, epochs):
            numbers = {"temperature": (1.0, 3.0, 5.0)[epoch], "alpha": (0.9, 0.5, 0.1)[epoch]}
            return Distillation(ONE_HOT, TEACHER, EXACT, **numbers)

    x, found = RANDOM.normal(size=(5, 3)), []
    settings = {"temperature": LinearSchedule(1, 5), "alpha": LinearSchedule(0.9, 0.1)}
    for objective in (Distillation(ONE_HOT, TEACHER, EXACT, **settings), Listed()):
        network, curve = train(x, objective, Recipe((4,), 3, batch_size=2), (x, ONE_HOT), Streams(0, "test"))
        found.append((network.parameters, curve["training_loss"], curve["validation_loss"]))
    assert all(map(np.array_equal, *found))


@pytest.mark.parametrize("name", ["alpha", "temperature"])
def test_an_objective_is_frozen(name):
    with pytest.raises(AttributeError, match=f"cannot assign to field '{name}'"):
        setattr(OBJECTIVES["kd"], name, 0.5)


def test_standardized_logits_do_not_see_shift_and_scale():
    objective = Distillation(ONE_HOT, TEACHER, EXACT, alpha=1.0, standardize_logits=True)
    np.testing.assert_allclose(value(objective, STUDENT), value(objective, 5 * STUDENT + 3), rtol=1e-9)


STANDARDIZED = {
    loss: {a: Distillation(ONE_HOT, TEACHER, a, loss=loss, alpha=1.0, standardize_logits=True) for a in (EXACT, FAST)}
    for loss in losses.LOSSES
}


@pytest.mark.parametrize("arithmetic", [EXACT, FAST])
@pytest.mark.parametrize("loss", STANDARDIZED)
@pytest.mark.parametrize("constant", [0.0, 0.1, -3.3, 1e4 / 7])
def test_through_the_std_of_constant_logits_passes_no_gradient(loss, arithmetic, constant):
    """All units of a small student are off at some examples: there its logits are its biases, at first all zero."""
    logits = np.full_like(STUDENT, constant, dtype=arithmetic.dtype)
    logits[:, 1:] = STUDENT[:, 1:]
    result = gradient(STANDARDIZED[loss][arithmetic], logits)
    assert not result[:, 0].any()
    assert result[:, 1:].any(axis=-1).all()
    assert np.isfinite(value(STANDARDIZED[loss][arithmetic], logits)).all()


@pytest.mark.parametrize("loss", STANDARDIZED)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_above_the_least_std_the_gradient_is_that_of_the_value(loss, scale):
    """Standardized logits do not see the scale: the value is the same, the gradient its inverse times as large."""
    objective = STANDARDIZED[loss][EXACT]
    np.testing.assert_allclose(value(objective, scale * STUDENT), value(objective, STUDENT), rtol=1e-9)
    np.testing.assert_allclose(scale * gradient(objective, scale * STUDENT), gradient(objective, STUDENT), rtol=1e-6)


@pytest.mark.parametrize("loss", STANDARDIZED)
def test_standardized_logits_of_two_classes_are_refused(loss):
    signs, _ = standardize(STUDENT[..., :2], EXACT)
    np.testing.assert_allclose(np.abs(signs), 1, rtol=1e-9)
    with pytest.raises(
        UserError, match=r"distill\.standardize_logits: got true with two classes.*three classes or more"
    ):
        Distillation(ONE_HOT[:, :2], TEACHER[:, :2], EXACT, loss=loss, standardize_logits=True)


def test_an_unlabelled_example_hears_only_the_teacher():
    mixed = gradient(OBJECTIVES["kd, some unlabelled"], STUDENT)
    teacher = gradient(Distillation(ONE_HOT, TEACHER, EXACT, temperature=2.0, alpha=1.0), STUDENT)
    both = gradient(Distillation(ONE_HOT, TEACHER, EXACT, temperature=2.0, alpha=0.3), STUDENT)
    assert np.array_equal(mixed[:, :2], teacher[:, :2])
    assert np.array_equal(mixed[:, 2:], both[:, 2:])


def test_softmax_by_hand():
    logits = np.log(np.array([[[1.0, 2.0, 5.0]]]))
    np.testing.assert_allclose(losses.softmax(logits, EXACT), [[[0.125, 0.25, 0.625]]], rtol=1e-14)
    squares = np.log(np.array([[[1.0, 4.0, 25.0]]]))
    np.testing.assert_allclose(losses.softmax(squares, EXACT, 2.0), [[[0.125, 0.25, 0.625]]], rtol=1e-14)


def test_extreme_logits_stay_finite():
    logits = np.array([[[1e4, 0.0, -1e4]]])
    assert losses.softmax(logits, EXACT).tolist() == [[[1.0, 0.0, 0.0]]]
    assert losses.cross_entropy(logits, np.array([0.0, 0.0, 1.0]), EXACT).item() == 2e4
