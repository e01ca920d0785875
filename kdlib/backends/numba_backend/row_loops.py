"""Loops over the rows of one network's batch: x, z, out, ... are (n, m), C-contiguous.

The functions do what those of `kdlib.backends.numpy_backend` with the same or a similar name do. anchors, units: the
tables of a `Grid`; empty if nothing is snapped.
"""

import numpy as np

from kdlib.backends.numba_backend.scalars import field, jit, magnitude, snapped


@jit
def snap_row(x, top, anchors, units, out, unit, i):
    """Snap one row, and store its unit in unit[i]. top: the row's largest `magnitude`."""
    place = field(top)
    anchor, unit[i] = anchors[place], units[place]
    for j in range(x.size):
        out[j] = snapped(x[j], anchor)


@jit
def snap_rows(x, anchors, units, out, unit, first, last):
    """Snap the rows from `first` to `last`, and store their units."""
    for i in range(first, last):
        row, top = x[i], np.int32(0)
        for j in range(row.size):
            top = max(top, magnitude(row[j]))
        snap_row(row, top, anchors, units, out[i], unit, i)


@jit
def gather_rows(x, rows, offset, scale, anchors, units, out, unit):
    """Store (x[rows] - offset) * scale in `out`, snapped if there are anchors.

    rows: (R, n). out: (R, n, m). unit: (R, n, 1); it is not written without anchors.
    """
    for r in range(len(rows)):
        for i in range(rows.shape[1]):
            row, result, top = x[rows[r, i]], out[r, i], np.int32(0)
            for j in range(row.size):
                result[j] = (row[j] - offset[j]) * scale[j]
                top = max(top, magnitude(result[j]))
            if anchors.size:
                snap_row(result, top, anchors, units, result, unit[r, :, 0], i)


@jit
def add(x, bias):
    """Add the bias (m,) to each row."""
    for i in range(len(x)):
        row = x[i]
        for j in range(row.size):
            row[j] += bias[j]


@jit
def activate(z, bias, mask, anchors, units, out, unit):
    """Apply z <- ReLU(z + b) * mask, and snap z to `out` if there are anchors.

    mask: empty if there is none. out, unit: they are not written without anchors.
    """
    zero = np.float32(0)
    for i in range(len(z)):
        row, top = z[i], np.int32(0)
        if mask.size:
            for j in range(row.size):
                row[j] = np.maximum(row[j] + bias[j], zero) * mask[i, j]
                top = max(top, magnitude(row[j]))
        else:
            for j in range(row.size):
                row[j] = np.maximum(row[j] + bias[j], zero)
                top = max(top, magnitude(row[j]))
        if anchors.size:
            snap_row(row, top, anchors, units, out[i], unit, i)


@jit
def pass_on(delta, z, mask):
    """Apply the backward pass of `activate`: delta <- delta * (z > 0) * mask."""
    zero = np.float32(0)
    for i in range(len(delta)):
        row, on = delta[i], z[i]
        for j in range(row.size):
            row[j] = row[j] * (on[j] > zero)
        if mask.size:
            for j in range(row.size):
                row[j] = row[j] * mask[i, j]


@jit
def scale_rows(x, unit, anchors, out):
    """Store snap(x * unit) / unit in `out`, with one grid for each row. unit: (m,)."""
    one, inverse = np.float32(1), np.empty_like(unit)
    for j in range(unit.size):
        inverse[j] = one / unit[j]
    for i in range(len(x)):
        row, result, top = x[i], out[i], np.int32(0)
        for j in range(row.size):
            result[j] = row[j] * unit[j]
            top = max(top, magnitude(result[j]))
        anchor = anchors[field(top)]
        for j in range(row.size):
            result[j] = snapped(result[j], anchor) * inverse[j]


@jit
def anchors_of(top, anchors):
    """Return the anchors of columns whose largest magnitudes are `top`."""
    anchor = np.empty(top.size, np.float32)
    for j in range(top.size):
        anchor[j] = anchors[field(top[j])]
    return anchor


@jit
def scale_columns(x, unit, anchors, out):
    """Store snap(x * unit) / unit in `out`, with one grid for each column. unit: (n,)."""
    top, one = np.zeros(x.shape[1], np.int32), np.float32(1)
    for i in range(len(x)):
        row, result, by = x[i], out[i], unit[i]
        for j in range(row.size):
            result[j] = row[j] * by
            top[j] = max(top[j], magnitude(result[j]))
    anchor = anchors_of(top, anchors)
    for i in range(len(x)):
        result, over = out[i], one / unit[i]
        for j in range(result.size):
            result[j] = snapped(result[j], anchor[j]) * over


@jit
def sum_columns(x, anchors, part, out):
    """Store the sums of the columns of x in `out` (m,), as `product` with ones; snap x before if there are anchors.

    Sums of at most `part` rows do not depend on the order. These sums are added in their order.
    """
    top, anchor, terms = np.zeros(out.size, np.int32), np.zeros_like(out), np.zeros_like(out)
    out[:] = 0
    if anchors.size:
        for i in range(len(x)):
            row = x[i]
            for j in range(row.size):
                top[j] = max(top[j], magnitude(row[j]))
        anchor = anchors_of(top, anchors)
    parts = -(-len(x) // part)
    for k in range(parts):
        terms[:] = 0
        for i in range(len(x) * k // parts, len(x) * (k + 1) // parts):
            row = x[i]
            for j in range(row.size):
                terms[j] += snapped(row[j], anchor[j])
        for j in range(out.size):
            out[j] += terms[j]
