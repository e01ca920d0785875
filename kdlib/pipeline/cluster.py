"""A Dask cluster: whether it is there, and whether its workers are as this process is."""

import asyncio
import contextlib
import functools
import logging

import numpy as np

from kdlib.io.errors import UserError
from kdlib.learning.checkpoints import code_digest

PATIENCE = 5  # s in which a scheduler is to answer
MISSING = "execution.cluster: needs Dask: pip install -r requirements-cluster.txt"
SILENT = "execution.cluster: {} does not answer; start `dask scheduler` there, or set null"
IDLE = "execution.cluster: {} has no workers; start `dask worker {}` on each machine that is to train"
FOREIGN = "execution.cluster: {} lacks kdlib as it is here ({}); install the same on all machines"


@functools.cache
def versions():
    """What is to be the same in all processes: {name: version}; of kdlib and stages the digest of the code."""
    return {"NumPy": np.__version__, "kdlib": code_digest()[:12]}


def refuse_others(where, theirs, ours):
    """Raises UserError if `theirs`, of `versions` or the exception in place of them, are not `ours`."""
    if isinstance(theirs, Exception):
        raise UserError(FOREIGN.format(f"the worker {where}", theirs))
    if found := [f"{name} {theirs[name]}, not {ours[name]}" for name in ours if theirs[name] != ours[name]]:
        raise UserError(f"execution.cluster: the worker {where} has {found[0]}; install the same on all machines")


@contextlib.contextmanager
def connected(address, data):
    """The options of joblib's `parallel_config` for the cluster at `address`, each of whose workers has `data`.

    Raises UserError if there is none, or none that trains to the same bits.
    """
    try:
        from distributed import Client, KilledWorker
        from joblib._dask import DaskDistributedBackend
    except ImportError:
        raise UserError(MISSING) from None

    class Backend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs):  # joblib would not send a part to one thread, but train it here
            return max(2, super().effective_n_jobs(n_jobs))

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what it says of a lost scheduler is told in a line of ours
    try:
        client = Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, asyncio.TimeoutError):  # before Python 3.11 that is no OSError
        raise UserError(SILENT.format(address)) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
            for where, theirs in client.run(versions, on_error="return").items():
                refuse_others(where, theirs, versions())
            yield {"backend": Backend(client=client, scatter=[data])}
        except (TimeoutError, asyncio.TimeoutError):
            raise UserError(IDLE.format(address, address)) from None
        except ImportError as error:  # of a worker that came later
            raise UserError(FOREIGN.format("a worker", error)) from None
        except KilledWorker as error:
            raise UserError(f"execution.cluster: {error}") from None
