"""Rows that are never in memory together: what a source maps, and what is learned of them in passing."""

from hashlib import blake2b

import numpy as np

from kdlib.io import npz_reader
from kdlib.io.chunks import pieces, positive_zeros


def large(x):
    """Whether rows of so many bytes are not held in memory."""
    return x.nbytes >= npz_reader.MAPPED


class Rows:
    """The rows of several arrays, one after another, as an array (n, features) of one dtype, made as they are read.

    arrays: of (n_i, features), or of images (n_i, height, width). dtype: of the result, without -0.0. rows: None, or
    the indices that are kept, ascending.
    """

    ndim = 2

    def __init__(self, arrays, dtype, rows=None):
        self.arrays, self.dtype, self.rows = arrays, np.dtype(dtype), rows
        self.starts = np.cumsum([0, *map(len, arrays)])  # integers
        features = int(np.prod(arrays[0].shape[1:]))  # integers
        self.shape = int(self.starts[-1]) if rows is None else len(rows), features
        self.size = self.shape[0] * features
        self.nbytes = self.size * self.dtype.itemsize

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        """key: a slice, or (m,) indices -> (m, features), as an array."""
        if key is Ellipsis:
            key = slice(None)
        if self.rows is None and len(self.arrays) == 1:
            found = self.arrays[0][key]
            return positive_zeros(found.reshape(len(found), -1).astype(self.dtype, copy=False))
        at = np.arange(*key.indices(len(self))) if isinstance(key, slice) else np.asarray(key)
        at = at if self.rows is None else self.rows[at]
        out = np.empty((len(at), self.shape[1]), self.dtype)
        for array, start in zip(self.arrays, self.starts, strict=False):
            inside = (at >= start) & (at < start + len(array))
            if inside.any():
                out[inside] = array[at[inside] - start].reshape(-1, self.shape[1])
        return positive_zeros(out)

    def kept(self, rows):
        """Those of these indices, ascending, without making them."""
        return Rows(self.arrays, self.dtype, rows if self.rows is None else self.rows[rows])


class Ends:
    """x as it is, and in `ends` the least and greatest value of each column of what was read of it.

    ends: (2, 1, features), or None of what is no (n, features) of numbers.
    """

    def __init__(self, x):
        self.x, self.shape, self.ndim, self.dtype, self.nbytes = x, x.shape, x.ndim, x.dtype, x.nbytes
        self.ends, self._plain = None, x.ndim == 2 and x.size and x.dtype.kind in "uf"

    def __len__(self):
        return len(self.x)

    def __getitem__(self, key):
        block = self.x[key]
        if self._plain:
            ends = np.stack([block.min(axis=0), block.max(axis=0)])[:, None]
            if self.ends is not None:
                ends = np.stack([np.minimum(ends[0], self.ends[0]), np.maximum(ends[1], self.ends[1])])
            self.ends = ends
        return block


def ends(x):
    """(2, 1, features), as of `Ends`, of all of x."""
    watched = Ends(x)
    for _ in pieces(watched):
        pass
    return watched.ends


def equal_rows(x):
    """Find the rows that are equal to an earlier one.

    Each row is read once, and remembered by 64 bits of its hash: of n rows that differ some two are taken for equal
    with a probability of n * n / 2**65 at most, and so stay together without need.

    Parameters
    ----------
    x : array or `Rows`, shape (n, features)
        Finite numbers; 0.0 and -0.0 are equal.

    Returns
    -------
    array of int64, shape (n,), or None
        Of each row the index of the first one that is equal to it; None if no two rows are equal.
    """
    hashes, start = np.empty(len(x), np.uint64), 0
    for piece in pieces(x):
        width, content = piece.nbytes // len(piece), memoryview(piece.tobytes())
        found = (blake2b(content[at : at + width], digest_size=8).digest() for at in range(0, piece.nbytes, width))
        hashes[start : start + len(piece)] = np.frombuffer(b"".join(found), "<u8")
        start += len(piece)
    in_order = np.sort(hashes)
    repeated = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    if not len(repeated):
        return None
    rows = np.flatnonzero(np.isin(hashes, repeated))
    _, first, number = np.unique(hashes[rows], return_index=True, return_inverse=True)
    result = np.arange(len(x))
    result[rows] = rows[first[number]]
    return result
