"""Where examples come from: scikit-learn's bundled datasets, `.npz` archives, and tables."""

import logging
from dataclasses import dataclass

import numpy as np

from kdlib.data.mapped_rows import Rows, large
from kdlib.data.parsing import nfc
from kdlib.data.readers import TABLES, read_table
from kdlib.io.chunks import scratch
from kdlib.io.errors import UserError
from kdlib.preparation import array_files, builtin, columns, labels
from kdlib.preparation.column_warnings import remarks, summary
from kdlib.preparation.openml import PREFIX, read_openml

log = logging.getLogger("prepare")


@dataclass
class Examples:
    """n examples in the order of their source.

    x: (n, features), uint8, or float64 without -0.0, which becomes 0.0; or `mapped_rows.Rows` of such. y: (n,)
    int64 classes from 0.
    image_shape: (height, width), or () for tables. encoding: of a table, JSON of the `Encoding` that made x.
    tested: (n,) bool, the examples of a test set that is given and stays one, or None.
    """

    x: np.ndarray
    y: np.ndarray
    class_names: list
    feature_names: list
    image_shape: tuple = ()
    tested: np.ndarray = None
    encoding: str = ""

    def __post_init__(self):
        if isinstance(self.x, np.ndarray) and self.x.dtype != np.uint8:
            self.x = np.add(self.x, 0.0, dtype=np.float64)  # -0.0 + 0.0 is 0.0
        if len(self.class_names) < 2:
            raise UserError(f"all examples are of one class, {', '.join(self.class_names)}; at least 2 are needed")


def load(source, target, drop=(), categories=(), missing=()):
    """`Examples` of a bundled dataset, an `.npz`, an `.npy`, a table (of TABLES), or `openml:` and its number.

    target: the table's column of classes, or the `.npy` that has them. drop, categories, missing: as
    `kdlib.preparation.columns.fit` takes them.
    Raises UserError if there is no such file, or its content is not what its kind has to hold.
    """
    if source in builtin.FILES:
        return Examples(*builtin.read(source))
    name = source.lower()
    if name.endswith(".npz"):
        return Examples(*array_files.read(source))
    if name.endswith(".npy"):
        return Examples(*array_files.read_rows(source, target))
    if name.endswith(TABLES):
        return _of_table(read_table(source), target, drop, categories, missing)
    if source.startswith(PREFIX):
        return _of_table(*read_openml(source, target), drop, categories, missing)
    allowed = ", ".join(builtin.FILES)
    raise UserError(
        f"prepare.dataset: got {source!r}; allowed are {allowed}, {PREFIX}61 and paths of a .npz, .npy,"
        f" {', '.join(TABLES[:-1])} or {TABLES[-1]}"
    )


def _encoded(encoding, table):
    """(n, features) float64; of a table in batches in a `scratch` file, and as `Rows` if it is large."""
    if not table.batches:
        return encoding.encode(table)
    x, start = scratch((len(table), len(encoding.feature_names)), np.float64), 0
    for block in table.blocks([column.name for column in encoding.columns]):
        x[start : start + len(block)] = encoding.encode(block)
        start += len(block)
    return Rows([x], np.float64) if large(x) else x


def _of_table(table, target, drop, categories, missing):
    target = target and nfc(target)
    drop, categories, missing = (list(map(nfc, names)) for names in (drop, categories, missing))
    encoding = columns.fit(table, target, drop, categories, missing)
    y, names = labels.of_table(table, target, missing)
    x = _encoded(encoding, table)
    for line in (*table.notes, summary(encoding)):
        log.info("%s: %s", table.path, line)
    used = {target, *drop, *(column.name for column in encoding.columns)}
    for line in remarks(encoding, x, [name for name in table.columns if name not in used]):
        log.warning("%s: %s", table.path, line)
    return Examples(x, y, names, encoding.feature_names, encoding=encoding.to_json())
