"""What is worth a word in the log about the columns of a table."""

from hashlib import sha256

import numpy as np

from kdlib.data.encoding import KINDS

BLOCK = 1 << 20  # numbers that are compared at once


def summary(encoding):
    """One line: how many columns of which kind give how many features."""
    kinds = [column.kind for column in encoding.columns]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in KINDS if kind in kinds)
    lacking = sum(column.missing for column in encoding.columns)  # integers
    lacking = f", {lacking} with missing values" if lacking else ""
    return f"{len(kinds)} columns ({counts}{lacking}) give {len(encoding.feature_names)} features"


def remarks(encoding, x, left_out=()):
    """Lines about columns that give rows away, or give nothing.

    x: (n, features), encoded, in the source's order. left_out: names of columns whose cells are all alike.
    """
    lines = [f"column {name} has the same in every row, and is left out" for name in left_out]
    found, seen = _compared(encoding, x), {}
    for column, (same, direction) in zip(encoding.columns, found, strict=True):
        if direction and len(x) > 2 and column.kind in ("number", "date"):
            lines.append(
                f"column {column.name} rises or falls with every row; if it counts the rows, it gives the classes of"
                f" sorted rows away: prepare.drop: [{column.name}]"
            )
        twin = seen.setdefault(same, column.name)
        if twin != column.name:
            lines.append(f"column {column.name} is the same as {twin}: prepare.drop: [{column.name}]")
    return lines


def _compared(encoding, x):
    """[(SHA-256 of its features, 1 or -1 if its first one rises or falls with every row, else 0)] of the columns."""
    widths = [len(column.feature_names) for column in encoding.columns]
    ends = np.cumsum(widths)  # integers
    hashes, directions, last = [sha256() for _ in widths], [{1, -1} for _ in widths], None
    rows = max(1, BLOCK // x.shape[1])
    for start in range(0, len(x), rows):
        block = x[start : start + rows]
        for k, (end, width) in enumerate(zip(ends, widths, strict=True)):
            hashes[k].update(np.ascontiguousarray(block[:, end - width : end]))
            if directions[k]:
                first = [] if last is None else [last[end - width]]
                steps = np.diff(np.concatenate([first, block[:, end - width]]))
                directions[k] &= {sign for sign in (1, -1) if (sign * steps > 0).all()}
        last = block[-1]
    return [(own.digest(), sum(of)) for own, of in zip(hashes, directions, strict=True)]  # integers
