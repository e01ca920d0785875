"""Features become the columns again that they were made from."""

import numpy as np
import pytest

from kdlib.data.decoding import category_names, decode_column, decode_table
from kdlib.data.encoding import Column, Encoding
from kdlib.data.readers import read_table
from kdlib.preparation import columns
from tests.data.column_examples import EXAMPLES
from tests.data.own_tables import rows


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_a_column_comes_back(example, table):
    read = read_table(table(example.csv))
    values = example.column.values(read)
    if not example.column.missing:
        values = np.where(np.isnan(values), example.column.fill, values)
    features = Encoding((example.column,)).encode(read)
    assert np.array_equal(decode_column(example.column, features), values, equal_nan=True)


def test_rows_that_are_mixed_have_what_they_have_most_of():
    colour = Column("colour", "category", categories=("blue", "red"), missing=True)
    mixed = np.array([[0.3, 0.7, 0], [0.5, 0.5, 0], [0.4, 0, 0.6], [0.6, 0, 0.4]])
    assert np.array_equal(decode_column(colour, mixed), [1, 0, np.nan, 0], equal_nan=True)
    width = Column("width", "number", fill=2.0, missing=True)
    assert np.array_equal(decode_column(width, np.array([[3.5, 0.25], [2.5, 0.75]])), [3.5, np.nan], equal_nan=True)


def test_the_name_of_rare_categories_is_of_no_other():
    column = Column("a", "category", categories=("a is rare", "a is rare_"), rare=("x", "y"))
    assert category_names(column) == ["a is rare", "a is rare_", "a is rare__"]


def test_a_table_comes_back(table):
    """With the same categories whatever the rows are; what is rare or unseen has no text of its own."""
    pandas = pytest.importorskip("pandas", reason="no pandas (pip install 'kdlib[raw]')")
    colours = ["red", "", "Grün", "red"]
    path = table(
        rows(
            width=lambda k: "" if k == 2 else 0.5 * k,
            colour=lambda k: colours[k % 4] if k > 1 else "ab"[k],
            born=lambda k: f"1970-01-{k % 28 + 1:02d}",
            fresh=lambda k: ["true", "false"][k % 2],
        )
    )
    read = read_table(path)
    encoding = columns.fit_encoding(read, "y")
    frame = decode_table(encoding, encoding.encode(read))
    assert list(frame.columns) == ["width", "colour", "born", "fresh"]
    assert [str(kind) for kind in frame.dtypes] == ["float64", "category", "float64", "float64"]
    assert np.array_equal(frame["width"], [np.nan if k == 2 else 0.5 * k for k in range(40)], equal_nan=True)
    assert np.array_equal(frame["born"], [k % 28 for k in range(40)])
    assert np.array_equal(frame["fresh"], [1 - k % 2 for k in range(40)])
    assert list(frame["colour"].cat.categories) == ["Grün", "red", "colour is rare"]
    found = [None if pandas.isna(text) else text for text in frame["colour"]]
    assert found == ["colour is rare"] * 2 + [colours[k % 4] or None for k in range(2, 40)]
    few = decode_table(encoding, encoding.encode(read)[2:3])
    assert few["colour"].dtype == frame["colour"].dtype
    unseen = decode_table(encoding, np.zeros((1, len(encoding.feature_names))))
    assert pandas.isna(unseen["colour"][0])
