"""The mini-batch loop: data and an objective in, a trained network and its learning curve out."""

import contextlib

import numpy as np

from kdlib import exact, losses
from kdlib.arithmetic import Exact
from kdlib.augmentation import shifted
from kdlib.errors import UserError
from kdlib.network import Backpropagation, Network, multiply_adds
from kdlib.optimizers import OPTIMIZERS
from kdlib.streams import permutation, stream

BLOCK = 1024  # examples whose losses are computed at once, in the cache


def learning_rate_at(step, steps, learning_rate, schedule):
    """`constant`, or `linear`: from `learning_rate` at step 0 to zero after the last of `steps`."""
    return learning_rate if schedule == "constant" else learning_rate * (1 - step / steps)


def dropout_masks(generators, rows, widths, rates):
    """Inverted dropout (Srivastava et al. 2014): zeros with probability `rate`, else 1 / (1 - rate).

    A list with one (R, rows, width) for each of the `widths` and its rate, None where that is 0.
    """
    return [
        np.stack([(g.random((rows, width)) >= rate) * (1 / (1 - rate)) for g in generators]) if rate else None
        for width, rate in zip(widths, rates, strict=True)
    ]


def train(
    x, objective, validation, hidden, arithmetic, seed, purpose, replicas=(0,), *,
    epochs=10, learning_rate=0.05, batch_size=32, optimizer="sgd", momentum=0.9, nesterov=False, weight_decay=0.0,
    schedule="constant", input_dropout=0.0, dropout=0.0, max_norm=None, shift=0, image_shape=(), patience=None,
    progress=None, checkpoint=None,
):  # fmt: skip
    """Train a stack of networks, one for each number in `replicas`; each is the same as if trained alone.

    x: (n, features). objective: see `kdlib.objectives`. validation: (x, one_hot), for the curve and for `patience`.
    hidden: widths of the hidden layers. arithmetic: a class of `kdlib.arithmetic`. purpose: names the random streams;
    two runs with the same seed and purpose start from the same weights and see the same batches.
    max_norm: None, or the greatest L2 norm of a unit's incoming weights. shift: see `kdlib.augmentation.shifted`.
    patience: None, or stop a replica after so many epochs without a lower validation loss, and keep its best epoch.
    progress: called after each epoch with (epoch, mean training loss, mean validation accuracy).
    checkpoint: None, or a `kdlib.checkpoints.Checkpoint`, from which the same call goes on if it has begun.

    Returns (network, curve): parameters rounded to float32, and arrays (R, epochs) `training_loss` and
    `validation_loss` (nats) and `validation_accuracy` (fraction), NaN after a replica has stopped.
    Raises UserError where a loss becomes NaN or infinite.
    """
    arguments = {k: v for k, v in locals().items() if k not in ("objective", "progress", "checkpoint")}
    n, classes = len(x), objective.targets[0].shape[-1]
    network = Network((x.shape[1], *hidden, classes), len(replicas), arithmetic)
    network.initialize([stream(seed, f"{purpose}/weights", replica) for replica in replicas])
    orders, drops, shifts = (
        [stream(seed, f"{purpose}/{name}", replica) for replica in replicas] for name in ("batches", "dropout", "shift")
    )
    backpropagation = Backpropagation(network, max(*network.sizes, min(batch_size, n)))
    momentum = {"momentum": momentum, "nesterov": nesterov} if optimizer == "sgd" else {}
    update = OPTIMIZERS[optimizer](network.parameters, weight_decay=weight_decay, **momentum)
    stopping = EarlyStopping(network, patience)
    inputs = backpropagation.arithmetic.batches(x, shifted(x, image_shape, shift, shifts) if shift else None)
    logits = np.empty((len(replicas), n, classes), dtype=arithmetic.dtype)
    names = ("training_loss", "validation_loss", "validation_accuracy")
    curve = {name: np.full((len(replicas), epochs), np.nan) for name in names}
    rates, steps_per_epoch = [input_dropout] + [dropout] * len(hidden), -(-n // batch_size)
    state = {"parameters": network.parameters, **update.state, **stopping.state, **curve}
    generators, done = [*orders, *drops, *shifts], 0
    if checkpoint:
        done = checkpoint.resume([arguments, type(objective).__name__, vars(objective)], state, generators)
        backpropagation.mirror.finish()
    # What overflows is met by `check_loss`.
    with np.errstate(all="ignore"), few_threads(batch_size * multiply_adds(network.sizes)):
        for epoch in range(done, epochs):
            order = np.stack([permutation(generator, n) for generator in orders])
            targets = [target[order] for target in objective.targets]
            for step, start in enumerate(range(0, n, batch_size), epoch * steps_per_epoch):
                batch = slice(start, min(start + batch_size, n))
                rows = batch.stop - start
                masks = dropout_masks(drops, rows, network.sizes[:-1], rates)
                logits[:, batch] = backpropagation.forward(inputs(order[:, batch]), masks)
                delta = objective.gradient(
                    logits[:, batch], *(t[:, batch] for t in targets), backpropagation.arithmetic
                )
                delta /= rows
                backpropagation.backward(delta)
                rate = learning_rate_at(step, epochs * steps_per_epoch, learning_rate, schedule)
                update.step(network.parameters, backpropagation.gradient, rate, backpropagation.mirror.update)
                backpropagation.mirror.finish()
                if max_norm:
                    backpropagation.constrain(max_norm)
            blocks = [slice(start, start + BLOCK) for start in range(0, n, BLOCK)]
            values = [objective.value(*(a[:, b] for a in (logits, *targets)), arithmetic) for b in blocks]
            loss = exact.mean(np.concatenate(values, axis=1), axis=1)
            check_loss(np.where(stopping.running, loss, 0), epoch, replicas, learning_rate)
            validation_loss, accuracy = validate(network, *validation)
            for name, values in zip(names, (loss, validation_loss, accuracy), strict=True):
                curve[name][:, epoch] = stopping.mask(values)
            if progress:
                progress(epoch, *(float(exact.mean(values[None], axis=1)[0]) for values in (loss, accuracy)))
            if stopping.after_epoch(validation_loss):
                break
            if checkpoint:
                checkpoint.after_epoch(epoch + 1, state, generators)
        stopping.restore()
        network.parameters[:] = network.parameters.astype(np.float32)
        # The last step is not behind the last loss: only the parameters tell whether it overflowed.
        check_loss(np.max(np.abs(network.parameters), axis=1), epochs - 1, replicas, learning_rate)
    return network, curve


def few_threads(products):
    """Context in which a BLAS has one thread for a step of less than 2^20 `products`, if threadpoolctl is installed.

    Waking a second thread costs more than it saves there: 64-128-10 in batches of 32 takes 3/4 of the time without.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    return threadpool_limits(1, "blas") if products < 1 << 20 else contextlib.nullcontext()


def validate(network, x, one_hot):
    """(mean cross-entropy in nats, accuracy) of each replica, (R,) each."""
    logits = network.logits(x).astype(np.float64)
    correct = np.argmax(logits, axis=-1) == np.argmax(one_hot, axis=-1)
    loss = losses.cross_entropy(logits, one_hot, Exact)
    return exact.mean(loss, axis=1), exact.mean(correct.astype(np.float64), axis=1)


def check_loss(loss, epoch, replicas, learning_rate):
    """Raises UserError if a replica's mean loss, or its largest parameter, is NaN or infinite."""
    for replica, value in zip(replicas, loss, strict=True):
        if not np.isfinite(value):
            raise UserError(
                f"training diverged: the loss of replica {replica} became {value} in epoch {epoch + 1}:"
                f" lower learning_rate (now {learning_rate:g})"
            )


class EarlyStopping:
    """Keeps the parameters of each replica's epoch of least validation loss (Prechelt 1998), if `patience` is set."""

    def __init__(self, network, patience):
        self.network, self.patience = network, patience
        self.best = np.full(network.replicas, np.inf)
        self.waited = np.zeros(network.replicas, dtype=int)
        self.parameters = None if patience is None else network.parameters.copy()
        self.state = {} if patience is None else {"best": self.best, "waited": self.waited, "kept": self.parameters}

    @property
    def running(self):
        return np.ones(len(self.waited), bool) if self.patience is None else self.waited < self.patience

    def mask(self, values):
        """values: (R,) -> the same, NaN for the replicas that have stopped."""
        return np.where(self.running, values, np.nan)

    def after_epoch(self, loss):
        """loss: (R,), of the validation split. Returns whether all replicas have stopped."""
        if self.patience is None:
            return False
        better = self.running & (loss < self.best)
        self.best[better] = loss[better]
        self.parameters[better] = self.network.parameters[better]
        self.waited[:] = np.where(better, 0, self.waited + self.running)
        return not self.running.any()

    def restore(self):
        if self.patience is not None:
            self.network.parameters[:] = self.parameters
