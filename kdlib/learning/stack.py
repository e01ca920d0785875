"""The order of the networks in a stack, by which what belongs to several of them is given once.

A stack goes through its splits; within a split through the settings of a sweep; within a setting through the replicas.
What is the same for neighbours, such as the targets of a split or the temperature of a setting, is an array of G
entries, of which the number R of networks is a multiple: network i has the entry i G // R.
"""

import numpy as np


def each(values, networks):
    """values: (G, ...) -> one for each network, (R, ...), or (1, ...), which broadcasts, if G = 1."""
    return values if len(values) in (1, networks) else np.repeat(values, networks // len(values), axis=0)


def ordered(target, order):
    """target: (G, n, ...) of n examples, or `kdlib.learning.lazy_targets`; order: (R, m) of indices -> (R, m, ...)."""
    entry = np.arange(len(order)) * len(target) // len(order)
    return target[entry[:, None], order] if isinstance(target, np.ndarray) else target.ordered(entry, order)


def parts(count, networks):
    """The slices of the stack of `networks` that belong to the first, the second, ... of `count` entries."""
    size = networks // count
    return [slice(start, start + size) for start in range(0, networks, size)]
