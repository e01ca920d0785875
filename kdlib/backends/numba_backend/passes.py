"""The forward and the backward pass of `kdlib.learning.backpropagation`, each one call. Products are SciPy's BLAS.

Lists of arrays are tuples with one array for each layer. Names in all functions:

- sizes: (layers + 1,), the widths.
- p, w, g: the parameters, the snapped weights that the products use, and the gradient, each (R, P).
- anchors, units: the tables of a `Grid`; empty in plain float32.
- max_terms: of the longest sum, see `kdlib.numerics.grids.product`.
"""

import numpy as np

from kdlib.backends.numba_backend.kept import keep
from kdlib.backends.numba_backend.row_loops import (
    add,
    hidden_forward,
    relu_backward,
    scale_columns,
    scale_rows,
    sum_columns,
)
from kdlib.backends.numba_backend.scalars import inner_jit, jit


@keep
@jit
def product(a, b, out, max_terms):
    """Store a b in `out`, as `kdlib.numerics.grids.product`."""
    inner = a.shape[1]
    if inner <= max_terms:
        np.dot(a, b, out)
        return
    term = np.empty_like(out)
    parts = -(-inner // max_terms)
    for k in range(parts):
        start = inner * k // parts
        end = inner * (k + 1) // parts
        left = a[:, start:end].copy()
        right = b[start:end].copy()
        if k == 0:
            np.dot(left, right, out)
        else:
            np.dot(left, right, term)
            add_rows(out, term)


@inner_jit
def product_of_transposed(a, b, out, max_terms):
    """Store a b^T in `out`.

    Columns of b are copied before the transposition: that copies whole runs of each row, not single numbers.
    """
    inner = a.shape[1]
    if inner <= max_terms:
        np.dot(a, b.T, out)
        return
    term = np.empty_like(out)
    parts = -(-inner // max_terms)
    for k in range(parts):
        start = inner * k // parts
        end = inner * (k + 1) // parts
        left = a[:, start:end].copy()
        right = b[:, start:end].copy().T
        if k == 0:
            np.dot(left, right, out)
        else:
            np.dot(left, right, term)
            add_rows(out, term)


@inner_jit
def add_rows(x, y):
    """Add y to x."""
    for i in range(len(x)):
        add(x[i : i + 1], y[i])


@inner_jit
def weights_of(flat, replica, start, inner, width):
    """Return the weights (inner, width) of a layer that begins at the column `start`, as a view."""
    return flat[replica, start : start + inner * width].reshape(inner, width)


@keep
@jit
def forward(sizes, p, w, operands, scales, z, masks, anchors, units, max_terms):
    """Compute the products z of all layers, and their operands.

    operands, scales: the values and units of each layer's operand. The first one is given; the others are written.
    """
    start = 0
    last = len(z) - 1
    for k in range(len(z)):
        inner, width = sizes[k], sizes[k + 1]
        bias = start + inner * width
        for r in range(len(p)):
            product(operands[k][r], weights_of(w, r, start, inner, width), z[k][r], max_terms)
            if k == last:
                add(z[k][r], p[r, bias : bias + width])
            else:
                mask = masks[k][min(r, len(masks[k]) - 1)]
                out = operands[k + 1][r]
                scale = scales[k + 1][min(r, len(scales[k + 1]) - 1)]
                hidden_forward(z[k][r], p[r, bias : bias + width], mask, anchors[k + 1], units[k + 1], out, scale)
        start = bias + width


@keep
@jit
def backward(sizes, w, g, operands, scales, z, masks, deltas, scaled, weight_units, tables, max_terms):
    """Compute the gradient g.

    deltas: the last one is given; the others are written. scaled: buffers. tables: the anchors of δ for the gradients
    of the weights, of the inputs and of the biases.
    """
    end, (for_weights, for_inputs, for_biases) = g.shape[1], tables
    for k in range(len(z) - 1, -1, -1):
        inner, width, snaps = sizes[k], sizes[k + 1], for_weights[k].size > 0
        bias = end - width
        start = bias - inner * width
        for r in range(len(g)):
            delta, errors = deltas[k][r], scaled[k][r]
            sum_columns(delta, for_biases[k], max_terms, g[r, bias:end])
            if snaps:
                scale_columns(delta, scales[k][r], for_weights[k], errors)
            product(operands[k][r].T, errors, weights_of(g, r, start, inner, width), max_terms)
            if k > 0:
                if snaps:
                    scale_rows(delta, weight_units[k][r], for_inputs[k], errors)
                below = deltas[k - 1][r]
                mask = masks[k - 1][min(r, len(masks[k - 1]) - 1)]
                product_of_transposed(errors, weights_of(w, r, start, inner, width), below, max_terms)
                relu_backward(below, z[k - 1][r], mask)
        end = start
