"""Optimizers: update rules on flat arrays of parameters (R, parameters).

They change the parameters in place and depend on no network or loss. Powers such as beta_1^t are running products,
because `pow` is not rounded alike on all machines.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kdlib.backends.dense import Layers
from kdlib.backends.numpy_backend import NUMPY

# Subnormal numbers are slow, and some libraries switch them off for the whole process. With this anchor a moment is
# rounded to multiples of 2^-100 in float32, so that magnitudes below half of that become zero.
FLUSH_ANCHOR = math.ldexp(1.5, -77)
# Between two flushes a moment may shrink by at most this factor, else it becomes subnormal: after a flush it is zero or
# at least 2^-100, and numbers below 2^-126 are subnormal.
MIN_DECAY = math.ldexp(1.0, -26)
MAX_FLUSH_PERIOD = 1024  # steps between two flushes, at most


class Optimizer:
    """Update parameters block by block, and keep the moments from fading into subnormal numbers.

    Parameters
    ----------
    parameters : array (R, P)
        The moments get its shape and dtype.
    decay : float
        Smallest factor by which a moment decays in a step.
    power_bases : sequence of float
        Bases of the powers base^t that the rule needs, t the number of the step.

    Attributes
    ----------
    rule : callable
        The update rule: written once: it takes single numbers (numba) and whole arrays (NumPy), see `sgd_rule`.
    moment_names : tuple of str
        Names of the moments, in the order of the rule's arguments.
    options : tuple of str
        Names of the `kdlib.learning.recipe.Recipe` fields that the constructor takes.
    state : dict of arrays
        All that a step changes besides the parameters. A checkpoint may overwrite the arrays in place.
    """

    rule: Callable
    moment_names: tuple[str, ...]
    options: tuple[str, ...] = ("weight_decay",)

    def __init__(self, parameters: np.ndarray, decay: float, power_bases: Sequence[float] = ()):
        self.moments = {name: np.zeros_like(parameters) for name in self.moment_names}
        self._bases = np.array(power_bases)
        self._powers = np.ones(len(power_bases))
        self._steps = np.zeros(1, dtype=np.int64)
        self.state = {f"moment_{k}": moment for k, moment in enumerate(self.moments.values())}
        self.state["powers"] = self._powers
        self.state["steps"] = self._steps
        self._period = 1  # steps between two flushes
        decayed = decay
        while decayed * decay > MIN_DECAY and self._period < MAX_FLUSH_PERIOD:
            self._period += 1
            decayed *= decay

    def step(
        self,
        parameters: np.ndarray,
        gradient: np.ndarray,
        learning_rate: float | np.ndarray,
        layers: Layers | None = None,
    ) -> None:
        """Update the parameters in place.

        Parameters
        ----------
        parameters : array (R, P)
            The parameters.
        gradient : array (R, P)
            Its content is lost.
        learning_rate : float or array (R, 1)
            One for all networks, or one for each.
        layers : Layers, optional
            Its snapped copies of the weights are updated too, by its back end.
        """
        constants, anchor = self.next_constants(learning_rate, parameters.dtype)
        arrays = {"p": parameters, "g": gradient} | self.moments
        backend = layers.backend if layers else NUMPY
        backend.update(self.rule, constants, arrays, layers, anchor)

    def next_constants(
        self, learning_rate: float | np.ndarray, dtype: np.dtype
    ) -> tuple[dict[str, float | np.ndarray], np.floating | None]:
        """Advance the step counter; return the rule's constants for this step.

        Returns
        -------
        constants : dict
            The constants of the rule, in the order of its arguments.
        anchor : scalar or None
            The anchor that flushes the moments after this step; None if this step does not flush.
        """
        self._steps += 1
        self._powers *= self._bases
        anchor = dtype.type(FLUSH_ANCHOR) if self._steps.item() % self._period == 0 else None
        return self._constants(learning_rate, dtype), anchor

    def _constants(self, learning_rate: float | np.ndarray, dtype: np.dtype) -> dict[str, float | np.ndarray]:
        """Return the constants of the rule in this step, in the order of its arguments."""
        raise NotImplementedError


def as_factor(value: float | np.ndarray, dtype: np.dtype) -> float | np.ndarray:
    """Convert an array to the dtype of the parameters, and leave a number as it is.

    NumPy itself converts a number to the dtype of the array that it is multiplied with.
    """
    return value.astype(dtype) if isinstance(value, np.ndarray) else value


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
    p <- p - learning_rate m^ / (sqrt(v^) + epsilon), m^ = m / (1 - beta_1^t), v^ = v / (1 - beta_2^t)

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
        # learning_rate m^ / (sqrt(v^) + epsilon) = rate m / (sqrt(v) + scaled_epsilon)
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


def constants_of_steps(
    update: Optimizer, rates: Sequence[float | np.ndarray] | np.ndarray, parameters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Advance the step counter by several steps; return the rule's constants for these steps.

    Parameters
    ----------
    update : Optimizer
        The optimizer.
    rates : sequence of floats or arrays (R, 1)
        The learning rate of each step.
    parameters : array (R, P)
        The parameters; only dtype and R are used.

    Returns
    -------
    constants : array (steps, constants, R)
        The constants of the rule.
    anchors : array (steps,)
        The anchors that flush the moments; 0 in a step that does not flush.
    """
    taken = [update.next_constants(rate, parameters.dtype) for rate in rates]
    names = list(taken[0][0])
    numbers = np.empty((len(taken), len(names), len(parameters)), parameters.dtype)
    for k, name in enumerate(names):
        numbers[:, k] = np.array([constants[name] for constants, _ in taken]).reshape(len(taken), -1)
    return numbers, np.array([anchor or 0 for _, anchor in taken], parameters.dtype)
