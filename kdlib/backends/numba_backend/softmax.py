"""Softmax, its divergence from targets and the gradient of that, row by row; the gradient in both arithmetics.

z, targets, out: (n, classes). temperature: (R,), or (1,) for all. anchor: snaps the exponentials before they are added.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

from kdlib.backends.numba_backend.kept import keep, named
from kdlib.backends.numba_backend.scalars import exact_exp, exact_log_of_positive, inner_jit, jit, snapped
from kdlib.numerics.exact import SAFE_SHIFT


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
def sum_exponentials(z, temperature, anchor, out, first, last):
    """Store the sums of exp((z - max z) / T) in `out` (n,), for the rows from `first` to `last`."""
    rows_per_temperature = len(z) // len(temperature)
    shifted = np.empty(z.shape[1])
    for i in range(first, last):
        shift_row(z[i], temperature[i // rows_per_temperature], shifted)
        out[i] = 0.0
        for j in range(shifted.size):
            out[i] += snapped(exact_exp(shifted[j]), anchor)


@inner_jit
def scale(x, shift):
    """Return x * 2^shift as `kdlib.numerics.exact.scale`."""
    third = shift // 3
    power = math.ldexp(1.0, third)
    return x * power * power * math.ldexp(1.0, shift - 2 * third)


@inner_jit
def exact_sum(terms, bits):
    """Return the sum of the terms on a grid of `bits` bits, as `kdlib.numerics.exact.sum`."""
    largest = 0.0
    for j in range(terms.size):
        largest = np.maximum(largest, np.abs(terms[j]))
    total = 0.0
    shift = (math.frexp(largest)[1] if np.isfinite(largest) else 0) - bits
    if abs(shift) < SAFE_SHIFT:
        over = math.ldexp(1.0, -shift)
        for j in range(terms.size):
            total += np.rint(terms[j] * over)
        return total * math.ldexp(1.0, shift)
    for j in range(terms.size):
        total += np.rint(scale(terms[j], -shift))
    return scale(total, shift)


@keep
@jit
def divergences(z, targets, log_targets, temperature, totals, bits, out, first, last):
    """Store what `numpy_backend.divergence` returns in `out` (n,), for the rows from `first` to `last`.

    log_targets: empty for none. totals: those of `sum_exponentials`. bits: of the grid of each sum.
    """
    rows_per_temperature = len(z) // len(temperature)
    terms = np.empty(z.shape[1])
    for i in range(first, last):
        shift_row(z[i], temperature[i // rows_per_temperature], terms)
        log_total = exact_log_of_positive(totals[i]) if totals[i] > 0.0 else np.nan
        for j in range(terms.size):
            log_probability = terms[j] - log_total
            difference = log_targets[i, j] - log_probability if log_targets.size else -log_probability
            terms[j] = targets[i, j] * difference
        out[i] = exact_sum(terms, bits)


@functools.cache
def make_softmax_gradient_loop(exponential: Callable) -> Callable:
    """Return the compiled loop of `numpy_backend.softmax_gradient`, over the rows from `first` to `last`.

    It stores the sums of the exponentials in `totals` (n,).
    """

    def soften(z, targets, temperature, anchor, out, totals, first, last):
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
            totals[i] = total
            for j in range(result.size):
                result[j] = (result[j] / total - target[j]) / t

    return keep(jit(named(soften, exponential.__name__)))
