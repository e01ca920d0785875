"""The rows of a split as inputs of a network. They are scaled when they are read; no copy of all rows is made."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

CHUNK_ROWS = 1024  # rows that are scaled at once


def row_chunks(rows: int | np.ndarray) -> Iterator[np.ndarray]:
    """Iterate over indices in chunks of shape (CHUNK_ROWS,) or shorter.

    Parameters
    ----------
    rows : int or int array, shape (n,)
        A number n means the indices 0 to n - 1; n = 0 gives one empty chunk. An array holds the indices.
    """
    if np.ndim(rows):
        return (rows[start : start + CHUNK_ROWS] for start in range(0, len(rows), CHUNK_ROWS))
    n = int(rows)
    return (np.arange(start, min(start + CHUNK_ROWS, n)) for start in range(0, max(1, n), CHUNK_ROWS))


@dataclass(frozen=True)
class ScaledRows:
    """Represent (x[rows] - offset) * scale lazily: `take` computes the requested rows.

    Parameters
    ----------
    x : array, shape (N, features) or (N, height, width)
        As loaded; images in the second case.
    rows : int array, shape (n,)
        Indices of rows of x.
    offset, scale : float64 array, shape (features,)
    digest : str
        The digest of the dataset that x comes from, or "".
    """

    x: np.ndarray
    rows: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    digest: str = ""

    def __len__(self):
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape (n, features), or (n, height, width) for images."""
        return len(self.rows), *self.x.shape[1:]

    def __getitem__(self, indices):
        """Return some of the rows as `ScaledRows`, by indices (m,) or a slice."""
        return replace(self, rows=self.rows[indices])

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Compute scaled rows.

        Parameters
        ----------
        indices : int array, any shape
            Positions in `rows`.

        Returns
        -------
        float64 array, shape (*indices.shape, features)
        """
        flat = self.x.reshape(len(self.x), -1)
        return (flat.take(self.rows.take(indices), axis=0) - self.offset) * self.scale

    @cached_property
    def max_magnitudes(self) -> np.ndarray:
        """Largest magnitude of each scaled feature, shape (features,).

        It comes from the smallest and the largest raw value, because scaling keeps the order, also after rounding.
        """
        flat = self.x.reshape(len(self.x), -1)
        least = None
        greatest = None
        for rows in row_chunks(len(self)):
            chunk = flat.take(self.rows.take(rows), axis=0)
            low = np.min(chunk, axis=0)
            high = np.max(chunk, axis=0)
            least = low if least is None else np.minimum(least, low)
            greatest = high if greatest is None else np.maximum(greatest, high)
        return np.max(np.abs((np.stack([least, greatest]) - self.offset) * self.scale), axis=0)

    @property
    def identity(self) -> list:
        """Values that identify the rows: a checkpoint's fingerprint includes them."""
        return [self.digest or self.x, self.x.shape, self.rows, self.offset, self.scale]
