"""Objectives: a loss together with the targets of every training example.

An objective never changes. If temperature or alpha changes by the epoch (`kdlib.learning.schedules.LinearSchedule`),
`Objective.at` returns a new objective for each; the training calls it in each epoch, on every back end.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass

import numpy as np

from kdlib.backends.arithmetic import EXACT, Arithmetic
from kdlib.backends.numpy_backend import NumpyBackend
from kdlib.io.errors import UserError
from kdlib.learning import lazy_targets, losses, schedules, standardization
from kdlib.learning.arguments import BOOLEAN, FRACTION, NON_NEGATIVE, POSITIVE, Options, Several, check_arguments
from kdlib.learning.labels import as_rows
from kdlib.learning.lazy_targets import LazyTargets
from kdlib.learning.losses import LOSSES, SoftLoss
from kdlib.learning.schedules import LinearSchedule, Scheduled
from kdlib.learning.stack import expand_to_networks

Targets = tuple[np.ndarray | LazyTargets, ...]
SoftmaxTerm = tuple[int, int | None, np.ndarray, np.ndarray]

ONE = np.ones((1, 1, 1))
SETTING_CONSTRAINTS = {"temperature": (POSITIVE, Scheduled(POSITIVE)), "alpha": (FRACTION, Scheduled(FRACTION))}
CONSTRAINTS = {name: (*allowed, Several(allowed)) for name, allowed in SETTING_CONSTRAINTS.items()} | {
    "loss": (Options(LOSSES),),
    "scale_by_t2": (BOOLEAN,),
    "beta": (NON_NEGATIVE,),
    "inter_class": (NON_NEGATIVE,),
    "intra_class": (NON_NEGATIVE,),
    "standardize_logits": (BOOLEAN,),
}


def _stacked(name, targets, arithmetic):
    """Return targets as (G, n, classes) in the dtype of logits."""
    if not hasattr(targets, "shape"):
        targets = np.asarray(targets)
    if len(targets.shape) not in (2, 3):
        raise UserError(f"{name}: got the shape {targets.shape}; needs (n, classes), or (G, n, classes)")
    if isinstance(targets, np.ndarray):
        targets = targets.reshape(-1, *targets.shape[-2:])
    return lazy_targets.map_rows(targets, lambda values: values.astype(arithmetic.logits_dtype), "")


def _is_unlabeled(one_hot):
    """Return whether each row is all zeros, (G, n, 1): then the example has no label."""
    return lazy_targets.map_rows(one_hot, lambda values: values.max(axis=-1, keepdims=True) == 0, "unlabeled", width=1)


def _set(objective, **attributes):
    """Set attributes of an objective while it is made, although it is frozen."""
    for name, value in attributes.items():
        object.__setattr__(objective, name, value)


def _as_tuple(given):
    return tuple(given) if isinstance(given, list | tuple | np.ndarray) else (given,)


class Objective:
    """The base of objectives: a loss with its targets.

    A subclass sets `arithmetic` and `targets`, and defines `value` and `gradient`. `relational` is False by default.

    Attributes
    ----------
    arithmetic : Arithmetic
        `EXACT` or `FAST` of `kdlib.backends.arithmetic`. The network is trained in it too.
    targets : tuple of ndarray or LazyTargets, each of shape (G, n, ...)
        Targets of the n training examples, in the order of `kdlib.learning.stack`.
    relational : bool
        Whether the loss of an example depends on the other examples of its batch. Then `value` and `gradient` need all
        rows of one batch.
    """

    arithmetic: Arithmetic
    targets: Targets
    relational = False

    def at(self, epoch: int, epochs: int) -> "Objective":
        """Return the objective of one epoch.

        Parameters
        ----------
        epoch : int
            The first epoch is 0.
        epochs : int
            Number of epochs of the training.

        Returns
        -------
        Objective
        """
        return self

    def on(self, backend: NumpyBackend) -> "Objective":
        """Return the same objective, computed by another back end."""
        result = copy.copy(self)
        _set(result, arithmetic=self.arithmetic.on(backend))
        return result

    def value(self, logits: np.ndarray, *targets: np.ndarray) -> np.ndarray:
        """Compute the loss of each example of a batch.

        Parameters
        ----------
        logits : ndarray, shape (R, n, classes)
            The networks' logits.
        *targets : ndarray, shape (R, n, ...) or (1, n, ...)
            For each array in `targets`, the rows of this batch.

        Returns
        -------
        ndarray, shape (R, n)
            In nats.
        """
        raise NotImplementedError

    def gradient(self, logits: np.ndarray, *targets: np.ndarray) -> np.ndarray:
        """Compute the gradient of `value` with respect to the logits, shape (R, n, classes)."""
        raise NotImplementedError

    def as_softmax_terms(self, networks: int) -> list[SoftmaxTerm] | None:
        """Describe loss and gradient as sums of terms.

        z are the logits, t the targets of a term. Each term adds `weight * (softmax(z / T) - t) / T` to the gradient,
        and `weight * sum_i t_i (log t_i - log softmax_i(z / T))` to the loss. If its log_index is None, log t_i is left
        out. A back end can compute such sums without a call of `value` or `gradient`.

        Parameters
        ----------
        networks : int
            R, the number of networks.

        Returns
        -------
        list of (index, log_index, T, weight), or None
            The indices are those of t and of log t in `targets`. T and weight are
            (1, 1, 1) or (R, 1, 1). None if the loss is no such sum.
        """
        return None

    @property
    def identity(self) -> list:
        """Everything about this objective that a checkpoint has to compare."""
        names = [each.name for each in fields(self) if each.init] if is_dataclass(self) else vars(self)
        return [type(self).__name__, {name: getattr(self, name) for name in names}]


@dataclass(frozen=True, eq=False)
class CrossEntropy(Objective):
    """Cross-entropy with the labels, or with any other distributions.

    Parameters
    ----------
    labels : ndarray or LazyTargets, shape (n,), (n, classes) or (G, n, classes)
        Class numbers, or distributions: one-hot rows, or a teacher's probabilities. Each example needs a label.
    arithmetic : Arithmetic
        `EXACT` or `FAST` of `kdlib.backends.arithmetic`.

    Raises
    ------
    UserError
        If the labels have another shape; if class numbers are no integers or below 0; if a row is all zeros.

    Examples
    --------
    >>> objective = CrossEntropy(np.array([0, 1]))  # two examples: one of each class
    """

    labels: np.ndarray | LazyTargets
    arithmetic: Arithmetic = EXACT
    targets: Targets = field(init=False, repr=False)

    def __post_init__(self):
        targets = _stacked("labels", as_rows(self.labels), self.arithmetic)
        if lazy_targets.any_true(_is_unlabeled(targets)):
            raise UserError(
                "labels: got an example without one (-1, or a row of zeros); CrossEntropy needs a label for each:"
                " leave the example out, or use Distillation"
            )
        _set(self, targets=(targets,))

    def value(self, logits: np.ndarray, *targets: np.ndarray) -> np.ndarray:
        (one_hot,) = targets
        return losses.cross_entropy(logits, one_hot, self.arithmetic)

    def gradient(self, logits: np.ndarray, *targets: np.ndarray) -> np.ndarray:
        (one_hot,) = targets
        return losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)

    def as_softmax_terms(self, networks: int) -> list[SoftmaxTerm]:
        return [(0, None, ONE, ONE)]


@dataclass(frozen=True, eq=False)
class Distillation(Objective):
    """The loss `alpha * scale * soft(student, teacher) + (1 - alpha) * CE(student, labels)`.

    For an example without a label, alpha is 1. With the scale T^2 the soft part's gradient does not shrink as T grows,
    so that alpha means the same at every T.

    Parameters
    ----------
    labels : ndarray or LazyTargets, shape (n,), (n, classes) or (S, n, classes)
        Class numbers, -1 for an example without a label; or one-hot rows, a row of zeros for one without. One array
        for each of S splits if they differ.
    logits_teacher : ndarray or LazyTargets, shape (n, classes) or (S, n, classes)
        The teacher's logits for the same examples.
    arithmetic : Arithmetic
        `EXACT` or `FAST` of `kdlib.backends.arithmetic`.
    loss : str
        The soft part, a key of `kdlib.learning.losses.LOSSES`.
    temperature, alpha : float, LinearSchedule, or sequence of G of these
        One for all networks, or G in the order of `kdlib.learning.stack`. With a schedule, call `at` first: only
        the objective of one epoch has targets.
    scale_by_t2 : bool
        Whether the scale is T^2 if the loss allows it (`SoftLoss.times_t2`); otherwise the scale is 1.
    beta : float
        For dkd: the weight of the classes other than the label's.
    inter_class, intra_class : float
        For dist: the weights of the correlation over the classes of each example, and over the batch for each class.
    standardize_logits : bool
        Whether both logits are standardized in the soft part.

    Raises
    ------
    UserError
        If an argument is not allowed; if two classes are to be standardized; if dkd gets an example without a label.

    References
    ----------
    Hinton, Vinyals and Dean (2015), section 2.

    Examples
    --------
    >>> objective = Distillation(labels, logits_teacher, temperature=4.0, alpha=0.9)
    """

    labels: np.ndarray | LazyTargets
    logits_teacher: np.ndarray | LazyTargets
    arithmetic: Arithmetic = EXACT
    loss: str = "kd"
    temperature: float | LinearSchedule | Sequence = 4.0
    alpha: float | LinearSchedule | Sequence = 0.9
    scale_by_t2: bool = True
    beta: float = 8.0
    inter_class: float = 1.0
    intra_class: float = 1.0
    standardize_logits: bool = False
    targets: Targets = field(init=False, repr=False)  # without a schedule
    _unsoftened_targets: Targets = field(init=False, repr=False)  # with a schedule: for the targets of an epoch
    _soft_loss: SoftLoss = field(init=False, repr=False)
    _temperature: np.ndarray = field(init=False, repr=False)  # (G, 1, 1), as are the next two; without a schedule
    _alpha: np.ndarray = field(init=False, repr=False)
    _scale: np.ndarray = field(init=False, repr=False)
    _teacher_targets: slice = field(init=False, repr=False)  # those of `targets` that the soft loss takes

    def __post_init__(self):
        check_arguments(CONSTRAINTS, vars(self))
        kind = LOSSES[self.loss]
        _set(self, _soft_loss=kind(**{name: getattr(self, name) for name in kind.options}))
        _set(self, temperature=_as_tuple(self.temperature), alpha=_as_tuple(self.alpha))
        targets = self._stack_targets()
        if self._has_schedule():
            _set(self, _unsoftened_targets=targets)
        else:
            self._prepare(targets)

    @property
    def relational(self) -> bool:
        return self._soft_loss.relational

    def _stack_targets(self):
        """Return one-hot labels and the teacher's logits, (G, n, classes) each.

        If there are rows without a label, the third target is whether a row is one, (G, n, 1).
        """
        arithmetic = self.arithmetic
        logits = _stacked("logits_teacher", self.logits_teacher, arithmetic)
        one_hot = _stacked("labels", as_rows(self.labels, logits.shape[-1]), arithmetic)
        if one_hot.shape[1:] != logits.shape[1:]:
            raise UserError(
                f"logits_teacher: got {logits.shape[1:]} examples and classes; needs {one_hot.shape[1:]}, as labels"
            )
        if self.standardize_logits and one_hot.shape[-1] == 2:
            raise UserError(
                "distill.standardize_logits: got true with two classes, whose standardized logits are -1 and 1 whatever"
                " the network says; needs three classes or more, or false"
            )
        if self.standardize_logits:
            logits = lazy_targets.map_rows(
                logits, lambda values: standardization.standardize(values, arithmetic)[0], "standardized"
            )
        is_unlabeled = _is_unlabeled(one_hot)
        if not lazy_targets.any_true(is_unlabeled):
            return one_hot, logits
        if self._soft_loss.needs_labels:
            raise UserError(f"loss: got {self.loss!r}, and {self.loss} needs a label for each example; label all rows")
        return one_hot, logits, is_unlabeled

    def _has_schedule(self):
        settings = (*_as_tuple(self.temperature), *_as_tuple(self.alpha))
        return any(isinstance(value, LinearSchedule) for value in settings)

    def _prepare(self, targets):
        """Set what `value` and `gradient` need; temperatures and alphas are numbers."""
        one_hot, teacher, *unlabeled = targets
        temperature = np.array(self.temperature, np.float64)[:, None, None]
        alpha = np.array(self.alpha, np.float64)[:, None, None]
        scale = temperature * temperature if self.scale_by_t2 and self._soft_loss.times_t2 else ONE
        _set(self, _temperature=temperature, _alpha=alpha, _scale=scale)
        found = self._soften(teacher) if self._soft_loss.softens else (teacher,)
        _set(self, targets=(one_hot, *found, *unlabeled), _teacher_targets=slice(1, 1 + len(found)))

    def at(self, epoch: int, epochs: int) -> "Distillation":
        if not self._has_schedule():
            return self
        result = copy.copy(self)
        _set(result, **{name: schedules.at(getattr(self, name), epoch, epochs) for name in SETTING_CONSTRAINTS})
        result._prepare(self._unsoftened_targets)
        return result

    def _soften(self, logits):
        """Compute the teacher's softmax at each temperature, and its logarithm."""
        entries = max(len(logits), len(self._temperature))
        temperature = expand_to_networks(self._temperature, entries).astype(self.arithmetic.logits_dtype)

        def softmax(g, values):
            return losses.softmax(values, self.arithmetic, temperature[g % len(temperature)])

        if isinstance(logits, np.ndarray):
            logits = np.repeat(logits, entries // len(logits), axis=0)
            soft = losses.softmax(logits, self.arithmetic, temperature)
        else:
            soft = logits.mapped(softmax, ["softened", self._temperature], entries)
        return soft, lazy_targets.map_rows(soft, lambda p: losses.log_or_zero(p, self.arithmetic), "logarithm")

    def _parts(self, targets):
        """Return the labels, the targets of the soft loss, and [] or [whether an example has no label]."""
        return targets[0], targets[self._teacher_targets], targets[self._teacher_targets.stop :]

    def _factors(self, networks, unlabeled=None):
        """Return temperature, weight of the soft part and weight of the hard part.

        Each is (R, 1, 1), or (R, n, 1) where it depends on the example; 1 may stand in place of R.
        """
        alpha = expand_to_networks(self._alpha, networks)
        if unlabeled is not None:
            alpha = np.where(unlabeled, 1, alpha)
        soft_weight = alpha * expand_to_networks(self._scale, networks)
        hard_weight = 1 - alpha
        factors = (expand_to_networks(self._temperature, networks), soft_weight, hard_weight)
        return [factor.astype(self.arithmetic.logits_dtype) for factor in factors]

    def value(self, logits: np.ndarray, *targets: np.ndarray) -> np.ndarray:
        one_hot, teacher, unlabeled = self._parts(targets)
        temperature, soft_weight, hard_weight = self._factors(len(logits), *unlabeled)
        soft_logits = standardization.standardize(logits, self.arithmetic)[0] if self.standardize_logits else logits
        target, *log_target = teacher
        soft = self._soft_loss.value(soft_logits, one_hot, target, temperature, self.arithmetic, *log_target)
        hard = losses.cross_entropy(logits, one_hot, self.arithmetic)
        return soft_weight[..., 0] * soft + hard_weight[..., 0] * hard

    def as_softmax_terms(self, networks: int) -> list[SoftmaxTerm] | None:
        if not self._soft_loss.softens or self.standardize_logits or self._parts(self.targets)[2]:
            return None
        if not self._alpha.any():
            return [(0, None, ONE, ONE)]
        temperature, soft_weight, hard_weight = self._factors(networks)
        soft = (1, 2, temperature, soft_weight)
        hard = (0, None, ONE, hard_weight)
        return [soft, hard] if hard_weight.any() else [soft]

    def gradient(self, logits: np.ndarray, *targets: np.ndarray) -> np.ndarray:
        one_hot, teacher, unlabeled = self._parts(targets)
        if not unlabeled and not self._alpha.any():
            return losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)
        temperature, soft_weight, hard_weight = self._factors(len(logits), *unlabeled)
        weight = [soft_weight] if self.relational else []
        arguments = one_hot, teacher[0], temperature, self.arithmetic, *weight
        if self.standardize_logits:
            standardized, deviation = standardization.standardize(logits, self.arithmetic)
            result = self._soft_loss.gradient(standardized, *arguments)
            result = standardization.standardize_gradient(result, standardized, deviation, self.arithmetic)
        else:
            result = self._soft_loss.gradient(logits, *arguments)
        if not self.relational:
            result *= soft_weight
        if hard_weight.any():
            hard = losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)
            hard *= hard_weight
            result += hard
        return result
