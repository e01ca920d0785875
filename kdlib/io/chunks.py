"""Arrays that are larger than memory: read in canonical pieces, converted lazily, or kept in files without a name."""

import math
import mmap
import os
from collections.abc import Iterator

import numpy as np

BLOCK = 1 << 22  # bytes of a piece
SCRATCH = 1 << 26  # bytes from which an array is made in a file, not in memory: 64 MiB


def positive_zeros(array: np.ndarray) -> np.ndarray:
    """Return `array` with 0.0 in place of -0.0: equal numbers are then equal bits.

    Machines differ in which of two equal numbers min, max, unique and sort return, and in the sign of a BLAS's zeros.
    """
    return np.where(array == 0, array.dtype.type(0), array) if array.dtype.kind == "f" else array


def canonical(array: np.ndarray) -> np.ndarray:
    """Return `array` in C order, little-endian, with positive zeros."""
    array = np.ascontiguousarray(positive_zeros(np.asarray(array))).reshape(np.shape(array))
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the array in its order, in canonical pieces of about BLOCK bytes.

    Parameters
    ----------
    array : array-like object
        Needs `shape`, `dtype`, `ndim` and `nbytes`; its slices along the first axis are arrays.
    """
    if array.nbytes <= BLOCK or array.ndim == 0:
        yield canonical(array[...])
    elif array.ndim > 2:
        for part in array:
            yield from pieces(part)
    else:
        rows = max(1, BLOCK * len(array) // array.nbytes)
        for start in range(0, len(array), rows):
            yield canonical(array[start : start + rows])


def all_finite(array: np.ndarray) -> bool:
    """Check piece by piece that an array has neither NaN nor infinite numbers."""
    return all(np.isfinite(piece).all() for piece in pieces(array))


class Converted:
    """Convert an array lazily to another dtype: slices are converted when they are read.

    Parameters
    ----------
    array : array-like object
        As in `pieces`, and with `size`.
    dtype : dtype-like
    """

    def __init__(self, array: np.ndarray, dtype: np.dtype | type | str):
        self.array = array
        self.shape = array.shape
        self.ndim = array.ndim
        self.dtype = np.dtype(dtype)
        self.nbytes = array.size * self.dtype.itemsize

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        part = self.array[key]
        if part.ndim > 1 and part.nbytes > BLOCK:
            return Converted(part, self.dtype)
        with np.errstate(over="ignore"):
            return part.astype(self.dtype)


def advise(array: np.ndarray, random: bool) -> None:
    """Advise the system (madvise) whether a memory map will be read at random; it then does not read ahead.

    For rows of 784 bytes from a cold file, a row took 0.1 ms in place of 0.9 ms. An array that is no map is left alone.
    """
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        array.madvise(mmap.MADV_RANDOM if random else mmap.MADV_NORMAL)


def scratch(shape: tuple[int, ...], dtype: np.dtype | type | str) -> np.ndarray:
    """Make an array of zeros, in a file if it has SCRATCH bytes or more.

    The file has no name, is in the working directory, and is gone when the array is.

    Raises
    ------
    OSError
        If the disk has no room.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize  # integers
    if size < SCRATCH:
        return np.zeros(shape, dtype)
    import tempfile  # here: it takes a while, and few need it

    with tempfile.TemporaryFile(dir=".") as file:  # the system's folder for temporary files may be in memory
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # else a full disk would end the process at a write
        else:
            file.truncate(size)
        return np.ndarray(shape, dtype, mmap.mmap(file.fileno(), size))  # joblib expects that an np.memmap has a name
