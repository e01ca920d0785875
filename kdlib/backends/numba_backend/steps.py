"""Many steps of a stack of small networks in one call, with nothing of Python between them."""

import functools

import numpy as np

from kdlib.backends.numba_backend.layers import NO_MASK, NO_TABLE, Mirrored, Passes
from kdlib.backends.numba_backend.passes import backward, forward
from kdlib.backends.numba_backend.row_loops import gather_rows
from kdlib.backends.numba_backend.scalars import exact_exp, fast_exp, jit, snapped
from kdlib.backends.numba_backend.softmax import softening
from kdlib.backends.numba_backend.updates import changing, settle
from kdlib.backends.threads import available, together
from kdlib.numerics import exact


@functools.cache
def stepping(rule, moments, exponential):
    """The steps of one network, with the rule of an optimizer of so many moments."""
    soften, change = softening(exponential), changing(rule, moments)

    @jit
    def step_after_step(data, network, passes, grids, loss, optimizer):
        """What is in the tuples: see `Steps`. All arrays of the network have a first axis of length 1."""
        (x, order, offset, scale), (sizes, p, w, g, moments) = data, network
        unit, operands, scales, z, masks, deltas, scaled = passes
        anchors, units, weight_units, of_errors, part = grids
        logits, targets, temperatures, weights, unit_anchor = loss
        factors, flush, mirror_anchor, mirror_unit, mirror_anchors, mirror_units, tops = optimizer
        rows, last = z[-1].shape[1], deltas[-1][0]
        term, count = np.empty((rows, last.shape[1]), logits.dtype), logits.dtype.type(rows)
        for step in range(len(factors)):
            a, b = step * rows, (step + 1) * rows
            gather_rows(x, order[:, a:b], offset, scale, anchors[0], units[0], operands[0], unit)
            forward(sizes, p, w, operands, scales, z, masks, anchors, units, part)
            logits[a:b], gradient = z[-1][0], np.zeros_like(term)
            for k in range(len(targets)):
                soften(logits[a:b], targets[k][a:b], temperatures[k : k + 1], unit_anchor, term, 0, rows)
                add_weighted(gradient, term, weights[k], k == 0)
            for i in range(rows):
                for j in range(last.shape[1]):
                    last[i, j] = gradient[i, j] / count
            backward(sizes, w, g, operands, scales, z, masks, deltas, scaled, weight_units, of_errors, part)
            change(p, g, moments, factors[step], sizes, w, mirror_anchor, tops[0], 0, 1)
            if tops.size:
                settle(p, sizes, w, mirror_anchor, mirror_unit, mirror_anchors, mirror_units, tops)
                tops[:] = 0
            if flush[step] > 0:
                for moment in moments:
                    for j in range(moment.shape[1]):
                        moment[0, j] = snapped(moment[0, j], flush[step])

    return step_after_step


@jit
def add_weighted(total, term, weight, first):
    """A first term is not added to zeros, which would lose the sign of its own."""
    for i in range(len(term)):
        for j in range(term.shape[1]):
            weighted = term[i, j] * weight
            total[i, j] = weighted if first else total[i, j] + weighted


def _own(r, arrays):
    """Network r's of arrays that have one for each network, or one for all."""
    return tuple(array if len(array) == 1 else array[r : r + 1] for array in arrays)


class Steps:
    """Steps of batches of so many rows. The networks of a stack are shared among the threads."""

    def __init__(self, layers, rows, rule, moments, logits_dtype):
        """rule, moments: an optimizer's, see `kdlib.backends.numpy_backend.update`; moments: [(R, P), ...]."""
        passes, mirrored = Passes(layers, rows), Mirrored(layers, layers.parameters)
        networks, snaps = len(layers.parameters), mirrored.widths > 0
        self._run = stepping(rule, len(moments), exact_exp if snaps else fast_exp)
        self._anchor = exact.unit_anchor(layers.sizes[-1]) if snaps else logits_dtype(0)
        values, unit = (np.empty((networks, rows, width), np.float32) for width in (layers.sizes[0], 1))
        operands = values, *passes.operands
        scales = unit[..., 0], *passes.scales
        masks = (NO_MASK,) * len(passes.z)
        tables = mirrored.tables or [(NO_TABLE,) * len(passes.z)] * 2
        self._networks = [
            (
                (passes.sizes, *_own(r, (*passes.flat, layers.gradient)), _own(r, moments)),
                (*_own(r, [unit]), *(_own(r, of) for of in (operands, scales, passes.z)), masks,
                 *(_own(r, of) for of in (passes.deltas, passes.scaled))),
                (*passes.of_operand, _own(r, passes.units), passes.of_errors, passes.part),
                (_own(r, mirrored.anchor), _own(r, mirrored.unit), *tables,
                 np.zeros((1, 1, mirrored.widths), np.int32)),
            )
            for r in range(networks)
        ]  # fmt: skip

    def __call__(self, data, loss, factors, flush):
        """data: (x (N, features), order (R, n), offset (S, features), scale (S, features)), of S splits.

        loss: (logits (R, n, classes), where they go, targets [(R, n, classes), ...], temperatures (R, terms), weights
        (R, terms)) of a gradient that is a weighted sum of softened ones. factors: (steps, constants, R), of the rule.
        flush: (steps,), anchors, 0 where none is flushed.
        """
        (x, order, offset, scale), (logits, targets, temperatures, weights) = data, loss

        def some(first, last):
            for r in range(first, last):
                network, passes, grids, mirrors = self._networks[r]
                split = r * len(offset) // len(order)
                self._run(
                    (x, order[r : r + 1], offset[split], scale[split]), network, passes, grids,
                    (logits[r], tuple(target[r] for target in targets), temperatures[r], weights[r], self._anchor),
                    (factors[..., r : r + 1], flush, *mirrors),
                )  # fmt: skip

        count = min(available(), len(order))
        together(some, [(len(order) * k // count, len(order) * (k + 1) // count) for k in range(count)])
