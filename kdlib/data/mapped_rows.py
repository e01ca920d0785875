"""Rows that are never all in memory: memory maps are read in chunks, also to find column ranges and equal rows."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from kdlib.io import npz_reader
from kdlib.io.chunks import canonical_chunks, positive_zeros


def is_large(x: np.ndarray) -> bool:
    """Return whether rows are too large to be held in memory: `npz_reader.MIN_MAPPED_BYTES` or more."""
    return x.nbytes >= npz_reader.MIN_MAPPED_BYTES


class ConcatenatedRows:
    """Concatenate the rows of several arrays lazily, as an array (n, features) of one dtype.

    Rows are converted when they are read; the result has no -0.0.

    Parameters
    ----------
    arrays : sequence of array, shape (n_i, features) or (n_i, height, width)
    dtype : dtype-like
        The dtype of the result.
    indices : int array, shape (n,), optional
        Indices of the rows that are kept, ascending; None for all.
    """

    ndim = 2

    def __init__(self, arrays: Sequence[np.ndarray], dtype: np.dtype | type | str, indices: np.ndarray | None = None):
        self.arrays = arrays
        self.dtype = np.dtype(dtype)
        self.indices = indices
        self.starts = np.cumsum([0, *map(len, arrays)])  # lint: integer sum
        features = int(np.prod(arrays[0].shape[1:]))  # lint: integer sum
        n = int(self.starts[-1]) if indices is None else len(indices)
        self.shape = n, features
        self.size = n * features
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        """Read rows by a slice or by indices (m,), as an array (m, features)."""
        if key is Ellipsis:
            key = slice(None)
        if self.indices is None and len(self.arrays) == 1:
            found = self.arrays[0][key]
            return positive_zeros(found.reshape(len(found), self.shape[1]).astype(self.dtype, copy=False))
        indices = np.arange(*key.indices(len(self))) if isinstance(key, slice) else np.asarray(key)
        indices = indices if self.indices is None else self.indices[indices]
        out = np.empty((len(indices), self.shape[1]), self.dtype)
        for array, start in zip(self.arrays, self.starts, strict=False):
            inside = (indices >= start) & (indices < start + len(array))
            if inside.any():
                out[inside] = array[indices[inside] - start].reshape(-1, self.shape[1])
        return positive_zeros(out)

    def select(self, indices: np.ndarray) -> "ConcatenatedRows":
        """Select rows lazily, by ascending indices."""
        kept = indices if self.indices is None else self.indices[indices]
        return ConcatenatedRows(self.arrays, self.dtype, kept)


class MinMaxRecorder:
    """Record the smallest and the largest value of each column while the rows of x are read.

    Parameters
    ----------
    x : array or `ConcatenatedRows`

    Attributes
    ----------
    min_max : array, shape (2, 1, features), or None
        Smallest and largest values of the rows that have been read. None if nothing has been read, or if x is no
        table (n, features) of floats or unsigned integers.
    """

    def __init__(self, x: np.ndarray | ConcatenatedRows):
        self.x = x
        self.shape = x.shape
        self.ndim = x.ndim
        self.dtype = x.dtype
        self.nbytes = x.nbytes
        self.min_max = None
        self._has_columns = x.ndim == 2 and x.size and x.dtype.kind in "uf"

    def __len__(self):
        return len(self.x)

    def __getitem__(self, key):
        rows = self.x[key]
        if self._has_columns:
            min_max = np.stack([rows.min(axis=0), rows.max(axis=0)])[:, None]
            if self.min_max is not None:
                min_max = np.stack([np.minimum(min_max[0], self.min_max[0]), np.maximum(min_max[1], self.min_max[1])])
            self.min_max = min_max
        return rows


def column_min_max(x: np.ndarray | ConcatenatedRows) -> np.ndarray | None:
    """Return the smallest and the largest value of each column of x, shape (2, 1, features), as in `MinMaxRecorder`."""
    recorder = MinMaxRecorder(x)
    for _ in canonical_chunks(recorder):
        pass
    return recorder.min_max


def equal_rows(x: np.ndarray | ConcatenatedRows) -> np.ndarray | None:
    """Find the rows that are equal to an earlier one.

    Each row is read once and remembered by 64 bits of its hash. The probability that any two of n different rows have
    the same hash is n * n / 2**65 at most. Two different rows would then be put into the same subset, which does no
    harm.

    Parameters
    ----------
    x : array or `ConcatenatedRows`, shape (n, features)
        Finite numbers; 0.0 and -0.0 are equal.

    Returns
    -------
    array of int64, shape (n,), or None
        For each row, the index of the first row that is equal to it; None if no two rows are equal.
    """
    hashes = np.empty(len(x), np.uint64)
    start = 0
    for chunk in canonical_chunks(x):
        digests = (blake2b(row, digest_size=8).digest() for row in chunk)
        hashes[start : start + len(chunk)] = np.frombuffer(b"".join(digests), "<u8")
        start += len(chunk)
    hashes_in_order = np.sort(hashes)
    repeated = np.unique(hashes_in_order[1:][hashes_in_order[1:] == hashes_in_order[:-1]])
    if not len(repeated):
        return None
    rows = np.flatnonzero(np.isin(hashes, repeated))
    _, first, number = np.unique(hashes[rows], return_index=True, return_inverse=True)
    result = np.arange(len(x))
    result[rows] = rows[first[number]]
    return result
