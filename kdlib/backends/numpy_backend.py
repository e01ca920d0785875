"""The elementwise operations of training, in NumPy. `numba_backend` does the same in compiled loops.

In all functions `grid` is a `kdlib.numerics.grids.Grid`, and None in plain float32; `layers` is a
`kdlib.backends.dense.Layers`; `arithmetic` is one of `kdlib.backends.arithmetic.ARITHMETICS`.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kdlib.numerics.grids import Grid, magnitude, product, snap
from kdlib.numerics.reductions import row_maxima

CACHE_ELEMENTS = 65536  # elements of a block: its arrays stay in the cache while all passes of an update go over them


def flush_to_zero(moment: np.ndarray, anchor: float | np.floating) -> None:
    """Round to a multiple of the anchor's last place, in place. So numbers below half of it become zero."""
    moment += anchor
    moment -= anchor


def _cache_blocks(layers):
    """Yield (columns, product_weights, rows) of blocks of about CACHE_ELEMENTS: whole rows, the biases with the last.

    columns: of the flat arrays. rows: of the layer's weights.
    """
    start = 0
    for dense in layers.dense:
        replicas, fan_in, fan_out = dense.product_weights.weights.shape
        height = max(1, CACHE_ELEMENTS // (replicas * fan_out))
        for top in range(0, fan_in, height):
            bottom = min(top + height, fan_in)
            end = start + (bottom - top + (bottom == fan_in)) * fan_out
            yield slice(start, end), dense.product_weights, slice(top, bottom)
            start = end


def update(
    rule: Callable,
    constants: Mapping[str, float | np.ndarray],
    arrays: Mapping[str, np.ndarray],
    layers=None,
    flush: float | np.floating | None = None,
) -> None:
    """Take a step of an optimizer, and refresh the snapped weights.

    The step goes block by block, so that a block is in the cache while its weights are snapped.

    Parameters
    ----------
    rule : callable
        It takes (p, g, the moments, the constants), see `kdlib.learning.optimizers`.
    constants : mapping
        {name: a number, or (R, 1)}, in the order of the rule.
    arrays : mapping
        {name: (R, P)}: p, g and the moments, in the order of the rule. They change in place; g is overwritten.
    layers : Layers, optional
        Whose snapped weights are refreshed.
    flush : float, optional
        The anchor for `flush_to_zero` of the moments.
    """
    whole = not layers or arrays["p"].size <= CACHE_ELEMENTS
    for columns, product_weights, rows in [(slice(None), None, None)] if whole else _cache_blocks(layers):
        block = [array[:, columns] for array in arrays.values()]
        rule(*block, *constants.values())
        if flush is not None:
            for moment in block[2:]:
                flush_to_zero(moment, flush)
        if product_weights:
            product_weights.update_rows(rows)
    for dense in layers.dense if layers else ():
        dense.product_weights.refresh()


def constrain(layers, max_norm: float) -> None:
    """Scale columns of weights with an L2 norm above `max_norm` down to it, and refresh their snapped weights."""
    for dense in layers.dense:
        factor = max_norm / np.sqrt(dense.square_sum())
        if (factor < 1).any():
            weights = dense.product_weights.weights
            weights *= np.minimum(factor, 1)
            dense.product_weights.refresh()


def operand(x: np.ndarray, grid: Grid, out: np.ndarray, nonnegative: bool = False) -> np.ndarray:
    """Snap each row to its grid.

    Parameters
    ----------
    x : np.ndarray
        (..., K).
    grid : Grid
    out : np.ndarray
        (..., K), where the snapped numbers are stored.
    nonnegative : bool
        Whether x >= 0 is known.

    Returns
    -------
    np.ndarray
        The unit of each row, (..., 1).
    """
    largest = row_maxima(x) if nonnegative else magnitude(x, axis=-1)
    anchor, unit = grid.anchor_and_unit(largest)
    snap(x, anchor, out)
    return unit


def gather(
    x: np.ndarray,
    rows: np.ndarray,
    offset: np.ndarray,
    scale: np.ndarray,
    grid: Grid | None,
    out: np.ndarray,
    unit: np.ndarray,
) -> None:
    """Store (x[rows] - offset) * scale in `out`; with a grid then snap it as `operand` does.

    Parameters
    ----------
    x : np.ndarray
        (N, features), numbers of any kind; compiled: uint8, float32 or float64, C-contiguous.
    rows : np.ndarray
        (R, n) int64.
    offset, scale : np.ndarray
        (features,) float64.
    grid : Grid or None
    out : np.ndarray
        (R, n, features).
    unit : np.ndarray
        (R, n, 1), where the units are stored if there is a grid.
    """
    out[...] = (x.take(rows, axis=0) - offset) * scale
    if grid is not None:
        unit[...] = operand(out, grid, out)


def hidden_forward(z: np.ndarray, biases: np.ndarray, mask: np.ndarray | None) -> None:
    """Apply z <- ReLU(z + b) * mask in place, where a mask of None is 1."""
    z += biases
    np.maximum(z, 0, out=z)
    if mask is not None:
        z *= mask


def relu_backward(delta: np.ndarray, z: np.ndarray) -> None:
    """Apply the backward pass of ReLU in place: delta <- delta * (z > 0).

    delta is the gradient with respect to the result z of `hidden_forward`. The result is the gradient with respect to
    its input, but for the factors of the mask. A unit that is off or dropped has z = 0, and its gradient is zero.
    """
    delta *= z > 0


def snap_scaled(
    x: np.ndarray, unit: np.ndarray | None, grid: Grid, axis: int, out: np.ndarray, largest: np.ndarray | None = None
) -> None:
    """Multiply x by units, snap the products to grids along `axis`, and divide them by the units again.

    Parameters
    ----------
    x : np.ndarray
        (R, n, m).
    unit : np.ndarray or None
        (R, n, 1) or (R, 1, m), powers of two; None for 1.
    grid : Grid
    axis : int
    out : np.ndarray
        (R, n, m), where the result is stored.
    largest : np.ndarray, optional
        The largest magnitudes of x * unit along `axis`, if they are known.
    """
    scaled = x if unit is None else np.multiply(x, unit, out=out)
    snap(scaled, grid.anchor(magnitude(scaled, axis=axis) if largest is None else largest), out)
    if unit is not None:
        out *= 1 / unit


def _shifted_logits(logits, temperature):
    """Return (z - max z) / T."""
    result = logits - row_maxima(logits)
    if temperature is not None:
        result /= temperature
    return result


def log_softmax(logits: np.ndarray, temperature: float | np.ndarray | None, arithmetic) -> np.ndarray:
    """Return log(softmax(z / T)), (..., classes).

    Parameters
    ----------
    logits : np.ndarray
        z, (..., classes).
    temperature : float, np.ndarray or None
        T; None for 1.
    arithmetic : Exact or Fast
    """
    result = _shifted_logits(logits, temperature)
    result -= arithmetic.log(arithmetic.unit_sum(arithmetic.exp(result)))
    return result


def divergence(
    logits: np.ndarray,
    targets: np.ndarray,
    log_targets: np.ndarray | None,
    temperature: float | np.ndarray | None,
    arithmetic,
) -> np.ndarray:
    """Return the sums of t (log t - log softmax(z / T)) over the classes, (R, n); without log t, of - t log softmax.

    Parameters
    ----------
    logits, targets : np.ndarray
        z and t, (R, n, classes).
    log_targets : np.ndarray or None
        log t, (R, n, classes).
    temperature : float, np.ndarray or None
        T; None for 1.
    arithmetic : Exact or Fast
    """
    terms = log_softmax(logits, temperature, arithmetic)
    if log_targets is None:
        np.negative(terms, out=terms)
    else:
        np.subtract(log_targets, terms, out=terms)
    return arithmetic.sum(targets * terms, axis=-1)


def softmax(logits: np.ndarray, temperature: float | np.ndarray | None, arithmetic) -> np.ndarray:
    """Return softmax(logits / T), (..., classes). The parameters are those of `log_softmax`."""
    exponentials = arithmetic.exp(_shifted_logits(logits, temperature))
    exponentials /= arithmetic.unit_sum(exponentials)
    return exponentials


def softmax_gradient(
    logits: np.ndarray, targets: np.ndarray, temperature: float | np.ndarray | None, arithmetic
) -> np.ndarray:
    """Return (softmax(logits / T) - targets) / T, (R, n, classes). The parameters are those of `log_softmax`."""
    gradient = softmax(logits, temperature, arithmetic)
    gradient -= targets
    if temperature is not None:
        gradient /= temperature
    return gradient


class NumpyBackend:
    """Compute the batches of a training in NumPy. A subclass computes some of it in another way, with the same bits.

    Attributes
    ----------
    max_held : int
        Elements of the training examples up to which their operands are held, not made anew for each batch.
    has_steps : bool
        Whether `steps` is there.
    """

    max_held = 1 << 26  # 256 MiB
    has_steps = False
    constrain = staticmethod(constrain)
    gather = staticmethod(gather)
    operand = staticmethod(operand)
    product = staticmethod(product)
    divergence = staticmethod(divergence)
    softmax_gradient = staticmethod(softmax_gradient)
    update = staticmethod(update)

    def passes(self, layers, rows: int):
        """Return compiled passes for batches of `rows` rows; None if `Backpropagation` has to compute them."""
        return None

    def steps(self, layers, rows: int, rule: Callable, moments: Sequence[np.ndarray], logits_dtype: type):
        """Return compiled steps, see `kdlib.backends.numba_backend.steps.Steps`."""
        raise NotImplementedError


NUMPY = NumpyBackend()
