"""What a training needs is told beforehand; one that cannot fit or cannot end is refused."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.backends.context import Context
from kdlib.io.errors import UserError
from kdlib.learning import budget
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams
from tests.conftest import MAINS, quick_params

RECIPES = {
    "wide": Recipe((600, 600), epochs=1, optimizer="adam"),
    "many epochs": Recipe((1,), epochs=20_000, batch_size=60),
    "many examples": Recipe((2,), epochs=1, batch_size=512),
    "kept": Recipe((500,), epochs=2, patience=1),
}
EXAMPLES = {"many examples": 40_000, "many epochs": 60}


@pytest.mark.parametrize("arithmetic", [EXACT, FAST])
@pytest.mark.parametrize("name", RECIPES)
def test_a_training_holds_no_less_and_not_ten_times_as_much(name, arithmetic):
    """By what Python and NumPy allocate at once."""
    recipe, n = RECIPES[name], EXAMPLES.get(name, 400)
    x, one_hot = np.random.default_rng(0).random((n, 10)), np.eye(4)[np.arange(n) % 4]
    told = budget.memory_needed(recipe, (10, *recipe.hidden, 4), 2, n, (arithmetic.dtype, arithmetic.logits_dtype))
    objective, streams = CrossEntropy(one_hot, arithmetic), Streams(0, "test", (0, 1))
    held_out = x[:20], one_hot[:20]
    epochs = Recipe(**vars(recipe) | {"epochs": recipe.epochs}) if recipe.epochs < 100 else recipe

    class EnoughError(Exception):
        pass

    def stop(epoch, loss, accuracy):
        if epoch == 1:
            raise EnoughError

    tracemalloc.start()
    try:
        train(x, objective, epochs, held_out, streams, stop, context=Context("numpy"))
    except EnoughError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert told <= peak <= 10 * told


@pytest.mark.parametrize(
    ("stage", "changes", "words"),
    [
        ("train_teacher", {"teacher": {"hidden": [10**9]}}, ["teacher: 1 networks need", "of memory"]),
        ("train_teacher", {"teacher": {"hidden": [10**6] * 2}}, ["teacher: 1 networks need", "of memory"]),
        ("train_teacher", {"teacher": {"epochs": 10**12}}, ["teacher: 1 networks need", "of memory"]),
        ("train_teacher", {"teacher": {"hidden": [10**19]}}, ["teacher: 1 networks need", "of memory"]),
        ("train_teacher", {"teacher": {"epochs": 2**63}}, ["teacher: 1 networks need", "of memory"]),
        ("train_baseline", {"student": {"epochs": 10**12}}, ["student: 2 networks need", "of memory"]),
        ("train_baseline", {"student": {"learning_rate": [0.1] * 900, "hidden": [64]}, "replicas": 1000}, []),
    ],
    ids=["units", "two layers", "epochs", "2^63 units", "2^63 epochs", "student's epochs", "networks"],
)
def test_what_cannot_fit_is_refused(tmp_path, monkeypatch, stage, changes, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(budget, "available_memory", lambda: 8 * 10**9)
    MAINS["prepare"](quick_params())
    with pytest.raises(UserError) as refused:
        MAINS[stage](quick_params(**changes))
    assert [word for word in (*words, "lower", "there are 8 GB") if word not in str(refused.value)] == []


def test_what_takes_over_a_year_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(budget, "available_memory", lambda: 10**18)
    MAINS["prepare"](quick_params())
    with pytest.raises(UserError, match=r"student: 2 networks need [\d.e+]+ years or more; lower student.hidden"):
        MAINS["train_baseline"](quick_params(student={"epochs": 10**15}))


def test_it_is_told_before_the_training(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    MAINS["prepare"](quick_params())
    with caplog.at_level("INFO"):
        MAINS["train_baseline"](quick_params())
    told = [record.message for record in caplog.records if " networks of " in record.message]
    assert told == ["2 networks of 67 parameters"]


@pytest.mark.parametrize(
    ("hidden", "epochs", "networks", "words"),
    [
        ((32,), 60, 40, ""),
        ((2000, 2000), 10, 2, ""),
        ((2000, 2000), 10, 40, " need at least 2.7 GB of memory"),
        ((2000, 2000), 10_000, 60, " need at least 4 GB of memory"),
    ],
)
def test_memory_is_told_if_it_is_much_and_time_is_not(monkeypatch, hidden, epochs, networks, words):
    monkeypatch.setattr(budget, "available_memory", lambda: 10**12)
    recipe = Recipe(hidden, epochs=epochs, batch_size=64)
    told = budget.estimate("student", recipe, (64, *hidden, 10), networks, 6000, EXACT)
    assert told.endswith(f" parameters{words}")


def test_views_take_no_further_steps():
    """An epoch shows one view of each example."""
    recipe = Recipe((), epochs=10, batch_size=1)
    times = [budget.time_needed(replace(recipe, views=views), (2, 2), 1, 1000) for views in (1, 5)]
    assert times[0] == times[1] == 10 * 1000 * budget.SECONDS_PER_LAYER


def test_the_quickest_steps_of_a_year_are_not_refused(monkeypatch):
    """A second of 1.5 million steps is ten times as many as were measured, for two layers."""
    monkeypatch.setattr(budget, "available_memory", lambda: None)
    recipe = Recipe((1,), epochs=budget.YEAR, batch_size=1)
    assert budget.estimate("student", recipe, (1, 1, 2), 1, 1_500_000, FAST)
    with pytest.raises(UserError, match=r"student: 1 networks need 1\.6 years or more"):
        budget.estimate("student", recipe, (1, 1, 2), 1, 8_000_000, FAST)


def test_a_limit_of_the_process_counts():
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 40 if hard == resource.RLIM_INFINITY else hard, hard))
        assert budget.available_memory() <= 1 << 40
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_shift_beyond_the_image_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = quick_params(prepare={"dataset": "digits"}, teacher={"augment": {"shift": 1000}})
    MAINS["prepare"](params)
    with pytest.raises(UserError, match=r"teacher.augment: got shift=1000 .*, but the images are \(8, 8\)"):
        MAINS["train_teacher"](params)
