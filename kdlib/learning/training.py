"""The mini-batch loop: data and an objective in, a trained network and its learning curve out."""

import math

import numpy as np

from kdlib.errors import UserError
from kdlib.learning import losses
from kdlib.learning.augmentation import dropout_masks
from kdlib.learning.backpropagation import Backpropagation
from kdlib.learning.inputs import Inputs
from kdlib.learning.network import Network, multiply_adds
from kdlib.learning.optimizers import optimizer
from kdlib.learning.stack import ordered, parts
from kdlib.learning.stopping import EarlyStopping
from kdlib.numerics import exact
from kdlib.numerics.arithmetic import Exact
from kdlib.numerics.streams import REPLICAS, permutation
from kdlib.numerics.threads import few_threads

BLOCK = 8192  # losses that are computed at once, in the cache
CURVES = ("training_loss", "validation_loss", "validation_accuracy")


def train(x, objective, validation, recipe, streams, progress=None, checkpoint=None, survive=False):
    """Train a stack of networks, one for each replica of `streams`; each is the same as if trained alone.

    x: (n, features), or images (n, height, width). objective: see `kdlib.learning.objectives`; its arithmetic is the
    network's. validation: (x, one_hot), for the curve and for early stopping. Of several splits, x and validation are
    lists with one for each, x of the same n; see `kdlib.learning.stack` for the order of their networks, and
    `kdlib.data.scaled` for rows that are not copied. recipe: a `Recipe`. streams: a `Streams`.
    progress: called after each epoch with (epoch, mean training loss, mean validation accuracy).
    checkpoint: None, or a `kdlib.learning.checkpoints.Checkpoint`, from which the same call goes on if it has begun.
    survive: a network whose loss becomes NaN or infinite ends with NaN parameters, and the others live on.

    Returns (network, curve): parameters rounded to float32, and arrays (R, epochs) `training_loss` and
    `validation_loss` (nats) and `validation_accuracy` (fraction), NaN after a replica has stopped.
    Raises UserError where a loss becomes NaN or infinite, if not `survive`.
    """
    x, validation = ([given] if not isinstance(given, list) else given for given in (x, validation))
    run = Run(x, objective, recipe, streams)
    network, backpropagation, update, stopping = run.network, run.backpropagation, run.update, run.stopping
    n, steps, done = len(x[0]), recipe.steps(len(x[0])), 0
    if checkpoint:
        data = [part if isinstance(part, np.ndarray) else vars(part) for part in x], validation
        content = [data, recipe, streams, type(objective).__name__, vars(objective), survive]
        done = checkpoint.resume(content, run.state, run.generators)
        backpropagation.mirror()
    # What overflows is met by `run.check`.
    with np.errstate(all="ignore"), few_threads(recipe.batch_size * multiply_adds(network.sizes)):
        for epoch in range(done, recipe.epochs):
            order = np.stack([permutation(generator, n) for generator in run.orders])
            targets = [ordered(target, order) for target in objective.targets]
            for step, start in enumerate(range(0, n, recipe.batch_size), epoch * steps):
                batch = slice(start, min(start + recipe.batch_size, n))
                rows = batch.stop - start
                dropped, *masks = dropout_masks(run.drops, rows, network.sizes[:-1], run.rates)
                inputs = run.inputs(order[:, batch], dropped)
                run.logits[:, batch] = backpropagation.forward(inputs, masks)
                delta = objective.gradient(run.logits[:, batch], *(t[:, batch] for t in targets))
                delta /= rows
                backpropagation.backward(delta)
                rate = recipe.learning_rate_at(step, recipe.epochs * steps, network.replicas)
                update.step(network.parameters, backpropagation.gradient, rate, backpropagation.blocks())
                if recipe.max_norm:
                    backpropagation.constrain(recipe.max_norm)
            loss = mean_loss(objective, run.logits, targets)
            run.check(np.where(stopping.running, loss, 0), epoch, survive)
            validation_loss, accuracy = validate(network, validation)
            for name, values in zip(CURVES, (loss, validation_loss, accuracy), strict=True):
                run.curve[name][:, epoch] = stopping.mask(values)
            if progress:
                progress(epoch, *(mean_of_finite(values) for values in (loss, accuracy)))
            if stopping.after_epoch(validation_loss) or run.diverged.all():
                break
            if checkpoint:
                checkpoint.after_epoch(epoch + 1, run.state, run.generators)
        stopping.restore()
        network.parameters[:] = network.parameters.astype(np.float32)
        # The last step is not behind the last loss: only the parameters tell whether it overflowed.
        run.check(np.max(np.abs(network.parameters), axis=1), recipe.epochs - 1, survive)
        network.parameters[run.diverged] = np.nan
    return network, run.curve


class Run:
    """What the loop works with: the network as it starts, its passes, update rule and random generators.

    `state` ({name: array}) and `generators` are all that changes from epoch to epoch.
    """

    def __init__(self, x, objective, recipe, streams):
        if not objective.arithmetic.usable():
            raise UserError(
                "arithmetic: got exact, which needs float32 products; NumPy's BLAS here multiplies in fewer bits:"
                " switch that off, install another NumPy, or set fast"
            )
        self.streams, self.recipe, n = streams, recipe, len(x[0])
        sizes = (math.prod(x[0].shape[1:]), *recipe.hidden, objective.targets[0].shape[-1])  # integers
        self.network = network = Network(sizes, len(streams.replicas), objective.arithmetic)
        network.initialize(streams.generators("weights"))
        self.backpropagation = Backpropagation(network, min(recipe.batch_size, n))
        self.update = optimizer(network.parameters, recipe)
        self.stopping = EarlyStopping(network, recipe.patience)
        self.orders, self.drops, shifts = map(streams.generators, ("batches", "dropout", "shift"))
        self.rates = [recipe.input_dropout] + [recipe.dropout] * len(recipe.hidden)
        self.inputs = Inputs(x, network, self.backpropagation.dense[0], recipe.shift, shifts)
        self.logits = np.empty((network.replicas, n, sizes[-1]), dtype=network.arithmetic.logits_dtype)
        self.curve = {name: np.full((network.replicas, recipe.epochs), np.nan) for name in CURVES}
        self.diverged = np.zeros(network.replicas, bool)
        self.state = {"parameters": network.parameters, **self.update.state, **self.stopping.state, **self.curve}
        self.state["diverged"] = self.diverged
        self.generators = [*self.orders, *self.drops, *shifts]

    def check(self, values, epoch, survive):
        """Mark the networks whose mean loss, or largest parameter, is NaN or infinite: UserError if not `survive`."""
        self.diverged |= ~np.isfinite(values)
        if self.diverged.any() and not survive:
            first = int(np.argmax(self.diverged))
            split, replica = divmod(self.streams.replicas[first], REPLICAS)
            rate = np.ravel(self.recipe.learning_rate_at(0, 1, len(values)))
            raise UserError(
                f"training diverged: the loss of replica {replica}{f' of split {split}' if split else ''} became"
                f" {values[first]} in epoch {epoch + 1}: lower learning_rate (now {rate[first % len(rate)]:g})"
            )


def mean_loss(objective, logits, targets):
    """Mean over the examples, (R,) in nats. logits, targets: (R, n, ...)."""
    rows = max(1, BLOCK // len(logits))
    blocks = [slice(start, start + rows) for start in range(0, logits.shape[1], rows)]
    values = [objective.value(*(a[:, b] for a in (logits, *targets))) for b in blocks]
    return exact.mean(np.concatenate(values, axis=1), axis=1)


def mean_of_finite(values):
    finite = values[np.isfinite(values)]
    return float(exact.mean(finite[None], axis=1)[0]) if finite.size else math.nan


def validate(network, validation):
    """(mean cross-entropy in nats, accuracy) of each network, (R,) each. validation: [(x, one_hot), ...], of splits."""
    found = []
    for (x, one_hot), own in zip(validation, parts(len(validation), network.replicas), strict=True):
        logits = network.part(own).logits(x).astype(np.float64)
        correct = np.argmax(logits, axis=-1) == np.argmax(one_hot, axis=-1)
        loss = losses.cross_entropy(logits, one_hot, Exact)
        found.append((exact.mean(loss, axis=1), exact.mean(correct.astype(np.float64), axis=1)))
    return tuple(np.concatenate(values) for values in zip(*found, strict=True))
