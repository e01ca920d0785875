"""How many threads the products and the compiled kernels have. No bit depends on it."""

import concurrent.futures
import contextlib
import functools
import os
import sys
import time

SMALL = 1 << 19  # elements for which waking a thread costs more than it saves
FEW = 1 << 20  # products for which a second thread costs more: 64-128-10, batch 32, takes 3/4 of the time without it
_limit = None
_now = None  # the number that a `Pace` has set
_pool = (None, None)  # the process and its workers: a fork has none of its parent's threads


def limit(count):
    """Set the number of threads at most; None: one for each core that the process may use."""
    global _limit
    _limit = count


def available():
    """Threads that this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return _limit or cores or 1


def parts(n, elements):
    """range(n) in parts (first, last), one a thread, of `elements` in all; one if they are few."""
    count = min(_now or available() if elements >= SMALL else 1, n)
    return [(n * k // count, n * (k + 1) // count) for k in range(count)]


def together(function, calls):
    """function(*arguments) for all `calls`, which take arguments each; it is to release the GIL."""
    global _pool
    if len(calls) > 1:
        if _pool[0] != os.getpid():
            _pool = os.getpid(), concurrent.futures.ThreadPoolExecutor(max(1, available() - 1), "kdlib")
        waiting = [_pool[1].submit(function, *arguments) for arguments in calls[1:]]
    function(*calls[0])
    if len(calls) > 1:
        for future in waiting:
            future.result()


def spread(function, n, elements, *arguments):
    """function(*arguments, first, last) over the `parts` of range(n)."""
    if elements < SMALL:
        function(*arguments, 0, n)
        return
    together(function, [(*arguments, *part) for part in parts(n, elements)])


class Pace:
    """Tries a step's work with one thread and with all, keeps to the quicker, and tries again now and then.

    With other load on the machine several threads wait for each other, and no fixed rule knows when; a few lucky steps
    tell little, so all threads are watched for as long as they are used, and steps that are slower end it. They may be
    slow by chance: one thread then has MORE times the time of a trial, MORE times as much the next time, and at most
    REST times a trial's, as all threads have before the next one. To be called after each step.
    """

    TRIAL, MORE, REST = 4, 4, 64

    def __init__(self, use, count, clock=time.perf_counter):
        """use: function that sets the number of threads to 1 or `count`."""
        self._set, self._count, self._clock, self._rest = use, count, clock, self.MORE
        self._trial()

    def _trial(self):
        self._start, self._alone = self._clock(), None
        self._use(1)

    def _use(self, threads):
        self._using, self._steps, self._begin = threads, 0, self._clock()
        self._set(threads)

    def __call__(self):
        now, self._steps = self._clock(), self._steps + 1
        spent = now - self._begin
        if self._alone is None:
            if self._steps == self.TRIAL:
                self._alone, self._until = spent, None
                self._use(self._count)
            return
        if self._using > 1 and (self._steps == self.TRIAL or spent > self._alone):
            slower = spent >= self._alone * self._steps / self.TRIAL
            if self._until is None:
                self._taken, self._rest = now - self._start, self._rest if slower else self.MORE
                self._until = now + self.REST * self._taken
            if slower:
                self._until, self._rest = now + self._rest * self._taken, min(self.MORE * self._rest, self.REST)
            self._use(1 if slower else self._count)
        if self._until and now >= self._until:
            self._trial()


def _loaded():
    """The loaded libraries of BLAS and OpenMP, as threadpoolctl has them."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return []
    return ThreadpoolController().lib_controllers


@functools.cache
def _libraries(scipy):
    """The loaded BLAS libraries; their search takes over a ms. scipy: whether it has loaded its own."""
    return [library for library in _loaded() if library.user_api == "blas"]


@contextlib.contextmanager
def limited():
    """Run a block with at most `available` threads in each library of BLAS and OpenMP that is loaded.

    For models that are not ours. Without threadpoolctl the libraries keep their threads.
    """
    libraries = _loaded()
    before = [library.num_threads for library in libraries]
    try:
        for library, count in zip(libraries, before, strict=True):
            library.set_num_threads(min(count, available()))
        yield
    finally:
        for library, count in zip(libraries, before, strict=True):
            library.set_num_threads(count)


def _blas():
    """Function that sets the threads of the loaded BLAS libraries, and their numbers of threads."""
    libraries = _libraries("scipy.linalg" in sys.modules)
    before = [library.num_threads for library in libraries]

    def use(counts):
        for library, count in zip(libraries, counts, strict=True):
            library.set_num_threads(count)

    return use, before


@contextlib.contextmanager
def paced(products, fixed=False):
    """Context of a training whose step has so many `products`; gives the function to call after each step.

    Steps of less than FEW have one thread, others what `Pace` finds, or all, if the number is to be `fixed`: plain
    float32 is repeatable only so. Without threadpoolctl the BLAS keeps its threads.
    """
    global _now
    blas, before = _blas()
    count = min(available(), max(before, default=available()))

    def use(threads):
        global _now
        _now = threads
        blas([threads] * len(before))

    try:
        if products < FEW or count == 1 or fixed:
            use(1 if products < FEW else count)
            yield lambda: None
        else:
            yield Pace(use, count)
    finally:
        _now = None
        blas(before)
