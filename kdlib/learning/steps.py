"""All steps of an epoch: in Python, batch by batch, or in a few compiled calls.

The compiled calls are for networks so small that Python would take most of the time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from kdlib.backends.threads import MIN_PARALLEL_PRODUCTS
from kdlib.data.scaled import ScaledRows
from kdlib.learning.dropout import dropout_masks
from kdlib.learning.network import multiply_adds
from kdlib.learning.optimizer_base import constants_of_steps
from kdlib.learning.stack import network_slices
from kdlib.learning.weighting import Weighted

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
        norm, if the gradient is no sum of softmax terms, or if the splits do not share one array of uint8, float32 or
        float64.
    """
    recipe = run.recipe
    plain = not (any(run.dropout_rates) or recipe.max_norm)
    small = recipe.batch_size * multiply_adds(run.network.sizes) < MIN_PARALLEL_PRODUCTS
    terms = objective.at(0, recipe.epochs).as_softmax_terms(run.network.replicas)
    splits = inputs.scaled_splits()
    if run.backend.has_steps and plain and small and terms and splits:
        return CompiledSteps(run, splits)
    return None


class LayerSteps:
    """Train one epoch in Python, batch by batch; used where `CompiledSteps` cannot be.

    Parameters
    ----------
    run : kdlib.learning.training.TrainingState
        The training.
    inputs : Inputs
        Its examples.
    after_step : callable
        It is called after each step.
    """

    def __init__(self, run: Any, inputs: "Inputs", after_step: Callable[[], None]):
        self._run = run
        self._inputs = inputs
        self._after_step = after_step

    def __call__(
        self, objective: "Objective", order: np.ndarray, epoch_targets: "EpochTargets", first_step: int
    ) -> None:
        """Take all steps of one epoch.

        Parameters
        ----------
        objective : Objective
            The objective of this epoch.
        order : array (R, k)
            Row indices of this rank's k examples, in the order of training.
        epoch_targets : EpochTargets
            The targets, and the buffer for the logits.
        first_step : int
            Number of the epoch's first step in the training.
        """
        run = self._run
        recipe = run.recipe
        network = run.network
        backpropagation = run.backpropagation
        for step, (rows, share, batch) in enumerate(run.batches, first_step):
            input_mask, *masks = dropout_masks(
                run.dropout_generators, rows, network.sizes[:-1], run.dropout_rates, share
            )
            operand = self._inputs(order[:, batch], input_mask)
            logits, targets = epoch_targets.batch(batch.start, batch.stop)
            logits[...] = backpropagation.forward(operand, masks)
            if objective.relational:
                delta = self._gradient_in_batch(objective, logits, targets, epoch_targets, rows, share)
            else:
                delta = objective.gradient(logits, *targets)
            delta /= rows
            backpropagation.backward(delta, rows)
            rate = recipe.learning_rate_at(step, run.steps, network.replicas)
            run.update.step(network.parameters, backpropagation.gradient, rate, backpropagation.layers)
            if recipe.max_norm:
                backpropagation.constrain(recipe.max_norm)
            self._after_step()

    def _gradient_in_batch(self, objective, logits, targets, epoch_targets, rows, share):
        """Return the gradient of a relational objective for this rank's share of a batch, and keep the losses.

        Each rank computes that of the whole batch.
        """
        logits, *targets = (self._run.ranks.gather_rows(array, rows) for array in (logits, *targets))
        epoch_targets.keep_losses(objective.value(logits, *targets)[:, share])
        return np.ascontiguousarray(objective.gradient(logits, *targets)[:, share])


class CompiledSteps:
    """Train one epoch in compiled calls, with the bits of `LayerSteps`; no dropout, no maximum norm.

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

    def __call__(
        self, objective: "Objective", order: np.ndarray, epoch_targets: "EpochTargets", first_step: int
    ) -> None:
        """Take all steps of one epoch.

        Parameters
        ----------
        objective : Objective
            The objective of this epoch; the gradient is the sum of its `as_softmax_terms`, `Weighted` or not.
        order : array (R, k)
            Row indices of this rank's k examples, in the order of training.
        epoch_targets : EpochTargets
            The targets, and the buffer for the logits.
        first_step : int
            Number of the epoch's first step in the training.
        """
        networks = self._run.network.replicas
        dtype = self._run.logits.dtype
        terms = objective.as_softmax_terms(networks)
        if not terms:
            raise ValueError("objective: it was a sum of softmax terms in the first epoch, and now it is none")
        indices, log_indices, temperatures, weights = zip(*terms, strict=True)
        temperatures = _columns(temperatures, networks, dtype)
        weights = _columns(weights, networks, dtype)
        networks_of_splits = network_slices(len(self._splits), len(order))
        rows_held = self._run.logits.shape[1]
        batch_size = self._run.recipe.batch_size
        n = order.shape[1]
        next_step = first_step
        for start in range(0, n, rows_held):
            stop = min(start + rows_held, n)
            logits, targets = epoch_targets.batch(start, stop)
            chosen = [targets[index] for index in indices]
            logs = [None if index is None else targets[index] for index in log_indices]
            of_examples = targets[-1][..., 0] if isinstance(objective, Weighted) else np.ones(logits.shape[:2], dtype)
            losses = np.empty(logits.shape[:2]) if objective.arithmetic.name == "exact" else None
            pairs = zip(self._splits, networks_of_splits, strict=True)
            rows_of_x = np.concatenate([split.rows.take(order[own, start:stop]) for split, own in pairs])
            count = stop - start
            whole_batches = count // batch_size * batch_size
            last_batch = count - whole_batches
            for a, b, rows in ((0, whole_batches, batch_size), (whole_batches, count, last_batch)):
                if b > a:
                    data = self._x, rows_of_x[:, a:b], self._offset, self._scale
                    own_logs = [None if log is None else log[:, a:b] for log in logs]
                    loss = (
                        logits[:, a:b],
                        [t[:, a:b] for t in chosen],
                        own_logs,
                        temperatures,
                        weights,
                        of_examples[:, a:b],
                    )
                    own_losses = None if losses is None else losses[:, a:b]
                    rates = self._rates(next_step, (b - a) // rows)
                    take_steps = self._steps_of(rows)
                    constants = constants_of_steps(self._run.update, rates, self._run.network.parameters)
                    take_steps(data, loss, own_losses, *constants)
                    next_step += len(rates)
            if losses is not None:
                epoch_targets.keep_losses(losses)

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
