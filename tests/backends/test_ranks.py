"""One network over ranks: the bytes of one process, whatever dies, and however many go on."""

import hashlib
import os

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.backends.context import Context
from kdlib.backends.ranks import SINGLE_RANK, Ranks, SingleRank
from kdlib.io.errors import UserError
from kdlib.learning.checkpoints import Checkpoint, check_same_on_all_ranks
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.training import train
from kdlib.numerics.grids import MAX_TERMS
from kdlib.numerics.streams import Streams
from tests.backends.forked_ranks import over

RANDOM = np.random.default_rng(0)

# Rows of very different sizes: whoever knows some of them alone would choose another grid.
X = RANDOM.normal(size=(75, 36)) * np.ldexp(1.0, RANDOM.integers(-8, 8, (75, 1)))

LABELS = np.eye(3)[RANDOM.integers(0, 3, 75)]

MANY_ROWS = RANDOM.normal(size=(3 * MAX_TERMS, 5)), np.eye(3)[RANDOM.integers(0, 3, 3 * MAX_TERMS)]

COUNTS = 1, 2, 3, 5, 8, 20

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no process")

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def fit(
    n=50,
    shape=(36,),
    arithmetic=EXACT,
    taught=None,
    labeled=75,
    replicas=(0, 1),
    checkpoint=None,
    progress=None,
    ranks=SINGLE_RANK,
    **options,
):
    """Hash of a network that is trained on n rows, the last of which are a batch of two, and of its curve."""
    x, labels = MANY_ROWS if n > 75 else (X, LABELS)
    x, labels = x[:n].reshape(n, *shape), labels[:n]
    objective = CrossEntropy(labels, arithmetic)
    if taught:
        known = np.where(np.arange(n)[:, None] < labeled, labels, 0)
        objective = Distillation(known, 3 * x.reshape(n, -1)[:, :3], arithmetic, **taught)
    recipe = Recipe((8, 7), **{"epochs": 4, "batch_size": 16} | options)
    held_out = (x[:25], labels[:25]) if n > 50 else (X[50:], LABELS[50:])
    allow_divergence = isinstance(recipe.learning_rate, tuple)
    streams = Streams(0, "test", replicas)
    network, curve = train(
        x, objective, recipe, held_out, streams, progress, checkpoint, allow_divergence, Context(ranks=ranks)
    )
    return hashlib.sha256(network.parameters.tobytes() + b"".join(v.tobytes() for v in curve.values())).hexdigest()


FEATURES = {
    "plain": {},
    "dropout, views, max_norm": {
        "dropout": 0.2, "input_dropout": 0.1, "nesterov": True, "max_norm": 1.0, "views": 2, "shape": (6, 6),
    },
    "adamw, patience": {"optimizer": "adamw", "weight_decay": 0.1, "learning_rate": 0.05, "patience": 1},
    "a network that diverges beside others": {
        "learning_rate": (0.1, 1e30), "replicas": (0, 1, 0, 1), "taught": {"temperature": (1, 4), "alpha": (0.5, 1)},
    },
    "schedules": {"taught": {"temperature": LinearSchedule(1, 4), "alpha": LinearSchedule(0.9, 0.5)}},
    "bits": {"bits": 4},
    "a relational loss": {"taught": {"loss": "dist"}, "labeled": 40},
    "a relational loss, views, a network that diverges": {
        "views": 2, "learning_rate": (0.1, 1e30), "replicas": (0, 1, 0, 1),
        "taught": {"loss": "dist", "temperature": (1, LinearSchedule(1, 4)), "alpha": (0.5, 1)},
    },
    "a batch of several exact sums": {"n": 3 * MAX_TERMS, "shape": (5,), "batch_size": 2 * MAX_TERMS + 8, "epochs": 2},
}  # fmt: skip


QUICK = "plain", "a relational loss"


@forks
@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in FEATURES])
def test_any_number_of_ranks_has_the_bits_of_one_process(name):
    alone = fit(**FEATURES[name])
    assert {count: set(over(count, lambda ranks: fit(ranks=ranks, **FEATURES[name]))) for count in COUNTS} == {
        k: {alone} for k in COUNTS
    }


@forks
def test_the_splits_of_a_stack_too():
    def trained(ranks=SINGLE_RANK):
        splits, labels = [X[:50], X[25:]], np.stack([LABELS[:50], LABELS[25:]])
        validation, streams = [(X[50:], LABELS[50:]), (X[:9], LABELS[:9])], Streams(0, "test", (0, 1, 1000, 1001))
        recipe = Recipe((8,), epochs=3)
        context = Context(ranks=ranks)
        network, _ = train(splits, CrossEntropy(labels), recipe, validation, streams, context=context)
        return network.parameters.tobytes()

    assert set(over(3, trained)) == {trained()}


@forks
@pytest.mark.parametrize("what", ["allreduce_max", "allreduce_sum"])
def test_bits_differ_where_ranks_do_not_agree(what, monkeypatch):
    monkeypatch.setattr(Ranks, what, getattr(SingleRank, what))
    assert set(over(2, lambda ranks: fit(ranks=ranks))) != {fit()}


@forks
@pytest.mark.parametrize("name", list(FEATURES)[:3])
def test_others_go_on_from_what_the_first_rank_wrote(name, tmp_path):
    def killed(epoch, *_):
        if epoch == count - 2:
            raise KeyboardInterrupt

    def resumed(ranks=SINGLE_RANK):
        epochs = []
        checkpoint = Checkpoint(path, 1, ranks)
        progress = lambda epoch, *_: epochs.append(epoch)  # noqa: E731
        found = fit(checkpoint=checkpoint, progress=progress, ranks=ranks, **FEATURES[name])
        return found, epochs[:1]

    path, alone = tmp_path / "out.npz", fit(**FEATURES[name])
    for count in (2, 3):  # at the end of the first epoch, and of the second
        with pytest.raises(AssertionError, match="KeyboardInterrupt"):
            over(
                count,
                lambda ranks: fit(
                    checkpoint=Checkpoint(path, 1, ranks), progress=killed, ranks=ranks, **FEATURES[name]
                ),
            )
    assert over(5, resumed) == [(alone, [1])] * 5
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.npz.checkpoint"]
    assert resumed() == (alone, [])


@forks
def test_ranks_of_different_data_do_not_begin(tmp_path):
    def started(ranks):
        if ranks.rank == 2:
            X[0, 0] += 1
        fit(checkpoint=Checkpoint(tmp_path / "out.npz", None, ranks), ranks=ranks)

    with pytest.raises(AssertionError, match="digests of parameters, data and code differ"):
        over(3, started)


@forks
def test_ranks_of_different_versions_do_not_begin():
    with pytest.raises(AssertionError, match="versions differ: rank 0 has NumPy 0, rank 1 NumPy 1"):
        over(2, lambda ranks: check_same_on_all_ranks(ranks, "versions", f"NumPy {ranks.rank}"))


def test_fast_is_refused():
    with pytest.raises(UserError, match="arithmetic: got fast"):
        fit(arithmetic=FAST, ranks=Ranks(0, 2, None))


@pytest.mark.parametrize("n", [1, 3, 16, 50])
def test_the_shares_of_all_ranks_are_the_batches(n):
    shares = [Ranks(rank, 5, None).batches(n, 16) for rank in range(5)]
    own = [np.arange(n)[own] for own, _ in shares]
    assert sorted(np.concatenate(own)) == list(range(n))
    for k, start in enumerate(range(0, n, 16)):
        parts = [mine[batches[k][2]] for mine, (_, batches) in zip(own, shares, strict=True)]
        assert np.concatenate(parts).tolist() == list(range(start, min(start + 16, n)))
        assert [batches[k][0] for _, batches in shares] == [min(16, n - start)] * 5
