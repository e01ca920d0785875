"""The column of classes: their names and order, and what looks like regression."""

import numpy as np
import pytest

from kdlib.data.readers import read_table
from kdlib.preparation import labels, sources
from tests.data.own_tables import rows, told


@pytest.mark.parametrize(
    "make", [lambda k: k * 1.25, lambda k: 20 + k % 121, lambda k: 5 * (k % 121), lambda k: k - 200], ids=range(4)
)
def test_regression_is_told(table, make):
    line = told(table(rows(400, price=make)), target="price")
    assert "column price has" in line
    assert "different numbers in 400 rows" in line
    assert "regression" in line


def test_regression_of_few_rows_is_told(table):
    line = told(table(rows(15, price=lambda k: k * 1.25)), target="price")
    assert "15 different numbers in 15 rows, from 0 to 17.5: that is regression" in line


@pytest.mark.parametrize(
    "make", [lambda k: k % 121, lambda k: 1 + k % 121, lambda k: k % 20 * 0.5, lambda k: f"c{k % 121}"]
)
def test_many_classes_are_no_regression(table, make):
    assert len(sources.load_examples(table(rows(400, kind=make)), "kind").class_names) in (20, 121)


def test_regression_in_an_archive_is_told(tmp_path):
    path = str(tmp_path / "own.npz")
    for y in (np.arange(400) % 121 + 20, np.arange(400) / 4):
        np.savez(path, x=np.zeros((400, 2)), y=y)
        assert "PATH: y has" in (line := told(path))
        assert "regression" in line


def test_classes_that_are_numbers_are_in_their_order(table):
    y, names = labels.of_table(read_table(table(rows(kind=lambda k: k % 12))), "kind")
    assert names == [str(k) for k in range(12)]
    assert y.tolist() == [k % 12 for k in range(40)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda k: k % 121, "has 121 different numbers, 0 to 120, and each is a class of its own"),
        (lambda k: k % 3 - 1, "has -1, and it is a class as the others are"),
        (lambda k: k % 2 * 2 - 1, None),
        (lambda k: k % 20, None),
    ],
)
def test_numbers_that_may_be_no_classes_are_told(table, tmp_path, caplog, make, words):
    np.savez(tmp_path / "own.npz", x=np.random.default_rng(0).normal(size=(400, 2)), y=[make(k) for k in range(400)])
    for source, target in ((table(rows(400, a=lambda k: k * 7 % 9, kind=make)), "kind"), (tmp_path / "own.npz", None)):
        caplog.clear()
        sources.load_examples(str(source), target)
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert [words in line for line in said] == [True] if words else not said


def test_none_is_a_class(table):
    assert labels.of_table(read_table(table("a,y\n1,None\n2,Apnea\n")), "y")[1] == ["Apnea", "None"]
