"""The transfer set: rows without a label, on which a student learns only from the teacher."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kdlib.data.dataset import ABSENT, SUBSETS, UNLABELED, Dataset
from kdlib.data.encoding import Encoding
from kdlib.data.mapped_rows import ConcatenatedRows, column_min_max, equal_rows, is_large
from kdlib.data.parsing import MAX_MAGNITUDE, nfc
from kdlib.data.readers import read_table
from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError
from kdlib.numerics.streams import stream
from kdlib.preparation.synthesis import SYNTHESES
from kdlib.preparation.weights import of_table

if TYPE_CHECKING:
    from kdlib.preparation.sources import Examples

log = logging.getLogger("prepare")


def read_unlabeled(
    path: str, examples: "Examples", weight: str | None = None
) -> tuple[np.ndarray | ConcatenatedRows, np.ndarray | None]:
    """Read rows without a label.

    Parameters
    ----------
    path : str
        An `.npz` with the array `x_unlabeled`, or a table with the columns of the examples' table.
    examples : Examples
        The examples with labels.
    weight : str, optional
        Column of the rows' weights.

    Returns
    -------
    x : array or ConcatenatedRows, shape (m, features)
    weights : float64 array, shape (m,), or None
        None if no column is named, or the table has no such column.

    Raises
    ------
    UserError
        If there is no such file, or its rows do not have the examples' features.
    """
    if not path.lower().endswith(".npz"):
        if not examples.encoding:
            raise UserError(f"prepare.transfer.rows: got {path}, but the dataset is no table; needs a .npz")
        table = read_table(path)
        weights = of_table(table, nfc(weight)) if weight and nfc(weight) in table.columns else None
        return Encoding.from_json(examples.encoding).encode(table), weights
    if not Path(path).is_file():
        raise UserError(f"{path}: not found; prepare.transfer.rows names it")
    x = read_npz(path, ["x_unlabeled"], from_user=True)["x_unlabeled"]
    is_uint8 = examples.x.dtype == np.uint8
    image_shapes = [examples.image_shape] if examples.image_shape else []
    allowed_shapes = (*image_shapes, examples.x.shape[1:])
    if x.shape[1:] not in allowed_shapes or x.dtype.kind not in "buif" or (is_uint8 and x.dtype != "u1"):
        needed = (*allowed_shapes[0],)
        raise UserError(
            f"{path}: x_unlabeled is {x.dtype} {x.shape}; needs rows of {needed}, {'uint8' if is_uint8 else 'numbers'}"
        )
    x = ConcatenatedRows([x], np.uint8 if is_uint8 else np.float64)
    x = x if is_large(x) else x[:]
    if not (np.abs(column_min_max(x)) <= MAX_MAGNITUDE).all():
        raise UserError(f"{path}: x_unlabeled has NaN or infinite values, or magnitudes above 1e300")
    return x, None


def with_transfer_rows(
    dataset: Dataset,
    unlabeled: np.ndarray | ConcatenatedRows | None,
    synthesis: str | None,
    times: int,
    seed: int,
    weights: np.ndarray | None = None,
) -> Dataset:
    """Add unlabeled and synthetic rows to the training subsets of a dataset.

    They come after all other rows, have the class -1, which means none, and do not change the scaling.

    An unlabeled row is in the training subset of every split. The exception is a split that holds out an equal row:
    there the student would learn the teacher's answer for a row that it is tested on.

    A synthetic row is in the training subset of one split. It is made only from rows of that subset, so no held-out row
    enters it. It may equal a held-out row by chance; it stays, since it depends only on training rows.

    Parameters
    ----------
    dataset : Dataset
    unlabeled : array or ConcatenatedRows, shape (m, features), or None
    synthesis : {"mixup", "munge"} or None
        Key of `kdlib.preparation.synthesis.SYNTHESES`.
    times : int
        Number of synthetic rows for each training row.
    seed : int
    weights : float64 array, shape (m,), optional
        Weights of the unlabeled rows, if the dataset's examples have weights of their own. Without them, and for
        synthetic rows, the weight is the mean.

    Returns
    -------
    Dataset
        Without a digest.

    Raises
    ------
    UserError
        If the synthesis is `munge` and the rows are images.
    """
    x_parts = [dataset.x]
    assignments = [dataset.assignment]
    if unlabeled is not None:
        x_parts.append(unlabeled)
        assignments.append(_assign_unlabeled(dataset, unlabeled))
    if synthesis == "munge" and dataset.image_shape:
        raise UserError("prepare.transfer.synthesis: munge is for tables; mixup makes images")
    for split in range(dataset.splits) if synthesis else ():
        rows = dataset.rows("train", split)
        widths = [1] * dataset.x.shape[1]
        if dataset.encoding:
            widths = [len(column.feature_names) for column in Encoding.from_json(dataset.encoding).columns]
        generator = stream(seed, f"prepare/transfer/{synthesis}", split)
        train = dataset.x[rows].astype(np.float64)
        scaled = (train - dataset.offset[split]) * dataset.scale[split]
        made = SYNTHESES[synthesis](train, scaled, widths, times, generator).astype(dataset.x.dtype)
        x_parts.append(made)
        assignments.append(np.full((dataset.splits, len(made)), ABSENT, dtype=np.uint8))
        assignments[-1][split] = UNLABELED
    assignment = np.concatenate(assignments, axis=1)
    y = np.concatenate([dataset.y, np.full(assignment.shape[1] - len(dataset.y), -1)])
    x = np.concatenate(x_parts) if isinstance(dataset.x, np.ndarray) else ConcatenatedRows(x_parts, dataset.x.dtype)
    if dataset.weights is not None:
        added = np.full(len(y) - len(dataset.y), np.nan)
        if weights is not None:
            added[: len(weights)] = weights
        weights = np.concatenate([dataset.weights, added])
    return replace(dataset, x=x, y=y, assignment=assignment, digest="", weights=weights)


def _assign_unlabeled(dataset, unlabeled):
    """Return for each split, (S, m) uint8, whether the unlabeled rows are UNLABELED (trained on) or ABSENT."""
    n = len(dataset.y)
    assignment = np.full((dataset.splits, len(unlabeled)), UNLABELED, dtype=np.uint8)
    first_equal = equal_rows(ConcatenatedRows([dataset.x, unlabeled], dataset.x.dtype))
    if first_equal is not None and (known := np.flatnonzero(first_equal[n:] < n)).size:
        twins = dataset.assignment[:, first_equal[n + known]]
        assignment[:, known] = np.where(np.isin(twins, [SUBSETS.index("train"), UNLABELED]), UNLABELED, ABSENT)
        log.info(
            "%d of the %d rows without a label are equal to rows with one, and are left out where these are held out",
            len(known), len(unlabeled),
        )  # fmt: skip
    return assignment
