"""Folds: which rows a teacher predicts after it was fitted on the other rows.

What a forest predicts for the rows that it was fitted on is nearly their labels, and a student learns nothing from it.
So the training rows are predicted out of fold (stacking's rule: Wolpert, "Stacked Generalization" (1992)).
"""

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.data.mapped_rows import equal_rows
from kdlib.numerics.streams import permutation, stream


def assign_folds(
    y: np.ndarray, n_folds: int, seed: int, split: int = 0, groups: np.ndarray | None = None
) -> np.ndarray:
    """Draw the fold of each row.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Classes. Each class is spread over all folds as evenly as possible.
    n_folds : int
        Number of folds.
    seed, split : int
        They determine the draw.
    groups : ndarray of int, shape (n,), optional
        Rows with the same number get the same fold. Then whole groups are spread evenly, and the first row of a group
        gives its class.

    Returns
    -------
    ndarray of int64, shape (n,)
        From 0 to n_folds - 1.
    """
    groups = np.arange(len(y)) if groups is None else groups
    _, first, number, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    order = permutation(stream(seed, "teacher/folds", split), len(y))
    order = order[first[number[order]] == order]
    order = order[np.lexsort((-sizes[number[order]], y[order]))]
    fold = np.empty(len(first), dtype=np.int64)
    fold[number[order]] = np.arange(len(order)) % n_folds
    return fold[number]


def folds_by_split(dataset: Dataset, n_folds: int, seed: int) -> np.ndarray:
    """Draw the folds of the labelled training rows of every split.

    Rows with fold k must be predicted by a model that was fitted on the labelled training rows of all other folds.
    Equal rows have equal folds.

    Parameters
    ----------
    dataset : Dataset
    n_folds : int
        Number of folds.
    seed : int

    Returns
    -------
    ndarray of int64, shape (S, n)
        From 0 to n_folds - 1 for labelled training rows of the split; `n_folds` for all other rows.
    """
    result = np.full(dataset.assignment.shape, n_folds, dtype=np.int64)
    groups = equal_rows(dataset.x)
    for split, split_folds in enumerate(result):
        labeled = dataset.labeled(split)
        labeled_groups = None if groups is None else groups[labeled]
        split_folds[labeled] = assign_folds(dataset.y[labeled], n_folds, seed, split, labeled_groups)
    return result


def rows_to_fit(fold: np.ndarray, k: int, n_folds: int) -> np.ndarray:
    """Return the indices of the rows to fit the model on that predicts the rows with fold k.

    Parameters
    ----------
    fold : ndarray of int, shape (n,)
        Folds of one split, see `folds_by_split`.
    k : int
        From 0 to n_folds; the model for `n_folds` is fitted on all labelled training rows.
    n_folds : int
        Number of folds.

    Returns
    -------
    ndarray of int
    """
    return np.flatnonzero((fold != k) & (fold != n_folds))
