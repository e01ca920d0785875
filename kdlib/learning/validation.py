"""Validation: the mean loss and accuracy of each network on the validation subset, after each epoch."""

import math
from collections.abc import Sequence

import numpy as np

from kdlib.backends.arithmetic import EXACT, Arithmetic
from kdlib.backends.ranks import SINGLE_RANK, SingleRank, mean_of_chunks
from kdlib.data.scaled import ScaledRows
from kdlib.learning import losses
from kdlib.learning.network import Network
from kdlib.learning.stack import network_slices
from kdlib.numerics import exact

CHUNK_ROWS = 8192  # examples that are validated at once


def mean_of_finite(values: np.ndarray) -> float:
    """Return the mean of the finite ones among the values (R,), as one number; NaN if there are none."""
    finite = values[np.isfinite(values)]
    return float(exact.mean(finite, axis=0)) if finite.size else math.nan


def validate(
    network: Network, validation: Sequence[tuple], ranks: SingleRank = SINGLE_RANK, arithmetic: Arithmetic = EXACT
) -> tuple[np.ndarray, np.ndarray]:
    """Evaluate each network on the validation subset of its split.

    Parameters
    ----------
    network : Network
        A stack of R networks.
    validation : sequence of tuples (x, one_hot) or (x, one_hot, weights)
        One for each split. x is an array (n, features), images (n, height, width), or `ScaledRows`. The weights (n,)
        have a sum above 0.
    ranks : SingleRank or Ranks
        They share the rows.
    arithmetic : Arithmetic
        Its back end computes the cross-entropy.

    Returns
    -------
    loss : array (R,)
        Mean cross-entropy in nats, weighted if there are weights.
    accuracy : array (R,)
        Fraction of correct rows, which has no weights.
    """
    found = []
    for (x, one_hot, *weights), own in zip(validation, network_slices(len(validation), network.replicas), strict=True):
        stack = network.select(own)
        share = ranks.share(len(x))
        chunks = []
        correct = np.zeros(stack.replicas)
        for start in range(share.start, max(share.start + 1, share.stop), CHUNK_ROWS):
            rows = slice(start, min(start + CHUNK_ROWS, share.stop))
            chunk = x[rows]
            if not isinstance(chunk, ScaledRows):  # they flatten images themselves
                chunk = chunk.reshape(len(chunk), stack.sizes[0])
            logits = stack.logits(chunk).astype(np.float64)
            targets = one_hot[rows]
            correct += np.count_nonzero(np.argmax(logits, axis=-1) == np.argmax(targets, axis=-1), axis=1)
            chunks.append(losses.cross_entropy(logits, targets, arithmetic))
            if weights:
                chunks[-1] *= weights[0][rows]
        mean_weight = exact.mean(weights[0], axis=0) if weights else 1.0
        found.append((mean_of_chunks(chunks, len(x), ranks) / mean_weight, ranks.allreduce_sum(correct) / len(x)))
    loss, accuracy = (np.concatenate(values) for values in zip(*found, strict=True))
    return loss, accuracy
