"""What the text in a cell of a table says: a number, a date, a truth value, or nothing."""

import math
import re
import unicodedata
from datetime import date
from decimal import Decimal, InvalidOperation

import numpy as np

MISSING = frozenset(["", "NA", "N/A", "NaN", "nan", "NULL", "null", "?"])
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

    `1_0` and digits of other scripts, which `float` takes, are none; `inf` is one, and no input.
    """
    try:
        return float(text) + 0.0 if _plain(text) else None
    except ValueError:
        return None


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
    if not found:
        return None
    year, month, of_month, hour, minute, second = (int(part or 0) for part in found.groups()[:6])
    fraction, sign, *zone = found.groups()[6:]
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


PARSERS = {"number": number, "date": day, "boolean": truth}
