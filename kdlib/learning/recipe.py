"""How a network is trained: its shape and its hyperparameters, in one object."""

from dataclasses import dataclass, replace

import numpy as np

from kdlib.learning.stack import each


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of `kdlib.learning.training.train`.

    hidden: widths of the hidden layers. learning_rate: a number, or a tuple of G; see `kdlib.learning.stack`.
    optimizer: a key of `kdlib.learning.optimizers.OPTIMIZERS`; momentum and nesterov are of sgd alone. schedule:
    `constant`, or `linear` to zero. input_dropout, dropout: probability to drop an input or a hidden unit. max_norm:
    None, or the greatest L2 norm of a unit's incoming weights. shift: pixels by which images are moved at most, see
    `kdlib.learning.augmentation.shifted`. patience: None, or stop a replica after so many epochs without a lower
    validation loss, and keep its best epoch.
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
    input_dropout: float = 0.0
    dropout: float = 0.0
    max_norm: float | None = None
    shift: int = 0
    patience: int | None = None

    def steps(self, examples):
        """Steps of an epoch over so many examples."""
        return -(-examples // self.batch_size)

    def learning_rate_at(self, step, steps, networks=1):
        """Linear: from `learning_rate` at step 0 to zero after the last of `steps`. A number, or (R, 1) for a stack."""
        rate = self.learning_rate
        if isinstance(rate, tuple):
            rate = each(np.array(rate)[:, None], networks)
        return rate if self.schedule == "constant" else rate * (1 - step / steps)

    def lengthened(self, examples, labeled):
        """The recipe for the `labeled` of the `examples` (counts), in epochs as many times longer as they are fewer.

        So a network that hears the labels alone takes as many steps as one that also hears the teacher on all examples.
        """
        steps, of_labeled = self.steps(examples), self.steps(labeled)
        longer = {"epochs": max(1, round(self.epochs * steps / of_labeled))}
        if self.patience:
            longer["patience"] = max(1, round(self.patience * steps / of_labeled))
        return replace(self, **longer)
