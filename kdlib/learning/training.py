"""The mini-batch loop: it takes data and an objective, and gives a trained network and its learning curve."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kdlib.backends.arithmetic import EXACT, Arithmetic
from kdlib.backends.context import Context, Workload
from kdlib.backends.threads import Threads
from kdlib.data.scaled import ScaledRows
from kdlib.data.weights import MAX_WEIGHT, are_weights
from kdlib.io.errors import UserError
from kdlib.learning.backend_check import differences
from kdlib.learning.backpropagation import Backpropagation
from kdlib.learning.epoch import EpochTargets, buffer_rows, draw_orders
from kdlib.learning.inputs import Inputs
from kdlib.learning.labels import as_rows
from kdlib.learning.network import Network, multiply_adds
from kdlib.learning.optimizers import optimizer
from kdlib.learning.recipe import Recipe
from kdlib.learning.steps import LayerSteps, compiled_steps
from kdlib.learning.stopping import EarlyStopping
from kdlib.learning.validation import mean_of_finite, validate
from kdlib.numerics.streams import REPLICAS_PER_SPLIT, Streams

if TYPE_CHECKING:
    from kdlib.learning.checkpoints import Checkpoint
    from kdlib.learning.objectives import Objective

CURVES = ("training_loss", "validation_loss", "validation_accuracy")


def train(
    x: np.ndarray | ScaledRows | list[np.ndarray | ScaledRows],
    objective: "Objective",
    recipe: Recipe = Recipe(),
    validation: tuple | list[tuple] | None = None,
    streams: Streams = Streams(),
    progress: Callable[[int, float, float], None] | None = None,
    checkpoint: "Checkpoint | None" = None,
    allow_divergence: bool = False,
    context: Context = Context(),
) -> tuple[Network, dict[str, np.ndarray]]:
    """Train a stack of networks, one for each replica of `streams`.

    In exact arithmetic each network gets the same bits as if it were trained by itself.

    Parameters
    ----------
    x : array (n, features), images (n, height, width), or `ScaledRows`
        The training examples. With V views the array has V n rows: all of view 0, then all of view 1, and so on. For
        several splits: a list with one such array for each, all with the same n. A list of lists of numbers is refused:
        make it an array. `kdlib.data.scaled` has rows that are not copied; `kdlib.learning.stack` has the order of the
        networks.
    objective : Objective
        The loss and its targets, see `kdlib.learning.objectives`. The targets have the rows of x, all views included.
        The network uses the arithmetic of the objective.
    recipe : Recipe
        The hyperparameters.
    validation : tuple (x, labels) or (x, labels, weights), optional
        Examples for the learning curve and the choice of the best epoch: x in a form that the training examples may
        have; labels are class numbers (n,) or one-hot rows. With weights (n,) the validation loss is a weighted mean.
        For several splits: a list with one tuple for each. Without them the curve has the training loss only.
    streams : Streams
        The random numbers: one network for each entry of `streams.replicas`.
    progress : callable, optional
        It is called after each epoch with (epoch, mean training loss, mean validation accuracy); epoch 0 is the first.
    checkpoint : Checkpoint, optional
        The state is saved in it. If an earlier call with the same arguments was interrupted, training resumes there.
    allow_divergence : bool
        Whether training continues after the loss of a network becomes NaN or infinite. That network ends with NaN
        parameters; the other networks are not affected.
    context : Context
        The kernels, threads and ranks that compute.

    Returns
    -------
    network : Network
        The trained networks, in the order of `streams.replicas`.
    curve : dict of arrays (R, epochs)
        `training_loss` and `validation_loss` in nats, `validation_accuracy` as a fraction. NaN after a replica has
        stopped, and where there is no validation.

    Raises
    ------
    UserError
        If x or validation has another form, or a magnitude of x is above `objective.arithmetic.max_magnitude`; if the
        recipe has a patience and there is no validation; if the arithmetic is exact and this machine's BLAS is not; if
        several ranks train in fast arithmetic, or, with a checkpoint, on different arguments; if a loss or a parameter
        becomes NaN or infinite and `allow_divergence` is false; if another process is writing the checkpoint.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=(100, 4))
    >>> network, curve = train(x, CrossEntropy(np.argmax(x, axis=1)), Recipe(hidden=(8,), epochs=5))  # doctest: +SKIP
    >>> network.logits(x).shape  # doctest: +SKIP
    (1, 100, 4)
    """
    x, validation = _as_lists(x, validation)
    if recipe.patience and not validation:
        raise UserError(f"recipe.patience: got {recipe.patience}, and there is no validation; give it, or set None")
    recipe = recipe if validation else replace(recipe, keep="last")
    run = TrainingState(x, objective, recipe, streams, context)
    network = run.network
    stopping = run.stopping
    validation = [_checked_validation(*given, sizes=network.sizes) for given in validation]
    epochs_done = 0
    if checkpoint:
        content = [x, validation, recipe, streams, objective, allow_divergence]
        epochs_done = checkpoint.resume(content, run.state, run.generators)
        run.backpropagation.refresh_product_weights()
    objective = objective.on(run.backend)
    tuned = run.threads.tuned(recipe.batch_size * multiply_adds(network.sizes), objective.arithmetic.threads_matter)
    with np.errstate(all="ignore"), tuned as after_step:  # `run.mark_diverged` finds what overflows
        inputs = Inputs(x, network, run.backpropagation.dense[0], run.backend)
        take_steps = compiled_steps(run, objective, inputs) or LayerSteps(run, inputs, after_step)
        for epoch in range(epochs_done, recipe.epochs):
            order = draw_orders(run.order_generators, run.n, run.view_generators, recipe.views)[:, run.own_rows]
            current = objective.at(epoch, recipe.epochs)
            epoch_targets = EpochTargets(current, order, run.logits, run.n, context.ranks)
            take_steps(current, order, epoch_targets, epoch * len(run.batches))
            loss = epoch_targets.mean_loss()
            run.mark_diverged(np.where(stopping.running, loss, 0), epoch, allow_divergence)
            validation_loss, accuracy = run.validate(validation)
            for name, values in zip(CURVES, (loss, validation_loss, accuracy), strict=True):
                run.curve[name][:, epoch] = stopping.mask(values)
            if progress:
                progress(epoch, mean_of_finite(loss), mean_of_finite(accuracy))
            if stopping.after_epoch(validation_loss) or run.diverged.all():
                break
            if checkpoint:
                checkpoint.after_epoch(epoch + 1, run.state, run.generators)
        stopping.restore()
        # The last loss was computed before the last step, so only the parameters show whether that step overflowed.
        run.mark_diverged(np.max(np.abs(network.parameters), axis=1), recipe.epochs - 1, allow_divergence)
        network.parameters[:] = network.quantized_copy(recipe.bits).parameters
        network.parameters[run.diverged] = np.nan
    return network, run.curve


def workload(recipe: Recipe, sizes: Sequence[int], networks: int, examples: int, arithmetic: Arithmetic) -> Workload:
    """Describe a training for the choice of a back end; `examples` is their number without further views."""
    rows = min(recipe.batch_size, examples)
    return Workload(
        rule=optimizer(np.empty((1, 1), arithmetic.dtype), recipe).rule,
        bounded=bool(recipe.max_norm),
        layers=len(sizes) - 1,
        steps=recipe.epochs * recipe.steps(examples * recipe.views),
        activations=networks * rows * sum(sizes),  # lint: integer sum
        arithmetic=arithmetic.name,
        can_compile=not recipe.bits,
    )


def _as_lists(x, validation):
    """Return x and validation as lists with one entry for each split; no validation is an empty list."""
    x = x if isinstance(x, list) else [x]
    if validation is None:
        validation = []
    elif not isinstance(validation, list):
        validation = [validation]
    for examples in x:
        if len(getattr(examples, "shape", ())) < 2:
            found = f"an array {examples.shape}" if hasattr(examples, "shape") else type(examples).__name__
            raise UserError(
                f"x: got {found}; needs an array (n, features), or a list of such arrays, one for each split: a table"
                " in nested lists becomes one by numpy.array"
            )
    are_tuples = all(isinstance(given, tuple) and len(given) in (2, 3) for given in validation)
    if not are_tuples or len(validation) not in (0, len(x)):
        raise UserError(
            "validation: needs (x, labels) or (x, labels, weights) as a tuple, or a list of such tuples, one for each"
            f" of the {len(x)} splits"
        )
    return x, validation


def _checked_validation(rows, labels, weights=None, *, sizes):
    """Return the validation with labels as distributions (n, classes); refuse what does not fit the network."""
    targets = as_rows(labels, sizes[-1])
    shape = getattr(rows, "shape", (0,))
    features = math.prod(shape[1:])  # lint: integer sum
    if len(shape) < 2 or features != sizes[0] or targets.shape != (shape[0], sizes[-1]):
        found = f"an array {shape}" if hasattr(rows, "shape") else type(rows).__name__
        raise UserError(
            f"validation: got {found} with labels {targets.shape}; needs rows of {sizes[0]} features, as x has, and for"
            f" each its class number or {sizes[-1]} probabilities"
        )
    if weights is None:
        return rows, targets
    weights = np.asarray(weights, np.float64)
    if weights.shape != shape[:1] or not are_weights(weights) or not weights.any():
        raise UserError(
            f"validation: got weights {weights.shape}; needs a number from 0 to {MAX_WEIGHT:g} for each of {shape[0]}"
            " rows, one of them above 0"
        )
    return rows, targets, weights


class TrainingState:
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
    context : Context
        The kernels, threads and ranks that compute.

    Attributes
    ----------
    state : dict of arrays
        All arrays that change from epoch to epoch.
    generators : list of numpy.random.Generator
        All generators that change from epoch to epoch. `state` and `generators` together are a complete checkpoint.
    n : int
        Number of examples, without their further views.
    ranks, threads, backend
        Those of the context, see `kdlib.backends.context.Context`.
    own_rows : slice or array of int
        Positions in an epoch's order that this rank trains on.
    batches : list of (rows, share, batch)
        See `kdlib.backends.ranks.SingleRank.batches`.
    steps : int
        Number of steps of the whole training.
    curve : dict of arrays (R, epochs)
        The learning curve.
    diverged : (R,) array of bool
        The networks whose loss or parameters became NaN or infinite.

    Raises
    ------
    UserError
        If the arithmetic is exact and this machine's BLAS is not; if several ranks train in fast arithmetic.
    """

    def __init__(
        self,
        x: list[np.ndarray | ScaledRows],
        objective: "Objective",
        recipe: Recipe,
        streams: Streams,
        context: Context,
    ):
        if not objective.arithmetic.usable():
            raise UserError(
                "arithmetic: got exact, which needs float32 products; NumPy's BLAS here multiplies in fewer bits:"
                " switch that off, install another NumPy, or set fast"
            )
        if context.ranks.size > 1 and objective.arithmetic.threads_matter:
            raise UserError("arithmetic: got fast, whose sums depend on how many ranks there are; set exact")
        self.streams = streams
        self.recipe = recipe
        self.n = len(x[0]) // recipe.views
        classes = objective.at(0, recipe.epochs).targets[0].shape[-1]
        sizes = (math.prod(x[0].shape[1:]), *recipe.hidden, classes)  # lint: integer sum
        self.network = Network(sizes, len(streams.replicas), objective.arithmetic)
        self.network.initialize(streams.generators("weights"))
        self.update = optimizer(self.network.parameters, recipe)
        self.ranks = context.ranks
        self.own_rows, self.batches = self.ranks.batches(self.n, recipe.batch_size)
        self.steps = recipe.epochs * len(self.batches)
        self.threads = Threads(context.threads)
        work = workload(recipe, sizes, self.network.replicas, self.n, objective.arithmetic)
        check = functools.partial(differences, recipe=recipe, layers=work.layers)
        self.backend = context.backend(self.threads, work, check)
        rows = min(recipe.batch_size, self.n)
        self.backpropagation = Backpropagation(self.network, rows, recipe.bits, self.backend, self.ranks)
        self.stopping = EarlyStopping(self.network, recipe.patience, recipe.keep == "best")
        self.order_generators = streams.generators("batches")
        self.dropout_generators = streams.generators("dropout")
        self.view_generators = streams.generators("views")
        self.dropout_rates = [recipe.input_dropout] + [recipe.dropout] * len(recipe.hidden)
        self.logits = self._logits_buffer(classes)
        self.curve = {name: np.full((self.network.replicas, recipe.epochs), np.nan) for name in CURVES}
        self.diverged = np.zeros(self.network.replicas, bool)
        self.state = {"parameters": self.network.parameters, **self.update.state, **self.stopping.state, **self.curve}
        self.state["diverged"] = self.diverged
        self.generators = [*self.order_generators, *self.dropout_generators, *self.view_generators]

    def _logits_buffer(self, classes):
        """Allocate the buffer for the logits of this rank, (R, rows, classes); see `buffer_rows` for its length."""
        largest_batch = -(-self.recipe.batch_size // self.ranks.size)
        examples = self.batches[-1][-1].stop
        rows = buffer_rows(self.network.replicas, classes, largest_batch, examples)
        return np.empty((self.network.replicas, rows, classes), dtype=self.network.arithmetic.logits_dtype)

    def validate(self, validation: list[tuple]) -> tuple[np.ndarray, np.ndarray]:
        """Return loss and accuracy (R,) of the networks on the validation rows; NaN if there are none."""
        if not validation:
            return np.full(self.network.replicas, np.nan), np.full(self.network.replicas, np.nan)
        return validate(self.network.quantized_copy(self.recipe.bits), validation, self.ranks, EXACT.on(self.backend))

    def mark_diverged(self, values: np.ndarray, epoch: int, allow_divergence: bool) -> None:
        """Mark the networks that have diverged.

        Parameters
        ----------
        values : (R,) array
            The mean loss, or the largest parameter, of each network. NaN or infinite: the network has diverged.
        epoch : int
            For the message; 0 is the first.
        allow_divergence : bool
            Whether a diverged network is no error.

        Raises
        ------
        UserError
            If a network has diverged and `allow_divergence` is false.
        """
        self.diverged |= ~np.isfinite(values)
        if self.diverged.any() and not allow_divergence:
            first = int(np.argmax(self.diverged))
            split, replica = divmod(self.streams.replicas[first], REPLICAS_PER_SPLIT)
            rate = np.ravel(self.recipe.learning_rate_at(0, 1, len(values)))
            raise UserError(
                f"training diverged: the loss of replica {replica}{f' of split {split}' if split else ''} became"
                f" {values[first]} in epoch {epoch + 1}: lower learning_rate (now {rate[first % len(rate)]:g})"
            )
