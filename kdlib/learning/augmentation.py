"""Numbered views of images: moved, turned, stretched and bent, each a function of seed, row and number.

As they are numbered, a teacher's logits of all of them are computed once, and are of just what its student sees (Beyer
et al., "Knowledge distillation: A good teacher is patient and consistent", 2022, section 3).
"""

from dataclasses import dataclass, replace

import numpy as np

from kdlib.artifacts import digest
from kdlib.data.faults import ABSENT, HIDDEN, PARTS
from kdlib.data.scaled import blocks
from kdlib.numerics.streams import stream
from kdlib.pieces import scratch

PIXEL = 256  # parts of a pixel, by which a point of a view lies between pixels of the image
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

    def moves(self, view, generator, rows, shape):
        """Where the points of the rows' views lie in their images: (rows, 2, height, width), by 1 / PIXEL from there.

        generator: of the view, which draws for one row after another. shape: (height, width).
        """
        if not self.random:
            ways = np.stack(np.divmod(np.arange(len(self)), 2 * self.shift + 1), axis=1) - self.shift
            nearest = ways[np.argsort((ways * ways).sum(axis=1), kind="stable")]  # integers
            return np.broadcast_to(nearest[view].reshape(1, 2, 1, 1) * PIXEL, (rows, 2, *shape))
        along = [_spline(side, max(shape)) for side in shape]
        grid = [weights.shape[1] for weights in along]
        cuts = np.cumsum([2, 4, 2 * grid[0] * grid[1]])  # integers
        draws = 2 * generator.random((rows, int(cuts[-1]))) - 1
        whole, linear, corners = np.split(draws, cuts[:-1], axis=1)
        found = _integers(whole, self.shift * PIXEL).reshape(-1, 2, 1, 1)
        if self.affine:
            found = found + _linear(_integers(linear, self.affine * ENTRY).reshape(-1, 2, 2, 1, 1), shape)
        if self.elastic:
            bent = _integers(corners, self.elastic * PIXEL).reshape(-1, 2, *grid)
            bent = along[0] @ bent @ along[1].T  # integers
            found = found + (bent + WEIGHT * WEIGHT // 2) // (WEIGHT * WEIGHT)
        return np.broadcast_to(found, (rows, 2, *shape))


def _integers(draws, most):
    return np.rint(draws * most).astype(np.int64)


def _linear(entries, shape):
    """(rows, 2, 2, 1, 1) in 1 / ENTRY -> the moves (rows, 2, height, width) of the map about the centre."""
    down, across = (2 * np.arange(side) - (side - 1) for side in shape)  # half pixels from the centre
    moves = entries[:, :, 0] * down[:, None] + entries[:, :, 1] * across
    part = 2 * ENTRY // PIXEL
    return (moves + part // 2) // part


def _spline(side, longer):
    """(side, corners) int64, in 1 / WEIGHT: a cubic B-spline's weights of the four corners about each pixel."""
    cell = -(-longer // CELLS)
    pixels = np.arange(side)
    t, weights = (pixels % cell) / cell, np.zeros((side, (side - 1) // cell + 4), np.int64)
    s = 1 - t
    basis = s * s * s / 6, (4 - 3 * t * t * (2 - t)) / 6, (4 - 3 * s * s * (2 - s)) / 6, t * t * t / 6
    for k, values in enumerate(basis):
        weights[pixels, pixels // cell + k] = np.rint(values * WEIGHT)
    return weights


def viewed(images, moves, background):
    """(m, height, width) of images and `moves` of as many: bilinear between four pixels, of the images' dtype.

    A move by (y, x) shows at a point what the image has so far below and to the right. background: beyond its edges.
    """
    (rows, height, width), dtype = images.shape, images.dtype
    framed = np.full((rows, height + 4, width + 4), background, np.float64)
    framed[:, 2:-2, 2:-2] = images
    y, x = (moves[:, k] + PIXEL * at for k, at in enumerate((np.arange(height)[:, None], np.arange(width))))
    down, across = (part % PIXEL * (1 / PIXEL) for part in (y, x))
    # Of a frame of two, also a point far out has both its neighbours in the background.
    top, left = np.clip(y // PIXEL, -2, height) + 2, np.clip(x // PIXEL, -2, width) + 2
    first = (np.arange(rows)[:, None, None] * (height + 4) + top) * (width + 4) + left
    flat = framed.reshape(-1)
    above = flat[first] * (1 - across) + flat[first + 1] * across
    below = flat[first + width + 4] * (1 - across) + flat[first + width + 5] * across
    result = above * (1 - down) + below * down
    return (np.rint(result) if dtype.kind in "ui" else result).astype(dtype)


def extended(dataset, views, seed):
    """The dataset with the views of its training rows as further rows, one view after another; held-out rows have none.

    A training part of n rows becomes one of n len(views), in which the view v of row i is the row v n + i. The
    background is what scaling makes zero, the least pixel or zero.
    """
    train = np.isin(dataset.assignment, [PARTS.index("train"), HIDDEN])
    shown, n, shape = train.any(axis=0), len(dataset.y), dataset.image_shape
    index = np.concatenate([np.arange(n), *[np.flatnonzero(shown)] * (len(views) - 1)])
    x = scratch((len(index), dataset.x.shape[1]), dataset.x.dtype)
    start, background = n, dataset.offset.min()
    for rows in blocks(n):
        x[rows] = dataset.x[rows]
    for view in range(1, len(views)):
        generator = stream(seed, "views", view)
        for rows in blocks(n):
            own = shown[rows]
            moves, images = views.moves(view, generator, len(rows), shape)[own], dataset.x[rows[own]]
            found = viewed(images.reshape(len(images), *shape), moves, background)
            x[start : start + len(images)] = found.reshape(images.shape)
            start += len(images)
    assignment = dataset.assignment[:, index]
    assignment[:, n:][~train[:, index[n:]]] = ABSENT
    named = digest({"dataset": np.array(dataset.digest), "views": np.array(f"{views} {seed}")})
    return replace(dataset, x=x, y=dataset.y[index], assignment=assignment, digest=named)
