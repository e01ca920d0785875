"""Logits of a model outside of this library: write the rows for it to a file, read its answers from another."""

from pathlib import Path

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.io.artifacts import array_digest, read_npz, write_npz
from kdlib.io.chunks import all_finite, zeros_or_tempfile
from kdlib.io.errors import UserError
from kdlib.numerics import exact
from kdlib.teachers.folds import folds_by_split
from kdlib.teachers.smoothing import check_probabilities, look_like_probabilities, smoothed_log_probabilities

ANSWER_KEYS = ("logits", "probabilities")  # a file has one of them
OPTIONAL_KEYS = ("digest", "class_names", "id", "bytes", "dataset_digest")
MIN_GAP_STANDARD_ERRORS = 3.0  # between two accuracies


def export_rows(path: Path | str, dataset: Dataset, n_folds: int, seed: int) -> None:
    """Write the rows of the dataset to a file, for another model to predict.

    The file holds these arrays:

    - x: (n, features), or images (n, height, width), as loaded
    - y: (n,), classes
    - fold: (S, n), see `kdlib.teachers.folds.folds_by_split`
    - id: (n,), numbers of the rows
    - digest: SHA-256 of x
    - class_names, feature_names
    - weight: (S, n), weights of the rows in the losses, if there are such

    Parameters
    ----------
    path : Path or str
    dataset : Dataset
    n_folds : int
        Number of folds.
    seed : int
        It determines the folds.
    """
    arrays = {"x": dataset.x.reshape(-1, *dataset.image_shape) if dataset.image_shape else dataset.x, "y": dataset.y}
    arrays |= {
        "fold": folds_by_split(dataset, n_folds, seed),
        "id": np.arange(len(dataset.y)),
        "digest": _digest(dataset),
    }
    if dataset.class_factors is not None:
        every = np.arange(len(dataset.y))
        arrays["weight"] = np.stack([dataset.row_weights(every, split) for split in range(dataset.splits)])
    names = {key: np.array(getattr(dataset, key)) for key in ("class_names", "feature_names")}
    write_npz(path, arrays | names)


def _digest(dataset):
    return np.array(array_digest({"x": dataset.x}))


def read_logits(path: Path | str, dataset: Dataset) -> tuple[np.ndarray, dict]:
    """Read the answers of another model from a file.

    The file holds `logits` or `probabilities`: (S, n, classes), or (n, classes) of one model for all splits. It may
    also hold

    - digest or dataset_digest, class_names, id: as `export_rows` wrote them; with `id` the rows may be in any order
    - bytes: the size of the model

    Parameters
    ----------
    path : Path or str
    dataset : Dataset

    Returns
    -------
    logits : ndarray of float32, shape (S, n, classes)
    origin : dict
        See `kdlib.learning.model_file.Model`.

    Raises
    ------
    UserError
        If the file is missing or does not fit the rows of this dataset; the message names what is needed.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: not found; teacher.model names it")
    arrays = read_npz(path, from_user=True)
    found = [key for key in ANSWER_KEYS if key in arrays]
    if len(found) != 1 or set(arrays) - {*ANSWER_KEYS, *OPTIONAL_KEYS}:
        held = ", ".join(sorted(arrays)) or "nothing"
        raise UserError(f"{path}: holds {held}; needs logits or probabilities, and may have {', '.join(OPTIONAL_KEYS)}")
    key = found[0]
    values = arrays[key]
    name = f"{path}: {key}"
    n = len(dataset.y)
    classes = len(dataset.class_names)
    shapes = ((dataset.splits, n, classes), (n, classes))
    if values.shape not in shapes or values.dtype.kind not in "fiu":
        raise UserError(
            f"{name} are {values.dtype} {values.shape}; needs numbers {shapes[0]}, splits, rows and classes, or"
            f" {shapes[1]} of one model for all splits"
        )
    _check_names(path, arrays, dataset)
    if "id" in arrays:
        values = values[..., _positions(path, arrays["id"], n), :]
    if key == "probabilities":
        check_probabilities(values, name)
        values = smoothed_log_probabilities(values, len(dataset.labeled()))
    elif look_like_probabilities(values):
        raise UserError(
            f"{name}: each row lies in [0, 1] and sums to 1, as probabilities do: name them probabilities; if they are"
            " logits, add 1 to all of them, which changes no answer"
        )
    origin = {"model": "foreign", "one_for_all": values.ndim == 2}
    origin |= {"bytes": arrays["bytes"].item()} if "bytes" in arrays else {}
    origin |= {"digest": True} if {"digest", "dataset_digest"} & arrays.keys() else {}
    logits = zeros_or_tempfile(shapes[0], np.float32)
    with np.errstate(over="ignore"):
        logits[...] = values
    if not all_finite(logits):
        raise UserError(f"{name}: row {np.argwhere(~np.isfinite(logits))[0][-2]} is not finite in float32")
    return logits, origin


def _texts(array):
    """Return the elements as a list of str; bytes are decoded."""
    return [str(text.decode(errors="replace") if isinstance(text, bytes) else text) for text in array.ravel()]


def _check_names(path, arrays, dataset):
    for key, expected in {"digest": str(_digest(dataset)), "dataset_digest": dataset.digest}.items():
        if key in arrays and _texts(arrays[key]) != [expected]:
            raise UserError(
                f"{path}: {key}: {' '.join(_texts(arrays[key]))[:12]} is of other rows, or of another order; the"
                f" dataset's is {expected[:12]}: export the rows again"
            )
    if "class_names" in arrays:
        found = _texts(arrays["class_names"])
        if found != dataset.class_names:
            raise UserError(f"{path}: class_names: got {', '.join(found)}; needs {', '.join(dataset.class_names)}")
    size = arrays.get("bytes", np.array(1))
    if size.dtype.kind not in "iu" or size.size != 1 or size.item() < 1:
        got = size.item() if size.size == 1 and size.dtype.kind in "iuf" else f"{size.dtype} {size.shape}"
        raise UserError(f"{path}: bytes: got {got}; needs the model's size, one whole number from 1")


def _positions(path, ids, n):
    """Return the position in the file of each row of the dataset."""
    if ids.shape != (n,) or not np.array_equal(np.sort(ids), np.arange(n)):
        raise UserError(f"{path}: id: got {ids.dtype} {ids.shape}; needs each of 0 to {n - 1} once")
    return np.argsort(ids, kind="stable")


def train_accuracy_gap(logits: np.ndarray, dataset: Dataset) -> tuple[float, float] | None:
    """Detect a teacher that was fitted on the rows that it teaches.

    Parameters
    ----------
    logits : ndarray, shape (S, n, classes)
        The teacher's.
    dataset : Dataset

    Returns
    -------
    (training accuracy, validation accuracy) or None
        Means over the splits, on labelled training rows and on validation rows, if the first is greater by more than
        MIN_GAP_STANDARD_ERRORS of the difference in one split; otherwise None.
    """
    accuracies = []
    for split, split_logits in enumerate(logits):
        is_right = (np.argmax(split_logits, axis=1) == dataset.y).astype(np.float64)
        subsets = (dataset.labeled(split), dataset.rows("validation", split))
        accuracies.append([exact.mean(is_right[None, rows], axis=1)[0] for rows in subsets])
    training, validation = exact.mean(np.array(accuracies).T, axis=1)
    variances = [p * (1 - p) / len(rows) for p, rows in zip((training, validation), subsets, strict=True)]
    if training - validation > MIN_GAP_STANDARD_ERRORS * np.sqrt(variances[0] + variances[1]):
        return float(training), float(validation)
    return None
