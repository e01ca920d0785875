"""Classes with too few rows for the splits, left out where `prepare.rare_classes` says so."""

import logging
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kdlib
from kdlib.data.dataset import Dataset
from kdlib.data.mapped_rows import ConcatenatedRows
from kdlib.io.errors import UserError
from kdlib.pipeline.command_line import PATHS
from tests.conftest import MAINS, quick_params
from tests.preparation.small_datasets import examples, prepare


def without(given, *classes):
    """The examples of the other classes, by hand."""
    kept = ~np.isin(given.y, classes)
    names = [name for k, name in enumerate(given.class_names) if k not in classes]
    place = {int(name): k for k, name in enumerate(names)}
    test = None if given.in_given_test_set is None else given.in_given_test_set[kept]
    y = np.array([place[label] for label in given.y[kept]])
    weights = None if given.weights is None else given.weights[kept]
    return replace(given, x=given.x[kept], y=y, class_names=names, in_given_test_set=test, weights=weights)


TEN = {"splits": 10, "train_ratio": 0.8, "val_ratio": 0.1}
CASES = {  # counts of the classes, options, and the classes that are left out
    "fewer rows than splits": ((50, 4, 30, 9, 20), TEN, (1, 3)),
    "fewer rows than subsets": ((50, 30, 2), {}, (2,)),
    "too few for a share": ((60, 50, 3), {"train_ratio": 0.8, "val_ratio": 0.1}, (2,)),
    "too few in the sample": ((50, 4, 30), {"max_samples": 20}, (1,)),
    "too few labels": ((50, 30, 5), {"labeled_fraction": 0.15}, (2,)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_dataset_is_that_of_the_other_classes(case):
    counts, options, left_out = CASES[case]
    with pytest.raises(UserError, match=r"prepare.rare_classes: leave_out$"):
        prepare(data=examples(counts), **options)
    found = prepare(data=examples(counts), rare_classes="leave_out", **options)
    expected = prepare(data=without(examples(counts), *left_out), **options)
    assert found.class_names == [str(k) for k in range(len(counts)) if k not in left_out]
    assert found.digest == expected.digest


def test_where_no_class_is_rare_nothing_changes():
    assert prepare(rare_classes="leave_out").digest == prepare().digest


def test_the_given_test_set_loses_its_rows_too():
    given = examples((60, 8, 40))
    given.in_given_test_set = np.arange(len(given.y)) % 4 != 0
    options = {"splits": 4, "train_ratio": 0.6, "val_ratio": 0.3}
    found = prepare(data=given, rare_classes="leave_out", **options)
    assert found.class_names == ["0", "2"]
    assert found.digest == prepare(data=without(given, 1), **options).digest


def test_the_weights_lose_their_rows_too():
    given = examples((50, 30, 2))
    given.weights = np.arange(len(given.y)) + 1.0
    found = prepare(data=given, rare_classes="leave_out")
    assert found.digest == prepare(data=without(given, 2)).digest
    assert len(found.weights) == 80


def test_rows_of_a_file_stay_there():
    given = examples((50, 30, 2))
    expected = prepare(data=without(given, 2))
    given.x = ConcatenatedRows([given.x], np.float64)
    found = prepare(data=given, rare_classes="leave_out")
    assert isinstance(found.x, ConcatenatedRows)
    assert np.array_equal(found.x[:], expected.x)


def test_the_log_names_them_and_counts_their_rows(caplog):
    with caplog.at_level(logging.WARNING):
        prepare(data=examples((50, 4, 30, 9)), rare_classes="leave_out", **TEN)
    assert "2 of 4 classes, with 13 of 93 rows, are left out" in caplog.text
    assert "'1' (4 rows), '3' (9 rows)" in caplog.text


def test_two_classes_have_to_be_left():
    with pytest.raises(UserError, match="too few examples of the class '1': 4"):
        prepare(data=examples((50, 4)), rare_classes="leave_out", **TEN)


def test_another_value_is_refused():
    with pytest.raises(UserError, match="rare_classes: got 'drop'; allowed are error, leave_out"):
        prepare(rare_classes="drop")


def test_what_is_deployed_does_not_know_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("data/raw")
    kinds = ["oak"] * 40 + ["yew"] * 2 + ["ash"] * 40
    lines = [f"{k % 7},{k % 5},{kind}" for k, kind in enumerate(kinds)]
    Path("data/raw/trees.csv").write_text("\n".join(["height,width,kind", *lines]) + "\n", "utf-8")
    params = quick_params(
        prepare={"dataset": "data/raw/trees.csv", "target": "kind", "scaling": "auto", "rare_classes": "leave_out"}
    )
    for stage in ("prepare", "train_teacher", "train_baseline", "distill", "deploy"):
        MAINS[stage](params)
    assert Dataset.load(PATHS.dataset).class_names == ["ash", "oak"]
    deployed = kdlib.load(f"{PATHS.deployed}/int.npz")
    assert deployed.card.classes == ["ash", "oak"]
    assert set(deployed.predict({"height": ["1", "2"], "width": ["0", "3"]})) <= {"ash", "oak"}
