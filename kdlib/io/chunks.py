"""Arrays that are larger than memory: in canonical pieces, as another dtype, in files without a name."""

import math
import mmap
import os

import numpy as np

BLOCK = 1 << 22  # bytes of a piece
SCRATCH = 1 << 26  # bytes of an array that is made in a file, not in memory: 64 MiB


def positive_zeros(array):
    """`array` with 0.0 in place of -0.0: equal numbers are then equal bits.

    Which of two equal numbers min, max, unique and sort return, and which zero a BLAS does, differs between machines.
    """
    return np.where(array == 0, array.dtype.type(0), array) if array.dtype.kind == "f" else array


def canonical(array):
    """`array` in C order, little-endian, its zeros positive."""
    array = np.ascontiguousarray(positive_zeros(np.asarray(array))).reshape(np.shape(array))
    return array.astype(array.dtype.newbyteorder("<"), copy=False)


def pieces(array):
    """The array in its order, each piece about BLOCK bytes and canonical.

    array: any object of `shape`, `dtype`, `ndim` and `nbytes` whose slices along the first axis are arrays.
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


def all_finite(array):
    return all(np.isfinite(piece).all() for piece in pieces(array))


class Converted:
    """An array as one of another dtype, of which pieces are made."""

    def __init__(self, array, dtype):
        self.array, self.shape, self.ndim, self.dtype = array, array.shape, array.ndim, np.dtype(dtype)
        self.nbytes = array.size * self.dtype.itemsize

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        part = self.array[key]
        if part.ndim > 1 and part.nbytes > BLOCK:
            return Converted(part, self.dtype)
        with np.errstate(over="ignore"):
            return part.astype(self.dtype)


def advise(array, random):
    """Tell the system whether a map is read at random next, where a row is to bring no neighbours from the disk.

    Of rows of 784 bytes from a cold file that took 0.1 ms a row in place of 0.9 ms.
    """
    while isinstance(array, np.ndarray):
        array = array.base
    if isinstance(array, mmap.mmap) and hasattr(mmap, "MADV_RANDOM"):
        array.madvise(mmap.MADV_RANDOM if random else mmap.MADV_NORMAL)


def scratch(shape, dtype):
    """Zeros. Of SCRATCH bytes or more they are in a file without a name in the working directory, which ends with them.

    Raises OSError if the disk has no room.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize  # integers
    if size < SCRATCH:
        return np.zeros(shape, dtype)
    import tempfile  # here: it takes a while, and few need it

    with tempfile.TemporaryFile(dir=".") as file:  # a system's folder for such files may be in memory
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)  # else a full disk would end the process at a write
        else:
            file.truncate(size)
        return np.ndarray(shape, dtype, mmap.mmap(file.fileno(), size))  # joblib takes an np.memmap to have a name
