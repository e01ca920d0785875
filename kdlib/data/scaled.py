"""The rows of a split as inputs of a network, without a copy of them."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

BLOCK = 1024  # rows that are scaled at once


def blocks(rows):
    """n rows, or (n,) indices, as indices in blocks, (BLOCK,) or fewer; no rows are one block."""
    if not isinstance(rows, int):
        return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    return (np.arange(start, min(start + BLOCK, rows)) for start in range(0, max(1, rows), BLOCK))


@dataclass(frozen=True)
class Scaled:
    """(x[rows] - offset) * scale, of which `take` makes the rows that are asked for.

    x: (N, features), or images (N, height, width), as loaded. rows: (n,) indices. offset, scale: (features,). digest:
    of the dataset whose x it is, or "".
    """

    x: np.ndarray
    rows: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    digest: str = ""

    def __len__(self):
        return len(self.rows)

    @property
    def shape(self):
        return len(self.rows), *self.x.shape[1:]

    def __getitem__(self, indices):
        """Some of the rows, by indices (m,) or a slice."""
        return replace(self, rows=self.rows[indices])

    def take(self, indices):
        """indices: of the rows, of any shape -> (*indices.shape, features) float64."""
        flat = self.x.reshape(len(self.x), -1)
        return (flat.take(self.rows.take(indices), axis=0) - self.offset) * self.scale

    @cached_property
    def largest(self):
        """Largest magnitude of each feature, (features,): scaling keeps the order, also after rounding."""
        flat, least, greatest = self.x.reshape(len(self.x), -1), None, None
        for rows in blocks(len(self)):
            block = flat.take(self.rows.take(rows), axis=0)
            low, high = np.min(block, axis=0), np.max(block, axis=0)
            least = low if least is None else np.minimum(least, low)
            greatest = high if greatest is None else np.maximum(greatest, high)
        return np.max(np.abs((np.stack([least, greatest]) - self.offset) * self.scale), axis=0)

    @property
    def identity(self):
        """What a checkpoint has to know of it."""
        return [self.digest or self.x, self.x.shape, self.rows, self.offset, self.scale]
