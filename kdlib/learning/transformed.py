"""The loss `wttm`, weighted transformed teacher matching: the student at T = 1 learns the teacher's softmax at T.

Zheng and Yang transform the teacher's probabilities p to p^gamma / U with the power sum U = sum_i p_i^gamma. With
gamma = 1 / T this is the softmax at T. U, between 1 and classes^(1 - 1 / T) for T >= 1, weighs each example: the less
certain the teacher, the more. There is no T^2.
"""

import numpy as np

from kdlib.backends import numpy_backend
from kdlib.backends.arithmetic import Arithmetic


def power_sum(logits: np.ndarray, temperature: float | np.ndarray, arithmetic: Arithmetic) -> np.ndarray:
    """Compute sum_i p_i^(1 / T) with p = softmax(logits) at T = 1, shape (..., 1)."""
    log_p = numpy_backend.log_softmax(logits, None, arithmetic)
    return arithmetic.unit_sum(arithmetic.exp(log_p / temperature))


def _transformed(logits_student, logits_teacher, temperature, arithmetic):
    """Return U and the teacher's softmax at T, (R, n, 1) and (R, n, classes)."""
    logits = np.broadcast_to(logits_teacher, logits_student.shape)
    return power_sum(logits, temperature, arithmetic), numpy_backend.softmax(logits, temperature, arithmetic)


def wttm_divergence(
    logits_student: np.ndarray, logits_teacher: np.ndarray, temperature: float | np.ndarray, arithmetic: Arithmetic
) -> np.ndarray:
    """Compute U KL(teacher_T || student) of each example.

    Parameters
    ----------
    logits_student : ndarray, shape (R, n, classes)
    logits_teacher : ndarray, shape (R, n, classes)
    temperature : float or ndarray, shape (R, 1, 1)
        Of the teacher's softmax alone.
    arithmetic : Arithmetic

    Returns
    -------
    ndarray, shape (R, n)
        In nats, times U.

    References
    ----------
    Zheng and Yang, "Knowledge Distillation Based on Transformed Teacher Matching" (2024), section 4.
    """
    weight, targets = _transformed(logits_student, logits_teacher, temperature, arithmetic)
    log_targets = arithmetic.log(np.where(targets > 0, targets, 1))
    return weight[..., 0] * arithmetic.divergence(logits_student, targets, log_targets)


def wttm_gradient(
    logits_student: np.ndarray, logits_teacher: np.ndarray, temperature: float | np.ndarray, arithmetic: Arithmetic
) -> np.ndarray:
    """Compute the gradient U (student - teacher_T) of `wttm_divergence`, shape (R, n, classes)."""
    weight, targets = _transformed(logits_student, logits_teacher, temperature, arithmetic)
    return weight * arithmetic.softmax_gradient(logits_student, targets)
