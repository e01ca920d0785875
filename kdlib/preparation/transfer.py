"""The transfer set: rows without a label, of which only the teacher speaks."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from kdlib.data.dataset import ABSENT, HIDDEN, PARTS
from kdlib.data.encoding import Encoding
from kdlib.data.mapped_rows import Rows, ends, equal_rows, large
from kdlib.data.readers import read_table
from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError
from kdlib.numerics.streams import stream
from kdlib.preparation.synthesis import SYNTHESES

log = logging.getLogger("prepare")


def read_unlabeled(path, examples):
    """(m, features) of `x_unlabeled` in an `.npz`, or of a table with the columns of that of the `examples`.

    Raises UserError if there is no such file, or its rows are not of the examples' features.
    """
    if not path.lower().endswith(".npz"):
        if not examples.encoding:
            raise UserError(f"prepare.transfer.rows: got {path}, but the dataset is no table; needs a .npz")
        return Encoding.from_json(examples.encoding).encode(read_table(path))
    if not Path(path).is_file():
        raise UserError(f"{path}: not found; prepare.transfer.rows names it")
    x, whole = read_npz(path, ["x_unlabeled"], own=True)["x_unlabeled"], examples.x.dtype == np.uint8
    shapes = [examples.image_shape] if examples.image_shape else []
    if x.shape[1:] not in (*shapes, examples.x.shape[1:]) or x.dtype.kind not in "buif" or (whole and x.dtype != "u1"):
        needed = (*(shapes or [examples.x.shape[1:]])[0],)
        raise UserError(
            f"{path}: x_unlabeled is {x.dtype} {x.shape}; needs rows of {needed}, {'uint8' if whole else 'numbers'}"
        )
    x = Rows([x], np.uint8 if whole else np.float64)
    x = x if large(x) else x[:]
    if not (np.abs(ends(x)) <= 1e300).all():
        raise UserError(f"{path}: x_unlabeled has NaN or infinite values, or magnitudes above 1e300")
    return x


def extended(dataset, unlabeled, synthesis, times, seed):
    """The dataset with the `unlabeled` rows (m, features), or None, in the training part of every split, and in that of
    each split `times` as many synthetic rows as it has training rows, made of these: no row that it holds out enters.

    They come after all others, have no class (y is -1), and change no scaling. An unlabeled row is absent from a split
    that holds out an equal one: a teacher would tell the student of what it is tested on. A synthetic row may be equal
    to a held-out one by chance; it stays, since it follows from training rows alone.
    synthesis: of SYNTHESES, or None.
    """
    x, codes = [dataset.x], [dataset.assignment]
    if unlabeled is not None:
        x.append(unlabeled)
        codes.append(_codes_of(dataset, unlabeled))
    if synthesis == "munge" and dataset.image_shape:
        raise UserError("prepare.transfer.synthesis: munge is for tables; mixup makes images")
    for split in range(dataset.splits) if synthesis else ():
        rows = dataset.rows("train", split)
        widths = [1] * dataset.x.shape[1]
        if dataset.encoding:
            widths = [len(column.feature_names) for column in Encoding.from_json(dataset.encoding).columns]
        generator = stream(seed, f"prepare/transfer/{synthesis}", split)
        own = dataset.x[rows].astype(np.float64)
        scaled = (own - dataset.offset[split]) * dataset.scale[split]
        x.append(SYNTHESES[synthesis](own, scaled, widths, times, generator).astype(dataset.x.dtype))
        codes.append(np.full((dataset.splits, len(x[-1])), ABSENT, dtype=np.uint8))
        codes[-1][split] = HIDDEN
    codes = np.concatenate(codes, axis=1)
    y = np.concatenate([dataset.y, np.full(codes.shape[1] - len(dataset.y), -1)])
    x = np.concatenate(x) if isinstance(dataset.x, np.ndarray) else Rows(x, dataset.x.dtype)
    return replace(dataset, x=x, y=y, assignment=codes, digest="")


def _codes_of(dataset, unlabeled):
    """(S, m) uint8: in which splits the unlabeled rows (m, features) are."""
    n, codes = len(dataset.y), np.full((dataset.splits, len(unlabeled)), HIDDEN, dtype=np.uint8)
    first = equal_rows(Rows([dataset.x, unlabeled], dataset.x.dtype))
    if first is not None and (known := np.flatnonzero(first[n:] < n)).size:
        twins = dataset.assignment[:, first[n + known]]
        codes[:, known] = np.where(np.isin(twins, [PARTS.index("train"), HIDDEN]), HIDDEN, ABSENT)
        log.info(
            "%d of the %d rows without a label are equal to rows with one, and are left out where these are held out",
            len(known), len(unlabeled),
        )  # fmt: skip
    return codes
