"""A stack of several splits and settings: each network is, bit for bit, the one that is trained alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.data.scaled import ScaledRows
from kdlib.io.errors import UserError
from kdlib.learning.checkpoints import Checkpoint
from kdlib.learning.losses import LOSSES
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.optimizers import OPTIMIZERS
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.stack import expand_to_networks, network_slices, select_rows
from kdlib.learning.training import train
from kdlib.numerics.streams import REPLICAS_PER_SPLIT, Streams

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 17, (60, 2, 3)).astype(np.uint8)
ONE_HOT = np.eye(3)[RANDOM.integers(0, 3, 60)]
TEACHER = RANDOM.normal(size=(2, 60, 3)).astype(np.float32)
ROWS = np.stack([RANDOM.permutation(60)[:40] for _ in range(2)])
OUT = [np.setdiff1d(np.arange(60), ROWS[0]), np.setdiff1d(np.arange(60), ROWS[1])[:17]]  # of unequal lengths
OFFSET, SCALE = np.array([[0.0] * 6, [1.0] * 6]), np.array([[1 / 16] * 6, [0.07] * 6])
SHARED = {"epochs": 3, "batch_size": 16, "dropout": 0.2, "input_dropout": 0.1, "views": 2, "max_norm": 1.0}
RECIPES = {
    **{name: Recipe((5,), optimizer=name, **SHARED) for name in OPTIMIZERS},
    "early stopping": Recipe((5,), epochs=8, batch_size=16, optimizer="adam", schedule="linear", patience=1),
    "two layers, decay": Recipe((4, 4), epochs=3, batch_size=7, optimizer="adamw", weight_decay=0.1),
}


def scaled(split, rows):
    return (X.reshape(60, 6)[rows] - OFFSET[split]) * SCALE[split]


def held_out(split):
    return scaled(split, OUT[split]), ONE_HOT[OUT[split]]


def of_split(split, replicas, recipe, objective, **options):
    """Trained on the rows of one split, which are copied."""
    numbers = tuple(split * REPLICAS_PER_SPLIT + k for k in replicas)
    x = scaled(split, ROWS[split]).reshape(-1, 2, 3)
    return train(x, objective, recipe, held_out(split), Streams(0, "test", numbers), **options)


def of_both(replicas, recipe, objective, **options):
    """Trained as one stack, from one array."""
    numbers = tuple(split * REPLICAS_PER_SPLIT + k for split in range(2) for k in replicas)
    x = [ScaledRows(X, ROWS[split], OFFSET[split], SCALE[split]) for split in range(2)]
    return train(x, objective, recipe, [held_out(0), held_out(1)], Streams(0, "test", numbers), **options)


def same(stack, own, alone):
    (network, curve), (other, others) = stack, alone
    assert network.parameters[own].tobytes() == other.parameters.tobytes()
    for name in curve:
        assert np.array_equal(curve[name][own], others[name], equal_nan=True), name


@pytest.mark.parametrize("name", RECIPES)
def test_a_split_is_the_same_in_a_stack_of_splits_and_alone(name):
    both = of_both((0, 3), RECIPES[name], CrossEntropy(ONE_HOT[ROWS], EXACT))
    for split in range(2):
        objective = CrossEntropy(ONE_HOT[ROWS[split]], EXACT)
        alone = of_split(split, (0, 3), RECIPES[name], objective)
        same(both, slice(2 * split, 2 * split + 2), alone)
        same(both, slice(2 * split + 1, 2 * split + 2), of_split(split, (3,), RECIPES[name], objective))
    assert not np.array_equal(both[0].parameters[0], both[0].parameters[2])


POSITIVE = st.floats(0.25, 20)
SHARE = st.floats(0, 1) | st.sampled_from([0.0, 1.0])
GRIDS = {
    "temperatures": st.lists(POSITIVE | st.builds(LinearSchedule, POSITIVE, POSITIVE), min_size=1, max_size=2),
    "alphas": st.lists(SHARE | st.builds(LinearSchedule, SHARE, SHARE), min_size=1, max_size=2),
    "rates": st.lists(st.floats(1e-3, 0.3), min_size=1, max_size=2),
}


@settings(deadline=None, max_examples=25)
@given(
    **GRIDS,
    loss=st.sampled_from([*LOSSES]),
    recipe=st.sampled_from(sorted(RECIPES)),
    arithmetic=st.sampled_from([EXACT, FAST]),
    standardize=st.booleans(),
    by_t2=st.booleans(),
    hidden=st.booleans(),
)
def test_a_setting_is_the_same_in_a_grid_and_alone(
    temperatures, alphas, rates, loss, recipe, arithmetic, standardize, by_t2, hidden
):
    one_hot = np.where((np.arange(60) % 3 == 0)[:, None] & hidden & (loss != "dkd"), 0, ONE_HOT)
    options = {"loss": loss, "scale_by_t2": by_t2, "standardize_logits": standardize}
    grid = [(t, a, rate) for t in temperatures for a in alphas for rate in rates]
    logits = np.stack([TEACHER[split, ROWS[split]] for split in range(2)])
    objective = Distillation(
        one_hot[ROWS], logits, arithmetic, temperature=temperatures * 2,
        alpha=[a for t in temperatures for a in alphas] * 2, **options,
    )  # fmt: skip
    of_grid = replace(RECIPES[recipe], learning_rate=tuple(rate for *_, rate in grid) * 2)
    stack = of_both([0, 1] * len(grid), of_grid, objective, allow_divergence=True)
    at = 0
    for split in range(2):
        for temperature, alpha, rate in grid:
            objective = Distillation(
                one_hot[ROWS[split]], TEACHER[split, ROWS[split]], arithmetic, temperature=temperature, alpha=alpha,
                **options,
            )  # fmt: skip
            alone = of_split(split, (0, 1), replace(RECIPES[recipe], learning_rate=rate), objective)
            same(stack, slice(at, at + 2), alone)
            at += 2


@pytest.mark.parametrize("patience", [None, 1])
def test_a_network_that_diverges_is_marked_and_the_others_live_on(patience, tmp_path):
    recipe = replace(RECIPES["two layers, decay"], optimizer="sgd", epochs=6, patience=patience)
    objective = CrossEntropy(ONE_HOT[ROWS], EXACT)
    stack = of_both((0, 0), replace(recipe, learning_rate=(0.1, 1e200) * 2), objective, allow_divergence=True)
    for split in range(2):
        alone = of_split(split, (0,), replace(recipe, learning_rate=0.1), CrossEntropy(ONE_HOT[ROWS[split]], EXACT))
        same(stack, slice(2 * split, 2 * split + 1), alone)
    assert np.isnan(stack[0].parameters[[1, 3]]).all()
    with pytest.raises(UserError, match=r"the loss of replica 0 became (nan|inf) in epoch 1: lower .*1e\+200"):
        of_both((0, 0), replace(recipe, learning_rate=(0.1, 1e200) * 2), objective)
    with pytest.raises(UserError, match="replica 0 of split 1 became"):
        of_both((0, 0), replace(recipe, learning_rate=(0.1, 0.1, 0.1, 1e200)), objective)


def test_a_stack_that_was_killed_goes_on_to_the_same_bits(tmp_path):
    class KilledError(Exception):
        pass

    def kill(epoch, *_):
        if epoch == 3:
            raise KilledError

    recipe = replace(RECIPES["sgd"], epochs=6, learning_rate=(0.1, 1e200) * 2)
    objective = CrossEntropy(ONE_HOT[ROWS], EXACT)
    checkpoint = Checkpoint(tmp_path / "out.npz", 2)
    with pytest.raises(KilledError):
        of_both((0, 0), recipe, objective, allow_divergence=True, progress=kill, checkpoint=checkpoint)
    epochs = []
    again = of_both(
        (0, 0),
        recipe,
        objective,
        allow_divergence=True,
        progress=lambda epoch, *_: epochs.append(epoch),
        checkpoint=checkpoint,
    )
    assert epochs == [2, 3, 4, 5]
    whole = of_both((0, 0), recipe, objective, allow_divergence=True)
    assert np.array_equal(again[0].parameters, whole[0].parameters, equal_nan=True)


def test_entries_belong_to_neighbours():
    assert expand_to_networks(np.array([1, 2]), 6).tolist() == [1, 1, 1, 2, 2, 2]
    assert expand_to_networks(np.array([1]), 6).tolist() == [1]
    assert network_slices(2, 6) == [slice(0, 3), slice(3, 6)]
    target, order = RANDOM.normal(size=(2, 5, 3)), RANDOM.integers(0, 5, (6, 4))
    expected = np.stack([target[k // 3][order[k]] for k in range(6)])
    assert np.array_equal(select_rows(target, order), expected)


def test_scaled_rows_take_what_a_copy_holds():
    rows, indices = ROWS[1], RANDOM.integers(0, 40, (3, 7))
    lazy, copy = ScaledRows(X, rows, OFFSET[1], SCALE[1]), scaled(1, rows)
    assert np.array_equal(lazy.take(indices), copy[indices])
    assert lazy.shape == (40, 2, 3)
    assert np.array_equal(lazy.max_magnitudes, np.abs(copy.reshape(40, -1)).max(axis=0))
