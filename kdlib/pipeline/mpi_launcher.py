"""A training over ranks: by an mpiexec that this process starts, or that has started it."""

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

from kdlib.backends import ranks, threads
from kdlib.io.errors import UserError, ending_in_a_line, one_line
from kdlib.pipeline import mpi_ranks

NEEDS = "pip install -r requirements-mpi.txt"
# For Open MPI: as many ranks as one likes, and none bound to a core, as each keeps to its part of them.
FREE = {
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}
OURS = re.compile(r"(\d\d:\d\d:\d\d [A-Z]+ |error: )")  # how lines of the log, and the last one, begin
LAST = 40  # lines that are kept of others, mpiexec's
TURN = 10  # s at most in which a rank leaves it to those before it to tell what is wrong
PASSED_ON = 0.5  # s for mpiexec to read what a rank has told: as it ends the ranks, it drops the rest


def start(count):
    """Run this process's command as so many ranks. Raises UserError where that cannot be, or where one is lost."""
    places = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    mpiexec = shutil.which("mpiexec", path=places)
    missing = "mpiexec" if mpiexec is None else "mpi4py" if importlib.util.find_spec("mpi4py") is None else ""
    if missing:
        raise UserError(f"execution.ranks: got {count}, and there is no {missing}: {NEEDS}, or set null")
    command = [mpiexec, "-n", str(count), sys.executable, *sys.orig_argv[1:]]
    with subprocess.Popen(
        command, env=FREE | os.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
        errors="replace",
    ) as process:  # fmt: skip
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        try:
            told, others = _passed_on(process)
        except KeyboardInterrupt:
            process.terminate()
            raise
    if process.returncode and not told:
        if any(line.startswith("Traceback") for line in others):
            sys.stderr.writelines(others)
        why = one_line(re.sub("[=*]", "", " ".join(others)))[:120]
        raise UserError(
            f"execution.ranks: a rank is lost; mpiexec ended with exit code {process.returncode} ({why}); start it"
            " again: it goes on from its checkpoint, with any number of ranks"
        )
    if process.returncode:
        sys.exit(1)


def _passed_on(process):
    """(whether an error was told, the last lines that are not ours) of a process; ours go to stderr, up to an error."""
    told, others = False, deque(maxlen=LAST)
    for line in process.stdout:
        if OURS.match(line):
            if not told:
                sys.stderr.write(line)
                sys.stderr.flush()
            told |= line.startswith("error: ")
        elif line.strip():
            others.append(line)
    return told, others


@contextlib.contextmanager
def joined(execution, rank):
    """A block in which this process is one of the ranks that an mpiexec has started, of the number `rank`.

    An error in one ends all. The first rank tells it, or the next one that is still there.
    """
    world = None
    try:
        world = mpi_ranks.join(execution.wait)
        threads.limit(execution.threads or world.threads())
        with ranks.using(world):
            world.check()
            yield
        world.finish()
    except BaseException as error:
        time.sleep(min(rank, TURN))
        with contextlib.suppress(SystemExit):
            _tell(error)
        if world is None:
            sys.exit(1)
        time.sleep(PASSED_ON)
        world.abort()


def _tell(error):
    with ending_in_a_line():
        if isinstance(error, UserError | OSError | MemoryError | KeyboardInterrupt):
            raise error
        traceback.print_exception(error)
