"""Softmax and the gradient of a softened cross-entropy, row by row, for exact and for plain exponentials.

z, targets, out: (n, classes). temperature: (R,), or (1,).
"""

import functools

import numpy as np

from kdlib.backends.numba_backend.scalars import jit, snapped


@jit
def shift_row(row, t, out):
    """(z - max z) / T."""
    top = row[0]
    for j in range(row.size):
        top = np.maximum(top, row[j])
    for j in range(row.size):
        out[j] = (row[j] - top) / t


@functools.cache
def shifting(exponential):
    @jit
    def shift(z, temperature, anchor, out, totals, first, last):
        each = len(z) // len(temperature)
        for i in range(first, last):
            shift_row(z[i], temperature[i // each], out[i])
            totals[i] = z.dtype.type(0)
            for j in range(z.shape[1]):
                totals[i] += snapped(exponential(out[i, j]), anchor)

    return shift


@functools.cache
def softening(exponential):
    @jit
    def soften(z, targets, temperature, anchor, out, first, last):
        each = len(z) // len(temperature)
        for i in range(first, last):
            result, target, t, total = out[i], targets[i], temperature[i // each], z.dtype.type(0)
            shift_row(z[i], t, result)
            for j in range(result.size):
                result[j] = exponential(result[j])
            for j in range(result.size):
                total += snapped(result[j], anchor)
            for j in range(result.size):
                result[j] = (result[j] / total - target[j]) / t

    return soften
