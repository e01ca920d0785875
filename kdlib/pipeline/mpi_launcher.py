"""Train over MPI ranks: start an mpiexec, or be one of the ranks that an mpiexec has started."""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator

from kdlib.backends.context import Context
from kdlib.io.errors import UserError, exit_on_error, one_line
from kdlib.pipeline import mpi_ranks
from kdlib.pipeline.field_types import Execution

INSTALL = "pip install 'kdlib[mpi]'"
# For Open MPI: allow more ranks than cores, and bind no rank to a core: each rank limits its own threads.
OPEN_MPI_OPTIONS = {
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}
LOG_LINE = re.compile(r"(\d\d:\d\d:\d\d [A-Z]+ |error: )")  # start of a line of the log, and of a final error
MAX_OTHER_LINES = 40  # last lines that are kept of what else mpiexec prints
MAX_DELAY = 10  # s; rank r waits min(r, MAX_DELAY) seconds, so that the first living rank prints the error
FLUSH_TIME = 0.5  # s for mpiexec to read what a rank has printed: when it ends the ranks, it drops the rest


def start_ranks(count: int) -> None:
    """Run the command of this process as `count` MPI ranks.

    Raises
    ------
    UserError
        If mpiexec or mpi4py is missing, or if a rank is lost.
    """
    places = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    mpiexec = shutil.which("mpiexec", path=places)
    missing = "mpiexec" if mpiexec is None else "mpi4py" if importlib.util.find_spec("mpi4py") is None else ""
    if missing:
        raise UserError(f"execution.ranks: got {count}, and there is no {missing}: {INSTALL}, or set null")
    command = [mpiexec, "-n", str(count), sys.executable, *sys.orig_argv[1:]]
    with subprocess.Popen(
        command, env=OPEN_MPI_OPTIONS | os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        errors="replace",
    ) as process:  # fmt: skip
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            failed, others = _relay(process)
        except KeyboardInterrupt:
            process.terminate()
            raise
    if process.returncode and not failed:
        if any(line.startswith("Traceback") for line in others):
            sys.stderr.writelines(others)
        why = one_line(re.sub("[=*]", "", " ".join(others)))[:120]
        raise UserError(
            f"execution.ranks: a rank is lost; mpiexec ended with exit code {process.returncode} ({why}); start it"
            " again: it goes on from its checkpoint, with any number of ranks"
        )
    if process.returncode:
        sys.exit(1)


def _relay(process):
    """Copy lines of the log to stderr, up to an error; return whether there was one, and the last other lines."""
    failed = False
    others = deque(maxlen=MAX_OTHER_LINES)
    for line in process.stdout:
        if LOG_LINE.match(line):
            if not failed:
                sys.stderr.write(line)
                sys.stderr.flush()
            failed |= line.startswith("error: ")
        elif line.strip():
            others.append(line)
    return failed, others


@contextlib.contextmanager
def as_rank(execution: Execution, rank: int) -> Iterator[Context]:
    """Make this process one of the ranks that an mpiexec has started, as a context manager.

    An error in one rank ends all. The first rank that is still there prints it.

    Parameters
    ----------
    execution : Execution
        Section of params.yaml.
    rank : int
        Number of this process.

    Yields
    ------
    Context
        With the ranks.
    """
    world = None
    try:
        world = mpi_ranks.connect(execution.wait)
        world.check()
        yield Context(execution.kernels, execution.threads or world.threads(), world)
        world.finish()
    except BaseException as error:
        time.sleep(min(rank, MAX_DELAY))
        with contextlib.suppress(SystemExit):
            _print_error(error)
        if world is None:
            sys.exit(1)
        time.sleep(FLUSH_TIME)
        world.abort()


def _print_error(error):
    with exit_on_error():
        if isinstance(error, UserError | OSError | MemoryError | KeyboardInterrupt):
            raise error
        traceback.print_exception(error)
