"""What the library's arguments may be, and one line for a value that is none of it."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from kdlib.io.errors import UserError


@dataclass(frozen=True)
class Interval:
    """The numbers between two bounds; truth values and NaN are none.

    Parameters
    ----------
    low, high : float
        The bounds.
    closed : str
        ``[]``, ``[)``, ``(]`` or ``()``: which bounds are numbers of the interval.
    whole : bool
        Whether the numbers are whole.
    """

    low: float
    high: float
    closed: str = "[]"
    whole: bool = False

    def holds(self, value: object) -> bool:
        """Tell whether the value is one of these numbers."""
        if not isinstance(value, Integral if self.whole else Real) or isinstance(value, bool):
            return False
        above = value >= self.low if self.closed[0] == "[" else value > self.low
        return bool(above and (value <= self.high if self.closed[1] == "]" else value < self.high))

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} in {self.closed[0]}{self.low:g}, {self.high:g}{self.closed[1]}"


@dataclass(frozen=True)
class Options:
    """A few values, or the keys of a registry.

    Parameters
    ----------
    values : collection
        The values.
    """

    values: Collection

    def holds(self, value: object) -> bool:
        """Tell whether the value is one of these, and of its type."""
        return any(isinstance(value, type(option)) and value == option for option in self.values)

    def __str__(self) -> str:
        return ("one of " if len(self.values) > 1 else "") + ", ".join(map(repr, self.values))


@dataclass(frozen=True)
class Several:
    """Sequences of what one of these constraints allows.

    Parameters
    ----------
    of : tuple of constraints
        What an item may be.
    least : int
        Number of items at least.
    """

    of: tuple
    least: int = 1

    def holds(self, value: object) -> bool:
        """Tell whether the value is such a sequence."""
        listed = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)
        return listed and len(value) >= self.least and all(any(one.holds(item) for one in self.of) for item in value)

    def __str__(self) -> str:
        return f"a sequence, of which each is {' or '.join(map(str, self.of))}"


COUNT = Interval(1, math.inf, "[)", whole=True)
POSITIVE = Interval(0, math.inf, "()")
NON_NEGATIVE = Interval(0, math.inf, "[)")
SHARE = Interval(0, 1)
BELOW_ONE = Interval(0, 1, "[)")
TRUTH = Options((True, False))
NONE = Options((None,))


def check(constraints: Mapping, values: Mapping) -> None:
    """Refuse the first argument that none of its constraints allows.

    Parameters
    ----------
    constraints : mapping of str to tuple of constraints
        What each argument may be.
    values : mapping of str to object
        The arguments. Those without constraints are not looked at.

    Raises
    ------
    UserError
        A `ValueError` of one line, with the argument's name, what it got and what is allowed.
    """
    for name, allowed in constraints.items():
        value = values[name]
        if not any(constraint.holds(value) for constraint in allowed):
            raise UserError(f"{name}: got {value!r}; needs {'; or '.join(map(str, allowed))}")
