"""Standardization of logits over the classes: mean 0 and std 1, so that a loss compares their order and shape.

Where this departs from the released code of Sun et al. (2024): the std is the population's (divisor: classes), as in
the paper; the code has the unbiased one (classes - 1), and adds 1e-7 to it. Constant logits become zeros here.
"""

import numpy as np

from kdlib.backends.arithmetic import Arithmetic

MIN_RELATIVE_STD = 1e-6  # of max(|mean|, 1): logits with a smaller std count as constant


def standardize(logits: np.ndarray, arithmetic: Arithmetic) -> tuple[np.ndarray, np.ndarray]:
    """Subtract from logits their mean over the classes and divide by their population std.

    Logits count as constant if their std is at most 1e-6 max(|mean|, 1). Then the result is zero, the std is infinite
    and no gradient passes. A new student, whose biases are still zero, has such logits
    wherever all units of its last hidden layer are off.

    Parameters
    ----------
    logits : ndarray, shape (..., classes)
    arithmetic : Arithmetic

    Returns
    -------
    standardized : ndarray, shape (..., classes)
        (z - mean) / std.
    deviation : ndarray, shape (..., 1)
        The std.

    References
    ----------
    Sun et al., "Logit Standardization in Knowledge Distillation" (2024), algorithm 1.
    """
    classes = logits.shape[-1]
    mean = arithmetic.sum(logits, axis=-1, keepdims=True) / classes
    centred = logits - mean
    deviation = np.sqrt(arithmetic.sum(centred * centred, axis=-1, keepdims=True) / classes)
    constant = deviation <= np.maximum(np.abs(mean), 1) * MIN_RELATIVE_STD
    deviation = np.where(constant, deviation.dtype.type(np.inf), deviation)
    return centred / deviation, deviation


def standardize_gradient(
    gradient: np.ndarray, standardized: np.ndarray, deviation: np.ndarray, arithmetic: Arithmetic
) -> np.ndarray:
    """Pass a gradient back through `standardize`.

    Parameters
    ----------
    gradient : ndarray, shape (..., classes)
        Gradient of a loss with respect to the standardized logits.
    standardized, deviation : ndarray
        What `standardize` returned.
    arithmetic : Arithmetic

    Returns
    -------
    ndarray, shape (..., classes)
        Gradient with respect to the logits; zero where the std is infinite.
    """
    classes = gradient.shape[-1]
    mean = arithmetic.sum(gradient, axis=-1, keepdims=True) / classes
    along = arithmetic.sum(gradient * standardized, axis=-1, keepdims=True) / classes
    return (gradient - mean - standardized * along) / deviation
