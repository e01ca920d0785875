"""Numbered views of images: shifted, turned, stretched and bent; each is a function of seed, row and number.

Because the views are numbered, the teacher's logits for all of them are computed once, and the student sees exactly
the images that the teacher saw (Beyer et al., "Knowledge distillation: A good teacher is patient and consistent", 2022,
section 3).
"""

from dataclasses import dataclass, replace

import numpy as np

from kdlib.backends.threads import CORES, Threads
from kdlib.data.checks import ABSENT, SUBSETS, UNLABELED
from kdlib.data.dataset import Dataset
from kdlib.data.scaled import row_chunks
from kdlib.io.artifacts import array_digest
from kdlib.io.chunks import zeros_or_tempfile
from kdlib.learning.warping import UNITS_PER_PIXEL, warp_bilinear
from kdlib.numerics.streams import stream

UNITS_PER_ENTRY = 1 << 16  # entries of a linear map are integers in units of 1 / UNITS_PER_ENTRY
UNITS_PER_WEIGHT = 1 << 10  # a spline's weights are integers in units of 1 / UNITS_PER_WEIGHT
SPLINE_CELLS = 4  # along the longer side, of the grid whose corners are moved


@dataclass(frozen=True)
class Views:
    """The views of an image; view 0 is the image itself.

    With `affine` or `elastic` the views are random. Without them there is one view for each shift by whole pixels.

    Parameters
    ----------
    shift : int
        Largest shift down and across, in pixels.
    number : int
        Number of random views, the image included.
    affine : float
        Largest change of each entry of the linear map about the centre (0.1: about 10 % in size, or 6 degrees).
    elastic : float
        Largest shift of the corners of a grid with SPLINE_CELLS cells along the longer side, in pixels; between the
        corners the displacements are cubic B-splines.

    References
    ----------
    Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks" (2003), section 2.
    The splines: Rueckert et al., "Nonrigid Registration Using Free-Form Deformations" (1999), section II.B.
    """

    shift: int = 0
    number: int = 1
    affine: float = 0.0
    elastic: float = 0.0

    @property
    def random(self) -> bool:
        """Whether the views are random."""
        return bool(self.affine or self.elastic)

    def __len__(self) -> int:
        return self.number if self.random else (2 * self.shift + 1) * (2 * self.shift + 1)

    def displacements(
        self, view: int, generator: np.random.Generator, shown: np.ndarray, shape: tuple[int, int]
    ) -> np.ndarray:
        """Compute the displacement (dy, dx) of every pixel.

        Parameters
        ----------
        view : int
            Number of the view; 1 or more if the views are random, as view 0 is the image itself.
        generator : numpy.random.Generator
            The view's own generator. It draws for every row, so that a row's view does not depend on which rows are
            shown.
        shown : ndarray of bool, shape (rows,)
            The rows to compute; m of them are true.
        shape : (int, int)
            Height and width.

        Returns
        -------
        ndarray of int32, shape (m, 2, height, width)
            In units of 1 / UNITS_PER_PIXEL (1/256) pixel. (1, 2, 1, 1) if all pixels of all images have the same
            displacement.
        """
        if not self.random:
            shifts = np.stack(np.divmod(np.arange(len(self)), 2 * self.shift + 1), axis=1) - self.shift
            nearest = shifts[np.argsort((shifts * shifts).sum(axis=1), kind="stable")]  # lint: integer sum
            return nearest[view].reshape(1, 2, 1, 1).astype(np.int32) * UNITS_PER_PIXEL
        splines = [_spline(side, max(shape)) for side in shape]
        corner_shape = [weights.shape[1] for weights in splines]
        cuts = np.cumsum([2, 4, 2 * corner_shape[0] * corner_shape[1]])  # lint: integer sum
        draws = 2 * generator.random((len(shown), int(cuts[-1])))[shown] - 1
        shift, linear, corners = np.split(draws, cuts[:-1], axis=1)
        found = _as_integers(shift, self.shift * UNITS_PER_PIXEL).reshape(-1, 2, 1, 1)
        if self.affine:
            found = found + _linear_displacements(
                _as_integers(linear, self.affine * UNITS_PER_ENTRY).reshape(-1, 2, 2, 1, 1), shape
            )
        if self.elastic:
            bent = _as_integers(corners, self.elastic * UNITS_PER_PIXEL).reshape(-1, 2, *corner_shape)
            bent = _divide(bent @ splines[1].T, UNITS_PER_WEIGHT)  # lint: integer sum
            found = found + _divide(splines[0] @ bent, UNITS_PER_WEIGHT)  # lint: integer sum
        return np.broadcast_to(found, (len(draws), 2, *shape))


def _as_integers(draws, largest):
    """Scale draws from [-1, 1) to integers."""
    return np.rint(draws * largest).astype(np.int32)


def _divide(integers, by):
    """Divide and round, halves up."""
    return (integers + by // 2) // by


def _linear_displacements(entries, shape):
    """Return the displacements (rows, 2, height, width) of linear maps about the centre.

    The entries of the maps are (rows, 2, 2, 1, 1), in units of 1 / UNITS_PER_ENTRY.
    """
    down, across = (2 * np.arange(side, dtype=np.int32) - (side - 1) for side in shape)  # half pixels from the centre
    return _divide(entries[:, :, 0] * down[:, None] + entries[:, :, 1] * across, 2 * UNITS_PER_ENTRY // UNITS_PER_PIXEL)


def _spline(side, longer):
    """Return a cubic B-spline's weights of the corners around each pixel, (side, corners), in 1 / UNITS_PER_WEIGHT."""
    cell = -(-longer // SPLINE_CELLS)
    pixels = np.arange(side)
    weights = np.zeros((side, (side - 1) // cell + 4), np.int32)
    t = (pixels % cell) / cell
    s = 1 - t
    basis = (s * s * s / 6, (4 - 3 * t * t * (2 - t)) / 6, (4 - 3 * s * s * (2 - s)) / 6, t * t * t / 6)
    for k, values in enumerate(basis):
        weights[pixels, pixels // cell + k] = np.rint(values * UNITS_PER_WEIGHT)
    return weights


def with_views(dataset: Dataset, views: Views, seed: int, threads: Threads = CORES) -> Dataset:
    """Append the views of the training rows to a dataset, one view after another.

    A training subset of n rows becomes one of `n * len(views)` rows, in which row `v * n + i` is view v of row i. Rows
    that are held out have no views. The background is the smallest offset of the split: with `minmax` the least pixel
    of its training rows, which scaling maps to zero; with `none` 0. Splits with the same background share their views.

    Parameters
    ----------
    dataset : Dataset
        Its rows are images.
    views : Views
    seed : int
        Seed of the random views; shifts by whole pixels do not use it.
    threads : Threads
        They share the images.

    Returns
    -------
    Dataset
        Its digest follows from the digest of `dataset`, the views and the seed.
    """
    is_training = np.isin(dataset.assignment, [SUBSETS.index("train"), UNLABELED])
    backgrounds = dataset.offset.min(axis=1)
    n = len(dataset.y)
    height, width = dataset.image_shape
    groups = [(value, backgrounds == value) for value in np.unique(backgrounds)]  # splits with the same background
    shown = [np.logical_or.reduce(is_training[splits], axis=0) for _, splits in groups]
    index = np.concatenate([np.arange(n), *[np.flatnonzero(rows) for rows in shown] * (len(views) - 1)])
    x = zeros_or_tempfile((len(index), dataset.x.shape[1]), dataset.x.dtype)
    assignment = dataset.assignment[:, index]
    assignment[:, n:][~is_training[:, index[n:]]] = ABSENT
    start = n
    for rows in row_chunks(n):
        x[rows] = dataset.x[rows]
    for view in range(1, len(views)):
        for (background, splits), shown_rows in zip(groups, shown, strict=True):
            generator = stream(seed, "views", view)
            first = start
            for rows in row_chunks(n):
                shown_here = shown_rows[rows]
                displacements = views.displacements(view, generator, shown_here, (height, width))
                images = dataset.x[rows[shown_here]]
                images = images.reshape(len(images), height, width)
                warped = warp_bilinear(images, displacements, background, threads)
                x[start : start + len(images)] = warped.reshape(len(images), height * width)
                start += len(images)
            assignment[~splits, first:start] = ABSENT
    new_digest = array_digest({"dataset": np.array(dataset.digest), "views": np.array(f"{views} {seed}")})
    weights = None if dataset.weights is None else dataset.weights[index]
    return replace(dataset, x=x, y=dataset.y[index], assignment=assignment, digest=new_digest, weights=weights)
