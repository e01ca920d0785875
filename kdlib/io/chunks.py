"""Arrays that are larger than memory: read in canonical chunks, converted lazily, or kept in files without a name."""

import math
import mmap
import os
from collections.abc import Iterator

import numpy as np

CHUNK_BYTES = 1 << 22  # 4 MiB
MIN_FILE_BYTES = 1 << 26  # 64 MiB: an array of this size or larger is made in a file, not in memory


def positive_zeros(array: np.ndarray) -> np.ndarray:
    """Return `array` with 0.0 in place of -0.0: equal numbers are then equal bits.

    Machines differ in which of two equal numbers min, max, unique and sort return, and in the sign of a BLAS's zeros.
    """
    return np.where(array == 0, array.dtype.type(0), array) if array.dtype.kind == "f" else array


def canonical(array: np.ndarray) -> np.ndarray:
    """Return `array` in C order, little-endian, with positive zeros."""
    array = np.ascontiguousarray(positive_zeros(np.asarray(array))).reshape(np.shape(array))
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def canonical_chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the array in its order, in canonical chunks of about CHUNK_BYTES.

    Parameters
    ----------
    array : array-like object
        Needs `shape`, `dtype`, `ndim` and `nbytes`; its slices along the first axis are arrays.
    """
    if array.nbytes <= CHUNK_BYTES or array.ndim == 0:
        yield canonical(array[...])
    elif array.ndim > 2:
        for item in array:
            yield from canonical_chunks(item)
    else:
        rows = max(1, CHUNK_BYTES * len(array) // array.nbytes)
        for start in range(0, len(array), rows):
            yield canonical(array[start : start + rows])


def all_finite(array: np.ndarray) -> bool:
    """Check chunk by chunk that an array has neither NaN nor infinite numbers."""
    return all(np.isfinite(chunk).all() for chunk in canonical_chunks(array))


class LazyAstype:
    """Convert an array lazily to another dtype: slices are converted when they are read.

    Parameters
    ----------
    array : array-like object
        As in `canonical_chunks`, and with `size`.
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
        values = self.array[key]
        if values.ndim > 1 and values.nbytes > CHUNK_BYTES:
            return LazyAstype(values, self.dtype)
        with np.errstate(over="ignore"):
            return values.astype(self.dtype)


def advise_access(array: np.ndarray, random: bool) -> None:
    """Advise the system (madvise) whether a memory map will be read at random; it then does not read ahead.

    For rows of 784 bytes from a cold file, a row took 0.1 ms in place of 0.9 ms. An array that is no map is ignored.
    """
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        array.madvise(mmap.MADV_RANDOM if random else mmap.MADV_NORMAL)


def zeros_or_tempfile(shape: tuple[int, ...], dtype: np.dtype | type | str) -> np.ndarray:
    """Make an array of zeros, in a file if it has MIN_FILE_BYTES or more.

    The file has no name, is in the working directory, and is gone when the array is.

    Raises
    ------
    OSError
        If the disk has no room.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize  # lint: integer sum
    if size < MIN_FILE_BYTES:
        return np.zeros(shape, dtype)
    import tempfile  # here: it takes a while, and few need it

    with tempfile.TemporaryFile(dir=".") as file:  # the system's folder for temporary files may be in memory
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # else a full disk would end the process at a write
        else:
            file.truncate(size)
        return np.ndarray(shape, dtype, mmap.mmap(file.fileno(), size))  # joblib expects that an np.memmap has a name
