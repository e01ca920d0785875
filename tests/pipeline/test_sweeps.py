"""Splits and sweeps through the stages: each network is that of a run with its setting, or its split, alone."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kdlib.pipeline.jobs
from kdlib.backends.arithmetic import EXACT
from kdlib.data.dataset import Dataset
from kdlib.evaluation.heldout import NETWORKS, predict_heldout
from kdlib.evaluation.intervals import wilson_interval
from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError
from kdlib.learning.losses import LOSSES
from kdlib.learning.model_file import load_model
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.optimizers import OPTIMIZERS
from kdlib.learning.sweeps import Sweep
from kdlib.learning.training import train
from kdlib.numerics.streams import REPLICAS_PER_SPLIT, Streams
from kdlib.pipeline.command_line import PATHS
from kdlib.pipeline.schema import recipe_of
from kdlib.reporting.report import pooled_measures
from tests.conftest import MAINS, downstream, quick_params

SPLITS = 3


def run(*names, **changes):
    changes["prepare"] = {"splits": SPLITS} | changes.get("prepare", {})
    for name in names:
        MAINS[name](quick_params(**changes))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with three splits and their teachers. Its dataset and teacher are not to be changed."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run("prepare", "train_teacher")
    return folder


@pytest.fixture
def here(prepared, monkeypatch):
    monkeypatch.chdir(prepared)


def model(path):
    return load_model(path, Dataset.load(PATHS.dataset))


def sweep_of(path):
    arrays = read_npz(path)
    return Sweep.from_arrays(arrays), arrays


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sweep_loss", np.nan, "every setting has diverged"),
        ("sweep_temperature", -1.0, "not positive"),
        ("sweep_learning_rate", 0.0, "not positive"),
        ("sweep_temperature", np.nan, "not numbers"),
    ],
)
def test_a_sweep_that_no_training_leaves_is_refused(name, value, words):
    settings = {"learning_rate": (0.1, 0.2), "temperature": (1.0, 2.0)}
    arrays = Sweep(settings, np.zeros((3, 2, 1)), np.zeros((3, 2, 1))).arrays()
    assert Sweep.from_arrays(arrays).settings == settings
    with pytest.raises(ValueError, match=words):
        Sweep.from_arrays(arrays | {name: np.full(arrays[name].shape, value)})


RATES = st.lists(st.floats(0.01, 0.3), min_size=1, max_size=2, unique=True)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    temperatures=st.lists(st.floats(0.5, 20), min_size=1, max_size=2, unique=True),
    alphas=st.lists(st.floats(0, 1) | st.sampled_from([0.0, 1.0]), min_size=1, max_size=2, unique=True),
    rates=RATES,
    loss=st.sampled_from([*LOSSES, "ls"]),
    optimizer=st.sampled_from([*OPTIMIZERS]),
    patience=st.sampled_from([None, 1]),
    dropout=st.sampled_from([0.0, 0.2]),
    arithmetic=st.sampled_from(["exact", "fast"]),
)
def test_a_setting_is_the_same_in_a_sweep_and_alone(
    here, temperatures, alphas, rates, loss, optimizer, patience, dropout, arithmetic
):
    student = {"optimizer": optimizer, "patience": patience, "dropout": dropout, "epochs": 4, "weight_decay": 0.01}

    def distill(temperature, alpha, rate):
        distilled = {"temperature": temperature, "alpha": alpha, "loss": loss}
        run("distill", arithmetic=arithmetic, distill=distilled, student=student | {"learning_rate": rate})
        return sweep_of(PATHS.student)

    sweep, arrays = distill(temperatures, alphas, rates)
    names, chosen = [name for name in arrays if name.startswith(("weights", "biases", "training"))], sweep.chosen()
    for setting in range(sweep.loss.shape[1]):
        of = {key: values[setting] for key, values in sweep.settings.items()}
        rate = of["learning_rate"]
        alone, others = distill(of.get("temperature", temperatures[0]), of.get("alpha", alphas[0]), rate)
        assert sweep.loss[:, [setting]].tobytes() == alone.loss.tobytes()
        assert sweep.accuracy[:, [setting]].tobytes() == alone.accuracy.tobytes()
        for split in np.flatnonzero(chosen == setting):
            for name in names:
                ours, theirs = (np.split(stack[name], SPLITS)[split] for stack in (arrays, others))
                assert ours.tobytes() == theirs.tobytes(), name


def test_the_baselines_rates_are_swept_and_chosen_as_the_students(here):
    run("train_baseline", student={"learning_rate": [0.001, 0.1]}, distill={"temperature": [1, 2]})
    sweep, arrays = sweep_of(PATHS.baseline)
    assert sweep.settings == {"learning_rate": (0.001, 0.1)}
    assert sweep.chosen().tolist() == sweep.loss.mean(axis=2).argmin(axis=1).tolist() == [1, 1, 1]
    run("train_baseline", student={"learning_rate": 0.1})
    assert np.array_equal(read_npz(PATHS.baseline)["weights_0"], arrays["weights_0"])


def alone(params, split, k, rows, rate):
    """Replica k of split s of the baseline, trained by itself on copies of these rows."""
    dataset = Dataset.load(PATHS.dataset)
    x = (dataset.x - dataset.offset[split]) * dataset.scale[split]
    one_hot, held_out = np.eye(3)[dataset.y], dataset.rows("validation", split)
    recipe, streams = (
        recipe_of(params, "student", ()),
        Streams(params.seed, "student", (split * REPLICAS_PER_SPLIT + k,)),
    )
    validation, objective = (x[held_out], one_hot[held_out]), CrossEntropy(one_hot[rows], EXACT)
    return train(x[rows], objective, replace(recipe, learning_rate=rate), validation, streams)[0].parameters[0]


def test_replica_k_of_split_s_is_the_same_when_it_is_trained_alone(here):
    student = {"dropout": 0.1, "patience": 2}
    run("train_baseline", student=student)
    network, params, dataset = model(PATHS.baseline).network, quick_params(student=student), Dataset.load(PATHS.dataset)
    for split in range(SPLITS):
        for k in range(params.replicas):
            own = alone(params, split, k, dataset.rows("train", split), params.student.learning_rate[0])
            assert own.tobytes() == network.parameters[split * params.replicas + k].tobytes()


# What diverges

WILD = {"learning_rate": [0.1, 1e30]}


def test_a_setting_that_diverges_is_marked_and_the_others_are_as_without_it(here):
    run(*downstream("train_baseline", "distill"), student=WILD)
    for path in (PATHS.baseline, PATHS.student):
        sweep, _ = sweep_of(path)
        assert sweep.diverged().tolist() == [False, True]
        assert not sweep.chosen().any()
    with open("metrics/sweep.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["learning_rate"], row["diverged"], row["chosen"]) for row in rows] == 2 * [
        ("0.1", "0", "3"),
        ("1e+30", "1", "0"),
    ]
    assert rows[1]["validation_loss"] == rows[1]["validation_accuracy"] == ""
    wild = read_npz(PATHS.student)["weights_0"]
    run("distill", student={"learning_rate": 0.1})
    assert np.array_equal(read_npz(PATHS.student)["weights_0"], wild)


@pytest.mark.parametrize("rates", [1e30, [1e30], [1e30, 1e31]])
def test_where_all_settings_diverge_the_stage_fails(here, rates):
    with pytest.raises(UserError, match=r"training diverged.*lower learning_rate"):
        run("distill", student={"learning_rate": rates})


def of_losses(*losses):
    """A sweep of as many splits as there are losses, each of one replica."""
    loss = np.array(losses)[..., None]
    return Sweep({"learning_rate": tuple(range(loss.shape[1]))}, loss, loss)


def test_each_split_chooses_for_itself_and_the_mean_decides_what_is_deployed():
    sweep = of_losses([0.5, 0.3, 0.4], [0.1, 0.3, 0.2], [0.6, 0.5, 0.3])
    assert sweep.chosen().tolist() == [1, 0, 2]
    assert sweep.deploy_setting() == 2


def test_what_diverges_in_one_split_is_chosen_in_none():
    sweep = of_losses([0.5, np.nan, 0.6], [0.5, 0.1, 0.4])
    assert sweep.diverged().tolist() == [False, True, False]
    assert sweep.chosen().tolist() == [0, 2]
    assert sweep.deploy_setting() in (0, 2)
    with pytest.raises(UserError, match="at every setting"):
        of_losses([0.5, np.nan], [np.nan, 0.1]).chosen()


def test_a_setting_far_off_does_not_blur_the_others():
    assert of_losses([0.5, 0.3, 1e17], [0.5, 0.3, 1e17]).chosen().tolist() == [1, 1]


def test_of_equal_settings_the_first_is_chosen(here):
    run("distill", distill={"temperature": [4.0, 4.0]})
    assert sweep_of(PATHS.student)[0].chosen().tolist() == [0, 0, 0]


# Splits of unequal length


@pytest.fixture
def unequal(tmp_path, monkeypatch):
    """Params of transfer sets of 21, 22, 22 and 21 rows, trained in an empty folder: two stacks of two splits."""
    monkeypatch.chdir(tmp_path)
    Path("data/raw").mkdir(parents=True)
    y = np.repeat(np.arange(3), (37, 30, 26))
    np.savez("data/raw/a.npz", x=np.random.default_rng(0).normal(size=(93, 4)) + y[:, None], y=y)
    source = {"dataset": "data/raw/a.npz", "splits": 4, "transfer_classes": [1], "train_ratio": 0.7, "val_ratio": 0.15}
    params = quick_params(prepare=source, checkpoint=1, student={"epochs": 6, "learning_rate": [0.002, 0.1]})
    for stage in ("prepare", "train_teacher", "train_baseline", "distill"):
        MAINS[stage](params)
    dataset = Dataset.load(PATHS.dataset)
    assert [len(dataset.transfer_set(["1"], split)) for split in range(4)] == [21, 22, 22, 21]
    return params


def test_splits_of_unequal_length_are_each_as_if_they_were_alone(unequal):
    dataset, baseline = Dataset.load(PATHS.dataset), model(PATHS.baseline)
    for split, setting in enumerate(baseline.sweep.chosen()):
        rate = baseline.sweep.settings["learning_rate"][setting]
        own = alone(unequal, split, 1, dataset.transfer_set(["1"], split), rate)
        assert own.tobytes() == baseline.network.parameters[2 * split + 1].tobytes()


class KilledError(Exception):
    pass


@pytest.mark.parametrize("last", [0, 4, 5, 7, 10])
def test_a_kill_in_any_group_of_splits_is_made_good(unequal, monkeypatch, last):
    """Two groups of 6 epochs: the epochs from 6 on are the second one's."""
    before, calls = Path(PATHS.student).read_bytes(), []
    Path(PATHS.student).unlink()
    call = kdlib.pipeline.jobs.Progress.__call__

    def counted(self, *arguments):
        call(self, *arguments)
        calls.append(arguments[0])
        if len(calls) == last + 1:
            raise KilledError

    monkeypatch.setattr(kdlib.pipeline.jobs.Progress, "__call__", counted)
    with pytest.raises(KilledError):
        MAINS["distill"](unequal)
    MAINS["distill"](unequal)
    assert len(calls) <= 12 + 2  # what a checkpoint had not seen is trained again, no more
    assert Path(PATHS.student).read_bytes() == before
    assert sorted(path.name for path in Path("models").iterdir()) == ["baseline.npz", "student.npz", "teacher.npz"]


# What is reported


@pytest.mark.parametrize("splits", [1, SPLITS])
def test_a_test_example_counts_once_however_many_splits_test_on_it(tmp_path, monkeypatch, splits):
    """Of a given test set of 30 all splits test on the same 30."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    Path("data/raw").mkdir(parents=True)
    y = np.arange(120) % 3
    x = generator.normal(size=(120, 4)) + y[:, None]
    np.savez("data/raw/a.npz", x_train=x[:90], y_train=y[:90], x_test=x[90:], y_test=y[90:])
    params = quick_params(prepare={"dataset": "data/raw/a.npz", "splits": splits})
    said = {name: main(params) for name, main in MAINS.items()}
    result = said["evaluate"]
    assert result["examples"]["test"] == 30
    pooled = result["pooled"]["student"]
    right = round(30 * pooled["accuracy"])
    assert pooled["accuracy"] == right / 30
    assert (pooled["low"], pooled["high"]) == wilson_interval(right, 30)
    with open("metrics/confusion.csv", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 30


def test_each_example_is_answered_by_the_first_split_that_tests_on_it(here):
    run("train_baseline", "distill")
    dataset = Dataset.load(PATHS.dataset)
    said = predict_heldout(dataset, {name: model(path) for name, path in zip(
        NETWORKS, (PATHS.teacher, PATHS.baseline, PATHS.student), strict=True)})  # fmt: skip
    logits, labels = said.pooled("teacher")
    rows = np.concatenate([dataset.rows("test", split) for split in range(SPLITS)])
    assert said.test_examples == len(rows) == len(set(rows.tolist()))  # three tenths are disjoint
    assert np.array_equal(labels, dataset.y[rows])
    teacher = read_npz(PATHS.teacher)["logits"]
    expected = [teacher[split, dataset.rows("test", split)] for split in range(SPLITS)]
    assert np.array_equal(logits[0], np.concatenate(expected))
    assert pooled_measures(said)["teacher"]["accuracy"] == (logits[0].argmax(axis=-1) == labels).mean()
    student = model(PATHS.student).network
    firsts = [student.select([2 * split]) for split in range(SPLITS)]
    expected = [first.logits(dataset.inputs(dataset.rows("test", split), split)) for split, first in enumerate(firsts)]
    assert np.array_equal(said.pooled("student")[0], np.concatenate(expected, axis=1))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("splits", [1, 2])
def test_a_sweep_of_all_three_values_over_one_split_and_over_two(tmp_path, monkeypatch, splits, loss):
    monkeypatch.chdir(tmp_path)
    prepared, student = {"splits": splits}, {"epochs": 3}
    run("prepare", "train_teacher", prepare=prepared)

    def distill(temperature, alpha, learning_rate):
        distilled = {"temperature": temperature, "alpha": alpha, "loss": loss}
        rated = student | {"learning_rate": learning_rate}
        run("distill", prepare=prepared, distill=distilled, student=rated)
        return sweep_of(PATHS.student)[0]

    sweep = distill([1.0, 3.0, 8.0], [0.4, 0.9], [0.05, 0.1])
    assert sweep.loss.shape == (splits, 12, 2)
    for setting in (0, 3, 6, 11):
        alone = distill(**{key: values[setting] for key, values in sweep.settings.items()})
        assert sweep.loss[:, [setting]].tobytes() == alone.loss.tobytes()
