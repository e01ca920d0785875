"""Many steps of a stack of small networks in one call, without Python between them."""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from kdlib.backends.code_folder import rule_digest
from kdlib.backends.numba_backend.kept import keep, named
from kdlib.backends.numba_backend.layers import NO_MASK, NO_TABLE, Passes, SnappedWeightArrays
from kdlib.backends.numba_backend.passes import backward, forward
from kdlib.backends.numba_backend.row_loops import as_bytes, gather_rows
from kdlib.backends.numba_backend.scalars import exact_exp, fast_exp, inner_jit, jit, snapped
from kdlib.backends.numba_backend.softmax import divergences, make_softmax_gradient_loop
from kdlib.backends.numba_backend.updates import make_update_loop, update_grids
from kdlib.backends.threads import Threads
from kdlib.numerics import exact

NO_LOSSES = np.empty((1, 0))
WHOLE = 0, 1  # k and count of `updates`; a constant in the code would be a type of its own, compiled once more


@functools.cache
def make_step_loop(rule: Callable, moments: int, exponential: Callable) -> Callable:
    """Return the compiled loop over the steps of one network.

    Parameters
    ----------
    rule : callable
        The optimizer's rule, see `kdlib.learning.optimizers`.
    moments : int
        The number of its moments.
    exponential : callable
        `exact_exp` or `fast_exp`.
    """
    soften = make_softmax_gradient_loop(exponential)
    change = make_update_loop(rule, moments)

    def step_after_step(data, network, passes, grids, loss, optimizer):
        """Take the steps. `Steps` makes the tuples. All arrays of the network have a first axis of length 1."""
        (x, order, offset, scale), (sizes, p, w, g, moments) = data, network
        operands, scales, z, masks, deltas, scaled = passes
        anchors, units, weight_units, error_anchors, max_terms = grids
        logits, targets, log_targets, temperatures, weights, of_examples, losses, unit_anchor, sum_bits = loss
        factors, flush, part, snapped_anchor, snapped_unit, snapped_anchors, snapped_units, column_maxima = optimizer
        k, count = part
        rows, last = z[-1].shape[1], deltas[-1][0]
        term = np.empty((rows, last.shape[1]), logits.dtype)
        gradient = np.empty_like(term)
        totals = np.empty(rows, logits.dtype)
        found = np.empty((1, rows))
        examples = logits.dtype.type(rows)
        for step in range(len(factors)):
            a, b = step * rows, (step + 1) * rows
            gather_rows(x, order[:, a:b], offset, scale, anchors[0], units[0], operands[0], scales[0])
            forward(sizes, p, w, operands, scales, z, masks, anchors, units, max_terms)
            copy_rows(z[-1][0], logits[a:b])
            for t in range(len(targets)):
                own, target, temperature = logits[a:b], targets[t, a:b], temperatures[t : t + 1]
                soften(own, target, temperature, unit_anchor, term, totals, k, rows)
                add_weighted(gradient, term, weights[t], t == 0)
                if losses.size:
                    divergences(own, target, log_targets[t, a:b], temperature, totals, sum_bits, found[0], k, rows)
                    add_weighted(losses[:, a:b], found, weights[t], t == 0)
            multiply_rows(gradient, of_examples[a:b])
            multiply(losses[0, a:b], of_examples[a:b])  # of none in plain float32
            divide(gradient, examples, last)
            backward(sizes, w, g, operands, scales, z, masks, deltas, scaled, weight_units, error_anchors, max_terms)
            change(p, g, moments, factors[step], sizes, w, snapped_anchor, column_maxima[0], k, count)
            if column_maxima.size:
                update_grids(p, sizes, w, snapped_anchor, snapped_unit, snapped_anchors, snapped_units, column_maxima)
                column_maxima[:] = 0
            if flush[step] > 0:
                for moment in moments:
                    for j in range(moment.shape[1]):
                        moment[0, j] = snapped(moment[0, j], flush[step])

    digest = rule_digest(rule)
    return keep(jit(named(step_after_step, digest, exponential.__name__)), digest is not None)


@inner_jit
def copy_rows(x, out):
    """Copy x to `out`; an assignment would compile the text of an error too, which takes seconds."""
    for i in range(len(x)):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j]


@inner_jit
def multiply_rows(x, factors):
    """Multiply each row of x by its factor."""
    for i in range(len(x)):
        for j in range(x.shape[1]):
            x[i, j] *= factors[i]


@inner_jit
def multiply(x, factors):
    """Multiply each element of x by its factor."""
    for i in range(len(x)):
        x[i] *= factors[i]


@inner_jit
def divide(x, divisor, out):
    """Store x / divisor in `out`."""
    for i in range(len(x)):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] / divisor


@inner_jit
def add_weighted(total, term, weight, first):
    """Add term * weight to `total`.

    The first term is stored, not added to zeros: that would lose the sign of its zeros.
    """
    for i in range(len(term)):
        for j in range(term.shape[1]):
            weighted = term[i, j] * weight
            total[i, j] = weighted if first else total[i, j] + weighted


def _of_network(r, arrays):
    """Return network r's arrays, given arrays with one entry for each network, or one for all."""
    return tuple(array if len(array) == 1 else array[r : r + 1] for array in arrays)


class Steps:
    """Steps of a stack, with batches of `rows` rows. The networks are shared among the threads.

    Parameters
    ----------
    threads : Threads
    layers : Layers
    rows : int
    rule : callable
        The optimizer's rule, see `kdlib.learning.optimizers`.
    moments : sequence of np.ndarray
        The optimizer's moments, (R, P) each.
    logits_dtype : type
        The dtype of the logits.
    """

    def __init__(
        self,
        threads: Threads,
        layers,
        rows: int,
        rule: Callable,
        moments: Sequence[np.ndarray],
        logits_dtype: type,
    ):
        self._threads = threads
        passes = Passes(layers, rows)
        weight_arrays = SnappedWeightArrays(layers)
        networks = len(layers.parameters)
        snaps = weight_arrays.widths > 0
        self._run = make_step_loop(rule, len(moments), exact_exp if snaps else fast_exp)
        self._anchor = exact.unit_anchor(layers.sizes[-1]) if snaps else logits_dtype(0)
        self._sum_bits = exact.sum_bits(layers.sizes[-1])
        values = np.empty((networks, rows, layers.sizes[0]), np.float32)
        unit = np.empty((networks, rows), np.float32)
        operands = values, *passes.operands
        scales = unit, *passes.scales
        masks = (NO_MASK,) * len(passes.z)
        tables = weight_arrays.tables or [(NO_TABLE,) * len(passes.z)] * 2
        self._networks = []
        for r in range(networks):
            network = (passes.sizes, *_of_network(r, (*passes.flat, layers.gradient)), _of_network(r, moments))
            buffers = (
                _of_network(r, operands),
                _of_network(r, scales),
                _of_network(r, passes.z),
                masks,
                _of_network(r, passes.deltas),
                _of_network(r, passes.scaled),
            )
            grids = (*passes.operand_tables, _of_network(r, passes.units), passes.error_anchors, passes.max_terms)
            snapped_weights = (
                _of_network(r, weight_arrays.anchor),
                _of_network(r, weight_arrays.unit),
                *tables,
                np.zeros((1, 1, weight_arrays.widths), np.int32),
            )
            self._networks.append((network, buffers, grids, snapped_weights))

    def __call__(
        self,
        data: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
        loss: tuple[np.ndarray, Sequence[np.ndarray], Sequence[np.ndarray | None], np.ndarray, np.ndarray, np.ndarray],
        losses: np.ndarray | None,
        factors: np.ndarray,
        flush: np.ndarray,
    ) -> None:
        """Take steps, one for each batch.

        The loss of an example is its weight times a weighted sum of terms, see
        `kdlib.backends.numpy_backend.divergence`.

        Parameters
        ----------
        data : (x, order, offset, scale)
            x (N, features), C-contiguous; order (R, n), indices of its rows; offset and scale (S, features) float64, of
            S splits.
        loss : (logits, targets, log_targets, temperatures, weights, weights of examples)
            logits (R, n, classes), where the logits are stored; targets and their logarithms or None, (R, n, classes)
            for each term; temperatures and weights (R, terms); weights of examples (R, n) in the dtype of the logits.
        losses : np.ndarray or None
            (R, n) float64, where the losses of the examples are stored. None in plain float32.
        factors : np.ndarray
            (steps, constants, R), of the rule.
        flush : np.ndarray
            (steps,), the anchors for `flush_to_zero` of the moments; 0 in steps without it.
        """
        x, order, offset, scale = data
        x = as_bytes(x)
        logits, targets, log_targets, temperatures, weights, of_examples = loss
        if losses is None:
            log_targets = []
        no_logs = np.zeros(logits.shape[1:], logits.dtype)  # log t - log p with t of no account is - log p

        def train_networks(first, last):
            for r in range(first, last):
                network, buffers, grids, snapped_weights = self._networks[r]
                split = r * len(offset) // len(order)
                of_terms = np.stack([target[r] for target in targets])
                logs = [no_logs if log_target is None else log_target[r] for log_target in log_targets]
                of_loss = (
                    logits[r],
                    of_terms,
                    np.stack(logs) if logs else of_terms[:0],
                    temperatures[r],
                    weights[r],
                    np.ascontiguousarray(of_examples[r]),
                    NO_LOSSES if losses is None else losses[r : r + 1],
                    self._anchor,
                    self._sum_bits,
                )
                self._run(
                    (x, np.ascontiguousarray(order[r : r + 1]), offset[split], scale[split]),
                    network,
                    buffers,
                    grids,
                    of_loss,
                    (np.ascontiguousarray(factors[..., r : r + 1]), flush, WHOLE, *snapped_weights),
                )

        count = min(self._threads.available(), len(order))
        self._threads.run(
            train_networks, [(len(order) * k // count, len(order) * (k + 1) // count) for k in range(count)]
        )
