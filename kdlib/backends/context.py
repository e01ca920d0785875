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
COMPILE_SECONDS = 20.0  # to import numba and to compile
LOAD_SECONDS = 1.0  # to import numba and to load what is kept compiled
# Of a step, and of an activation in it. Measured on networks of one to three layers, in stacks of 1 to 80.
SAVED_SECONDS = {"exact": (2e-4, 4e-9), "fast": (5e-5, 1e-9)}
_agreed = {}  # {(rule, whether norms are bounded, layers): whether numba gave NumPy's bits}, of this process


@dataclass(frozen=True)
class Workload:
    """What the choice of a back end for a training depends on.

    Parameters
    ----------
    rule : callable
        The rule of the optimizer, see `kdlib.learning.optimizers`.
    bounded : bool
        Whether norms are bounded.
    layers : int
        Number of layers of weights.
    steps : int
        Number of steps.
    activations : int
        Entries of all layers, the inputs included, in a step of the whole stack.
    arithmetic : {"exact", "fast"}
    can_compile : bool
        False for quantized weights, which numba lacks.
    """

    rule: Callable
    bounded: bool
    layers: int
    steps: int
    activations: int
    arithmetic: str
    can_compile: bool = True

    @property
    def kind(self) -> tuple[Callable, bool, int]:
        """What compiled code depends on."""
        return self.rule, self.bounded, self.layers

    def saved_seconds(self) -> float:
        """Estimate the time that numba saves."""
        of_step, of_activation = SAVED_SECONDS[self.arithmetic]
        return self.steps * (of_step + self.activations * of_activation)


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

    def wants_numba(self, workload: Workload) -> bool:
        """Return whether numba is to train: by `kernels`, and for "auto" by the time that it saves."""
        if self.kernels == "numpy" or self.ranks.size > 1 or not workload.can_compile:
            return False
        return self.kernels == "numba" or _pays(workload)

    def backend(self, threads: Threads, workload: Workload, check: Callable[[NumpyBackend], str]) -> NumpyBackend:
        """Return the back end for a training.

        Parameters
        ----------
        threads : Threads
            The threads of the training.
        workload : Workload
        check : callable
            Compares a back end with NumPy; returns the names of the results that differ, or "". It is called once for
            each `kind` of workload.
        """
        numba = _numba() if self.wants_numba(workload) else None
        if numba is None:
            return NUMPY
        backend = numba(threads)
        return backend if _agrees(backend, workload.kind, check) else NUMPY


def _pays(workload):
    """Return whether numba saves more time than it takes to compile; to load, if what is asked for is kept.

    In plain float32 it does not matter what is loaded or kept: else a training would have other bits after another one.
    """
    saved = workload.saved_seconds()
    if workload.arithmetic == "exact":
        if workload.kind in _agreed:
            return _agreed[workload.kind]
        if saved > LOAD_SECONDS and code_folder.holds(*workload.kind):
            return True
    return saved > COMPILE_SECONDS


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
