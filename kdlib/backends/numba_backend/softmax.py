"""Softmax and the gradient of a softened cross-entropy, row by row, with the exact or the plain exponential.

z, targets, out: (n, classes). temperature: (R,), or (1,) for all. anchor: snaps the exponentials before they are added.
"""

import functools
from collections.abc import Callable

import numpy as np

from kdlib.backends.numba_backend.kept import keep, named
from kdlib.backends.numba_backend.scalars import inner_jit, jit, snapped


@inner_jit
def shift_row(row, t, out):
    """Store (z - max z) / T in `out`."""
    largest = row[0]
    for j in range(row.size):
        largest = np.maximum(largest, row[j])
    for j in range(row.size):
        out[j] = (row[j] - largest) / t


@functools.cache
def make_log_softmax_loop(exponential: Callable) -> Callable:
    """Return the compiled loop of `numpy_backend.log_softmax_parts`, over the rows from `first` to `last`."""

    def shift(z, temperature, anchor, out, totals, first, last):
        rows_per_temperature = len(z) // len(temperature)
        for i in range(first, last):
            shift_row(z[i], temperature[i // rows_per_temperature], out[i])
            totals[i] = z.dtype.type(0)
            for j in range(z.shape[1]):
                totals[i] += snapped(exponential(out[i, j]), anchor)

    return keep(jit(named(shift, exponential.__name__)))


@functools.cache
def make_softmax_gradient_loop(exponential: Callable) -> Callable:
    """Return the compiled loop of `numpy_backend.softmax_gradient`, over the rows from `first` to `last`."""

    def soften(z, targets, temperature, anchor, out, first, last):
        rows_per_temperature = len(z) // len(temperature)
        for i in range(first, last):
            result = out[i]
            target = targets[i]
            t = temperature[i // rows_per_temperature]
            total = z.dtype.type(0)
            shift_row(z[i], t, result)
            for j in range(result.size):
                result[j] = exponential(result[j])
            for j in range(result.size):
                total += snapped(result[j], anchor)
            for j in range(result.size):
                result[j] = (result[j] / total - target[j]) / t

    return keep(jit(named(soften, exponential.__name__)))
