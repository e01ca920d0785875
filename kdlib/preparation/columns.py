"""What each column of a table is, its categories, and what is filled in: fits an `Encoding`."""

import logging
import re
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from functools import cached_property

import numpy as np

from kdlib.data.encoding import Column, Encoding, as_numbers
from kdlib.data.name_checks import check_name, listed
from kdlib.data.parsing import DECIMAL, LARGEST, MISSING, NOTATIONS, PARSERS, PLACEHOLDERS, exact_number, parser
from kdlib.io.errors import UserError

MOST = 10_000  # different values of a category
GROUPED = "1.234,5"  # the notation in which `1.500`, also a plain number, is another number
_CODE = re.compile(r"[-+]?0\d")  # how a code such as 007 begins

log = logging.getLogger("prepare")


def fit(table, target, drop=(), categories=(), missing=()):
    """`Encoding` of all columns but `target` and `drop`. categories: columns to take as such though they hold numbers.
    missing: texts that say that a value is missing, besides `kdlib.data.parsing.MISSING`.

    It reads the features of all rows, and no label. A row that a split tests on so takes part in three things: what a
    column is, which categories have a feature, and the median. None tells a class: a category that tested rows alone
    have is zeros in training, and where a value is filled in, the feature `is missing` lets a network make any other
    of it. Offset and scale are fitted on the training rows of each split.

    A missing number becomes the lower median of its column, which is a value that occurs: nothing is rounded, and
    integers stay integers. Categories that are the same number are one, `4` and `4.0`, but for codes: `007` and `7` are
    two. A category is rare in fewer than 2 + n / 1000 rows. A column whose cells are all alike is left out: what to
    make of another value later, no network can learn. A column whose numbers or dates are all in one of
    `parsing.NOTATIONS` is one of numbers or dates, and the log says so. Raises UserError for a column of mixed
    types or notations, or of too many different texts; of several such columns, the log has the reason of each.
    """
    for key, names in (("target", [target]), ("drop", drop), ("categories", categories)):
        for name in names:
            if name not in table.columns:
                raise UserError(f"prepare.{key}: got {name!r}; the columns of {table.path} are {listed(table.columns)}")
    names = [name for name in table.columns if name != target and name not in drop]
    told = {*categories, *table.declared}
    written = [name for name in names if name not in told and not table.is_numeric(name)]
    marks = _DecimalMarks(table, written, PLACEHOLDERS.union(MISSING, missing))
    kept, wrong = [], {}
    for name in names:
        try:
            kept.append(_column(table, name, name in told, tuple(missing), marks))
        except UserError as error:
            wrong[name] = error
    if len(wrong) == 1:
        raise next(iter(wrong.values()))
    for error in wrong.values():
        log.error("%s", error)
    if wrong:
        raise UserError(
            f"{table.path}: {len(wrong)} columns cannot be used, for the reasons above; mend them, or leave them out:"
            f" prepare.drop: [{listed(wrong)}]"
        )
    if not any(kept):
        raise UserError(f"{table.path}: no column beside {target} has different values; a feature is needed")
    return Encoding(tuple(filter(None, kept)))


def _column(table, name, category, missing, marks):
    """`Column`, or None if all its cells are alike."""
    if not table.batches:
        cells = table.cells(name)
        table = replace(table, columns={name: lambda: cells})
    if _alike(table, name):
        return None
    if not (category or missing) and (values := _numbers(table, name)) is not None and not _grouped(table, name):
        if not (np.abs(values) <= LARGEST).all():
            Column(name, "number").values(table)  # which says where
        return Column(name, "number", float(np.sort(values)[(len(values) - 1) // 2]))
    counts = Counter()
    for block in table.blocks([name]):
        counts.update(block.cells(name))
    present = {text: count for text, count in counts.items() if text not in MISSING and text not in missing}
    if not present:  # only different words for a missing value
        return None
    kind, notation = ("category", "") if category else _kind(table, name, present, marks)
    column = Column(name, kind, notation=notation, missing_texts=missing)
    parse = column.parser(table.is_numeric(name))
    if kind == "category":
        present = {text: count for text, count in present.items() if _CODE.match(text) or not np.isnan(parse(text))}
        some_missing = len(present) < len(counts)
        present = _merged(present)
        if len(present) < 2 and not (present and some_missing):
            return None
        named, rare = _vocabulary(table, name, present)
        return replace(column, missing=some_missing, categories=named, rare=rare)
    found = {text: value for text in present if not np.isnan(value := parse(text))}
    if any(abs(value) > LARGEST for value in found.values()):
        column.values(table)
    if not found:
        return None
    if notation:
        _say_notation(f"{table.path}: column {name}", kind, found)
    known = sum(present[text] for text in found)  # integers
    fill = _lower_median((value, present[text]) for text, value in found.items())
    return replace(column, fill=fill, missing=known < len(table))


def _say_notation(where, kind, found):
    """The log says how one cell is read, of {text: value}: the longest."""
    text = max(found, key=len)
    value = f"{found[text]:.15g}" if kind == "number" else str(date(1970, 1, 1) + timedelta(found[text]))
    log.info(
        "%s: %a is read as the %s %s; if it is none, name the column in prepare.categories", where, text, kind, value
    )


def _alike(table, name):
    """Whether all cells are the same text."""
    first = None
    for block in table.blocks([name]):
        if table.batches and name in block.arrays:  # a number's text stands for its bits
            values = block.arrays[name]()
            cells = values.view(f"u{values.itemsize}")
            alike, key = (cells == cells[0]).all(), (values.dtype, cells[0])
        else:
            cells = block.cells(name)
            alike, key = cells.count(cells[0]) == len(cells), cells[0]
        if not alike or first not in (None, key):
            return False
        first = key
    return True


def _numbers(table, name):
    """(n,) float64 of a column, or None if a cell is no number."""
    found = []
    for block in table.blocks([name]):
        found.append(as_numbers(block, name))
        if found[-1] is None:
            return None
    return np.concatenate(found)


class _DecimalMarks:
    """The decimal marks of which a table's columns of numbers are sure. Its cells are read when it is first asked."""

    def __init__(self, table, names, missing):
        self.table, self.names, self.missing = table, names, missing

    @cached_property
    def sure(self):
        found = set()
        for name in self.names:
            try:
                texts = {text for block in self.table.blocks([name]) for text in block.cells(name)}
            except UserError:  # of a Parquet's column of lists, say, which is refused in its turn
                continue
            texts -= self.missing
            marks = {DECIMAL.get(notation, ".") for notation in _notations("number", texts, plain=True)}
            found |= marks if len(marks) == 1 else set()
        return found

    @property
    def mark(self):
        """The one of the table, "" if it is not known."""
        return self.table.decimal if not self.sure else next(iter(self.sure)) if len(self.sure) == 1 else ""


def _notations(kind, texts, plain=False):
    """Those in which all the texts are of the kind; none of no texts. plain: the plain one, "", may be among them."""
    tried = ["", *NOTATIONS[kind]] if plain else NOTATIONS[kind]
    return [notation for notation in tried if texts and all(parser(kind, notation)(text) is not None for text in texts)]


def _grouped(table, name):
    """Whether a column of plain numbers, such as `1.500`, may be one of thousands with a point between them."""
    parse, points = parser("number", GROUPED), False
    for block in table.blocks([name]) if not table.is_numeric(name) else ():
        cells = block.cells(name)
        if "." in "".join(cells):
            if any(parse(text) is None for text in cells if text not in MISSING):
                return False
            points = True
    return points


def _kind(table, name, present, marks):
    """(kind, notation) of a column with these texts."""
    others = {kind: [text for text in present if parse(text) is None] for kind, parse in PARSERS.items()}
    texts = [text for text in present if text not in PLACEHOLDERS]
    plain = PLACEHOLDERS.issuperset(others["number"]) and not table.is_numeric(name) and "." in "".join(texts)
    if plain and GROUPED in _notations("number", texts) and "," in marks.sure:
        return "number", GROUPED
    for kind, left in others.items():
        if not left or (2 * len(left) < len(present) and PLACEHOLDERS.issuperset(left)):
            return kind, ""
    found = {kind: [] if PLACEHOLDERS.issuperset(others[kind]) else _notations(kind, texts) for kind in NOTATIONS}
    if found["number"]:
        return "number", _unambiguous(table, name, texts, found["number"], marks)
    if found["date"] and _same(found["date"], "date", texts):
        return "date", found["date"][0]
    for kind, left in others.items():
        if kind != "boolean" and 2 * len(left) < len(present):
            raise _mixture(table, name, left[0], f"is no {kind}, as other values of the column are; mend it")
    _refuse_mixed_notations(table, name, texts, 2 * len(present) > sum(present.values()))  # integers
    if found["date"]:
        told = f"{table.path}: column {name}: {texts[0]!a} may be either of two dates; write it as 2024-12-31"
        log.warning("%s", told)
    return "category", ""


def _refuse_mixed_notations(table, name, texts, unlike):
    """Raises UserError for numbers or dates in several notations; of texts that are no category's, for other texts too.

    unlike: whether the texts are too many for a category.
    """
    for kind in NOTATIONS:
        parsers = [parser(kind, notation) for notation in ("", *NOTATIONS[kind])]
        covered = [{text for text in texts if parse(text) is not None} for parse in parsers]
        best = max(covered, key=len)
        other = next((text for text in texts if text not in best), None)
        if best and other and set().union(*covered).issuperset(texts):
            usual = next(text for text in texts if text in best)
            reason = f"is not written as another {kind} of the column, {usual[:40]!a}, is; write all in one way"
            raise _mixture(table, name, other, reason)
        if other and unlike and 2 * len(best) > len(texts):
            raise _mixture(table, name, other, f"is no {kind}, as other values of the column are; mend it")


def _mixture(table, name, text, reason):
    where = table.where(table.find(name, text), name)
    return UserError(f"{where}: {text[:40]!a} {reason}, or name the column in prepare.categories or prepare.drop")


def _same(notations, kind, texts):
    """Whether each text is the same value in all these notations."""
    return all(len({parser(kind, notation)(text) for notation in notations}) == 1 for text in texts)


def _unambiguous(table, name, texts, notations, marks):
    """The first of the notations, of those with the table's decimal mark where values depend on it."""
    if len({DECIMAL[notation] for notation in notations}) > 1:
        notations = [notation for notation in notations if DECIMAL[notation] == marks.mark] or notations
    if _same(notations, "number", texts):
        return notations[0]
    text = next(text for text in texts if not _same(notations, "number", [text]))
    first, *_, last = sorted(parser("number", notation)(text) for notation in notations)
    reason = f"may be {first:.15g} or {last:.15g}, and no other column tells which; write it plainly"
    raise _mixture(table, name, text, reason)


def _merged(present):
    """{text: count}, where texts of one number are counted under the first of the shortest ones."""
    values = {text: None if _CODE.match(text) else exact_number(text) for text in present}
    keys = {text: text if value is None else value for text, value in values.items()}
    shortest = {keys[text]: text for text in sorted(present, key=lambda text: (len(text), text), reverse=True)}
    merged = Counter()
    for text, count in present.items():
        merged[shortest[keys[text]]] += count
    return merged


def _lower_median(counted):
    """Of (value, count) in any order."""
    counted = sorted(counted)
    left = (sum(count for _, count in counted) - 1) // 2  # integers
    for value, count in counted:
        if left < count:
            return value
        left -= count
    raise ValueError("no values")


def _vocabulary(table, name, present):
    """(frequent values, rare values), each sorted. One rare value alone has a feature of its own."""
    rows = sum(present.values())  # integers
    least = 2 + len(table) // 1000
    frequent = sorted(text for text, count in present.items() if count >= least)
    if not frequent or len(present) > MOST or 2 * len(present) > rows:
        raise UserError(
            f"{table.path}: column {name} has {len(present):,} different texts in {rows:,} rows, too many for a"
            f" category: an id, free text, or dates not written as 2024-12-31? Drop it: prepare.drop: [{name}]"
        )
    rare = sorted(set(present) - set(frequent))
    for text in present:
        check_name(table.where(table.find(name, text), name), text)
    return (tuple(sorted(present)), ()) if len(rare) < 2 else (tuple(frequent), tuple(rare))
