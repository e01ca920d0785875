"""The rows of a split as inputs of a network, without a copy of them."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scaled:
    """(x[rows] - offset) * scale, of which `take` makes the rows that are asked for.

    x: (N, features), or images (N, height, width), as loaded. rows: (n,) indices. offset, scale: (features,).
    """

    x: np.ndarray
    rows: np.ndarray
    offset: np.ndarray
    scale: np.ndarray

    def __len__(self):
        return len(self.rows)

    @property
    def shape(self):
        return len(self.rows), *self.x.shape[1:]

    def take(self, indices):
        """indices: of the rows, of any shape -> (*indices.shape, features) float64."""
        flat = self.x.reshape(len(self.x), -1)
        return (flat.take(self.rows.take(indices), axis=0) - self.offset) * self.scale

    def largest(self):
        """Largest magnitude of each feature, (features,): scaling keeps the order, also after rounding."""
        flat = self.x.reshape(len(self.x), -1)[self.rows]
        ends = np.stack([np.min(flat, axis=0), np.max(flat, axis=0)])
        return np.max(np.abs((ends - self.offset) * self.scale), axis=0)
