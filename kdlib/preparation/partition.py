"""Division of the examples of each split into the subsets train, validation and test."""

from collections.abc import Sequence

import numpy as np

from kdlib.data.dataset import HIDDEN, PARTS
from kdlib.preparation.splits import apportion, stratified_split

TRAIN, VALIDATION, TEST = range(len(PARTS))
REMEDY = "raise the smallest of train_ratio, val_ratio and the test part's rest, or take more examples"


def partitions(
    y: np.ndarray,
    tested: np.ndarray,
    shares: Sequence[float],
    splits: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Assign each example of each split to a subset, so that each class has its share in each subset.

    The held-out subset is the test subset, or the validation subset if a test set is given. Held-out subsets of
    different splits are disjoint while the share allows it: with as many splits as the share fits into the whole, each
    example is held out once.

    Parameters
    ----------
    y : array of int, shape (n,)
        Classes.
    tested : array of bool, shape (n,)
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
        Index in `PARTS` of each example's subset.

    Raises
    ------
    UserError
        If a subset would lack a class.
    """
    assignment = np.where(tested, TEST, TRAIN)[None].repeat(splits, axis=0).astype(np.uint8)
    free = np.flatnonzero(~tested)
    both = shares[0] + shares[1]
    free_groups = None if groups is None else groups[free]
    if splits == 1:
        ratios = (shares[0] / both, shares[1] / both) if tested.any() else (*shares, 1 - shares[0] - shares[1])
        free_labels = y[free] if tested.any() else y
        subsets = stratified_split(free_labels, ratios, seed, "prepare/split", REMEDY, groups=free_groups)
        for code, subset in enumerate(subsets):
            assignment[0, free[subset]] = code
        return assignment
    held_out_code = VALIDATION if tested.any() else TEST
    share = held_out_share(tested, shares)
    for split, held_out in enumerate(_held_out(y[free], share, splits, seed, free_groups)):
        assignment[split, free[held_out]] = held_out_code
        if held_out_code == TEST:
            rest = np.flatnonzero(assignment[split] == TRAIN)
            # As many in each split, so that one stack trains them.
            train_size, validation_size, _ = apportion(len(y), (*shares, 1 - both))
            if 2 * (len(rest) - train_size) < validation_size:  # the test subset has a large group of equal rows
                train_size = shares[0] / both * len(rest)
            ratios = (train_size / len(rest), 1 - train_size / len(rest))
            rest_groups = None if groups is None else groups[rest]
            purpose = f"prepare/validation/{split}"
            _, validation = stratified_split(y[rest], ratios, seed, purpose, REMEDY, groups=rest_groups)
            assignment[split, rest[validation]] = VALIDATION
    return assignment


def held_out_share(tested: np.ndarray, shares: Sequence[float]) -> float:
    """Return the share of the free examples that each of several splits holds out.

    Parameters
    ----------
    tested : array of bool, shape (n,)
        Whether an example is in a given test set; the others are free.
    shares : pair of float
        Shares of the training and validation subsets.

    Returns
    -------
    float
        Share of the test subset, or of the validation subset if a test set is given.
    """
    both = shares[0] + shares[1]
    return shares[1] / both if tested.any() else 1 - both


def disjoint_splits(share: float, splits: int) -> int:
    """Return how many of the splits can hold out this share without a common row."""
    return min(splits, int((1 + 1e-9) / share))


def _held_out(y, share, splits, seed, groups):
    """Return the indices that each of S splits holds out, drawn in rounds of as many as are disjoint."""
    found = []
    while len(found) < splits:
        count = disjoint_splits(share, splits - len(found))
        ratios = [share] * count + [max(0.0, 1 - count * share)]
        purpose = f"prepare/held out/{len(found)}"
        *disjoint, _ = stratified_split(y, ratios, seed, purpose, REMEDY, spare=1, groups=groups)
        found += disjoint
    return found


def hide_labels(assignment: np.ndarray, y: np.ndarray, labeled_fraction: float, seed: int) -> None:
    """Mark training examples as `HIDDEN`, so that the fraction of each class with a label is as asked.

    Parameters
    ----------
    assignment : array of uint8, shape (S, n)
        Index in `PARTS` of each example's subset in each split. Is changed in place.
    y : array of int, shape (n,)
        Classes.
    labeled_fraction : float
        Share of the training examples of each class that keep their label.
    seed : int

    Raises
    ------
    UserError
        If a class would keep no label.
    """
    ratios = labeled_fraction, 1 - labeled_fraction
    for split, assigned in enumerate(assignment):
        train = np.flatnonzero(assigned == TRAIN)
        purpose = f"prepare/labels/{split}" if split else "prepare/labels"
        _, hidden = stratified_split(y[train], ratios, seed, purpose, "raise prepare.labeled_fraction", spare=1)
        assigned[train[hidden]] = HIDDEN
