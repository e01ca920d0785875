"""The steps of an epoch in a few compiled calls, where Python would take longer between them than they do."""

import numpy as np

from kdlib.backends import selection
from kdlib.backends.threads import FEW
from kdlib.learning.network import multiply_adds
from kdlib.learning.optimizers import factors
from kdlib.learning.stack import parts


def compiled_steps(run, objective, inputs):
    """The `CompiledSteps` of a `kdlib.learning.training.Run`; None where its steps are large, or do more than these."""
    recipe = run.recipe
    plain = not (any(run.rates) or recipe.max_norm)
    small = recipe.batch_size * multiply_adds(run.network.sizes) < FEW
    terms, splits = objective.at(0, recipe.epochs).terms(run.network.replicas), inputs.source()
    if selection.current.steps and plain and small and terms and splits:
        return CompiledSteps(run, splits)
    return None


class CompiledSteps:
    """What the loop of training does in an epoch, without dropout and bounds of norms; the same bits.

    splits: see `kdlib.learning.inputs.Inputs.source`.
    """

    def __init__(self, run, splits):
        self._run, self._splits, self._steps = run, splits, {}
        self._x = splits[0].x.reshape(len(splits[0].x), -1)
        self._scaling = [np.stack([getattr(x, name) for x in splits]) for name in ("offset", "scale")]

    def __call__(self, objective, order, pieces, first):
        """All steps of an epoch, of which this one is the `first`. order: (R, n). pieces: an `Epoch`.

        objective: of this epoch; its `terms` are its gradient.
        """
        networks, dtype = self._run.network.replicas, self._run.logits.dtype
        index, *numbers = zip(*objective.terms(networks), strict=True)
        numbers = [
            np.concatenate([np.broadcast_to(f[:, 0], (networks, 1)) for f in of], axis=1).astype(dtype)
            for of in numbers
        ]
        own = list(zip(self._splits, parts(len(self._splits), len(order)), strict=True))
        held, size, n = self._run.logits.shape[1], self._run.recipe.batch_size, order.shape[1]
        for start in range(0, n, held):
            stop = min(start + held, n)
            logits, targets = pieces.batch(start, stop)
            rows_of_x = np.concatenate([x.rows.take(order[of, start:stop]) for x, of in own])
            targets, whole = [targets[k] for k in index], (stop - start) // size * size
            for a, b, rows in ((0, whole, size), (whole, stop - start, stop - start - whole)):
                if b > a:
                    data = self._x, rows_of_x[:, a:b], *self._scaling
                    loss = logits[:, a:b], [target[:, a:b] for target in targets], *numbers
                    rates = self._rates(first, (b - a) // rows)
                    self._of(rows)(data, loss, *factors(self._run.update, rates, self._run.network.parameters))
                    first += len(rates)

    def _of(self, rows):
        if rows not in self._steps:
            layers, update = self._run.backpropagation.layers, self._run.update
            moments, dtype = tuple(update.moments.values()), self._run.logits.dtype.type
            self._steps[rows] = selection.current.steps(layers, rows, update.rule, moments, dtype)
        return self._steps[rows]

    def _rates(self, first, steps):
        recipe, networks = self._run.recipe, self._run.network.replicas
        return [recipe.learning_rate_at(step, self._run.steps, networks) for step in range(first, first + steps)]
