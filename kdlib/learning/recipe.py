"""How a network is trained: its shape and its hyperparameters, in one object."""

from dataclasses import dataclass, replace

import numpy as np

from kdlib.learning.arguments import BELOW_ONE, COUNT, NON_NEGATIVE, NONE, POSITIVE, TRUTH, Options, Several, check
from kdlib.learning.optimizers import OPTIMIZERS
from kdlib.learning.schedules import SCHEDULES
from kdlib.learning.stack import each
from kdlib.numerics.levels import LEVELS

CONSTRAINTS = {
    "hidden": (Several((COUNT,), least=0),),
    "epochs": (COUNT,),
    "learning_rate": (POSITIVE, Several((POSITIVE,))),
    "batch_size": (COUNT,),
    "optimizer": (Options(OPTIMIZERS),),
    "momentum": (BELOW_ONE,),
    "nesterov": (TRUTH,),
    "weight_decay": (NON_NEGATIVE,),
    "schedule": (Options(SCHEDULES),),
    "warmup": (BELOW_ONE,),
    "input_dropout": (BELOW_ONE,),
    "dropout": (BELOW_ONE,),
    "max_norm": (POSITIVE, NONE),
    "views": (COUNT,),
    "patience": (COUNT, NONE),
    "bits": (Options(LEVELS), NONE),
}


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of `kdlib.learning.training.train`; the defaults are those of the student in params.yaml.

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    epochs : int
        Passes over the training examples.
    learning_rate : float or tuple of G floats
        Step size at the start; several by the order of `kdlib.learning.stack`.
    batch_size : int
        Examples of a step.
    optimizer : str
        A key of `kdlib.learning.optimizers.OPTIMIZERS`; momentum and nesterov are of sgd alone.
    momentum, weight_decay : float
        See the optimizer.
    nesterov : bool
        See the optimizer.
    schedule : str
        A key of `kdlib.learning.schedules.SCHEDULES`: `constant`, or `linear` to zero.
    warmup : float
        Share of the steps in which the rate rises from zero.
    input_dropout, dropout : float
        Probability to drop an input or a hidden unit.
    max_norm : float, optional
        The greatest L2 norm of a unit's incoming weights.
    views : int
        Views of each example, as the rows have them one after another; an epoch shows one.
    patience : int, optional
        Stop a replica after so many epochs without a lower validation loss, and keep its best epoch.
    bits : int, optional
        Of the levels on which the weights end, see `kdlib.numerics.levels`.

    Raises
    ------
    UserError
        For a value that is not allowed: a `ValueError` that names the argument.
    """

    hidden: tuple = ()
    epochs: int = 60
    learning_rate: float | tuple = 0.05
    batch_size: int = 64
    optimizer: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: str = "linear"
    warmup: float = 0.0
    input_dropout: float = 0.0
    dropout: float = 0.0
    max_norm: float | None = None
    views: int = 1
    patience: int | None = None
    bits: int | None = None

    def __post_init__(self):
        check(CONSTRAINTS, vars(self))
        for name in ("hidden", "learning_rate"):
            if isinstance(getattr(self, name), list | np.ndarray):
                object.__setattr__(self, name, tuple(getattr(self, name)))

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
        rate = rate * SCHEDULES[self.schedule](step / steps)
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
