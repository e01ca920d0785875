"""Which rows of a split a teacher may be asked about once it is fitted on others.

What a forest says of the rows that it was grown on is nearly their labels: a student learns nothing from it. So the
training rows are answered out of fold (stacking's rule: Wolpert, "Stacked Generalization" (1992)).
"""

import numpy as np

from kdlib.data.mapped_rows import equal_rows
from kdlib.numerics.streams import permutation, stream


def fold_of(y, count, seed, split=0, groups=None):
    """Draw the fold of each row.

    Parameters
    ----------
    y : array, shape (n,)
        Classes, each of which is spread over all folds as evenly as can be.
    count : int
        Number of folds.
    seed, split : int
        What is drawn follows from them.
    groups : array of int, shape (n,), or None
        Rows with the same number are in one fold; then groups are spread evenly, each as the class of its first row.

    Returns
    -------
    array of int64, shape (n,)
        From 0 to count - 1.
    """
    groups = np.arange(len(y)) if groups is None else groups
    _, first, number, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    order = permutation(stream(seed, "teacher/folds", split), len(y))
    order = order[first[number[order]] == order]
    order = order[np.lexsort((-sizes[number[order]], y[order]))]
    fold = np.empty(len(first), dtype=np.int64)
    fold[number[order]] = np.arange(len(order)) % count
    return fold[number]


def folds(dataset, count, seed):
    """(S, n) int64: of the labelled training rows of each split their fold, 0 to count - 1, of all other rows `count`.

    The rows with the number k are for a model that is fitted on the labelled training rows whose number is not k.
    Equal rows have equal numbers.
    """
    result, groups = np.full(dataset.assignment.shape, count, dtype=np.int64), equal_rows(dataset.x)
    for split, own in enumerate(result):
        labeled = dataset.labeled(split)
        of_labeled = None if groups is None else groups[labeled]
        own[labeled] = fold_of(dataset.y[labeled], count, seed, split, of_labeled)
    return result


def fitted_on(fold, k, count):
    """Indices of the rows that the model is fitted on which answers those of the number k."""
    return np.flatnonzero((fold != k) & (fold != count))
