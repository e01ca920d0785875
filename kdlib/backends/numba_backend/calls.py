"""What Python calls of the compiled kernels. It has the functions of `kdlib.backends.numpy_backend`."""

import functools
import weakref

import numpy as np

from kdlib.backends.numba_backend import updates
from kdlib.backends.numba_backend.layers import NO_TABLE, Mirrored, Passes
from kdlib.backends.numba_backend.passes import product as compiled_product
from kdlib.backends.numba_backend.row_loops import gather_rows, snap_rows
from kdlib.backends.numba_backend.scalars import exact_exp, fast_exp
from kdlib.backends.numba_backend.softmax import shifting, softening
from kdlib.backends.numba_backend.steps import Steps
from kdlib.backends.numpy_backend import flush_to_zero
from kdlib.backends.threads import parts, spread, together
from kdlib.numerics import exact
from kdlib.numerics.grids import PART

ONE = np.ones(1)
HELD = 1 << 24  # 64 MiB
_mirrored = weakref.WeakKeyDictionary()


def gather(x, rows, offset, scale, grid, out, unit):
    anchors, units, unit = (grid.anchors, grid.units, unit) if grid else (NO_TABLE, NO_TABLE, out[..., :1])
    gather_rows(x, rows, offset, scale, anchors, units, out, unit)


def operand(x, grid, out):
    unit, flat = np.empty((*x.shape[:-1], 1), np.float32), np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    arguments = flat, grid.anchors, grid.units, out.reshape(flat.shape), unit.reshape(-1)
    spread(snap_rows, unit.size, x.size, *arguments)
    return unit


passes, steps = Passes, Steps


def product(a, b):
    out = np.empty((*a.shape[:2], b.shape[2]), np.float32)
    for k in range(len(a)):
        compiled_product(a[k], b[k], out[k], PART)
    return out


def _softened(logits, temperature, arithmetic):
    """What the loops of softmax take: (rows of logits, temperatures, exponential, anchor)."""
    rows = np.ascontiguousarray(logits).reshape(-1, logits.shape[-1])
    t = (ONE if temperature is None else np.asarray(temperature).reshape(-1)).astype(rows.dtype, copy=False)
    if arithmetic.dtype == arithmetic.logits_dtype:
        return rows, t, fast_exp, rows.dtype.type(0)
    return rows, t, exact_exp, exact.unit_anchor(rows.shape[1])


def shifted(logits, temperature, arithmetic):
    rows, t, exponential, anchor = _softened(logits, temperature, arithmetic)
    out, totals = np.empty_like(rows), np.empty(len(rows), rows.dtype)
    spread(shifting(exponential), len(rows), rows.size, rows, t, anchor, out, totals)
    return out.reshape(logits.shape), totals.reshape(*logits.shape[:-1], 1)


def softmax_gradient(logits, targets, temperature, arithmetic):
    rows, t, exponential, anchor = _softened(logits, temperature, arithmetic)
    targets = np.ascontiguousarray(targets if targets.shape == logits.shape else np.broadcast_to(targets, logits.shape))
    gradient = np.empty_like(rows)
    spread(softening(exponential), len(rows), rows.size, rows, targets.reshape(rows.shape), t, anchor, gradient)
    return gradient.reshape(logits.shape)


def _mirrored_of(layers, p):
    if not layers:
        return Mirrored(None, p)
    if layers not in _mirrored:
        _mirrored[layers] = Mirrored(layers, p)
    return _mirrored[layers]


def _change(loop, p, given, mirrored):
    """Threads share a loop of `updates` that changes p, and so the mirrors of the weights."""
    count = len(parts(p.shape[1], p.size))
    tops = np.zeros((count, len(p), mirrored.widths), np.int32)
    given = p, *given, mirrored.sizes, mirrored.values, mirrored.anchor
    together(loop, [(*given, tops[k], k, count) for k in range(count)])
    if mirrored.widths:
        updates.settle(p, mirrored.sizes, mirrored.values, mirrored.anchor, mirrored.unit, *mirrored.tables, tops)


def constrain(layers, max_norm):
    p = layers.parameters
    mirrored, count = _mirrored_of(layers, p), len(parts(p.shape[1], p.size))
    sums = np.zeros((count, len(p), sum(layers.sizes[1:])))  # integers
    together(updates.square_sums, [(mirrored.values, mirrored.sizes, sums[k], k, count) for k in range(count)])
    factors = max_norm / np.sqrt(functools.reduce(np.add, sums))  # no sum of squares rounds, in any order
    if (factors < 1).any():
        _change(updates.shrink, p, (np.minimum(factors, 1),), mirrored)


def update(rule, constants, arrays, layers=None, flush=None):
    p, g, *moments = arrays.values()
    factors = np.empty((len(constants), len(p)), p.dtype)
    for row, value in zip(factors, constants.values(), strict=True):
        row[:] = value[:, 0] if isinstance(value, np.ndarray) else value
    _change(updates.changing(rule, len(moments)), p, (g, tuple(moments), factors), _mirrored_of(layers, p))
    if flush is not None:
        for moment in moments:
            flush_to_zero(moment, flush)
