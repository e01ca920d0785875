"""The loop: learning, pairing, replicas, early stopping, and what ends it."""

import tracemalloc

import numpy as np
import pytest

from kdlib.backends import dense
from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.data.scaled import ScaledRows
from kdlib.io.errors import UserError
from kdlib.learning.epoch import draw_orders
from kdlib.learning.inputs import find_outlier
from kdlib.learning.network import Network
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.stopping import EarlyStopping
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams, stream

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(70, 6))
Y = (X[:, 0] > 0).astype(int) + 2 * (X[:, 1] > 0)
ONE_HOT = np.eye(4)[Y]


def fit(replicas=(0,), arithmetic=EXACT, objective=None, **recipe):
    objective = objective or CrossEntropy(ONE_HOT[:50], arithmetic)
    seed, x, progress = recipe.pop("seed", 0), recipe.pop("x", X[:50]), recipe.pop("progress", None)
    recipe = Recipe(**{"epochs": 3, "batch_size": 16, "hidden": (9, 8)} | recipe)
    return train(x, objective, recipe, (X[50:], ONE_HOT[50:]), Streams(seed, "test", replicas), progress)


RECIPES = {
    "sgd": {},
    "nesterov, dropout, linear": {"nesterov": True, "dropout": 0.3, "input_dropout": 0.1, "schedule": "linear"},
    "max norm, views": {"max_norm": 0.9, "views": 2},
    "adamw, early stopping": {
        "optimizer": "adamw",
        "weight_decay": 0.1,
        "learning_rate": 0.05,
        "patience": 1,
        "epochs": 9,
    },
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_replica_is_the_same_alone_and_in_a_stack(name):
    stack, curves = fit(replicas=(0, 1, 2), **RECIPES[name])
    for k in range(3):
        alone, curve = fit(replicas=(k,), **RECIPES[name])
        assert np.array_equal(alone.parameters[0], stack.parameters[k])
        for key in curves:
            assert np.array_equal(curve[key][0], curves[key][k], equal_nan=True)
    assert not np.array_equal(stack.parameters[0], stack.parameters[1])


def test_replicas_differ_in_their_weights_batches_and_masks(monkeypatch):
    """From equal weights, a batch of all examples leaves them equal bit for bit: the order within it is no matter."""

    def alike(network, generators):
        for weights, _ in network.layers:
            weights[:] = stream(0, "alike").random(weights.shape[1:]) - 0.5

    def equal(**recipe):
        first, second = fit(replicas=(0, 1), **recipe)[0].parameters
        return np.array_equal(first, second)

    assert not equal(batch_size=50)
    monkeypatch.setattr(Network, "initialize", alike)
    assert equal(batch_size=50)
    assert not equal(batch_size=16)
    monkeypatch.setitem(globals(), "X", np.ones_like(X))  # of examples that are all the same no order matters
    monkeypatch.setitem(globals(), "ONE_HOT", ONE_HOT[np.zeros(70, dtype=int)])
    assert equal(batch_size=16)
    assert not equal(batch_size=16, dropout=0.5)
    assert not equal(batch_size=16, input_dropout=0.5)
    monkeypatch.setitem(globals(), "X", np.ones_like(X) * np.arange(6))
    assert equal(batch_size=16)
    monkeypatch.setitem(globals(), "X", X * np.where(np.arange(70) < 25, 1, 2)[:, None])
    assert not equal(batch_size=16, views=2)


@pytest.mark.parametrize("arithmetic", [EXACT, FAST])
def test_it_learns(arithmetic):
    _, curve = fit(arithmetic=arithmetic, epochs=40)
    assert curve["training_loss"][0, -1] < 0.3 * curve["training_loss"][0, 0]
    assert curve["validation_accuracy"][0, -1] >= 0.8


def test_exact_and_fast_are_one_algorithm(monkeypatch):
    """With 20 bits an operand, which round in sums, exact is float32 to the last bits."""
    monkeypatch.setattr(dense, "remaining_bits", lambda inner, other=0: 40 - other)
    exact, fast = (fit(arithmetic=arithmetic, epochs=2)[0].parameters for arithmetic in (EXACT, FAST))
    # 9 steps amplify the rounding to 20 bits, 5e-7, by less than a thousand.
    assert np.abs(exact - fast).max() < 5e-4


def test_the_seed_decides():
    first, second, other = (fit(seed=seed)[0].parameters for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_baseline_and_student_start_alike_and_see_the_same_batches():
    """Distillation with alpha = 0 is the baseline, bit for bit: only the loss tells the two apart."""
    objective = Distillation(ONE_HOT[:50], RANDOM.normal(size=(50, 4)), EXACT, alpha=0.0)
    assert np.array_equal(fit()[0].parameters, fit(objective=objective)[0].parameters)


def test_one_epoch_by_hand():
    """One linear layer, one batch of everything: gradient x^T (p - t) / n from the initial weights."""
    options = {"hidden": (), "epochs": 1, "batch_size": 50, "momentum": 0.0, "arithmetic": FAST}
    network, _ = fit(learning_rate=0.5, **options)
    start, _ = fit(learning_rate=1e-30, **options)
    (weights, biases), x = start.layers[0], X[:50]
    logits = x @ weights[0] + biases[0]
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    delta = (p - ONE_HOT[:50]) / 50
    np.testing.assert_allclose(network.layers[0][0][0], weights[0] - 0.5 * x.T @ delta, atol=2e-6)
    np.testing.assert_allclose(network.layers[0][1][0], biases[0] - 0.5 * delta.sum(0), atol=2e-6)


def test_schedules():
    linear, constant = (Recipe(learning_rate=0.5, schedule=name) for name in ("linear", "constant"))
    assert [linear.learning_rate_at(step, 4) for step in range(4)] == [0.5, 0.375, 0.25, 0.125]
    assert constant.learning_rate_at(3, 4) == 0.5


@pytest.mark.parametrize("warmup", [0.0, 0.25, 1 / 3])
def test_cosine_falls_from_the_rate_to_zero_after_the_warm_up(warmup):
    steps, begin = 24, round(warmup * 24)
    found = [Recipe(learning_rate=0.5, schedule="cosine", warmup=warmup).learning_rate_at(k, steps) for k in range(24)]
    assert found[:begin] == [0.5 * (k + 1) / (warmup * steps) for k in range(begin)]
    expected = [0.25 * (1 + np.cos(np.pi * (k - begin) / (steps - begin))) for k in range(begin, steps)]
    np.testing.assert_allclose(found[begin:], expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_a_warm_up_rises_to_the_schedule_and_leaves_the_rest_alone(schedule):
    cold, warm = (Recipe(learning_rate=(0.5, 1.0), schedule=schedule, warmup=share) for share in (0.0, 0.4))
    for step in range(10):
        factor = min(1, (step + 1) / 4)
        assert np.array_equal(warm.learning_rate_at(step, 10, 4), cold.learning_rate_at(step, 10, 4) * factor)


@pytest.mark.parametrize("held", [1, 2, 50])
def test_the_loss_of_a_relational_objective_is_that_of_the_batches(held, monkeypatch):
    """Batches of 20, 20 and 10; the buffer holds one of them, two or all."""
    monkeypatch.setattr("kdlib.learning.epoch.MAX_BUFFERED_LOGITS", held * 20 * 4)
    monkeypatch.setattr("kdlib.learning.epoch.CHUNK_LOSSES", 7)
    objective = Distillation(Y[:50], X[:50, :4], FAST, loss="dist", alpha=0.7)
    network, curve = fit(arithmetic=FAST, objective=objective, epochs=1, batch_size=20, learning_rate=1e-30)
    streams = Streams(0, "test", (0,))
    (order,) = draw_orders(streams.generators("batches"), 50, streams.generators("views"))
    logits = network.logits(X[:50])
    batches = [order[start : start + 20] for start in (0, 20, 40)]
    expected = [objective.value(logits[:, b], *(target[:, b] for target in objective.targets))[0] for b in batches]
    np.testing.assert_allclose(curve["training_loss"][0, 0], np.concatenate(expected).mean(), rtol=1e-5)
    whole = objective.value(logits, *objective.targets).mean()
    assert abs(curve["training_loss"][0, 0] - whole) > 1e-3


def test_parameters_are_float32_numbers():
    parameters = fit()[0].parameters
    assert np.array_equal(parameters, parameters.astype(np.float32))


def test_early_stopping_keeps_the_best_epoch():
    long, curve = fit(patience=2, epochs=60, learning_rate=0.3, schedule="constant")
    loss = curve["validation_loss"][0]
    ran = int(np.isfinite(loss).sum())
    best = int(np.nanargmin(loss))
    assert ran < 60
    assert ran == best + 1 + 2
    short, _ = fit(epochs=best + 1, learning_rate=0.3, schedule="constant", keep="last")
    assert np.array_equal(long.parameters, short.parameters)


def test_without_patience_all_epochs_are_trained_and_the_best_one_is_kept():
    rates = {"epochs": 30, "learning_rate": 0.3, "schedule": "constant"}
    best, curve = fit(**rates)
    last, same_curve = fit(**rates, keep="last")
    losses = curve["validation_loss"][0]
    assert np.array_equal(losses, same_curve["validation_loss"][0])
    assert int(np.argmin(losses)) + 1 < 30
    short, _ = fit(**rates | {"epochs": int(np.argmin(losses)) + 1}, keep="last")
    assert np.array_equal(best.parameters, short.parameters)
    assert not np.array_equal(best.parameters, last.parameters)


def test_without_validation_the_last_epoch_is_kept():
    kept = [train(X, CrossEntropy(Y), Recipe((5,), epochs=3, keep=keep))[0].parameters for keep in ("best", "last")]
    assert np.array_equal(*kept)


def test_patience_needs_the_best_epoch():
    with pytest.raises(UserError, match=r"^patience: got 2 with keep: last; needs keep: best, or no patience$"):
        Recipe(patience=2, keep="last")


def test_a_stopped_replica_does_not_come_back():
    class Stack:
        replicas, parameters = 2, np.zeros((2, 1))

    stopping = EarlyStopping(Stack, patience=1)
    losses = [[1.0, 1.0], [2.0, 0.9], [0.1, 0.8], [0.1, 0.9]]
    stopped = []
    for epoch, loss in enumerate(losses):
        Stack.parameters[:] = epoch
        stopped.append(stopping.after_epoch(np.array(loss)))
    stopping.restore()
    assert stopped == [False, False, False, True]
    assert Stack.parameters.ravel().tolist() == [0, 2]


def test_a_blas_that_rounds_operands_is_refused(monkeypatch):
    monkeypatch.setattr(EXACT, "usable", staticmethod(lambda: False))
    with pytest.raises(UserError, match=r"^arithmetic: got exact.*in fewer bits.*fast"):
        fit()
    fit(arithmetic=FAST)


def test_inputs_out_of_range_are_refused():
    x = X[:50].copy()
    x[7, 3] = 1e17
    with pytest.raises(UserError, match=r"feature 3 of the inputs: got a magnitude of 1e\+17; .* up to 7.20576e\+16"):
        fit(x=x)


def test_a_feature_that_crowds_out_the_others_is_found():
    assert find_outlier(X) is None
    assert find_outlier(np.zeros((4, 3))) is None
    x = X.copy()
    x[7, 3] = -1000.0
    assert find_outlier(x) == (3, 1000.0)
    assert find_outlier(np.array([[1e-6, 1.0, 1e6]])) == (2, 1e6)


@pytest.mark.parametrize("arithmetic", [EXACT, FAST])
def test_divergence_is_told(arithmetic):
    with pytest.raises(UserError, match=r"the loss of replica 0 became (nan|inf) in epoch \d+: lower learning_rate"):
        fit(arithmetic=arithmetic, learning_rate=1e30, epochs=20)


def test_an_overflow_in_the_last_step_is_told():
    with pytest.raises(UserError, match="lower learning_rate"):
        fit(epochs=1, batch_size=50, learning_rate=1e300)


def test_progress_is_called_after_each_epoch():
    seen = []
    fit(progress=lambda epoch, loss, accuracy: seen.append((epoch, loss > 0, 0 <= accuracy <= 1)))
    assert seen == [(0, True, True), (1, True, True), (2, True, True)]


def norms(network):
    return np.concatenate([np.sqrt((weights**2).sum(axis=1)).ravel() for weights, _ in network.layers])


@pytest.mark.parametrize("arithmetic", [EXACT, FAST])
def test_max_norm_bounds_the_incoming_weights_of_each_unit(arithmetic):
    free, _ = fit(arithmetic=arithmetic)
    bounded, _ = fit(arithmetic=arithmetic, max_norm=0.9)
    # The norm is that of weights of 10 bits, which err by 2^-11 each, 9 in a column; float32 has 24.
    slack = 1e-5 if arithmetic is FAST else 3 * 2.0**-11
    assert norms(free).max() > 1 > 0.9 + slack > norms(bounded).max() > 0.9 - slack


def test_a_max_norm_that_no_unit_reaches_changes_nothing():
    assert np.array_equal(fit()[0].parameters, fit(max_norm=100.0)[0].parameters)


def test_views_that_look_alike_are_the_training_without_them():
    """An epoch shows each example once, with the same draws; of two views that differ it is another training."""

    def parameters(x, **options):
        return fit(x=x, objective=CrossEntropy(ONE_HOT[[*range(25)] * (len(x) // 25)], EXACT), **options)[0].parameters

    plain, alike, other = X[:25], np.concatenate([X[:25], X[:25]]), np.concatenate([X[:25], -X[:25]])
    assert np.array_equal(parameters(plain), parameters(alike, views=2))
    assert not np.array_equal(parameters(plain), parameters(other, views=2))


def test_bytes_are_held_once_more_as_float32_and_never_as_float64():
    random, n, features = np.random.default_rng(0), 16000, 300
    x, one_hot = random.integers(0, 256, (n, features), dtype=np.uint8), np.eye(10)[random.integers(0, 10, n)]
    scaled = ScaledRows(x, np.arange(n), np.zeros(features), np.full(features, 1 / 255))
    tracemalloc.start()
    try:
        train(scaled, CrossEntropy(one_hot, EXACT), Recipe((8,), 1, batch_size=500), (scaled, one_hot), Streams(0, "x"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.5 * 4 * x.size  # float64 beside float32 takes 3 times 4 bytes


def test_validation_changes_the_curve_and_not_the_network():
    recipe = Recipe((5,), epochs=2)
    with_rows, curve = train(X[:50], CrossEntropy(Y[:50]), recipe, (X[50:], Y[50:]))
    without, other = train(X[:50], CrossEntropy(Y[:50]), recipe)
    assert np.array_equal(with_rows.parameters, without.parameters)
    assert np.array_equal(curve["training_loss"], other["training_loss"])
    assert np.isfinite(curve["validation_loss"]).all()
    assert np.isnan(other["validation_loss"]).all()


def test_validation_takes_images_as_training_does():
    images = X.reshape(70, 2, 3)
    lazy = ScaledRows(images, np.arange(50, 70), np.zeros(6), np.ones(6))

    def curve(x, validation):
        return train(x, CrossEntropy(Y[:50]), Recipe((5,), epochs=2), (validation, Y[50:]))[1]["validation_loss"]

    expected = curve(X[:50], X[50:])
    assert np.array_equal(curve(images[:50], images[50:]), expected)
    assert np.array_equal(curve(images[:50], X[50:]), expected)
    assert np.array_equal(curve(X[:50], lazy), expected)


def test_patience_needs_validation():
    with pytest.raises(UserError, match=r"recipe.patience: got 3, and there is no validation"):
        train(X, CrossEntropy(Y), Recipe((5,), epochs=2, patience=3))


def test_class_numbers_are_one_hot_rows():
    recipe, labels = Recipe((5,), epochs=2), np.where(np.arange(50) % 3, Y[:50], -1)
    rows = np.eye(4)[labels] * (labels >= 0)[:, None]
    teacher = RANDOM.normal(size=(50, 4))
    numbered, hot = (train(X[:50], Distillation(given, teacher), recipe)[0] for given in (labels, rows))
    assert np.array_equal(numbered.parameters, hot.parameters)
