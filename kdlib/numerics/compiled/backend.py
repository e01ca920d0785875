"""What Python calls of the compiled kernels. It has the functions of `kdlib.numerics.blocks`."""

import weakref

import numpy as np

from kdlib.numerics import exact
from kdlib.numerics.blocks import flush_to_zero
from kdlib.numerics.compiled import updates
from kdlib.numerics.compiled.passes import product as compiled_product
from kdlib.numerics.compiled.rows import gather_rows, snap_rows
from kdlib.numerics.compiled.scalars import exact_exp, fast_exp
from kdlib.numerics.compiled.softened import shifting, softening
from kdlib.numerics.compiled.steps import Steps
from kdlib.numerics.compiled.views import NO_TABLE, Mirrored, Passes
from kdlib.numerics.grids import PART
from kdlib.numerics.threads import parts, spread, together

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


def update(rule, constants, arrays, layers=None, flush=None):
    p, g, *moments = arrays.values()
    if layers and layers not in _mirrored:
        _mirrored[layers] = Mirrored(layers, p)
    mirrored, factors = _mirrored[layers] if layers else Mirrored(None, p), np.empty((len(constants), len(p)), p.dtype)
    for row, value in zip(factors, constants.values(), strict=True):
        row[:] = value[:, 0] if isinstance(value, np.ndarray) else value
    count = len(parts(p.shape[1], p.size))
    tops = np.zeros((count, len(p), mirrored.widths), np.int32)
    given = p, g, tuple(moments), factors, mirrored.sizes, mirrored.values, mirrored.anchor
    together(updates.changing(rule, len(moments)), [(*given, tops[k], k, count) for k in range(count)])
    if mirrored.widths:
        updates.settle(p, mirrored.sizes, mirrored.values, mirrored.anchor, mirrored.unit, *mirrored.tables, tops)
    if flush is not None:
        for moment in moments:
            flush_to_zero(moment, flush)
