"""The relational loss `dist`: student and teacher agree where their softmaxes correlate, over classes and over a batch.

Where the formulas depart from the paper:
- `inter_class` and `intra_class` are the paper's beta and gamma. There the loss of the labels has the weight 1, here it
  has 1 - alpha, see `kdlib.learning.objectives.Distillation`.
- The released code multiplies by T^2, the paper does not, and neither does this: for large T a correlation of softmaxes
  is one of logits, whose gradient does not shrink as T grows.
- Where one of both is constant (a std of at most 1e-6), the correlation is 0 and no gradient passes. The released code
  adds 1e-8 to the product of the norms.

1 - r is computed as half the mean squared difference of standardized numbers. So it is never negative, and where both
are equal it and its gradient are exactly zero.
"""

import numpy as np

from kdlib.backends import numpy_backend
from kdlib.backends.arithmetic import Arithmetic
from kdlib.learning.standardization import standardize, standardize_gradient


def _standardized(student, teacher, arithmetic):
    """Standardize both over the last axis; the student's std is infinite where one of both is constant."""
    student, deviation = standardize(student, arithmetic)
    teacher, deviation_teacher = standardize(teacher, arithmetic)
    infinite = deviation.dtype.type(np.inf)
    return student, teacher, np.where(np.isinf(deviation_teacher), infinite, deviation)


def correlation_distance(student: np.ndarray, teacher: np.ndarray, arithmetic: Arithmetic) -> np.ndarray:
    """Compute 1 - r with Pearson's correlation r over the last axis.

    Parameters
    ----------
    student, teacher : ndarray, shape (..., k)
        Probabilities.
    arithmetic : Arithmetic

    Returns
    -------
    ndarray, shape (...)
        In [0, 2]; 1 where one of both is constant.
    """
    student, teacher, deviation = _standardized(student, teacher, arithmetic)
    difference = student - teacher
    distance = arithmetic.sum(difference * difference, axis=-1) / (2 * student.shape[-1])
    return np.where(np.isinf(deviation[..., 0]), distance.dtype.type(1), distance)


def correlation_distance_gradient(student: np.ndarray, teacher: np.ndarray, arithmetic: Arithmetic) -> np.ndarray:
    """Compute the gradient of `correlation_distance` with respect to `student`; 0 where one of both is constant."""
    student, teacher, deviation = _standardized(student, teacher, arithmetic)
    return standardize_gradient((student - teacher) / student.shape[-1], student, deviation, arithmetic)


def _softmaxes(logits_student, logits_teacher, temperature, arithmetic):
    """Return both softmaxes at T, (R, n, classes) each."""
    logits = logits_student, np.broadcast_to(logits_teacher, logits_student.shape)
    return [numpy_backend.softmax(each, temperature, arithmetic) for each in logits]


def dist_loss(
    logits_student: np.ndarray,
    logits_teacher: np.ndarray,
    temperature: float | np.ndarray,
    inter_class: float,
    intra_class: float,
    arithmetic: Arithmetic,
) -> np.ndarray:
    """Compute the loss of each example of one batch.

    It is `inter_class` (1 - r over the classes of the example) + `intra_class` (the mean over the classes of 1 - r over
    the batch). The second part is the same for all examples of the batch.

    Parameters
    ----------
    logits_student : ndarray, shape (R, n, classes)
    logits_teacher : ndarray, shape (R, n, classes)
    temperature : float or ndarray, shape (R, 1, 1)
        Of both softmaxes.
    inter_class, intra_class : float
        beta and gamma of the paper.
    arithmetic : Arithmetic

    Returns
    -------
    ndarray, shape (R, n)

    References
    ----------
    Huang et al., "Knowledge Distillation from A Stronger Teacher" (2022).
    """
    student, teacher = _softmaxes(logits_student, logits_teacher, temperature, arithmetic)
    of_examples = correlation_distance(student, teacher, arithmetic)
    of_classes = correlation_distance(np.swapaxes(student, 1, 2), np.swapaxes(teacher, 1, 2), arithmetic)
    of_batch = arithmetic.sum(of_classes, axis=-1, keepdims=True) / of_classes.shape[-1]
    return inter_class * of_examples + intra_class * of_batch


def dist_gradient(
    logits_student: np.ndarray,
    logits_teacher: np.ndarray,
    temperature: float | np.ndarray,
    inter_class: float,
    intra_class: float,
    weight: float | np.ndarray,
    arithmetic: Arithmetic,
) -> np.ndarray:
    """Compute the gradient of the sum of weight * `dist_loss` over the batch.

    Parameters
    ----------
    logits_student, logits_teacher, temperature, inter_class, intra_class
        As for `dist_loss`.
    weight : float or ndarray, shape (R, n, 1) or (R, 1, 1)
        Of each example.
    arithmetic : Arithmetic

    Returns
    -------
    ndarray, shape (R, n, classes)
    """
    student, teacher = _softmaxes(logits_student, logits_teacher, temperature, arithmetic)
    of_examples = correlation_distance_gradient(student, teacher, arithmetic)
    of_classes = correlation_distance_gradient(np.swapaxes(student, 1, 2), np.swapaxes(teacher, 1, 2), arithmetic)
    of_each = np.broadcast_to(weight, (*student.shape[:2], 1))
    of_batch = arithmetic.sum(of_each, axis=1, keepdims=True) * intra_class / student.shape[-1]
    gradient = inter_class * weight * of_examples + of_batch * np.swapaxes(of_classes, 1, 2)
    along = arithmetic.sum(gradient * student, axis=-1, keepdims=True)
    return student * (gradient - along) / temperature
