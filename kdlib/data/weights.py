"""Weights of examples in the losses: those of their classes times their own."""

from collections.abc import Mapping, Sequence

import numpy as np

from kdlib.io.errors import UserError
from kdlib.numerics import exact

BALANCED = "balanced"
MAX_WEIGHT = 1e100  # products of two weights and their sums are finite
MIN_SUM = 1e-100  # the number of rows divided by it is finite


def weights_of_classes(class_weight: Mapping, classes: Sequence, key: str) -> np.ndarray:
    """Return the weight of each class, shape (classes,); a class that the mapping lacks has the weight 1.

    Parameters
    ----------
    class_weight : mapping of class to number
    classes : sequence
        The classes in their order.
    key : str
        Name of the mapping in messages.

    Raises
    ------
    UserError
        If the mapping has another class, or a weight is no number from 0 to MAX_WEIGHT.
    """
    known = list(classes)
    for name, weight in class_weight.items():
        if name not in known:
            raise UserError(f"{key}: got the class {name!r}; the classes are {', '.join(map(str, known))}")
        number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
        if not number or not 0 <= weight <= MAX_WEIGHT:
            raise UserError(f"{key}: got {weight!r} for {name}; needs a number from 0 to {MAX_WEIGHT:g}")
    return np.array([class_weight.get(name, 1) for name in known], np.float64)


def class_factors(
    labels: np.ndarray, classes: int, class_weight: np.ndarray | str | None, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the factor of each class with which the labelled training rows have the mean weight 1.

    The weight of a row is the factor of its class times the row's own weight.

    Parameters
    ----------
    labels : int array, shape (n,)
        Classes of the labelled training rows.
    classes : int
    class_weight : array (classes,), "balanced" or None
        With "balanced" the weight of a class is n / (number of occurring classes * rows of the class). None: 1.
    weights : float64 array, shape (n,), optional
        The rows' own weights; None: 1.

    Returns
    -------
    float64, shape (classes + 1,)
        The last is the factor of a row without a label: its class counts as one of mean weight.

    Raises
    ------
    UserError
        If the weights sum to zero.

    Examples
    --------
    >>> class_factors(np.array([0, 0, 0, 1]), 2, np.array([1.0, 5.0]))
    array([0.5, 2.5, 1. ])
    """
    n = len(labels)
    of_classes = np.ones(classes) if class_weight is None else class_weight
    if isinstance(of_classes, str):
        counts = np.bincount(labels, minlength=classes)
        of_classes = n / (np.count_nonzero(counts) * np.maximum(counts, 1))
    weights = np.ones(n) if weights is None else weights
    sums = exact.sum(np.stack([of_classes[labels] * weights, weights]), axis=1)
    if not (sums > MIN_SUM).all():
        raise UserError("no row has a weight above 0")
    return np.append(of_classes * (n / sums[0]), n / sums[1])


def row_weights(factors: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return the weights of rows in the losses, shape (m,), float64.

    Parameters
    ----------
    factors : array, shape (classes + 1,)
        See `class_factors`.
    labels : int array, shape (m,)
        Classes; -1 for a row without a label.
    weights : float64 array, shape (m,), or None
        The rows' own weights. NaN: the row has none, and its weight is the mean, 1.
    """
    of_labels = factors[labels]
    return of_labels if weights is None else np.where(np.isnan(weights), 1.0, of_labels * weights)


def are_weights(weights: np.ndarray) -> bool:
    """Return whether all numbers are weights: from 0 to MAX_WEIGHT."""
    return bool(((weights >= 0) & (weights <= MAX_WEIGHT)).all())
