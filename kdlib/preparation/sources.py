"""Where examples come from: scikit-learn's bundled datasets, `.npz` archives and `.csv` tables."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdlib.artifacts import positive_zeros, read_npz
from kdlib.errors import UserError
from kdlib.preparation import bundled


@dataclass
class Examples:
    """x: (n, features), uint8, or float64 without -0.0, which becomes 0.0. y: (n,) int64 classes from 0.

    image_shape: (height, width), or () for tables.
    tested: (n,) bool, the examples of a test set that is given and stays one, or None.
    """

    x: np.ndarray
    y: np.ndarray
    class_names: list
    feature_names: list
    image_shape: tuple = ()
    tested: np.ndarray = None

    def __post_init__(self):
        if self.x.dtype != np.uint8:
            self.x = positive_zeros(self.x.astype(np.float64))


def load(source, target):
    """`Examples` of a bundled dataset, of an `.npz`, or of a `.csv` whose column `target` has the classes.

    Raises UserError if there is no such file, or its content is not what its kind has to hold.
    """
    if source in bundled.FILES:
        return Examples(*bundled.read(source))
    if source.endswith(".csv"):
        return load_csv(source, target)
    if source.endswith(".npz"):
        return load_npz(source)
    allowed = ", ".join(bundled.FILES)
    raise UserError(f"prepare.dataset: got {source!r}; allowed are {allowed} and paths of a .npz or a .csv")


def load_npz(path):
    """`Examples` of x and y, or of x_train, y_train, x_test and y_test, the layout of Keras' mnist.npz.

    x: (n, features), or images (n, height, width), which stay uint8 if they are. y: (n,), numbers or text.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: not found; prepare.dataset names it")
    arrays = read_npz(path)
    parts = ("_train", "_test") if "x_train" in arrays else ("",)
    needed = [f"{kind}{part}" for part in parts for kind in "xy"]
    if not set(needed) <= set(arrays):
        raise UserError(
            f"{path}: holds {', '.join(sorted(arrays))}; needs x and y, or x_train, y_train, x_test, y_test"
        )
    xs, ys = ([arrays[f"{kind}{part}"] for part in parts] for kind in "xy")
    fits = all(y.ndim == 1 and x.ndim in (2, 3) and len(x) == len(y) for x, y in zip(xs, ys, strict=True))
    if not fits or len({x.shape[1:] for x in xs}) > 1 or any(x.dtype.kind not in "buif" for x in xs):
        shapes = ", ".join(f"{name} {arrays[name].dtype} {arrays[name].shape}" for name in needed)
        raise UserError(f"{path}: {shapes}; needs numbers x (n, features) or (n, height, width), and classes y (n,)")
    x = np.concatenate(xs)
    shape = x.shape[1:] if x.ndim == 3 else ()
    names = [f"pixel_{row}_{column}" for row, column in np.ndindex(shape)] if shape else _numbered(x.shape[1])
    tested = np.arange(len(x)) >= len(xs[0]) if len(parts) > 1 else None
    return _examples(path, x.reshape(len(x), -1), np.concatenate(ys), names, shape, tested)


def load_csv(path, target):
    """`Examples` of a table with a header: the column `target` holds the classes, all others are numbers."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row]
    except FileNotFoundError:
        raise UserError(f"{path}: not found; prepare.dataset names it") from None
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise UserError(f"{path}: not a CSV table with a header: {error}") from None
    if not rows:
        raise UserError(f"{path}: no rows below its header")
    if target not in header:
        raise UserError(f"prepare.target: got {target!r}; the columns of {path} are {', '.join(header)}")
    at = header.index(target)
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise UserError(f"{path}: row {number} has {len(row)} cells, the header {len(header)}")
    try:
        x = np.array([[float(cell) for k, cell in enumerate(row) if k != at] for row in rows])
    except ValueError as error:
        raise UserError(f"{path}: all columns but {target} must be numbers: {error}") from None
    names = [name for k, name in enumerate(header) if k != at]
    return _examples(path, x.reshape(len(rows), -1), np.array([row[at] for row in rows]), names)


def _numbered(features):
    return [f"feature_{k}" for k in range(features)]


def _examples(path, x, y, feature_names, image_shape=(), tested=None):
    """With the classes numbered in the order of their names."""
    if x.dtype != np.uint8:
        x = x.astype(np.float64)
        if not (np.abs(x) <= 1e300).all():
            raise UserError(f"{path}: x has NaN or infinite values, or magnitudes above 1e300; remove or replace them")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise UserError(f"{path}: y has NaN or infinite values; a class is a whole number or a text")
    classes, labels = np.unique(y, return_inverse=True)
    if len(classes) < 2 or x.shape[1] < 1:
        raise UserError(f"{path}: {len(classes)} classes and {x.shape[1]} features; at least 2 and 1 are needed")
    names = [str(c) for c in classes]
    return Examples(x, labels.reshape(-1).astype(np.int64), names, feature_names, image_shape, tested)
