"""Train units of work in other processes, of this machine or of a cluster, by joblib.

joblib and Dask pass objects between their processes as pickles; no pickle is kept. Whoever reaches a scheduler can run
code on its workers and here.
"""

import contextlib
import functools
import importlib.util
import logging
import math
import mmap
import multiprocessing
import os
import pickle
import platform
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass
from pathlib import Path

from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.backends.context import Context
from kdlib.backends.threads import Threads
from kdlib.io.atomic import temporary_path
from kdlib.io.errors import UserError
from kdlib.learning.budget import available_memory, memory_needed
from kdlib.learning.checkpoints import Checkpoint
from kdlib.learning.training import workload
from kdlib.pipeline import cluster
from kdlib.pipeline.forecast import Stopwatch, work_of_epoch
from kdlib.pipeline.schema import Params
from kdlib.pipeline.work_units import TrainingSetup, WorkUnit, cut_into_units, has_unit_checkpoints, train_unit

WORKERS_KILLED = (
    "execution: workers were killed {} times in a row, perhaps as memory ran out; give each more, or have fewer"
)
MIN_WORK = 4 * 10**9  # multiply-adds, see `work_of_epoch`, that pay for the start of another process: about 4 s
WORKER_BYTES = 1 << 29  # a worker's Python and packages, and the operands that its training holds
MAX_KILLS = 3  # times in a row that workers may be killed before one of them has finished a unit of work
MIN_MAPPED_BYTES = 1 << 12  # workers of this machine map arrays of this size or more; smaller ones are copied
ALIGNMENT = 64  # bytes; each array in the file starts at a multiple of it
_one_training = threading.Lock()  # a Dask worker may have several threads, but a process has one number of BLAS threads


def are_used(params: Params) -> bool:
    """Return whether other processes are to train; `workers` is a number, see `with_number_of_workers`."""
    return params.execution.workers > 1 or params.execution.cluster is not None


def with_number_of_workers(setup: TrainingSetup, stacks: list[WorkUnit], context: Context) -> TrainingSetup:
    """Put a number in place of `execution.workers: auto`: that of the cores, where NumPy trains for long enough.

    It is 1 where compiled kernels share the cores among threads, where a checkpoint of a whole stack goes on, in plain
    float32, whose bits would depend on the number of cores, and on Windows, where no worker ends with its coordinator.

    Parameters
    ----------
    setup : TrainingSetup
    stacks : list of WorkUnit
        All that is to be trained.
    context : Context
        What computes in this process.

    Returns
    -------
    TrainingSetup
    """
    execution = setup.params.execution
    if execution.workers != "auto":
        return setup
    work = sum(stack.recipe.epochs * work_of_epoch(setup, stack) for stack in stacks)  # lint: integer sum
    count = work // MIN_WORK
    if count > 1:
        count = min(count, _processes(setup, stacks, context))
        if count > 1:
            logging.getLogger(setup.job.path).info("%d processes train: execution.workers", count)
    params = setup.params.model_copy(update={"execution": execution.model_copy(update={"workers": max(1, count)})})
    return TrainingSetup(setup.job, params, setup.dataset)


def _processes(setup, stacks, context):
    """Return how many processes can train side by side."""
    job = setup.job
    params = setup.params
    execution = params.execution
    arithmetic = ARITHMETICS[params.arithmetic]
    whole = Path(f"{job.path}.checkpoint").exists() and not has_unit_checkpoints(job.path)
    if execution.cluster or context.ranks.size > 1 or arithmetic.threads_matter or (whole and params.checkpoint):
        return 1
    if os.name == "nt" or multiprocessing.current_process().daemon or importlib.util.find_spec("joblib") is None:
        return 1
    import joblib

    if joblib.parallel.mp is None or any(_numba_trains(setup, stack, context) for stack in stacks):
        return 1
    units = [unit for stack in stacks for unit in cut_into_units(setup, stack)]
    needed = max(_memory_needed(setup, unit, arithmetic) for unit in units)
    fitting = (available_memory() or sys.maxsize) // needed
    return max(1, min(joblib.cpu_count(), execution.threads or sys.maxsize, len(units), fitting))


def _memory_needed(setup, unit, arithmetic):
    """Return the bytes that a worker needs for a unit of work, at most for what is not its networks."""
    examples = len(setup.job.rows[unit.splits[0]]) // unit.recipe.views
    networks = math.prod(unit.shape)  # lint: integer sum
    dtypes = arithmetic.dtype, arithmetic.logits_dtype
    return WORKER_BYTES + memory_needed(unit.recipe, setup.sizes(unit.recipe), networks, examples, dtypes)


def _numba_trains(setup, stack, context):
    """Return whether numba would train a whole stack in this process."""
    if importlib.util.find_spec("numba") is None:
        return False
    sizes = setup.sizes(stack.recipe)
    examples = len(setup.job.rows[stack.splits[0]]) // stack.recipe.views
    networks = math.prod(stack.shape)  # lint: integer sum
    arithmetic = ARITHMETICS[setup.params.arithmetic]
    return context.wants_numba(workload(stack.recipe, sizes, networks, examples, arithmetic))


@dataclass(frozen=True)
class Coordinator:
    """The process that hands out units of work.

    Parameters
    ----------
    versions : dict
        Its `kdlib.pipeline.cluster.versions`, which every worker must share.
    threads : int or None
        Threads of each worker; None: all cores.
    pid : int or None
        Its process number; None if it may be on another machine.
    path : str or None
        Absolute path of the output, beside which the checkpoints are; None if it may be on another machine.
    """

    versions: dict
    threads: int | None
    pid: int | None = None
    path: str | None = None


@dataclass(frozen=True, eq=False)
class MappedSetup(TrainingSetup):
    """A `TrainingSetup` that arrives at a process of this machine with its arrays memory-mapped.

    joblib would map arrays too, but fails where a folder's path is long or not ASCII, and leaves its files behind when
    it is killed.

    Parameters
    ----------
    file : str
        Absolute path of the file that holds the arrays' bytes.
    places : tuple of (int, int)
        Start and end of each array in the file.
    content : bytes
        Pickle of everything else.
    """

    file: str
    places: tuple
    content: bytes

    @classmethod
    def of(cls, setup: TrainingSetup, file: Path | str) -> "MappedSetup":
        """Write the arrays of `setup` to `file`, which must not exist yet."""
        arrays = []
        places = []
        content = pickle.dumps(
            setup, 5, buffer_callback=lambda a: a.raw().nbytes < MIN_MAPPED_BYTES or arrays.append(a)
        )
        with open(file, "xb") as opened:
            opened.write(bytes(ALIGNMENT))  # an empty file cannot be mapped
            for array in arrays:
                start = opened.tell()
                opened.write(array.raw())
                places.append((start, opened.tell()))
                opened.write(bytes(-opened.tell() % ALIGNMENT))
        return cls(setup.job, setup.params, setup.dataset, os.path.abspath(file), tuple(places), content)

    def __reduce__(self):
        return _mapped, (self.file, self.places, self.content)


@functools.lru_cache(maxsize=1)
def _mapped(file, places, content):
    """Rebuild the `TrainingSetup` of a `MappedSetup` in a worker, once for all units of work that it trains."""
    with open(file, "rb") as opened:
        whole = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    return pickle.loads(content, buffers=[whole[start:end] for start, end in places])


@functools.cache
def _end_with(parent):
    """End this process, a worker of loky's, as soon as the process with the number `parent` has ended."""

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.name != "nt":  # on Windows a process keeps the number of a dead parent
        threading.Thread(target=watch, daemon=True).start()


def _train(number, setup, unit, coordinator):
    """Train one unit of work in a worker; return its number, what `train_unit` returned, and the `Stopwatch`'s."""
    # Where loky has no semaphores, joblib calls this in the coordinator.
    if coordinator.pid not in (None, os.getpid()):
        _end_with(coordinator.pid)
    cluster.check_versions(platform.node(), cluster.versions(), coordinator.versions)
    every = setup.params.checkpoint if coordinator.path else None
    with _one_training:
        context = Context(setup.params.execution.kernels, coordinator.threads)
        checkpoint = Checkpoint(f"{coordinator.path}{unit.suffix}", every) if every else None
        stopwatch = Stopwatch(context.kernels)
        result = train_unit(setup, unit, stopwatch, checkpoint, context)
        return number, result, stopwatch.seconds, stopwatch.epochs


def _ignoring_interrupts(call, *arguments):
    """Call while SIGINT is ignored: the processes started here inherit that, and this one handles it."""
    if threading.current_thread() is not threading.main_thread():  # only that one may set signals
        return call(*arguments)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return call(*arguments)
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _pool(setup, count):
    """Yield the setup to send, the `Coordinator`, joblib's options and the number of processes, for `count` units."""
    execution = setup.params.execution
    if execution.cluster:
        with cluster.connected(execution.cluster, setup) as options:
            processes = len(options["backend"].client.nthreads())
            yield setup, Coordinator(cluster.versions(), execution.threads), options, processes
        return
    processes = min(execution.workers, count)  # loky would start all workers at once, used or not
    share = execution.threads or max(1, Threads().available() // processes)
    coordinator = Coordinator(cluster.versions(), share, os.getpid(), os.path.abspath(setup.job.path))
    # joblib creates no folder if it maps nothing, but it keeps the path, which has to be short and ASCII.
    options = {"backend": "loky", "n_jobs": processes, "temp_folder": os.sep}
    with temporary_path(setup.job.path) as file:
        yield MappedSetup.of(setup, file) if processes > 1 else setup, coordinator, options, processes
        if os.name == "nt":  # Windows cannot remove a file that a process maps
            from joblib.externals import loky

            loky.get_reusable_executor().shutdown()


def train_in_workers(
    setup: TrainingSetup,
    units: list[WorkUnit],
    log: logging.Logger,
    after_unit: Callable[[WorkUnit, float, int, int], object] = lambda *_: None,
) -> Iterator[tuple[WorkUnit, dict]]:
    """Train units of work in other processes.

    If a worker is killed, its unit is trained again; loky's workers resume from its checkpoint.

    Parameters
    ----------
    setup : TrainingSetup
    units : list of WorkUnit
    log : logging.Logger
    after_unit : callable
        See `kdlib.pipeline.forecast.Forecast.after_unit`.

    Yields
    ------
    (WorkUnit, dict)
        Each unit with what `train_unit` returned, in the order in which they finish.

    Raises
    ------
    UserError
        As `train_unit` does, or if workers were killed MAX_KILLS times in a row.
    """
    from joblib import Parallel, delayed, parallel_config

    left = dict(enumerate(units))
    failures = 0
    warnings.filterwarnings("ignore", "[0-9]+ tasks", UserWarning, "joblib")  # joblib warns after an interrupt
    while left:
        try:
            with _pool(setup, len(left)) as (sent, coordinator, options, processes):
                with parallel_config(**options):
                    parallel = Parallel(return_as="generator_unordered", batch_size=1, max_nbytes=None)
                calls = [delayed(_train)(number, sent, unit, coordinator) for number, unit in left.items()]
                for number, result, seconds, epochs in _ignoring_interrupts(parallel, calls):
                    failures = 0
                    unit = left.pop(number)
                    after_unit(unit, seconds, epochs, processes)
                    yield unit, result
        except (BrokenExecutor, CancelledError):  # the first is loky's; Dask's if all workers with the data have ended
            failures += 1
            if failures == MAX_KILLS:
                raise UserError(WORKERS_KILLED.format(MAX_KILLS)) from None
            log.warning("a worker was killed; what it trained is trained again")
