"""Splits of the examples into the subsets train, validation and test. Each class has its share in each subset."""

from collections.abc import Sequence

import numpy as np

from kdlib.data.checks import SUBSETS, UNLABELED
from kdlib.io.errors import UserError
from kdlib.numerics import exact
from kdlib.numerics.streams import permutation, stream

TRAIN, VALIDATION, TEST = range(len(SUBSETS))
LEAVE_OUT = "or set prepare.rare_classes: leave_out"
REMEDY = f"raise the smallest of train_ratio, val_ratio and the test subset's rest, {LEAVE_OUT}"
MIN_INT64 = np.iinfo(np.int64).min
MAX_ATTEMPTS = 100  # draws of the parts to which groups of equal examples go


class RareClassesError(UserError):
    """Report classes with too few rows.

    Parameters
    ----------
    message : str
    classes : array of int
        The classes, as numbers of `y`.
    """

    def __init__(self, message: str, classes: np.ndarray):
        super().__init__(message)
        self.classes = classes


def apportion(total: int, shares: Sequence[float]) -> np.ndarray:
    """Divide a number of examples by the method of largest remainders.

    Parameters
    ----------
    total : int
    shares : sequence of float, length k
        They need not sum to 1.

    Returns
    -------
    int64, shape (k,)
        Integers that sum to `total`, as near to proportional as integers can be.
    """
    quotas = np.asarray(shares, dtype=np.float64) / float(exact.sum(np.asarray(shares, np.float64)[None], 1)[0]) * total
    counts = np.floor(quotas).astype(np.int64)
    largest_remainders = np.argsort(counts - quotas, kind="stable")
    counts[largest_remainders[: total - int(counts.sum())]] += 1  # lint: integer sum
    return counts


def stratified_split(
    y: np.ndarray,
    ratios: Sequence[float],
    seed: int,
    purpose: str,
    remedy: str = "raise the smallest ratio",
    optional_parts: int = 0,
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
    optional_parts : int
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
    RareClassesError
        If a part would lack a class and is not optional.
    """
    classes, class_counts = np.unique(y, return_counts=True)
    sizes = apportion(len(y), ratios)
    # The parts' totals are met by giving each class's leftovers to the parts that are furthest below their size.
    quotas = class_counts[:, None] * (sizes / len(y))
    wanted = np.floor(quotas).astype(np.int64)
    for row, count in zip(wanted, class_counts, strict=True):
        for _ in range(int(count - row.sum())):  # lint: integer sum
            row[np.argmax(sizes - wanted.sum(axis=0))] += 1  # lint: integer sum
    part_of = None
    ungrouped = wanted
    lacking = (wanted[:, : len(ratios) - optional_parts] == 0).any(axis=1)
    if groups is not None:
        codes = np.searchsorted(classes, y)
        for attempt in range(MAX_ATTEMPTS):  # another draw may have room for each class in each part
            part_of = _place_groups(codes, groups, wanted, stream(seed, f"{purpose}/equal", attempt))
            rows = np.flatnonzero(part_of >= 0)
            grouped = np.zeros_like(wanted)
            np.add.at(grouped, (codes[rows], part_of[rows]), 1)
            ungrouped = _ungrouped_counts(wanted, grouped, class_counts)
            lacking = ((grouped + ungrouped)[:, : len(ratios) - optional_parts] == 0).any(axis=1)
            if not lacking.any():
                break
    if lacking.any():
        stay = "" if groups is None else ", where equal examples stay together,"
        raise RareClassesError(
            f"too few examples for a stratified split: {' + '.join(map(str, sizes))} of {len(y)}{stay} leave a part"
            f" without one of the {len(classes)} classes, of which the smallest has {class_counts.min()} examples;"
            f" {remedy}",
            classes[lacking],
        )
    parts = [[] if part_of is None else [np.flatnonzero(part_of == part)] for part in range(len(ratios))]
    for index, (label, row) in enumerate(zip(classes, ungrouped, strict=True)):
        members = np.flatnonzero(y == label if part_of is None else (y == label) & (part_of < 0))
        members = members[permutation(stream(seed, purpose, index), len(members))]
        for part, piece in zip(parts, np.split(members, np.cumsum(row)[:-1]), strict=True):  # lint: integer sum
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
    members = np.split(rows, np.cumsum(counts))[:-1]  # lint: integer sum
    order = permutation(generator, len(members))
    order = order[np.argsort(-counts[order], kind="stable")]
    part_of = np.full(len(codes), -1)
    room = wanted.copy()
    for group, draw in zip(order, generator.random(len(members)), strict=True):
        own_counts = np.bincount(codes[members[group]], minlength=len(wanted))
        part_room = room.sum(axis=0)  # lint: integer sum
        size = counts[group]
        chances = np.where((room >= own_counts[:, None]).all(axis=0), own_counts @ room, 0)  # lint: integer sum
        if chances.any():
            drawn = int(draw * chances.sum())  # lint: integer sum
            part = np.searchsorted(np.cumsum(chances)[:-1], drawn, side="right")  # lint: integer sum
        elif (part_room >= size).any():
            part = np.argmax(np.where(part_room >= size, own_counts @ room, MIN_INT64))  # lint: integer sum
        else:
            part = np.argmax(part_room)
        room[:, part] -= own_counts
        part_of[members[group]] = part
    return part_of


def _ungrouped_counts(wanted, grouped, class_counts):
    """Choose how many examples outside of groups each part gets from each class, (classes, parts).

    Together with the `grouped` examples a part then has the `wanted` counts. If groups do not allow that, it has at
    least the wanted size.
    """
    sizes = wanted.sum(axis=0)  # lint: integer sum
    ungrouped = np.maximum(wanted - grouped, 0)
    for row, count in zip(ungrouped, class_counts - grouped.sum(axis=1), strict=True):  # lint: integer sum
        for _ in range(int(row.sum() - count)):  # lint: integer sum
            row[np.argmax(row)] -= 1
        for _ in range(int(count - row.sum())):  # lint: integer sum
            row[np.argmax(sizes - (grouped + ungrouped).sum(axis=0))] += 1  # lint: integer sum
    while True:
        surplus = grouped + ungrouped - wanted
        excess = surplus.sum(axis=0)  # lint: integer sum
        # No class loses more than half of its share.
        movable = (ungrouped > 0) & (2 * (grouped + ungrouped - 1) >= wanted)
        over = np.argmax(np.where(movable.any(axis=0), excess, 0))
        under = np.argmin(excess)
        if excess[over] <= 0 or not movable[:, over].any():
            return ungrouped
        label = np.argmax(np.where(movable[:, over], surplus[:, over] - surplus[:, under], MIN_INT64))
        ungrouped[label, over] -= 1
        ungrouped[label, under] += 1


def assign_subsets(
    y: np.ndarray,
    in_given_test_set: np.ndarray,
    shares: Sequence[float],
    splits: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Assign each example of each split to a subset, so that each class has its share in each subset.

    The held-out subset is the test subset, or the validation subset if a test set is given. The held-out subsets of the
    splits are disjoint as long as their share allows it. For example, with a share of 1/10 and ten splits each example
    is held out once.

    Parameters
    ----------
    y : array of int, shape (n,)
        Classes.
    in_given_test_set : array of bool, shape (n,)
        Whether an example is in a given test set, which is the test subset of every split. The others are free.
    shares : pair of float
        Shares of the training and validation subsets.
    splits : int
        Number of splits S.
    seed : int
    groups : array of int, shape (n,), or None
        Free examples with the same number are in one subset of a split.

    Returns
    -------
    uint8, shape (S, n)
        Index in `SUBSETS` of each example's subset.

    Raises
    ------
    RareClassesError
        If a subset would lack a class.
    """
    assignment = np.where(in_given_test_set, TEST, TRAIN)[None].repeat(splits, axis=0).astype(np.uint8)
    free = np.flatnonzero(~in_given_test_set)
    both = shares[0] + shares[1]
    free_groups = None if groups is None else groups[free]
    if splits == 1:
        ratios = (
            (shares[0] / both, shares[1] / both) if in_given_test_set.any() else (*shares, 1 - shares[0] - shares[1])
        )
        free_labels = y[free] if in_given_test_set.any() else y
        subsets = stratified_split(free_labels, ratios, seed, "prepare/split", REMEDY, groups=free_groups)
        for code, subset in enumerate(subsets):
            assignment[0, free[subset]] = code
        return assignment
    held_out_code = VALIDATION if in_given_test_set.any() else TEST
    share = held_out_share(in_given_test_set, shares)
    for split, held_out in enumerate(_held_out(y[free], share, splits, seed, free_groups)):
        assignment[split, free[held_out]] = held_out_code
        if held_out_code == TEST:
            rest = np.flatnonzero(assignment[split] == TRAIN)
            # Each split has the same number of training rows, so that one stack can train them.
            train_size, validation_size, _ = apportion(len(y), (*shares, 1 - both))
            if 2 * (len(rest) - train_size) < validation_size:  # the test subset has a large group of equal rows
                train_size = shares[0] / both * len(rest)
            ratios = (train_size / len(rest), 1 - train_size / len(rest))
            rest_groups = None if groups is None else groups[rest]
            purpose = f"prepare/validation/{split}"
            _, validation = stratified_split(y[rest], ratios, seed, purpose, REMEDY, groups=rest_groups)
            assignment[split, rest[validation]] = VALIDATION
    return assignment


def held_out_share(in_given_test_set: np.ndarray, shares: Sequence[float]) -> float:
    """Return the share of the free examples that each of several splits holds out.

    Parameters
    ----------
    in_given_test_set : array of bool, shape (n,)
        Whether an example is in a given test set; the others are free.
    shares : pair of float
        Shares of the training and validation subsets.

    Returns
    -------
    float
        Share of the test subset, or of the validation subset if a test set is given.
    """
    both = shares[0] + shares[1]
    return shares[1] / both if in_given_test_set.any() else 1 - both


def count_disjoint_splits(share: float, splits: int) -> int:
    """Return how many of the splits can hold out this share without a common row."""
    return min(splits, int((1 + 1e-9) / share))


def _held_out(y, share, splits, seed, groups):
    """Return the indices that each of S splits holds out. Each round draws as many disjoint subsets as there can be."""
    found = []
    while len(found) < splits:
        count = count_disjoint_splits(share, splits - len(found))
        ratios = [share] * count + [max(0.0, 1 - count * share)]
        purpose = f"prepare/held out/{len(found)}"
        *disjoint, _ = stratified_split(y, ratios, seed, purpose, REMEDY, optional_parts=1, groups=groups)
        found += disjoint
    return found


def hide_labels(assignment: np.ndarray, y: np.ndarray, labeled_fraction: float, seed: int) -> None:
    """Mark training examples as `UNLABELED`, so that `labeled_fraction` of each class keeps its label.

    Parameters
    ----------
    assignment : array of uint8, shape (S, n)
        Index in `SUBSETS` of each example's subset in each split. Is changed in place.
    y : array of int, shape (n,)
        Classes.
    labeled_fraction : float
        Share of the training examples of each class that keep their label.
    seed : int

    Raises
    ------
    RareClassesError
        If a class would keep no label.
    """
    ratios = labeled_fraction, 1 - labeled_fraction
    for split, assigned in enumerate(assignment):
        train = np.flatnonzero(assigned == TRAIN)
        purpose = f"prepare/labels/{split}" if split else "prepare/labels"
        _, hidden = stratified_split(
            y[train], ratios, seed, purpose, f"raise prepare.labeled_fraction, {LEAVE_OUT}", optional_parts=1
        )
        assigned[train[hidden]] = UNLABELED
