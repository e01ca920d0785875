"""All steps of an epoch in a few compiled calls, for networks so small that Python would take most of the time."""

from typing import TYPE_CHECKING, Any

import numpy as np

from kdlib.backends.threads import MIN_PARALLEL_PRODUCTS
from kdlib.data.scaled import ScaledRows
from kdlib.learning.network import multiply_adds
from kdlib.learning.optimizers import constants_of_steps
from kdlib.learning.stack import network_slices

if TYPE_CHECKING:
    from kdlib.learning.epoch import EpochTargets
    from kdlib.learning.inputs import Inputs
    from kdlib.learning.objectives import Objective


def compiled_steps(run: Any, objective: "Objective", inputs: "Inputs") -> "CompiledSteps | None":
    """Return the compiled steps of a training, if they apply to it.

    Parameters
    ----------
    run : kdlib.learning.training.TrainingState
        The training.
    objective : Objective
        Its objective.
    inputs : Inputs
        Its examples.

    Returns
    -------
    CompiledSteps or None
        None if the back end has no compiled steps, if the steps are large, if the training has dropout or a maximum
        norm, or if the objective or the examples are of a kind that compiled steps do not support.
    """
    recipe = run.recipe
    plain = not (any(run.dropout_rates) or recipe.max_norm)
    small = recipe.batch_size * multiply_adds(run.network.sizes) < MIN_PARALLEL_PRODUCTS
    terms = objective.at(0, recipe.epochs).as_softmax_terms(run.network.replicas)
    splits = inputs.scaled_splits()
    if run.backend.has_steps and plain and small and terms and splits:
        return CompiledSteps(run, splits)
    return None


class CompiledSteps:
    """Train one epoch in compiled calls, with the bits of the loop in `train`; no dropout, no maximum norm.

    Parameters
    ----------
    run : kdlib.learning.training.TrainingState
        The training.
    splits : list of ScaledRows
        The examples, see `kdlib.learning.inputs.Inputs.scaled_splits`.
    """

    def __init__(self, run: Any, splits: list[ScaledRows]):
        self._run = run
        self._splits = splits
        self._compiled = {}  # {rows of a batch: compiled function}
        self._x = splits[0].x.reshape(len(splits[0].x), -1)
        self._offset = np.stack([split.offset for split in splits])
        self._scale = np.stack([split.scale for split in splits])

    def __call__(self, objective: "Objective", order: np.ndarray, epoch_targets: "EpochTargets", first: int) -> None:
        """Take all steps of one epoch.

        Parameters
        ----------
        objective : Objective
            The objective of this epoch; the gradient is the sum of its `as_softmax_terms`.
        order : array (R, n)
            Row indices in the order of training.
        epoch_targets : EpochTargets
            The targets, and the buffer for the logits.
        first : int
            Number of the epoch's first step in the training.
        """
        networks = self._run.network.replicas
        dtype = self._run.logits.dtype
        terms = objective.as_softmax_terms(networks)
        if not terms:
            raise ValueError("objective: it was a sum of softmax terms in the first epoch, and now it is none")
        indices, temperatures, weights = zip(*terms, strict=True)
        temperatures = _columns(temperatures, networks, dtype)
        weights = _columns(weights, networks, dtype)
        networks_of_splits = network_slices(len(self._splits), len(order))
        rows_held = self._run.logits.shape[1]
        batch_size = self._run.recipe.batch_size
        n = order.shape[1]
        for start in range(0, n, rows_held):
            stop = min(start + rows_held, n)
            logits, targets = epoch_targets.batch(start, stop)
            targets = [targets[index] for index in indices]
            pairs = zip(self._splits, networks_of_splits, strict=True)
            rows_of_x = np.concatenate([split.rows.take(order[own, start:stop]) for split, own in pairs])
            count = stop - start
            whole_batches = count // batch_size * batch_size
            last_batch = count - whole_batches
            for a, b, rows in ((0, whole_batches, batch_size), (whole_batches, count, last_batch)):
                if b > a:
                    data = self._x, rows_of_x[:, a:b], self._offset, self._scale
                    loss = logits[:, a:b], [target[:, a:b] for target in targets], temperatures, weights
                    rates = self._rates(first, (b - a) // rows)
                    take_steps = self._steps_of(rows)
                    take_steps(data, loss, *constants_of_steps(self._run.update, rates, self._run.network.parameters))
                    first += len(rates)

    def _steps_of(self, rows):
        """Return the compiled function for batches of this size."""
        if rows not in self._compiled:
            layers = self._run.backpropagation.layers
            update = self._run.update
            moments = tuple(update.moments.values())
            dtype = self._run.logits.dtype.type
            self._compiled[rows] = self._run.backend.steps(layers, rows, update.rule, moments, dtype)
        return self._compiled[rows]

    def _rates(self, first, steps):
        """Return the learning rates of the next steps."""
        recipe = self._run.recipe
        networks = self._run.network.replicas
        return [recipe.learning_rate_at(step, self._run.steps, networks) for step in range(first, first + steps)]


def _columns(values, networks, dtype):
    """Put the numbers of the terms, (R, 1, 1) or (1, 1, 1) each, side by side: (R, terms)."""
    return np.concatenate([np.broadcast_to(value[:, 0], (networks, 1)) for value in values], axis=1).astype(dtype)
