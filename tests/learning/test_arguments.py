"""The library's arguments: what is not allowed is told in one line that names it; a default is the same everywhere."""

from dataclasses import fields
from typing import get_args

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT
from kdlib.io.errors import UserError
from kdlib.learning.lazy_targets import LazyTargets
from kdlib.learning.losses import LOSSES
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.optimizers import OPTIMIZERS
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import SCHEDULES, LinearSchedule
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams
from kdlib.pipeline.schema import Distill, Student

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(12, 3))
ONE_HOT = np.eye(3)[RANDOM.integers(0, 3, 12)]
TEACHER = RANDOM.normal(size=(12, 3))


def test_a_recipe_of_what_is_allowed():
    assert Recipe([4], learning_rate=[0.1, 0.2]) == Recipe((4,), learning_rate=(0.1, 0.2))
    assert (
        Recipe((np.int64(4),), np.int32(3), np.float32(0.5), optimizer=np.str_("adam"), dropout=0, bits=4).steps(65)
        == 2
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden": 16}, ["hidden: got 16", "sequence", "whole number"]),
        ({"hidden": (16, 0)}, ["hidden: got (16, 0)", "[1, inf)"]),
        ({"epochs": 0}, ["epochs: got 0", "a whole number in [1, inf)"]),
        ({"epochs": 2.5}, ["epochs: got 2.5", "whole"]),
        ({"epochs": True}, ["epochs: got True", "whole"]),
        ({"learning_rate": -0.1}, ["learning_rate: got -0.1", "(0, inf)"]),
        ({"learning_rate": float("nan")}, ["learning_rate: got nan", "(0, inf)"]),
        ({"learning_rate": "0.1"}, ["learning_rate: got '0.1'", "a number"]),
        ({"batch_size": 0}, ["batch_size: got 0"]),
        ({"optimizer": "sdg"}, ["optimizer: got 'sdg'", *map(repr, OPTIMIZERS)]),
        ({"momentum": 1}, ["momentum: got 1", "[0, 1)"]),
        ({"nesterov": 1}, ["nesterov: got 1", "True, False"]),
        ({"weight_decay": -1e-3}, ["weight_decay: got -0.001", "[0, inf)"]),
        ({"schedule": "curve"}, ["schedule: got 'curve'", *map(repr, SCHEDULES)]),
        ({"warmup": 1.0}, ["warmup: got 1.0"]),
        ({"input_dropout": -0.5}, ["input_dropout: got -0.5"]),
        ({"dropout": 7.0}, ["dropout: got 7.0", "a number in [0, 1)"]),
        ({"max_norm": 0}, ["max_norm: got 0", "None"]),
        ({"views": 0}, ["views: got 0"]),
        ({"patience": 0}, ["patience: got 0", "None"]),
        ({"bits": 3}, ["bits: got 3", "8, 4, 2"]),
    ],
)
def test_a_recipe_refuses_what_is_not_allowed(change, words):
    with pytest.raises(ValueError, match="got") as refused:
        Recipe(**change)
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "kdd"}, ["loss: got 'kdd'", "'kd', 'dkd', 'mse'"]),
        ({"temperature": 0}, ["temperature: got 0", "(0, inf)"]),
        ({"temperature": -1}, ["temperature: got -1"]),
        ({"temperature": "4"}, ["temperature: got '4'", "a number"]),
        ({"temperature": [1.0, 0.0]}, ["temperature: got [1.0, 0.0]", "sequence"]),
        ({"temperature": LinearSchedule(1, 0)}, ["temperature: got LinearSchedule(start=1, end=0)", "(0, inf)"]),
        ({"alpha": 1.5}, ["alpha: got 1.5", "[0, 1]"]),
        ({"alpha": float("nan")}, ["alpha: got nan"]),
        ({"alpha": []}, ["alpha: got []"]),
        ({"alpha": LinearSchedule(-0.1, 1)}, ["alpha: got LinearSchedule(start=-0.1, end=1)", "[0, 1]"]),
        ({"scale_by_t2": None}, ["scale_by_t2: got None", "True, False"]),
        ({"beta": -1}, ["beta: got -1"]),
        ({"standardize_logits": "no"}, ["standardize_logits: got 'no'"]),
        ({"logits_teacher": TEACHER[:5]}, ["logits_teacher: got (5, 3)", "(12, 3)"]),
        ({"labels": ONE_HOT[0]}, ["labels: got float64", "(n, classes)"]),
        ({"labels": ONE_HOT[None, None]}, ["labels: got the shape (1, 1, 12, 3)", "(n, classes)"]),
        ({"labels": np.full(12, 3)}, ["labels: got 3", "0 to 2"]),
        ({"labels": np.full(12, -2)}, ["labels: got -2", "-1 for no label"]),
    ],
)
def test_distillation_refuses_what_is_not_allowed(change, words):
    given = {"labels": ONE_HOT, "logits_teacher": TEACHER, "arithmetic": EXACT} | change
    with pytest.raises(ValueError, match="got") as refused:
        Distillation(**given)
    assert all(word in str(refused.value) for word in words), refused.value


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, -1, 1]), "labels: got an example without one"),
        (ONE_HOT * (np.arange(12)[:, None] != 4), "labels: got an example without one"),
        (LazyTargets((1, 12, 3), lambda g, rows: ONE_HOT[rows] * (rows[:, None] != 4), ""), "an example without one"),
        (np.array([0, -2]), "labels: got -2"),
        (np.array([0.0, 1.0]), "labels: got float64"),
    ],
    ids=["-1", "a row of zeros", "computed on request", "below -1", "floats"],
)
def test_cross_entropy_needs_a_label_for_each_example(labels, message):
    with pytest.raises(UserError, match=message):
        CrossEntropy(labels, EXACT)


def test_a_schedule_is_between_two_numbers():
    with pytest.raises(ValueError, match=r"end: got inf; needs a number in \(-inf, inf\)"):
        LinearSchedule(1.0, float("inf"))


@pytest.mark.parametrize(
    ("x", "validation", "message"),
    [
        (X.tolist(), (X, ONE_HOT), "x: got list; needs an array"),
        (list(X), (X, ONE_HOT), r"x: got an array \(3,\); needs an array"),
        (X, [X, ONE_HOT], "validation: needs .* as a tuple"),
        ([X, X], [(X, ONE_HOT)], "one for each of the 2 splits"),
        (X, (X[:, :2], ONE_HOT), r"validation: got an array \(12, 2\) with labels \(12, 3\); needs rows of 3 features"),
        (X, (X.tolist(), ONE_HOT), r"validation: got list with labels \(12, 3\)"),
        (X, (X[:5], ONE_HOT), r"validation: got an array \(5, 3\) with labels \(12, 3\)"),
        (X, (X, ONE_HOT[:, :2]), r"with labels \(12, 2\); needs .* its class number or 3 probabilities"),
    ],
    ids=[
        "nested lists",
        "a list of rows",
        "a list for the tuple",
        "of one split",
        "other features",
        "lists in validation",
        "other rows",
        "other classes",
    ],
)
def test_data_of_another_form_are_not_taken_for_splits(x, validation, message):
    with pytest.raises(ValueError, match=message):
        train(x, CrossEntropy(ONE_HOT, EXACT), Recipe(epochs=1), validation, Streams(0, "test"))


def test_params_yaml_allows_what_the_registries_have():
    assert set(get_args(Student.model_fields["optimizer"].annotation)) == set(OPTIMIZERS)
    assert set(get_args(Student.model_fields["schedule"].annotation)) == set(SCHEDULES)
    assert set(get_args(Distill.model_fields["loss"].annotation)) == {*LOSSES, "ls"}


def test_a_default_is_the_one_of_the_pipeline():
    ours, theirs = vars(Recipe()), vars(Student().recipe())
    shared = ours.keys() & theirs.keys() - {"hidden", "learning_rate"}
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    assert ours["learning_rate"] in Student().learning_rate
    settings = {field.name: field.default for field in fields(Distillation)[3:] if field.init}
    found = {name: getattr(Distill(), name) for name in settings}
    assert settings == {name: value[0] if isinstance(value, list) else value for name, value in found.items()}
