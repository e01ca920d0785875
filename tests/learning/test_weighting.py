"""Weights of examples: the loss, the training, and what leaves every bit as it is."""

import os
from dataclasses import replace

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.backends.context import Context
from kdlib.backends.ranks import SINGLE_RANK
from kdlib.data.weights import class_factors, row_weights, weights_of_classes
from kdlib.io.errors import UserError
from kdlib.learning.checkpoints import Checkpoint
from kdlib.learning.lazy_targets import LazyTargets
from kdlib.learning.losses import LOSSES
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.steps import LayerSteps
from kdlib.learning.training import train
from kdlib.learning.validation import validate
from kdlib.learning.weighting import Weighted
from kdlib.numerics.streams import Streams
from tests.backends.forked_ranks import over

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(70, 6))
Y = (X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 0)
TEACHER = RANDOM.normal(size=(50, 4)) * 2
WEIGHTS = RANDOM.random(50) * 3
HELD_OUT = X[50:], Y[50:]
RECIPE = Recipe((9, 8), 3, 0.1, 16)
OBJECTIVES = {
    **{
        loss: Distillation(Y[:50], TEACHER, loss=loss, temperature=3.0, alpha=0.5)
        for loss in LOSSES
        if not LOSSES[loss].relational
    },
    "ce": CrossEntropy(Y[:50]),
    "some without a label": Distillation(np.where(np.arange(50) < 9, -1, Y[:50]), TEACHER),
    "a schedule": Distillation(Y[:50], TEACHER, temperature=LinearSchedule(1.0, 3.0)),
}


def bits(objective, validation=HELD_OUT, recipe=RECIPE):
    network, curve = train(X[:50], objective, recipe, validation)
    return network.parameters.tobytes(), *(values.tobytes() for values in curve.values())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_value_and_gradient_are_multiplied(name):
    """By finite differences too: the gradient is that of the weighted value."""
    objective = Weighted(OBJECTIVES[name], WEIGHTS).at(1, 3)
    logits = RANDOM.normal(size=(2, 50, 4)) * 2
    value = objective.value(logits, *objective.targets)
    inner = objective.objective
    assert (value == inner.value(logits, *inner.targets) * WEIGHTS).all()
    numeric = np.empty_like(logits)
    for c in range(4):
        step = 1e-5 * np.eye(4)[c]
        up, down = (objective.value(logits + sign * step, *objective.targets) for sign in (1, -1))
        numeric[..., c] = (up - down) / 2e-5
    assert np.abs(objective.gradient(logits, *objective.targets) - numeric).max() < 1e-6


@pytest.mark.parametrize("name", OBJECTIVES)
def test_weights_of_one_leave_every_bit(name):
    assert bits(Weighted(OBJECTIVES[name], np.ones(50)), (*HELD_OUT, np.ones(20))) == bits(OBJECTIVES[name])
    assert bits(Weighted(OBJECTIVES[name], WEIGHTS)) != bits(OBJECTIVES[name])


def test_weights_decide_by_what_is_validated():
    """Also in float32; only the ratios of the weights of validation rows matter."""
    weights = RANDOM.random(20)
    objective = CrossEntropy(Y[:50], FAST)
    recipe = Recipe((9,), 6, 0.5, 16)
    plain, weighted, doubled = (
        train(X[:50], objective, recipe, given)[1]
        for given in (HELD_OUT, (*HELD_OUT, weights), (*HELD_OUT, 2 * weights))
    )
    assert (plain["training_loss"] == weighted["training_loss"]).all()
    assert (weighted["validation_loss"] == doubled["validation_loss"]).all()
    assert (plain["validation_loss"] != weighted["validation_loss"]).all()
    assert (plain["validation_accuracy"] == weighted["validation_accuracy"]).all()


def test_the_validation_loss_is_the_weighted_mean():
    network, _ = train(X[:50], CrossEntropy(Y[:50]), RECIPE)
    one_hot = np.eye(4)[Y[50:]]
    weights = RANDOM.integers(0, 3, 20).astype(float)
    again = np.repeat(np.arange(20), weights.astype(int))
    repeated = validate(network, [(X[50:][again], one_hot[again])])[0]
    assert validate(network, [(X[50:], one_hot, weights)], SINGLE_RANK)[0] == pytest.approx(repeated, rel=1e-12)


def test_an_example_of_weight_zero_teaches_nothing():
    weights = np.where(np.arange(50) < 10, 0.0, 1.0)
    labels = np.where(np.arange(50) < 10, 0, Y[:50])
    assert bits(Weighted(CrossEntropy(labels), weights)) == bits(Weighted(CrossEntropy(Y[:50]), weights))
    assert bits(Weighted(CrossEntropy(labels), np.ones(50))) != bits(Weighted(CrossEntropy(Y[:50]), np.ones(50)))


def test_weights_on_request_are_those_of_the_array():
    lazy = LazyTargets((1, 50, 1), lambda g, rows: WEIGHTS[rows, None], "weights")
    assert bits(Weighted(CrossEntropy(Y[:50]), lazy)) == bits(Weighted(CrossEntropy(Y[:50]), WEIGHTS))


@pytest.mark.parametrize("name", ["kd", "ce", "a schedule", "mse"])
def test_compiled_steps_have_the_same_bits(name, monkeypatch):
    pytest.importorskip("numba", reason="no numba (pip install numba)")
    objective = Weighted(OBJECTIVES[name], np.where(WEIGHTS < 0.3, 0, WEIGHTS))
    expected = bits(objective)
    if name != "mse":  # which is no sum of softmax terms
        monkeypatch.delattr(LayerSteps, "__call__")
    network, curve = train(X[:50], objective, RECIPE, HELD_OUT, context=Context(kernels="numba"))
    assert (network.parameters.tobytes(), *(values.tobytes() for values in curve.values())) == expected


def test_compiled_steps_in_float32_weigh_too(monkeypatch):
    pytest.importorskip("numba", reason="no numba (pip install numba)")
    objective = Weighted(CrossEntropy(Y[:50], FAST), WEIGHTS)
    expected = train(X[:50], objective, RECIPE)[0].parameters
    monkeypatch.delattr(LayerSteps, "__call__")
    found = train(X[:50], objective, RECIPE, context=Context(kernels="numba"))[0].parameters
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_each_split_has_its_own_weights():
    """Two splits, two settings and two replicas in a stack: the bits of each network alone."""
    weights = RANDOM.random((2, 50, 1))
    labels = np.stack([np.eye(4)[Y[:50]], np.eye(4)[Y[20:]]])
    held_out = [(X[50:], Y[50:], RANDOM.random(20)), (X[:20], Y[:20], RANDOM.random(20))]
    recipe = replace(RECIPE, learning_rate=(0.1, 0.2, 0.1, 0.2))
    objective = Weighted(CrossEntropy(labels), weights)
    streams = Streams(0, "test", (0, 1, 0, 1, 2, 3, 2, 3))
    stack, curve = train([X[:50], X[20:]], objective, recipe, held_out, streams)
    for k, (split, rate, replica) in enumerate([(s, r, 2 * s + i) for s in (0, 1) for r in (0.1, 0.2) for i in (0, 1)]):
        objective = Weighted(CrossEntropy(labels[split]), weights[split, :, 0])
        own = replace(RECIPE, learning_rate=rate)
        x = (X[:50], X[20:])[split]
        network, alone = train(x, objective, own, held_out[split], Streams(0, "test", (replica,)))
        assert np.array_equal(network.parameters[0], stack.parameters[k])
        for name in curve:
            assert np.array_equal(alone[name][0], curve[name][k]), name


def test_a_training_goes_on_with_the_same_weights_only(tmp_path, caplog):
    recipe = replace(RECIPE, epochs=4)

    def fit(weights, epochs=None):
        def stop(epoch, loss, accuracy):
            if epoch == epochs:
                raise KeyboardInterrupt

        checkpoint = Checkpoint(tmp_path / "model", 1)
        objective = Weighted(CrossEntropy(Y[:50]), weights)
        held_out = (*HELD_OUT, weights[:20])
        return train(X[:50], objective, recipe, held_out, progress=stop, checkpoint=checkpoint)[0].parameters.tobytes()

    with pytest.raises(KeyboardInterrupt):
        fit(WEIGHTS, 2)
    with caplog.at_level("INFO"):
        other = fit(WEIGHTS + 1)
        assert "belongs to other parameters, data or code" in caplog.text
    (tmp_path / "model.checkpoint").unlink()
    with pytest.raises(KeyboardInterrupt):
        fit(WEIGHTS, 2)
    with caplog.at_level("INFO"):
        resumed = fit(WEIGHTS)
        assert "resumed after epoch 2" in caplog.text
    (tmp_path / "model.checkpoint").unlink()
    assert resumed == fit(WEIGHTS) != other


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no process")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_ranks_share_weighted_rows():
    objective = Weighted(OBJECTIVES["kd"], WEIGHTS)
    held_out = (*HELD_OUT, WEIGHTS[:20])

    def fit(ranks):
        network, curve = train(X[:50], objective, RECIPE, held_out, context=Context(ranks=ranks))
        return network.parameters.tobytes(), *(values.tobytes() for values in curve.values())

    assert set(over(3, fit)) == {bits(objective, held_out)}


def test_class_factors_are_balanced_as_in_scikit_learn():
    labels = np.repeat([0, 1, 2], [7, 2, 1])
    factors = class_factors(labels, 4, "balanced")
    utils = pytest.importorskip("sklearn.utils", reason="no scikit-learn (pip install scikit-learn)")
    expected = utils.compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert factors[:3] == pytest.approx(expected)
    assert factors[4] == 1.0
    assert np.mean(factors[labels]) == pytest.approx(1)


@pytest.mark.parametrize("class_weight", [None, "balanced", np.array([1.0, 0.3, 7.0, 1.0])])
def test_labelled_rows_have_the_mean_weight_one_at_any_scale(class_weight):
    labels = np.repeat([0, 1, 2], [20, 20, 10])
    factors = class_factors(labels, 4, class_weight, WEIGHTS)
    found = row_weights(factors, labels, WEIGHTS)
    assert found.mean() == pytest.approx(1)
    doubled = class_weight * 4 if isinstance(class_weight, np.ndarray) else class_weight
    again = row_weights(class_factors(labels, 4, doubled, WEIGHTS / 8), labels, WEIGHTS / 8)
    assert (again == found).all()
    unlabeled = row_weights(factors, np.array([-1, -1]), np.array([WEIGHTS[0], np.nan]))
    assert unlabeled == pytest.approx([WEIGHTS[0] / WEIGHTS.mean(), 1])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (WEIGHTS[:49], "weights: got 49; needs 50, one for each example"),
        (np.ones((50, 1)), r"weights: got the shape \(50, 1\); needs \(n,\), or \(G, n, 1\)"),
        (np.where(np.arange(50) < 1, -1.0, 1.0), "weights: needs numbers from 0 to 1e\\+100"),
        (np.where(np.arange(50) < 1, np.nan, 1.0), "weights: needs numbers from 0 to"),
        (["1"] * 50, "weights: needs numbers from 0 to"),
    ],
)
def test_what_are_no_weights_is_told(weights, message):
    with pytest.raises(UserError, match=message):
        Weighted(CrossEntropy(Y[:50], EXACT), weights)


@pytest.mark.parametrize("weights", [np.zeros(20), np.ones(19), np.full(20, np.nan), -np.ones(20)])
def test_what_are_no_weights_of_validation_rows_is_told(weights):
    with pytest.raises(UserError, match=r"validation: got weights \(\d+,\); needs a number from 0 to 1e\+100 for each"):
        train(X[:50], CrossEntropy(Y[:50]), RECIPE, (*HELD_OUT, weights))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"z": 1}, "key: got the class 'z'; the classes are a, b"),
        ({"a": -1}, "key: got -1 for a; needs a number from 0 to 1e\\+100"),
        ({"a": float("nan")}, "key: got nan for a"),
        ({"a": True}, "key: got True for a"),
    ],
)
def test_what_are_no_weights_of_classes_is_told(given, message):
    with pytest.raises(UserError, match=message):
        weights_of_classes(given, ["a", "b"], "key")


def test_a_loss_of_whole_batches_takes_no_weights():
    objective = Distillation(np.array([0, 1]), np.eye(2), loss="dist")
    with pytest.raises(UserError, match=r"^objective: its loss is of whole batches.*another distill\.loss"):
        Weighted(objective, np.ones(2))
