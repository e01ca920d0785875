"""Parquet files: the same bits as a CSV of the same rows, and what is refused."""

import datetime
import random
import sys

import numpy as np
import pytest

from kdlib.data.readers import read_table
from kdlib.preparation import columns, sources
from tests.data.own_tables import encoded, told


@pytest.fixture
def parquet(tmp_path):
    """parquet({name: array}): the path of a Parquet file."""
    pyarrow = pytest.importorskip("pyarrow", reason="no pyarrow (pip install pyarrow)")
    pq = pytest.importorskip("pyarrow.parquet")

    def write(columns, name="own.parquet"):
        pq.write_table(pyarrow.table(columns), tmp_path / name)
        return str(tmp_path / name)

    return write


def test_parquet_and_csv_of_the_same_rows_are_the_same_bits(table, parquet):
    chance = random.Random(0)
    content = {
        "a": [chance.gauss(0, 1) * 10 ** chance.randrange(-300, 300) for _ in range(40)],
        "k": [chance.randrange(9) if k % 7 else None for k in range(40)],
        "flag": [chance.random() < 0.5 for _ in range(40)],
        "when": [datetime.date(2024, 1, 1 + k % 28) for k in range(40)],
        "at": [datetime.datetime(2024, 1, 1 + k % 28, 13, 5, k, 17 * k) for k in range(40)],
        "colour": [chance.choice(["red", "blue", None]) for _ in range(40)],
        "y": ["pqr"[k % 3] for k in range(40)],
    }
    lines = [
        ",".join(content),
        *(",".join("" if v is None else str(v) for v in row) for row in zip(*content.values(), strict=True)),
    ]
    ours, theirs = sources.load_examples(table("\n".join(lines)), "y"), sources.load_examples(parquet(content), "y")
    assert ours.x.tobytes() == theirs.x.tobytes()
    assert (ours.encoding, ours.class_names, ours.y.tolist()) == (
        theirs.encoding,
        theirs.class_names,
        theirs.y.tolist(),
    )


def test_numbers_of_a_parquet_come_through_exactly(parquet):
    pyarrow = pytest.importorskip("pyarrow", reason="no pyarrow (pip install pyarrow)")
    wide = np.random.default_rng(0).normal(size=50)
    narrow = wide.astype(np.float32)
    x = encoded(
        parquet(
            {"w": wide, "n": narrow, "i": np.arange(50) - 2**53, "u": np.arange(50).astype("u8"), "y": ["a", "b"] * 25}
        )
    )
    assert (x["w"], x["n"]) == (wide.tolist(), narrow.astype(float).tolist())
    assert x["i"] == (np.arange(50) - 2**53).astype(float).tolist()
    coded = pyarrow.array(["2", "1"] * 25).dictionary_encode()
    assert list(encoded(parquet({"c": coded, "y": ["a", "b"] * 25}))) == ["c=1", "c=2"]


def test_a_zone_is_kept(parquet):
    pyarrow = pytest.importorskip("pyarrow", reason="no pyarrow (pip install pyarrow)")
    when = pyarrow.array([0, 43_200] * 10, pyarrow.timestamp("s", "Europe/Berlin"))
    assert encoded(parquet({"when": when, "y": ["a", "b"] * 10}))["when"] == [0, 0.5] * 10


@pytest.mark.parametrize("last", [2.125, None])
def test_numbers_that_are_numbers_already_need_no_notation(table, parquet, last):
    """`1.234`, a text, is 1234 in this column; a Parquet's number is what it is."""
    encoding = columns.fit_encoding(read_table(table("a;y\n" + "1.500;p\n2.250,5;q\n" * 9)), "y")
    later = read_table(parquet({"a": [1.234, last], "d": [1, 2]}))
    assert encoding.encode(later).tolist() == [[1.234], [last or 1500]]
    assert encoding.encode(read_table(table("a\n1.234\n", "later.csv"))).tolist() == [[1234]]


def test_a_damaged_parquet_is_told(parquet, tmp_path):
    path = parquet({"a": np.arange(5000.0), "y": ["p", "q"] * 2500})
    content = (tmp_path / "own.parquet").read_bytes()
    for size in (0, 3, 4, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "own.parquet").write_bytes(content[:size])
        assert "PATH: not a readable Parquet file" in told(path)
    (tmp_path / "own.parquet").write_bytes(content[: len(content) // 2] + content[len(content) // 2 + 9 :])
    assert "PATH: not a readable Parquet file" in told(path)


def test_a_parquet_that_unpacks_to_too_much_is_told(parquet):
    path = parquet({"a": np.zeros(12_000_000, dtype=np.int8), "y": np.zeros(12_000_000, dtype=np.int8)})
    assert "24,000,000 cells in" in told(path)


def test_what_is_no_cell_is_told_and_can_be_dropped(parquet):
    path = parquet({"a": [1.0, 2.0] * 9, "v": [[1.0], [2.0]] * 9, "y": ["p", "q"] * 9})
    assert "PATH: column v is list<" in told(path)
    assert list(encoded(path, drop=["v"])) == ["a"]


def test_a_parquet_cell_is_told_by_its_row(parquet):
    assert "row 3, column a: 'inf' is no number of at most" in told(
        parquet({"a": [1.0, 2.0, np.inf], "y": ["p", "q", "p"]})
    )


def test_without_pyarrow_a_parquet_is_refused(tmp_path, monkeypatch):
    (tmp_path / "own.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "PATH: Parquet needs pyarrow: pip install 'kdlib[tables]'" in told(str(tmp_path / "own.parquet"))
