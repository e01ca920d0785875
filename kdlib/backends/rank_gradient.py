"""The gradient of a batch whose rows are shared among ranks: the same bits as one rank finds for all rows.

Rows of different ranks have only one thing in common: the grids along the batch. In `kdlib.backends.dense` these are
the grids of (e δ) and of δ, one for each column. The largest magnitudes set these grids. The ranks agree on them, for
all layers in one reduction. Then each rank multiplies its own rows. Each product is a part of a sum in which nothing
rounds, because the bound is that of the whole batch. Another reduction adds the parts. A sum of more than MAX_TERMS
terms is cut into several sums, which are added in their order.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from kdlib.backends.dense import Layers, Operand, layer_views
from kdlib.backends.ranks import SingleRank
from kdlib.numerics.grids import sum_edges


def magnitudes(operand: Operand, delta: np.ndarray) -> np.ndarray:
    """Return the largest |e δ| and |δ| of each column, (2, R, m); zeros if there are no rows."""
    scaled = np.abs(delta)
    both = scaled if operand[1] is None else scaled * operand[1], scaled
    return np.stack([np.maximum.reduce(x, axis=1, initial=0) for x in both])


def gradient(
    ranks: SingleRank, layers: Layers, operands: Sequence[Operand], deltas: Sequence[np.ndarray], rows: int
) -> None:
    """Compute the gradient of a whole batch, and store it in `layers.gradient`.

    Parameters
    ----------
    ranks : SingleRank or Ranks
    layers : Layers
    operands, deltas : sequence
        For each layer the operand, and the gradient with respect to a W + b, for this rank's `ranks.share` of the rows.
    rows : int
        Number of rows of the whole batch.
    """
    found = [magnitudes(*of_layer) for of_layer in zip(operands, deltas, strict=True)]
    ends = np.cumsum([0, *(m.shape[2] for m in found)])  # lint: integer sum
    agreed = ranks.allreduce_max(np.concatenate(found, axis=2))
    column_maxima = [agreed[:, :, None, start:end] for start, end in pairwise(ends)]
    share = ranks.share(rows)
    row_edges = sum_edges(rows)
    sums = np.zeros((len(row_edges) - 1, *layers.gradient.shape), layers.gradient.dtype)
    for partial, start, end in zip(sums, row_edges, row_edges[1:], strict=False):
        own = slice(max(start, share.start) - share.start, min(end, share.stop) - share.start)
        if own.start < own.stop:
            _add_up(layers, partial, operands, deltas, column_maxima, own)
    ranks.allreduce_sum(sums)
    layers.gradient[:] = sums[0]
    for partial in sums[1:]:
        layers.gradient += partial


def _add_up(layers, partial, operands, deltas, column_maxima, own):
    """Store the gradient of some of this rank's rows in `partial` (R, P)."""
    for dense, (values, unit), delta, maxima, (weights, biases) in zip(
        layers.dense, operands, deltas, column_maxima, layer_views(partial, layers.sizes), strict=True
    ):
        operand = values[:, own], None if unit is None else unit[:, own]
        dense.gradients(operand, delta[:, own], weights, biases, maxima)
