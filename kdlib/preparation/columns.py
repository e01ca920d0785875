"""Fit the encoding of a table: the kind of each column, its categories, and what replaces a missing value."""

import logging
import re
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from functools import cached_property

import numpy as np

from kdlib.data.encoding import KINDS, Column, Encoding
from kdlib.data.name_checks import check_name, join_names
from kdlib.data.parsing import (
    DECIMAL_MARKS,
    MAX_MAGNITUDE,
    MISSING_TEXTS,
    NOTATIONS,
    PARSERS,
    PLACEHOLDERS,
    exact_number,
    parser_for,
)
from kdlib.data.table import Table
from kdlib.io.errors import UserError
from kdlib.preparation.column_options import ColumnOptions

MAX_CATEGORIES = 10_000  # different values of a column
POINT_GROUPS = "1.234,5"  # in this notation `1.500`, which is also a plain number, is another number
_CODE = re.compile(r"[-+]?0\d")  # beginning of a code such as 007

log = logging.getLogger("prepare")


def fit_encoding(table: Table, target: str, options: ColumnOptions = ColumnOptions()) -> Encoding:
    """Fit the `Encoding` of all columns but `target`, `options.drop` and `options.weight`.

    It reads the features of all rows, and no label. So a row of a test subset takes part in three decisions: what kind
    a column has, which categories have a feature, and the median. None of them gives a class away: the feature of a
    category that only test rows have is zero in training. Beside a filled value stands the feature `is missing`, with
    which a network can learn any other value in its place. Offset and scale are fitted on the training rows of each
    split.

    - The kind of a column is what the user asks for, or else what the source declares. Without both, plain numbers are
      found by `_column_of_numbers`, and `_kind_and_notation` decides the kind of all other columns.
    - A missing number becomes the lower median of its column. The lower median is a value of the column: nothing is
      rounded, and integers stay integers.
    - Categories that are the same number are one category, such as `4` and `4.0`. Codes are the exception: `007` and
      `7` are two.
    - A category is rare in fewer than 2 + n / 1000 rows, with the quotient rounded down.
    - A column with the same text in each cell is left out: no network can learn what another value would mean.
    - A column whose numbers or dates all have one notation of `kdlib.data.parsing.NOTATIONS` is a column of numbers or
      dates. A line in the log names the notation.

    Parameters
    ----------
    table : Table
        n rows.
    target : str
        Column of the labels.
    options : ColumnOptions

    Returns
    -------
    Encoding

    Raises
    ------
    UserError
        If a named column does not exist, if a column mixes kinds or notations or has too many different texts, or if no
        column is left. If several columns are refused, the log has the reason for each.
    """
    named = {key: getattr(options, key) for key in ("drop", "categories", "encodings")}
    weight = [options.weight] if options.weight else []
    for key, names in ({"target": [target], "weight": weight} | named).items():
        for name in names:
            if name not in table.columns:
                raise UserError(
                    f"prepare.{key}: got {name!r}; the columns of {table.path} are {join_names(table.columns)}"
                )
    names = [name for name in table.columns if name not in (target, *options.drop, *weight)]
    asked = dict.fromkeys((*table.declared_categories, *options.categories), "category") | options.encodings
    text_columns = [name for name in names if _is_parsed(asked.get(name)) and not table.is_numeric(name)]
    marks = _DecimalMarks(table, text_columns, PLACEHOLDERS.union(MISSING_TEXTS, options.missing))
    columns = []
    errors = {}
    for name in names:
        try:
            columns.append(_column(table, name, asked.get(name), options.missing, marks))
        except UserError as error:
            errors[name] = error
    if len(errors) == 1:
        raise next(iter(errors.values()))
    for error in errors.values():
        log.error("%s", error)
    if errors:
        raise UserError(
            f"{table.path}: {len(errors)} columns cannot be used, for the reasons above; mend them, or leave them out:"
            f" prepare.drop: [{join_names(errors)}]"
        )
    if not any(columns):
        raise UserError(f"{table.path}: no column beside {target} has different values; a feature is needed")
    return Encoding(tuple(filter(None, columns)))


def _is_parsed(asked):
    """Return whether each cell of a column has to be a number, a date or a truth value."""
    return asked is None or KINDS[asked].cells is not None


def _column(table, name, asked, missing, marks):
    """Fit the `Column`; None if all its cells are alike. asked: the kind that the user asks for, or None."""
    if not table.read_batches:
        cells = table.cells(name)
        table = replace(table, columns={name: lambda: cells})
    if _all_alike(table, name):
        return None
    if asked in (None, "number") and not missing:
        column = _column_of_numbers(table, name)
        if column is not None:
            return column
    counts = Counter()
    for batch in table.batches([name]):
        counts.update(batch.cells(name))
    present = {text: count for text, count in counts.items() if text not in MISSING_TEXTS and text not in missing}
    if not present:  # only different words for a missing value
        return None
    kind, notation = _kind_and_notation(table, name, present, marks) if _is_parsed(asked) else (asked, "")
    if asked and _is_parsed(asked) and kind != KINDS[asked].cells:
        raise UserError(
            f"{table.path}: column {name}: prepare.encodings: {asked} needs a {KINDS[asked].cells} in each cell, and it"
            f" is a {kind}"
        )
    column = Column(name, asked or kind, notation=notation, missing_texts=missing)
    return FITS[column.kind](column, table, present, len(counts))


def _column_of_numbers(table, name):
    """Fit a column of plain numbers, without its texts; None if a cell is none, or may be another number."""
    values = _numbers(table, name)
    if values is None or _may_have_point_groups(table, name):
        return None
    if not (np.abs(values) <= MAX_MAGNITUDE).all():
        Column(name, "number").values(table)  # raises an error that names the cell
    return Column(name, "number", float(np.sort(values)[(len(values) - 1) // 2]))


def _with_categories(column, table, present, texts):
    """Return the column with its categories; None if there are fewer than two.

    present: {text: rows} without the missing texts. texts: the number of different texts, missing ones included.
    """
    parse = column.parser(table.is_numeric(column.name))
    present = {text: count for text, count in present.items() if _CODE.match(text) or not np.isnan(parse(text))}
    some_missing = len(present) < texts
    present = _merge_equal_numbers(present)
    if len(present) < 2 and not (present and some_missing):
        return None
    frequent, rare = _vocabulary(table, column.name, present)
    return replace(column, missing=some_missing, categories=frequent, rare=rare)


def _with_fill(column, table, present, texts):
    """Return the column of numbers or dates with its median; None if no cell has a value. As `_with_categories`."""
    counted_values = _count_values(column, table, present)
    return _filled(column, table, counted_values) if counted_values else None


def _filled(column, table, counted_values):
    """Return the column with the median of its values, [(value, rows)]."""
    known = sum(count for _, count in counted_values)  # lint: integer sum
    return replace(column, fill=_lower_median(counted_values), missing=known < len(table))


FITS = {
    "number": _with_fill,
    "date": _with_fill,
    "boolean": _with_fill,
    "category": _with_categories,
}


def _count_values(column, table, present):
    """Return [(value, rows)] of the cells that have a value. present: {text: rows}."""
    parse = column.parser(table.is_numeric(column.name))
    value_of_text = {text: value for text in present if not np.isnan(value := parse(text))}
    if any(abs(value) > MAX_MAGNITUDE for value in value_of_text.values()):
        column.values(table)  # raises an error that names the cell
    if column.notation and value_of_text:
        _log_notation(f"{table.path}: column {column.name}", KINDS[column.kind].cells, value_of_text)
    return [(value, present[text]) for text, value in value_of_text.items()]


def _log_notation(where, kind, value_of_text):
    """Log how the longest cell was read."""
    text = max(value_of_text, key=len)
    value = value_of_text[text]
    shown = f"{value:.15g}" if kind == "number" else str(date(1970, 1, 1) + timedelta(value))
    log.info(
        "%s: %a is read as the %s %s; if it is none, name the column in prepare.categories", where, text, kind, shown
    )


def _all_alike(table, name):
    """Return whether all cells have the same text."""
    first_key = None
    for batch in table.batches([name]):
        if table.read_batches and name in batch.arrays:  # two numbers have one text only if they have the same bits
            values = batch.arrays[name]()
            cells = values.view(f"u{values.itemsize}")
            alike = (cells == cells[0]).all()
            key = (values.dtype, cells[0])
        else:
            cells = batch.cells(name)
            alike = cells.count(cells[0]) == len(cells)
            key = cells[0]
        if not alike or first_key not in (None, key):
            return False
        first_key = key
    return True


def _numbers(table, name):
    """Return a column as (n,) float64; None if a cell is not a number."""
    found = []
    for batch in table.batches([name]):
        found.append(batch.numbers(name))
        if found[-1] is None:
            return None
    return np.concatenate(found)


class _DecimalMarks:
    """Find the decimal marks that a table's number columns prove. Cells are read at the first request."""

    def __init__(self, table, names, missing):
        self.table = table
        self.names = names
        self.missing = missing

    @cached_property
    def certain(self):
        """Marks of the columns for which only one mark is possible."""
        certain = set()
        for name in self.names:
            try:
                texts = {text for batch in self.table.batches([name]) for text in batch.cells(name)}
            except UserError:  # such as for a Parquet column of lists, which `fit_encoding` refuses in its turn
                continue
            texts -= self.missing
            possible = {DECIMAL_MARKS.get(notation, ".") for notation in _notations("number", texts, plain=True)}
            if len(possible) == 1:
                certain |= possible
        return certain

    @property
    def of_table(self):
        """The only mark of the table; "" if it is not known."""
        if not self.certain:
            return self.table.decimal_mark
        return next(iter(self.certain)) if len(self.certain) == 1 else ""


def _notations(kind, texts, plain=False):
    """Return the notations that fit every text; none if there are no texts. plain: try the plain notation "", too."""
    tried = ["", *NOTATIONS[kind]] if plain else NOTATIONS[kind]
    return [
        notation for notation in tried if texts and all(parser_for(kind, notation)(text) is not None for text in texts)
    ]


def _may_have_point_groups(table, name):
    """Return whether points in a column of plain numbers, such as `1.500`, may separate thousands."""
    parse = parser_for("number", POINT_GROUPS)
    has_points = False
    for batch in table.batches([name]) if not table.is_numeric(name) else ():
        cells = batch.cells(name)
        if "." in "".join(cells):
            if any(parse(text) is None for text in cells if text not in MISSING_TEXTS):
                return False
            has_points = True
    return has_points


def _kind_and_notation(table, name, present, marks):
    """Decide (kind, notation) of a column with these texts."""
    unparsed = {kind: [text for text in present if parse(text) is None] for kind, parse in PARSERS.items()}
    texts = [text for text in present if text not in PLACEHOLDERS]
    plain = PLACEHOLDERS.issuperset(unparsed["number"]) and not table.is_numeric(name) and "." in "".join(texts)
    if plain and POINT_GROUPS in _notations("number", texts) and "," in marks.certain:
        return "number", POINT_GROUPS
    for kind, others in unparsed.items():
        if not others or (2 * len(others) < len(present) and PLACEHOLDERS.issuperset(others)):
            return kind, ""
    fitting = {kind: [] if PLACEHOLDERS.issuperset(unparsed[kind]) else _notations(kind, texts) for kind in NOTATIONS}
    if fitting["number"]:
        return "number", _unambiguous(table, name, texts, fitting["number"], marks)
    if fitting["date"] and _agree(fitting["date"], "date", texts):
        return "date", fitting["date"][0]
    for kind, others in unparsed.items():
        if kind != "boolean" and 2 * len(others) < len(present):
            raise _mixture(table, name, others[0], f"is no {kind}, as other values of the column are; mend it")
    too_many_texts = 2 * len(present) > sum(present.values())  # lint: integer sum
    _refuse_mixed_notations(table, name, texts, too_many_texts)
    if fitting["date"]:
        message = f"{table.path}: column {name}: {texts[0]!a} may be either of two dates; write it as 2024-12-31"
        log.warning("%s", message)
    return "category", ""


def _refuse_mixed_notations(table, name, texts, too_many_texts):
    """Refuse numbers or dates in several notations.

    If the texts are too many for a category, refuse also a column in which most texts have one notation.
    """
    for kind in NOTATIONS:
        parsers = [parser_for(kind, notation) for notation in ("", *NOTATIONS[kind])]
        parsed_by_each = [{text for text in texts if parse(text) is not None} for parse in parsers]
        most_parsed = max(parsed_by_each, key=len)
        other = next((text for text in texts if text not in most_parsed), None)
        if most_parsed and other and set().union(*parsed_by_each).issuperset(texts):
            usual = next(text for text in texts if text in most_parsed)
            reason = f"is not written as another {kind} of the column, {usual[:40]!a}, is; write all in one way"
            raise _mixture(table, name, other, reason)
        if other and too_many_texts and 2 * len(most_parsed) > len(texts):
            raise _mixture(table, name, other, f"is no {kind}, as other values of the column are; mend it")


def _mixture(table, name, text, reason):
    """Return the error for a column that mixes kinds or notations."""
    where = table.where(table.find(name, text), name)
    return UserError(f"{where}: {text[:40]!a} {reason}, or name the column in prepare.categories or prepare.drop")


def _agree(notations, kind, texts):
    """Return whether each text has the same value in all these notations."""
    return all(len({parser_for(kind, notation)(text) for notation in notations}) == 1 for text in texts)


def _unambiguous(table, name, texts, notations, marks):
    """Return the first notation. If values depend on the decimal mark, only notations with the table's mark count."""
    if len({DECIMAL_MARKS[notation] for notation in notations}) > 1:
        notations = [notation for notation in notations if DECIMAL_MARKS[notation] == marks.of_table] or notations
    if _agree(notations, "number", texts):
        return notations[0]
    text = next(text for text in texts if not _agree(notations, "number", [text]))
    least, *_, greatest = sorted(parser_for("number", notation)(text) for notation in notations)
    reason = f"may be {least:.15g} or {greatest:.15g}, and no other column tells which; write it plainly"
    raise _mixture(table, name, text, reason)


def _merge_equal_numbers(present):
    """Return {text: count} with one text for each number: the shortest one, and of equally short ones the first."""
    values = {text: None if _CODE.match(text) else exact_number(text) for text in present}
    keys = {text: text if value is None else value for text, value in values.items()}
    shortest = {keys[text]: text for text in sorted(present, key=lambda text: (len(text), text), reverse=True)}
    merged = Counter()
    for text, count in present.items():
        merged[shortest[keys[text]]] += count
    return merged


def _lower_median(counted_values):
    """Return the lower median of (value, count) pairs in any order."""
    counted_values = sorted(counted_values)
    remaining = (sum(count for _, count in counted_values) - 1) // 2  # lint: integer sum
    for value, count in counted_values:
        if remaining < count:
            return value
        remaining -= count
    raise ValueError("no values")


def _vocabulary(table, name, present):
    """Return (frequent values, rare values), each sorted. A single rare value has a feature of its own."""
    rows = sum(present.values())  # lint: integer sum
    min_count = 2 + len(table) // 1000
    frequent = sorted(text for text, count in present.items() if count >= min_count)
    if not frequent or len(present) > MAX_CATEGORIES or 2 * len(present) > rows:
        raise UserError(
            f"{table.path}: column {name} has {len(present):,} different texts in {rows:,} rows, too many for a"
            f" category: an id, free text, or dates not written as 2024-12-31? Drop it: prepare.drop: [{name}]"
        )
    rare = sorted(set(present) - set(frequent))
    for text in present:
        check_name(table.where(table.find(name, text), name), text)
    return (tuple(sorted(present)), ()) if len(rare) < 2 else (tuple(frequent), tuple(rare))
