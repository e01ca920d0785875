"""Answers that another model gave, in a file, and the file of the rows to ask it."""

from pathlib import Path

import numpy as np

from kdlib.io.artifacts import digest, read_npz, write_npz
from kdlib.io.chunks import all_finite, scratch
from kdlib.io.errors import UserError
from kdlib.numerics import exact
from kdlib.teachers.folds import folds
from kdlib.teachers.smoothing import check_probabilities, logits_of, look_like_probabilities

SAID, MORE = ("logits", "probabilities"), ("digest", "class_names", "id", "bytes", "dataset_digest")
DOUBT = 3.0  # standard errors


def export(path, dataset, count, seed):
    """Write the rows of the dataset in the order in which to ask another model.

    x: (n, features), or images (n, height, width), as loaded. y: (n,) classes. fold: (S, n), see
    `kdlib.teachers.folds.folds`. id: (n,) numbers of the rows. digest: of x. class_names, feature_names.
    """
    arrays = {"x": dataset.x.reshape(-1, *dataset.image_shape) if dataset.image_shape else dataset.x, "y": dataset.y}
    arrays |= {"fold": folds(dataset, count, seed), "id": np.arange(len(dataset.y)), "digest": _digest(dataset)}
    names = {key: np.array(getattr(dataset, key)) for key in ("class_names", "feature_names")}
    write_npz(path, arrays | names)


def _digest(dataset):
    return np.array(digest({"x": dataset.x}))


def read(path, dataset):
    """(logits (S, n, classes) float32, origin) of the file: `logits` or `probabilities`, (S, n, classes), or (n,
    classes) of one model for all splits; and if they are there `digest`, `class_names` and `id`, as `export` wrote
    them, rows in any order with `id`; `bytes`, of the model.

    Raises UserError where it is not for the rows of this dataset, telling what was expected.
    """
    if not Path(path).is_file():
        raise UserError(f"{path}: not found; teacher.model names it")
    arrays = read_npz(path, own=True)
    said = [name for name in SAID if name in arrays]
    if len(said) != 1 or set(arrays) - {*SAID, *MORE}:
        held = ", ".join(sorted(arrays)) or "nothing"
        raise UserError(f"{path}: holds {held}; needs logits or probabilities, and may have {', '.join(MORE)}")
    values, name = arrays[said[0]], f"{path}: {said[0]}"
    n, classes = len(dataset.y), len(dataset.class_names)
    shapes = (dataset.splits, n, classes), (n, classes)
    if values.shape not in shapes or values.dtype.kind not in "fiu":
        raise UserError(
            f"{name} are {values.dtype} {values.shape}; needs numbers {shapes[0]}, splits, rows and classes, or"
            f" {shapes[1]} of one model for all splits"
        )
    _check_names(path, arrays, dataset)
    if "id" in arrays:
        values = values[..., _order(path, arrays["id"], n), :]
    if said[0] == "probabilities":
        check_probabilities(values, name)
        values = logits_of(values, len(dataset.labeled()))
    elif look_like_probabilities(values):
        raise UserError(
            f"{name}: each row lies in [0, 1] and sums to 1, as probabilities do: name them probabilities; if they are"
            " logits, add 1 to all of them, which changes no answer"
        )
    origin = {"model": "foreign", "one_for_all": values.ndim == 2}
    origin |= {"bytes": arrays["bytes"].item()} if "bytes" in arrays else {}
    origin |= {"digest": True} if {"digest", "dataset_digest"} & arrays.keys() else {}
    logits = scratch(shapes[0], np.float32)
    with np.errstate(over="ignore"):
        logits[...] = values
    if not all_finite(logits):
        raise UserError(f"{name}: row {np.argwhere(~np.isfinite(logits))[0][-2]} is not finite in float32")
    return logits, origin


def _texts(array):
    """Its elements as a list, of bytes as well."""
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


def _order(path, ids, n):
    """Where the row of each number is."""
    if ids.shape != (n,) or not np.array_equal(np.sort(ids), np.arange(n)):
        raise UserError(f"{path}: id: got {ids.dtype} {ids.shape}; needs each of 0 to {n - 1} once")
    return np.argsort(ids, kind="stable")


def seen(logits, dataset):
    """(accuracy on training, on validation rows) if by the first it has been fitted on the rows that it teaches.

    That is, where the difference is over three standard errors; None elsewhere. logits: (S, n, classes).
    """
    found = []
    for split, own in enumerate(logits):
        right = (np.argmax(own, axis=1) == dataset.y).astype(np.float64)
        sets = dataset.labeled(split), dataset.rows("validation", split)
        found.append([exact.mean(right[None, rows], axis=1)[0] for rows in sets])
    train, validation = exact.mean(np.array(found).T, axis=1)
    spread = [p * (1 - p) / len(rows) for p, rows in zip((train, validation), sets, strict=True)]
    return (float(train), float(validation)) if train - validation > DOUBT * np.sqrt(spread[0] + spread[1]) else None
