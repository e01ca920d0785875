"""Raw rows as features: the one place where what a user has becomes what a network was trained on."""

import numpy as np

from kdlib.data.encoding import Column, Encoding
from kdlib.data.memory import has_columns, table_of, unmasked
from kdlib.data.table import Table
from kdlib.io.errors import UserError


def encoding(about):
    """The `Encoding` of raw tables; where the dataset has none, each feature is a column of numbers."""
    if about.encoding:
        return Encoding.from_json(about.encoding)
    return Encoding(tuple(Column(name, "number") for name in about.features))


def features(rows, about):
    """Return the features of raw rows, and which columns have cells that training does not know.

    Parameters
    ----------
    rows : Table, DataFrame, dict, list of dict or array
        What has named columns is matched by the names; a column that is not needed is left alone. An array is taken as
        it is: (n, features) encoded, or (n, height, width) images; a masked array's mask is NaN.
    about : About
        Of the network's file.

    Returns
    -------
    x : (n, features) float64, finite
    unknown : dict
        {column: (unseen, missing)} as `kdlib.data.encoding.Encoding.encode` counts cells.

    Raises
    ------
    UserError
        For rows of another shape, a column that is not there, and what is no finite number.
    """
    encoded = encoding(about)
    if has_columns(rows) and not isinstance(rows, Table):
        rows = table_of(rows, [column.name for column in encoded.columns])
    if isinstance(rows, Table):
        if about.encoding:
            unknown = {}
            return encoded.encode(rows, unknown), unknown
        x = np.stack([column.values(rows) for column in encoded.columns], axis=1)
        where = rows.where
    else:
        x, where = _flat(rows, about), lambda row, name: f"row {row + 1}, {name}"
    if not np.isfinite(x).all():
        row, feature = np.argwhere(~np.isfinite(x))[0]
        raise UserError(f"{where(row, about.features[feature])}: got {x[row, feature]}; needs a finite number")
    return x, {}


def lines(unknown, rows):
    """Return a line for each column of `unknown`, the dict of `features`, of so many rows."""
    found = []
    for name, (unseen, missing) in unknown.items():
        counts = [f"{unseen:,} unseen in training"] if unseen else []
        counts += [f"{missing:,} missing"] if missing else []
        found.append(f"column {name}: {', '.join(counts)}, of {rows:,} cells")
    return found


def _flat(rows, about):
    x = np.asarray(unmasked(rows))
    flat = x.reshape(len(x), -1) if x.ndim == 3 and x.shape[1:] == tuple(about.image_shape) else x
    if flat.ndim != 2 or flat.shape[1] != len(about.features) or flat.dtype.kind not in "biuf":
        images = f" or images {tuple(about.image_shape)}" if about.image_shape else ""
        raise UserError(f"rows are {x.dtype} {x.shape}; needs numbers (n, {len(about.features)}){images}")
    return flat.astype(np.float64)
