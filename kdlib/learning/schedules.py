"""How hyperparameters change in a training: the learning rate by the step, temperature and alpha by the epoch."""

import math
from dataclasses import dataclass

from kdlib.learning.arguments import Interval, check

NUMBER = Interval(-math.inf, math.inf, "()")


def constant(share: float) -> float:
    """Keep the learning rate: its factor after this share of the steps."""
    return 1.0


def linear(share: float) -> float:
    """Let the learning rate fall to zero: its factor after this share of the steps."""
    return 1 - share


SCHEDULES = {"constant": constant, "linear": linear}  # of the learning rate


@dataclass(frozen=True)
class LinearSchedule:
    """A number that changes linearly by the epoch, from the first epoch of a training to the last.

    Early stopping does not change it: the last epoch is that of `Recipe.epochs`.

    Parameters
    ----------
    start, end : float
        The number in the first epoch, and in the last one. A training of one epoch has the first.

    Raises
    ------
    UserError
        If one of them is no finite number.
    """

    start: float
    end: float

    def __post_init__(self):
        check({"start": (NUMBER,), "end": (NUMBER,)}, vars(self))

    def at(self, epoch: int, epochs: int) -> float:
        """Return the number of an epoch; 0 is the first of so many."""
        share = epoch / max(1, epochs - 1)
        return float(self.end if share == 1 else self.start + (self.end - self.start) * share)

    def __str__(self) -> str:
        return f"{self.start} to {self.end}"


@dataclass(frozen=True)
class Scheduled:
    """The constraint of schedules between two numbers of an interval.

    Parameters
    ----------
    of : Interval
        Where start and end are.
    """

    of: Interval

    def holds(self, value: object) -> bool:
        """Tell whether the value is such a schedule."""
        return isinstance(value, LinearSchedule) and self.of.holds(value.start) and self.of.holds(value.end)

    def __str__(self) -> str:
        return "a LinearSchedule between two such"


def at(values: tuple, epoch: int, epochs: int) -> tuple:
    """Return the numbers of an epoch; what follows no schedule is as it is."""
    return tuple(value.at(epoch, epochs) if isinstance(value, LinearSchedule) else value for value in values)
