"""Numbered views of images: moved, turned, stretched and bent, each a function of seed, row and number.

As they are numbered, a teacher's logits of all of them are computed once, and are of just what its student sees (Beyer
et al., "Knowledge distillation: A good teacher is patient and consistent", 2022, section 3).
"""

from dataclasses import dataclass, replace

import numpy as np

from kdlib.data.checks import ABSENT, HIDDEN, PARTS
from kdlib.data.scaled import blocks
from kdlib.io.artifacts import digest
from kdlib.io.chunks import scratch
from kdlib.learning.warping import PIXEL, viewed
from kdlib.numerics.streams import stream

ENTRY = 1 << 16  # parts of an entry of a linear map
WEIGHT = 1 << 10  # parts of a spline's weight
CELLS = 4  # of the grid whose corners are moved, along the longer side


@dataclass(frozen=True)
class Views:
    """Of each image the view 0 is the image. Without `affine` and `elastic` there is one at each whole move by `shift`.

    shift: pixels by which a view is moved at most, down and across. number: of random views, with the image. affine:
    by how much each entry of the linear map about the centre differs from the identity's at most (0.1: about 10 % in
    size, or 6 degrees). elastic: pixels by which the corners of a grid of CELLS cells are moved at most; between them
    the moves are cubic B-splines.
    Reference: Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks" (2003), section 2;
    the splines: Rueckert et al., "Nonrigid Registration Using Free-Form Deformations" (1999), section II.B.
    """

    shift: int = 0
    number: int = 1
    affine: float = 0.0
    elastic: float = 0.0

    @property
    def random(self):
        return bool(self.affine or self.elastic)

    def __len__(self):
        return self.number if self.random else (2 * self.shift + 1) * (2 * self.shift + 1)

    def moves(self, view, generator, shown, shape):
        """Where the points of views lie in their images, by 1 / PIXEL from there: (m, 2, height, width) int32.

        (1, 2, 1, 1) where all move alike. shown: (rows,) bool, m of them true. generator: of the view, which draws for
        one row after another. shape: (height, width).
        """
        if not self.random:
            ways = np.stack(np.divmod(np.arange(len(self)), 2 * self.shift + 1), axis=1) - self.shift
            nearest = ways[np.argsort((ways * ways).sum(axis=1), kind="stable")]  # integers
            return nearest[view].reshape(1, 2, 1, 1).astype(np.int32) * PIXEL
        along = [_spline(side, max(shape)) for side in shape]
        grid = [weights.shape[1] for weights in along]
        cuts = np.cumsum([2, 4, 2 * grid[0] * grid[1]])  # integers
        draws = 2 * generator.random((len(shown), int(cuts[-1])))[shown] - 1
        whole, linear, corners = np.split(draws, cuts[:-1], axis=1)
        found = _integers(whole, self.shift * PIXEL).reshape(-1, 2, 1, 1)
        if self.affine:
            found = found + _linear(_integers(linear, self.affine * ENTRY).reshape(-1, 2, 2, 1, 1), shape)
        if self.elastic:
            bent = _integers(corners, self.elastic * PIXEL).reshape(-1, 2, *grid)
            bent = _divided(bent @ along[1].T, WEIGHT)  # integers
            found = found + _divided(along[0] @ bent, WEIGHT)  # integers
        return np.broadcast_to(found, (len(draws), 2, *shape))


def _integers(draws, most):
    return np.rint(draws * most).astype(np.int32)


def _divided(integers, by):
    """Rounded, halves up."""
    return (integers + by // 2) // by


def _linear(entries, shape):
    """(rows, 2, 2, 1, 1) in 1 / ENTRY -> the moves (rows, 2, height, width) of the map about the centre."""
    down, across = (2 * np.arange(side, dtype=np.int32) - (side - 1) for side in shape)  # half pixels from the centre
    return _divided(entries[:, :, 0] * down[:, None] + entries[:, :, 1] * across, 2 * ENTRY // PIXEL)


def _spline(side, longer):
    """(side, corners) int32, in 1 / WEIGHT: a cubic B-spline's weights of the four corners about each pixel."""
    cell = -(-longer // CELLS)
    pixels = np.arange(side)
    t, weights = (pixels % cell) / cell, np.zeros((side, (side - 1) // cell + 4), np.int32)
    s = 1 - t
    basis = s * s * s / 6, (4 - 3 * t * t * (2 - t)) / 6, (4 - 3 * s * s * (2 - s)) / 6, t * t * t / 6
    for k, values in enumerate(basis):
        weights[pixels, pixels // cell + k] = np.rint(values * WEIGHT)
    return weights


def extended(dataset, views, seed):
    """The dataset with the views of its training rows as further rows, one view after another; held-out rows have none.

    A training part of n rows becomes one of n len(views), in which the view v of row i is the row v n + i. The
    background is what scaling makes zero, the least pixel of the split's training rows or zero: splits in which it is
    the same share their views.
    """
    train = np.isin(dataset.assignment, [PARTS.index("train"), HIDDEN])
    backgrounds, n, shape = dataset.offset.min(axis=1), len(dataset.y), dataset.image_shape
    alike = [(value, backgrounds == value) for value in np.unique(backgrounds)]
    shown = [train[splits].any(axis=0) for _, splits in alike]
    index = np.concatenate([np.arange(n), *[np.flatnonzero(rows) for rows in shown] * (len(views) - 1)])
    x, assignment = scratch((len(index), dataset.x.shape[1]), dataset.x.dtype), dataset.assignment[:, index]
    assignment[:, n:][~train[:, index[n:]]] = ABSENT
    start = n
    for rows in blocks(n):
        x[rows] = dataset.x[rows]
    for view in range(1, len(views)):
        for (background, splits), seen in zip(alike, shown, strict=True):
            generator, first = stream(seed, "views", view), start
            for rows in blocks(n):
                own = seen[rows]
                moves, images = views.moves(view, generator, own, shape), dataset.x[rows[own]]
                found = viewed(images.reshape(len(images), *shape), moves, background)
                x[start : start + len(images)] = found.reshape(images.shape)
                start += len(images)
            assignment[~splits, first:start] = ABSENT
    named = digest({"dataset": np.array(dataset.digest), "views": np.array(f"{views} {seed}")})
    return replace(dataset, x=x, y=dataset.y[index], assignment=assignment, digest=named)
