"""What a network is trained for: a loss with the targets of every training example.

An `Objective` is frozen. What changes by the epoch follows a `kdlib.learning.schedules.LinearSchedule`: the training
asks for the objective of each epoch, whichever back end computes it.
"""

import copy
from dataclasses import dataclass, fields, is_dataclass

import numpy as np

from kdlib.io.errors import UserError
from kdlib.learning import lazy_targets, losses, schedules
from kdlib.learning.arguments import NON_NEGATIVE, POSITIVE, SHARE, TRUTH, Options, Several, check
from kdlib.learning.losses import LOSSES
from kdlib.learning.schedules import LinearSchedule, Scheduled
from kdlib.learning.stack import each

ONE = np.ones((1, 1, 1))
SETTING = {"temperature": (POSITIVE, Scheduled(POSITIVE)), "alpha": (SHARE, Scheduled(SHARE))}
CONSTRAINTS = {name: (*of, Several(of)) for name, of in SETTING.items()} | {
    "loss": (Options(LOSSES),),
    "scale_by_t2": (TRUTH,),
    "beta": (NON_NEGATIVE,),
    "standardize_logits": (TRUTH,),
}


def _stacked(name, targets, arithmetic):
    if not hasattr(targets, "shape"):
        targets = np.asarray(targets)
    if len(targets.shape) not in (2, 3):
        raise UserError(f"{name}: got the shape {targets.shape}; needs (n, classes), or (G, n, classes)")
    if isinstance(targets, np.ndarray):
        targets = targets.reshape(-1, *targets.shape[-2:])
    return lazy_targets.each(targets, lambda values: values.astype(arithmetic.logits_dtype), "")


def _listed(given):
    return tuple(given) if isinstance(given, list | tuple | np.ndarray) else (given,)


class Objective:
    """A loss with its targets.

    Attributes
    ----------
    arithmetic : type
        A class of `kdlib.backends.arithmetic`; it is the network's too.
    targets : tuple of arrays (G, n, ...)
        Of n examples, by the order of `kdlib.learning.stack`.
    """

    def at(self, epoch, epochs):
        """Return the objective of an epoch; 0 is the first of so many."""
        return self

    def value(self, logits, *targets):
        """Return the loss of each example in nats, (R, n). logits: (R, n, classes); targets: the same rows of each."""
        raise NotImplementedError

    def gradient(self, logits, *targets):
        """Return the gradient of `value` by the logits, (R, n, classes)."""
        raise NotImplementedError

    def terms(self, networks):
        """The gradient as the sum of weight (softmax - targets) / T: [(index of the targets, T, weight), ...].

        T and weight: (1, 1, 1), or (R, 1, 1) of so many networks. None: it is no such sum.
        """
        return None

    @property
    def identity(self):
        """What a checkpoint has to know of it."""
        names = [field.name for field in fields(self)] if is_dataclass(self) else vars(self)
        return [type(self).__name__, {name: getattr(self, name) for name in names}]


@dataclass(frozen=True, eq=False)
class CrossEntropy(Objective):
    """Cross-entropy with the labels, or with any other distributions.

    Parameters
    ----------
    one_hot : array (n, classes) or (G, n, classes), or of `kdlib.learning.lazy_targets`
        The distributions: one-hot rows for plain labels.
    arithmetic : type
        A class of `kdlib.backends.arithmetic`.

    Raises
    ------
    UserError
        For targets of another shape.
    """

    one_hot: object
    arithmetic: type

    def __post_init__(self):
        object.__setattr__(self, "targets", (_stacked("one_hot", self.one_hot, self.arithmetic),))

    def value(self, logits, one_hot):
        return losses.cross_entropy(logits, one_hot, self.arithmetic)

    def gradient(self, logits, one_hot):
        return losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)

    def terms(self, networks):
        return [(0, ONE, ONE)]


@dataclass(frozen=True, eq=False)
class Distillation(Objective):
    """alpha scale soft(student, teacher) + (1 - alpha) CE(student, labels), alpha = 1 for an example without a label.

    T^2 as the scale keeps the soft part's gradient from shrinking as T grows, so that alpha means the same at every T
    (Hinton, Vinyals and Dean 2015, section 2).

    Parameters
    ----------
    one_hot : array (n, classes) or (S, n, classes), or of `kdlib.learning.lazy_targets`
        The labels, of S splits; zero rows for examples without one.
    logits_teacher : array or of `kdlib.learning.lazy_targets`
        The teacher's logits of the same examples.
    arithmetic : type
        A class of `kdlib.backends.arithmetic`.
    loss : str
        The soft part, a key of `kdlib.learning.losses.LOSSES`.
    temperature, alpha : float or LinearSchedule, or a sequence of G of them
        One for all networks, or by the order of `kdlib.learning.stack`. Of one that follows a schedule `at` gives the
        objective of an epoch; itself it has no targets and no value.
    scale_by_t2 : bool
        Whether the scale is T^2, of losses to which that applies; else it is 1.
    beta : float
        Of dkd: the weight of the classes other than the label's.
    standardize_logits : bool
        Whether both logits are standardized in the soft part.

    Raises
    ------
    UserError
        For an argument that is not allowed; where two classes are to be standardized; for dkd without all labels.
    """

    one_hot: object
    logits_teacher: object
    arithmetic: type
    loss: str = "kd"
    temperature: float | LinearSchedule | tuple = 4.0
    alpha: float | LinearSchedule | tuple = 0.9
    scale_by_t2: bool = True
    beta: float = 8.0
    standardize_logits: bool = False

    def __post_init__(self):
        check(CONSTRAINTS, vars(self))
        arithmetic = self.arithmetic
        one_hot = _stacked("one_hot", self.one_hot, arithmetic)
        logits = _stacked("logits_teacher", self.logits_teacher, arithmetic)
        if one_hot.shape[1:] != logits.shape[1:]:
            raise UserError(
                f"logits_teacher: got {logits.shape[1:]} examples and classes; needs {one_hot.shape[1:]}, as one_hot"
            )
        if self.standardize_logits and one_hot.shape[-1] == 2:
            raise UserError(
                "distill.standardize_logits: got true with two classes, whose standardized logits are -1 and 1 whatever"
                " the network says; needs three classes or more, or false"
            )
        if self.standardize_logits:
            logits = lazy_targets.each(logits, lambda values: losses.standardize(values, arithmetic)[0], "standardized")
        kind = LOSSES[self.loss]
        soft = kind(**{field.name: getattr(self, field.name) for field in (fields(kind) if is_dataclass(kind) else ())})
        unlabeled = lazy_targets.each(one_hot, lambda values: values.max(axis=-1, keepdims=True) == 0, "unlabeled")
        unlabeled = (unlabeled,) if lazy_targets.anywhere(unlabeled) else ()
        if unlabeled and soft.needs_labels:
            raise UserError(f"loss: got {self.loss!r}, and {self.loss} needs a label for each example; label all rows")
        numbers = {name: _listed(getattr(self, name)) for name in SETTING}
        vars(self).update(_soft=soft, _held=(one_hot, logits, *unlabeled), **numbers)
        if not self._scheduled():
            self._settle()

    def _scheduled(self):
        return any(isinstance(value, LinearSchedule) for value in (*self.temperature, *self.alpha))

    def _settle(self):
        """Prepare the targets by temperatures and alphas that are numbers."""
        one_hot, teacher, *unlabeled = vars(self).pop("_held")
        temperature, alpha = (np.array(given, np.float64)[:, None, None] for given in (self.temperature, self.alpha))
        scale = temperature * temperature if self.scale_by_t2 and self._soft.times_t2 else ONE
        vars(self).update(_temperature=temperature, _alpha=alpha, _scale=scale)
        if self._soft.softens:
            teacher = self._softened(teacher)
        vars(self).update(targets=(one_hot, teacher, *unlabeled))

    def at(self, epoch, epochs):
        if not self._scheduled():
            return self
        now = copy.copy(self)
        vars(now).update({name: schedules.at(getattr(self, name), epoch, epochs) for name in SETTING})
        now._settle()
        return now

    def _softened(self, logits):
        """The teacher's softmax at each of the temperatures."""
        entries = max(len(logits), len(self._temperature))
        temperature = each(self._temperature, entries).astype(self.arithmetic.logits_dtype)
        if isinstance(logits, np.ndarray):
            logits = np.repeat(logits, entries // len(logits), axis=0)
            return losses.softmax(logits, self.arithmetic, temperature)

        def softmax(g, values):
            return losses.softmax(values, self.arithmetic, temperature[g % len(temperature)])

        return logits.mapped(softmax, ["softened", self._temperature], entries)

    def _factors(self, networks, unlabeled):
        """(temperature, weight of the soft part, of the hard part), (R, 1, 1) or (R, n, 1), or 1 in place of R."""
        alpha = each(self._alpha, networks)
        alpha = alpha if unlabeled is None else np.where(unlabeled, 1, alpha)
        factors = each(self._temperature, networks), alpha * each(self._scale, networks), 1 - alpha
        return [factor.astype(self.arithmetic.logits_dtype) for factor in factors]

    def value(self, logits, one_hot, teacher, unlabeled=None):
        temperature, soft_weight, hard_weight = self._factors(len(logits), unlabeled)
        soft_logits = losses.standardize(logits, self.arithmetic)[0] if self.standardize_logits else logits
        soft = self._soft.value(soft_logits, one_hot, teacher, temperature, self.arithmetic)
        hard = losses.cross_entropy(logits, one_hot, self.arithmetic)
        return soft_weight[..., 0] * soft + hard_weight[..., 0] * hard

    def terms(self, networks):
        if not self._soft.softens or self.standardize_logits or len(self.targets) > 2:
            return None
        if not self._alpha.any():
            return [(0, ONE, ONE)]
        temperature, soft_weight, hard_weight = self._factors(networks, None)
        return [(1, temperature, soft_weight), *([(0, ONE, hard_weight)] if hard_weight.any() else ())]

    def gradient(self, logits, one_hot, teacher, unlabeled=None):
        if unlabeled is None and not self._alpha.any():
            return losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)
        temperature, soft_weight, hard_weight = self._factors(len(logits), unlabeled)
        if self.standardize_logits:
            standardized, deviation = losses.standardize(logits, self.arithmetic)
            soft = self._soft.gradient(standardized, one_hot, teacher, temperature, self.arithmetic)
            soft = losses.standardize_gradient(soft, standardized, deviation, self.arithmetic)
        else:
            soft = self._soft.gradient(logits, one_hot, teacher, temperature, self.arithmetic)
        soft *= soft_weight
        if hard_weight.any():
            hard = losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)
            hard *= hard_weight
            soft += hard
        return soft
