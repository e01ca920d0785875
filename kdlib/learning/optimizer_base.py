"""What all optimizers share: moments, powers, the step, and the flush of moments that fade."""

import math
from collections.abc import Callable, Sequence

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
        The update rule, written once: it takes single numbers (numba) and whole arrays (NumPy). See
        `kdlib.learning.optimizers.sgd_rule`.
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
