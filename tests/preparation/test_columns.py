"""Columns of a table: what becomes features of them, what is refused, and what is worth a warning."""

import random
import re
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.data import parsing
from kdlib.data.encoding import Encoding
from kdlib.data.readers import read_table
from kdlib.io.errors import UserError
from kdlib.preparation import columns, sources
from kdlib.preparation.column_options import ColumnOptions
from tests.data.own_tables import encoded, rows, told

some = settings(deadline=None, max_examples=100)


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
    encoding = columns.fit_encoding(read_table(path), "y", ColumnOptions(missing=["-9", "unknown"]))
    later = read_table(table("a,b\n-9.0,unknown\n3,x\n", "later.csv"))
    missing = Encoding.from_json(encoding.to_json()).encode(later)
    assert missing[:, [1, 4]].tolist() == [[1, 1], [0, 0]]
    assert "row 3, column y: 'unknown' is no class" in told(table("a,y\n1,p\n2,unknown\n"), missing=["unknown"])


def test_a_category_that_is_the_number_of_a_word_for_missing_is_missing(table):
    path = table(rows(a=lambda k: [1, -9, "-9.0", 2][k % 4]))
    encoding = columns.fit_encoding(read_table(path), "y", ColumnOptions(categories=["a"], missing=["-9"]))
    assert encoding.feature_names == ["a=1", "a=2", "a is missing"]
    later, unknown = read_table(table("a\n-9.0\n-9\n1.0\n9\n", "later.csv")), {}
    assert encoding.encode(later, unknown).tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert unknown == {"a": (1, 2)}
    codes = columns.fit_encoding(
        read_table(table(rows(a=lambda k: ["007", 7][k % 2]))), "y", ColumnOptions(categories=["a"], missing=["7"])
    )
    assert codes.feature_names == ["a=007", "a is missing"]
    assert encoded(
        table(rows(a=lambda k: [-9, "-9.0"][k % 2], b=lambda k: k)), categories=["a"], missing=["-9"]
    ).keys() == {"b"}


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


def test_an_encoding_may_be_asked_for(table):
    path = table(rows(a=lambda k: k % 5, b=lambda k: k % 3))
    assert encoded(path, encodings={"a": "category"}) == encoded(path, categories=["a"])
    assert encoded(path, encodings={"a": "number"}) == encoded(path)
    declared = replace(read_table(path), declared_categories=frozenset("ab"))
    encoding = columns.fit_encoding(declared, "y", ColumnOptions(encodings={"a": "number"}))
    assert encoding.feature_names == ["a", "b=0", "b=1", "b=2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encodings": {"a": "colour"}}, "prepare.encodings.a: got 'colour'; allowed are category, number"),
        ({"encodings": {"a": "number"}, "categories": ["a"]}, "a: got 'number', but prepare.categories names a, too"),
        ({"encodings": {"b": "number"}}, "PATH: column b: prepare.encodings: number needs a number in each cell"),
    ],
)
def test_an_encoding_that_cannot_be_is_told(table, options, words):
    assert words in told(table(rows(a=lambda k: k, b=lambda k: ["red", "blue"][k % 2])), **options)


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
    encoding = columns.fit_encoding(read_table(table(text)), "y", ColumnOptions(categories=["post"]))
    assert encoding.feature_names == ["post=100000", "post=4", "post=5"]
    later = read_table(table("post\n4.0\n4\n1e+05\n5.00\n4.5\n", "later.csv"))
    assert encoding.encode(later).tolist() == [[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_spellings_of_one_number_are_one_category_but_codes_are_not(table):
    spelled = rows(post=lambda k: ["4.0", "4", "5", "4.00"][k % 4])
    assert list(encoded(table(spelled), categories=["post"])) == ["post=4", "post=5"]
    codes = columns.fit_encoding(
        read_table(table(rows(post=lambda k: ["007", "7", "08"][k % 3]))), "y", ColumnOptions(categories=["post"])
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
        read_table(table(rows(a=lambda k: k % 5, b=lambda k: k % 7, id=lambda k: k))), "y", ColumnOptions(["id"])
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


# What is refused, in one line


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
    "names",
    [
        {"target": "kind"},
        {"drop": ["kind"]},
        {"categories": ["kind"]},
        {"encodings": {"kind": "number"}},
        {"target": None},
    ],
    ids=str,
)
def test_a_column_that_is_not_there_is_told(table, names):
    line = told(table(rows(a=lambda k: k)), **names)
    (key, value), *_ = names.items()
    assert f"prepare.{key}: got {value[0] if isinstance(value, list) else value!r}".split(": got ")[0] in line
    assert "the columns of PATH are a, y" in line


def test_of_many_columns_the_first_are_told(table):
    many = {f"a{k}": lambda k: k for k in range(3000)}
    assert "and 2,991 more" in told(table(rows(2, **many)), target="kind")


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
