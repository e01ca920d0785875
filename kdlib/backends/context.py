"""Where a training computes: with which kernels, on how many threads, over which ranks. No bit depends on it.

Plain float32 (`Fast`) is the exception: its bits depend on all three.
"""

import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass

from kdlib.backends import code_folder
from kdlib.backends.numpy_backend import NUMPY, NumpyBackend
from kdlib.backends.ranks import SINGLE_RANK, SingleRank
from kdlib.backends.threads import Threads

log = logging.getLogger("kernels")
KERNELS = "auto", "numpy", "numba"
COMPILE_SECONDS = 10.0  # to import numba and to compile
LOAD_SECONDS = 1.0  # to import numba and to load what is kept compiled
SAVED_SECONDS = {"exact": (1e-4, 5e-10), "fast": (1.5e-5, 2e-10)}  # of a step, and of a parameter in it
_agreed = {}  # {(rule, whether norms are bounded, layers): whether numba gave NumPy's bits}, of this process


@dataclass(frozen=True)
class Context:
    """Where a training computes.

    Parameters
    ----------
    kernels : str
        "numpy"; "numba", if it is installed and agrees with NumPy; "auto", the same if it saves more time than it
        costs to compile, or to load where the code is kept, see `kdlib.backends.code_folder`.
    threads : int, optional
        The largest number of threads. None: one for each core that the process may use.
    ranks : SingleRank or Ranks
        The processes that train one network together, see `kdlib.backends.ranks`.
    """

    kernels: str = "auto"
    threads: int | None = None
    ranks: SingleRank = SINGLE_RANK

    def backend(
        self,
        threads: Threads,
        rule: Callable,
        bounded: bool,
        layers: int,
        saved_seconds: float,
        check: Callable[[NumpyBackend], str],
        exact: bool = True,
    ) -> NumpyBackend:
        """Return the back end for a training.

        Parameters
        ----------
        threads : Threads
            The threads of the training.
        rule : callable
            The rule of the training's optimizer, see `kdlib.learning.optimizers`.
        bounded : bool
            Whether norms are bounded.
        layers : int
            The layers of weights. `check` is called once for each rule, `bounded` and `layers`.
        saved_seconds : float
            The time that numba saves, see the function `saved_seconds`.
        check : callable
            Compares a back end with NumPy; returns the names of the results that differ, or "".
        exact : bool
            Whether both back ends train to the same bits. If not, "auto" does not look for kept code: a run would have
            other bits after another one.
        """
        asked = rule, bounded, layers
        pays = self.kernels == "auto" and (bool(_agreed) or _pays(saved_seconds, asked, exact))
        if self.ranks.size > 1 or not (pays or self.kernels == "numba"):
            return NUMPY
        numba = _numba()
        if numba is None:
            return NUMPY
        backend = numba(threads)
        return backend if _agrees(backend, asked, check) else NUMPY


def saved_seconds(steps: int, parameters: int, arithmetic: str) -> float:
    """Estimate the time that numba saves in a training.

    Parameters
    ----------
    steps : int
    parameters : int
        Number of parameters of the whole stack.
    arithmetic : {"exact", "fast"}
    """
    of_step, of_parameter = SAVED_SECONDS[arithmetic]
    return steps * (of_step + parameters * of_parameter)


def _pays(saved_seconds, asked, exact):
    """Return whether numba saves more time than it takes to compile; to load, if what is asked for is kept."""
    kept = exact and saved_seconds > LOAD_SECONDS and code_folder.holds(*asked)
    return saved_seconds > (LOAD_SECONDS if kept else COMPILE_SECONDS)


@functools.cache
def _numba():
    """Return the class of the compiled back end, or None and a line in the log if it cannot be imported."""
    try:
        from kdlib.backends.numba_backend.calls import NumbaBackend
    except Exception as error:  # a broken installation raises anything
        log.info("NumPy trains, which numba would speed up: %s", _line(error))
        return None
    return NumbaBackend


def _agrees(backend, asked, check):
    if asked not in _agreed:
        try:
            found = check(backend)
        except Exception as error:
            found = _line(error)
        if found:
            log.warning("NumPy trains, as of what numba compiled this differs or fails: %s", found)
        else:
            code_folder.note(*asked)
        _agreed[asked] = not found
    return _agreed[asked]


def _line(error):
    return f"{type(error).__name__}: {error}".splitlines()[0]
