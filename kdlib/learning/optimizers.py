"""Update rules on flat arrays of parameters (R, parameters), in order of increasing complexity.

They change `parameters` in place and know nothing of networks or losses. Powers are running products: pow is not
rounded alike on all machines.
"""

import math

import numpy as np

from kdlib.backends import selection, update_rules

# Subnormal numbers are slow, and some libraries switch them off for the whole process. With this anchor a moment is
# rounded to multiples of 2^-100 in float32, and what is below a half of that becomes zero; a mean that decays by less
# than DECAY before the next time stays above the subnormals, below 2^-126.
FLUSH, DECAY = math.ldexp(1.5, -77), math.ldexp(1.0, -26)


class Optimizer:
    """What the rules share: a step goes block by block, and running means are kept from fading into subnormals.

    `options`: what the rule takes of a `kdlib.learning.recipe.Recipe`, by name.
    `state`: {name: array}, all that a step changes besides the parameters; it may be overwritten in place.
    """

    options = ("weight_decay",)

    def __init__(self, parameters, decay, moments, powers=()):
        self.moments = {name: np.zeros_like(parameters) for name in moments}
        self._powers, self._steps = np.ones(len(powers)), np.zeros(1, dtype=np.int64)
        self._bases = np.array(powers)
        named = {f"moment_{k}": moment for k, moment in enumerate(self.moments.values())}
        self.state = named | {"powers": self._powers, "steps": self._steps}
        self._period, power = 1, decay
        while power * decay > DECAY and self._period < 1024:
            self._period, power = self._period + 1, power * decay

    def step(self, parameters, gradient, learning_rate, layers=None):
        """gradient: as `parameters`; it is overwritten. learning_rate: a number, or (R, 1). layers: of `update`."""
        constants, anchor = self.next(learning_rate, parameters.dtype)
        selection.current.update(self.rule, constants, {"p": parameters, "g": gradient} | self.moments, layers, anchor)

    def next(self, learning_rate, dtype):
        """(constants of the rule, anchor to flush the moments to, or None) of the next step, which counts as taken."""
        self._steps += 1
        self._powers *= self._bases
        anchor = dtype.type(FLUSH) if self._steps.item() % self._period == 0 else None
        return self._constants(learning_rate, dtype), anchor


def as_factor(value, dtype):
    """A number, or an array of this dtype: what NumPy makes of a number beside an array of parameters."""
    return value.astype(dtype) if isinstance(value, np.ndarray) else value


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: v <- momentum v + g; p <- p - learning_rate v.

    nesterov: p <- p - learning_rate (g + momentum v). weight_decay adds weight_decay p to g.
    Reference: Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).
    """

    options = ("momentum", "nesterov", "weight_decay")

    def __init__(self, parameters, momentum=0.9, nesterov=False, weight_decay=0.0):
        super().__init__(parameters, momentum, ("velocity",))
        self.momentum, self.weight_decay = momentum, weight_decay
        self.rule = update_rules.sgd(nesterov, bool(weight_decay))

    def _constants(self, learning_rate, dtype):
        return {
            "rate": as_factor(learning_rate, dtype), "momentum": self.momentum, "decay": self.weight_decay,
        }  # fmt: skip


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; p <- p - learning_rate m^ / (sqrt(v^) + epsilon).

    m^ = m / (1 - b1^t), v^ = v / (1 - b2^t). weight_decay adds weight_decay p to g.
    Reference: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1.
    """

    decoupled = False

    def __init__(self, parameters, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0):
        super().__init__(parameters, min(beta_1, beta_2), ("mean", "square"), powers=(beta_1, beta_2))
        self.beta_1, self.beta_2, self.epsilon, self.weight_decay = beta_1, beta_2, epsilon, weight_decay
        self.rule = update_rules.adam(self.decoupled, bool(weight_decay))

    def _constants(self, learning_rate, dtype):
        power_1, power_2 = self._powers.tolist()
        # learning_rate m^ / (sqrt(v^) + epsilon) = rate m / (sqrt(v) + floor)
        correction = math.sqrt(1 - power_2)
        return {
            "rate": as_factor(learning_rate * correction / (1 - power_1), dtype), "floor": self.epsilon * correction,
            "beta_1": self.beta_1, "rest_1": 1 - self.beta_1, "beta_2": self.beta_2, "rest_2": 1 - self.beta_2,
            "decay": as_factor(learning_rate * self.weight_decay, dtype) if self.decoupled else self.weight_decay,
        }  # fmt: skip


class AdamW(Adam):
    """Adam whose weight decay acts on the parameters, not on the gradient: p <- p - learning_rate weight_decay p.

    Reference: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.
    """

    decoupled = True


OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def optimizer(parameters, recipe):
    """The update rule that a `Recipe` names, for these parameters (R, n)."""
    kind = OPTIMIZERS[recipe.optimizer]
    return kind(parameters, **{name: getattr(recipe, name) for name in kind.options})


def factors(update, rates, parameters):
    """The next steps of an optimizer at these learning rates: their rule's constants, and what flushes the moments.

    (steps, constants, R), and anchors (steps,), 0 where nothing is flushed. rates: numbers, or (R, 1) each. parameters:
    (R, P).
    """
    taken = [update.next(rate, parameters.dtype) for rate in rates]
    numbers = np.empty((len(taken), len(taken[0][0]), len(parameters)), parameters.dtype)
    for k, name in enumerate(taken[0][0]):
        numbers[:, k] = np.reshape([constants[name] for constants, _ in taken], (len(taken), -1))
    return numbers, np.array([anchor or 0 for _, anchor in taken], parameters.dtype)
