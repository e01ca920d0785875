"""All hyperparameters of a training in one object: the shape of the network and how it is trained."""

from dataclasses import dataclass, replace

import numpy as np

from kdlib.io.errors import UserError
from kdlib.learning.arguments import (
    BELOW_ONE,
    BOOLEAN,
    COUNT,
    NON_NEGATIVE,
    NONE,
    POSITIVE,
    Options,
    Several,
    check_arguments,
)
from kdlib.learning.optimizers import OPTIMIZERS
from kdlib.learning.schedules import SCHEDULES
from kdlib.learning.stack import expand_to_networks
from kdlib.numerics.quantization import MAX_INTEGER

KEPT_EPOCHS = "best", "last"
CONSTRAINTS = {
    "hidden": (Several((COUNT,), min_size=0),),
    "epochs": (COUNT,),
    "learning_rate": (POSITIVE, Several((POSITIVE,))),
    "batch_size": (COUNT,),
    "optimizer": (Options(OPTIMIZERS),),
    "momentum": (BELOW_ONE,),
    "nesterov": (BOOLEAN,),
    "weight_decay": (NON_NEGATIVE,),
    "schedule": (Options(SCHEDULES),),
    "warmup": (BELOW_ONE,),
    "input_dropout": (BELOW_ONE,),
    "dropout": (BELOW_ONE,),
    "max_norm": (POSITIVE, NONE),
    "views": (COUNT,),
    "patience": (COUNT, NONE),
    "keep": (Options(KEPT_EPOCHS),),
    "bits": (Options(MAX_INTEGER), NONE),
}


@dataclass(frozen=True)
class Recipe:
    """Hold the hyperparameters of `kdlib.learning.training.train`.

    The defaults are those of the student in the project's params.yaml, except for three: `hidden` (here no hidden
    layer), `learning_rate` (there a sweep) and `keep` (there `last`, because the digits are images).

    Parameters
    ----------
    hidden : tuple of int
        Widths of the hidden layers.
    epochs : int
        Passes over the training examples.
    learning_rate : float or tuple of G floats
        Step size at the start. Several: in the order of `kdlib.learning.stack`.
    batch_size : int
        Examples in a step.
    optimizer : str
        A key of `kdlib.learning.optimizers.OPTIMIZERS`.
    momentum : float
        Only for sgd, see `kdlib.learning.optimizers.SGD`.
    nesterov : bool
        Only for sgd, see `kdlib.learning.optimizers.SGD`.
    weight_decay : float
        See the optimizer.
    schedule : str
        A key of `kdlib.learning.schedules.SCHEDULES`: `constant`, `linear` to zero, or `cosine`, half a cosine to zero
        after the warm-up.
    warmup : float
        Share of the steps in which the learning rate rises from zero.
    input_dropout, dropout : float
        Probability to drop an input, and to drop a hidden unit.
    max_norm : float, optional
        Maximum L2 norm of a unit's incoming weights.
    views : int
        Views of each example. The rows hold one view after another; an epoch shows one view of each example.
    patience : int, optional
        A replica stops after this many epochs without a lower validation loss.
    keep : str
        Which epoch is kept of each replica: `best`, the first with the lowest validation loss, or `last`. Without
        validation it is the last. `last` allows no patience.
    bits : int, optional
        The trained weights are on levels of this many bits, see `kdlib.numerics.quantization`.

    Raises
    ------
    UserError
        If a value is not allowed. It is a `ValueError` that names the argument.

    Examples
    --------
    >>> recipe = Recipe(hidden=(64,), epochs=20, learning_rate=0.1, dropout=0.2)
    >>> recipe.steps(1000)
    16
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
    keep: str = "best"
    bits: int | None = None

    def __post_init__(self) -> None:
        check_arguments(CONSTRAINTS, vars(self))
        if self.patience and self.keep == "last":
            raise UserError(f"patience: got {self.patience} with keep: last; needs keep: best, or no patience")
        for name in ("hidden", "learning_rate"):
            if isinstance(getattr(self, name), list | np.ndarray):
                object.__setattr__(self, name, tuple(getattr(self, name)))

    def steps(self, examples: int) -> int:
        """Return the number of steps in an epoch. `examples` is n times `views`: the rows of all views."""
        return -(-(examples // self.views) // self.batch_size)

    def learning_rate_at(self, step: int, steps: int, networks: int = 1) -> float | np.ndarray:
        """Return the learning rate of a step, by schedule and warm-up.

        Parameters
        ----------
        step : int
            0 is the first.
        steps : int
            Steps of the whole training. `linear` and `cosine` would reach zero in the step after the last.
        networks : int
            R, the size of the stack.

        Returns
        -------
        float, or array (R, 1) or (1, 1)
            An array if the recipe has a tuple of rates.

        References
        ----------
        The warm-up, here by the step: Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 2.2.
        """
        rate = self.learning_rate
        if isinstance(rate, tuple):
            rate = expand_to_networks(np.array(rate)[:, None], networks)
        rate = rate * SCHEDULES[self.schedule](step / steps, self.warmup)
        warmup_steps = self.warmup * steps
        return rate * ((step + 1) / warmup_steps) if step + 1 < warmup_steps else rate

    def with_equal_steps(self, examples: int, labeled: int) -> "Recipe":
        """Return the recipe for a training on the labelled examples only, with about as many steps as on all.

        It has epochs * (steps per epoch on all) / (steps per epoch on labelled) epochs, rounded; the patience grows by
        the same factor. So a baseline, which learns only from labels, takes about as many steps as a student, which
        learns from the teacher on all examples.

        Parameters
        ----------
        examples : int
            Rows of all training examples, with all views.
        labeled : int
            Rows of those with a label, with all views.
        """
        steps = self.steps(examples)
        labeled_steps = self.steps(labeled)
        longer = {"epochs": max(1, round(self.epochs * steps / labeled_steps))}
        if self.patience:
            longer["patience"] = max(1, round(self.patience * steps / labeled_steps))
        return replace(self, **longer)
