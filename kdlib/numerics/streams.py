"""Named streams of random numbers, one for each purpose and replica.

The only method that is drawn from is `Generator.random`: 53 bits of PCG64 times a power of two, the same on every
machine. Other distributions may change between NumPy versions (NEP 19).
"""

from dataclasses import dataclass

import numpy as np

REPLICAS_PER_SPLIT = 1000  # at most: replica k of split s has the number s * REPLICAS_PER_SPLIT + k


def stream(seed: int, purpose: str, replica: int = 0) -> np.random.Generator:
    """Return the generator for a purpose and a replica; its draws depend on no other purpose and no other replica.

    References
    ----------
    O'Neill, "PCG: A Family of Simple Fast Space-Efficient ... Generators" (2014).
    """
    entropy = np.random.SeedSequence([seed, replica, *purpose.encode()])
    return np.random.Generator(np.random.PCG64(entropy))


@dataclass(frozen=True)
class Streams:
    """Make the generators of a stack of networks: one for each replica, independent of the other replicas.

    Networks with the same seed, purpose and replica number start from the same weights, also if they are in different
    stacks. They see the same batches if also the number of examples and the batch size are equal.

    Parameters
    ----------
    seed : int
    purpose : str
        For example "student".
    replicas : tuple of int
        One number for each network, see REPLICAS_PER_SPLIT.
    """

    seed: int = 0
    purpose: str = "network"
    replicas: tuple[int, ...] = (0,)

    def generators(self, name: str) -> list[np.random.Generator]:
        """Return one generator for each replica.

        Parameters
        ----------
        name : str
            What is drawn from them, for example "weights".
        """
        return [stream(self.seed, f"{self.purpose}/{name}", replica) for replica in self.replicas]


def permutation(generator: np.random.Generator, n: int) -> np.ndarray:
    """Return a random order of `range(n)`, shape (n,), int64: the stable argsort of n uniform draws."""
    return np.argsort(generator.random(n), kind="stable").astype(np.int64, copy=False)
