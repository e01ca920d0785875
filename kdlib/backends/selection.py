"""Which back end trains: `blocks` (NumPy) or `compiled` (numba). No bit of exact arithmetic depends on it.

`current` is the back end; callers name its functions by way of it, as `suited` changes it.
"""

import contextlib
import functools
import logging

from kdlib.backends import numpy_backend

log = logging.getLogger("kernels")
COST = 10.0  # s to import numba and to compile
SAVED = {"Exact": (1e-4, 5e-10), "Fast": (1.5e-5, 2e-10)}  # s that they save in a step, and for each parameter

current = numpy_backend
_agreed = {}  # {what a run asks for: whether what is compiled for it gives NumPy's bits}
choice = "auto"  # auto: numba, if it is installed, for a run that saves more than COST; numpy; numba


def choose(name):
    """Set `choice` for the process."""
    global choice
    choice = name


@contextlib.contextmanager
def suited(asked, steps, parameters, arithmetic, check):
    """Context in which `current` suits a run of so many steps on so many parameters.

    asked: (an optimizer's rule, whether norms are bounded). check: function of a back end to a text that tells where it
    differs from NumPy in this, "" if nowhere.
    """
    of_step, of_parameter = SAVED[arithmetic.__name__]
    pays = _pays(steps * (of_step + parameters * of_parameter))
    with using(_compiled() if pays and _compiled() and _agrees(asked, check) else current):
        yield


@contextlib.contextmanager
def using(back_end):
    """Context in which `current` is this one."""
    global current
    before, current = current, back_end
    try:
        yield
    finally:
        current = before


def _pays(saved):
    return choice == "numba" or (choice == "auto" and (bool(_agreed) or saved > COST))


@functools.cache
def _compiled():
    """The compiled back end, or None, with a line in the log, where it is not to be had."""
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
