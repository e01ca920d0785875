"""The loops of `update` and `constrain`: they apply a rule and snap the weights while a few rows are in the cache.

The arrays are those of `kdlib.backends.numba_backend.passes`. anchor, unit: of the snapped weights, (R, m) each.
Several threads share a loop: the k-th of `count` threads takes the k-th part of each layer's rows.
"""

import functools
from collections.abc import Callable

import numpy as np

from kdlib.backends.code_folder import rule_digest
from kdlib.backends.numba_backend.kept import keep, named
from kdlib.backends.numba_backend.scalars import as_tuple, inner_jit, jit, magnitude, snapped, table_index

L1_ELEMENTS = 2048  # elements that all loops of an update go over while they are in the first cache


@functools.cache
def make_update_loop(rule: Callable, moments: int) -> Callable:
    """Return the compiled loop of an optimizer's step.

    Parameters
    ----------
    rule : callable
        See `kdlib.learning.optimizers`.
    moments : int
        The number of its moments, 1 or 2.

    Returns
    -------
    callable
        `update_loop` below. Its factors are the constants of the rule, (constants, R).
    """
    constants = rule.__code__.co_argcount - 2 - moments
    digest = rule_digest(rule)
    rule = inner_jit(named(rule, digest))

    def with_one_moment(p, g, moments, factors, r, a, b):
        p, g, v = p[r, a:b], g[r, a:b], moments[0][r, a:b]
        of_network = as_tuple(factors[:, r], constants)
        for j in range(p.size):
            p[j], v[j] = rule(p[j], g[j], v[j], *of_network)

    def with_two_moments(p, g, moments, factors, r, a, b):
        p, g, m, s = p[r, a:b], g[r, a:b], moments[0][r, a:b], moments[1][r, a:b]
        of_network = as_tuple(factors[:, r], constants)
        for j in range(p.size):
            p[j], m[j], s[j] = rule(p[j], g[j], m[j], s[j], *of_network)

    change = inner_jit(named(with_one_moment if moments == 1 else with_two_moments, digest))

    def update_loop(p, g, moments, factors, sizes, w, anchor, column_maxima, k, count):
        """Update one thread's part; store its columns' largest magnitudes in `column_maxima`, (R, all m) int32."""
        start, column = 0, 0
        for layer in range(len(sizes) - 1):
            inner, width = sizes[layer], sizes[layer + 1]
            step = max(1, L1_ELEMENTS // width)
            first = (inner + 1) * k // count
            last = (inner + 1) * (k + 1) // count
            for r in range(len(p)):
                for row in range(first, last, step):  # the last of all is the biases
                    a = start + row * width
                    b = start + min(row + step, last) * width
                    change(p, g, moments, factors, r, a, b)
                    if column_maxima.size:
                        weights = min(b, start + inner * width)
                        snap_chunk(p[r], w[r], a, weights, anchor[layer][r], column_maxima[r, column : column + width])
            start, column = start + (inner + 1) * width, column + width

    return keep(jit(named(update_loop, digest)), digest is not None)


@keep
@jit
def square_sums(w, sizes, sums, k, count):
    """Add the sums of squares of the columns, in one thread's part, to `sums` (R, all m) float64."""
    start, column = 0, 0
    for layer in range(len(sizes) - 1):
        inner, width = sizes[layer], sizes[layer + 1]
        for r in range(len(w)):
            own = sums[r, column : column + width]
            for row in range(inner * k // count, inner * (k + 1) // count):
                weights = w[r, start + row * width : start + (row + 1) * width]
                for j in range(width):
                    weight = np.float64(weights[j])
                    own[j] += weight * weight
        start, column = start + (inner + 1) * width, column + width


@keep
@jit
def shrink(p, factors, sizes, w, anchor, column_maxima, k, count):
    """Multiply the weights by the factors of their columns, (R, all m), in one thread's part."""
    start, column = 0, 0
    for layer in range(len(sizes) - 1):
        inner, width = sizes[layer], sizes[layer + 1]
        for r in range(len(p)):
            own = factors[r, column : column + width]
            for row in range(inner * k // count, inner * (k + 1) // count):
                a = start + row * width
                b = start + (row + 1) * width
                weights = p[r, a:b]
                for j in range(width):
                    weights[j] = weights[j] * own[j]
                if column_maxima.size:
                    snap_chunk(p[r], w[r], a, b, anchor[layer][r], column_maxima[r, column : column + width])
        start, column = start + (inner + 1) * width, column + width


@inner_jit
def snap_chunk(p, w, a, b, anchor, largest):
    """Snap the columns a to b of the flat arrays, which are whole rows of weights, and update `largest`."""
    width = largest.size
    for start in range(a, b, width):
        here, out = p[start : start + width], w[start : start + width]
        for j in range(width):
            largest[j] = max(largest[j], magnitude(here[j]))
            out[j] = snapped(here[j], anchor[j])


@keep
@jit
def update_grids(p, sizes, w, anchor, unit, anchors, units, column_maxima):
    """Set the snapped weights' grids by `column_maxima` (threads, R, all m); snap moved columns again."""
    start, column = 0, 0
    for layer in range(len(sizes) - 1):
        inner, width = sizes[layer], sizes[layer + 1]
        for r in range(len(p)):
            moved = np.empty(width, np.int64)
            count = 0
            for j in range(width):
                largest = column_maxima[0, r, column + j]
                for k in range(1, len(column_maxima)):
                    largest = max(largest, column_maxima[k, r, column + j])
                index = table_index(largest)
                if anchors[layer][index] != anchor[layer][r, j]:
                    anchor[layer][r, j], unit[layer][r, j] = anchors[layer][index], units[layer][index]
                    moved[count] = j
                    count += 1
            for row in range(inner if count else 0):
                for j in moved[:count]:
                    here = start + row * width + j
                    w[r, here] = snapped(p[r, here], anchor[layer][r, j])
        start, column = start + (inner + 1) * width, column + width
