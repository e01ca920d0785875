"""Ranks without MPI: forked processes that reduce in shared memory, each in an order of its own."""

import mmap
import multiprocessing
import random

import numpy as np

from kdlib.backends.ranks import Ranks

BYTES = 1 << 24  # of the largest array
OPERATIONS = {"max": np.maximum, "sum": np.add}
SECONDS = 60


def _reducing(rank, size, memory, barrier):
    order = random.Random(rank)

    def reduce(array, operation):
        assert array.flags.c_contiguous
        assert array.nbytes <= BYTES
        slots = [np.frombuffer(memory, array.dtype, array.size, k * BYTES).reshape(array.shape) for k in range(size)]
        slots[rank][...] = array
        barrier.wait(SECONDS)
        result, *others = order.sample(slots, size)
        result = result.copy()
        for other in others:
            OPERATIONS[operation](result, other, out=result)
        barrier.wait(SECONDS)
        array[...] = result

    return reduce


def over(size, function):
    """[function(ranks) of each rank]. An error in one is an AssertionError here."""
    fork = multiprocessing.get_context("fork")
    memory, barrier, pipes = mmap.mmap(-1, size * BYTES), fork.Barrier(size), []

    def work(rank, pipe):
        try:
            ranks = Ranks(rank, size, _reducing(rank, size, memory, barrier))
            pipe.send((True, function(ranks)))
        except BaseException as error:
            barrier.abort()
            pipe.send((False, f"{type(error).__name__}: {error}"))

    processes = []
    for rank in range(size):
        mine, theirs = fork.Pipe()
        processes.append(fork.Process(target=work, args=(rank, theirs)))
        processes[-1].start()
        theirs.close()
        pipes.append(mine)
    found = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    failed = [what for well, what in found if not well]
    assert not failed, failed
    return [what for _, what in found]
