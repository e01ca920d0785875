"""Targets, logits and losses of one epoch, in pieces, so that memory does not grow with the number of examples."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kdlib.backends.ranks import ALONE, Alone, mean_of
from kdlib.learning.stack import ordered
from kdlib.learning.validation import losses_of
from kdlib.numerics.streams import permutation

if TYPE_CHECKING:
    from kdlib.learning.objectives import Objective

HELD = 1 << 20  # logits in the buffer
MANY = 1 << 22  # examples from which on an order has 4 bytes for each, not 8


def orders(
    generators: Sequence[np.random.Generator], n: int, choices: Sequence[np.random.Generator], views: int = 1
) -> np.ndarray:
    """Draw a random order of the examples for each network.

    Parameters
    ----------
    generators : sequence of R numpy.random.Generator
        They draw the orders.
    n : int
        Number of examples.
    choices : sequence of R numpy.random.Generator
        They draw the view of each example, if there are several views.
    views : int
        Views of each example. The rows of view v are v n to (v + 1) n - 1, and an epoch shows one view of each example.

    Returns
    -------
    array (R, n)
        Row indices: int64, or uint32 if n is at least MANY, which halves the memory.
    """
    result = np.empty((len(generators), n), np.int64 if n < MANY else np.uint32)
    for row, generator, choice in zip(result, generators, choices, strict=True):
        row[:] = permutation(generator, n)
        if views > 1:  # the product with the largest draw, 1 - 2^-53, is below the number of views also if rounded
            row += (choice.random(n) * views).astype(row.dtype) * row.dtype.type(n)
    return result


def rows_held(networks: int, classes: int, batch_size: int, examples: int) -> int:
    """Return the rows of the buffer of logits: whole batches of at most HELD logits, or one batch, or all examples."""
    return min(examples, max(1, HELD // (networks * classes * batch_size)) * batch_size)


class Epoch:
    """Iterate once over this rank's examples.

    The losses of all examples are kept, (R, n), because the exact mean needs their maximum first.

    Parameters
    ----------
    objective : Objective
        The objective of this epoch.
    order : array (R, k)
        Row indices of this rank's k examples, in the order of training.
    logits : array (R, rows, classes)
        A buffer for the logits of `rows` examples.
    n : int
        Number of examples of all ranks.
    ranks : Alone or Ranks
        They share the examples.
    """

    def __init__(self, objective: "Objective", order: np.ndarray, logits: np.ndarray, n: int, ranks: Alone = ALONE):
        self._objective = objective
        self._order = order
        self._buffer = logits
        self._n = n
        self._ranks = ranks
        self._losses = []
        self._piece_start = 0
        self._piece_stop = -1  # no piece yet
        self._rows_done = 0  # rows of the piece whose batches were asked for

    def batch(self, start: int, stop: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return where the logits of a batch go, and its targets.

        Parameters
        ----------
        start, stop : int
            The batch, as positions in `order`. Batches must be asked for in ascending order.

        Returns
        -------
        logits : array (R, rows, classes)
            A view of the buffer, to be filled.
        targets : list of arrays (R, rows, ...)
            The objective's targets for these rows.
        """
        if stop > self._piece_stop:
            self._finish_piece()
            self._piece_start = start
            self._piece_stop = min(start + self._buffer.shape[1], self._order.shape[1])
            piece = self._order[:, self._piece_start : self._piece_stop]
            self._targets = [ordered(target, piece) for target in self._objective.targets]
        self._rows_done = stop - self._piece_start
        rows = slice(start - self._piece_start, self._rows_done)
        return self._buffer[:, rows], [target[:, rows] for target in self._targets]

    def _finish_piece(self):
        """Compute the losses of the piece from its logits."""
        if self._piece_stop >= 0:
            logits = self._buffer[:, : self._rows_done]
            targets = [target[:, : self._rows_done] for target in self._targets]
            self._losses += losses_of(self._objective, logits, targets)

    def loss(self) -> np.ndarray:
        """Return the mean loss over the examples of all ranks, (R,), in nats."""
        self._finish_piece()
        return mean_of(self._losses, self._n, self._ranks)
