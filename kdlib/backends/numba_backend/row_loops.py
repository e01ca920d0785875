"""Loops over the rows of one network's batch: x, z, out, ... are (n, m), C-contiguous.

The functions do what those of `kdlib.backends.numpy_backend` with the same or a similar name do. anchors, units: the
tables of a `Grid`; empty if nothing is snapped.
"""

import numpy as np

from kdlib.backends.numba_backend.kept import keep
from kdlib.backends.numba_backend.scalars import inner_jit, jit, magnitude, snapped, table_index


@inner_jit
def snap_row(x, largest, anchors, units, out, unit, i):
    """Snap one row, and store its unit in unit[i]. largest: the row's largest `magnitude`."""
    index = table_index(largest)
    anchor, unit[i] = anchors[index], units[index]
    for j in range(x.size):
        out[j] = snapped(x[j], anchor)


@keep
@jit
def snap_rows(x, anchors, units, out, unit, first, last):
    """Snap the rows from `first` to `last`, and store their units."""
    for i in range(first, last):
        row = x[i]
        largest = np.int32(0)
        for j in range(row.size):
            largest = max(largest, magnitude(row[j]))
        snap_row(row, largest, anchors, units, out[i], unit, i)


def as_bytes(x: np.ndarray) -> np.ndarray:
    """Return the bytes of x (n, m) as a view that may not be written: one type for compiled code, whatever x is."""
    view = np.asarray(x).view(np.uint8)
    view.flags.writeable = False
    return view


@inner_jit
def scale_row(row, offset, scale, out):
    """Store (row - offset) * scale in `out`; return the largest `magnitude`."""
    largest = np.int32(0)
    for j in range(row.size):
        out[j] = (row[j] - offset[j]) * scale[j]
        largest = max(largest, magnitude(out[j]))
    return largest


@keep
@jit
def gather_rows(x, rows, offset, scale, anchors, units, out, unit):
    """Store (x[rows] - offset) * scale in `out`, snapped if there are anchors.

    x: `as_bytes` of uint8, float32 or float64, which are told by their sizes. rows: (R, n). out: (R, n, m). unit:
    (R, n); it is not written without anchors.
    """
    size = x.shape[1] // offset.size
    buffer = np.empty(x.shape[1], np.uint8)
    for r in range(len(rows)):
        for i in range(rows.shape[1]):
            row = x[rows[r, i]]
            result = out[r, i]
            if size == 1:
                largest = scale_row(row, offset, scale, result)
            else:
                for j in range(row.size):
                    buffer[j] = row[j]  # floats in a mapped file may begin at any byte
                if size == 4:
                    largest = scale_row(buffer.view(np.float32), offset, scale, result)
                else:
                    largest = scale_row(buffer.view(np.float64), offset, scale, result)
            if anchors.size:
                snap_row(result, largest, anchors, units, result, unit[r], i)


@keep
@jit
def add(x, bias):
    """Add the bias (m,) to each row."""
    for i in range(len(x)):
        row = x[i]
        for j in range(row.size):
            row[j] += bias[j]


@keep
@jit
def hidden_forward(z, bias, mask, anchors, units, out, unit):
    """Apply z <- ReLU(z + b) * mask, and snap z to `out` if there are anchors.

    mask: empty if there is none. out, unit: they are not written without anchors.
    """
    zero = np.float32(0)
    for i in range(len(z)):
        row = z[i]
        largest = np.int32(0)
        if mask.size:
            for j in range(row.size):
                row[j] = np.maximum(row[j] + bias[j], zero) * mask[i, j]
                largest = max(largest, magnitude(row[j]))
        else:
            for j in range(row.size):
                row[j] = np.maximum(row[j] + bias[j], zero)
                largest = max(largest, magnitude(row[j]))
        if anchors.size:
            snap_row(row, largest, anchors, units, out[i], unit, i)


@keep
@jit
def relu_backward(delta, z, mask):
    """Apply the backward pass of `hidden_forward`: delta <- delta * (z > 0) * mask."""
    zero = np.float32(0)
    for i in range(len(delta)):
        row, on = delta[i], z[i]
        for j in range(row.size):
            row[j] = row[j] * (on[j] > zero)
        if mask.size:
            for j in range(row.size):
                row[j] = row[j] * mask[i, j]


@keep
@jit
def scale_rows(x, unit, anchors, out):
    """Store snap(x * unit) / unit in `out`, with one grid for each row. unit: (m,)."""
    one = np.float32(1)
    inverse = np.empty_like(unit)
    for j in range(unit.size):
        inverse[j] = one / unit[j]
    for i in range(len(x)):
        row = x[i]
        result = out[i]
        largest = np.int32(0)
        for j in range(row.size):
            result[j] = row[j] * unit[j]
            largest = max(largest, magnitude(result[j]))
        anchor = anchors[table_index(largest)]
        for j in range(row.size):
            result[j] = snapped(result[j], anchor) * inverse[j]


@inner_jit
def anchors_of(largest, anchors):
    """Return the anchors of columns whose largest magnitudes are `largest`."""
    anchor = np.empty(largest.size, np.float32)
    for j in range(largest.size):
        anchor[j] = anchors[table_index(largest[j])]
    return anchor


@keep
@jit
def scale_columns(x, unit, anchors, out):
    """Store snap(x * unit) / unit in `out`, with one grid for each column. unit: (n,)."""
    largest = np.zeros(x.shape[1], np.int32)
    one = np.float32(1)
    for i in range(len(x)):
        row, result, by = x[i], out[i], unit[i]
        for j in range(row.size):
            result[j] = row[j] * by
            largest[j] = max(largest[j], magnitude(result[j]))
    anchor = anchors_of(largest, anchors)
    for i in range(len(x)):
        result, over = out[i], one / unit[i]
        for j in range(result.size):
            result[j] = snapped(result[j], anchor[j]) * over


@keep
@jit
def sum_columns(x, anchors, max_terms, out):
    """Store the sums of the columns of x in `out` (m,), as `product` with ones; snap x before if there are anchors.

    Sums of at most `max_terms` rows do not depend on the order. These sums are added in their order.
    """
    largest = np.zeros(out.size, np.int32)
    anchor = np.zeros_like(out)
    terms = np.zeros_like(out)
    out[:] = 0
    if anchors.size:
        for i in range(len(x)):
            row = x[i]
            for j in range(row.size):
                largest[j] = max(largest[j], magnitude(row[j]))
        anchor = anchors_of(largest, anchors)
    parts = -(-len(x) // max_terms)
    for k in range(parts):
        terms[:] = 0
        for i in range(len(x) * k // parts, len(x) * (k + 1) // parts):
            row = x[i]
            for j in range(row.size):
                terms[j] += snapped(row[j], anchor[j])
        for j in range(out.size):
            out[j] += terms[j]
