"""Conversion of tables in memory, such as a DataFrame, to a `Table` of texts."""

import numbers
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from kdlib.data.parsing import nfc
from kdlib.data.table import Table
from kdlib.io.errors import UserError

TABLE_NAME = "rows"  # name of the table in messages


def has_columns(rows: object) -> bool:
    """Return whether rows have named columns: a DataFrame, a dict of columns, or a list of dicts."""
    of_dicts = isinstance(rows, list | tuple) and bool(rows) and isinstance(rows[0], Mapping)
    return of_dicts or isinstance(rows, Mapping) or hasattr(rows, "columns")


def masked_to_nan(rows: object) -> object:
    """Turn a masked array of numbers into float64 with NaN where it is masked; return other rows as they are."""
    if np.ma.isMA(rows) and rows.dtype.kind in "biuf":
        return rows.astype(np.float64).filled(np.nan)
    return rows


def to_table(rows: object, needed: Sequence[str]) -> Table:
    """Convert rows in memory to a `Table`.

    Parameters
    ----------
    rows : DataFrame, dict or list of dict
        A DataFrame (pandas, polars), a dict of columns (n,), or n dicts of one row each. Numbers, truth values, dates
        and texts are treated like the same cells in a CSV; but a column that holds only numbers is read as plain
        numbers, whatever notation it was fitted with. None, NaN, NaT and masked values are missing.
    needed : sequence of str
        Names of the columns that will be read. Other columns may hold anything.

    Returns
    -------
    Table

    Raises
    ------
    UserError
        If there are no rows, if needed columns have different lengths or the same name, if a needed column is not
        one-dimensional, or if a dict lacks a needed column that another dict has.
    """
    if isinstance(rows, list | tuple):
        names = dict.fromkeys(name for row in rows for name in row)
        columns = [(name, partial(_of_dicts, rows, name)) for name in names]
    else:
        columns = [
            (name, partial(_column, rows, name)) for name in (rows if isinstance(rows, Mapping) else rows.columns)
        ]
    functions = {}
    for name, column in columns:
        text = nfc(str(name).strip())
        functions[text] = partial(_refuse_equal_names, text) if text in functions else column
    read = {name: functions[name]() for name in map(nfc, needed) if name in functions}
    first = next(iter(read), None)
    for name, column in read.items():
        if len(column) != len(read[first]):
            raise UserError(f"{TABLE_NAME}: column {name} has {len(column)} values, {first} has {len(read[first])}")
    are_numbers = {name: _are_numbers(column) for name, column in read.items()}
    complete = {name: column for name, column in read.items() if column.dtype.kind in "iuf" and not np.ma.isMA(column)}
    return Table(
        TABLE_NAME,
        functions | {name: partial(_texts, column) for name, column in read.items()},
        range(1, 1 + (len(read[first]) if read else 1)),  # without columns, `Table.cells` reports what is missing
        arrays={name: partial(np.asarray, column) for name, column in complete.items()},
        numeric_columns=frozenset(name for name, (every, _) in are_numbers.items() if every),
        mixed_columns=frozenset(name for name, (every, some) in are_numbers.items() if some and not every),
    )


def _are_numbers(values):
    """Return two bools: whether all, and whether any, non-missing values are numbers."""
    if values.dtype.kind != "O":
        return (values.dtype.kind in "iuf",) * 2
    found = {isinstance(value, numbers.Number) for value in values.tolist() if _text(value)}
    return False not in found, True in found


def _refuse_equal_names(name):
    raise UserError(f"{TABLE_NAME}: two columns are named {name!a}; rename one")


def _of_dicts(rows, name):
    for number, row in enumerate(rows, 1):
        if name not in row:
            raise UserError(f"{TABLE_NAME}: row {number} lacks the column {str(name)!a}; a missing value is None")
    return np.fromiter((row[name] for row in rows), object, len(rows))


def _column(rows, name):
    """Return a column as an array (n,), of objects if it is a list."""
    values = rows[name]
    if isinstance(values, list | tuple):
        return np.fromiter(values, object, len(values))
    values = np.asanyarray(values)
    if values.ndim != 1:
        raise UserError(
            f"{TABLE_NAME}: column {str(name)!a} has the shape {values.shape}; needs a list or array (n,) of values"
        )
    return values


def _texts(values):
    """Return the values (n,) as the texts that a file has."""
    masks = np.ma.getmaskarray(values)
    values = np.ma.getdata(values)
    if values.dtype.kind == "M":
        values = np.where(np.isnat(values), "", np.datetime_as_string(values, unit="auto"))
    values = values.astype(np.float64) if values.dtype.kind == "f" else values
    return ["" if mask else _text(value) for value, mask in zip(values.tolist(), masks.tolist(), strict=True)]


def _text(value):
    """Write a float as the shortest text that gives it back, and a date by ISO 8601.

    None, NaN and NaT (value != value) are missing, and become "".
    """
    if isinstance(value, str):
        return value.strip()
    try:
        missing = value is None or bool(value != value)
    except TypeError:  # pandas.NA is neither true nor false
        missing = True
    if missing:
        return ""
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return repr(float(value))
    if isinstance(value, bytes):
        return value.decode(errors="replace").strip()
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
