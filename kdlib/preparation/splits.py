"""Stratified splits: each class has its share in each part. Named random streams decide."""

from collections.abc import Sequence

import numpy as np

from kdlib.io.errors import UserError
from kdlib.numerics import exact
from kdlib.numerics.streams import permutation, stream

LEAST_INTEGER = np.iinfo(np.int64).min
ATTEMPTS = 100  # draws of where groups of equal examples go


def apportion(total: int, shares: Sequence[float]) -> np.ndarray:
    """Divide a number of examples by the method of largest remainders.

    Parameters
    ----------
    total : int
    shares : sequence of float, length k
        In any unit.

    Returns
    -------
    int64, shape (k,)
        Integers that sum to `total`, as near to proportional as integers can be.
    """
    quotas = np.asarray(shares, dtype=np.float64) / float(exact.sum(np.asarray(shares, np.float64)[None], 1)[0]) * total
    counts = np.floor(quotas).astype(np.int64)
    largest_remainders = np.argsort(counts - quotas, kind="stable")
    counts[largest_remainders[: total - int(counts.sum())]] += 1  # integers
    return counts


def stratified_split(
    y: np.ndarray,
    ratios: Sequence[float],
    seed: int,
    purpose: str,
    remedy: str = "raise the smallest ratio",
    spare: int = 0,
    groups: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Divide examples into parts in which each class has its share.

    Parameters
    ----------
    y : array, shape (n,)
        Classes.
    ratios : sequence of float
        Share of each part in all examples; they sum to 1.
    seed : int
    purpose : str
        Name of the random stream.
    remedy : str
        End of an error's message.
    spare : int
        Number of parts, counted from the last, that may lack a class.
    groups : array of int, shape (n,), or None
        Examples with the same number go to one part. Sizes and shares are then as near to the ratios as the groups
        allow.

    Returns
    -------
    list of array of int64
        Indices of each part's examples, ascending.

    Raises
    ------
    UserError
        If a part would lack a class and is not spare.
    """
    classes, class_counts = np.unique(y, return_counts=True)
    sizes = apportion(len(y), ratios)
    # The parts' totals are met by giving each class's leftovers to the parts that are furthest below their size.
    quotas = class_counts[:, None] * (sizes / len(y))
    wanted = np.floor(quotas).astype(np.int64)
    for row, count in zip(wanted, class_counts, strict=True):
        for _ in range(int(count - row.sum())):  # integers
            row[np.argmax(sizes - wanted.sum(axis=0))] += 1  # integers
    part_of = None
    ungrouped = wanted
    lacking = (wanted[:, : len(ratios) - spare] == 0).any()
    if groups is not None:
        codes = np.searchsorted(classes, y)
        for attempt in range(ATTEMPTS):  # another draw may have room for each class in each part
            part_of = _place_groups(codes, groups, wanted, stream(seed, f"{purpose}/equal", attempt))
            rows = np.flatnonzero(part_of >= 0)
            grouped = np.zeros_like(wanted)
            np.add.at(grouped, (codes[rows], part_of[rows]), 1)
            ungrouped = _ungrouped_counts(wanted, grouped, class_counts)
            lacking = ((grouped + ungrouped)[:, : len(ratios) - spare] == 0).any()
            if not lacking:
                break
    if lacking:
        stay = "" if groups is None else ", where equal examples stay together,"
        raise UserError(
            f"too few examples for a stratified split: {' + '.join(map(str, sizes))} of {len(y)}{stay} leave a part"
            f" without one of the {len(classes)} classes, of which the smallest has {class_counts.min()} examples;"
            f" {remedy}"
        )
    parts = [[] if part_of is None else [np.flatnonzero(part_of == part)] for part in range(len(ratios))]
    for index, (label, row) in enumerate(zip(classes, ungrouped, strict=True)):
        members = np.flatnonzero(y == label if part_of is None else (y == label) & (part_of < 0))
        members = members[permutation(stream(seed, purpose, index), len(members))]
        for part, piece in zip(parts, np.split(members, np.cumsum(row)[:-1]), strict=True):  # integers
            part.append(piece)
    found = []
    while parts:
        found.append(np.concatenate(parts.pop(0)))
        found[-1].sort()
    return found


def _place_groups(codes, groups, wanted, generator):
    """Choose the part of each example in a group of several, (n,); -1 for the other examples.

    The largest groups come first. A group goes to one of the parts with room for each of its classes, with a
    probability in proportion to that room; else to one with room for as many examples; else to the part with most room.
    codes: (n,) row of each example's class in `wanted`. wanted: (classes, parts), how many examples there is room for.
    """
    _, number, counts = np.unique(groups, return_inverse=True, return_counts=True)
    rows = np.flatnonzero(counts[number] > 1)
    rows = rows[np.argsort(number[rows], kind="stable")]
    counts = counts[counts > 1]
    members = np.split(rows, np.cumsum(counts))[:-1]  # integers
    order = permutation(generator, len(members))
    order = order[np.argsort(-counts[order], kind="stable")]
    part_of = np.full(len(codes), -1)
    room = wanted.copy()
    for group, draw in zip(order, generator.random(len(members)), strict=True):
        own_counts = np.bincount(codes[members[group]], minlength=len(wanted))
        part_room = room.sum(axis=0)  # integers
        size = counts[group]
        chances = np.where((room >= own_counts[:, None]).all(axis=0), own_counts @ room, 0)  # integers
        if chances.any():
            part = np.searchsorted(np.cumsum(chances)[:-1], int(draw * chances.sum()), side="right")  # integers
        elif (part_room >= size).any():
            part = np.argmax(np.where(part_room >= size, own_counts @ room, LEAST_INTEGER))  # integers
        else:
            part = np.argmax(part_room)
        room[:, part] -= own_counts
        part_of[members[group]] = part
    return part_of


def _ungrouped_counts(wanted, grouped, class_counts):
    """Choose how many examples outside of groups each part gets from each class, (classes, parts).

    Together with the `grouped` examples a part then has the `wanted` counts, or at least its size where groups do not
    allow that.
    """
    sizes = wanted.sum(axis=0)  # integers
    ungrouped = np.maximum(wanted - grouped, 0)
    for row, count in zip(ungrouped, class_counts - grouped.sum(axis=1), strict=True):  # integers
        for _ in range(int(row.sum() - count)):  # integers
            row[np.argmax(row)] -= 1
        for _ in range(int(count - row.sum())):  # integers
            row[np.argmax(sizes - (grouped + ungrouped).sum(axis=0))] += 1  # integers
    while True:
        surplus = grouped + ungrouped - wanted
        excess = surplus.sum(axis=0)  # integers
        # No class loses more than half of its share.
        movable = (ungrouped > 0) & (2 * (grouped + ungrouped - 1) >= wanted)
        over = np.argmax(np.where(movable.any(axis=0), excess, 0))
        under = np.argmin(excess)
        if excess[over] <= 0 or not movable[:, over].any():
            return ungrouped
        label = np.argmax(np.where(movable[:, over], surplus[:, over] - surplus[:, under], LEAST_INTEGER))
        ungrouped[label, over] -= 1
        ungrouped[label, under] += 1
