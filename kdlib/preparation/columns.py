"""What each column of a table is, its categories, and what is filled in: fits an `Encoding`."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np

from kdlib.data.cells import MISSING, PARSERS, exact_number
from kdlib.data.encoding import Column, Encoding, as_numbers
from kdlib.data.names import check_name, listed
from kdlib.errors import UserError

MOST = 10_000  # different values of a category
_CODE = re.compile(r"[-+]?0\d")  # how a code such as 007 begins


def fit(table, target, drop=(), categories=()):
    """`Encoding` of all columns but `target` and `drop`. categories: columns to take as such though they hold numbers.

    It reads the features of all rows, and no label. A row that a split tests on so takes part in three things: what a
    column is, which categories have a feature, and the median. None tells a class: a category that tested rows alone
    have is zeros in training, and where a value is filled in, the feature `is missing` lets a network make any other
    of it. Offset and scale are fitted on the training rows of each split.

    A missing number becomes the lower median of its column, which is a value that occurs: nothing is rounded, and
    integers stay integers. Categories that are the same number are one, `4` and `4.0`, but for codes: `007` and `7` are
    two. A category is rare in fewer than 2 + n / 1000 rows. A column whose cells are all alike is left out: what to
    make of another value later, no network can learn. Raises UserError for a column of mixed types, or of too many
    different texts.
    """
    for key, names in (("target", [target]), ("drop", drop), ("categories", categories)):
        for name in names:
            if name not in table.columns:
                raise UserError(f"prepare.{key}: got {name!r}; the columns of {table.path} are {listed(table.columns)}")
    names = [name for name in table.columns if name != target and name not in drop]
    kept = [_column(table, name, name in {*categories, *table.declared}) for name in names]
    if not any(kept):
        raise UserError(f"{table.path}: no column beside {target} has different values; a feature is needed")
    return Encoding(tuple(filter(None, kept)))


def _column(table, name, category):
    """`Column`, or None if all its cells are alike."""
    if not table.batches:
        cells = table.cells(name)
        table = replace(table, columns={name: lambda: cells})
    if _alike(table, name):
        return None
    if not category and (values := _numbers(table, name)) is not None:
        return Column(name, "number", float(np.sort(values)[(len(values) - 1) // 2]))
    counts = Counter()
    for block in table.blocks([name]):
        counts.update(block.cells(name))
    present = {text: count for text, count in counts.items() if text not in MISSING}
    if not present:  # only different words for a missing value
        return None
    kind, missing = "category" if category else _kind(table, name, present), len(present) < len(counts)
    if kind == "category":
        present = _merged(present)
        if len(present) == 1 and not missing:
            return None
        return Column(name, kind, 0.0, missing, *_vocabulary(table, name, present))
    return Column(name, kind, _lower_median((PARSERS[kind](text), count) for text, count in present.items()), missing)


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


def _kind(table, name, present):
    for kind, parse in PARSERS.items():
        others = [text for text in present if parse(text) is None]
        if not others:
            return kind
        if kind != "boolean" and 2 * len(others) < len(present):
            where = table.where(table.find(name, others[0]), name)
            raise UserError(
                f"{where}: {others[0][:40]!a} is no {kind}, as other values of the"
                f" column are; mend it, or name the column in prepare.categories or prepare.drop"
            )
    return "category"


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
