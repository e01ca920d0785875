"""Ranks that MPI connects, of any MPI that mpi4py finds: processes that `mpiexec` started."""

import contextlib
import faulthandler
import os
import sys
import time

import numpy as np

from kdlib.backends.ranks import Ranks
from kdlib.io.errors import UserError
from kdlib.learning.checkpoints import alike, code_digest

SIZES = "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"  # where MPICH and Open MPI tell how many they have started
CORES = 4096  # numbers of cores on a machine
EAGER, PAUSE = 100, 1e-4  # tests of a request without a pause, and the pause in s: others may need the core
AWAKE = 1.0  # s between two tests; a process that was stopped for longer has not waited all the time
LATE = 1  # the tag of a message that says that its sender waits in vain


def join(seconds):
    """`MPIRanks` of all processes of this MPI, where no one waits longer than so many seconds for another.

    Raises UserError where mpi4py is missing, or is of another MPI than the mpiexec.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)  # MPI waits for ranks that never start
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter without a library of MPI
        line = str(error).splitlines()[0]
        raise UserError(
            f"mpiexec: ranks need mpi4py and its MPI ({line}): pip install -r requirements-mpi.txt"
        ) from None
    finally:
        faulthandler.cancel_dump_traceback_later()
    world = MPI.COMM_WORLD
    told = next((int(os.environ[name]) for name in SIZES if name in os.environ), world.size)
    if world.size != told:
        raise UserError(f"mpiexec: started {told} ranks, of which mpi4py sees {world.size}: they are of two MPIs")
    return MPIRanks(MPI, seconds)


class MPIRanks(Ranks):
    """All processes of an `mpi4py.MPI`. A request is tested, not waited for, so that a dead rank keeps nobody."""

    def __init__(self, mpi, seconds):
        self._mpi, self._world, self._seconds = mpi, mpi.COMM_WORLD, seconds
        self._operations = {"max": mpi.MAX, "sum": mpi.SUM}
        super().__init__(self._world.rank, self._world.size, self._reduced)

    def _reduced(self, array, operation, among=None):
        among = among or self._world
        self._wait(among.Iallreduce(self._mpi.IN_PLACE, array, self._operations[operation]), self._seconds)

    def _wait(self, request, seconds, pause=PAUSE):
        waited, tests, before = 0.0, 0, time.monotonic()
        try:
            while not request.Test():
                tests += 1
                if tests > EAGER:
                    time.sleep(pause)
                elif hasattr(os, "sched_yield"):
                    os.sched_yield()
                now = time.monotonic()
                waited, before = waited + min(now - before, AWAKE), now
                if waited > seconds:
                    raise UserError(self._silent(seconds))
        except self._mpi.Exception as error:
            raise UserError(f"ranks: the connection is lost ({error}); run it again") from None

    def _silent(self, seconds):
        """A line that names the ranks that do not say that they wait too."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        for rank in others:
            self._world.Isend(np.empty(0), rank, LATE)
        end = time.monotonic() + 1 + seconds / 100
        while others and time.monotonic() < end:
            time.sleep(PAUSE)
            others = [rank for rank in others if not self._world.Iprobe(rank, LATE)]
        who = f"rank {', '.join(map(str, others))}" if others else "a rank"
        return (
            f"execution.wait: no answer from {who} for {seconds:g} s; the run ends; start it again, with any number of"
            " ranks: it goes on from its checkpoint"
        )

    def threads(self):
        """Threads for this rank: its part of the cores that ranks on this machine may use."""
        own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        node = self._world.Split_type(self._mpi.COMM_TYPE_SHARED)
        cores = np.zeros(CORES, np.int32)
        cores[[core % CORES for core in own]] = 1
        self._reduced(cores, "max", node)
        return max(1, min(len(own), np.count_nonzero(cores) // node.size))

    def check(self):
        """Raises UserError where the ranks compute with different versions."""
        alike("the ranks' versions", f"NumPy {np.__version__}, kdlib's code {code_digest()[:12]}")

    def finish(self):
        """Wait for the first rank, which writes what was trained, however long that takes."""
        self._wait(self._world.Ibarrier(), float("inf"), pause=0.01)

    def abort(self):
        """End all ranks, with exit code 1."""
        with contextlib.suppress(self._mpi.Exception):
            self._world.Abort(1)
