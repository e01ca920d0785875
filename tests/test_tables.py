"""Tables of a user's own: what is read, what becomes features of it, what is refused and how."""

import csv
import datetime
import gzip
import json
import random
import re
import shutil
import sys
import unicodedata
from fractions import Fraction
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.data import parsing
from kdlib.data.encoding import Encoding
from kdlib.data.readers import read_table
from kdlib.io.errors import UserError
from kdlib.preparation import columns, labels, sources

some = settings(deadline=None, max_examples=100)


@pytest.fixture
def table(tmp_path):
    """table(text or bytes): the path of a CSV."""

    def write(content, name="own.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


def rows(count=40, **makers):
    """The text of a CSV with a column y of three classes, and a column for each function of the row's number."""
    lines = [",".join([*makers, "y"])]
    lines += [",".join([*(str(make(k)) for make in makers.values()), "abc"[k % 3]]) for k in range(count)]
    return "\n".join(lines) + "\n"


def encoded(path, target="y", drop=(), categories=(), missing=()):
    """{feature: its column as a list}."""
    raw = read_table(path)
    encoding = columns.fit_encoding(raw, target, drop, categories, missing)
    x = encoding.encode(raw)
    assert x.dtype == np.float64
    assert np.isfinite(x).all()
    return dict(zip(encoding.feature_names, x.T.tolist(), strict=True))


# Cells


@some
@given(st.floats(-1e300, 1e300), st.sampled_from("egf"), st.integers(0, 25))
def test_a_number_is_the_nearest_float(value, form, digits):
    text = f"{value:.{digits}{form}}"
    found = parsing.parse_number(text)
    gap = abs(Fraction(text) - Fraction(found))
    for side in (-np.inf, np.inf):
        other = float(np.nextafter(found, side))
        assert gap <= abs(Fraction(text) - Fraction(other))
    assert parsing.parse_numbers([text, "1"]).tolist() == [found, 1.0]


@pytest.mark.parametrize("text", ["1_0", "١٢", "１", "1,5", "0x10", "lime", "1 2", "", "--1", "1e", "NAN", "-nan"])
def test_what_is_no_number(text):
    assert parsing.parse_number(text) is None
    assert parsing.parse_numbers(["1", text]) is None


@some
@given(st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30)), st.integers(-720, 720))
def test_a_date_is_its_days_since_1970(when, east):
    zone = datetime.timezone(datetime.timedelta(minutes=east))
    step = when - datetime.datetime(1970, 1, 1)
    assert parsing.parse_date(when.isoformat()) == step / datetime.timedelta(days=1)
    assert parsing.parse_date(when.isoformat(sep=" ") + "Z") == step / datetime.timedelta(days=1)
    assert parsing.parse_date(when.replace(tzinfo=zone).isoformat()) == (
        step - zone.utcoffset(None)
    ) / datetime.timedelta(days=1)
    assert parsing.parse_date(when.date().isoformat()) == step.days


@pytest.mark.parametrize(
    "text", ["2023-02-29", "2023-13-01", "2023-1-1", "20230101", "01/02/2023", "2023-01-01T25:00", ""]
)
def test_what_is_no_date(text):
    assert parsing.parse_date(text) is None


@pytest.mark.parametrize(
    ("notation", "texts", "values"),
    [
        ("1,5", ["0,35", "-1,3", "7", ",5", "1,5e-2"], [0.35, -1.3, 7, 0.5, 0.015]),
        ("1,234.5", ["1,500", "1,234,567.25", "12", "-4,000"], [1500, 1234567.25, 12, -4000]),
        ("1.234,5", ["1.500", "1.234.567,25", "12", "0,5"], [1500, 1234567.25, 12, 0.5]),
        ("1 234.5", ["12 000", "12\u00a0000.5", "1\u202f234\u202f567", "5000"], [12000, 12000.5, 1234567, 5000]),
        ("1 234,5", ["1 527,05", "0,5"], [1527.05, 0.5]),
        ("1'234.5", ["1'234.5", "1\u2019234"], [1234.5, 1234]),
        ("1.5%", ["5%", "5.25 %", "-1%"], [5, 5.25, -1]),
        ("1,5%", ["12,5\u00a0%"], [12.5]),
    ],
)
def test_a_number_in_a_notation(notation, texts, values):
    assert [parsing.parser_for("number", notation)(text) for text in texts] == values


@pytest.mark.parametrize(
    ("notation", "text"),
    [("1,5", "0.5"), ("1,5", "1,2,3"), ("1,5", ","), ("1,5", ""), ("1,234.5", "0,500"), ("1,234.5", "1,50"),
     ("1,234.5", "1500,000"), ("1.234,5", "1.5"), ("1 234.5", "1 50"), ("1.5%", "5"), ("1.5%", "%"), ("1,5", "inf")],
)  # fmt: skip
def test_what_is_no_number_in_a_notation(notation, text):
    assert parsing.parser_for("number", notation)(text) is None


@pytest.mark.parametrize(
    ("notation", "text"),
    [("31.12.2024", "1.2.2023"), ("31/12/2024", "01/02/2023"), ("12/31/2024", "2/1/2023"), ("31-12-2024", "01-02-2023"),
     ("12-31-2024", "02-01-2023"), ("2024/12/31", "2023/02/01"), ("2024.12.31", "2023.2.1"), ("", "2023-02-01")],
)  # fmt: skip
def test_a_date_in_another_order(notation, text):
    assert parsing.parser_for("date", notation)(text) == parsing.parse_date("2023-02-01")
    assert parsing.parser_for("date", notation)(f"{text} 13:05") in (parsing.parse_date("2023-02-01T13:05"), None)
    assert parsing.parser_for("date", notation)("2023-02-01") == parsing.parse_date("2023-02-01")
    assert parsing.parser_for("date", notation)(text.replace("2023", "23")) is None


# What a table becomes


def test_numbers_with_decimal_commas_are_those_with_points(table):
    chance = random.Random(0)
    values = [chance.gauss(0, 5) for _ in range(40)]
    points = table(rows(a=lambda k: f"{values[k]:.2f}"))
    commas = table(rows(a=lambda k: f"{values[k]:.2f}").replace(",", ";").replace(".", ","), "commas.csv")
    assert encoded(commas) == encoded(points)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0,5;1,25;3", [0.5, 1.25, 3]),
        ("1 500;12 000;700", [1500, 12000, 700]),
        ("5%;12.5 %;7%", [5, 12.5, 7]),
        ("1.500;0,5;700", [1500, 0.5, 700]),
        ("31.12.1969;1.1.1970;2.1.1970 12:00", [-1, 0, 1.5]),
        ("12/31/1969;01/01/1970;01/02/1970", [-1, 0, 1]),
        ("31/12/1969;01/01/1970;02/01/1970", [-1, 0, 1]),
        ("true;false;TRUE", [1, 0, 1]),
    ],
)
def test_a_column_in_one_notation_is_one_of_numbers_or_dates(table, caplog, text, values):
    with caplog.at_level("INFO"):
        found = encoded(table("a;y\n" + "".join(f"{cell};p\n" for cell in text.split(";")) * 9))
    assert found == {"a": values * 9}
    assert [record.message for record in caplog.records if "is read as" in record.message][1:] == []
    assert bool(caplog.records) == ("true" not in text)


def test_numbers_may_be_declared_categories_in_any_notation(table):
    found = encoded(table(rows(a=lambda k: ["5%", "7%"][k % 2])), categories=["a"])
    assert list(found) == ["a=5%", "a=7%"]


@pytest.mark.parametrize(
    ("others", "mark", "value"),
    [
        ("0,25", ";", 1.5),
        ("0.25", ";", 1500),
        ("7", ";", 1.5),
        ("7", ",", 1500),
        ("0.25", "\t", 1500),
        ("0,25", "\t", 1.5),
    ],
)
def test_the_table_says_what_a_comma_means(table, others, mark, value):
    """`1,500` beside 500: thousands, or a decimal comma, as another column has it, or else as the delimiter goes."""
    lines = [f"{cell}{mark}{others.replace('2', str(k))}{mark}p" for k, cell in enumerate(['"1,500"', '"500"'] * 9)]
    lines = lines if mark != "," or "," not in others else [line.replace(others, f'"{others}"') for line in lines]
    found = encoded(table("\n".join([mark.join("aby"), *lines])))
    assert found["a"][:2] == [value, 500]


def test_what_no_column_tells_is_told(table):
    line = told(table("a\ty\n" + "1,500\tp\n500\tq\n" * 9))
    assert "row 2, column a: '1,500' may be 1.5 or 1500, and no other column tells which" in line


def test_a_point_separates_thousands_where_other_columns_have_decimal_commas(table):
    for none in ("", "-", "unknown"):
        text = "a;b;y\n" + "1.500;0,5;p\n700;1,5;q\n2.500;1,5;q\n" * 9 + f"{none};{none};p\n"
        assert encoded(table(text), missing=["unknown"])["a"][:3] == [1500, 700, 2500]
    assert encoded(table("a;b;y\n" + "1.500;0,5;p\n700;1,5;q\n" * 9))["a"][:2] == [1500, 700]
    assert encoded(table("a;b;y\n" + "1.500;0;p\n700;1;q\n" * 9))["a"][:2] == [1.5, 700]


@pytest.mark.parametrize(
    ("values", "odd", "usual"),
    [
        (["0,5", "1,5", "2.5"], "2.5", "0,5"),
        (["5%", "6%", "7"], "7", "5%"),
        (["1.500,5", "1,500.5"], "1.500,5", "1,500.5"),
    ],
)
def test_a_mixture_of_notations_is_told(table, values, odd, usual):
    line = told(table("a;y\n" + "".join(f"{value};{k}\n" for k, value in enumerate(values)) * 9))
    assert f"column a: {odd!a} is not written as another number of the column, {usual!a}, is" in line


def test_a_mixture_of_dates_is_told(table):
    line = told(table(rows(a=lambda k: ["31.12.2024", "12/31/2024", "1.2.2024"][k % 3])))
    assert "column a: '12/31/2024' is not written as another date of the column, '31.12.2024', is" in line
    line = told(table(rows(a=lambda k: f"{k % 28 + 1}.12.{2000 + k}" if k else "in May")))
    assert "column a: 'in May' is no date, as other values of the column are" in line


def test_dates_of_either_order_stay_categories_with_a_word(table, caplog):
    with caplog.at_level("WARNING"):
        found = encoded(table(rows(a=lambda k: ["01/02/2024", "03/04/2024"][k % 2])))
    assert list(found) == ["a=01/02/2024", "a=03/04/2024"]
    assert "column a: '01/02/2024' may be either of two dates" in caplog.text


def test_a_later_table_has_the_notation_of_the_column(table):
    encoding = columns.fit_encoding(read_table(table("a;d;y\n" + "0,5;31.12.2024;p\n1,5;1.12.2024;q\n" * 9)), "y")
    again = Encoding.from_json(encoding.to_json())
    later = read_table(table("d;a\n2.12.2024;1,25\n2024-12-03;\n", "later.csv"))
    assert again.encode(later).tolist() == [
        [1.25, parsing.parse_date("2024-12-02")],
        [0.5, parsing.parse_date("2024-12-03")],
    ]
    later = read_table(table("d;a\n2.12.2024;1.25\n", "later.csv"))
    with pytest.raises(UserError, match=r"column a: '1\.25' is no number such as 1,5, as the column's were"):
        again.encode(later)


def test_a_column_of_truths_takes_what_else_says_so(table):
    encoding = columns.fit_encoding(read_table(table(rows(a=lambda k: ["true", "false"][k % 2]))), "y")
    later = read_table(table("a\nY\nno\n1\n0.0\nTRUE\n", "later.csv"))
    assert encoding.encode(later).tolist() == [[1], [0], [1], [0], [1]]
    with pytest.raises(UserError, match="'2' is no boolean; write true or false"):
        encoding.encode(read_table(table("a\n2\n", "later.csv")))


def test_the_words_of_pandas_are_missing(table):
    words = ["n/a", "#N/A", "<NA>", "None", "-nan", "1.#IND", "NULL", "?", ""]
    found = encoded(
        table(rows(a=lambda k: words[k] if k < len(words) else k, b=lambda k: words[k % 9] if k % 2 else "x"))
    )
    assert found["a is missing"] == [float(k < len(words)) for k in range(40)]
    assert list(found) == ["a", "a is missing", "b=x", "b is missing"]


@pytest.mark.parametrize("word", ["-", "."])
def test_a_dash_is_missing_among_truths(table, word):
    found = encoded(table(rows(a=lambda k: ["true", word, "false"][k % 3])))
    assert list(found) == ["a", "a is missing"]
    assert found["a is missing"] == [float(k % 3 == 1) for k in range(40)]


@pytest.mark.parametrize("word", ["-", "."])
def test_a_dash_is_missing_among_numbers_and_dates_and_a_category_among_texts(table, word):
    found = encoded(
        table(
            rows(
                a=lambda k: word if k % 9 == 0 else k,
                d=lambda k: word if k % 9 == 0 else f"2024-01-{k % 28 + 1:02}",
                e=lambda k: word if k % 9 == 0 else f"0,{k}",
                c=lambda k: [word, "x"][k % 2],
            )
            .replace(",0,", ",'0.")
            .replace(",", ";")
            .replace("'0.", "0,")
        )
    )
    assert list(found) == ["a", "a is missing", "d", "d is missing", "e", "e is missing", f"c={word}", "c=x"]
    assert (
        found["a is missing"]
        == found["d is missing"]
        == found["e is missing"]
        == [float(k % 9 == 0) for k in range(40)]
    )


def test_words_of_ones_own_are_missing_here_and_later(table):
    path = table(rows(a=lambda k: -9 if k % 4 == 0 else k, b=lambda k: ["unknown", "x", "y"][k % 3]))
    found = encoded(path, missing=["-9", "unknown"])
    assert found["a is missing"] == [float(k % 4 == 0) for k in range(40)]
    assert min(found["a"]) == 1
    assert list(found)[2:] == ["b=x", "b=y", "b is missing"]
    encoding = columns.fit_encoding(read_table(path), "y", missing=["-9", "unknown"])
    later = read_table(table("a,b\n-9.0,unknown\n3,x\n", "later.csv"))
    missing = Encoding.from_json(encoding.to_json()).encode(later)
    assert missing[:, [1, 4]].tolist() == [[1, 1], [0, 0]]
    assert "row 3, column y: 'unknown' is no class" in told(table("a,y\n1,p\n2,unknown\n"), missing=["unknown"])


def test_a_category_that_is_the_number_of_a_word_for_missing_is_missing(table):
    path = table(rows(a=lambda k: [1, -9, "-9.0", 2][k % 4]))
    encoding = columns.fit_encoding(read_table(path), "y", categories=["a"], missing=["-9"])
    assert encoding.feature_names == ["a=1", "a=2", "a is missing"]
    later, unknown = read_table(table("a\n-9.0\n-9\n1.0\n9\n", "later.csv")), {}
    assert encoding.encode(later, unknown).tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert unknown == {"a": (1, 2)}
    codes = columns.fit_encoding(
        read_table(table(rows(a=lambda k: ["007", 7][k % 2]))), "y", categories=["a"], missing=["7"]
    )
    assert codes.feature_names == ["a=007", "a is missing"]
    assert encoded(
        table(rows(a=lambda k: [-9, "-9.0"][k % 2], b=lambda k: k)), categories=["a"], missing=["-9"]
    ).keys() == {"b"}


def test_what_is_plain_has_the_bytes_that_it_had(table):
    """A file's JSON names a notation, and words of one's own, only where there are some."""
    encoding = columns.fit_encoding(read_table(table(rows(a=lambda k: k, c=lambda k: ["x", "None"][k % 2 // 1]))), "y")
    assert set(json.loads(encoding.to_json())[0]) == {"categories", "fill", "kind", "missing", "name", "rare"}


def test_an_older_encoding_keeps_its_categories(table):
    """`None` was a category before it was a word for a missing value."""
    column = {"name": "a", "kind": "category", "categories": ["None", "x"], "rare": []}
    encoding = Encoding.from_json(json.dumps([column]))
    assert encoding.encode(read_table(table("a\nNone\nx\nn/a\n"))).tolist() == [[1, 0], [0, 1], [0, 0]]


def test_columns_of_every_kind(table):
    text = (
        "age,flag,when,colour,y\n" + "3,true,1970-01-02,red,a\n,FALSE,1970-01-01T12:00,blue,b\n7,True,,red,a\n5,,?,,b\n"
    )
    text += "6,true,1970-01-03,blue,a\n"
    assert encoded(table(text)) == {
        "age": [3, 5, 7, 5, 6],
        "age is missing": [0, 1, 0, 0, 0],
        "flag": [1, 0, 1, 1, 1],
        "flag is missing": [0, 0, 0, 1, 0],
        "when": [1, 0.5, 1, 1, 2],
        "when is missing": [0, 0, 1, 1, 0],
        "colour=blue": [0, 1, 0, 0, 1],
        "colour=red": [1, 0, 1, 0, 0],
        "colour is missing": [0, 0, 0, 1, 0],
    }


@some
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30, unique=True), st.booleans(), st.randoms())
def test_what_is_filled_in_is_the_lower_median(tmp_path_factory, values, complete, chance):
    path = tmp_path_factory.getbasetemp() / "median.csv"
    texts = [*map(str, values), *([] if complete else ["", "NA"])]
    chance.shuffle(texts)
    path.write_text("a,y\n" + "\n".join(f"{text},{k % 2}" for k, text in enumerate(texts)), "utf-8")
    found = columns.fit_encoding(read_table(str(path)), "y").columns[0]
    assert found.fill == sorted(values)[(len(values) - 1) // 2]
    assert found.fill in values


def test_zeros_are_positive_with_and_without_missing_values(table):
    for first in ("0", ""):
        path = table(f"a,y\n{first},p\n-0.0,q\n-0,p\n1,q\n")
        encoding = columns.fit_encoding(read_table(path), "y")
        assert not np.signbit(encoding.encode(read_table(path))).any()
        assert not np.signbit(encoding.columns[0].fill)


def test_rare_categories_share_a_feature_and_unknown_ones_have_none(table):
    names = ["red"] * 20 + ["blue"] * 18 + ["pink", "lime"]
    path = table(rows(colour=names.__getitem__))
    encoding = columns.fit_encoding(read_table(path), "y")
    assert encoding.feature_names == ["colour=blue", "colour=red", "colour is rare"]
    later = read_table(table("colour\nred\npink\nmauve\n?\n", "later.csv"))
    assert encoding.encode(later).tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]


def test_one_rare_category_has_a_feature_of_its_own(table):
    names = ["red"] * 20 + ["blue"] * 19 + ["pink"]
    assert list(encoded(table(rows(colour=names.__getitem__)))) == ["colour=blue", "colour=pink", "colour=red"]


def test_numbers_may_be_declared_categories(table):
    text = rows(post=lambda k: 10 + k % 3, size=lambda k: k % 7)
    assert list(encoded(table(text), categories=["post"])) == ["post=10", "post=11", "post=12", "size"]
    assert list(encoded(table(text))) == ["post", "size"]


def test_categories_that_are_the_same_number_are_one(table):
    """pandas writes 4.0 for 4 once a cell is missing, R 1e+05 for 100000."""
    text = rows(post=lambda k: [4, 5, 100000][k % 3])
    encoding = columns.fit_encoding(read_table(table(text)), "y", categories=["post"])
    assert encoding.feature_names == ["post=100000", "post=4", "post=5"]
    later = read_table(table("post\n4.0\n4\n1e+05\n5.00\n4.5\n", "later.csv"))
    assert encoding.encode(later).tolist() == [[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_spellings_of_one_number_are_one_category_but_codes_are_not(table):
    spelled = rows(post=lambda k: ["4.0", "4", "5", "4.00"][k % 4])
    assert list(encoded(table(spelled), categories=["post"])) == ["post=4", "post=5"]
    codes = columns.fit_encoding(
        read_table(table(rows(post=lambda k: ["007", "7", "08"][k % 3]))), "y", categories=["post"]
    )
    assert codes.feature_names == ["post=007", "post=08", "post=7"]
    later = read_table(table("post\n007\n7\n7.0\n8\n", "later.csv"))
    assert codes.encode(later).tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 1], [0, 1, 0]]
    ids = ["12345678901234567890", "12345678901234567891"]  # one float64
    assert len(encoded(table(rows(post=lambda k: ids[k % 2])), categories=["post"])) == 2


def test_a_category_that_is_one_number_in_every_row_is_left_out(table):
    text = rows(post=lambda k: ["4", "4.0"][k % 2], size=lambda k: k % 7)
    assert list(encoded(table(text), categories=["post"])) == ["size"]


def test_text_is_compared_in_normal_form_c(table):
    """`é` may be one character or two, by the keyboard or the file system that it comes from."""
    text = "größe,y\n" + "été,a\nöl,b\n" * 5
    apart = unicodedata.normalize("NFD", text)
    encoding = columns.fit_encoding(read_table(table(text + apart.split("\n", 1)[1])), "y")
    assert encoding.feature_names == ["größe=été", "größe=öl"]
    for later in (text, apart):
        assert encoding.encode(read_table(table(later, "later.csv"))).tolist() == [[1, 0], [0, 1]] * 5
    found = [sources.load_examples(table(later), unicodedata.normalize("NFD", "größe")) for later in (text, apart)]
    assert found[0].class_names == found[1].class_names == ["été", "öl"]


def test_columns_are_found_by_name_and_others_are_not_read(table):
    encoding = columns.fit_encoding(
        read_table(table(rows(a=lambda k: k % 5, b=lambda k: k % 7, id=lambda k: k))), "y", ["id"]
    )
    later = read_table(table("note,b,a\nfree text,6,4\n", "later.csv"))
    assert encoding.encode(later).tolist() == [[4.0, 6.0]]
    with pytest.raises(UserError, match="lacks the column 'b'; its columns are a"):
        encoding.encode(read_table(table("a\n1\n", "later.csv")))


def test_no_label_enters_the_encoding(table):
    """Other labels, the same text: what depends on a label would tell it."""
    makers = {"a": lambda k: "" if k % 9 == 4 else k * 7 % 23, "colour": lambda k: ["red", "blue", "lime"][k * k % 3]}
    path = table(rows(**makers))
    plain = columns.fit_encoding(read_table(path), "y").to_json()
    chance = random.Random(0)
    for _ in range(5):
        head, *body = rows(**makers).splitlines()
        poisoned = [",".join([*line.split(",")[:-1], chance.choice("pqrstu")]) for line in body]
        assert columns.fit_encoding(read_table(table("\n".join([head, *poisoned]))), "y").to_json() == plain


def test_a_row_that_is_tested_on_moves_the_median_by_one_place_and_nothing_else(table):
    """However far off its value is, training rows keep theirs, and what is filled in is a neighbour in order."""
    values = ["" if k in (5, 9) else str(k * 17 % 37) for k in range(40)]
    before = encoded(table(rows(a=values.__getitem__)))
    order = sorted(float(value) for value in values if value)
    for tested in (0, 11, 39):
        poisoned = ["1e250" if k == tested else value for k, value in enumerate(values)]
        after = encoded(table(rows(a=poisoned.__getitem__)))
        assert after["a is missing"] == before["a is missing"]
        assert abs(order.index(after["a"][5]) - order.index(before["a"][5])) <= 1
        changed = {k for k, (a, b) in enumerate(zip(before["a"], after["a"], strict=True)) if a != b}
        assert changed <= {tested, 5, 9}


def test_the_json_comes_back_bit_for_bit(table):
    path = table(rows(a=lambda k: "" if k == 7 else 0.1 * k, colour=lambda k: ["Grün", "冬", ""][k % 3]))
    encoding = columns.fit_encoding(read_table(path), "y")
    text = encoding.to_json()
    again = Encoding.from_json(text)
    assert text.isascii()
    assert (again, again.to_json()) == (encoding, text)
    assert again.encode(read_table(path)).tobytes() == encoding.encode(read_table(path)).tobytes()


@pytest.mark.parametrize(
    "text",
    ["", "3", "[3]", "[" * 5000, '{"a": 1}', '[{"name": "a"}]', '[{"name": "a", "kind": "colour"}]',
     '[{"name": "a", "kind": "number", "fill": NaN}]', '[{"name": "a", "kind": "number", "fill": "1"}]',
     '[{"name": "a", "kind": "number", "more": 1}]', '[{"name": "a", "kind": "category"}]',
     '[{"name": "\\u001b", "kind": "number"}]', '[{"name": ["a"], "kind": "number"}]',
     '[{"name": "a", "kind": ["number"]}]', '[{"name": "a", "kind": "category", "categories": [["b"]]}]',
     '[{"name": "a", "kind": "category", "categories": "bc"}]', '[{"name": "a", "kind": "category", "rare": 3}]',
     '[{"name": "a", "kind": "number", "notation": "5"}]', '[{"name": "a", "kind": "date", "notation": "1,5"}]',
     '[{"name": "a", "kind": "category", "categories": ["b"], "notation": "1,5"}]',
     '[{"name": "a", "kind": "number", "notation": ["1,5"]}]',
     '[{"name": "a", "kind": "number", "missing_texts": "-"}]',
     '[{"name": "a", "kind": "category", "categories": ["b"], "missing_texts": ["b"]}]',
     '[{"name": "a", "kind": "number", "missing_texts": [3]}]',
     '[{"name": "a", "kind": "number"}, {"name": "a", "kind": "number"}]', "[]"],
)  # fmt: skip
def test_a_text_that_is_no_encoding_is_refused(text):
    with pytest.raises(UserError, match="not an encoding of a table"):
        Encoding.from_json(text)


# Reading


@some
@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2, max_size=2),
        min_size=1,
        max_size=9,
    )
)
def test_what_a_csv_writer_wrote_is_read(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["a", "b"], *content])
    found = read_table(str(path))
    assert [found.cells(name) for name in "ab"] == [[parsing.nfc(row[k].strip()) for row in content] for k in range(2)]


def test_a_row_has_the_number_of_its_line(table):
    raw = read_table(table('a,b\n\n1,"two\nlines"\n\n\n2,x\n3,y\n'))
    assert list(raw.row_numbers) == [3, 7, 8]


@pytest.mark.parametrize("mark", [";", "\t", "|", ","])
def test_the_delimiter_is_found(table, mark):
    raw = read_table(table(f"a{mark}b{mark}c\n1,5{mark}x{mark}2,5\n" if mark != "," else "a,b,c\n1,x,2\n"))
    assert list(raw.columns) == ["a", "b", "c"]
    assert bool(raw.notes) == (mark != ",")


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
def test_the_encoding_is_found(table, code):
    raw = read_table(table("größe,y\nété,a\n".encode(code)))
    assert (list(raw.columns), raw.cells("größe")) == (["größe", "y"], ["été"])
    assert [note for note in raw.notes if "Windows-1252" in note] == list(raw.notes)
    assert bool(raw.notes) == (code in ("latin-1", "cp1252"))


def test_a_header_may_count(table):
    assert list(read_table(table("0,1,2,y\n3,4,5,a\n")).columns) == ["0", "1", "2", "y"]
    assert list(read_table(table(",2019,2020,y\n0,4,5,a\n")).columns) == ["column 1", "2019", "2020", "y"]


PLAIN = "a,b,y\n1.5,x,p\n2.5,z,q\n"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (PLAIN, None),
        (PLAIN.replace(",", ", ").replace("x", '"x"').replace("z", '"z"'), "blanks before quotes are left out"),
        ("# exported, by a tool\n" + PLAIN, "left out above the header: '# exported, by a tool'"),
        ("My table\n\nof May\n" + PLAIN, None),
        ("My table\n" + PLAIN, "left out above the header: 'My table'"),
        ("My table\nof May\n" + PLAIN, "left out above the header: 'My table of May'"),
        ("My table,,\n" + PLAIN, "left out above the header: 'My table,,'"),
        ("My table\n" + PLAIN.replace(",", ";"), "left out above the header: 'My table'"),
        ("sep=;\n" + PLAIN.replace(",", ";"), "columns are separated by a semicolon"),
        ("sep=,\n" + PLAIN, None),
        (PLAIN.replace("p\n", "p,\n").replace("q\n", "q,,\n"), "rows end with a delimiter, which is left out"),
        (PLAIN.replace("y\n", "y,\n"), None),
        ('a,b,y\n"1",1.5,x,p\n"2",2.5,z,q\n', "rows begin with a name that has no column"),
        ("a,b,y\nr1,1.5,x,p\nr2,2.5,z,q\n", "rows begin with a name that has no column"),
        (gzip.compress(PLAIN.encode()), "it is packed by gzip"),
        (gzip.compress(PLAIN.replace("x", "é").encode("utf-16")), "it is packed by gzip"),
    ],
    ids=range(16),
)
def test_what_surrounds_a_table_is_left_out(table, content, note):
    raw = read_table(table(content))
    assert list(raw.columns) == ["a", "b", "y"]
    assert [raw.cells(name) for name in "ay"] == [["1.5", "2.5"], ["p", "q"]]
    assert raw.cells("b")[1] == "z"
    assert note is None or any(line.startswith(note) for line in raw.notes)


def test_a_row_below_a_title_has_the_number_of_its_line(table):
    assert list(read_table(table("My table\n\n" + PLAIN)).row_numbers) == [4, 5]
    assert list(read_table(table("sep=,\n" + PLAIN)).row_numbers) == [3, 4]


@pytest.mark.parametrize(
    ("content", "names"),
    [("#,a,y\n1,2,p\n", ["#", "a", "y"]), ("# a,y\n1,p\n", ["# a", "y"]), ("a\nx;y\nz\n", ["a"]), ("a\n1\n2\n", ["a"]),
     ("title\nx\n", ["title"]), ("a,b\n1,2\n", ["a", "b"])],
)  # fmt: skip
def test_what_only_looks_like_a_title_is_a_header(table, content, names):
    assert list(read_table(table(content)).columns) == names


@pytest.mark.parametrize("name", ["t.csv", "t.CSV", "t.tsv", "t.txt", "t.csv.gz", "t.Tsv.gz", "t.txt.gz"])
def test_a_table_may_have_one_of_these_names(table, name):
    content = PLAIN.replace(",", "\t").encode()
    path = table(gzip.compress(content) if name.endswith("gz") else content, name)
    assert sources.load_examples(path, "y", ["b"]).x.tolist() == [[1.5], [2.5]]


# What is refused, in one line


def told(path, target="y", drop=(), categories=(), missing=()):
    with pytest.raises(UserError) as found:
        sources.load_examples(path, target, drop, categories, missing)
    line = str(found.value).replace(path, "PATH")
    assert "\n" not in line
    assert len(line) < 300
    return line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["PATH", "it is empty"]),
        ("a,y\n", ["PATH: has no rows"]),
        ("a,y\n1,p\n\n2\n", ["row 4 has 1 cells, the header 2"]),
        ("a,b,y\n1,2,p\n2,1,p\n", ["all examples are of one class, p"]),
        ("y\np\nq\n", ["no column beside y has different values"]),
        ("a,b,y\n,1,p\nNA,1,q\n", ["no column beside y has different values"]),
        ("a,a,y\n1,2,p\n", ["two columns are named 'a'"]),
        ("y,y\np,p\nq,q\n", ["two columns are named 'y'"]),
        ("5.1,3.5,y\n4.9,3.0,p\n", ["first row looks like data (5.1, 3.5, y)", "names"]),
        ("3,1,y\n4,3,p\n", ["first row looks like data (3, 1, y)"]),
        ('a,y\n1,"p\n2,q\n', ["not a CSV table", "unexpected end"]),
        (b"a,y\n1,p\n2,q\0\n", ["NUL"]),
        (b"a,y\n1,\x81\xff\n", ["no text in UTF-8 or Windows-1252"]),
        (b"\xff\xfea\0,\0y\0\n\0x", ["not a CSV table"]),
        (b"PK\x03\x04" + bytes(99), ["no CSV table, but a ZIP archive", ".xlsx"]),
        (b"PAR1" + bytes(99), ["no CSV table, but a Parquet file; name it .parquet"]),
        (gzip.compress(b"a,y\n1,p\n2,q\n")[:-9], ["a damaged gzip file"]),
        (gzip.compress(bytes(1 << 25)), ["unpacks to over 100 times its size"]),
        ("sep=x\naxy\n", ["first line says that 'x' separates columns; allowed are comma, semicolon"]),
        ("a,b,y\nr,1,2,p\nr,2,3,q\n", ["row 3 has 4 cells, the header 3", "'r'", "comes twice"]),
        ("a,b,y\n1,2,p,x\n1,2,p\n1,2,q\n", ["row 2 has 4 cells, the header 3"]),
        ("a,y\n1,p\n2,\n", ["row 3, column y: '' is no class"]),
        ("a,y\n1,p\n2,nan\n", ["row 3, column y: 'nan' is no class"]),
        ("a,y\n1,p\n\n2,</script>\n", ["row 4, column y: '</script>' has markup"]),
        ("a,y\n1,p\n1e400,q\n", ["row 3, column a: '1e400' is no number of at most 1e+300"]),
        ("a,y\n1,p\n-inf,q\n", ["row 3, column a: '-inf' is no number of at most 1e+300"]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_table_that_does_not_fit_is_told(table, content, words):
    line = told(table(content))
    assert [word for word in words if word not in line] == []


def test_a_zero_byte_has_its_row(table):
    text = rows(a=lambda k: "p\0" if k == 16 else "p")
    line = told(table(text))
    assert "NUL" in line
    if "zero byte" in line:  # Python 3.10's own reader says it without the row
        assert "row 18, column a" in line


def test_mixed_types_have_their_row_and_value(table):
    line = told(table(rows(fruit=lambda k: "lime" if k == 15 else k * 0.5)))
    assert "PATH: row 17, column fruit: 'lime' is no number" in line
    assert "prepare.categories" in line
    line = told(table(rows(when=lambda k: "soon" if k == 15 else f"2024-01-{k % 28 + 1:02d}")))
    assert "PATH: row 17, column when: 'soon' is no date" in line
    assert "fruit=lime" in encoded(table(rows(fruit=lambda k: "lime" if k % 3 == 0 else k % 3)), categories=["fruit"])


@pytest.mark.parametrize("value", ["1_0", "1,5,5", "１"])
def test_what_only_looks_like_a_number_is_told(table, value):
    line = told(table(rows(a=lambda k: f'"{value}"' if k == 15 else k)))
    assert f"row 17, column a: {value!a} is no number" in line


def test_a_later_table_is_told_its_row_and_value(table):
    encoding = columns.fit_encoding(read_table(table(rows(a=lambda k: k, b=lambda k: k % 3))), "y")
    later = read_table(table('a;b\n1;2\n\n2;"2,5"\n', "later.csv"))
    with pytest.raises(UserError, match=r"later\.csv: row 4, column b: '2,5' is no number; write it as 2\.5$"):
        encoding.encode(later)


def test_a_column_of_as_many_texts_as_rows_is_told(table):
    assert "column who has 40 different texts in 40 rows" in (line := told(table(rows(who=lambda k: f"n{k}"))))
    assert "prepare.drop: [who]" in line
    assert list(encoded(table(rows(who=lambda k: f"n{k}", a=lambda k: k)), drop=["who"])) == ["a"]
    almost = told(table(rows(who=lambda k: f"n{max(k, 15)}")))
    assert "column who has 25 different texts in 40 rows" in almost
    assert "column a has 40 different" in told(table(rows(a=lambda k: k)), categories=["a"])


@pytest.mark.slow
def test_a_hundred_thousand_categories_are_told(table):
    line = told(table(rows(300_000, who=lambda k: f"n{k % 100_000}")))
    assert "column who has 100,000 different texts in 300,000 rows, too many for a category" in line
    often = told(table(rows(300_000, who=lambda k: "usual" if k % 2 else f"n{k % 100_000}")))
    assert "50,001 different texts" in often


@pytest.mark.parametrize(
    "names", [{"target": "kind"}, {"drop": ["kind"]}, {"categories": ["kind"]}, {"target": None}], ids=str
)
def test_a_column_that_is_not_there_is_told(table, names):
    line = told(table(rows(a=lambda k: k)), **names)
    (key, value), *_ = names.items()
    assert f"prepare.{key}: got {value[0] if isinstance(value, list) else value!r}".split(": got ")[0] in line
    assert "the columns of PATH are a, y" in line


def test_of_many_columns_the_first_are_told(table):
    many = {f"a{k}": lambda k: k for k in range(3000)}
    assert "and 2,991 more" in told(table(rows(2, **many)), target="kind")


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


def test_each_column_that_cannot_be_used_is_told(table, caplog):
    """In the log; the error names all of them."""
    makers = {"who": lambda k: f"n{k}", "a": lambda k: k % 7, "b": lambda k: "inf" if k == 3 else k}
    line = told(table(rows(**makers, fruit=lambda k: "lime" if k == 15 else k)))
    assert "3 columns cannot be used" in line
    assert "prepare.drop: [who, b, fruit]" in line
    reasons = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    words = ["column who has 40 different texts", "row 5, column b: 'inf' is no number", "row 17, column fruit: 'lime'"]
    assert [word for word, reason in zip(words, reasons, strict=True) if word not in reason] == []


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("inf", "is no number of at most 1e+300"),
        ("1e301", "is no number of at most 1e+300"),
        ("lime", "is no number"),
        ('"0,5"', "is no number; write it as 0.5"),
        ('"1,000"', "is no number; write it as 1 or 1000"),
        ("12 000", "is no number; write it as 12000"),
        ("5%", "is no number; write it as 5"),
    ],
)
def test_what_may_be_a_number_is_advised_plainly(table, value, advice):
    encoding = columns.fit_encoding(read_table(table(rows(a=lambda k: k))), "y")
    with pytest.raises(UserError, match=f"{re.escape(advice)}$"):
        encoding.encode(read_table(table(f"a\n{value}\n", "later.csv")))


def test_a_date_is_asked_for_as_a_date(table):
    encoding = columns.fit_encoding(read_table(table(rows(a=lambda k: f"2024-01-{k % 28 + 1:02}"))), "y")
    with pytest.raises(UserError, match=r"'20110304' is no date; write it as 2024-12-31$"):
        encoding.encode(read_table(table("a\n20110304\n", "later.csv")))


# What is worth a word


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


def test_what_tells_nothing_or_too_much_is_said(table, caplog):
    chance = random.Random(0)
    values = [chance.randrange(9) for _ in range(40)]
    makers = {"id": lambda k: k, "down": lambda k: -k, "a": values.__getitem__, "same": lambda k: 7}
    makers |= {"b": values.__getitem__, "c": lambda k: "x", "none": lambda k: ["", "NA"][k % 2]}
    path = table(rows(**makers))
    with caplog.at_level("INFO"):
        examples = sources.load_examples(path, "y")
    assert examples.feature_names == ["id", "down", "a", "b"]
    said = [record.getMessage().removeprefix(f"{path}: ") for record in caplog.records]
    assert said[0] == "4 columns (4 number) give 4 features"
    assert [re.split("[,:;]", line)[0] for line in said[1:]] == [
        "column same has the same in every row",
        "column c has the same in every row",
        "column none has the same in every row",
        "column id rises or falls with every row",
        "column down rises or falls with every row",
        "column b is the same as a",
    ]


def test_rows_stay_in_the_order_of_the_source(table):
    examples = sources.load_examples(table(rows(a=lambda k: k * 17 % 41)), "y")
    assert examples.x[:, 0].tolist() == [k * 17 % 41 for k in range(40)]
    assert examples.y.tolist() == [k % 3 for k in range(40)]


# Parquet


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
    assert "PATH: Parquet needs pyarrow: pip install -r requirements-tables.txt" in told(str(tmp_path / "own.parquet"))


# openml.org


def cached(number, folder):
    """Put into the cache below `folder` what scikit-learn has of a dataset of openml.org for its own tests."""
    import sklearn

    kept = Path(sklearn.__file__).parent / "datasets/tests/data/openml" / f"id_{number}"
    if not kept.is_dir():
        pytest.skip("this scikit-learn has no copies of openml.org's answers")
    about = json.loads(gzip.decompress((kept / f"api-v1-jd-{number}.json.gz").read_bytes()))["data_set_description"]
    (data,) = kept.glob("data-v1-dl-*")
    api, url = "api/v1/json/data", about["url"].split("openml.org/")[1]
    copies = {f"{api}/{kind}{number}": kept / f"api-v1-{short}-{number}.json.gz" for kind, short in
              (("", "jd"), ("features/", "jdf"), ("qualities/", "jdq"))} | {url: data}  # fmt: skip
    copies[f"data/v1/download/{about['file_id']}"] = data  # where older ones look
    for path, source in copies.items():
        if not source.exists():
            continue  # of some it has no qualities
        target = folder / "data/raw/openml/openml.org" / f"{path}.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty working directory; openml.org cannot be reached."""
    loader = pytest.importorskip("sklearn.datasets._openml")

    def unreachable(request):
        raise URLError("no network")

    monkeypatch.setattr(loader, "urlopen", unreachable)
    monkeypatch.setattr(loader.time, "sleep", lambda seconds: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_openmls_iris_is_the_bundled_one(offline):
    cached(61, offline)
    ours, bundled = sources.load_examples("openml:61", None), sources.load_examples("iris", None)
    assert ours.class_names == ["Iris-setosa", "Iris-versicolor", "Iris-virginica"]
    assert ours.feature_names == ["sepallength", "sepalwidth", "petallength", "petalwidth"]
    assert ours.y.tolist() == bundled.y.tolist()
    assert (ours.x == bundled.x).mean() > 0.99  # two rows are known to differ between the copies


def test_openmls_categories_and_missing_values(offline):
    cached(42585, offline)
    examples = sources.load_examples("openml:42585", None)
    assert examples.class_names == ["Adelie", "Chinstrap", "Gentoo"]
    assert examples.feature_names[:5] == [
        "island=Biscoe", "island=Dream", "island=Torgersen", "culmen_length_mm", "culmen_length_mm is missing",
    ]  # fmt: skip
    assert examples.feature_names[-4:] == ["sex=FEMALE", "sex=MALE", "sex=_", "sex is missing"]
    assert examples.x[:, [4, -1]].sum(axis=0).tolist() == [2, 10]
    other = sources.load_examples("openml:42585", "island", drop=["sex", "species"])
    assert other.class_names == ["Biscoe", "Dream", "Torgersen"]


def test_openmls_regression_is_told(offline):
    cached(561, offline)
    with pytest.raises(UserError, match=r"openml:561: column class has 104 different numbers in 209 rows.*regression"):
        sources.load_examples("openml:561", None)


def test_what_openml_has_not_or_is_no_table_is_told(offline):
    assert "PATH is not to be had" in told("openml:7", None)
    cached(292, offline)
    assert "PATH is sparse" in told("openml:292", None)
    cached(61, offline)
    assert "PATH is not to be had" in told("openml:61", "kind")
    assert "prepare.drop: got 'kind'" in told("openml:61", None, ["kind"])
