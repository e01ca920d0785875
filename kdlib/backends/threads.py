"""How many threads the products and the compiled kernels use. No bit depends on it."""

import concurrent.futures
import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

MIN_PARALLEL_ELEMENTS = 1 << 19  # elements for which waking a thread costs more than it saves
# Multiply-adds of a step; below it a second thread costs more: 64-128-10, batch 32, takes 3/4 of the time without it.
MIN_PARALLEL_PRODUCTS = 1 << 20


class Threads:
    """The threads of this process that a training may use.

    Parameters
    ----------
    limit : int, optional
        The largest number of threads. None: one for each core that the process may use.
    """

    def __init__(self, limit: int | None = None):
        self._limit = limit
        self._chosen = None  # the number that `tuned` has set
        self._executor: concurrent.futures.Executor | None = None
        self._process: int | None = None  # the one that made the executor: a fork has none of its parent's threads

    def available(self) -> int:
        """Return the number of threads that may be used."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return self._limit or cores or 1

    def ranges(self, n: int, elements: int) -> list[tuple[int, int]]:
        """Cut range(n) into parts (first, last), one for each thread.

        Parameters
        ----------
        n : int
        elements : int
            The elements to process, in all. If there are fewer than MIN_PARALLEL_ELEMENTS, there is one part.
        """
        count = min(self._chosen or self.available() if elements >= MIN_PARALLEL_ELEMENTS else 1, n)
        return [(n * k // count, n * (k + 1) // count) for k in range(count)]

    def run(self, function: Callable, calls: Sequence[tuple]) -> None:
        """Call function(*arguments) for each tuple of arguments in `calls`, in threads. It must release the GIL.

        Returns when all calls have returned.
        """
        waiting = [self._workers().submit(function, *arguments) for arguments in calls[1:]]
        function(*calls[0])
        for future in waiting:
            future.result()

    def _workers(self):
        """Return the threads of this process; they are started at the first call."""
        if self._executor is None or self._process != os.getpid():
            self._process = os.getpid()
            self._executor = concurrent.futures.ThreadPoolExecutor(max(1, self.available() - 1), "kdlib")
        return self._executor

    def parallel_for(self, function: Callable, n: int, elements: int, *arguments: object) -> None:
        """Call function(*arguments, first, last) for each of the `ranges` of range(n), in threads."""
        if elements < MIN_PARALLEL_ELEMENTS:
            function(*arguments, 0, n)
            return
        self.run(function, [(*arguments, *part) for part in self.ranges(n, elements)])

    @contextlib.contextmanager
    def limited(self) -> Iterator[None]:
        """Run a block with at most `available` threads in each loaded library of BLAS and OpenMP.

        This is for models of other packages. Without threadpoolctl the libraries keep their threads.
        """
        libraries = _thread_pools()
        before = [library.num_threads for library in libraries]
        try:
            for library, count in zip(libraries, before, strict=True):
                library.set_num_threads(min(count, self.available()))
            yield
        finally:
            for library, count in zip(libraries, before, strict=True):
                library.set_num_threads(count)

    @contextlib.contextmanager
    def tuned(self, products: int, fixed: bool = False) -> Iterator[Callable[[], None]]:
        """Choose the number of threads of a training inside a `with` block.

        Without threadpoolctl the BLAS keeps its threads.

        Parameters
        ----------
        products : int
            Multiply-adds of a step. If there are fewer than MIN_PARALLEL_PRODUCTS, one thread is used; else
            `ThreadTuner` chooses.
        fixed : bool
            Use all threads in place of `ThreadTuner`: plain float32 is repeatable only with a fixed number.

        Yields
        ------
        callable
            To be called after each step.
        """
        use_blas, before = _blas_threads()
        count = min(self.available(), max(before, default=self.available()))

        def use(threads):
            self._chosen = threads
            use_blas([threads] * len(before))

        try:
            if products < MIN_PARALLEL_PRODUCTS or count == 1 or fixed:
                use(1 if products < MIN_PARALLEL_PRODUCTS else count)
                yield lambda: None
            else:
                yield ThreadTuner(use, count)
        finally:
            self._chosen = None
            use_blas(before)


CORES = Threads()  # one thread for each core that the process may use


class ThreadTuner:
    """Choose between one thread and all threads by measuring the steps of a training.

    With other load on the machine, several threads wait for each other, and no fixed rule can predict when. So a trial
    takes TRIAL steps with one thread, then up to TRIAL steps with all threads. The quicker number is used afterwards,
    and the trial is repeated from time to time:

    - While all threads are used, every TRIAL steps are compared with the time of one thread, because a few quick steps
      prove little. If they are slower, one thread follows. The next trial begins RETRY_AFTER trial times after the last
      one.
    - A slow measurement may be chance. After the first one, use one thread for BACKOFF times the time of a trial.
      Multiply this by BACKOFF after each further slow one, up to RETRY_AFTER. A quick trial resets it.

    Call the object after each step.

    Parameters
    ----------
    use : callable
        Sets the number of threads, to 1 or to `count`.
    count : int
        All threads.
    clock : callable
        Returns seconds.
    """

    TRIAL = 4  # steps
    BACKOFF = 4  # factor, and trial times after the first slow trial
    RETRY_AFTER = 64  # trial times

    def __init__(self, use: Callable[[int], None], count: int, clock: Callable[[], float] = time.perf_counter):
        self._set_threads = use
        self._count = count
        self._clock = clock
        self._backoff = self.BACKOFF
        self._start_trial()

    def _start_trial(self):
        self._trial_began = self._clock()
        self._time_of_one = None
        self._use(1)

    def _use(self, threads):
        self._threads = threads
        self._steps = 0
        self._began = self._clock()
        self._set_threads(threads)

    def __call__(self) -> None:
        """Count a step, and change the number of threads if it is time."""
        now = self._clock()
        self._steps += 1
        spent = now - self._began
        if self._time_of_one is None:
            if self._steps == self.TRIAL:
                self._time_of_one = spent
                self._next_trial = None
                self._use(self._count)
            return
        if self._threads > 1 and (self._steps == self.TRIAL or spent > self._time_of_one):
            slower = spent >= self._time_of_one * self._steps / self.TRIAL
            if self._next_trial is None:
                self._trial_time = now - self._trial_began
                if not slower:
                    self._backoff = self.BACKOFF
                self._next_trial = now + self.RETRY_AFTER * self._trial_time
            if slower:
                self._next_trial = now + self._backoff * self._trial_time
                self._backoff = min(self.BACKOFF * self._backoff, self.RETRY_AFTER)
            self._use(1 if slower else self._count)
        if self._next_trial and now >= self._next_trial:
            self._start_trial()


def _thread_pools():
    """Return threadpoolctl's controllers of the loaded libraries of BLAS and OpenMP."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    return ThreadpoolController().lib_controllers


@functools.cache
def _blas_libraries(scipy):
    """Return the loaded BLAS libraries; their search takes over a ms. scipy: whether it has loaded its own."""
    return [library for library in _thread_pools() if library.user_api == "blas"]


def _blas_threads():
    """Return a function that sets the threads of the loaded BLAS libraries, and their present numbers of threads."""
    libraries = _blas_libraries("scipy.linalg" in sys.modules)
    before = [library.num_threads for library in libraries]

    def use(counts):
        for library, count in zip(libraries, counts, strict=True):
            library.set_num_threads(count)

    return use, before
