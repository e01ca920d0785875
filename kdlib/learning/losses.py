"""Losses on logits, each with its gradient with respect to the student's logits.

Every loss is in nats and per example: (R, n, classes) -> (R, n), and nothing is averaged here. R is the number of
networks in a stack (`kdlib.learning.stack`). `arithmetic` is `EXACT` or `FAST` of `kdlib.backends.arithmetic`.
Arguments may have 1 in place of R; then all networks share them.

Where the formulas depart from the papers:
- `kd_divergence`: KL where Hinton et al. (2015) have a cross-entropy, which differs by the entropy of the soft targets
  and has the same gradient. Hinton et al. advise the factor T^2, the equations of Zhao et al. (2022) lack it and their
  released code has it: `kdlib.learning.objectives.Distillation` multiplies `kd_divergence` and `dkd_divergence` by it.
- `logit_mse`: the sum over the K classes is divided by 2 K, so that it is the limit of T^2 KL and alpha weighs it as it
  weighs KL. Ba and Caruana (2014), equation 1, divide it by 2.
- `wttm` and `dist` are in `kdlib.learning.transformed` and `kdlib.learning.relational`, which say the same of them.
"""

from dataclasses import dataclass

import numpy as np

from kdlib.backends import numpy_backend
from kdlib.backends.arithmetic import Arithmetic
from kdlib.learning.relational import dist_gradient, dist_loss
from kdlib.learning.transformed import wttm_divergence, wttm_gradient

Temperature = float | np.ndarray  # one number, or one for each network, (R, 1, 1)


def softmax(logits: np.ndarray, arithmetic: Arithmetic, temperature: Temperature | None = None) -> np.ndarray:
    """Compute class probabilities exp(z_i / T) / sum_j exp(z_j / T).

    Parameters
    ----------
    logits : ndarray, shape (..., classes)
    arithmetic : Arithmetic
    temperature : float or ndarray, optional
        T; without it T = 1.

    Returns
    -------
    ndarray, shape (..., classes)

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), equation 1.
    """
    return numpy_backend.softmax(logits, temperature, arithmetic)


def log_softmax(logits: np.ndarray, arithmetic: Arithmetic, temperature: Temperature | None = None) -> np.ndarray:
    """Compute log(softmax(logits / T)) without overflow; the parameters are those of `softmax`."""
    return numpy_backend.log_softmax(logits, temperature, arithmetic)


def log_or_zero(p: np.ndarray, arithmetic: Arithmetic) -> np.ndarray:
    """Compute log p, and 0 where p = 0, as p log p has the limit 0."""
    return arithmetic.log(np.where(p > 0, p, 1))


def cross_entropy(logits: np.ndarray, targets: np.ndarray, arithmetic: Arithmetic) -> np.ndarray:
    """Compute the cross-entropy - sum_i t_i log p_i of each example.

    Parameters
    ----------
    logits : ndarray, shape (R, n, classes)
    targets : ndarray, shape (R, n, classes)
        Distributions over the classes; one-hot rows for plain labels.
    arithmetic : Arithmetic

    Returns
    -------
    ndarray, shape (R, n)
        In nats.
    """
    return arithmetic.divergence(logits, targets)


def cross_entropy_gradient(logits: np.ndarray, targets: np.ndarray, arithmetic: Arithmetic) -> np.ndarray:
    """Compute the gradient p - t of `cross_entropy`, shape (R, n, classes)."""
    return arithmetic.softmax_gradient(logits, targets)


def kd_divergence(
    logits_student: np.ndarray,
    soft_targets: np.ndarray,
    temperature: Temperature,
    arithmetic: Arithmetic,
    log_targets: np.ndarray | None = None,
) -> np.ndarray:
    """Compute KL(teacher_T || student_T) of each example.

    Parameters
    ----------
    logits_student : ndarray, shape (R, n, classes)
    soft_targets : ndarray, shape (R, n, classes)
        The teacher's softmax at this temperature.
    temperature : float or ndarray, shape (R, 1, 1)
    arithmetic : Arithmetic
    log_targets : ndarray, shape (R, n, classes), optional
        `log_or_zero` of the soft targets, if it is known.

    Returns
    -------
    ndarray, shape (R, n)
        In nats, without the factor T^2.

    References
    ----------
    Hinton, Vinyals and Dean (2015), section 2; see the head of this module for the difference.
    """
    if log_targets is None:
        log_targets = log_or_zero(soft_targets, arithmetic)
    return arithmetic.divergence(logits_student, soft_targets, log_targets, temperature)


def kd_gradient(
    logits_student: np.ndarray, soft_targets: np.ndarray, temperature: Temperature, arithmetic: Arithmetic
) -> np.ndarray:
    """Compute the gradient (student_T - teacher_T) / T of `kd_divergence`, shape (R, n, classes).

    Without the factor T^2 it shrinks as 1 / T^2.

    References
    ----------
    Hinton, Vinyals and Dean (2015), equation 2.
    """
    return arithmetic.softmax_gradient(logits_student, soft_targets, temperature)


def logit_mse(logits_student: np.ndarray, logits_teacher: np.ndarray, arithmetic: Arithmetic) -> np.ndarray:
    """Compute sum_i (z_i - v_i)^2 / (2 K) of each example, with K classes; shape (R, n).

    It is the limit of T^2 KL for high T if both logits have mean zero.

    References
    ----------
    Ba and Caruana, "Do Deep Nets Really Need to be Deep?" (2014), section 2.2.
    """
    difference = logits_student - logits_teacher
    return arithmetic.sum(difference * difference, axis=-1) / (2 * difference.shape[-1])


def logit_mse_gradient(logits_student: np.ndarray, logits_teacher: np.ndarray) -> np.ndarray:
    """Compute the gradient (z - v) / K of `logit_mse`, with K classes; shape (R, n, classes)."""
    return (logits_student - logits_teacher) / logits_student.shape[-1]


def _decouple(logits, one_hot, temperature, arithmetic):
    """Split the softmax at T into two distributions; each row of `one_hot` needs one label.

    Return log b, (..., 2): log-probabilities of the label and of all other classes together; and log q, (..., classes):
    those of each other class, given that it is not the label (-inf at the label).
    """
    is_label = one_hot > 0
    other_logits = np.where(is_label, -np.inf, logits)
    top = np.maximum.reduce(other_logits, axis=-1, keepdims=True)
    log_rest = arithmetic.log(arithmetic.unit_sum(arithmetic.exp((other_logits - top) / temperature)))
    label_logit = np.maximum.reduce(np.where(is_label, logits, -np.inf), axis=-1, keepdims=True)
    pair = np.concatenate([(label_logit - top) / temperature, log_rest], axis=-1)
    return log_softmax(pair, arithmetic), (other_logits - top) / temperature - log_rest


def dkd_divergence(
    logits_student: np.ndarray,
    one_hot: np.ndarray,
    logits_teacher: np.ndarray,
    temperature: Temperature,
    beta: float,
    arithmetic: Arithmetic,
) -> np.ndarray:
    """Compute decoupled distillation, TCKD + beta NCKD, of each example.

    TCKD is the KL over the two events {label, rest}; NCKD is the KL over the classes within the rest. With
    beta = 1 - teacher_T(label), example by example, the sum is KL(teacher_T || student_T).

    Parameters
    ----------
    logits_student : ndarray, shape (R, n, classes)
    one_hot : ndarray, shape (R, n, classes)
        One label for each example.
    logits_teacher : ndarray, shape (R, n, classes)
    temperature : float or ndarray, shape (R, 1, 1)
    beta : float
        Weight of the classes other than the label's.
    arithmetic : Arithmetic

    Returns
    -------
    ndarray, shape (R, n)
        In nats, without the factor T^2.

    References
    ----------
    Zhao et al., "Decoupled Knowledge Distillation" (2022), equation 7.
    """
    log_b, log_q = _decouple(logits_student, one_hot, temperature, arithmetic)
    log_b_teacher, log_q_teacher = _decouple(logits_teacher, one_hot, temperature, arithmetic)
    tckd = arithmetic.sum(arithmetic.exp(log_b_teacher) * (log_b_teacher - log_b), axis=-1)
    in_rest = np.isfinite(log_q_teacher)
    difference = np.where(in_rest, log_q_teacher, 0) - np.where(in_rest, log_q, 0)
    return tckd + beta * arithmetic.sum(arithmetic.exp(log_q_teacher) * difference, axis=-1)


def dkd_gradient(
    logits_student: np.ndarray,
    one_hot: np.ndarray,
    logits_teacher: np.ndarray,
    temperature: Temperature,
    beta: float,
    arithmetic: Arithmetic,
) -> np.ndarray:
    """Compute the gradient of `dkd_divergence`, shape (R, n, classes); the parameters are the same.

    Let b be the label's probability, q the probability of each other class given that it is not the label, and b' and
    q' those of the teacher. At the label the gradient is (b - b') / T, elsewhere (q (b' - b) + beta (q - q')) / T.
    """
    log_b, log_q = _decouple(logits_student, one_hot, temperature, arithmetic)
    log_b_teacher, log_q_teacher = _decouple(logits_teacher, one_hot, temperature, arithmetic)
    b = arithmetic.exp(log_b[..., :1])
    q = arithmetic.exp(log_q)
    b_teacher = arithmetic.exp(log_b_teacher[..., :1])
    q_teacher = arithmetic.exp(log_q_teacher)
    return ((one_hot - q) * (b - b_teacher) + beta * (q - q_teacher)) / temperature


class SoftLoss:
    """The base of losses between student and teacher.

    A subclass in `LOSSES` is a loss that `kdlib.learning.objectives.Distillation` can use.

    Attributes
    ----------
    options : tuple of str
        Names of the `Distillation` fields that the constructor takes.
    times_t2 : bool
        Whether the loss is multiplied by T^2 if the objective asks for that.
    needs_labels : bool
        Whether each example needs a label.
    softens : bool
        Whether `targets` are the teacher's softmax at T, and the loss is the KL divergence from them to the student's
        softmax at T. Then compiled loops compute its value and gradient themselves.
    relational : bool
        Whether the loss of an example depends on the other examples of its batch. Then `value` gets all rows of one
        batch, and `gradient` too.
    """

    options: tuple[str, ...] = ()
    times_t2 = True
    needs_labels = False
    softens = False
    relational = False

    def value(
        self,
        logits: np.ndarray,
        one_hot: np.ndarray,
        targets: np.ndarray,
        temperature: np.ndarray,
        arithmetic: Arithmetic,
        log_targets: np.ndarray | None = None,
    ) -> np.ndarray:
        """Compute the loss of each example.

        Parameters
        ----------
        logits : ndarray, shape (R, n, classes)
            The student's.
        one_hot : ndarray, shape (R, n, classes)
            The labels.
        targets : ndarray, shape (R, n, classes)
            The teacher's logits, or its softmax at T if the loss `softens`.
        temperature : ndarray, shape (R, 1, 1) or (1, 1, 1)
        arithmetic : Arithmetic
        log_targets : ndarray, shape (R, n, classes), optional
            `log_or_zero` of the targets. It is given only if the loss `softens`.

        Returns
        -------
        ndarray, shape (R, n)
            In nats.
        """
        raise NotImplementedError

    def gradient(
        self,
        logits: np.ndarray,
        one_hot: np.ndarray,
        targets: np.ndarray,
        temperature: np.ndarray,
        arithmetic: Arithmetic,
        weight: float | np.ndarray = 1.0,
    ) -> np.ndarray:
        """Compute the gradient of `value` with respect to the student's logits, shape (R, n, classes).

        If the loss is `relational`, it is the gradient of the sum of weight * value over the batch, with a weight
        (R, n, 1) or (R, 1, 1). Other losses ignore the weight, and their gradient is weighed afterwards.
        """
        raise NotImplementedError


class KD(SoftLoss):
    """The loss `kd_divergence` (Hinton et al. 2015)."""

    softens = True

    def value(self, logits, one_hot, targets, temperature, arithmetic, log_targets=None):
        return kd_divergence(logits, targets, temperature, arithmetic, log_targets)

    def gradient(self, logits, one_hot, targets, temperature, arithmetic, weight=1.0):
        return kd_gradient(logits, targets, temperature, arithmetic)


@dataclass(frozen=True)
class DKD(SoftLoss):
    """The loss `dkd_divergence` (Zhao et al. 2022).

    Parameters
    ----------
    beta : float
        Weight of the classes other than the label's.
    """

    beta: float
    options = ("beta",)
    needs_labels = True

    def value(self, logits, one_hot, targets, temperature, arithmetic, log_targets=None):
        return dkd_divergence(logits, one_hot, targets, temperature, self.beta, arithmetic)

    def gradient(self, logits, one_hot, targets, temperature, arithmetic, weight=1.0):
        return dkd_gradient(logits, one_hot, targets, temperature, self.beta, arithmetic)


class LogitMSE(SoftLoss):
    """The loss `logit_mse` (Ba and Caruana 2014), which no temperature changes."""

    times_t2 = False

    def value(self, logits, one_hot, targets, temperature, arithmetic, log_targets=None):
        return logit_mse(logits, targets, arithmetic)

    def gradient(self, logits, one_hot, targets, temperature, arithmetic, weight=1.0):
        return logit_mse_gradient(logits, targets)


class WTTM(SoftLoss):
    """The loss `wttm_divergence` (Zheng and Yang 2024)."""

    times_t2 = False

    def value(self, logits, one_hot, targets, temperature, arithmetic, log_targets=None):
        return wttm_divergence(logits, targets, temperature, arithmetic)

    def gradient(self, logits, one_hot, targets, temperature, arithmetic, weight=1.0):
        return wttm_gradient(logits, targets, temperature, arithmetic)


@dataclass(frozen=True)
class DIST(SoftLoss):
    """The loss `dist_loss` (Huang et al. 2022).

    Parameters
    ----------
    inter_class : float
        Weight of the correlation over the classes of each example.
    intra_class : float
        Weight of the correlation over the batch, for each class.
    """

    inter_class: float
    intra_class: float
    options = ("inter_class", "intra_class")
    times_t2 = False
    relational = True

    def value(self, logits, one_hot, targets, temperature, arithmetic, log_targets=None):
        return dist_loss(logits, targets, temperature, self.inter_class, self.intra_class, arithmetic)

    def gradient(self, logits, one_hot, targets, temperature, arithmetic, weight=1.0):
        return dist_gradient(logits, targets, temperature, self.inter_class, self.intra_class, weight, arithmetic)


LOSSES: dict[str, type[SoftLoss]] = {"kd": KD, "dkd": DKD, "mse": LogitMSE, "wttm": WTTM, "dist": DIST}
