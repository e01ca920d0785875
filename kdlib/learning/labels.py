"""Labels as distributions over the classes: one-hot rows, and smoothed ones."""

from typing import TYPE_CHECKING

import numpy as np

from kdlib.io.errors import UserError

if TYPE_CHECKING:
    from kdlib.learning.lazy_targets import LazyTargets


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return one-hot rows, shape (n, classes), float64; a row of zeros for the label -1, which means no label.

    Parameters
    ----------
    labels : ndarray of int, shape (n,)
        Class numbers from 0 to classes - 1, or -1.
    classes : int

    Raises
    ------
    UserError
        If a label is no such number.

    Examples
    --------
    >>> one_hot(np.array([1, -1]), 2)
    array([[0., 1.],
           [0., 0.]])
    """
    if labels.dtype.kind not in "iu":
        raise UserError(f"labels: got {labels.dtype}; needs whole numbers, or rows of probabilities (n, classes)")
    wrong = labels[(labels < -1) | (labels >= classes)]
    if wrong.size:
        raise UserError(f"labels: got {wrong[0]}; needs class numbers from 0 to {classes - 1}, or -1 for no label")
    return (labels[:, None] == np.arange(classes)).astype(np.float64)


def as_rows(labels: "np.ndarray | LazyTargets", classes: int | None = None) -> "np.ndarray | LazyTargets":
    """Return class numbers (n,) as one-hot rows, and anything else as it is.

    Parameters
    ----------
    labels : ndarray or LazyTargets, shape (n,), (n, classes) or (G, n, classes)
    classes : int, optional
        Default: one more than the largest number.
    """
    if hasattr(labels, "shape") and len(labels.shape) != 1:
        return labels
    numbers = np.asarray(labels)
    if numbers.ndim != 1:
        return numbers
    return one_hot(numbers, int(numbers.max(initial=0)) + 1 if classes is None else classes)


def smooth_labels(one_hot: np.ndarray, epsilon: float) -> np.ndarray:
    """Compute smoothed labels (1 - epsilon) one_hot + epsilon / classes, of the same shape.

    References
    ----------
    Szegedy et al., "Rethinking the Inception Architecture" (2016), section 7.

    Examples
    --------
    >>> smooth_labels(np.array([0.0, 1.0]), 0.2)
    array([0.1, 0.9])
    """
    return (1 - epsilon) * one_hot + epsilon / one_hot.shape[-1]
