"""Tell how long the trainings of a stage will still take, by the epochs that were measured. It goes to the log only."""

import importlib.util
import logging
import math
import time
from collections.abc import Callable, Iterable

from kdlib.backends.context import Context
from kdlib.learning.budget import TIME_UNITS
from kdlib.learning.network import multiply_adds
from kdlib.pipeline.work_units import TrainingSetup, WorkUnit

LONG_EPOCH = 100  # s, of which what comes before the first step is a small part
MIN_MEASURED_SECONDS = 1  # less is no measure
MIN_TOLD_SECONDS = 5
MIN_HINT_SECONDS = 120
STEP_OVERHEAD = 1 << 17  # multiply-adds that take as long as what a step takes besides them; measured with NumPy
HINT = "compiled kernels may be faster: execution.kernels, docs/troubleshooting.md#it-is-slow"


def about(seconds: float) -> str:
    """Write a time in words, rounded: "about 40 seconds"."""
    units = (*TIME_UNITS, ("seconds", 1))
    name, size = next((unit for unit in units if seconds >= 1.5 * unit[1]), units[-1])
    count = seconds / size
    return f"about {5 * round(count / 5) if count >= 10 else round(count):,} {name}"


def _may_compile(kernels):
    return kernels != "numpy" and importlib.util.find_spec("numba") is not None


class Stopwatch:
    """Measure the epochs that this process trains, except the first.

    The time of the first has the compilation in it, which can take minutes on a loaded machine. The first is measured
    if it is long and nothing can be compiled.

    Parameters
    ----------
    kernels : str
        See `kdlib.backends.context.Context`.
    clock : callable
        Returns seconds.

    Attributes
    ----------
    seconds : float
        Time of the measured epochs.
    epochs : int
        Their number.
    """

    def __init__(self, kernels: str, clock: Callable[[], float] = time.monotonic):
        self.seconds = 0.0
        self.epochs = 0
        self._clock = clock
        self._last = clock()
        self._min_seconds = math.inf if _may_compile(kernels) else LONG_EPOCH  # of the next epoch, to be measured

    def __call__(self, *_: object) -> tuple[float, int]:
        """Take the time at the end of an epoch; return what it adds to `seconds` and to `epochs`."""
        now = self._clock()
        spent = now - self._last
        measured = (spent, 1) if spent >= self._min_seconds else (0.0, 0)
        self._last = now
        self._min_seconds = 0
        self.seconds += measured[0]
        self.epochs += measured[1]
        return measured


class Forecast:
    """Forecast the time that units of work still take, and log it once.

    Parameters
    ----------
    setup : TrainingSetup
    units : iterable of WorkUnit
        Those to train. The networks of finished ones are not counted.
    log : logging.Logger
    context : Context
        What computes.
    clock : callable
        Returns seconds.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        units: Iterable[WorkUnit],
        log: logging.Logger,
        context: Context = Context(),
        clock: Callable[[], float] = time.monotonic,
    ):
        self._work = {unit: work_of_epoch(setup, unit) for unit in units}
        self._epochs_left = {unit: unit.recipe.epochs for unit in self._work}
        self._log = log
        self._context = context
        self._stopwatch = Stopwatch(context.kernels, clock)
        self._seconds = 0.0
        self._measured_work = 0
        self._processes = 1
        self._is_told = False

    def after_epoch(self, unit: WorkUnit, epochs_done: int) -> None:
        """Measure an epoch that this process has trained; with it the unit has done `epochs_done`."""
        self._epochs_left[unit] = unit.recipe.epochs - epochs_done
        self._count(unit, *self._stopwatch())

    def after_unit(self, unit: WorkUnit, seconds: float = 0.0, epochs: int = 0, processes: int = 1) -> None:
        """Note that a unit is finished.

        Parameters
        ----------
        unit : WorkUnit
        seconds, epochs : float, int
            What the `Stopwatch` of another process has measured, if one trained the unit.
        processes : int
            Number of processes that train side by side.
        """
        self._epochs_left.pop(unit, None)
        self._processes = processes
        self._count(unit, seconds, epochs)

    def _count(self, unit, seconds, epochs):
        self._seconds += seconds
        self._measured_work += epochs * self._work[unit]
        left = self._seconds_left()
        if self._is_told or left is None:
            return
        self._is_told = True
        if words := self.time_left():
            networks = sum(math.prod(unit.shape) for unit in self._work)  # lint: integer sum
            epochs = max(unit.recipe.epochs for unit in self._work)
            self._log.info("%d networks, %d epochs: %s%s", networks, epochs, words, self._hint(left))

    def time_left(self) -> str:
        """Write the time that the units still take in words; "" if it is short, or if too little was measured."""
        left = self._seconds_left()
        if left is None or left < MIN_TOLD_SECONDS:
            return ""
        may_stop = any(unit.recipe.patience for unit in self._work)
        return f"{'at most ' if may_stop else ''}{about(left)} left"

    def _seconds_left(self):
        if self._seconds < MIN_MEASURED_SECONDS:
            return None
        count = len(self._epochs_left)
        work = sum(epochs * self._work[unit] for unit, epochs in self._epochs_left.items())  # lint: integer sum
        # Processes that began together finish together. So when the first has finished its unit, the others nearly
        # have, and a round of theirs does not count.
        rounds = count // self._processes
        return self._seconds / self._measured_work * work * rounds / max(1, count)

    def _hint(self, left):
        numba_can = self._context.ranks.size == 1 and not any(unit.recipe.bits for unit in self._work)
        return f"; {HINT}" if left > MIN_HINT_SECONDS and numba_can and not _may_compile(self._context.kernels) else ""


def work_of_epoch(setup: TrainingSetup, unit: WorkUnit) -> int:
    """Return the multiply-adds of the forward passes of an epoch, and what stands for the rest of its steps."""
    recipe = unit.recipe
    of_step = math.prod(unit.shape) * recipe.batch_size * multiply_adds(setup.sizes(recipe))  # lint: integer sum
    return recipe.steps(len(setup.job.rows[unit.splits[0]])) * (of_step + STEP_OVERHEAD)
