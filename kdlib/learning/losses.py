"""Losses on logits, each with its gradient by the student's logits.

Every loss is in nats and per example, (R, n, classes) -> (R, n); nothing is averaged here. `arithmetic` is an object
of `kdlib.backends.arithmetic`. Arrays that end in `classes` broadcast over the replicas; a temperature is a number, or
one for each replica, (R, 1, 1).

Where the formulas depart from the papers:
- `kd_divergence`: KL where Hinton et al. (2015) have a cross-entropy, which differs by the entropy of the soft targets
  and has the same gradient. Hinton et al. advise the factor T^2, the equations of Zhao et al. (2022) lack it and their
  released code has it: `objectives` multiplies `kd_divergence` and `dkd_divergence` by it.
- `logit_mse`: the sum over the classes is divided by 2 classes, so that it is the limit of T^2 KL and alpha weighs it
  as it weighs KL. Ba and Caruana (2014), equation 1, divide it by 2.
- `standardize`: the population std (divisor: classes), as in the paper of Sun et al. (2024); their released code has
  the unbiased one (classes - 1), and adds 1e-7 to it. Constant logits become zeros here.
"""

from dataclasses import dataclass

import numpy as np

from kdlib.backends import numpy_backend, selection


def softmax(logits, arithmetic, temperature=None):
    """exp(z_i / T) / sum_j exp(z_j / T), T = 1 if None. logits: (..., classes) -> probabilities of the same shape.

    Reference: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015), equation 1.
    """
    return numpy_backend.softmax(logits, temperature, arithmetic)


def log_softmax(logits, arithmetic, temperature=None):
    """log(softmax(logits / T)), without overflow. logits: (..., classes) -> the same shape."""
    shifted, total = selection.current.shifted(logits, temperature, arithmetic)
    return shifted - arithmetic.log(total)


def _log_or_zero(p, arithmetic):
    """log p, and 0 where p = 0, as p log p has the limit 0."""
    return arithmetic.log(np.where(p > 0, p, 1))


def cross_entropy(logits, targets, arithmetic):
    """- sum_i t_i log p_i. targets: (R, n, classes), distributions, one-hot rows for plain labels."""
    return -arithmetic.sum(targets * log_softmax(logits, arithmetic), axis=-1)


def cross_entropy_gradient(logits, targets, arithmetic):
    """p - t."""
    return arithmetic.softmax_gradient(logits, targets)


def smooth_labels(one_hot, epsilon):
    """(1 - epsilon) one_hot + epsilon / classes. Szegedy et al., "Rethinking the Inception Architecture" (2016), 7."""
    return (1 - epsilon) * one_hot + epsilon / one_hot.shape[-1]


def kd_divergence(logits_student, soft_targets, temperature, arithmetic):
    """KL(teacher_T || student_T). soft_targets: the teacher's softmax at this temperature, (R, n, classes)."""
    log_student = log_softmax(logits_student, arithmetic, temperature)
    return arithmetic.sum(soft_targets * (_log_or_zero(soft_targets, arithmetic) - log_student), axis=-1)


def kd_gradient(logits_student, soft_targets, temperature, arithmetic):
    """(student_T - teacher_T) / T. Hinton et al. (2015), equation 2: without T^2 it shrinks as 1 / T^2."""
    return arithmetic.softmax_gradient(logits_student, soft_targets, temperature)


def logit_mse(logits_student, logits_teacher, arithmetic):
    """sum_i (z_i - v_i)^2 / (2 classes): the limit of T^2 KL for high T where both logits have mean zero.

    Reference: Ba and Caruana, "Do Deep Nets Really Need to be Deep?" (2014), section 2.2.
    """
    difference = logits_student - logits_teacher
    return arithmetic.sum(difference * difference, axis=-1) / (2 * difference.shape[-1])


def logit_mse_gradient(logits_student, logits_teacher):
    """(z - v) / classes."""
    return (logits_student - logits_teacher) / logits_student.shape[-1]


def _decouple(logits, one_hot, temperature, arithmetic):
    """(log b, log q): the label's class against the rest (..., 2), and the classes within the rest, -inf at the label.

    logits: (..., classes) with one label each.
    """
    label = one_hot > 0
    rest = np.where(label, -np.inf, logits)
    top = np.maximum.reduce(rest, axis=-1, keepdims=True)
    log_rest = arithmetic.log(arithmetic.unit_sum(arithmetic.exp((rest - top) / temperature)))
    of_label = np.maximum.reduce(np.where(label, logits, -np.inf), axis=-1, keepdims=True)
    pair = np.concatenate([(of_label - top) / temperature, log_rest], axis=-1)
    return log_softmax(pair, arithmetic), (rest - top) / temperature - log_rest


def dkd_divergence(logits_student, one_hot, logits_teacher, temperature, beta, arithmetic):
    """TCKD + beta NCKD: KL over {label, rest}, and over the classes within the rest. With one hot row per example.

    With beta = 1 - teacher_T(label), example by example, it is KL(teacher_T || student_T).
    Reference: Zhao et al., "Decoupled Knowledge Distillation" (2022), equation 7.
    """
    log_b, log_q = _decouple(logits_student, one_hot, temperature, arithmetic)
    log_b_teacher, log_q_teacher = _decouple(logits_teacher, one_hot, temperature, arithmetic)
    tckd = arithmetic.sum(arithmetic.exp(log_b_teacher) * (log_b_teacher - log_b), axis=-1)
    among = np.isfinite(log_q_teacher)
    difference = np.where(among, log_q_teacher, 0) - np.where(among, log_q, 0)
    return tckd + beta * arithmetic.sum(arithmetic.exp(log_q_teacher) * difference, axis=-1)


def dkd_gradient(logits_student, one_hot, logits_teacher, temperature, beta, arithmetic):
    """At the label (b - b') / T, elsewhere (q (b' - b) + beta (q - q')) / T; the teacher's are marked '."""
    log_b, log_q = _decouple(logits_student, one_hot, temperature, arithmetic)
    log_b_teacher, log_q_teacher = _decouple(logits_teacher, one_hot, temperature, arithmetic)
    b, q = arithmetic.exp(log_b[..., :1]), arithmetic.exp(log_q)
    b_teacher, q_teacher = arithmetic.exp(log_b_teacher[..., :1]), arithmetic.exp(log_q_teacher)
    return ((one_hot - q) * (b - b_teacher) + beta * (q - q_teacher)) / temperature


def standardize(logits, arithmetic):
    """(z - mean) / std over the classes, population std, and the std (..., 1).

    Where the std is at most 1e-6 of the mean's magnitude, or of 1, the logits count as constant: standardized they are
    zero, the std is infinite, and no gradient passes. A small student has such logits wherever all its units are off.
    Reference: Sun et al., "Logit Standardization in Knowledge Distillation" (2024), algorithm 1.
    """
    classes = logits.shape[-1]
    mean = arithmetic.sum(logits, axis=-1, keepdims=True) / classes
    centred = logits - mean
    deviation = np.sqrt(arithmetic.sum(centred * centred, axis=-1, keepdims=True) / classes)
    constant = deviation <= np.maximum(np.abs(mean), 1) * 1e-6
    deviation = np.where(constant, deviation.dtype.type(np.inf), deviation)
    return centred / deviation, deviation


def standardize_gradient(gradient, standardized, deviation, arithmetic):
    """Gradient by z of a loss with this `gradient` by its standardized logits; zero where the std is infinite."""
    classes = gradient.shape[-1]
    mean = arithmetic.sum(gradient, axis=-1, keepdims=True) / classes
    along = arithmetic.sum(gradient * standardized, axis=-1, keepdims=True) / classes
    return (gradient - mean - standardized * along) / deviation


class SoftLoss:
    """What the student hears of the teacher: a loss of `LOSSES`, whose fields `kdlib.learning.objectives` fills.

    Logits are (R, n, classes), a temperature is (R, 1, 1) or (1, 1, 1).

    Attributes
    ----------
    times_t2 : bool
        Whether T^2 multiplies it, where that is asked for.
    needs_labels : bool
        Whether each example needs a label.
    softens : bool
        Whether `targets` are the teacher's softmax at T, and the gradient is (softmax(z / T) - targets) / T.
    """

    times_t2 = True
    needs_labels = False
    softens = False

    def value(self, logits, one_hot, targets, temperature, arithmetic):
        """Return the loss of each example, (R, n). targets: the teacher's logits, or its softmax if it `softens`."""
        raise NotImplementedError

    def gradient(self, logits, one_hot, targets, temperature, arithmetic):
        """Return the gradient by the student's logits, (R, n, classes)."""
        raise NotImplementedError


class KD(SoftLoss):
    """`kd_divergence` (Hinton et al. 2015)."""

    softens = True

    def value(self, logits, one_hot, targets, temperature, arithmetic):
        return kd_divergence(logits, targets, temperature, arithmetic)

    def gradient(self, logits, one_hot, targets, temperature, arithmetic):
        return kd_gradient(logits, targets, temperature, arithmetic)


@dataclass(frozen=True)
class DKD(SoftLoss):
    """`dkd_divergence` (Zhao et al. 2022). beta: weight of the classes other than the label's."""

    beta: float
    needs_labels = True

    def value(self, logits, one_hot, targets, temperature, arithmetic):
        return dkd_divergence(logits, one_hot, targets, temperature, self.beta, arithmetic)

    def gradient(self, logits, one_hot, targets, temperature, arithmetic):
        return dkd_gradient(logits, one_hot, targets, temperature, self.beta, arithmetic)


class LogitMSE(SoftLoss):
    """`logit_mse` (Ba and Caruana 2014), which no temperature changes."""

    times_t2 = False

    def value(self, logits, one_hot, targets, temperature, arithmetic):
        return logit_mse(logits, targets, arithmetic)

    def gradient(self, logits, one_hot, targets, temperature, arithmetic):
        return logit_mse_gradient(logits, targets)


LOSSES = {"kd": KD, "dkd": DKD, "mse": LogitMSE}
