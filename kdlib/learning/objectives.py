"""What a network is trained for: a loss with the targets of every training example.

An objective has an `arithmetic` (a class of `kdlib.numerics.arithmetic`), `targets`, a tuple of arrays whose first axis
is the examples, and two functions of logits (R, n, classes) and of the same rows of its targets: `value` -> (R, n) in
nats, and `gradient` -> (R, n, classes).
"""

import numpy as np

from kdlib.errors import UserError
from kdlib.learning import losses


class CrossEntropy:
    """Cross-entropy with `one_hot` rows (n, classes), or with any other distributions."""

    def __init__(self, one_hot, arithmetic):
        self.arithmetic, self.targets = arithmetic, (one_hot.astype(arithmetic.logits_dtype),)

    def value(self, logits, one_hot):
        return losses.cross_entropy(logits, one_hot, self.arithmetic)

    def gradient(self, logits, one_hot):
        return losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)


class Distillation:
    """alpha scale soft(student, teacher) + (1 - alpha) CE(student, labels), alpha = 1 for an example without a label.

    loss: `kd`, `dkd` (soft is a divergence at `temperature`; scale = T^2, or 1 if not `scale_by_t2`) or `mse`
    (scale = 1). T^2 keeps the soft part's gradient from shrinking as T grows, so that alpha means the same at every T
    (Hinton, Vinyals and Dean 2015, section 2). standardize_logits: both logits are standardized in the soft part.
    one_hot: (n, classes), zero rows for examples without a label. logits_teacher: (n, classes).
    Raises UserError where two classes are to be standardized.
    """

    def __init__(
        self, one_hot, logits_teacher, arithmetic, loss="kd", temperature=4.0, alpha=0.7, scale_by_t2=True, beta=8.0,
        standardize_logits=False,
    ):  # fmt: skip
        self.arithmetic, self.loss, self.standardize = arithmetic, loss, standardize_logits
        self.temperature, self.alpha, self.beta = temperature, alpha, beta
        if standardize_logits and one_hot.shape[-1] == 2:
            raise UserError(
                "distill.standardize_logits: got true with two classes, whose standardized logits are -1 and 1 whatever"
                " the network says; needs three classes or more, or false"
            )
        self.scale = temperature * temperature if scale_by_t2 and loss != "mse" else 1.0
        one_hot, logits = one_hot.astype(arithmetic.logits_dtype), logits_teacher.astype(arithmetic.logits_dtype)
        if standardize_logits:
            logits = losses.standardize(logits[None], arithmetic)[0][0]
        if loss == "kd":
            logits = losses.softmax(logits[None], arithmetic, temperature)[0]
        self.targets = (one_hot, logits)
        unlabeled = one_hot.max(axis=-1, keepdims=True) == 0
        if unlabeled.any():
            if loss == "dkd":
                raise ValueError("dkd needs a label for each example")
            self.targets += (np.where(unlabeled, 1, alpha).astype(arithmetic.logits_dtype),)

    def _soft(self, logits, one_hot, teacher):
        if self.loss == "kd":
            return losses.kd_divergence(logits, teacher, self.temperature, self.arithmetic)
        if self.loss == "mse":
            return losses.logit_mse(logits, teacher, self.arithmetic)
        return losses.dkd_divergence(logits, one_hot, teacher, self.temperature, self.beta, self.arithmetic)

    def _soft_gradient(self, logits, one_hot, teacher):
        if self.loss == "kd":
            return losses.kd_gradient(logits, teacher, self.temperature, self.arithmetic)
        if self.loss == "mse":
            return losses.logit_mse_gradient(logits, teacher)
        return losses.dkd_gradient(logits, one_hot, teacher, self.temperature, self.beta, self.arithmetic)

    def value(self, logits, one_hot, teacher, alpha=None):
        alpha = self.alpha if alpha is None else alpha[..., 0]
        soft_logits = losses.standardize(logits, self.arithmetic)[0] if self.standardize else logits
        soft = self._soft(soft_logits, one_hot, teacher)
        return alpha * self.scale * soft + (1 - alpha) * losses.cross_entropy(logits, one_hot, self.arithmetic)

    def gradient(self, logits, one_hot, teacher, alpha=None):
        if alpha is None and self.alpha == 0:
            return losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)
        if self.standardize:
            standardized, deviation = losses.standardize(logits, self.arithmetic)
            soft = self._soft_gradient(standardized, one_hot, teacher)
            soft = losses.standardize_gradient(soft, standardized, deviation, self.arithmetic)
        else:
            soft = self._soft_gradient(logits, one_hot, teacher)
        soft *= (self.alpha if alpha is None else alpha) * self.scale
        if alpha is not None or self.alpha != 1:
            hard = losses.cross_entropy_gradient(logits, one_hot, self.arithmetic)
            hard *= 1 - (self.alpha if alpha is None else alpha)
            soft += hard
        return soft
