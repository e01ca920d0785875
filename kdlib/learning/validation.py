"""Means of losses over the training and the validation examples, after each epoch."""

import math

import numpy as np

from kdlib.backends import ranks
from kdlib.backends.arithmetic import Exact
from kdlib.backends.ranks import mean_of
from kdlib.learning import losses
from kdlib.learning.stack import parts
from kdlib.numerics import exact

BLOCK = 8192  # losses that are computed at once, in the cache
ROWS = 8192  # examples that are validated at once


def losses_of(objective, logits, targets):
    """Of each example, in nats, [(R, rows), ...] one after another. logits, targets: (R, n, ...)."""
    rows = max(1, BLOCK // len(logits))
    blocks = [slice(start, start + rows) for start in range(0, max(1, logits.shape[1]), rows)]
    return [objective.value(*(a[:, b] for a in (logits, *targets))) for b in blocks]


def mean_of_finite(values):
    finite = values[np.isfinite(values)]
    return float(exact.mean(finite, axis=0)) if finite.size else math.nan


def validate(network, validation):
    """(mean cross-entropy in nats, accuracy) of each network, (R,) each. validation: [(x, one_hot), ...], of splits.

    The ranks share the rows.
    """
    found = []
    for (x, one_hot), own in zip(validation, parts(len(validation), network.replicas), strict=True):
        stack, loss, share = network.part(own), [], ranks.current.share(len(x))
        correct = np.zeros(stack.replicas)
        for start in range(share.start, max(share.start + 1, share.stop), ROWS):
            block = slice(start, min(start + ROWS, share.stop))
            logits, targets = stack.logits(x[block]).astype(np.float64), one_hot[block]
            correct += np.count_nonzero(np.argmax(logits, axis=-1) == np.argmax(targets, axis=-1), axis=1)
            loss.append(losses.cross_entropy(logits, targets, Exact))
        found.append((mean_of(loss, len(x)), ranks.current.total(correct) / len(x)))
    return tuple(np.concatenate(values) for values in zip(*found, strict=True))
