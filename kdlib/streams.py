"""Named streams of random numbers, one for each purpose and replica.

Only `Generator.random` is drawn from: it is 53 bits of PCG64 scaled by a power of two, the same on every
machine. Other distributions may change between NumPy versions (NEP 19).
"""

import numpy as np


def stream(seed, purpose, replica=0):
    """Generator for `purpose` (a string), whose draws depend on no other purpose and no other replica.

    Reference: O'Neill, "PCG: A Family of Simple Fast Space-Efficient ... Generators" (2014).
    """
    entropy = np.random.SeedSequence([seed, replica, *purpose.encode()])
    return np.random.Generator(np.random.PCG64(entropy))


def permutation(generator, n):
    """Random order of `range(n)`: the stable argsort of n uniform draws. Shape (n,), int64."""
    return np.argsort(generator.random(n), kind="stable").astype(np.int64)
