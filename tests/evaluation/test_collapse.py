"""The rule of collapse, and what follows from it."""

import json
import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kdlib.backends.arithmetic import FAST
from kdlib.evaluation import collapse
from kdlib.evaluation.collapse import SplitPerformance
from kdlib.evaluation.intervals import wilson_interval
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams
from kdlib.pipeline.linear_control import train_linear_model
from kdlib.preparation import sources
from kdlib.preparation.build import build_dataset
from tests.conftest import MAINS, quick_params

LOG2 = np.log(2)


def table(share, rows=4000, seed=0):
    """(x (n, 4), y (n,), logits (1, n, 2)): two normal classes, of which one has that share, and what Bayes says."""
    generator = np.random.default_rng(seed)
    y = generator.permutation(np.arange(rows) < share * rows).astype(int)
    x = generator.normal(size=(rows, 4))
    x[:, 0] += 2 * y
    z = 2 * x[:, 0] - 2 + np.log(share / (1 - share))
    return x, y, np.stack([0 * z, z], axis=1)[None]


def measured(logits, y):
    return SplitPerformance.measure(logits, y, 9 * np.bincount(y, minlength=logits.shape[-1]))


SOUND = {
    "bayes": lambda z, y: z,
    "too sure of itself": lambda z, y: 3 * z,
    "of class weights": lambda z, y: z - [0, np.log(np.mean(y) / (1 - np.mean(y)))],
    "without a bias": lambda z, y: z - z.mean(axis=1),
    "hardly sure": lambda z, y: z / 3,
}
WRECKS = {
    "frequencies": lambda z, y: 0 * z + np.log([1 - np.mean(y), np.mean(y)]),
    "nearly frequencies": lambda z, y: 1e-3 * NOISE[:, : len(y)] + np.log([1 - np.mean(y), np.mean(y)]),
    "always the first": lambda z, y: 0 * z + [30, 0],
    "always the last": lambda z, y: 0 * z + [0, 30],
    "noise": lambda z, y: 5 * NOISE[:, : len(y)],
    "little noise": lambda z, y: NOISE[:, : len(y)] / 5,
    "other rows": lambda z, y: z[:, ::-1],
    "not a number that ends": lambda z, y: 1e30 * NOISE[:, : len(y)],
    "half of the rows": lambda z, y: np.where(np.arange(len(y))[:, None] % 2, 0, 40 * NOISE[:, : len(y)]),
}
NOISE = np.random.default_rng(1).normal(size=(1, 10_000, 2))


@pytest.mark.parametrize("share", [0.5, 0.04, 0.01])
@pytest.mark.parametrize("name", SOUND)
def test_a_network_that_has_learned_has_not_collapsed(share, name):
    _, y, z = table(share)
    assert collapse.diagnose([measured(SOUND[name](z, y), y)]) is None


@pytest.mark.parametrize("share", [0.5, 0.04, 0.01])
@pytest.mark.parametrize("name", WRECKS)
def test_a_wreck_is_one(share, name):
    _, y, z = table(share)
    assert collapse.diagnose([measured(WRECKS[name](z, y), y)])


def test_a_good_model_of_a_rare_event_may_never_name_it():
    _, y, z = table(0.01)
    z = z - [0, 3]
    assert (z.argmax(axis=-1) == 0).all()
    assert collapse.diagnose([measured(z, y)]) is None


def test_the_constant_says_the_frequencies_of_the_training_rows():
    y = np.array([0, 0, 0, 2])
    found = SplitPerformance.measure(np.zeros((1, 4, 3)), y, np.array([6, 3, 1]))
    assert found.constant_nll == pytest.approx(-(3 * np.log(0.6) + np.log(0.1)) / 4, rel=1e-14)
    assert (found.correct_by_class.tolist(), found.class_counts.tolist(), found.n_classes) == ([[3, 0]], [3, 1], 3)
    assert found.accuracy().tolist() == [0.75]
    assert found.balanced_accuracy().tolist() == [0.5]


def test_it_names_the_replicas():
    _, y, z = table(0.25)
    stack = np.concatenate([0 * z + np.log([0.75, 0.25]), z, 0 * z + np.log([0.7, 0.3])])
    worst = -(0.75 * np.log(0.7) + 0.25 * np.log(0.3))
    constant = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert collapse.diagnose([measured(z, y), measured(stack, y)]) == (
        f"is hardly better than a constant on validation: {worst:.4f} nats, always saying the class frequencies"
        f" {constant:.4f} (2 of 4 replicas)"
    )


@pytest.mark.parametrize(("times", "collapsed"), [(1.0, False), (1.99, False), (2.01, True), (30.0, True)])
def test_far_above_a_fresh_networks_loss(times, collapsed):
    _, y, z = table(0.5)
    own = replace(measured(np.concatenate([z, z]), y), nll=np.array([0.3, times * LOG2]))
    reason = collapse.diagnose([own])
    assert (reason is not None) == collapsed
    assert not collapsed or f"{times * LOG2:.2f} nats, a fresh network's 0.69 (1 of 2 replicas)" in reason


def of(correct, counts, nll, constant=LOG2):
    return SplitPerformance(
        np.array([nll]), np.array([nll]), np.array([correct]), np.array(counts), constant, len(counts)
    )


@pytest.mark.parametrize(("beyond", "collapsed"), [(0.01, False), (0.019, False), (0.021, True)])
def test_clearly_below_a_linear_model(beyond, collapsed):
    share = wilson_interval(750, 1000)[1] + beyond
    linear = of([500 * share, 500 * share], [500, 500], 0.4)
    reason = collapse.diagnose([of([375, 375], [500, 500], 0.5)], linear)
    assert (reason is not None) == collapsed
    assert not collapsed or "clearly below a linear model on validation: 75.0 % accuracy" in reason


def test_of_few_examples_less_is_clear():
    linear = of([425, 425], [500, 500], 0.4)
    assert collapse.diagnose([of([375, 375], [500, 500], 0.5)], linear)
    assert collapse.diagnose([of([7, 8], [10, 10], 0.3)], linear) is None
    assert collapse.diagnose([of([7, 8], [10, 10], 0.45)], linear) is None


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (of([990, 1], [990, 10], 0.05, 0.056), None),  # as sure as the linear model
        (of([990, 0], [990, 10], 0.0555, 0.056), None),  # 0 of 10 may be chance
        (of([990, 0], [990, 10], 0.057, 0.056), "0.0570 nats, a linear model 0.0300"),
        (of([9900, 0], [9900, 100], 0.0555, 0.056), "50.0 % balanced accuracy, a linear model 59.8 %"),
        (of([900, 9], [990, 10], 0.2, 0.056), None),  # class weights find more
    ],
)
def test_below_a_linear_model_of_a_rare_class(ours, words):
    linear = of([986, 2], [990, 10], 0.03, 0.056)
    reason = collapse.diagnose([replace(ours, best_nll=np.array([0.03]))], linear)
    assert (reason is None) if words is None else words in reason


@pytest.mark.parametrize("share", [0.5, 0.01])
@pytest.mark.parametrize(("rate", "collapsed"), [(0.2, False), (10.0, True)])
def test_of_trained_networks_too(share, rate, collapsed):
    x, y, _ = table(share)
    one_hot = np.eye(2)[y]
    train_, held_out = np.arange(len(y)) % 4 > 0, np.arange(len(y)) % 4 == 0
    recipe = Recipe((8,), epochs=8, learning_rate=rate, batch_size=64, momentum=0.0, schedule="constant")
    objective = CrossEntropy(one_hot[train_], FAST)
    network, _ = train(x[train_], objective, recipe, streams=Streams(0, "test", (0, 1)))
    linear = train_linear_model(x[train_], one_hot[train_])
    ours, theirs = (measured(of.logits(x[held_out]), y[held_out]) for of in (network, linear))
    assert (collapse.diagnose([ours], theirs) is not None) == collapsed


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
    assert re.search(word, collapse.advice(network, collapsed))


SET = {"prepare.scaling": "standard", "student.warmup": 0.1, "digest": True}


@pytest.mark.parametrize(
    ("network", "collapsed", "model", "words"),
    [
        ("teacher", ["teacher"], "", "lower teacher.learning_rate"),
        ("baseline", ["baseline"], "", "lower student.learning_rate, or raise student.epochs"),
        ("student", ["student"], "", "lower distill.temperature, or lower student.learning_rate"),
        ("teacher", ["teacher"], "foreign", "look at the model that gave them"),
    ],
)
def test_what_is_set_is_not_advised(network, collapsed, model, words):
    told, untold = (collapse.advice(network, collapsed, model, settings) for settings in (SET, {}))
    assert told.endswith(words)
    assert not re.search("scaling|warmup|give them with", told)
    assert re.search("scaling|warmup|give them with", untold)


@pytest.mark.parametrize("name", ["breast_cancer", "digits", "iris", "wine"])
def test_the_linear_model_is_as_good_as_logistic_regression(name):
    dataset = build_dataset(sources.load_examples(name, None), 0, 1, 0.6, 0.3, None, "standard", 1.0)
    train_, held_out = dataset.rows("train"), dataset.rows("validation")
    ours = train_linear_model(dataset.inputs(train_), dataset.one_hot(train_)).logits(dataset.inputs(held_out))
    theirs = LogisticRegression(max_iter=1000).fit(dataset.inputs(train_), dataset.y[train_])
    score = np.mean(ours[0].argmax(axis=1) == dataset.y[held_out])
    assert score > theirs.score(dataset.inputs(held_out), dataset.y[held_out]) - 0.04


def test_the_linear_model_leaves_out_what_has_no_label():
    dataset = build_dataset(sources.load_examples("iris", None), 0, 1, 0.6, 0.3, None, "standard", 1.0)
    x, one_hot = dataset.inputs(dataset.rows("train")), dataset.one_hot(dataset.rows("train"))
    more = np.concatenate([x, 100 * x]), np.concatenate([one_hot, 0 * one_hot])
    assert np.array_equal(train_linear_model(*more).parameters, train_linear_model(x, one_hot).parameters)


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


def test_a_rare_class_has_a_verdict(run):
    """4 % positives: teacher, baseline and student are hardly more often right than who never names them."""
    x, y, _ = table(0.04, rows=2000)
    Path("data/raw").mkdir(parents=True)
    np.savez("data/raw/rare.npz", x=x, y=y)
    result, printed, _ = run(
        prepare={"dataset": "data/raw/rare.npz", "scaling": "auto"},
        teacher={"model": "HistGradientBoostingClassifier", "options": {"max_iter": 30}},
        student={"epochs": 10, "learning_rate": 0.05},
    )
    assert result["student"]["validation"]["accuracy"]["mean"] < 0.98
    assert "collapsed" not in result
    assert "no verdict, a training" not in printed
