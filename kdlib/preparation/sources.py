"""Load examples from scikit-learn's bundled datasets, arrays in files, and tables."""

import logging
from dataclasses import dataclass

import numpy as np

from kdlib.data.mapped_rows import ConcatenatedRows, is_large
from kdlib.data.parsing import nfc
from kdlib.data.readers import TABLE_SUFFIXES, read_table
from kdlib.io.chunks import zeros_or_tempfile
from kdlib.io.errors import UserError
from kdlib.preparation import array_files, builtin, columns, labels, weights
from kdlib.preparation.column_options import ColumnOptions
from kdlib.preparation.column_warnings import column_warnings, summarize_columns
from kdlib.preparation.openml import PREFIX, read_openml

log = logging.getLogger("prepare")


@dataclass
class Examples:
    """Hold n examples in the order of their source.

    Parameters
    ----------
    x : array or ConcatenatedRows, shape (n, features)
        uint8 or float64. An array of float64 gets 0.0 in place of -0.0; `ConcatenatedRows` have none.
    y : array of int64, shape (n,)
        Classes, counted from 0.
    class_names : list of str
    feature_names : list of str
    image_shape : tuple
        (height, width) of images, () for tables.
    in_given_test_set : array of bool, shape (n,), or None
        Whether an example is in the source's own test set; None if the source has none.
    encoding : str
        JSON of the `Encoding` that made x from a table, or "".
    weights : array of float64, shape (n,), or None
        Weights of the examples in the losses; None if all have the same.

    Raises
    ------
    UserError
        If all examples are of one class.
    """

    x: np.ndarray | ConcatenatedRows
    y: np.ndarray
    class_names: list[str]
    feature_names: list[str]
    image_shape: tuple[int, ...] = ()
    in_given_test_set: np.ndarray | None = None
    encoding: str = ""
    weights: np.ndarray | None = None

    def __post_init__(self):
        if isinstance(self.x, np.ndarray) and self.x.dtype != np.uint8:
            self.x = np.add(self.x, 0.0, dtype=np.float64)  # -0.0 + 0.0 is 0.0
        if len(self.class_names) < 2:
            raise UserError(f"all examples are of one class, {', '.join(self.class_names)}; at least 2 are needed")


def load_examples(
    source: str,
    target: str | None,
    options: ColumnOptions = ColumnOptions(),
) -> Examples:
    """Load the examples of a source.

    Parameters
    ----------
    source : str
        Name of a bundled dataset, path of an `.npz`, an `.npy` or a table (see `kdlib.data.readers.TABLE_SUFFIXES`), or
        `openml:` and a dataset's number.
    target : str or None
        The table's label column, or the path of the `.npy` with the labels. None selects the default of openml.org.
    options : ColumnOptions
        Of a table.

    Returns
    -------
    Examples

    Raises
    ------
    UserError
        If there is no such source, or if its content does not have the form that its kind requires.
    """
    if source in builtin.FILES:
        return Examples(*builtin.read(source))
    name = source.lower()
    if name.endswith(".npz"):
        return Examples(*array_files.examples_from_npz(source))
    if name.endswith(".npy"):
        return Examples(*array_files.examples_from_npy(source, target))
    if name.endswith(TABLE_SUFFIXES):
        return _examples_of_table(read_table(source), target, options)
    if source.startswith(PREFIX):
        return _examples_of_table(*read_openml(source, target), options)
    allowed = ", ".join(builtin.FILES)
    raise UserError(
        f"prepare.dataset: got {source!r}; allowed are {allowed}, {PREFIX}61 and paths of a .npz, .npy,"
        f" {', '.join(TABLE_SUFFIXES[:-1])} or {TABLE_SUFFIXES[-1]}"
    )


def _encode(encoding, table):
    """Encode a table to (n, features) float64. A large table in batches goes to a file, as `ConcatenatedRows`."""
    if not table.read_batches:
        return encoding.encode(table)
    x = zeros_or_tempfile((len(table), len(encoding.feature_names)), np.float64)
    start = 0
    for batch in table.batches([column.name for column in encoding.columns]):
        x[start : start + len(batch)] = encoding.encode(batch)
        start += len(batch)
    return ConcatenatedRows([x], np.float64) if is_large(x) else x


def _examples_of_table(table, target, options):
    target = target and nfc(target)
    if target and target == options.weight:
        raise UserError(f"prepare.weight: got {target!r}, the column of the classes; name another one, or null")
    encoding = columns.fit_encoding(table, target, options)
    y, class_names = labels.of_table(table, target, options.missing)
    own_weights = weights.of_table(table, options.weight) if options.weight else None
    x = _encode(encoding, table)
    for line in (*table.notes, summarize_columns(encoding)):
        log.info("%s: %s", table.path, line)
    used = {target, options.weight, *options.drop, *(column.name for column in encoding.columns)}
    left_out = [name for name in table.columns if name not in used]
    for line in column_warnings(encoding, x, left_out):
        log.warning("%s: %s", table.path, line)
    return Examples(x, y, class_names, encoding.feature_names, encoding=encoding.to_json(), weights=own_weights)
