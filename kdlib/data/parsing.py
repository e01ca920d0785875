"""Parsers of a cell's text: as a number, a date, a truth value, or a missing value."""

import math
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation

import numpy as np

# pandas' list (its `read_csv`, `na_values`), and the question mark of UCI's tables.
MISSING_TEXTS = frozenset((
    "", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#NA", "#N/A", "#N/A N/A",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "?",
))  # fmt: skip
PLACEHOLDERS = frozenset(["-", "."])  # missing values in a column of numbers, dates or truth values; else categories
MAX_MAGNITUDE = 1e300  # of a number in a table or a dataset; the difference of two such numbers does not overflow
NANOSECONDS_PER_DAY = 86_400_000_000_000
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d):?(\d\d))?)?", re.ASCII
)


def nfc(text: str) -> str:
    """Return a text in Unicode's normal form C, in which equal characters have equal codes.

    Parameters
    ----------
    text : str

    Returns
    -------
    str

    References
    ----------
    Unicode Standard Annex #15, "Unicode Normalization Forms".
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def exact_number(text: str) -> Decimal | None:
    """Return the number that a text denotes, without rounding, so that `4`, `4.0` and `4e0` are equal.

    Parameters
    ----------
    text : str

    Returns
    -------
    decimal.Decimal or None
        None if the text is not a finite number.
    """
    value = parse_number(text)
    try:
        return None if value is None or not math.isfinite(value) else Decimal(text)
    except InvalidOperation:  # an exponent of more than 18 digits
        return None


def other_spellings(text: str) -> set[str]:
    """Return the other texts with which programs write the same category.

    Parameters
    ----------
    text : str

    Returns
    -------
    set of str
        The normal forms C and D of the text. For a number also the shortest text of its float, and for a whole number
        its digits: `4` becomes `4.0` when a program reads the column as floats. The text itself is not in the set.
    """
    found = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}
    value = exact_number(text)
    if value is not None:
        numbers = {repr(float(value))} | ({str(int(value))} if abs(value) < 2**53 and value == int(value) else set())
        found |= {other for other in numbers if exact_number(other) == value}
    return found - {text}


def _plain(text):
    return text.isascii() and "_" not in text


def parse_number(text: str) -> float | None:
    """Return the float64 nearest to a decimal number.

    Parameters
    ----------
    text : str

    Returns
    -------
    float or None
        Never -0.0. None if the text is not a number: `nan`, `1_0` and digits of other scripts are not numbers, although
        `float` accepts them. `inf` is a number here; callers refuse it by `MAX_MAGNITUDE`.
    """
    try:
        value = float(text) + 0.0 if _plain(text) else math.nan
    except ValueError:
        return None
    return None if math.isnan(value) else value


def parse_numbers(cells: list[str]) -> np.ndarray | None:
    """Parse many cells as `parse_number` does, ten times as fast.

    Parameters
    ----------
    cells : list of str, length n

    Returns
    -------
    float64, shape (n,), or None
        None if a cell is not a number, or if the list is empty.
    """
    if cells and _plain("".join(cells)):
        try:
            values = np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            return None
        return None if np.isnan(values).any() else values + 0.0
    return None


def parse_date(text: str) -> float | None:
    """Return the time of an ISO 8601 date in days.

    Parameters
    ----------
    text : str
        `YYYY-MM-DD`. `THH:MM` may follow, then `:SS`, a fraction and a time zone. A blank may replace the T.

    Returns
    -------
    float or None
        Days since 1970-01-01 UTC, the nearest float64. None if the text is not such a date.
    """
    found = _DATE.fullmatch(text)
    return _days(*found.groups()) if found else None


def _days(year, month, of_month, hour, minute, second, fraction=None, sign=None, *zone):
    """Return what `parse_date` returns for the texts of a date's parts; None if there is no such day or time."""
    year, month, of_month, hour, minute, second = (int(p or 0) for p in (year, month, of_month, hour, minute, second))
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        days = date(year, month, of_month).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
    minutes_east = (int(zone[0]) * 60 + int(zone[1])) * (1 if sign == "+" else -1) if sign else 0
    seconds = (hour * 60 + minute - minutes_east) * 60 + second
    nanoseconds = int((fraction or "").ljust(9, "0"))
    # One division of integers, correctly rounded.
    return (days * NANOSECONDS_PER_DAY + seconds * 1_000_000_000 + nanoseconds) / NANOSECONDS_PER_DAY


def parse_boolean(text: str) -> float | None:
    """Return 1.0 for `true`, 0.0 for `false`, in upper or lower case; None for any other text."""
    return {"true": 1.0, "false": 0.0}.get(text.lower())


def parse_any_boolean(text: str) -> float | None:
    """Parse a cell of a column that is known to hold truth values.

    Parameters
    ----------
    text : str

    Returns
    -------
    float or None
        1.0 for `true`, `yes`, `y` and the number 1; 0.0 for `false`, `no`, `n` and the number 0; None for any other
        text.
    """
    words = {"true": 1.0, "yes": 1.0, "y": 1.0, 1.0: 1.0, "false": 0.0, "no": 0.0, "n": 0.0, 0.0: 0.0}
    return words.get(text.lower(), words.get(parse_number(text)))


PARSERS = {"number": parse_number, "date": parse_date, "boolean": parse_boolean}


BLANK = "[ \u00a0\u2009\u202f]"  # a space, a no-break space, a thin space, a narrow no-break space


def _number_parser(thousands_pattern, decimal_mark, percent):
    """Return the parser of a notation of numbers. If percent is true, a text must end with `%`: `5%` is 5."""
    thousands = rf"(?:[1-9]\d{{0,2}}(?:{thousands_pattern}\d{{3}})+|\d*)" if thousands_pattern else r"\d*"
    suffix = f"{BLANK}?%" if percent else ""
    form = re.compile(rf"([-+]?{thousands}(?:{re.escape(decimal_mark)}\d*)?(?:[eE][-+]?\d+)?){suffix}", re.ASCII)

    def parse(text):
        found = form.fullmatch(text)
        if not found:
            return None
        digits = re.sub(thousands_pattern, "", found[1]) if thousands_pattern else found[1]
        return parse_number(digits.replace(decimal_mark, "."))

    return parse


def _date_parser(order, mark):
    """Return the parser of dates with parts in this order, such as "dmy", and this mark between; and of ISO dates."""
    year = r"(?P<y>\d{4})"
    day_or_month = r"(?P<%s>\d\d?)"
    parts = re.escape(mark).join(year if part == "y" else day_or_month % part for part in order)
    form = re.compile(rf"{parts}(?:[ T](?P<h>\d\d?):(?P<min>\d\d)(?::(?P<s>\d\d))?)?", re.ASCII)

    def parse(text):
        found = form.fullmatch(text)
        return _days(*found.group("y", "m", "d", "h", "min", "s")) if found else parse_date(text)

    return parse


# {notation, named by an example: (pattern of the mark between thousands, decimal mark)}
# Of two notations where one reads all texts of the other, the one that reads fewer comes first: the first is taken.
_NUMBERS = {
    "1,5": ("", ","),
    "1,234.5": (",", "."),
    "1.234,5": (r"\.", ","),
    "1 234.5": (BLANK, "."),
    "1 234,5": (BLANK, ","),
    "1'234.5": ("['\u2019]", "."),
}
_PERCENT = {f"{name}%": marks for name, marks in {"1.5": ("", "."), **_NUMBERS}.items()}
DECIMAL_MARKS = {name: mark for name, (_, mark) in (_NUMBERS | _PERCENT).items()}
NOTATIONS = {
    "number": {name: _number_parser(*marks, name in _PERCENT) for name, marks in (_NUMBERS | _PERCENT).items()},
    "date": {
        "31.12.2024": _date_parser("dmy", "."),
        "31/12/2024": _date_parser("dmy", "/"),
        "12/31/2024": _date_parser("mdy", "/"),
        "31-12-2024": _date_parser("dmy", "-"),
        "12-31-2024": _date_parser("mdy", "-"),
        "2024/12/31": _date_parser("ymd", "/"),
        "2024.12.31": _date_parser("ymd", "."),
    },
}


def parser_for(kind: str, notation: str = "") -> Callable[[str], float | None]:
    """Return the parser of a kind of cells.

    Parameters
    ----------
    kind : {"number", "date", "boolean"}
    notation : str
        Key of ``NOTATIONS[kind]``, or "" for the plain notation.

    Returns
    -------
    function of str
        Its result is a float64, or None for a text that is not of the kind in this notation.
    """
    return NOTATIONS[kind][notation] if notation else PARSERS[kind]


def known_or_missing(
    parse: Callable[[str], float | None], missing_texts: Collection[str], missing_numbers: Collection[float]
) -> Callable[[str], float | None]:
    """Return a parser that gives NaN for missing values, and else what `parse` gives.

    Parameters
    ----------
    parse : function of str
    missing_texts : collection of str
        Texts that mark a missing value, in addition to `MISSING_TEXTS`.
    missing_numbers : collection of float
        Results of `parse` that mark a missing value.
    """
    missing = MISSING_TEXTS.union(missing_texts)

    def parsed_value(text):
        value = math.nan if text in missing else parse(text)
        return math.nan if value in missing_numbers else value

    return parsed_value


def category_parser(
    frequent: Sequence[str], rare: Collection[str], missing_texts: Collection[str], missing_numbers: Collection[Decimal]
) -> Callable[[str], float]:
    """Return the function that gives the index of a category's feature: -1 if it has none, NaN for a missing value.

    Parameters
    ----------
    frequent : sequence of str
        Categories, each with its own feature. Two categories may be the same number, such as `007` and `7`. A cell that
        spells it otherwise, such as `7.0`, belongs to the category with the shorter text.
    rare : collection of str
        Categories that share the next feature.
    missing_texts : collection of str
        Texts that mark a missing value, in addition to `MISSING_TEXTS`, unless they are categories.
    missing_numbers : collection of Decimal
        Numbers that mark a missing value.
    """
    missing = MISSING_TEXTS.union(missing_texts)
    index_of_text = {value: k for k, value in enumerate(frequent)}
    index_of_text |= dict.fromkeys(rare, len(frequent))
    longest_first = sorted(index_of_text, key=len, reverse=True)
    indices = {exact_number(value): index_of_text[value] for value in longest_first}
    indices.pop(None, None)
    indices |= {nfc(value): k for value, k in index_of_text.items()}

    def feature_index(text):
        if text in indices:
            return indices[text]
        value = exact_number(text)
        return math.nan if text in missing or value in missing_numbers else indices.get(value, -1)

    return feature_index
