"""What the text in a cell of a table says: a number, a date, a truth value, or nothing."""

import math
import re
import unicodedata
from datetime import date
from decimal import Decimal, InvalidOperation

import numpy as np

# pandas' list (its `read_csv`, `na_values`), and the question mark of UCI's tables.
MISSING = frozenset((
    "", "NA", "N/A", "n/a", "NaN", "nan", "-NaN", "-nan", "NULL", "null", "None", "<NA>", "#NA", "#N/A", "#N/A N/A",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN", "?",
))  # fmt: skip
PLACEHOLDERS = frozenset(["-", "."])  # missing among numbers, dates or truth values, a category among texts
LARGEST = 1e300  # a magnitude whose difference to another does not overflow
DAY = 86_400_000_000_000  # nanoseconds
_DATE = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:Z|([+-])(\d\d):?(\d\d))?)?", re.ASCII
)


def nfc(text):
    """Return the text in Unicode's normal form C, in which equal characters have equal codes.

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


def exact_number(text):
    """Return the number that a text is, without rounding, so that `4`, `4.0` and `4e0` are equal.

    Parameters
    ----------
    text : str

    Returns
    -------
    decimal.Decimal or None
        None if the text is no finite number.
    """
    value = number(text)
    try:
        return None if value is None or not math.isfinite(value) else Decimal(text)
    except InvalidOperation:  # an exponent of more than 18 digits
        return None


def spellings(text):
    """Return other texts of the same category, as other programs write them.

    Parameters
    ----------
    text : str

    Returns
    -------
    set of str
        Its normal forms C and D; of a number the shortest text of its float, and of a whole one also its digits:
        `4` is `4.0` once a column is one of floats.
    """
    found = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}
    value = exact_number(text)
    if value is not None:
        numbers = {repr(float(value))} | ({str(int(value))} if abs(value) < 2**53 and value == int(value) else set())
        found |= {other for other in numbers if exact_number(other) == value}
    return found - {text}


def _plain(text):
    return text.isascii() and "_" not in text


def number(text):
    """The float64 nearest to a decimal number, without -0.0; None if it is none.

    `nan`, `1_0` and digits of other scripts, which `float` takes, are none; `inf` is one, and no input.
    """
    try:
        value = float(text) + 0.0 if _plain(text) else math.nan
    except ValueError:
        return None
    return None if math.isnan(value) else value


def numbers(cells):
    """(n,) float64 as `number` gives, ten times as fast, if all n cells are numbers; else None."""
    if cells and _plain("".join(cells)):
        try:
            values = np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            return None
        return None if np.isnan(values).any() else values + 0.0
    return None


def day(text):
    """Days since 1970-01-01 UTC, the nearest float64, of `YYYY-MM-DD`; None if it is no such date.

    `THH:MM`, `:SS`, a fraction and a zone may follow (ISO 8601); for the T a blank may stand.
    """
    found = _DATE.fullmatch(text)
    return _days(*found.groups()) if found else None


def _days(year, month, of_month, hour, minute, second, fraction=None, sign=None, *zone):
    """`day` of the texts of its parts; None if there is no such day or time."""
    year, month, of_month, hour, minute, second = (int(p or 0) for p in (year, month, of_month, hour, minute, second))
    if hour > 23 or minute > 59 or second > 59:
        return None
    try:
        days = date(year, month, of_month).toordinal() - date(1970, 1, 1).toordinal()
    except ValueError:
        return None
    east = (int(zone[0]) * 60 + int(zone[1])) * (1 if sign == "+" else -1) if sign else 0
    seconds = (hour * 60 + minute - east) * 60 + second
    # One division of integers, correctly rounded.
    return (days * DAY + seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))) / DAY


def truth(text):
    """1.0 of `true`, 0.0 of `false`, in any case; None of all else."""
    return {"true": 1.0, "false": 0.0}.get(text.lower())


def any_truth(text):
    """`truth`, also of `yes` and `no`, `y` and `n`, and the numbers 1 and 0: where a column is known to hold truths."""
    words = {"true": 1.0, "yes": 1.0, "y": 1.0, 1.0: 1.0, "false": 0.0, "no": 0.0, "n": 0.0, 0.0: 0.0}
    return words.get(text.lower(), words.get(number(text)))


PARSERS = {"number": number, "date": day, "boolean": truth}


BLANK = "[ \u00a0\u2009\u202f]"  # also those that do not break, and a thin one


def _written(group, decimal, percent):
    """Parser of numbers with this decimal mark, a mark of this pattern between thousands, and maybe a `%` at the end.

    Of `5%` the number is 5.
    """
    digits = rf"(?:[1-9]\d{{0,2}}(?:{group}\d{{3}})+|\d*)" if group else r"\d*"
    sign = f"{BLANK}?%" if percent else ""
    form = re.compile(rf"([-+]?{digits}(?:{re.escape(decimal)}\d*)?(?:[eE][-+]?\d+)?){sign}", re.ASCII)

    def parse(text):
        found = form.fullmatch(text)
        return number((re.sub(group, "", found[1]) if group else found[1]).replace(decimal, ".")) if found else None

    return parse


def _ordered(order, mark):
    """Parser of dates whose parts have this order, such as "dmy", and this mark between them; and of `day`'s."""
    year, other = r"(?P<y>\d{4})", r"(?P<%s>\d\d?)"
    parts = re.escape(mark).join(year if part == "y" else other % part for part in order)
    form = re.compile(rf"{parts}(?:[ T](?P<h>\d\d?):(?P<min>\d\d)(?::(?P<s>\d\d))?)?", re.ASCII)

    def parse(text):
        found = form.fullmatch(text)
        return _days(*found.group("y", "m", "d", "h", "min", "s")) if found else day(text)

    return parse


# {an example, which is the notation's name: (mark between thousands, decimal mark)}, the narrow ones first
_NUMBERS = {
    "1,5": ("", ","),
    "1,234.5": (",", "."),
    "1.234,5": (r"\.", ","),
    "1 234.5": (BLANK, "."),
    "1 234,5": (BLANK, ","),
    "1'234.5": ("['\u2019]", "."),
}
_PERCENT = {f"{name}%": marks for name, marks in {"1.5": ("", "."), **_NUMBERS}.items()}
DECIMAL = {name: mark for name, (_, mark) in (_NUMBERS | _PERCENT).items()}
NOTATIONS = {
    "number": {name: _written(*marks, name in _PERCENT) for name, marks in (_NUMBERS | _PERCENT).items()},
    "date": {
        "31.12.2024": _ordered("dmy", "."),
        "31/12/2024": _ordered("dmy", "/"),
        "12/31/2024": _ordered("mdy", "/"),
        "31-12-2024": _ordered("dmy", "-"),
        "12-31-2024": _ordered("mdy", "-"),
        "2024/12/31": _ordered("ymd", "/"),
        "2024.12.31": _ordered("ymd", "."),
    },
}


def parser(kind, notation=""):
    """The function of NOTATIONS from a text to its float64 or None; of PARSERS if the notation is "", the plain one."""
    return NOTATIONS[kind][notation] if notation else PARSERS[kind]
