"""The inverse of a table's encoding: columns of numbers and categories from features."""

from typing import TYPE_CHECKING

import numpy as np

from kdlib.data.encoding import KINDS, Column, Encoding
from kdlib.io.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

MISSING_SHARE = 0.5  # of the mark of a missing value, above which it is missing; mixed rows have shares


def decode_column(column: Column, features: np.ndarray) -> np.ndarray:
    """Return what `Column.values` returned for the cells that became these features.

    In rows that are mixtures of others, a category is the one with the largest share, of equal shares the first.

    Parameters
    ----------
    column : Column
    features : ndarray, shape (n, features)
        As `Encoding.encode` makes them for this column, not scaled.

    Returns
    -------
    float64, shape (n,)
        Numbers, or indices of features: -1 for a category without one. NaN where a value is missing, but the column's
        `fill` or -1 where its encoding has no mark of missing values.
    """
    marks = features[:, -1] if column.missing else np.zeros(len(features))
    shares = features[:, : features.shape[1] - column.missing]
    if KINDS[column.kind].cells:
        values = shares[:, 0].astype(np.float64)
    else:
        values = np.where(shares.max(axis=1) > 0, shares.argmax(axis=1), -1).astype(np.float64)
    return np.where(marks > MISSING_SHARE, np.nan, values)


def category_names(column: Column) -> list[str]:
    """Return the names of a category column's values, in the order of their features: its texts, and one for the rare.

    The name of the rare ones is `COLUMN is rare`, with underscores behind it if that is a text of the column.
    """
    names = list(column.categories)
    if column.rare:
        rare = f"{column.name} is rare"
        while rare in names:
            rare += "_"
        names.append(rare)
    return names


def decode_table(encoding: Encoding, x: np.ndarray) -> "DataFrame":
    """Return the columns of a table from its features.

    Parameters
    ----------
    encoding : Encoding
    x : ndarray, shape (n, features)
        Not scaled.

    Returns
    -------
    DataFrame
        n rows. A category has the dtype `category`, with the same categories whatever the rows are; it is missing where
        it has no feature. Numbers, dates (in days since 1970-01-01) and truth values (0 and 1) are float64, with NaN
        where they are missing.

    Raises
    ------
    UserError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise UserError("a table's columns (teacher.inputs: raw) need pandas: pip install 'kdlib[raw]'") from None
    columns = {}
    start = 0
    for column in encoding.columns:
        width = len(column.feature_names)
        values = decode_column(column, x[:, start : start + width])
        start += width
        if not KINDS[column.kind].cells:
            codes = np.where(np.isnan(values), -1, values).astype(np.int64)
            values = pandas.Categorical.from_codes(codes, categories=category_names(column))
        columns[column.name] = values
    return pandas.DataFrame(columns)
