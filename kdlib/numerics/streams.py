"""Named streams of random numbers, one for each purpose and replica.

Only `Generator.random` is drawn from: it is 53 bits of PCG64 scaled by a power of two, the same on every
machine. Other distributions may change between NumPy versions (NEP 19).
"""

from dataclasses import dataclass

import numpy as np

REPLICAS = 1000  # at most, of a split: replica k of split s has the number s * REPLICAS + k


def stream(seed, purpose, replica=0):
    """Generator for `purpose` (a string), whose draws depend on no other purpose and no other replica.

    Reference: O'Neill, "PCG: A Family of Simple Fast Space-Efficient ... Generators" (2014).
    """
    entropy = np.random.SeedSequence([seed, replica, *purpose.encode()])
    return np.random.Generator(np.random.PCG64(entropy))


@dataclass(frozen=True)
class Streams:
    """The streams of a stack: one generator for each number in `replicas`, whatever else is in the stack.

    The networks of a number, also in other stacks of the same seed and purpose, start from the same weights and see
    the same batches.
    """

    seed: int
    purpose: str
    replicas: tuple = (0,)

    def generators(self, name):
        """A list of generators for what `name` says is drawn."""
        return [stream(self.seed, f"{self.purpose}/{name}", replica) for replica in self.replicas]


def permutation(generator, n):
    """Random order of `range(n)`: the stable argsort of n uniform draws. Shape (n,), int64."""
    return np.argsort(generator.random(n), kind="stable").astype(np.int64, copy=False)
