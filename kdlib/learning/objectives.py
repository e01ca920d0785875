"""What a network is trained for: a loss with the targets of every training example.

An objective has an `arithmetic` (a class of `kdlib.numerics.arithmetic`), `targets`, a tuple of arrays (G, n, ...) of n
examples, by the order of `kdlib.learning.stack`, and two functions of logits (R, n, classes) and of the same rows of
its targets for each network: `value` -> (R, n) in nats, and `gradient` -> (R, n, classes).
"""

import numpy as np

from kdlib.errors import UserError
from kdlib.learning import lazy, losses
from kdlib.learning.stack import each

ONE = np.ones((1, 1, 1))


def _stacked(targets, arithmetic):
    if isinstance(targets, np.ndarray):
        targets = targets.reshape(-1, *targets.shape[-2:])
    return lazy.each(targets, lambda values: values.astype(arithmetic.logits_dtype), "")


class CrossEntropy:
    """Cross-entropy with `one_hot` rows, (n, classes) or (G, n, classes), or with any other distributions.

    Of this and of `Distillation` what is too large for memory may be `kdlib.learning.lazy`.
    """

    def __init__(self, one_hot, arithmetic):
        self.arithmetic, self.targets = arithmetic, (_stacked(one_hot, arithmetic),)

    def value(self, logits, one_hot):
        return losses.cross_entropy(logits, one_hot, self.arithmetic)

    def gradient(self, logits, one_hot):
        return losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)

    def terms(self, networks):
        """The gradient as the sum of weight (softmax - targets) / T: [(index of the targets, T, weight), ...].

        T and weight: (1, 1, 1), or (R, 1, 1) of so many networks. None: it is no such sum.
        """
        return [(0, ONE, ONE)]


class Distillation:
    """alpha scale soft(student, teacher) + (1 - alpha) CE(student, labels), alpha = 1 for an example without a label.

    loss: `kd`, `dkd` (soft is a divergence at `temperature`; scale = T^2, or 1 if not `scale_by_t2`) or `mse`
    (scale = 1). T^2 keeps the soft part's gradient from shrinking as T grows, so that alpha means the same at every T
    (Hinton, Vinyals and Dean 2015, section 2). standardize_logits: both logits are standardized in the soft part.
    one_hot: zero rows for examples without a label. one_hot, logits_teacher: (n, classes), or (S, n, classes) of
    splits. temperature, alpha: numbers, or sequences of G, by the order of `kdlib.learning.stack`.
    Raises UserError where two classes are to be standardized.
    """

    def __init__(
        self, one_hot, logits_teacher, arithmetic, loss="kd", temperature=4.0, alpha=0.7, scale_by_t2=True, beta=8.0,
        standardize_logits=False,
    ):  # fmt: skip
        self.arithmetic, self.loss, self.beta, self.standardize = arithmetic, loss, beta, standardize_logits
        self.temperature = np.asarray(temperature, np.float64).reshape(-1, 1, 1)
        self.alpha = np.asarray(alpha, np.float64).reshape(-1, 1, 1)
        if standardize_logits and one_hot.shape[-1] == 2:
            raise UserError(
                "distill.standardize_logits: got true with two classes, whose standardized logits are -1 and 1 whatever"
                " the network says; needs three classes or more, or false"
            )
        self.scale = self.temperature * self.temperature if scale_by_t2 and loss != "mse" else np.ones((1, 1, 1))
        one_hot, logits = _stacked(one_hot, arithmetic), _stacked(logits_teacher, arithmetic)
        if standardize_logits:
            logits = lazy.each(logits, lambda values: losses.standardize(values, arithmetic)[0], "standardized")
        if loss == "kd":
            logits = self._softened(logits)
        self.targets = (one_hot, logits)
        unlabeled = lazy.each(one_hot, lambda values: values.max(axis=-1, keepdims=True) == 0, "unlabeled")
        if lazy.anywhere(unlabeled):
            if loss == "dkd":
                raise ValueError("dkd needs a label for each example")
            self.targets += (unlabeled,)

    def _softened(self, logits):
        """The teacher's softmax at each of the temperatures."""
        entries = max(len(logits), len(self.temperature))
        temperature = each(self.temperature, entries).astype(self.arithmetic.logits_dtype)
        if isinstance(logits, np.ndarray):
            logits = np.repeat(logits, entries // len(logits), axis=0)
            return losses.softmax(logits, self.arithmetic, temperature)

        def softmax(g, values):
            return losses.softmax(values, self.arithmetic, temperature[g % len(temperature)])

        return logits.mapped(softmax, ["softened", self.temperature], entries)

    def _factors(self, networks, unlabeled):
        """(temperature, weight of the soft part, of the hard part), (R, 1, 1) or (R, n, 1), or 1 in place of R."""
        alpha = each(self.alpha, networks)
        alpha = alpha if unlabeled is None else np.where(unlabeled, 1, alpha)
        factors = each(self.temperature, networks), alpha * each(self.scale, networks), 1 - alpha
        return [factor.astype(self.arithmetic.logits_dtype) for factor in factors]

    def _soft(self, logits, one_hot, teacher, temperature):
        if self.loss == "kd":
            return losses.kd_divergence(logits, teacher, temperature, self.arithmetic)
        if self.loss == "mse":
            return losses.logit_mse(logits, teacher, self.arithmetic)
        return losses.dkd_divergence(logits, one_hot, teacher, temperature, self.beta, self.arithmetic)

    def _soft_gradient(self, logits, one_hot, teacher, temperature):
        if self.loss == "kd":
            return losses.kd_gradient(logits, teacher, temperature, self.arithmetic)
        if self.loss == "mse":
            return losses.logit_mse_gradient(logits, teacher)
        return losses.dkd_gradient(logits, one_hot, teacher, temperature, self.beta, self.arithmetic)

    def value(self, logits, one_hot, teacher, unlabeled=None):
        temperature, soft_weight, hard_weight = self._factors(len(logits), unlabeled)
        soft_logits = losses.standardize(logits, self.arithmetic)[0] if self.standardize else logits
        soft = self._soft(soft_logits, one_hot, teacher, temperature)
        hard = losses.cross_entropy(logits, one_hot, self.arithmetic)
        return soft_weight[..., 0] * soft + hard_weight[..., 0] * hard

    def terms(self, networks):
        if self.loss != "kd" or self.standardize or len(self.targets) > 2:
            return None
        if not self.alpha.any():
            return [(0, ONE, ONE)]
        temperature, soft_weight, hard_weight = self._factors(networks, None)
        return [(1, temperature, soft_weight), *([(0, ONE, hard_weight)] if hard_weight.any() else ())]

    def gradient(self, logits, one_hot, teacher, unlabeled=None):
        if unlabeled is None and not self.alpha.any():
            return losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)
        temperature, soft_weight, hard_weight = self._factors(len(logits), unlabeled)
        if self.standardize:
            standardized, deviation = losses.standardize(logits, self.arithmetic)
            soft = self._soft_gradient(standardized, one_hot, teacher, temperature)
            soft = losses.standardize_gradient(soft, standardized, deviation, self.arithmetic)
        else:
            soft = self._soft_gradient(logits, one_hot, teacher, temperature)
        soft *= soft_weight
        if hard_weight.any():
            hard = losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)
            hard *= hard_weight
            soft += hard
        return soft
