"""The mini-batch loop: it takes data and an objective, and gives a trained network and its learning curve."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from kdlib.backends import numpy_backend, ranks, selection
from kdlib.backends.arithmetic import Exact
from kdlib.backends.threads import paced
from kdlib.data.scaled import ScaledRows
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
from kdlib.numerics.streams import REPLICAS, Streams

if TYPE_CHECKING:
    from kdlib.learning.checkpoints import Checkpoint
    from kdlib.learning.objectives import Objective
    from kdlib.learning.recipe import Recipe

CURVES = ("training_loss", "validation_loss", "validation_accuracy")


def train(
    x: np.ndarray | ScaledRows | list[np.ndarray | ScaledRows],
    objective: "Objective",
    validation: tuple | list[tuple],
    recipe: "Recipe",
    streams: Streams,
    progress: Callable[[int, float, float], None] | None = None,
    checkpoint: "Checkpoint | None" = None,
    survive: bool = False,
) -> tuple[Network, dict[str, np.ndarray]]:
    """Train a stack of networks, one for each replica of `streams`.

    Each network gets the same bits as if it were trained by itself.

    Parameters
    ----------
    x : array (n, features), images (n, height, width), or `ScaledRows`
        The training examples. With `recipe.views` > 1 the array has the n rows of each view, one view after another.
        For several splits: a list with one such array for each split, all with the same n. A list of rows is refused.
        `kdlib.data.scaled` has rows that are not copied; `kdlib.learning.stack` has the order of the networks.
    objective : Objective
        The loss and its targets, see `kdlib.learning.objectives`. The targets have the rows of x, all views included.
        The network uses the arithmetic of the objective.
    validation : tuple (x, one_hot)
        Examples for the learning curve and for early stopping. For several splits: a list with one tuple for each.
    recipe : Recipe
        The hyperparameters.
    streams : Streams
        The random numbers: one network for each entry of `streams.replicas`.
    progress : callable, optional
        It is called after each epoch with (epoch, mean training loss, mean validation accuracy).
    checkpoint : Checkpoint, optional
        The state is saved in it. If an earlier call with the same arguments was interrupted, training resumes there.
    survive : bool
        Whether training continues after the loss of a network becomes NaN or infinite. That network ends with NaN
        parameters; the other networks are not affected.

    Returns
    -------
    network : Network
        Its parameters are rounded to float32.
    curve : dict of arrays (R, epochs)
        `training_loss` and `validation_loss` in nats, `validation_accuracy` as a fraction. NaN after a replica has
        stopped.

    Raises
    ------
    UserError
        If a loss becomes NaN or infinite and `survive` is false; if x or validation has another form.
    """
    x, validation = _as_lists(x, validation)
    run = Run(x, objective, recipe, streams)
    network = run.network
    backpropagation = run.backpropagation
    update = run.update
    stopping = run.stopping
    epochs_done = 0
    if checkpoint:
        content = [x, validation, recipe, streams, objective, survive]
        epochs_done = checkpoint.resume(content, run.state, run.generators)
        backpropagation.mirror()
    threads = paced(recipe.batch_size * multiply_adds(network.sizes), objective.arithmetic.threads_matter)
    suited = selection.suited(
        (update.rule, bool(recipe.max_norm)),
        run.steps - epochs_done * len(run.batches),
        network.parameters.size,
        objective.arithmetic,
        lambda back_end: disagreement(back_end, recipe),
    )
    supported = ranks.current.size == 1 and not recipe.bits  # numba has neither ranks nor levels
    back_end = suited if supported else selection.using(numpy_backend)
    with np.errstate(all="ignore"), back_end, threads as after_step:  # `run.check` finds what overflows
        inputs = Inputs(x, network, backpropagation.dense[0])
        compiled = compiled_steps(run, objective, inputs)
        for epoch in range(epochs_done, recipe.epochs):
            order = orders(run.orders, run.n, run.choices, recipe.views)[:, run.own]
            current = objective.at(epoch, recipe.epochs)
            pieces = Epoch(current, order, run.logits, run.n)
            first_step = epoch * len(run.batches)
            if compiled:
                compiled(current, order, pieces, first_step)
            batches = () if compiled else run.batches
            for step, (rows, share, batch) in enumerate(batches, first_step):
                input_mask, *masks = dropout_masks(run.drops, rows, network.sizes[:-1], run.rates, share)
                operand = inputs(order[:, batch], input_mask)
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
                progress(epoch, mean_of_finite(loss), mean_of_finite(accuracy))
            if stopping.after_epoch(validation_loss) or run.diverged.all():
                break
            if checkpoint:
                checkpoint.after_epoch(epoch + 1, run.state, run.generators)
        stopping.restore()
        network.parameters[:] = network.parameters.astype(np.float32)
        # The last loss was computed before the last step, so only the parameters show whether that step overflowed.
        run.check(np.max(np.abs(network.parameters), axis=1), recipe.epochs - 1, survive)
        network.parameters[:] = network.on_levels(recipe.bits).parameters
        network.parameters[run.diverged] = np.nan
    return network, run.curve


def _as_lists(x, validation):
    """Return x and validation as lists with one entry for each split."""
    x = x if isinstance(x, list) else [x]
    validation = validation if isinstance(validation, list) else [validation]
    for examples in x:
        if len(getattr(examples, "shape", ())) < 2:
            found = f"an array {examples.shape}" if hasattr(examples, "shape") else type(examples).__name__
            raise UserError(
                f"x: got {found}; needs an array (n, features), or a list of such arrays, one for each split: a table"
                " in nested lists becomes one by numpy.array"
            )
    all_pairs = all(isinstance(pair, tuple) and len(pair) == 2 for pair in validation)
    if not all_pairs or len(validation) != len(x):
        raise UserError(
            f"validation: needs (x, one_hot) as a tuple, or a list of such tuples, one for each of the {len(x)} splits"
        )
    return x, validation


class Run:
    """Hold the state of one training: the network, its passes, its update rule and its random generators.

    Parameters
    ----------
    x : list of arrays
        The training examples of each split.
    objective : Objective
        The loss and its targets.
    recipe : Recipe
        The hyperparameters.
    streams : Streams
        The random numbers.

    Attributes
    ----------
    state : dict of arrays
        All arrays that change from epoch to epoch.
    generators : list of numpy.random.Generator
        All generators that change from epoch to epoch. `state` and `generators` together are a complete checkpoint.
    n : int
        Number of examples, without their further views.
    own : slice or array of int
        The examples of this rank.
    batches : list of (rows, share, batch)
        See `kdlib.backends.ranks.Alone.batches`.
    steps : int
        Number of steps of the whole training.
    curve : dict of arrays (R, epochs)
        The learning curve.
    diverged : (R,) array of bool
        The networks whose loss or parameters became NaN or infinite.

    Raises
    ------
    UserError
        If the products of this machine are not exact and the arithmetic is; if several ranks train in fast arithmetic.
    """

    def __init__(self, x: list[np.ndarray | ScaledRows], objective: "Objective", recipe: "Recipe", streams: Streams):
        if not objective.arithmetic.usable():
            raise UserError(
                "arithmetic: got exact, which needs float32 products; NumPy's BLAS here multiplies in fewer bits:"
                " switch that off, install another NumPy, or set fast"
            )
        if ranks.current.size > 1 and objective.arithmetic is not Exact:
            raise UserError("arithmetic: got fast, whose sums depend on how many ranks there are; set exact")
        self.streams = streams
        self.recipe = recipe
        self.n = len(x[0]) // recipe.views
        classes = objective.at(0, recipe.epochs).targets[0].shape[-1]
        sizes = (math.prod(x[0].shape[1:]), *recipe.hidden, classes)  # integers
        self.network = Network(sizes, len(streams.replicas), objective.arithmetic)
        self.network.initialize(streams.generators("weights"))
        self.backpropagation = Backpropagation(self.network, min(recipe.batch_size, self.n), recipe.bits)
        self.update = optimizer(self.network.parameters, recipe)
        self.stopping = EarlyStopping(self.network, recipe.patience)
        self.orders = streams.generators("batches")
        self.drops = streams.generators("dropout")
        self.choices = streams.generators("views")
        self.rates = [recipe.input_dropout] + [recipe.dropout] * len(recipe.hidden)
        self.own, self.batches = ranks.current.batches(self.n, recipe.batch_size)
        self.steps = recipe.epochs * len(self.batches)
        self.logits = self._logits_buffer(classes)
        self.curve = {name: np.full((self.network.replicas, recipe.epochs), np.nan) for name in CURVES}
        self.diverged = np.zeros(self.network.replicas, bool)
        self.state = {"parameters": self.network.parameters, **self.update.state, **self.stopping.state, **self.curve}
        self.state["diverged"] = self.diverged
        self.generators = [*self.orders, *self.drops, *self.choices]

    def _logits_buffer(self, classes):
        """Allocate the logits of as many of this rank's rows as are held at once, (R, rows, classes)."""
        largest_batch = -(-self.recipe.batch_size // ranks.current.size)
        examples = self.batches[-1][-1].stop
        rows = rows_held(self.network.replicas, classes, largest_batch, examples)
        return np.empty((self.network.replicas, rows, classes), dtype=self.network.arithmetic.logits_dtype)

    def check(self, values: np.ndarray, epoch: int, survive: bool) -> None:
        """Mark the networks that have diverged.

        Parameters
        ----------
        values : (R,) array
            The mean loss, or the largest parameter, of each network. NaN or infinite: the network has diverged.
        epoch : int
            For the message; 0 is the first.
        survive : bool
            Whether a diverged network is no error.

        Raises
        ------
        UserError
            If a network has diverged and `survive` is false.
        """
        self.diverged |= ~np.isfinite(values)
        if self.diverged.any() and not survive:
            first = int(np.argmax(self.diverged))
            split, replica = divmod(self.streams.replicas[first], REPLICAS)
            rate = np.ravel(self.recipe.learning_rate_at(0, 1, len(values)))
            raise UserError(
                f"training diverged: the loss of replica {replica}{f' of split {split}' if split else ''} became"
                f" {values[first]} in epoch {epoch + 1}: lower learning_rate (now {rate[first % len(rate)]:g})"
            )
