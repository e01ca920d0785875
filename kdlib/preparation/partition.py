"""Which examples each of several splits trains on, chooses by and tests on."""

import numpy as np

from kdlib.data.dataset import HIDDEN, PARTS
from kdlib.preparation.splits import apportion, stratified_split

TRAIN, VALIDATION, TEST = range(len(PARTS))
REMEDY = "raise the smallest of train_ratio, val_ratio and the test part's rest, or take more examples"


def partitions(y, tested, shares, splits, seed, groups=None):
    """(S, n) uint8: the index in PARTS of each example in each split, every class in its share.

    y: (n,) classes. tested: (n,) bool, a given test set, which is that of every split. shares: of training and of
    validation. What is held out, for test or else for validation, is disjoint between splits while the share allows
    it; with as many splits as it is contained in the whole, each example is held out once.
    groups: (n,) numbers, or None; of the free examples those with the same number are in one part of a split.
    Raises UserError if a part would lack a class.
    """
    assignment = np.where(tested, TEST, TRAIN)[None].repeat(splits, axis=0).astype(np.uint8)
    free, both = np.flatnonzero(~tested), shares[0] + shares[1]
    of_free = None if groups is None else groups[free]
    if splits == 1:
        ratios = (shares[0] / both, shares[1] / both) if tested.any() else (*shares, 1 - shares[0] - shares[1])
        parts = stratified_split(y[free] if tested.any() else y, ratios, seed, "prepare/split", REMEDY, groups=of_free)
        for code, part in enumerate(parts):
            assignment[0, free[part]] = code
        return assignment
    part, share = VALIDATION if tested.any() else TEST, held_out_share(tested, shares)
    for split, held_out in enumerate(_held_out(y[free], share, splits, seed, of_free)):
        assignment[split, free[held_out]] = part
        if part == TEST:
            rest = np.flatnonzero(assignment[split] == TRAIN)
            # As many in each split, so that one stack trains them.
            train, validation, _ = apportion(len(y), (*shares, 1 - both))
            if 2 * (len(rest) - train) < validation:  # a large group of equal rows is tested on
                train = shares[0] / both * len(rest)
            ratios, of_rest = (train / len(rest), 1 - train / len(rest)), None if groups is None else groups[rest]
            purpose = f"prepare/validation/{split}"
            _, chosen_by = stratified_split(y[rest], ratios, seed, purpose, REMEDY, groups=of_rest)
            assignment[split, rest[chosen_by]] = VALIDATION
    return assignment


def held_out_share(tested, shares):
    """Of what is free, the share that each of several splits holds out, to test or else to choose by."""
    both = shares[0] + shares[1]
    return shares[1] / both if tested.any() else 1 - both


def disjoint_splits(share, splits):
    """How many of the splits hold out rows that no other of them does."""
    return min(splits, int((1 + 1e-9) / share))


def _held_out(y, share, splits, seed, groups):
    """Indices of S subsets of this share, in rounds of as many as are disjoint."""
    found = []
    while len(found) < splits:
        count = disjoint_splits(share, splits - len(found))
        ratios = [share] * count + [max(0.0, 1 - count * share)]
        purpose = f"prepare/held out/{len(found)}"
        *disjoint, _ = stratified_split(y, ratios, seed, purpose, REMEDY, spare=1, groups=groups)
        found += disjoint
    return found


def hide_labels(assignment, y, labeled_fraction, seed):
    """Mark as HIDDEN, in each split of `assignment` (S, n), all training examples but this share of each class."""
    ratios = labeled_fraction, 1 - labeled_fraction
    for split, assigned in enumerate(assignment):
        train = np.flatnonzero(assigned == TRAIN)
        purpose = f"prepare/labels/{split}" if split else "prepare/labels"
        _, hidden = stratified_split(y[train], ratios, seed, purpose, "raise prepare.labeled_fraction", spare=1)
        assigned[train[hidden]] = HIDDEN
