"""Connect to a Dask cluster, and check that its workers run the same versions as this process."""

import asyncio
import contextlib
import functools
import logging
from collections.abc import Iterator

import numpy as np

from kdlib.io.errors import UserError
from kdlib.learning.checkpoints import code_fingerprint

CONNECT_TIMEOUT = 5  # s, timeout for the scheduler's answer and for its first worker
NO_DASK = "execution.cluster: needs Dask: pip install 'kdlib[cluster]'"
NO_ANSWER = "execution.cluster: {} does not answer; start `dask scheduler` there, or set null"
NO_WORKERS = "execution.cluster: {} has no workers; start `dask worker {}` on each machine that is to train"
OTHER_CODE = "execution.cluster: {} lacks kdlib as it is here ({}); install the same on all machines"


@functools.cache
def versions() -> dict[str, str]:
    """Return what must be the same in all processes, {name: version}; for kdlib it is a digest of the code."""
    return {"NumPy": np.__version__, "kdlib": code_fingerprint()[:12]}


def check_versions(where: str, theirs: dict[str, str] | Exception, ours: dict[str, str]) -> None:
    """Refuse a worker with other versions.

    Parameters
    ----------
    where : str
        Name of the worker, for the message.
    theirs : dict or Exception
        Its `versions`, or the exception that it raised instead.
    ours : dict
        The `versions` of the asking process.

    Raises
    ------
    UserError
        If the versions differ, or if `theirs` is an exception.
    """
    if isinstance(theirs, Exception):
        raise UserError(OTHER_CODE.format(f"the worker {where}", theirs))
    if found := [f"{name} {theirs[name]}, not {ours[name]}" for name in ours if theirs[name] != ours[name]]:
        raise UserError(f"execution.cluster: the worker {where} has {found[0]}; install the same on all machines")


@contextlib.contextmanager
def connected(address: str, data: object) -> Iterator[dict]:
    """Connect to a cluster and send `data` to each of its workers, as a context manager.

    Parameters
    ----------
    address : str
        Address of the scheduler, such as tcp://host:8786.
    data : object
        What every unit of work needs.

    Yields
    ------
    dict
        Options of joblib's `parallel_config`.

    Raises
    ------
    UserError
        If Dask is not installed, no scheduler or worker answers, a worker has other versions, or workers are killed.
    """
    try:
        from distributed import Client, KilledWorker
        from joblib._dask import DaskDistributedBackend
    except ImportError:
        raise UserError(NO_DASK) from None

    class Backend(DaskDistributedBackend):
        def effective_n_jobs(self, n_jobs):  # for one thread joblib would train here, not on the cluster
            return max(2, super().effective_n_jobs(n_jobs))

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a lost scheduler is one line of ours, not many of Dask's
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, asyncio.TimeoutError):  # before Python 3.11 asyncio's TimeoutError is no OSError
        raise UserError(NO_ANSWER.format(address)) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_TIMEOUT)
            for where, theirs in client.run(versions, on_error="return").items():
                check_versions(where, theirs, versions())
            yield {"backend": Backend(client=client, scatter=[data])}
        except (TimeoutError, asyncio.TimeoutError):
            raise UserError(NO_WORKERS.format(address, address)) from None
        except ImportError as error:  # raised by a worker that joined later
            raise UserError(OTHER_CODE.format("a worker", error)) from None
        except KilledWorker as error:
            raise UserError(f"execution.cluster: {error}") from None
