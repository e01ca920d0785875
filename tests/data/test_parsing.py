"""Cells of a table: numbers, dates, and notations of them."""

import datetime
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.data import parsing

some = settings(deadline=None, max_examples=100)


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
