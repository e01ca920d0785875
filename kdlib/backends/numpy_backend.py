"""What is done to single elements in training, in NumPy. `numba_backend` does the same in compiled loops."""

import numpy as np

from kdlib.numerics.grids import magnitude, snap

HELD = 1 << 26  # elements of the training examples that are held as operands, 256 MiB, not made anew for each batch
BLOCK = 65536  # elements of a block: its arrays stay in the cache while all passes of an update go over them


def flush_to_zero(moment, anchor):
    """Round to a multiple of the anchor's last place, so that what is below a half of it becomes zero."""
    moment += anchor
    moment -= anchor


def _cut(layers):
    """(columns, mirror, rows) of blocks of about BLOCK elements: whole rows of weights, the biases with the last."""
    start = 0
    for dense in layers.dense:
        replicas, fan_in, fan_out = dense.mirror.weights.shape
        height = max(1, BLOCK // (replicas * fan_out))
        for top in range(0, fan_in, height):
            bottom = min(top + height, fan_in)
            end = start + (bottom - top + (bottom == fan_in)) * fan_out
            yield slice(start, end), dense.mirror, slice(top, bottom)
            start = end


def update(rule, constants, arrays, layers=None, flush=None):
    """A step of an optimizer, block by block, and of the mirrors of the weights while a block is in the cache.

    rule: of (p, g, the moments, the constants), see `kdlib.backends.update_rules`. constants: {name: a number, or
    (R, 1)}. arrays: {name: (R, P)}, p, g and the moments; g is overwritten. layers: None, or
    `kdlib.backends.dense.Layers`. flush: None, or the anchor to flush the moments to.
    """
    arrays = list(arrays.values())
    whole = not layers or arrays[0].size <= BLOCK
    for columns, mirror, rows in [(slice(None), None, None)] if whole else _cut(layers):
        block = [array[:, columns] for array in arrays]
        rule(*block, *constants.values())
        if flush is not None:
            for moment in block[2:]:
                flush_to_zero(moment, flush)
        if mirror:
            mirror.update(rows)
    for dense in layers.dense if layers else ():
        dense.mirror.finish()


def constrain(layers, max_norm):
    """Scale the columns of weights whose L2 norm is above `max_norm` down to it, and their mirrors."""
    for dense in layers.dense:
        factor = max_norm / np.sqrt(dense.square_sum())
        if (factor < 1).any():
            weights = dense.mirror.weights
            weights *= np.minimum(factor, 1)
            dense.mirror.finish()


def passes(layers, rows):
    """None: `kdlib.learning.backpropagation` calls the functions of this module for each layer."""
    return None


steps = None  # one at a time: `kdlib.learning.training`


def operand(x, grid, out, nonnegative=False):
    """Snap each row of x (..., K) to its grid, into `out`; returns the units (..., 1). nonnegative: x >= 0."""
    largest = np.maximum.reduce(x, axis=-1, keepdims=True) if nonnegative else magnitude(x, axis=-1)
    anchor, unit = grid.anchor_and_unit(largest)
    snap(x, anchor, out)
    return unit


def gather(x, rows, offset, scale, grid, out, unit):
    """(x[rows] - offset) * scale -> out (R, n, features), with a grid then snapped as by `operand`; units -> unit.

    x: (N, features), numbers of any kind. rows: (R, n) int64. offset, scale: (features,) float64.
    """
    out[...] = (x.take(rows, axis=0) - offset) * scale
    if grid is not None:
        unit[...] = operand(out, grid, out)


def activate(z, biases, mask, grid, out):
    """ReLU of z + b, times the mask if there is one, in place; then `operand`, unless the grid is None."""
    z += biases
    np.maximum(z, 0, out=z)
    if mask is not None:
        z *= mask
    return None if grid is None else operand(z, grid, out, nonnegative=True)


def pass_on(delta, z):
    """The gradient by what `activate` was given, from that by its result, in place; the mask left aside.

    A unit that is off or dropped has z = 0, and passes nothing on.
    """
    delta *= z > 0


def snap_scaled(x, unit, grid, axis, out, top=None):
    """x units, snapped to grids along `axis`, over units -> out. x: (R, n, m). unit: (R, n, 1), (R, 1, m) or None.

    top: the largest magnitudes of x units along the axis, if they are known.
    """
    scaled = x if unit is None else np.multiply(x, unit, out=out)
    snap(scaled, grid.anchor(magnitude(scaled, axis=axis) if top is None else top), out)
    if unit is not None:
        out *= 1 / unit


def _shifted(logits, temperature):
    result = logits - np.maximum.reduce(logits, axis=-1, keepdims=True)
    if temperature is not None:
        result /= temperature
    return result


def shifted(logits, temperature, arithmetic):
    """((z - max z) / T, and the sum of its exponentials (..., 1)), of which log-softmax is made.

    logits: (..., classes). temperature: None for 1, a number, or an array.
    """
    result = _shifted(logits, temperature)
    return result, arithmetic.unit_sum(arithmetic.exp(result))


def softmax(logits, temperature, arithmetic):
    """exp(z / T) over its sum. The arguments are those of `shifted`."""
    powers = arithmetic.exp(_shifted(logits, temperature))
    powers /= arithmetic.unit_sum(powers)
    return powers


def softmax_gradient(logits, targets, temperature, arithmetic):
    """(softmax - targets) / T, (R, n, classes)."""
    gradient = softmax(logits, temperature, arithmetic)
    gradient -= targets
    if temperature is not None:
        gradient /= temperature
    return gradient
