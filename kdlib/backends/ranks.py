"""The ranks: processes, on any machines, that train one network together, each with its rows of every batch.

Each has the whole network and makes the same update. What depends on rows of others is agreed by two reductions, and
neither rounds: a maximum, and a sum of numbers whose every partial sum is a multiple of one unit, see
`kdlib.numerics.grids`. So no bit depends on how many ranks there are, nor on the order in which they add.
"""

import contextlib

import numpy as np

from kdlib.numerics.sums import Sums

TEXT = 120  # bytes of a text that ranks show each other


class Alone:
    """One process, which has all rows, and agrees with itself."""

    rank, size = 0, 1

    @property
    def first(self):
        """Whether this one writes, logs and shows."""
        return self.rank == 0

    def share(self, rows):
        """The slice of so many rows that is this rank's; of no row, too, where there are more ranks than rows."""
        return slice(rows * self.rank // self.size, rows * (self.rank + 1) // self.size)

    def batches(self, n, rows):
        """(own, batches) of n examples in batches of so many `rows`.

        own: which of the n are this rank's, a slice or indices. batches: for each its rows, the `share`, and the slice
        of that within the `own`.
        """
        found, places, end = [], [], 0
        for start in range(0, n, rows):
            count = min(rows, n - start)
            share = self.share(count)
            begin, end = end, end + share.stop - share.start
            places.append(np.arange(start + share.start, start + share.stop))
            found.append((count, share, slice(begin, end)))
        return slice(None) if self.size == 1 else np.concatenate(places), found

    def largest(self, magnitudes):
        """The largest over the ranks, elementwise, of floats that are not below zero; a NaN is larger than all."""
        return magnitudes

    def total(self, terms):
        """The sum over the ranks, elementwise, in place: of numbers of which no partial sum rounds."""
        return terms

    def told(self, array):
        """The first rank's `array`, in place of all others', of the same shape and dtype; C-contiguous."""
        return array

    def texts(self, text):
        """What each rank says, a list. Texts are cut."""
        return [text]


class Ranks(Alone):
    """Several. reduce: function of a C-contiguous array and of `max` or `sum`, which leaves the result in it."""

    def __init__(self, rank, size, reduce):
        self.rank, self.size, self._reduce = rank, size, reduce

    def largest(self, magnitudes):
        bits = np.abs(magnitudes).view(f"i{magnitudes.itemsize}")  # of positive floats in their order, NaN at the end
        self._reduce(bits, "max")
        return bits.view(magnitudes.dtype)

    def total(self, terms):
        self._reduce(terms, "sum")
        return terms

    def told(self, array):
        content = array.view(np.uint8)
        if not self.first:
            content[...] = 0
        self._reduce(content, "sum")
        return array

    def texts(self, text):
        shown = np.zeros((self.size, TEXT), np.uint8)
        content = text.encode()[:TEXT]
        shown[self.rank, : len(content)] = np.frombuffer(content, np.uint8)
        self._reduce(shown, "sum")
        return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in shown]


ALONE = current = Alone()


@contextlib.contextmanager
def using(ranks):
    """Context in which `current` are these."""
    global current
    before, current = current, ranks
    try:
        yield
    finally:
        current = before


def mean_of(pieces, n):
    """`exact.mean` over the last axis of the pieces (..., k), one after another, without another copy of them.

    n: of all terms, of which these are this rank's.
    """
    largest = [np.max(np.abs(piece), axis=-1, keepdims=True, initial=0.0) for piece in pieces]
    sums = Sums(current.largest(np.maximum.reduce(largest)), n)
    for piece in pieces:
        sums.add(piece)
    mean = sums.total(current.total) / n
    return np.where(np.isnan(mean), np.nan, mean)  # NaN has many bits, of which the order of a sum picks some
