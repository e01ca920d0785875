"""Raw rows as features: the one place where what a user has becomes what a network was trained on."""

import numpy as np

from kdlib.data.encoding import Column, Encoding
from kdlib.data.raw import Table
from kdlib.errors import UserError


def encoding(about):
    """The `Encoding` of raw tables; where the dataset has none, each feature is a column of numbers."""
    if about.encoding:
        return Encoding.from_json(about.encoding)
    return Encoding(tuple(Column(name, "number") for name in about.features))


def features(rows, about):
    """(n, features) float64, finite. about: of the network's file, an `About`.

    rows: a `Table`, whose columns are found by name and may be more than those that are needed; or an array (n,
    features), or (n, height, width) of images. Raises UserError for rows of another shape, and for what is no finite
    number.
    """
    if isinstance(rows, Table):
        if about.encoding:
            return encoding(about).encode(rows)
        x = np.stack([column.values(rows) for column in encoding(about).columns], axis=1)
        where = rows.where
    else:
        x, where = _flat(np.asarray(rows), about), lambda row, name: f"row {row + 1}, {name}"
    if not np.isfinite(x).all():
        row, feature = np.argwhere(~np.isfinite(x))[0]
        raise UserError(f"{where(row, about.features[feature])}: got {x[row, feature]}; needs a finite number")
    return x


def _flat(x, about):
    flat = x.reshape(len(x), -1) if x.ndim == 3 and x.shape[1:] == tuple(about.image_shape) else x
    if flat.ndim != 2 or flat.shape[1] != len(about.features) or flat.dtype.kind not in "biuf":
        images = f" or images {tuple(about.image_shape)}" if about.image_shape else ""
        raise UserError(f"rows are {x.dtype} {x.shape}; needs numbers (n, {len(about.features)}){images}")
    return flat.astype(np.float64)
