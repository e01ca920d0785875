"""Rows made of training rows, for a teacher to label: functions of the seed and of the row's place alone."""

import numpy as np

from kdlib.numerics import exact

SWAPPED = 0.5  # probability that a feature is taken from the neighbour
MOST = 4096  # rows among which a neighbour is sought, spread over all
BLOCK = 1024


def mixup(x, scaled, widths, times, generator):
    """share x_i + (1 - share) x_j of each row i, `times` times, with j and share uniform; whole numbers stay whole.

    So 0 and 1, such as a category's, are those of the greater share. Zhang, Cisse, Dauphin and Lopez-Paz, "mixup:
    Beyond Empirical Risk Minimization" (2018), with Beta(1, 1). x: (n, features) -> (times * n, features) float64.
    """
    made = []
    for _ in range(times):
        other, share = generator.random((2, len(x)))
        made.append(x * share[:, None] + x[(other * len(x)).astype(np.int64)] * (1 - share[:, None]))
    return _as_whole_as(x, np.concatenate(made))


def munge(x, scaled, widths, times, generator):
    """Each row, `times` times, with about half of its columns from its nearest neighbour's.

    A number is drawn from the normal distribution around the neighbour's value whose std is their distance; a category,
    a truth value, or a value that may be missing is the neighbour's. Nothing leaves the column's range, and whole
    numbers stay whole. Bucilă, Caruana and Niculescu-Mizil, "Model Compression" (2006), algorithm 1, of which s = 1,
    p = 0.5 and each row is made of a pair that is as it was.
    x: (n, features). scaled: the same, in which distances are measured. widths: of the columns, in features.
    """
    other = x[nearest(scaled)]
    discrete = np.array([len(np.unique(column)) <= 2 for column in x.T]) | (np.repeat(widths, widths) > 1)
    least, greatest = x.min(axis=0), x.max(axis=0)
    made = []
    for _ in range(times):
        swapped = np.repeat(generator.random((len(x), len(widths))) < SWAPPED, widths, axis=1)
        drawn = np.where(discrete, other, other + _normal(generator, x.shape) * np.abs(x - other))
        made.append(np.where(swapped, np.clip(drawn, least, greatest), x))
    return _as_whole_as(x, np.concatenate(made))


SYNTHESES = {"mixup": mixup, "munge": munge}


def nearest(x):
    """(n,) the nearest other row by Euclidean distance, the first of equals, among 4096 at most. x: (n, features)."""
    among = np.arange(0, len(x), -(-len(x) // MOST))
    others = x[among]
    squares = exact.sum(others * others, axis=1)
    found = []
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK]
        distance = squares - 2 * exact.matmul(block[None], others.T[None])[0]  # less the same for all
        distance[np.arange(start, start + len(block))[:, None] == among] = np.inf
        found.append(among[np.argmin(distance, axis=1)])
    return np.concatenate(found)


def _normal(generator, shape):
    """The sum of 12 uniform draws less 6: mean 0, variance 1, and the same bits on every machine."""
    total = np.full(shape, -6.0)
    for _ in range(12):
        total += generator.random(shape)
    return total


def _as_whole_as(x, made):
    return np.where((x == np.rint(x)).all(axis=0), np.rint(made), made)
