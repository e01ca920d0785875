"""Optimizers: update rules on flat arrays of parameters (R, parameters).

They change the parameters in place and depend on no network or loss. Powers such as beta_1^t are running products,
because `pow` is not rounded alike on all machines.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kdlib.learning.optimizer_base import Optimizer, as_factor


@functools.cache
def sgd_rule(nesterov: bool, decays: bool) -> Callable:
    """Return the rule of `SGD`.

    Parameters
    ----------
    nesterov : bool
        Whether the momentum is Nesterov's.
    decays : bool
        Whether there is a weight decay. Without it the rule ignores `decay`.

    Returns
    -------
    callable
        rule(p, g, velocity, rate, momentum, decay) -> (p, velocity). If g is an array, it is overwritten.
    """

    def rule(p, g, velocity, rate, momentum, decay):
        if decays:
            g += p * decay
        velocity *= momentum
        velocity += g
        if nesterov:
            g += velocity * momentum
            g *= rate
            p -= g
        else:
            p -= velocity * rate
        return p, velocity

    return rule


class SGD(Optimizer):
    """Stochastic gradient descent with momentum.

    v <- momentum v + g
    p <- p - learning_rate v

    With `nesterov`: p <- p - learning_rate (g + momentum v). Weight decay adds weight_decay p to g.

    Parameters
    ----------
    parameters : array (R, P)
        The parameters that are trained.
    momentum : float
        Decay of the velocity v.
    nesterov : bool
        Whether to look ahead, as above.
    weight_decay : float
        Added to the gradient, as above.

    References
    ----------
    Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).
    """

    moment_names = ("velocity",)
    options = ("momentum", "nesterov", "weight_decay")

    def __init__(
        self, parameters: np.ndarray, momentum: float = 0.9, nesterov: bool = False, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, momentum)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.rule = sgd_rule(nesterov, bool(weight_decay))

    def _constants(self, learning_rate, dtype):
        return {
            "rate": as_factor(learning_rate, dtype),
            "momentum": self.momentum,
            "decay": self.weight_decay,
        }


@functools.cache
def adam_rule(decoupled: bool, decays: bool) -> Callable:
    """Return the rule of `Adam` or `AdamW`.

    It is p <- p - rate first_moment / (sqrt(second_moment) + scaled_epsilon).
    Its constants contain the corrections for the moments' bias.

    Parameters
    ----------
    decoupled : bool
        Whether the weight decay acts on the parameters (AdamW), not on the gradient.
    decays : bool
        Whether there is a weight decay. Without it the rule ignores `decay`.

    Returns
    -------
    callable
        rule(p, g, first_moment, second_moment, rate, scaled_epsilon, beta1, one_minus_beta1, beta2,
        one_minus_beta2, decay) -> (p, first_moment, second_moment). With `decoupled`, `decay` is
        learning_rate * weight_decay. If g is an array, it is overwritten.
    """

    def rule(
        p, g, first_moment, second_moment, rate, scaled_epsilon, beta1, one_minus_beta1, beta2, one_minus_beta2, decay
    ):
        if decays and decoupled:
            p -= p * decay
        elif decays:
            g += p * decay
        first_moment *= beta1
        first_moment += g * one_minus_beta1
        second_moment *= beta2
        g *= g
        g *= one_minus_beta2
        second_moment += g
        root = np.sqrt(second_moment)
        root += scaled_epsilon
        step = first_moment / root
        step *= rate
        p -= step
        return p, first_moment, second_moment

    return rule


class Adam(Optimizer):
    """Adam: steps that are scaled by running means of the gradient and of its square.

    m <- beta_1 m + (1 - beta_1) g
    v <- beta_2 v + (1 - beta_2) g^2
    p <- p - learning_rate m_hat / (sqrt(v_hat) + epsilon), m_hat = m / (1 - beta_1^t), v_hat = v / (1 - beta_2^t)

    Weight decay adds weight_decay p to g.

    Parameters
    ----------
    parameters : array (R, P)
        The parameters that are trained.
    beta_1, beta_2 : float
        Decay of the two means.
    epsilon : float
        Keeps the denominator from zero.
    weight_decay : float
        Added to the gradient, as above.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1.
    """

    moment_names = ("first_moment", "second_moment")
    decoupled = False

    def __init__(
        self,
        parameters: np.ndarray,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, min(beta_1, beta_2), power_bases=(beta_1, beta_2))
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.rule = adam_rule(self.decoupled, bool(weight_decay))

    def _constants(self, learning_rate, dtype):
        beta_1_power, beta_2_power = self._powers.tolist()
        # learning_rate m_hat / (sqrt(v_hat) + epsilon) = rate m / (sqrt(v) + scaled_epsilon)
        correction = math.sqrt(1 - beta_2_power)
        return {
            "rate": as_factor(learning_rate * correction / (1 - beta_1_power), dtype),
            "scaled_epsilon": self.epsilon * correction,
            "beta1": self.beta_1,
            "one_minus_beta1": 1 - self.beta_1,
            "beta2": self.beta_2,
            "one_minus_beta2": 1 - self.beta_2,
            "decay": as_factor(learning_rate * self.weight_decay, dtype) if self.decoupled else self.weight_decay,
        }


class AdamW(Adam):
    """Adam whose weight decay acts on the parameters, not on the gradient.

    Before Adam's step: p <- p - learning_rate weight_decay p.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.
    """

    decoupled = True


OPTIMIZERS: dict[str, type[Optimizer]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def optimizer(parameters: np.ndarray, recipe: Any) -> Optimizer:
    """Make the optimizer that a recipe names.

    Parameters
    ----------
    parameters : array (R, P)
        The parameters that it will update.
    recipe : kdlib.learning.recipe.Recipe
        Its name and its options.
    """
    kind = OPTIMIZERS[recipe.optimizer]
    return kind(parameters, **{name: getattr(recipe, name) for name in kind.options})
