"""How hyperparameters change during a training: the learning rate by step, temperature and alpha by epoch."""

import math
from dataclasses import dataclass

from kdlib.learning.arguments import Interval, check_arguments
from kdlib.numerics.elementary import cos_pi

FINITE = Interval(-math.inf, math.inf, "()")


def constant(share: float, warmup: float) -> float:
    """Return 1: the factor of a constant learning rate."""
    return 1.0


def linear(share: float, warmup: float) -> float:
    """Return 1 - share: the factor once this share of the steps is done. A warm-up multiplies it."""
    return 1 - share


def cosine(share: float, warmup: float) -> float:
    """Return 1 during the warm-up, and then half a cosine from 1 to 0.

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017), equation 5, without restarts.
    """
    return (1 + cos_pi(max(0.0, share - warmup) / (1 - warmup))) / 2


# {name: (share of the steps done, share of the steps with a warm-up) -> factor of the rate}
SCHEDULES = {"constant": constant, "linear": linear, "cosine": cosine}


@dataclass(frozen=True)
class LinearSchedule:
    """Change a number linearly from the first epoch of a training to the last.

    The last epoch is that of the whole recipe, also if early stopping ends the training before it.

    Parameters
    ----------
    start, end : float
        The number in the first epoch, and in the last one. A training of one epoch has `start`.

    Raises
    ------
    UserError
        If one of them is not a finite number.

    Examples
    --------
    >>> [LinearSchedule(1, 4).at(epoch, 4) for epoch in range(4)]
    [1.0, 2.0, 3.0, 4.0]
    """

    start: float
    end: float

    def __post_init__(self):
        check_arguments({"start": (FINITE,), "end": (FINITE,)}, vars(self))

    def at(self, epoch: int, epochs: int) -> float:
        """Return the value in this epoch of a training of `epochs` epochs; epoch 0 is the first."""
        share = epoch / max(1, epochs - 1)
        return float(self.end if share == 1 else self.start + (self.end - self.start) * share)

    def __str__(self) -> str:
        return f"{self.start} to {self.end}"


@dataclass(frozen=True)
class Scheduled:
    """Allow schedules whose start and end are in an interval.

    Parameters
    ----------
    of : Interval
        The interval.
    """

    of: Interval

    def holds(self, value: object) -> bool:
        """Return whether the value is such a schedule."""
        return isinstance(value, LinearSchedule) and self.of.holds(value.start) and self.of.holds(value.end)

    def __str__(self) -> str:
        return "a LinearSchedule between two such"


def at(values: tuple, epoch: int, epochs: int) -> tuple:
    """Return the values in an epoch: each schedule becomes its number, other values are not changed."""
    return tuple(value.at(epoch, epochs) if isinstance(value, LinearSchedule) else value for value in values)
