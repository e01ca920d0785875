"""How a network is trained: its shape and its hyperparameters, in one object."""

from dataclasses import dataclass, replace

import numpy as np

from kdlib.learning.stack import each


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of `kdlib.learning.training.train`.

    hidden: widths of the hidden layers. learning_rate: a number, or a tuple of G; see `kdlib.learning.stack`.
    optimizer: a key of `kdlib.learning.optimizers.OPTIMIZERS`; momentum and nesterov are of sgd alone. schedule:
    `constant`, or `linear` to zero. warmup: share of the steps in which the rate rises from zero. input_dropout,
    dropout: probability to drop an input or a hidden unit. max_norm: None, or the greatest L2 norm of a unit's
    incoming weights. views: of each example, as the rows have them one after another; an epoch shows one.
    patience: None, or stop a replica after so many epochs without a lower validation loss, and keep its best epoch.
    bits: None, or of the levels on which the weights end, see `kdlib.numerics.levels`.
    """

    hidden: tuple = ()
    epochs: int = 10
    learning_rate: float | tuple = 0.05
    batch_size: int = 32
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "constant"
    warmup: float = 0.0
    input_dropout: float = 0.0
    dropout: float = 0.0
    max_norm: float | None = None
    views: int = 1
    patience: int | None = None
    bits: int | None = None

    def steps(self, examples):
        """Steps of an epoch over so many rows, views among them."""
        return -(-(examples // self.views) // self.batch_size)

    def learning_rate_at(self, step, steps, networks=1):
        """By schedule and warm-up, where the last of `steps` is followed by zero. A number, or (R, 1) for a stack.

        The warm-up of Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 2.2, by the step.
        """
        rate = self.learning_rate
        if isinstance(rate, tuple):
            rate = each(np.array(rate)[:, None], networks)
        rate = rate if self.schedule == "constant" else rate * (1 - step / steps)
        rising = self.warmup * steps
        return rate * ((step + 1) / rising) if step + 1 < rising else rate

    def lengthened(self, examples, labeled):
        """The recipe for the `labeled` of the `examples` (counts), in epochs as many times longer as they are fewer.

        So a network that hears the labels alone takes as many steps as one that also hears the teacher on all examples.
        """
        steps, of_labeled = self.steps(examples), self.steps(labeled)
        longer = {"epochs": max(1, round(self.epochs * steps / of_labeled))}
        if self.patience:
            longer["patience"] = max(1, round(self.patience * steps / of_labeled))
        return replace(self, **longer)
