"""The order of the networks in a stack. Values that several networks share are stored once.

The order has three levels: a stack goes through its splits, within a split through the settings of a sweep, and within
a setting through the replicas. So networks that share a value, such as the targets of a split or the temperature of a
setting, are neighbours. A shared value is an array with G entries. The number R of networks is a multiple of G, and
network i uses the entry i G // R. With R = 6 and G = 2, networks 0-2 use entry 0, and networks 3-5 use entry 1.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kdlib.learning.lazy_targets import LazyTargets


def expand_to_networks(values: np.ndarray, networks: int) -> np.ndarray:
    """Repeat shared values so that each network has one.

    Parameters
    ----------
    values : array (G, ...)
        G entries; `networks` is a multiple of G.
    networks : int
        R, the size of the stack.

    Returns
    -------
    array (R, ...)
        If G = 1, the values as they are, (1, ...), which broadcasts.
    """
    return values if len(values) in (1, networks) else np.repeat(values, networks // len(values), axis=0)


def select_rows(target: "np.ndarray | LazyTargets", order: np.ndarray) -> np.ndarray:
    """Select rows of the targets for each network.

    Parameters
    ----------
    target : array (G, n, ...) or `kdlib.learning.lazy_targets.LazyTargets`
        Targets of n examples.
    order : array (R, m)
        Row indices for each network.

    Returns
    -------
    array (R, m, ...)
    """
    entry = np.arange(len(order)) * len(target) // len(order)
    return target[entry[:, None], order] if isinstance(target, np.ndarray) else target.select_rows(entry, order)


def network_slices(count: int, networks: int) -> list[slice]:
    """Cut a stack of R networks into `count` equal slices.

    Examples
    --------
    >>> network_slices(2, 6)
    [slice(0, 3, None), slice(3, 6, None)]
    """
    size = networks // count
    return [slice(start, start + size) for start in range(0, networks, size)]
