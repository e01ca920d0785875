"""Rows in memory: what a deployed student makes of DataFrames, dicts, lists of dicts and masked arrays."""

import datetime
import sys

import numpy as np
import pytest

from kdlib.__main__ import main
from kdlib.data.dataframes import to_table
from kdlib.data.encoding import Column
from kdlib.data.readers import read_table
from kdlib.deployment.predict import predict
from kdlib.io.errors import UserError
from tests.data.column_examples import deployed

COLUMNS = (
    Column("weight", "number", fill=2.0, missing=True),
    Column("town", "category", categories=("Köln", "Paris")),
    Column("count", "category", categories=("4", "5"), missing=True),
    Column("day", "date", fill=1.0),
    Column("new", "boolean"),
)
FILE = """weight,town,count,day,new
1.5,Köln,4,2011-03-04,true
-2e-7,Paris,5,2011-03-04T12:30,false
,Paris,,,
1.0,Oslo,4.0,1969-12-31,True
"""
DAYS = ["2011-03-04", "2011-03-04T12:30", "NaT", "1969-12-31"]
ROWS = {
    "weight": np.array([1.5, -2e-7, np.nan, 1.0]),
    "town": ["Köln", "Paris", "Paris", "Oslo"],
    "count": np.array([4, 5, np.nan, 4]),
    "day": np.array(DAYS, dtype="datetime64[ns]"),
    "new": [True, False, None, True],
}


class NoTruth:
    """As pandas.NA, neither equal to anything nor not."""

    def __ne__(self, other):
        return self

    def __bool__(self):
        raise TypeError("neither true nor false")


class Frame:
    """What a DataFrame of pandas or polars has."""

    def __init__(self, columns, names=None):
        self.content = columns
        self.columns = names or list(columns)

    def __len__(self):
        return len(next(iter(self.content.values())))

    def __getitem__(self, name):
        return np.array(self.content[name])


@pytest.fixture
def table(tmp_path):
    (tmp_path / "rows.csv").write_text(FILE, "utf-8")
    return read_table(str(tmp_path / "rows.csv"))


def dicts():
    values = {name: list(column) for name, column in ROWS.items()}
    values["day"] = [
        datetime.date(2011, 3, 4),
        datetime.datetime(2011, 3, 4, 12, 30),
        None,
        datetime.date(1969, 12, 31),
    ]
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


@pytest.mark.filterwarnings("ignore:column")
@pytest.mark.parametrize(
    "rows",
    [
        ROWS,
        Frame(ROWS),
        Frame(dict(reversed(ROWS.items()))),
        dicts(),
        ROWS | {"weight": np.ma.array([1.5, -2e-7, 9.0, 1.0], mask=[0, 0, 1, 0])},
        ROWS | {"count": np.ma.array([4, 5, 4, 4], mask=[0, 0, 1, 0]), "more": object(), 3: []},
    ],
    ids=["dict", "frame", "reversed", "dicts", "mask", "more"],
)
def test_rows_in_memory_answer_as_their_file_does(table, rows):
    model = deployed(COLUMNS)
    assert model.logits(rows).tobytes() == model.logits(table).tobytes()


def test_pandas(table):
    pandas = pytest.importorskip("pandas", reason="no pandas (pip install pandas)")
    frame = pandas.DataFrame(ROWS | {"town": pandas.Categorical(ROWS["town"]), "more": 1})
    frame["new"] = frame["new"].astype("boolean")
    model = deployed(COLUMNS)
    with pytest.warns(UserWarning, match="column town"):
        assert model.logits(frame[frame.columns[::-1]]).tobytes() == model.logits(table).tobytes()


def test_columns_of_numbers_are_matched_too():
    model = deployed(features=["p", "q"])
    x = np.random.default_rng(0).normal(size=(9, 2))
    frame = Frame({"q": x[:, 1], "id": np.arange(9), "p": x[:, 0]})
    assert model.logits(frame).tobytes() == model.logits(x).tobytes()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"p": [1.0]}, "rows: lacks the column 'q'; its columns are p"),
        (Frame({"0": [1.0], "1": [2.0]}), "rows: lacks the column 'p'; its columns are 0, 1"),
        ({"p": [1.0, 2.0], "q": [1.0]}, "rows: column q has 1 values, p has 2"),
        ({"p": [], "q": []}, "rows: has no rows"),
        ({"p": 1.0, "q": [1.0]}, r"rows: column 'p' has the shape \(\); needs a list or array"),
        ({"p": "1", "q": [1.0]}, r"rows: column 'p' has the shape \(\)"),
        ({"p": np.ones((2, 2)), "q": [1.0]}, r"rows: column 'p' has the shape \(2, 2\)"),
        ({"p": [1.0], " p": [2.0], "q": [1.0]}, "rows: two columns are named 'p'; rename one"),
        ([{"p": 1.0, "q": 2.0}, {"p": 1.0}], "rows: row 2 lacks the column 'q'; a missing value is None"),
        (Frame({"p": [1.0], "q": [2.0]}, ["p", "q", "p"]), "rows: two columns are named 'p'; rename one"),
        ({"p": [1.0, None], "q": [1, 2]}, "rows: row 2, column p: got nan; needs a finite number"),
        ({"p": [1.0, "x"], "q": [1, 2]}, "rows: row 2, column p: 'x' is no number"),
        ({"p": np.array([1.0, np.inf]), "q": [1, 2]}, "rows: row 2, column p: 'inf' is no number"),
        (np.ma.array([[1.0, 2.0]], mask=[[False, True]]), "row 1, q: got nan; needs a finite number"),
        (np.ma.array([[1, 2]], mask=[[False, True]]), "row 1, q: got nan; needs a finite number"),
    ],
)
def test_what_does_not_fit_is_named(rows, words):
    with pytest.raises(UserError, match=words):
        deployed(features=["p", "q"]).logits(rows)


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        (np.array([0.1, 1e300, np.nan]), ["0.1", "1e+300", ""]),
        (np.array([1.5, 2.5, -0.25], np.float32), ["1.5", "2.5", "-0.25"]),
        (np.array([2**63, 1, 0], np.uint64), ["9223372036854775808", "1", "0"]),
        ([None, float("nan"), "NA "], ["", "", "NA"]),
        ([True, np.bool_(False), b"x"], ["true", "false", "x"]),
        (
            np.array(["2011-03-04T05", "1969-12-31T23", "NaT"], "datetime64[h]"),
            ["2011-03-04T05:00", "1969-12-31T23:00", ""],
        ),
        (np.ma.array(["a", "b", "c"], mask=[0, 1, 0]), ["a", "", "c"]),
    ],
)
def test_cells_are_the_texts_of_a_file(values, cells):
    assert to_table({"a": values}, ["a"]).cells("a") == cells


KNOWN = {
    "town": ["Köln", "Paris"],
    "weight": [1.0, 2.0],
    "count": ["4", "5"],
    "day": ["2011-03-04"] * 2,
    "new": [True] * 2,
}


def test_it_warns_once_of_cells_that_training_does_not_know(recwarn):
    model = deployed(COLUMNS)
    model.predict(KNOWN)
    assert not recwarn.list
    for _ in range(3):
        model.predict_proba(ROWS)
    told = [str(warning.message) for warning in recwarn.list]
    assert told == [
        "column weight: 1 missing, of 4 cells; column town: 1 unseen in training, of 4 cells; column count: 1 missing,"
        " of 4 cells; column day: 1 missing, of 4 cells; column new: 1 missing, of 4 cells"
    ]
    deployed(COLUMNS).predict(ROWS)
    assert len(recwarn.list) == 2


def test_predict_ends_with_a_line_for_each_such_column(tmp_path, monkeypatch, capsys, recwarn):
    monkeypatch.chdir(tmp_path)
    deployed(COLUMNS).save("model.npz")
    (tmp_path / "rows.csv").write_text(FILE.replace(",,,", ",4,2011-03-04,true").replace("Oslo", "\u202eolsO"), "utf-8")
    monkeypatch.setattr(sys, "argv", ["kdlib", "predict", "model.npz", "rows.csv", "--output", "out.csv"])
    main()
    assert capsys.readouterr().out.splitlines() == [
        "out.csv: 4 rows",
        "column weight: 1 missing, of 4 cells",
        "column town: 1 unseen in training, of 4 cells",
    ]
    assert not recwarn.list


@pytest.mark.parametrize("rows", ["rows.csv", "rows.npz"])
def test_rows_may_be_given_by_a_path(tmp_path, rows):
    deployed(COLUMNS).save(tmp_path / "model.npz")
    (tmp_path / "rows.csv").write_text(FILE, "utf-8")
    np.savez(tmp_path / "rows.npz", x=np.full((1, 2), np.nan))
    if rows.endswith(".csv"):
        assert predict(tmp_path / "model.npz", tmp_path / rows, tmp_path / "out.csv")[0] == 4
    else:
        with pytest.raises(UserError, match=r"rows\.npz: rows are float64 \(1, 2\)"):
            predict(tmp_path / "model.npz", tmp_path / rows, tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1.234"], [1234.0]),
        (["0,5"], [0.5]),
        ([1.234], [1.234]),
        ([1.234, None], [1.234, np.nan]),
        ([1.234, NoTruth(), ""], [1.234, np.nan, np.nan]),
    ],
)
def test_numbers_in_memory_are_in_no_notation(values, expected):
    """`1.234` is 1234 where a file writes `1.234,5`; the number 1.234 is not."""
    column = Column("weight", "number", notation="1.234,5")
    for rows in ({"weight": values}, [{"weight": value} for value in values]):
        np.testing.assert_array_equal(column.values(to_table(rows, ["weight"])), expected)


def test_numbers_and_texts_in_a_notation_are_not_mixed():
    column = Column("weight", "number", notation="1.234,5")
    with pytest.raises(UserError, match=r"rows: column weight has numbers and texts, which are such as 1\.234,5; give"):
        column.values(to_table({"weight": [1.234, "0,5"]}, ["weight"]))


def test_predict_tells_how_a_file_was_read(tmp_path):
    deployed(COLUMNS).save(tmp_path / "model.npz")
    (tmp_path / "rows.csv").write_text(FILE.replace(",", ";"), "utf-8")
    _, told = predict(tmp_path / "model.npz", str(tmp_path / "rows.csv"), tmp_path / "out.csv")
    assert told[0] == "columns are separated by a semicolon"
