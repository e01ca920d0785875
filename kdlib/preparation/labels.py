"""Read classes from a column of texts or an array: their names and their order."""

import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np

from kdlib.data.name_checks import check_name
from kdlib.data.parsing import MISSING_TEXTS, parse_number
from kdlib.data.table import Table
from kdlib.io.chunks import positive_zeros
from kdlib.io.errors import UserError

MAX_NUMERIC_CLASSES = 20  # different numbers that are always taken for classes
CHUNK_ROWS = 1 << 20  # rows that are looked up at once
NO_CLASS_TEXTS = MISSING_TEXTS - {"None"}  # "None" may be a class, for example among names of diseases

log = logging.getLogger("prepare")


def of_table(table: Table, target: str, missing: Collection[str] = ()) -> tuple[np.ndarray, list[str]]:
    """Read the classes of a table's rows.

    Parameters
    ----------
    table : Table
        n rows.
    target : str
        Column of the classes.
    missing : collection of str
        Texts that are not a class, in addition to `NO_CLASS_TEXTS`.

    Returns
    -------
    y : int64, shape (n,)
        Index of each row's class.
    class_names : list of str
        In the order of the numbers if all are numbers, else in the order of the texts.

    Raises
    ------
    UserError
        If a cell has no value, if a name is not allowed for a class, or if the column is one for regression.
    """
    first_row = {}
    code_of_text = {}
    codes = np.empty(len(table), np.int64)
    start = 0
    for batch in table.batches([target]):
        cells = batch.cells(target)
        first_in_batch = {text: k for k, text in reversed(list(enumerate(cells)))}
        for text, k in first_in_batch.items():
            first_row.setdefault(text, start + k)
            code_of_text.setdefault(text, len(code_of_text))
        codes[start : start + len(cells)] = np.fromiter(map(code_of_text.__getitem__, cells), np.int64, len(cells))
        start += len(cells)
    for text, row in first_row.items():
        if text in NO_CLASS_TEXTS or text in missing:
            raise UserError(f"{table.where(row, target)}: {text!r} is no class; leave out the rows without one")
        check_name(table.where(row, target), text)
    values = [parse_number(text) for text in first_row]
    numeric = None not in values
    if numeric:
        _refuse_regression(f"{table.path}: column {target}", values, len(table))
    names = sorted(first_row, key=lambda text: (parse_number(text), text)) if numeric else sorted(first_row)
    places = {name: k for k, name in enumerate(names)}
    return np.array([places[text] for text in code_of_text], np.int64)[codes], names


def of_array(path: Path | str, y: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Read the classes of an array.

    Parameters
    ----------
    path : Path or str
        Name of the file in messages.
    y : array, shape (n,)
        Numbers or texts.

    Returns
    -------
    y : int64, shape (n,)
        Index of each row's class.
    class_names : list of str
        In the order of the numbers or texts.

    Raises
    ------
    UserError
        If y has another dtype, NaN, infinite values or bytes that are not ASCII, if a name is not allowed for a class,
        or if y is for regression.
    """
    if y.dtype.kind not in "biufSU":
        raise UserError(f"{path}: y is {y.dtype}; classes are numbers or texts")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise UserError(f"{path}: y has NaN or infinite values; a class is a whole number or a text")
    try:
        y = y.astype(str) if y.dtype.kind == "S" else y
        chunks = [y[start : start + CHUNK_ROWS] for start in range(0, len(y), CHUNK_ROWS)]
        classes = positive_zeros(np.unique(np.concatenate([np.unique(chunk) for chunk in chunks])))
    except UnicodeDecodeError:
        raise UserError(f"{path}: y has bytes that are no ASCII; write its classes as text") from None
    if y.dtype.kind in "iuf":
        _refuse_regression(f"{path}: y", classes.astype(np.float64).tolist(), len(y))
    names = [str(name) for name in classes]
    for name in names:
        check_name(f"{path}: a class in y", name)
    labels = np.empty(len(y), np.int64)
    for start, chunk in zip(range(0, len(y), CHUNK_ROWS), chunks, strict=True):
        labels[start : start + CHUNK_ROWS] = np.searchsorted(classes, chunk)
    return labels, names


def _refuse_regression(where, values, rows):
    """Refuse numbers that are no classes, and log a warning if they may be none.

    Numbers that count from 0 or 1 without a gap are classes. Other numbers are classes if at most MAX_NUMERIC_CLASSES
    are different, and two rows or more on average have the same number.
    """
    values = sorted(values)
    are_codes = values[0] in (0, 1) and values == [values[0] + k for k in range(len(values))]
    if not are_codes and (len(values) > MAX_NUMERIC_CLASSES or 2 * len(values) > rows):
        raise UserError(
            f"{where} has {len(values):,} different numbers in {rows:,} rows, from {values[0]:g} to {values[-1]:g}:"
            " that is regression, which this is not for; make classes of it, or write classes as text, such as c17"
        )
    if len(values) > MAX_NUMERIC_CLASSES:
        log.warning(
            "%s has %d different numbers, %g to %g, and each is a class of its own; a quantity, which regression would"
            " predict, is not for this", where, len(values), values[0], values[-1],
        )  # fmt: skip
    if values[0] == -1 and len(values) > 2:
        log.warning("%s has -1, and it is a class as the others are; leave out rows whose class is not known", where)
