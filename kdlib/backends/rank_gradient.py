"""The gradient of a batch whose rows several ranks have, to the bits that one rank finds for all of them.

Grids along the batch are the one thing that rows of different ranks have in common: of `kdlib.backends.dense` those of
(e δ) and δ, by columns. The ranks agree on the magnitudes that set them, all layers in one reduction. Then each product
over a rank's own rows is a part of a sum in which nothing rounds, as its bound is the whole batch's, and another
reduction adds them. A sum of more than PART terms is one of several such, which are added in their order.
"""

from itertools import pairwise

import numpy as np

from kdlib.backends.dense import layer_views
from kdlib.numerics.grids import edges


def magnitudes(operand, delta):
    """The largest |e δ| and |δ| of the columns, (2, R, m); zeros where there are no rows."""
    scaled = np.abs(delta)
    both = scaled if operand[1] is None else scaled * operand[1], scaled
    return np.stack([np.maximum.reduce(x, axis=1, initial=0) for x in both])


def gradient(ranks, layers, operands, deltas, rows):
    """Fill `layers.gradient`. operands, deltas: of each layer, for the `ranks.share` of so many `rows`."""
    found = [magnitudes(*of_layer) for of_layer in zip(operands, deltas, strict=True)]
    ends = np.cumsum([0, *(m.shape[2] for m in found)])  # integers
    agreed = ranks.largest(np.concatenate(found, axis=2))
    tops = [agreed[:, :, None, start:end] for start, end in pairwise(ends)]
    share, parts = ranks.share(rows), edges(rows)
    sums = np.zeros((len(parts) - 1, *layers.gradient.shape), layers.gradient.dtype)
    for part, start, end in zip(sums, parts, parts[1:], strict=False):
        own = slice(max(start, share.start) - share.start, min(end, share.stop) - share.start)
        if own.start < own.stop:
            _add_up(layers, part, operands, deltas, tops, own)
    ranks.total(sums)
    layers.gradient[:] = sums[0]
    for part in sums[1:]:
        layers.gradient += part


def _add_up(layers, part, operands, deltas, tops, own):
    """The sums over some of the rows that are here, into `part` (R, P)."""
    for dense, (values, unit), delta, top, (weights, biases) in zip(
        layers.dense, operands, deltas, tops, layer_views(part, layers.sizes), strict=True
    ):
        operand = values[:, own], None if unit is None else unit[:, own]
        dense.gradients(operand, delta[:, own], weights, biases, top)
