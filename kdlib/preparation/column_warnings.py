"""Lines of the log about the columns of a table."""

from collections.abc import Iterable
from hashlib import sha256

import numpy as np

from kdlib.data.encoding import KINDS, Encoding
from kdlib.data.mapped_rows import ConcatenatedRows

CHUNK_ELEMENTS = 1 << 20  # numbers that are compared at once


def summarize_columns(encoding: Encoding) -> str:
    """Count, in one line, the columns of each kind and the features that they give."""
    kinds = [column.kind for column in encoding.columns]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in KINDS if kind in kinds)
    lacking = sum(column.missing for column in encoding.columns)  # lint: integer sum
    lacking = f", {lacking} with missing values" if lacking else ""
    return f"{len(kinds)} columns ({counts}{lacking}) give {len(encoding.feature_names)} features"


def column_warnings(encoding: Encoding, x: np.ndarray | ConcatenatedRows, left_out: Iterable[str] = ()) -> list[str]:
    """Name the columns that may reveal the classes, and those that add nothing.

    A column that counts rows reveals the classes of sorted rows. A copy of another column and a column with one value
    add nothing.

    Parameters
    ----------
    encoding : Encoding
    x : array or ConcatenatedRows, shape (n, features)
        Encoded rows, in the order of the source.
    left_out : iterable of str
        Columns whose cells are all alike.

    Returns
    -------
    list of str
        Lines for the log.
    """
    lines = [f"column {name} has the same in every row, and is left out" for name in left_out]
    first_with_digest = {}
    for column, (digest, direction) in zip(encoding.columns, _digests_and_directions(encoding, x), strict=True):
        if direction and len(x) > 2 and KINDS[column.kind].may_count_rows:
            lines.append(
                f"column {column.name} rises or falls with every row; if it counts the rows, it gives the classes of"
                f" sorted rows away: prepare.drop: [{column.name}]"
            )
        twin = first_with_digest.setdefault(digest, column.name)
        if twin != column.name:
            lines.append(f"column {column.name} is the same as {twin}: prepare.drop: [{column.name}]")
    return lines


def _digests_and_directions(encoding, x):
    """Return (SHA-256 of its features, direction) of each column.

    The direction is 1 or -1 if the first feature rises or falls with every row, else 0.
    """
    widths = [len(column.feature_names) for column in encoding.columns]
    ends = np.cumsum(widths)  # lint: integer sum
    hashes = [sha256() for _ in widths]
    possible_directions = [{1, -1} for _ in widths]
    last_row = None
    rows = max(1, CHUNK_ELEMENTS // x.shape[1])
    for start in range(0, len(x), rows):
        chunk = x[start : start + rows]
        for k, (end, width) in enumerate(zip(ends, widths, strict=True)):
            hashes[k].update(np.ascontiguousarray(chunk[:, end - width : end]))
            if possible_directions[k]:
                before = [] if last_row is None else [last_row[end - width]]
                steps = np.diff(np.concatenate([before, chunk[:, end - width]]))
                possible_directions[k] &= {sign for sign in (1, -1) if (sign * steps > 0).all()}
        last_row = chunk[-1]
    directions = [sum(signs) for signs in possible_directions]  # lint: integer sum
    return [(found.digest(), direction) for found, direction in zip(hashes, directions, strict=True)]
