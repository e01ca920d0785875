"""Which rows of a split a teacher may be asked about once it is fitted on others.

What a forest says of the rows that it was grown on is nearly their labels: a student learns nothing from it. So the
training rows are answered out of fold (stacking's rule: Wolpert, "Stacked Generalization" (1992)).
"""

import numpy as np

from kdlib.numerics.streams import permutation, stream


def fold_of(y, count, seed, split=0):
    """(n,) int64 in 0 to count - 1, each class spread over all folds as evenly as can be. y: (n,) classes."""
    order = permutation(stream(seed, "teacher/folds", split), len(y))
    order = order[np.argsort(y[order], kind="stable")]
    fold = np.empty(len(y), dtype=np.int64)
    fold[order] = np.arange(len(y)) % count
    return fold


def folds(dataset, count, seed):
    """(S, n) int64: of the labelled training rows of each split their fold, 0 to count - 1, of all other rows `count`.

    The rows with the number k are for a model that is fitted on the labelled training rows whose number is not k.
    """
    result = np.full(dataset.assignment.shape, count, dtype=np.int64)
    for split, own in enumerate(result):
        labeled = dataset.labeled(split)
        own[labeled] = fold_of(dataset.y[labeled], count, seed, split)
    return result


def fitted_on(fold, k, count):
    """Indices of the rows that the model is fitted on which answers those of the number k."""
    return np.flatnonzero((fold != k) & (fold != count))
