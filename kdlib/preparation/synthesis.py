"""Make synthetic rows from training rows, for a teacher to label.

A synthetic row depends only on the training rows, the seed and the row's place.
"""

import numpy as np

from kdlib.numerics import exact

SWAP_PROBABILITY = 0.5  # of a column to be taken from the neighbour
MAX_CANDIDATES = 4096  # rows among which a neighbour is sought, spread over all rows
CHUNK_ROWS = 1024  # rows whose neighbours are sought at once


def mixup(
    x: np.ndarray, scaled: np.ndarray, widths: list[int], times: int, generator: np.random.Generator
) -> np.ndarray:
    """Mix each row with random other rows: share x_i + (1 - share) x_j.

    j and share are uniform. Columns of whole numbers stay whole, so 0 and 1, such as those of a category, come from the
    row with the greater share.

    Parameters
    ----------
    x : array, shape (n, features)
        Training rows.
    scaled, widths
        Not used; here for the same signature as `munge`.
    times : int
        Number of synthetic rows for each row.
    generator : numpy.random.Generator

    Returns
    -------
    float64, shape (times * n, features)

    References
    ----------
    Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization" (2018), with Beta(1, 1).
    """
    made = []
    for _ in range(times):
        other, share = generator.random((2, len(x)))
        made.append(x * share[:, None] + x[(other * len(x)).astype(np.int64)] * (1 - share[:, None]))
    return _round_whole_columns(x, np.concatenate(made))


def munge(
    x: np.ndarray, scaled: np.ndarray, widths: list[int], times: int, generator: np.random.Generator
) -> np.ndarray:
    """Replace about half of each row's columns by those of its nearest neighbour.

    A number is drawn from the normal distribution around the neighbour's value; its standard deviation is the distance
    of the two values. A category, a truth value, or a value that may be missing is copied from the neighbour. No value
    leaves the range of its column, and whole numbers stay whole.

    Parameters
    ----------
    x : array, shape (n, features)
        Training rows.
    scaled : array, shape (n, features)
        The same rows scaled; distances are measured in them.
    widths : list of int
        Number of features of each column.
    times : int
        Number of synthetic rows for each row.
    generator : numpy.random.Generator

    Returns
    -------
    float64, shape (times * n, features)

    References
    ----------
    Bucilă, Caruana and Niculescu-Mizil, "Model Compression" (2006), algorithm 1, with s = 1 and p = 0.5. Departure from
    the paper: each synthetic row is made from two original rows, not from rows that earlier swaps have changed.
    """
    neighbour = x[nearest_rows(scaled)]
    discrete = np.array([len(np.unique(column)) <= 2 for column in x.T]) | (np.repeat(widths, widths) > 1)
    least = x.min(axis=0)
    greatest = x.max(axis=0)
    made = []
    for _ in range(times):
        swapped = np.repeat(generator.random((len(x), len(widths))) < SWAP_PROBABILITY, widths, axis=1)
        drawn = np.where(discrete, neighbour, neighbour + _normal(generator, x.shape) * np.abs(x - neighbour))
        made.append(np.where(swapped, np.clip(drawn, least, greatest), x))
    return _round_whole_columns(x, np.concatenate(made))


SYNTHESES = {"mixup": mixup, "munge": munge}


def nearest_rows(x: np.ndarray) -> np.ndarray:
    """Find the nearest other row of each row by Euclidean distance.

    Parameters
    ----------
    x : array, shape (n, features)

    Returns
    -------
    int64, shape (n,)
        Index of the nearest row among at most 4096 candidates; of equally near ones the first.
    """
    candidates = np.arange(0, len(x), -(-len(x) // MAX_CANDIDATES))
    others = x[candidates]
    squares = exact.sum(others * others, axis=1)
    found = []
    for start in range(0, len(x), CHUNK_ROWS):
        chunk = x[start : start + CHUNK_ROWS]
        # The squared distance without the square of the row itself, which is the same for all candidates.
        distance = squares - 2 * exact.matmul(chunk[None], others.T[None])[0]
        distance[np.arange(start, start + len(chunk))[:, None] == candidates] = np.inf
        found.append(candidates[np.argmin(distance, axis=1)])
    return np.concatenate(found)


def _normal(generator, shape):
    """Draw the sum of 12 uniform numbers less 6: mean 0, variance 1, and the same bits on every machine."""
    total = np.full(shape, -6.0)
    for _ in range(12):
        total += generator.random(shape)
    return total


def _round_whole_columns(x, made):
    """Round the columns of `made` in which x has only whole numbers."""
    return np.where((x == np.rint(x)).all(axis=0), np.rint(made), made)
