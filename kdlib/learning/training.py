"""The mini-batch loop: data and an objective in, a trained network and its learning curve out."""

import math

import numpy as np

from kdlib.backends import numpy_backend, ranks, selection
from kdlib.backends.arithmetic import Exact
from kdlib.backends.threads import paced
from kdlib.io.errors import UserError
from kdlib.learning.backend_check import disagreement
from kdlib.learning.backpropagation import Backpropagation
from kdlib.learning.dropout import dropout_masks
from kdlib.learning.epoch import Epoch, orders, rows_held
from kdlib.learning.inputs import Inputs
from kdlib.learning.network import Network, multiply_adds
from kdlib.learning.optimizers import optimizer
from kdlib.learning.steps import compiled_steps
from kdlib.learning.stopping import EarlyStopping
from kdlib.learning.validation import mean_of_finite, validate
from kdlib.numerics.streams import REPLICAS

CURVES = ("training_loss", "validation_loss", "validation_accuracy")


def train(x, objective, validation, recipe, streams, progress=None, checkpoint=None, survive=False):
    """Train a stack of networks, one for each replica of `streams`; each is the same as if trained alone.

    x: (n, features), or images (n, height, width), n in each of `recipe.views`. objective: see
    `kdlib.learning.objectives`; its arithmetic is the network's. validation: (x, one_hot), for the curve and for early
    stopping. Of several splits, x and validation are lists with one for each, x of the same n, never of rows; see
    `kdlib.learning.stack` for the order of their networks, and `kdlib.data.scaled` for rows that are not copied.
    recipe: a `Recipe`. streams: a `Streams`.
    progress: called after each epoch with (epoch, mean training loss, mean validation accuracy).
    checkpoint: None, or a `kdlib.learning.checkpoints.Checkpoint`, from which the same call goes on if it has begun.
    survive: a network whose loss becomes NaN or infinite ends with NaN parameters, and the others live on.

    Returns (network, curve): parameters rounded to float32, and arrays (R, epochs) `training_loss` and
    `validation_loss` (nats) and `validation_accuracy` (fraction), NaN after a replica has stopped.
    Raises UserError where a loss becomes NaN or infinite, if not `survive`; for x or validation of another form.
    """
    x, validation = _splits(x, validation)
    run = Run(x, objective, recipe, streams)
    network, backpropagation, update, stopping = run.network, run.backpropagation, run.update, run.stopping
    n, done = run.n, 0
    if checkpoint:
        content = [x, validation, recipe, streams, objective, survive]
        done = checkpoint.resume(content, run.state, run.generators)
        backpropagation.mirror()
    threads = paced(recipe.batch_size * multiply_adds(network.sizes), objective.arithmetic.threads_matter)
    work = run.steps - done * len(run.batches), network.parameters.size, objective.arithmetic
    asked = update.rule, bool(recipe.max_norm)
    suited = selection.suited(asked, *work, lambda back_end: disagreement(back_end, recipe))
    alone = ranks.current.size == 1
    plain = alone and not recipe.bits  # numba knows no levels and no ranks
    rules = suited if plain else selection.using(numpy_backend)
    with np.errstate(all="ignore"), rules, threads as after_step:  # what overflows is met by `run.check`
        inputs = Inputs(x, network, backpropagation.dense[0])
        compiled = compiled_steps(run, objective, inputs)
        for epoch in range(done, recipe.epochs):
            order = orders(run.orders, n, run.choices, recipe.views)[:, run.own]
            current = objective.at(epoch, recipe.epochs)
            pieces = Epoch(current, order, run.logits, n)
            first = epoch * len(run.batches)
            if compiled:
                compiled(current, order, pieces, first)
            for step, (rows, share, batch) in enumerate(() if compiled else run.batches, first):
                dropped, *masks = dropout_masks(run.drops, rows, network.sizes[:-1], run.rates, share)
                operand = inputs(order[:, batch], dropped)
                logits, targets = pieces.batch(batch.start, batch.stop)
                logits[...] = backpropagation.forward(operand, masks)
                delta = current.gradient(logits, *targets)
                delta /= rows
                backpropagation.backward(delta, rows)
                rate = recipe.learning_rate_at(step, run.steps, network.replicas)
                update.step(network.parameters, backpropagation.gradient, rate, backpropagation.layers)
                if recipe.max_norm:
                    backpropagation.constrain(recipe.max_norm)
                after_step()
            loss = pieces.loss()
            run.check(np.where(stopping.running, loss, 0), epoch, survive)
            validation_loss, accuracy = validate(network.on_levels(recipe.bits), validation)
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
        network.parameters[:] = network.on_levels(recipe.bits).parameters
        network.parameters[run.diverged] = np.nan
    return network, run.curve


def _splits(x, validation):
    """Both as lists, with one for each split."""
    x, validation = ([given] if not isinstance(given, list) else given for given in (x, validation))
    for of in x:
        if len(getattr(of, "shape", ())) < 2:
            found = f"an array {of.shape}" if hasattr(of, "shape") else type(of).__name__
            raise UserError(
                f"x: got {found}; needs an array (n, features), or a list of such arrays, one for each split: a table"
                " in nested lists becomes one by numpy.array"
            )
    pairs = all(isinstance(of, tuple) and len(of) == 2 for of in validation)
    if not pairs or len(validation) != len(x):
        raise UserError(
            f"validation: needs (x, one_hot) as a tuple, or a list of such tuples, one for each of the {len(x)} splits"
        )
    return x, validation


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
        if ranks.current.size > 1 and objective.arithmetic is not Exact:
            raise UserError("arithmetic: got fast, whose sums depend on how many ranks there are; set exact")
        self.streams, self.recipe, self.n = streams, recipe, len(x[0]) // recipe.views
        classes = objective.at(0, recipe.epochs).targets[0].shape[-1]
        sizes = (math.prod(x[0].shape[1:]), *recipe.hidden, classes)  # integers
        self.network = network = Network(sizes, len(streams.replicas), objective.arithmetic)
        network.initialize(streams.generators("weights"))
        self.backpropagation = Backpropagation(network, min(recipe.batch_size, self.n), recipe.bits)
        self.update = optimizer(network.parameters, recipe)
        self.stopping = EarlyStopping(network, recipe.patience)
        self.orders, self.drops, self.choices = map(streams.generators, ("batches", "dropout", "views"))
        self.rates = [recipe.input_dropout] + [recipe.dropout] * len(recipe.hidden)
        self.own, self.batches = ranks.current.batches(self.n, recipe.batch_size)
        self.steps = recipe.epochs * len(self.batches)
        most, own = -(-recipe.batch_size // ranks.current.size), self.batches[-1][-1].stop
        rows = rows_held(network.replicas, sizes[-1], most, own)
        self.logits = np.empty((network.replicas, rows, sizes[-1]), dtype=network.arithmetic.logits_dtype)
        self.curve = {name: np.full((network.replicas, recipe.epochs), np.nan) for name in CURVES}
        self.diverged = np.zeros(network.replicas, bool)
        self.state = {"parameters": network.parameters, **self.update.state, **self.stopping.state, **self.curve}
        self.state["diverged"] = self.diverged
        self.generators = [*self.orders, *self.drops, *self.choices]

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
