"""The rule of collapse, and what follows from it."""

import json
import logging
import re

import numpy as np
import pytest
from conftest import MAINS, quick_params
from sklearn.linear_model import LogisticRegression

from kdlib.evaluation import health
from kdlib.evaluation.intervals import wilson_interval
from kdlib.preparation import sources
from kdlib.preparation.assembly import prepare

LOG5 = np.log(5)
HEALTHY = {"accuracy": [0.8, 0.7], "nll": [0.5, 0.6], "examples": 1000, "majority": 0.2, "classes": 5, "linear": 0.7}


def diagnosis(**changes):
    return health.diagnose(**HEALTHY | changes)


def test_a_network_that_has_learned_has_not_collapsed():
    assert diagnosis() is None
    assert diagnosis(linear=None) is None


@pytest.mark.parametrize(("accuracy", "collapsed"), [(0.15, True), (0.2, True), (0.279, True), (0.281, False)])
def test_near_the_majority(accuracy, collapsed):
    """A tenth of the way from 20 % to 1 is 28 %."""
    assert (diagnosis(accuracy=[0.8, accuracy], linear=None) is not None) == collapsed


def test_it_names_the_replicas():
    reason = diagnosis(accuracy=[0.2, 0.8, 0.25])
    assert reason == (
        "is hardly better than a constant on validation: 20.0 %, always saying the largest class 20.0 %"
        " (2 of 3 replicas)"
    )


@pytest.mark.parametrize(("times", "collapsed"), [(1.0, False), (1.99, False), (2.01, True), (30.0, True)])
def test_far_above_a_fresh_networks_loss(times, collapsed):
    reason = diagnosis(nll=[0.5, times * LOG5])
    assert (reason is not None) == collapsed
    assert not collapsed or f"{times * LOG5:.2f} nats, a fresh network's 1.61 (1 of 2 replicas)" in reason


@pytest.mark.parametrize(("beyond", "collapsed"), [(0.01, False), (0.019, False), (0.021, True)])
def test_clearly_below_a_linear_model(beyond, collapsed):
    reason = diagnosis(linear=wilson_interval(750, 1000)[1] + beyond)
    assert (reason is not None) == collapsed
    assert not collapsed or "clearly below a linear model on validation: 75.0 %" in reason


def test_of_few_examples_less_is_clear():
    assert diagnosis(linear=0.85)
    assert diagnosis(linear=0.85, examples=20) is None


@pytest.mark.parametrize(
    ("network", "collapsed", "word"),
    [
        ("teacher", ["teacher"], r"teacher\.learning_rate"),
        ("baseline", ["baseline", "student"], r"prepare\.scaling"),
        ("student", ["baseline", "student"], r"student\.learning_rate"),
        ("student", ["student"], "T² scales the gradient"),
        ("student", ["teacher", "student"], "its teacher"),
    ],
)
def test_the_advice_fits(network, collapsed, word):
    assert re.search(word, health.advice(network, collapsed))


@pytest.mark.parametrize("name", ["breast_cancer", "digits", "iris", "wine"])
def test_the_linear_model_is_as_good_as_logistic_regression(name):
    dataset = prepare(sources.load(name, None), 0, 1, 0.6, 0.3, None, "standard", 1.0)
    train, held_out = dataset.rows("train"), dataset.rows("validation")
    validation = dataset.inputs(held_out), dataset.one_hot(held_out)
    ours = health.linear_accuracy(dataset.inputs(train), dataset.one_hot(train), validation)
    theirs = LogisticRegression(max_iter=1000).fit(dataset.inputs(train), dataset.y[train])
    assert ours > theirs.score(validation[0], dataset.y[held_out]) - 0.04


def test_the_linear_model_leaves_out_what_has_no_label():
    dataset = prepare(sources.load("iris", None), 0, 1, 0.6, 0.3, None, "standard", 1.0)
    train, held_out = dataset.rows("train"), dataset.rows("validation")
    validation = dataset.inputs(held_out), dataset.one_hot(held_out)
    x, one_hot = dataset.inputs(train), dataset.one_hot(train)
    more = np.concatenate([x, 100 * x]), np.concatenate([one_hot, 0 * one_hot])
    assert health.linear_accuracy(*more, validation) == health.linear_accuracy(x, one_hot, validation)


@pytest.fixture
def run(tmp_path, monkeypatch, caplog, capsys):
    """A function of params that runs all stages, to details.json, what was printed, and the warnings."""
    monkeypatch.chdir(tmp_path)

    def all_stages(**changes):
        params = quick_params(**changes)
        with caplog.at_level(logging.WARNING):
            for main in MAINS.values():
                main(params)
        result = json.loads((tmp_path / "metrics/details.json").read_text("utf-8"))
        return result, capsys.readouterr().out, [record.getMessage() for record in caplog.records]

    return all_stages


WRECK = {"epochs": 30, "learning_rate": 30.0, "momentum": 0.0}


def test_no_win_from_a_wreck(run):
    result, printed, warnings = run(teacher={"epochs": 30}, student=WRECK, distill={"alpha": 1.0, "temperature": 1.0})
    assert "baseline" in result["collapsed"]
    assert {gain["verdict"] for gains in result["gain"].values() for gain in gains.values()} == {
        "no verdict, a training has collapsed"
    }
    assert "better" not in printed.replace("hardly better", "")
    found = result["collapsed"]["baseline"]
    assert f"warning: the baseline {found['reason']}; {found['advice']}" in printed
    assert f"the baseline {found['reason']}; {found['advice']}" in warnings


def test_where_all_is_well_nothing_is_said(run):
    result, printed, warnings = run(teacher={"epochs": 40}, student={"epochs": 60})
    assert "collapsed" not in result
    assert "warning" not in printed
    assert not [warning for warning in warnings if "collapse" in warning or "linear" in warning]


def test_classes_that_the_transfer_set_lacks_are_no_wreck(run):
    """A control cannot know them: it is judged by the others."""
    prepared = {"transfer_classes": ["setosa", "virginica"]}
    result, _, _ = run(prepare=prepared, teacher={"epochs": 40}, student={"epochs": 60})
    assert result["baseline"]["validation"]["accuracy"]["mean"] < 0.7
    assert "collapsed" not in result
