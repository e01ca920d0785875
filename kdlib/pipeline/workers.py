"""Parts of a stack on other processes, of this machine or of a cluster's, by joblib.

joblib and Dask pass objects between their processes as pickles, of which none is kept: whoever reaches a scheduler runs
code on its workers and here.
"""

import contextlib
import functools
import mmap
import os
import pickle
import platform
import signal
import threading
import time
import warnings
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass

from kdlib.backends import selection, threads
from kdlib.io.atomic import temporary
from kdlib.io.errors import UserError
from kdlib.learning.checkpoints import Checkpoint
from kdlib.pipeline import cluster
from kdlib.pipeline.work_units import Work, train_part

KILLED = "execution: workers were killed {} times in a row, perhaps as memory ran out; give each more, or have fewer"
LOST = 3  # times in a row that workers may end before one of them has finished a part
MAPPED = 1 << 12  # bytes from which on workers of this machine map an array, in place of a copy for each part
ALIGNED = 64  # bytes, of which an array's place in the file is a multiple
_alone = threading.Lock()  # a Dask worker may have several threads, and the back end of kernels is the process's


def wanted(params):
    """Whether other processes are to train."""
    return params.execution.workers > 1 or params.execution.cluster is not None


@dataclass(frozen=True)
class Asker:
    """The process that hands out parts. threads: for each worker. pid, path: its number, and the output as an absolute
    path, beside which are checkpoints; None if it may be on another machine.
    """

    versions: dict
    threads: int | None
    pid: int | None = None
    path: str | None = None


@dataclass(frozen=True, eq=False)
class Mapped(Work):
    """A `Work` that arrives at a process of this machine with its arrays mapped.

    joblib would map arrays too, but breaks off where a folder's path is long or not in ASCII, and leaves its files
    behind when it is killed. file: of the arrays' bytes. places: (start, end) of each there. content: of the rest.
    """

    file: str
    places: tuple
    content: bytes

    @classmethod
    def of(cls, work, file):
        """The `work`, whose arrays are written to `file`."""
        arrays, places = [], []
        content = pickle.dumps(work, 5, buffer_callback=lambda a: a.raw().nbytes < MAPPED or arrays.append(a))
        with open(file, "xb") as opened:
            opened.write(bytes(ALIGNED))  # an empty file cannot be mapped
            for array in arrays:
                start = opened.tell()
                opened.write(array.raw())
                places.append((start, opened.tell()))
                opened.write(bytes(-opened.tell() % ALIGNED))
        return cls(work.job, work.params, work.dataset, os.path.abspath(file), tuple(places), content)

    def __reduce__(self):
        return _mapped, (self.file, self.places, self.content)


@functools.lru_cache(maxsize=1)
def _mapped(file, places, content):
    """The `Work` of a `Mapped`, in a worker, for all parts that it trains."""
    with open(file, "rb") as opened:
        whole = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    return pickle.loads(content, buffers=[whole[start:end] for start, end in places])


@functools.cache
def _end_with(parent):
    """This process, one of loky's, ends when the one of this number has ended."""

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if os.name != "nt":  # there a process keeps the number of a parent that is dead
        threading.Thread(target=watch, daemon=True).start()


def _train(number, work, part, asker):
    """(number, what `train_part` gives), in a worker."""
    if asker.pid not in (None, os.getpid()):  # where loky has no semaphores, joblib calls it here
        _end_with(asker.pid)
    cluster.refuse_others(platform.node(), cluster.versions(), asker.versions)
    every = work.params.checkpoint if asker.path else None
    with _alone:
        selection.choose(work.params.execution.kernels)
        threads.limit(asker.threads)
        checkpoint = Checkpoint(f"{asker.path}{part.file}", every) if every else None
        return number, train_part(work, part, None, checkpoint)


def _ignoring_interrupts(call, *arguments):
    """What the call gives. A terminal sends an interrupt to all: the processes that it starts leave it to this one."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return call(*arguments)
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _pool(work, parts):
    """(the work as it is to be sent, `Asker`, options of joblib's `parallel_config`) to train so many parts."""
    execution = work.params.execution
    if execution.cluster:
        with cluster.connected(execution.cluster, work) as options:
            yield work, Asker(cluster.versions(), execution.threads), options
        return
    processes = min(execution.workers, parts)  # loky starts as many as it is told, at once
    share = execution.threads or max(1, threads.available() // processes)
    asker = Asker(cluster.versions(), share, os.getpid(), os.path.abspath(work.job.path))
    # joblib makes no folder where it maps nothing, but notes its path, which has to be short and in ASCII.
    options = {"backend": "loky", "n_jobs": processes, "temp_folder": os.sep}
    with temporary(work.job.path) as file:
        yield Mapped.of(work, file) if processes > 1 else work, asker, options
        if os.name == "nt":  # where a file that a process maps cannot be removed
            from joblib.externals import loky

            loky.get_reusable_executor().shutdown()


def spread(work, parts, log):
    """Yields (part, what `train_part` gives) of all parts as they are trained. Raises UserError as that does.

    A part whose worker was killed is trained again, by loky's workers from its checkpoint.
    """
    from joblib import Parallel, delayed, parallel_config

    left, failures = dict(enumerate(parts)), 0
    warnings.filterwarnings("ignore", "[0-9]+ tasks", UserWarning, "joblib")  # what an interrupt leaves unused
    while left:
        try:
            with _pool(work, len(left)) as (sent, asker, options):
                with parallel_config(**options):
                    parallel = Parallel(return_as="generator_unordered", batch_size=1, max_nbytes=None)
                calls = [delayed(_train)(number, sent, part, asker) for number, part in left.items()]
                for number, result in _ignoring_interrupts(parallel, calls):
                    failures = 0
                    yield left.pop(number), result
        except (BrokenExecutor, CancelledError):  # of loky; of Dask, where all workers that had the data have ended
            failures += 1
            if failures == LOST:
                raise UserError(KILLED.format(LOST)) from None
            log.warning("a worker was killed; what it trained is trained again")
