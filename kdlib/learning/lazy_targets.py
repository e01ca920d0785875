"""Targets of more examples than there is room for in floats: made for the rows that are asked for.

An object of this module stands for an array (G, n, classes). `ordered` gives what `kdlib.learning.stack.ordered` does
of the array, a slice (of G = 1) its rows, and `identity` what a checkpoint has to know of it.
"""

import math

import numpy as np

HELD = 1 << 20  # elements of targets that are held as an array
BLOCK = 1 << 16  # rows that are made at once where all are asked for


def held(targets):
    """The same as an array if it has at most HELD elements."""
    small = not isinstance(targets, np.ndarray) and math.prod(targets.shape) <= HELD  # integers
    return targets.whole() if small else targets


class Targets:
    """Made by `make(g, rows)`: of the entry g the rows (m,) of its n -> (m, classes)."""

    def __init__(self, shape, make, identity):
        self.shape, self._make, self.identity = shape, make, identity

    def __len__(self):
        return self.shape[0]

    def whole(self):
        return np.stack([self._make(g, np.arange(self.shape[1])) for g in range(len(self))])

    def ordered(self, entries, order):
        """entries: (R,). order: (R, m) -> (R, m, classes)."""
        return np.stack([self._make(g, rows) for g, rows in zip(entries, order, strict=True)])

    def mapped(self, function, identity, entries=None):
        """With a function of (g, (m, classes)) upon it. entries: how many there are, if it has several for each."""
        entries = len(self) if entries is None else entries

        def make(g, rows):
            return function(g, self._make(g * len(self) // entries, rows))

        return Targets((entries, *self.shape[1:]), make, [self.identity, identity])


class Entry:
    """Of one entry, (n, classes), by slices of the rows: what a validation goes through."""

    def __init__(self, targets):
        self._targets, self.shape, self.identity = targets, targets.shape[1:], targets.identity

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        return self._targets.ordered([0], np.arange(*key.indices(len(self)))[None])[0]


def each(targets, function, identity):
    """A function of (m, classes) -> (m, k), row by row, upon an array (G, n, classes) or `Targets`."""
    if isinstance(targets, np.ndarray):
        return function(targets)
    return targets.mapped(lambda g, values: function(values), identity)


def anywhere(targets):
    """Whether any element is true."""
    if isinstance(targets, np.ndarray):
        return bool(targets.any())
    n = targets.shape[1]
    pieces = ((g, start) for g in range(len(targets)) for start in range(0, n, BLOCK))
    return any(targets.ordered([g], np.arange(start, min(start + BLOCK, n))[None]).any() for g, start in pieces)


def of_rows(dataset, rows, split):
    """(n, classes), `one_hot` of one split, as a validation takes it."""
    targets = one_hot(dataset, {split: rows}, [split])
    return targets[0] if isinstance(targets, np.ndarray) else Entry(targets)


def one_hot(dataset, rows, splits):
    """(splits, n, classes) float64 of the labels that these splits know; zero rows of the others. rows: of all splits.

    An array if that is small.
    """
    shape = len(splits), len(rows[splits[0]]), len(dataset.class_names)

    def make(g, of):
        return dataset.one_hot(rows[splits[g]][of], splits[g])

    return held(Targets(shape, make, [dataset.digest, splits, [rows[split] for split in splits]]))


def taught(logits, rows, splits, digest):
    """(splits, n, classes) of a teacher's `logits`, (S, N, classes), of these rows. digest: of the logits."""
    shape = len(splits), len(rows[splits[0]]), logits.shape[-1]

    def make(g, of):
        return logits[splits[g], rows[splits[g]][of]]

    return held(Targets(shape, make, [digest, splits, [rows[split] for split in splits]]))
