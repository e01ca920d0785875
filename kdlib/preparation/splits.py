"""Stratified splits, drawn from named streams."""

import numpy as np

from kdlib.errors import UserError
from kdlib.numerics import exact
from kdlib.numerics.streams import permutation, stream


def apportion(total, shares):
    """Integers that sum to `total`, as proportional to `shares` as integers can be (largest remainders)."""
    quotas = np.asarray(shares, dtype=np.float64) / float(exact.sum(np.asarray(shares, np.float64)[None], 1)[0]) * total
    counts = np.floor(quotas).astype(np.int64)
    largest = np.argsort(counts - quotas, kind="stable")
    counts[largest[: total - int(counts.sum())]] += 1  # integers
    return counts


def stratified_split(y, ratios, seed, purpose, remedy="raise the smallest ratio", spare=0):
    """Indices of the parts in which each class has its share, (n_i,) int64 ascending, one array for each ratio.

    y: (n,) classes. ratios: shares of all examples, summing to 1. Raises UserError with the `remedy` if a part would
    lack a class; the last `spare` parts may.
    """
    classes, counts = np.unique(y, return_counts=True)
    sizes = apportion(len(y), ratios)
    # The parts' totals are met by giving each class's leftovers to the parts that are furthest below their size.
    quotas = counts[:, None] * (sizes / len(y))
    table = np.floor(quotas).astype(np.int64)
    for row, count in zip(table, counts, strict=True):
        for _ in range(int(count - row.sum())):  # integers
            row[np.argmax(sizes - table.sum(axis=0))] += 1  # integers
    if (table[:, : len(ratios) - spare] == 0).any():
        raise UserError(
            f"too few examples for a stratified split: {' + '.join(map(str, sizes))} of {len(y)} leave a part without"
            f" one of the {len(classes)} classes, of which the smallest has {counts.min()} examples; {remedy}"
        )
    parts = [[] for _ in ratios]
    for index, (label, row) in enumerate(zip(classes, table, strict=True)):
        members = np.flatnonzero(y == label)
        members = members[permutation(stream(seed, purpose, index), len(members))]
        for part, piece in zip(parts, np.split(members, np.cumsum(row)[:-1]), strict=True):  # integers
            part.append(piece)
    found = []
    while parts:
        found.append(np.concatenate(parts.pop(0)))
        found[-1].sort()
    return found
