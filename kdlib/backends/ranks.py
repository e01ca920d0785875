"""The ranks: processes, on any machines, that train one network together. Each has its own rows of every batch.

Each rank has the whole network and makes the same update. Two reductions combine what depends on rows of other ranks: a
maximum, and a sum of numbers whose every partial sum is a multiple of one unit, see `kdlib.numerics.grids`. Neither
rounds. So no bit depends on the number of ranks, nor on the order in which they add.
"""

from collections.abc import Callable, Sequence

import numpy as np

from kdlib.numerics.sums import Sums

MAX_TEXT_BYTES = 120  # of a text in `SingleRank.allgather`


class SingleRank:
    """A single process, which has all rows. `Ranks` has the same interface."""

    rank = 0
    size = 1

    @property
    def first(self) -> bool:
        """Whether this rank writes, logs and shows progress."""
        return self.rank == 0

    def share(self, rows: int) -> slice:
        """Return this rank's slice of range(rows). It is empty on some ranks if there are more ranks than rows."""
        return slice(rows * self.rank // self.size, rows * (self.rank + 1) // self.size)

    def batches(self, n: int, rows: int) -> tuple[slice | np.ndarray, list[tuple[int, slice, slice]]]:
        """Cut n examples into batches, and each batch into shares.

        Parameters
        ----------
        n : int
        rows : int
            Number of rows of a batch; the last batch may have fewer.

        Returns
        -------
        own : slice or np.ndarray
            This rank's examples, as a slice or indices of range(n).
        batches : list of (int, slice, slice)
            For each batch its number of rows, this rank's `share` of them, and where this share is in `own`.
        """
        batches = []
        indices = []
        end = 0
        for start in range(0, n, rows):
            count = min(rows, n - start)
            share = self.share(count)
            begin = end
            end = begin + share.stop - share.start
            indices.append(np.arange(start + share.start, start + share.stop))
            batches.append((count, share, slice(begin, end)))
        return slice(None) if self.size == 1 else np.concatenate(indices), batches

    def allreduce_max(self, magnitudes: np.ndarray) -> np.ndarray:
        """Return the elementwise maximum over the ranks, of floats >= 0. NaN is larger than all numbers."""
        return magnitudes

    def allreduce_sum(self, terms: np.ndarray) -> np.ndarray:
        """Return the elementwise sum over the ranks, in place. No partial sum may round."""
        return terms

    def broadcast(self, array: np.ndarray) -> np.ndarray:
        """Return the first rank's array (broadcast). All ranks give arrays of one shape and dtype, C-contiguous."""
        return array

    def gather_rows(self, own: np.ndarray, rows: int) -> np.ndarray:
        """Return all rows of a batch, (R, rows, ...), of which this rank has its `share`, (R, k, ...)."""
        return own

    def allgather(self, text: str) -> list[str]:
        """Return the texts of all ranks, each cut to MAX_TEXT_BYTES."""
        return [text]


class Ranks(SingleRank):
    """One of several ranks.

    Parameters
    ----------
    rank : int
    size : int
        The number of ranks.
    reduce : callable
        It takes a C-contiguous array and "max" or "sum", and stores the elementwise result over all ranks in the array.
    """

    def __init__(self, rank: int, size: int, reduce: Callable[[np.ndarray, str], object]):
        self.rank = rank
        self.size = size
        self._reduce = reduce

    def allreduce_max(self, magnitudes: np.ndarray) -> np.ndarray:
        bits = np.abs(magnitudes).view(f"i{magnitudes.itemsize}")  # of positive floats in their order, NaN at the end
        self._reduce(bits, "max")
        return bits.view(magnitudes.dtype)

    def allreduce_sum(self, terms: np.ndarray) -> np.ndarray:
        self._reduce(terms, "sum")
        return terms

    def broadcast(self, array: np.ndarray) -> np.ndarray:
        content = array.view(np.uint8)
        if not self.first:
            content[...] = 0
        self._reduce(content, "sum")
        return array

    def gather_rows(self, own: np.ndarray, rows: int) -> np.ndarray:
        batch = np.zeros((len(own), rows, *own.shape[2:]), own.dtype)
        batch[:, self.share(rows)] = own
        self._reduce(batch.view(np.uint8), "sum")  # of bytes, so that -0 stays
        return batch

    def allgather(self, text: str) -> list[str]:
        shown = np.zeros((self.size, MAX_TEXT_BYTES), np.uint8)
        content = text.encode()[:MAX_TEXT_BYTES]
        shown[self.rank, : len(content)] = np.frombuffer(content, np.uint8)
        self._reduce(shown, "sum")
        return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in shown]


SINGLE_RANK = SingleRank()


def mean_of_chunks(chunks: Sequence[np.ndarray], n: int, ranks: SingleRank = SINGLE_RANK) -> np.ndarray:
    """Return `exact.mean` over the last axis of an array that is given in chunks, without a copy of the whole.

    Parameters
    ----------
    chunks : sequence of np.ndarray
        (..., k) each: this rank's terms.
    n : int
        The number of terms of all ranks.
    ranks : SingleRank or Ranks
        They share the terms.
    """
    largest = [np.max(np.abs(chunk), axis=-1, keepdims=True, initial=0.0) for chunk in chunks]
    sums = Sums(ranks.allreduce_max(np.maximum.reduce(largest)), n)
    for chunk in chunks:
        sums.add(chunk)
    mean = sums.total(ranks.allreduce_sum) / n
    return np.where(np.isnan(mean), np.nan, mean)  # NaN has many bits, and the order of a sum decides which
