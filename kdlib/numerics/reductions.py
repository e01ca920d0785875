"""Maxima and sums of rows and columns, faster than NumPy's reductions where rows are short.

All take their terms in any order. A maximum has the same bits in every order, except for the sign of a zero; a sum has
them if no partial sum rounds.
"""

import numpy as np

MAX_HALVED = 64  # entries of a row up to which halves are compared; NumPy's reduction is faster on longer rows
MIN_HALVED_SIZE = 1 << 13  # entries of a stack from which halves of its columns are compared
MAX_ROWS = 8  # rows that NumPy reduces as quickly
MAX_COLUMNS = 16  # entries of a row up to which column after column is compared


def row_maxima(x: np.ndarray) -> np.ndarray:
    """Return the largest entry of each row, shape (..., 1); NaN for a row with NaN.

    Parameters
    ----------
    x : array, shape (..., K), K >= 1
    """
    width = x.shape[-1]
    if width > MAX_HALVED:
        return np.maximum.reduce(x, axis=-1, keepdims=True)
    while width > MAX_COLUMNS:
        half = (width + 1) // 2
        x = np.maximum(x[..., :half], x[..., width - half :])  # an odd row's middle is in both halves
        width = half
    result = x[..., :1].copy()
    for column in range(1, width):
        np.maximum(result, x[..., column : column + 1], out=result)
    return result


def column_maxima(x: np.ndarray) -> np.ndarray:
    """Return the largest entry of each column, shape (R, 1, m); NaN for a column with NaN.

    Parameters
    ----------
    x : array, shape (R, n, m), n >= 1
    """
    n = x.shape[1]
    while n > MAX_ROWS and x.shape[2] < MAX_HALVED and x.size >= MIN_HALVED_SIZE:
        half = (n + 1) // 2
        x = np.maximum(x[:, :half], x[:, n - half :])  # with an odd number the middle row is in both halves
        n = half
    return np.maximum.reduce(x, axis=1, keepdims=True)


def row_sums(x: np.ndarray) -> np.ndarray:
    """Return the sum of each row, shape (..., 1), for terms of which no partial sum rounds.

    Parameters
    ----------
    x : array, shape (..., K)
    """
    return np.einsum("...k->...", x)[..., None]
