"""One epoch: the order of its examples, and their targets and logits in pieces.

Only the order and the losses grow with the number of examples.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kdlib.backends.ranks import SINGLE_RANK, SingleRank, mean_of_chunks
from kdlib.learning.stack import select_rows
from kdlib.numerics.streams import permutation

if TYPE_CHECKING:
    from kdlib.learning.objectives import Objective

MAX_BUFFERED_LOGITS = 1 << 20  # logits in the buffer
CHUNK_LOSSES = 8192  # losses that are computed at once: their arrays stay in the cache
MIN_UINT32_EXAMPLES = 1 << 22  # with this many examples or more, an order has 4 bytes for each, not 8


def draw_orders(
    generators: Sequence[np.random.Generator], n: int, view_generators: Sequence[np.random.Generator], views: int = 1
) -> np.ndarray:
    """Draw a random order of the examples for each network.

    Parameters
    ----------
    generators : sequence of R numpy.random.Generator
        They draw the orders.
    n : int
        Number of examples.
    view_generators : sequence of R numpy.random.Generator
        They draw the view of each example, if there are several views.
    views : int
        Views of each example. View v has the rows `v * n` to `(v + 1) * n - 1`. An epoch shows one view of each
        example.

    Returns
    -------
    array (R, n)
        Row indices: int64, or uint32 if n is at least MIN_UINT32_EXAMPLES, which halves the memory.
    """
    result = np.empty((len(generators), n), np.int64 if n < MIN_UINT32_EXAMPLES else np.uint32)
    for row, generator, choice in zip(result, generators, view_generators, strict=True):
        row[:] = permutation(generator, n)
        if views > 1:  # the product with the largest draw, 1 - 2^-53, is below the number of views also if rounded
            row += (choice.random(n) * views).astype(row.dtype) * row.dtype.type(n)
    return result


def buffer_rows(networks: int, classes: int, batch_size: int, examples: int) -> int:
    """Return the number of rows of the buffer.

    It is as many whole batches as fit into MAX_BUFFERED_LOGITS; at least one batch; at most all examples.
    """
    return min(examples, max(1, MAX_BUFFERED_LOGITS // (networks * classes * batch_size)) * batch_size)


def example_losses(objective: "Objective", logits: np.ndarray, targets: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Compute the loss of each example, in chunks.

    Parameters
    ----------
    objective : Objective
        The loss.
    logits : array (R, n, classes)
        The logits of n examples.
    targets : sequence of arrays (R, n, ...)
        Their targets.

    Returns
    -------
    list of arrays (R, rows)
        Losses in nats, chunk after chunk.
    """
    rows = max(1, CHUNK_LOSSES // len(logits))
    found = []
    for start in range(0, max(1, logits.shape[1]), rows):
        chunk = slice(start, start + rows)
        found.append(objective.value(logits[:, chunk], *(target[:, chunk] for target in targets)))
    return found


class EpochTargets:
    """Targets and logits of one epoch, for this rank's examples; batches are asked for in order.

    The losses of all examples are kept, because the largest loss sets the grid on which all are added.

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
    ranks : SingleRank or Ranks
        They share the examples.
    """

    def __init__(
        self, objective: "Objective", order: np.ndarray, logits: np.ndarray, n: int, ranks: SingleRank = SINGLE_RANK
    ):
        self._objective = objective
        self._order = order
        self._buffer = logits
        self._n = n
        self._ranks = ranks
        self._losses = []
        self._piece_start = 0
        self._piece_stop = -1  # no piece yet
        self._losses_known = False  # of the piece
        self._rows_done = 0  # rows of the piece whose batches were requested

    def batch(self, start: int, stop: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return the buffer for the logits of a batch, and its targets.

        Parameters
        ----------
        start, stop : int
            The batch, as positions in `order`. Batches must be requested in ascending order.

        Returns
        -------
        logits : array (R, rows, classes)
            A view of the buffer, to be filled.
        targets : list of arrays (R, rows, ...)
            The objective's targets for these rows.
        """
        if stop > self._piece_stop:
            self._finish_piece()
            self._losses_known = False
            self._piece_start = start
            self._piece_stop = min(start + self._buffer.shape[1], self._order.shape[1])
            piece = self._order[:, self._piece_start : self._piece_stop]
            self._targets = [select_rows(target, piece) for target in self._objective.targets]
        self._rows_done = stop - self._piece_start
        rows = slice(start - self._piece_start, self._rows_done)
        return self._buffer[:, rows], [target[:, rows] for target in self._targets]

    def _finish_piece(self):
        """Compute the losses of the piece from its logits, if they are not known."""
        if self._piece_stop >= 0 and not self._losses_known:
            logits = self._buffer[:, : self._rows_done]
            targets = [target[:, : self._rows_done] for target in self._targets]
            self._losses += example_losses(self._objective, logits, targets)

    def keep_losses(self, losses: np.ndarray) -> None:
        """Take the losses (R, rows) of the last `batch`, if the caller has computed them.

        A piece is what the buffer holds at once: the caller has the losses of all batches of a piece, or of none.
        """
        self._losses.append(losses)
        self._losses_known = True

    def mean_loss(self) -> np.ndarray:
        """Return the mean loss over the examples of all ranks, (R,), in nats."""
        self._finish_piece()
        return mean_of_chunks(self._losses, self._n, self._ranks)
