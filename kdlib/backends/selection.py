"""Select the back end that trains: `numpy_backend` or `numba_backend`. No bit of exact arithmetic depends on it.

`current` is the back end. `suited` changes it, so read it from this module at each call; do not import the name.
"""

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator
from types import ModuleType

from kdlib.backends import numpy_backend

log = logging.getLogger("kernels")
COMPILE_SECONDS = 10.0  # to import numba and to compile
SAVED_SECONDS = {"Exact": (1e-4, 5e-10), "Fast": (1.5e-5, 2e-10)}  # by numba: in a step, and for each parameter of it

current = numpy_backend
_agreed = {}  # {`asked` of a run: whether the compiled back end gives NumPy's bits}
choice = "auto"  # "numpy", "numba", or "auto": numba if it is installed and saves more than COMPILE_SECONDS


def choose(name: str) -> None:
    """Set `choice` for the process: "auto", "numpy" or "numba"."""
    global choice
    choice = name


@contextlib.contextmanager
def suited(
    asked: tuple[Callable, bool], steps: int, parameters: int, arithmetic: type, check: Callable[[ModuleType], str]
) -> Iterator[None]:
    """Use the back end that suits a training, inside a `with` block.

    It is numba if numba is installed, agrees with NumPy, and saves more time than it costs to compile (with `choice`
    "auto"); else it stays as it is.

    Parameters
    ----------
    asked : (callable, bool)
        The optimizer's rule, and whether norms are bounded. The result of `check` is remembered for it.
    steps : int
        Of the training.
    parameters : int
        Of the whole stack.
    arithmetic : type
        `kdlib.backends.arithmetic.Exact` or `Fast`.
    check : callable
        Compares a back end with NumPy, and returns a text: where they differ, "" if nowhere.
    """
    of_step, of_parameter = SAVED_SECONDS[arithmetic.__name__]
    pays = _pays(steps * (of_step + parameters * of_parameter))
    with using(_compiled() if pays and _compiled() and _agrees(asked, check) else current):
        yield


@contextlib.contextmanager
def using(back_end: ModuleType) -> Iterator[None]:
    """Make a back end `current` inside a `with` block."""
    global current
    before = current
    current = back_end
    try:
        yield
    finally:
        current = before


def _pays(saved_seconds):
    return choice == "numba" or (choice == "auto" and (bool(_agreed) or saved_seconds > COMPILE_SECONDS))


@functools.cache
def _compiled():
    """Return the compiled back end, or None and a line in the log if it cannot be imported."""
    try:
        from kdlib.backends.numba_backend import calls
    except Exception as error:  # a broken installation raises anything
        log.info("NumPy trains, which numba would speed up: %s", _line(error))
        return None
    return calls


def _agrees(asked, check):
    if asked not in _agreed:
        try:
            found = check(_compiled())
        except Exception as error:
            found = _line(error)
        if found:
            log.warning("NumPy trains, as of what numba compiled this differs or fails: %s", found)
        _agreed[asked] = not found
    return _agreed[asked]


def _line(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]
