"""Ranks that MPI connects: processes that `mpiexec` started, with any MPI library that mpi4py finds."""

import contextlib
import faulthandler
import os
import sys
import time
from types import ModuleType

import numpy as np

from kdlib.backends.ranks import Ranks
from kdlib.io.errors import UserError
from kdlib.learning.checkpoints import check_same_on_all_ranks, code_fingerprint

MPI_SIZE_VARIABLES = "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"  # MPICH and Open MPI set one to the number of ranks
MAX_CORES = 4096  # of a machine; cores with larger numbers share the entries of smaller ones
EAGER_TESTS = 100  # tests of a request before the first pause
PAUSE = 1e-4  # s between two tests: other processes may need the core
MAX_COUNTED = 1.0  # s of waiting that count between two tests: a process may have been stopped for longer
WAITING_TAG = 1  # of the messages by which ranks that wait for an answer find each other


def connect(seconds: float) -> "MPIRanks":
    """Connect all processes of this MPI.

    Parameters
    ----------
    seconds : float
        Timeout: no rank waits longer than this for another.

    Returns
    -------
    MPIRanks

    Raises
    ------
    UserError
        If mpi4py is missing, or belongs to another MPI than the mpiexec.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)  # MPI waits for ranks that never start
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # mpi4py raises RuntimeError if there is no MPI library
        line = str(error).splitlines()[0]
        raise UserError(f"mpiexec: ranks need mpi4py and its MPI ({line}): pip install 'kdlib[mpi]'") from None
    finally:
        faulthandler.cancel_dump_traceback_later()
    world = MPI.COMM_WORLD
    started = next((int(os.environ[name]) for name in MPI_SIZE_VARIABLES if name in os.environ), world.size)
    if world.size != started:
        raise UserError(f"mpiexec: started {started} ranks, of which mpi4py sees {world.size}: they are of two MPIs")
    return MPIRanks(MPI, seconds)


class MPIRanks(Ranks):
    """All processes of an MPI world. Requests are tested in a loop, not waited for, so that a dead rank blocks nobody.

    Parameters
    ----------
    mpi : module
        `mpi4py.MPI`.
    seconds : float
        Timeout of every request.
    """

    def __init__(self, mpi: ModuleType, seconds: float):
        self._mpi = mpi
        self._world = mpi.COMM_WORLD
        self._seconds = seconds
        self._operations = {"max": mpi.MAX, "sum": mpi.SUM}
        super().__init__(self._world.rank, self._world.size, self._reduced)

    def _reduced(self, array, operation, among=None):
        among = among or self._world
        self._wait(among.Iallreduce(self._mpi.IN_PLACE, array, self._operations[operation]), self._seconds)

    def _wait(self, request, seconds, pause=PAUSE):
        waited = 0.0
        tests = 0
        before = time.monotonic()
        try:
            while not request.Test():
                tests += 1
                if tests > EAGER_TESTS:
                    time.sleep(pause)
                elif hasattr(os, "sched_yield"):
                    os.sched_yield()
                now = time.monotonic()
                waited += min(now - before, MAX_COUNTED)
                before = now
                if waited > seconds:
                    raise UserError(self._silent(seconds))
        except self._mpi.Exception as error:
            raise UserError(f"ranks: the connection is lost ({error}); run it again") from None

    def _silent(self, seconds):
        """Compose the message that names the ranks that did not answer; those that wait send each other a message."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        for rank in others:
            self._world.Isend(np.empty(0), rank, WAITING_TAG)
        end = time.monotonic() + 1 + seconds / 100
        while others and time.monotonic() < end:
            time.sleep(PAUSE)
            others = [rank for rank in others if not self._world.Iprobe(rank, WAITING_TAG)]
        who = f"rank {', '.join(map(str, others))}" if others else "a rank"
        return (
            f"execution.wait: no answer from {who} for {seconds:g} s; the run ends; start it again, with any number of"
            " ranks: it goes on from its checkpoint"
        )

    def threads(self) -> int:
        """Return the number of threads for this rank: its share of the cores that ranks on this machine may use."""
        own = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
        node = self._world.Split_type(self._mpi.COMM_TYPE_SHARED)
        cores = np.zeros(MAX_CORES, np.int32)
        cores[[core % MAX_CORES for core in own]] = 1
        self._reduced(cores, "max", node)
        return max(1, min(len(own), np.count_nonzero(cores) // node.size))

    def check(self) -> None:
        """Compare the versions of all ranks. Raises UserError if they differ."""
        check_same_on_all_ranks(
            self, "the ranks' versions", f"NumPy {np.__version__}, kdlib's code {code_fingerprint()[:12]}"
        )

    def finish(self) -> None:
        """Wait, without a timeout, for the first rank, which writes what was trained."""
        self._wait(self._world.Ibarrier(), float("inf"), pause=0.01)

    def abort(self) -> None:
        """End all ranks, with exit code 1."""
        with contextlib.suppress(self._mpi.Exception):
            self._world.Abort(1)
