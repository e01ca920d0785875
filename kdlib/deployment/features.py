"""Turn a user's raw rows into the features that a network was trained on. Nothing else does this."""

import numpy as np

from kdlib.data.dataframes import has_columns, masked_to_nan, to_table
from kdlib.data.encoding import Column, Encoding
from kdlib.data.table import Table
from kdlib.io.errors import UserError


def encoding(card) -> Encoding:
    """Return the encoding of raw tables.

    Parameters
    ----------
    card : ModelCard
        Metadata of the network's file. If it has no encoding, each feature is a column of numbers.
    """
    if card.encoding:
        return Encoding.from_json(card.encoding)
    return Encoding(tuple(Column(name, "number") for name in card.features))


def features(rows: object, card) -> tuple[np.ndarray, dict[str, tuple[int, int]]]:
    """Return the features of raw rows, and count the cells that are missing or were not seen in training.

    Parameters
    ----------
    rows : Table, DataFrame, dict, list of dict or array
        Named columns are matched by their names; columns that are not needed are ignored. An array is taken as it is:
        encoded rows (n, features), or images (n, height, width). Masked entries of a masked array become NaN.
    card : ModelCard
        Metadata of the network's file.

    Returns
    -------
    x : np.ndarray
        (n, features) float64, finite.
    unknown : dict
        {column: (unseen, missing)}: counts of cells, see `kdlib.data.encoding.Encoding.encode`.

    Raises
    ------
    UserError
        If the rows have another shape, if a column is missing, or if a value is not a finite number.
    """
    encoded = encoding(card)
    if has_columns(rows) and not isinstance(rows, Table):
        rows = to_table(rows, [column.name for column in encoded.columns])
    if isinstance(rows, Table):
        if card.encoding:
            unknown = {}
            return encoded.encode(rows, unknown), unknown
        x = np.stack([column.values(rows) for column in encoded.columns], axis=1)
        where = rows.where
    else:
        x = _flat(rows, card)

        def where(row, name):
            return f"row {row + 1}, {name}"

    if not np.isfinite(x).all():
        row, feature = np.argwhere(~np.isfinite(x))[0]
        raise UserError(f"{where(row, card.features[feature])}: got {x[row, feature]}; needs a finite number")
    return x, {}


def lines(unknown: dict[str, tuple[int, int]], rows: int) -> list[str]:
    """Describe the unknown cells, one line for each column.

    Parameters
    ----------
    unknown : dict
        {column: (unseen, missing)}, as `features` returns it.
    rows : int
        The number of rows that were encoded.
    """
    found = []
    for name, (unseen, missing) in unknown.items():
        counts = [f"{unseen:,} unseen in training"] if unseen else []
        counts += [f"{missing:,} missing"] if missing else []
        found.append(f"column {name}: {', '.join(counts)}, of {rows:,} cells")
    return found


def _flat(rows, card):
    """Check an array of encoded rows or of images, and return it as (n, features) float64."""
    x = np.asarray(masked_to_nan(rows))
    flat = x.reshape(len(x), -1) if x.ndim == 3 and x.shape[1:] == tuple(card.image_shape) else x
    if flat.ndim != 2 or flat.shape[1] != len(card.features) or flat.dtype.kind not in "biuf":
        images = f" or images {tuple(card.image_shape)}" if card.image_shape else ""
        raise UserError(f"rows are {x.dtype} {x.shape}; needs numbers (n, {len(card.features)}){images}")
    return flat.astype(np.float64)
