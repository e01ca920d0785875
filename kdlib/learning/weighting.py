"""Weights of the training examples: an objective whose losses are those of another one times a weight each."""

import copy
from dataclasses import dataclass, field

import numpy as np

from kdlib.backends.arithmetic import Arithmetic
from kdlib.backends.numpy_backend import NumpyBackend
from kdlib.data.weights import MAX_WEIGHT, are_weights
from kdlib.io.errors import UserError
from kdlib.learning import lazy_targets
from kdlib.learning.lazy_targets import LazyTargets
from kdlib.learning.objectives import Objective, SoftmaxTerm, Targets


@dataclass(frozen=True, eq=False)
class Weighted(Objective):
    """Multiply the loss of each example by the example's weight.

    The weights are taken as they are. With a mean of 1 a learning rate means what it does without weights; see
    `kdlib.data.weights.class_factors`. With weights of 1 the training has the bits of one without.

    Parameters
    ----------
    objective : Objective
        Its loss of an example must not depend on the other examples.
    weights : ndarray or LazyTargets, shape (n,) or (G, n, 1)
        Weights of the n training examples, from 0 to 1e100.

    Raises
    ------
    UserError
        If the weights have another shape, or one of them is negative, NaN or too large; if the objective is relational.

    Examples
    --------
    >>> objective = Weighted(CrossEntropy(labels), np.where(labels == 1, 1.8, 0.2))  # doctest: +SKIP
    """

    objective: Objective
    weights: np.ndarray | LazyTargets
    arithmetic: Arithmetic = field(init=False, repr=False)
    targets: Targets = field(init=False, repr=False)  # none while those of `objective` wait for an epoch
    _column: np.ndarray | LazyTargets = field(init=False, repr=False)  # (G, n, 1) in the dtype of logits

    def __post_init__(self):
        if self.objective.relational:
            raise UserError(
                "objective: its loss is of whole batches, so that no example has a loss of its own to be weighted; take"
                " another distill.loss, or no weights (prepare.weight, prepare.class_weight)"
            )
        weights = self.weights if hasattr(self.weights, "shape") else np.asarray(self.weights)
        if isinstance(weights, np.ndarray):
            if weights.dtype.kind not in "fiu" or not are_weights(weights):
                raise UserError(f"weights: needs numbers from 0 to {MAX_WEIGHT:g}, one for each training example")
            weights = weights[None, :, None] if weights.ndim == 1 else weights
        if len(weights.shape) != 3 or weights.shape[2] != 1:
            raise UserError(f"weights: got the shape {weights.shape}; needs (n,), or (G, n, 1)")
        dtype = self.objective.arithmetic.logits_dtype
        column = lazy_targets.map_rows(weights, lambda values: values.astype(dtype), "", width=1)
        object.__setattr__(self, "arithmetic", self.objective.arithmetic)
        object.__setattr__(self, "_column", column)
        if hasattr(self.objective, "targets"):
            self._append_weights()

    def _append_weights(self):
        """Set the targets: those of the objective, then the weights."""
        targets = self.objective.targets
        if targets[0].shape[1] != self._column.shape[1]:
            raise UserError(f"weights: got {self._column.shape[1]}; needs {targets[0].shape[1]}, one for each example")
        object.__setattr__(self, "targets", (*targets, self._column))

    def _of(self, objective):
        """Return the same weights with another objective."""
        result = copy.copy(self)
        object.__setattr__(result, "objective", objective)
        object.__setattr__(result, "arithmetic", objective.arithmetic)
        if hasattr(objective, "targets"):
            result._append_weights()
        return result

    def at(self, epoch: int, epochs: int) -> "Weighted":
        objective = self.objective.at(epoch, epochs)
        return self if objective is self.objective else self._of(objective)

    def on(self, backend: NumpyBackend) -> "Weighted":
        return self._of(self.objective.on(backend))

    def as_softmax_terms(self, networks: int) -> list[SoftmaxTerm] | None:
        """Describe loss and gradient as sums of terms, without the weights: these are the last of `targets`."""
        return self.objective.as_softmax_terms(networks)

    def value(self, logits: np.ndarray, *targets: np.ndarray) -> np.ndarray:
        return self.objective.value(logits, *targets[:-1]) * targets[-1][..., 0]

    def gradient(self, logits: np.ndarray, *targets: np.ndarray) -> np.ndarray:
        result = self.objective.gradient(logits, *targets[:-1])
        result *= targets[-1]
        return result
