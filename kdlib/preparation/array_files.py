"""Read examples from arrays: `.npz` archives of x and y or of x_train, y_train, x_test and y_test, and `.npy` files."""

import logging
from pathlib import Path
from typing import TypeAlias

import numpy as np

from kdlib.data.mapped_rows import ConcatenatedRows, column_min_max, is_large
from kdlib.data.parsing import MAX_MAGNITUDE
from kdlib.io import npz_reader
from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError
from kdlib.preparation import labels

READ_ELSEWHERE = {"x_unlabeled"}  # by `kdlib.preparation.transfer`

log = logging.getLogger("prepare")

# The first six fields of `kdlib.preparation.sources.Examples`.
_ExampleFields: TypeAlias = tuple[
    np.ndarray | ConcatenatedRows, np.ndarray, list[str], list[str], tuple[int, ...], np.ndarray | None
]


def examples_from_npz(path: Path | str) -> _ExampleFields:
    """Read an `.npz` archive with x and y, or in the layout of Keras' mnist.npz: x_train, y_train, x_test and y_test.

    x is (n, features), or images (n, height, width); uint8 stays uint8. y is (n,), numbers or texts. The log names the
    arrays that are not read.

    Parameters
    ----------
    path : Path or str

    Returns
    -------
    x : array or ConcatenatedRows, shape (n, features)
    y : int64, shape (n,)
        Index of each example's class.
    class_names, feature_names : list of str
    image_shape : tuple
        (height, width) of images, else ().
    in_given_test_set : bool, shape (n,), or None
        Whether an example is in the archive's test set; None if it has none.

    Raises
    ------
    UserError
        If there is no such file, or its arrays do not have these names, shapes and types.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: not found; a queued run has what `dvc add` and git know of")
    arrays = read_npz(path, from_user=True)
    suffixes = ("_train", "_test") if "x_train" in arrays else ("",)
    needed = [f"{kind}{suffix}" for suffix in suffixes for kind in "xy"]
    if not set(needed) <= set(arrays):
        raise UserError(
            f"{path}: holds {', '.join(sorted(arrays))}; needs x and y, or x_train, y_train, x_test, y_test"
        )
    if unread := sorted(set(arrays) - set(needed) - READ_ELSEWHERE):
        log.warning(
            "%s: %s: not read; validation rows are drawn by prepare.val_ratio: what is to train or to choose belongs"
            " into x%s and y%s", path, ", ".join(unread), suffixes[0], suffixes[0],
        )  # fmt: skip
    xs, ys = ([arrays[f"{kind}{suffix}"] for suffix in suffixes] for kind in "xy")
    fits = all(y.ndim == 1 and x.ndim in (2, 3) and len(x) == len(y) for x, y in zip(xs, ys, strict=True))
    if not fits or len({x.shape[1:] for x in xs}) > 1 or any(x.dtype.kind not in "buif" or not x.size for x in xs):
        shapes = ", ".join(f"{name} {arrays[name].dtype} {arrays[name].shape}" for name in needed)
        raise UserError(f"{path}: {shapes}; needs numbers x (n, features) or (n, height, width), and classes y (n,)")
    if len({y.dtype.kind in "SU" for y in ys}) > 1:
        raise UserError(f"{path}: y_train is {ys[0].dtype}, y_test {ys[1].dtype}; both must be numbers or both texts")
    y = np.concatenate(ys) if len(ys) > 1 else ys[0]
    in_given_test_set = np.arange(len(y)) >= len(xs[0]) if len(suffixes) > 1 else None
    return _rows(path, xs), *labels.of_array(path, y), *_names_and_shape(xs[0].shape[1:]), in_given_test_set


def examples_from_npy(path: Path | str, target: Path | str) -> _ExampleFields:
    """Read x and y from one `.npy` file each.

    Parameters
    ----------
    path : Path or str
        File of x, (n, features) or images (n, height, width).
    target : Path or str
        File of y, (n,), numbers or texts.

    Returns
    -------
    tuple
        As `examples_from_npz` returns, without a test set.

    Raises
    ------
    UserError
        If there is no such file, or its array does not have such a shape and type.
    """
    x = _read_npy(path)
    y = _read_npy(target)
    if x.ndim not in (2, 3) or y.shape != x.shape[:1] or x.dtype.kind not in "buif" or not x.size:
        found = f"{x.dtype} {x.shape}, {target} {y.dtype} {y.shape}"
        raise UserError(f"{path}: {found}; needs numbers x (n, features) or (n, height, width), and classes y (n,)")
    return _rows(path, [x]), *labels.of_array(target, y), *_names_and_shape(x.shape[1:]), None


def _read_npy(path):
    try:
        with npz_reader.open_regular_file(path) as file:
            return npz_reader.read_array(file)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; a queued run has what `dvc add` and git know of") from None
    except (MemoryError, UserError):
        raise
    except Exception as error:  # numpy raises several kinds for damaged bytes
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not a readable .npy without pickles ({reason}); write it again") from None


def _names_and_shape(shape):
    """Return (feature names, image shape) for rows of this shape."""
    if len(shape) == 2:
        return [f"pixel_{k}_{j}" for k, j in np.ndindex(shape)], shape
    return [f"feature_{k}" for k in range(shape[0])], ()


def _rows(path, xs):
    """Return the rows of all arrays as one array, or as `ConcatenatedRows` if they are large."""
    x = ConcatenatedRows(xs, np.uint8 if all(x.dtype == np.uint8 for x in xs) else np.float64)
    x = x if is_large(x) else x[:]
    if x.dtype.kind == "f" and not (np.abs(column_min_max(x)) <= np.float64(MAX_MAGNITUDE)).all():
        raise UserError(f"{path}: x has NaN or infinite values, or magnitudes above 1e300; remove or replace them")
    return x
