"""Softmax, its divergence from targets and the gradient of that, row by row; the gradient in both arithmetics.

z, targets, out: (n, classes). temperature: (R,), or (1,) for all. anchor: snaps the exponentials before they are added.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

from kdlib.backends.numba_backend.kept import keep, named
from kdlib.backends.numba_backend.scalars import exact_exp, inner_jit, jit, snapped


@inner_jit
def shift_row(row, t, out):
    """Store (z - max z) / T in `out`."""
    largest = row[0]
    for j in range(row.size):
        largest = np.maximum(largest, row[j])
    for j in range(row.size):
        out[j] = (row[j] - largest) / t


@keep
@jit
def shift_rows(z, temperature, anchor, out, totals, first, last):
    """Do what `numpy_backend.log_softmax_parts` does, over the rows from `first` to `last`."""
    rows_per_temperature = len(z) // len(temperature)
    for i in range(first, last):
        shift_row(z[i], temperature[i // rows_per_temperature], out[i])
        totals[i] = 0.0
        for j in range(z.shape[1]):
            totals[i] += snapped(exact_exp(out[i, j]), anchor)


@inner_jit
def scale(x, shift):
    """Return x * 2^shift as `kdlib.numerics.exact.scale`."""
    third = shift // 3
    power = math.ldexp(1.0, third)
    return x * power * power * math.ldexp(1.0, shift - 2 * third)


@keep
@jit
def sum_divergence(targets, log_targets, shifted, log_totals, bits, out, first, last):
    """Do the rest of `numpy_backend.divergence`, over the rows from `first` to `last`; `shifted` is overwritten.

    Each sum is that of `kdlib.numerics.exact.sum`, with grids of `bits` bits. log_targets: empty for none.
    """
    for i in range(first, last):
        terms = shifted[i]
        largest = 0.0
        for j in range(terms.size):
            log_probability = terms[j] - log_totals[i]
            difference = log_targets[i, j] - log_probability if log_targets.size else -log_probability
            terms[j] = targets[i, j] * difference
            largest = np.maximum(largest, np.abs(terms[j]))
        total = 0.0
        if np.isfinite(largest):
            shift = math.frexp(largest)[1] - bits
            for j in range(terms.size):
                total += np.rint(scale(terms[j], -shift))
            out[i] = scale(total, shift)
        else:
            for j in range(terms.size):
                total += terms[j]
            out[i] = total


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
