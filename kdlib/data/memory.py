"""Tables in memory: a DataFrame, a dict of columns, or a list of dicts, as a `Table` of texts."""

import numbers
from collections.abc import Mapping
from functools import partial

import numpy as np

from kdlib.data.parsing import nfc
from kdlib.data.table import Table
from kdlib.io.errors import UserError

NAME = "rows"  # what messages call a table that has no path


def has_columns(rows):
    """Return whether rows have named columns: a DataFrame, a dict of columns, or a list of dicts."""
    listed = isinstance(rows, list | tuple) and bool(rows) and isinstance(rows[0], Mapping)
    return listed or isinstance(rows, Mapping) or hasattr(rows, "columns")


def unmasked(rows):
    """Return float64 with NaN where a masked array of numbers is masked; all else as it is."""
    if np.ma.isMA(rows) and rows.dtype.kind in "biuf":
        return rows.astype(np.float64).filled(np.nan)
    return rows


def table_of(rows, needed):
    """Return the `Table` of rows in memory.

    Parameters
    ----------
    rows : DataFrame, dict or list of dict
        A DataFrame (pandas, polars) or a dict of columns (n,), or n dicts of one row each. Numbers, truth values, dates
        and texts are what they are in a file; None, NaN, NaT and a masked array's mask are missing values.
    needed : list of str
        Names of the columns that will be read. Others are left alone, whatever they hold.

    Returns
    -------
    kdlib.data.table.Table

    Raises
    ------
    UserError
        For columns of different lengths, for what is no column, and for a dict that lacks one that others have.
    """
    if isinstance(rows, list | tuple):
        names = dict.fromkeys(name for row in rows for name in row)
        columns = [(name, partial(_of_dicts, rows, name)) for name in names]
    else:
        columns = [
            (name, partial(_column, rows, name)) for name in (rows if isinstance(rows, Mapping) else rows.columns)
        ]
    found = {}
    for name, column in columns:
        text = nfc(str(name).strip())
        found[text] = partial(_two, text) if text in found else column
    read = {name: found[name]() for name in map(nfc, needed) if name in found}
    first = next(iter(read), None)
    for name, column in read.items():
        if len(column) != len(read[first]):
            raise UserError(f"{NAME}: column {name} has {len(column)} values, {first} has {len(read[first])}")
    all_or_some = {name: _numbers(column) for name, column in read.items()}
    plain = {name: column for name, column in read.items() if column.dtype.kind in "iuf" and not np.ma.isMA(column)}
    return Table(
        NAME,
        found | {name: partial(_texts, column) for name, column in read.items()},
        range(1, 1 + (len(read[first]) if read else 1)),  # of no columns `cells` says that they are not there
        arrays={name: partial(np.asarray, column) for name, column in plain.items()},
        numeric=frozenset(name for name, (every, _) in all_or_some.items() if every),
        mixed=frozenset(name for name, (every, some) in all_or_some.items() if some and not every),
    )


def _numbers(values):
    """Of (n,) values that are not missing, whether all are numbers, whose texts are in no notation; and whether some
    are.
    """
    if values.dtype.kind != "O":
        return (values.dtype.kind in "iuf",) * 2
    found = {isinstance(value, numbers.Number) for value in values.tolist() if _text(value)}
    return False not in found, True in found


def _two(name):
    raise UserError(f"{NAME}: two columns are named {name!a}; rename one")


def _of_dicts(rows, name):
    for number, row in enumerate(rows, 1):
        if name not in row:
            raise UserError(f"{NAME}: row {number} lacks the column {str(name)!a}; a missing value is None")
    return np.fromiter((row[name] for row in rows), object, len(rows))


def _column(rows, name):
    """(n,) array of a column, as objects where it is a list."""
    values = rows[name]
    if isinstance(values, list | tuple):
        return np.fromiter(values, object, len(values))
    values = np.asanyarray(values)
    if values.ndim != 1:
        raise UserError(
            f"{NAME}: column {str(name)!a} has the shape {values.shape}; needs a list or array (n,) of values"
        )
    return values


def _texts(values):
    """The cells of (n,) values, as a file has them."""
    masks = np.ma.getmaskarray(values)
    values = np.ma.getdata(values)
    if values.dtype.kind == "M":
        values = np.where(np.isnat(values), "", np.datetime_as_string(values, unit="auto"))
    values = values.astype(np.float64) if values.dtype.kind == "f" else values
    return ["" if mask else _text(value) for value, mask in zip(values.tolist(), masks.tolist(), strict=True)]


def _text(value):
    """A float as the shortest text that gives it back, a date by ISO 8601; "" of what is not equal to itself."""
    if isinstance(value, str):
        return value.strip()
    try:
        missing = value is None or bool(value != value)
    except TypeError:  # pandas.NA, which is neither
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
