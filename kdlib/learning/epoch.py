"""An epoch's targets, logits and losses, of which a piece is held at a time, whatever the number of examples."""

import numpy as np

from kdlib.backends.ranks import mean_of
from kdlib.learning.stack import ordered
from kdlib.learning.validation import losses_of
from kdlib.numerics.streams import permutation

HELD = 1 << 20  # logits that are held at once
MANY = 1 << 22  # examples whose order is held in 4 bytes each


def orders(generators, n, choices, views=1):
    """(R, n) of indices: for each generator a random order of n examples, in half of the memory where n is large.

    Of n examples in so many views, one view after another, each in one that its generator of the `choices` draws.
    """
    result = np.empty((len(generators), n), np.int64 if n < MANY else np.uint32)
    for row, generator, choice in zip(result, generators, choices, strict=True):
        row[:] = permutation(generator, n)
        if views > 1:  # the product with the largest draw, 1 - 2^-53, is below the number of views also if rounded
            row += (choice.random(n) * views).astype(row.dtype) * row.dtype.type(n)
    return result


def rows_held(networks, classes, batch_size, examples):
    """Rows of whole batches, of HELD logits or of one batch."""
    return min(examples, max(1, HELD // (networks * classes * batch_size)) * batch_size)


class Epoch:
    """One pass over the examples in their order, (R, k), of all n the rank's own. logits: (R, rows, classes), a buffer.

    Of each example its loss is kept, (R, n): their mean needs the largest of them before it can add them up.
    """

    def __init__(self, objective, order, logits, n):
        self._objective, self._order, self._buffer, self._n = objective, order, logits, n
        self._losses, self._start, self._done, self._end = [], 0, 0, -1

    def batch(self, start, stop):
        """(the place for the batch's logits (R, rows, classes), its targets). Batches come in their order."""
        if stop > self._end:
            self._finish()
            self._start, self._end = start, min(start + self._buffer.shape[1], self._order.shape[1])
            piece = self._order[:, start : self._end]
            self._targets = [ordered(target, piece) for target in self._objective.targets]
        self._done = stop - self._start
        of = slice(start - self._start, self._done)
        return self._buffer[:, of], [target[:, of] for target in self._targets]

    def _finish(self):
        if self._end >= 0:
            logits, *targets = (a[:, : self._done] for a in (self._buffer, *self._targets))
            self._losses += losses_of(self._objective, logits, targets)

    def loss(self):
        """Mean over all examples, (R,) in nats."""
        self._finish()
        return mean_of(self._losses, self._n)
