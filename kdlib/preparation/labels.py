"""Classes from a column of texts or an array: their names, their order, and what is no class."""

import logging

import numpy as np

from kdlib.data.name_checks import check_name
from kdlib.data.parsing import MISSING, number
from kdlib.io.chunks import positive_zeros
from kdlib.io.errors import UserError

FEW = 20  # different numbers that are taken for classes, whatever they are
BLOCK = 1 << 20  # rows that are looked up at once
NO_CLASS = MISSING - {"None"}  # that is a class where the others are kinds of disorders, say

log = logging.getLogger("prepare")


def of_table(table, target, missing=()):
    """(y (n,) int64, class names) of the column `target`, in the order of the numbers that they are, or of the texts.
    missing: texts that are no class, besides NO_CLASS.

    Raises UserError for a cell without a value, a name that is no class's, and for regression.
    """
    first, found, codes, start = {}, {}, np.empty(len(table), np.int64), 0
    for block in table.blocks([target]):
        cells = block.cells(target)
        for text, k in {text: k for k, text in reversed(list(enumerate(cells)))}.items():
            first.setdefault(text, start + k)
            found.setdefault(text, len(found))
        codes[start : start + len(cells)] = np.fromiter(map(found.__getitem__, cells), np.int64, len(cells))
        start += len(cells)
    for text, at in first.items():
        if text in NO_CLASS or text in missing:
            raise UserError(f"{table.where(at, target)}: {text!r} is no class; leave out the rows without one")
        check_name(table.where(at, target), text)
    values = [number(text) for text in first]
    numeric = None not in values
    if numeric:
        _refuse_regression(f"{table.path}: column {target}", values, len(table))
    names = sorted(first, key=lambda text: (number(text), text)) if numeric else sorted(first)
    places = {name: k for k, name in enumerate(names)}
    return np.array([places[text] for text in found], np.int64)[codes], names


def of_array(path, y):
    """(y (n,) int64, class names) of an array (n,) of numbers or texts. Raises UserError as `of_table` does."""
    if y.dtype.kind not in "biufSU":
        raise UserError(f"{path}: y is {y.dtype}; classes are numbers or texts")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise UserError(f"{path}: y has NaN or infinite values; a class is a whole number or a text")
    try:
        y = y.astype(str) if y.dtype.kind == "S" else y
        blocks = [y[start : start + BLOCK] for start in range(0, len(y), BLOCK)]
        classes = positive_zeros(np.unique(np.concatenate([np.unique(block) for block in blocks])))
    except UnicodeDecodeError:
        raise UserError(f"{path}: y has bytes that are no ASCII; write its classes as text") from None
    if y.dtype.kind in "iuf":
        _refuse_regression(f"{path}: y", classes.astype(np.float64).tolist(), len(y))
    names = [str(name) for name in classes]
    for name in names:
        check_name(f"{path}: a class in y", name)
    labels = np.empty(len(y), np.int64)
    for start, block in zip(range(0, len(y), BLOCK), blocks, strict=True):
        labels[start : start + BLOCK] = np.searchsorted(classes, block)
    return labels, names


def _refuse_regression(where, values, rows):
    """Many numbers are classes if they count from 0 or 1 without a gap, and each has two rows. The log names doubts."""
    values = sorted(values)
    codes = values[0] in (0, 1) and values == [values[0] + k for k in range(len(values))]
    if not codes and (len(values) > FEW or 2 * len(values) > rows):
        raise UserError(
            f"{where} has {len(values):,} different numbers in {rows:,} rows, from {values[0]:g} to {values[-1]:g}:"
            " that is regression, which this is not for; make classes of it, or write classes as text, such as c17"
        )
    if len(values) > FEW:
        log.warning(
            "%s has %d different numbers, %g to %g, and each is a class of its own; a quantity, which regression would"
            " predict, is not for this", where, len(values), values[0], values[-1],
        )  # fmt: skip
    if values[0] == -1 and len(values) > 2:
        log.warning("%s has -1, and it is a class as the others are; leave out rows whose class is not known", where)
