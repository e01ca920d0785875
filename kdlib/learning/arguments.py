"""Constraints on the library's arguments, and one line of error for a value that breaks them."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from kdlib.io.errors import UserError


@dataclass(frozen=True)
class Interval:
    """Allow numbers between two bounds, but no booleans and no NaN.

    Parameters
    ----------
    low, high : float
        The bounds.
    closed : str
        ``[]``, ``[)``, ``(]`` or ``()``: a square bracket includes its bound.
    whole : bool
        Whether only whole numbers are allowed.

    Examples
    --------
    >>> Interval(0, 1, "[)").holds(1)
    False
    """

    low: float
    high: float
    closed: str = "[]"
    whole: bool = False

    def holds(self, value: object) -> bool:
        """Return whether the value is allowed."""
        if not isinstance(value, Integral if self.whole else Real) or isinstance(value, bool):
            return False
        too_low = value < self.low if self.closed[0] == "[" else value <= self.low
        low_enough = value <= self.high if self.closed[1] == "]" else value < self.high  # NaN is not
        return bool(low_enough and not too_low)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        return f"{kind} in {self.closed[0]}{self.low:g}, {self.high:g}{self.closed[1]}"


@dataclass(frozen=True)
class Options:
    """Allow a few values, or the keys of a registry.

    Parameters
    ----------
    values : collection
        The allowed values.
    """

    values: Collection

    def holds(self, value: object) -> bool:
        """Return whether the value equals an allowed one and has its type."""
        return any(isinstance(value, type(option)) and value == option for option in self.values)

    def __str__(self) -> str:
        return ("one of " if len(self.values) > 1 else "") + ", ".join(map(repr, self.values))


@dataclass(frozen=True)
class Several:
    """Allow sequences: lists, tuples and one-dimensional arrays.

    Parameters
    ----------
    of : tuple of constraints
        Each item must be allowed by one of them.
    min_size : int
        Least number of items.
    """

    of: tuple
    min_size: int = 1

    def holds(self, value: object) -> bool:
        """Return whether the value is an allowed sequence."""
        if not isinstance(value, list | tuple | np.ndarray) or (isinstance(value, np.ndarray) and value.ndim != 1):
            return False
        return len(value) >= self.min_size and all(any(one.holds(item) for one in self.of) for item in value)

    def __str__(self) -> str:
        return f"a sequence, of which each is {' or '.join(map(str, self.of))}"


COUNT = Interval(1, math.inf, "[)", whole=True)
POSITIVE = Interval(0, math.inf, "()")
NON_NEGATIVE = Interval(0, math.inf, "[)")
FRACTION = Interval(0, 1)
BELOW_ONE = Interval(0, 1, "[)")
BOOLEAN = Options((True, False))
NONE = Options((None,))


def check_arguments(constraints: Mapping, values: Mapping) -> None:
    """Check that each argument is allowed by one of its constraints.

    Parameters
    ----------
    constraints : mapping of str to tuple of constraints
        The constraints of each argument.
    values : mapping of str to object
        The arguments. Those without constraints are not checked.

    Raises
    ------
    UserError
        A `ValueError` of one line, for the first argument that is not allowed: its name, its value, what is allowed.
    """
    for name, allowed in constraints.items():
        value = values[name]
        if not any(constraint.holds(value) for constraint in allowed):
            raise UserError(f"{name}: got {value!r}; needs {'; or '.join(map(str, allowed))}")
