"""Stratified splits, drawn from named streams."""

import numpy as np

from kdlib.io.errors import UserError
from kdlib.numerics import exact
from kdlib.numerics.streams import permutation, stream


def apportion(total, shares):
    """Integers that sum to `total`, as proportional to `shares` as integers can be (largest remainders)."""
    quotas = np.asarray(shares, dtype=np.float64) / float(exact.sum(np.asarray(shares, np.float64)[None], 1)[0]) * total
    counts = np.floor(quotas).astype(np.int64)
    largest = np.argsort(counts - quotas, kind="stable")
    counts[largest[: total - int(counts.sum())]] += 1  # integers
    return counts


def stratified_split(y, ratios, seed, purpose, remedy="raise the smallest ratio", spare=0, groups=None):
    """Divide examples into parts in which each class has its share.

    Parameters
    ----------
    y : array, shape (n,)
        Classes.
    ratios : sequence of float
        Shares of all examples, one for each part, summing to 1.
    seed : int
    purpose : str
        Name of the random stream.
    remedy : str
        End of the message of an error.
    spare : int
        How many of the last parts may lack a class.
    groups : array of int, shape (n,), or None
        Examples with the same number go to one part. Sizes and shares are then as near to the ratios as the groups
        allow.

    Returns
    -------
    list of array of int64
        Of each part the indices of its examples, ascending.

    Raises
    ------
    UserError
        If a part that is not spare would lack a class.
    """
    classes, counts = np.unique(y, return_counts=True)
    sizes = apportion(len(y), ratios)
    # The parts' totals are met by giving each class's leftovers to the parts that are furthest below their size.
    quotas = counts[:, None] * (sizes / len(y))
    table = np.floor(quotas).astype(np.int64)
    for row, count in zip(table, counts, strict=True):
        for _ in range(int(count - row.sum())):  # integers
            row[np.argmax(sizes - table.sum(axis=0))] += 1  # integers
    part_of, alone, placed = None, table, 0
    if groups is not None:
        codes = np.searchsorted(classes, y)
        part_of = _placed(codes, groups, table, stream(seed, f"{purpose}/equal"))
        rows = np.flatnonzero(part_of >= 0)
        placed = np.zeros_like(table)
        np.add.at(placed, (codes[rows], part_of[rows]), 1)
        alone = _filled(table, placed, counts)
    if ((placed + alone)[:, : len(ratios) - spare] == 0).any():
        stay = "" if groups is None else ", where equal examples stay together,"
        raise UserError(
            f"too few examples for a stratified split: {' + '.join(map(str, sizes))} of {len(y)}{stay} leave a part"
            f" without one of the {len(classes)} classes, of which the smallest has {counts.min()} examples; {remedy}"
        )
    parts = [[] if part_of is None else [np.flatnonzero(part_of == part)] for part in range(len(ratios))]
    for index, (label, row) in enumerate(zip(classes, alone, strict=True)):
        members = np.flatnonzero(y == label if part_of is None else (y == label) & (part_of < 0))
        members = members[permutation(stream(seed, purpose, index), len(members))]
        for part, piece in zip(parts, np.split(members, np.cumsum(row)[:-1]), strict=True):  # integers
            part.append(piece)
    found = []
    while parts:
        found.append(np.concatenate(parts.pop(0)))
        found[-1].sort()
    return found


def _placed(codes, groups, table, generator):
    """(n,) the part of each example that is not alone in its group, -1 of the others. The largest groups go first.

    A group goes to one of the parts in which each class has room for it, with a probability in proportion to that room;
    else to one that has room for as many examples; else to the one with most room.
    codes: (n,) rows of `table`, (classes, parts), which has how many examples there is room for.
    """
    _, number, counts = np.unique(groups, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[number] > 1)
    rows = rows[np.argsort(number[rows], kind="stable")]
    counts = counts[counts > 1]
    members = np.split(rows, np.cumsum(counts))[:-1]  # integers
    order = permutation(generator, len(members))
    order = order[np.argsort(-counts[order], kind="stable")]
    result, left = np.full(len(codes), -1), table.copy()
    for group, draw in zip(order, generator.random(len(members)), strict=True):
        own = np.bincount(codes[members[group]], minlength=len(table))
        room, size = left.sum(axis=0), counts[group]  # integers
        chances = np.where((left >= own[:, None]).all(axis=0), own @ left, 0)  # integers
        if chances.any():
            part = np.searchsorted(np.cumsum(chances)[:-1], int(draw * chances.sum()), side="right")  # integers
        elif (room >= size).any():
            part = np.argmax(np.where(room >= size, own @ left, np.iinfo(np.int64).min))  # integers
        else:
            part = np.argmax(room)
        left[:, part] -= own
        result[members[group]] = part
    return result


def _filled(table, placed, counts):
    """How many examples that are alone each part gets of each class, (classes, parts), so that with those that are
    `placed` it has what `table` says, or where groups do not allow that, its size. counts: of all examples, (classes,).
    """
    sizes, alone = table.sum(axis=0), np.maximum(table - placed, 0)  # integers
    for row, count in zip(alone, counts - placed.sum(axis=1), strict=True):  # integers
        for _ in range(int(row.sum() - count)):  # integers
            row[np.argmax(row)] -= 1
        for _ in range(int(count - row.sum())):  # integers
            row[np.argmax(sizes - (placed + alone).sum(axis=0))] += 1  # integers
    while True:
        surplus = placed + alone - table
        excess = surplus.sum(axis=0)  # integers
        # No class loses more than half of its share.
        movable = (alone > 0) & (2 * (placed + alone - 1) >= table)
        over, under = np.argmax(np.where(movable.any(axis=0), excess, 0)), np.argmin(excess)
        if excess[over] <= 0 or not movable[:, over].any():
            return alone
        label = np.argmax(np.where(movable[:, over], surplus[:, over] - surplus[:, under], np.iinfo(np.int64).min))
        alone[label, over] -= 1
        alone[label, under] += 1
