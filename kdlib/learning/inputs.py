"""Batches of training examples as the first layer's operands."""

import functools
import math

import numpy as np

from kdlib.backends import numpy_backend, selection
from kdlib.data import scaled
from kdlib.data.scaled import Scaled
from kdlib.io.chunks import advise
from kdlib.io.errors import UserError
from kdlib.learning.stack import parts

GATHERED = np.uint8, np.float32, np.float64  # in this machine's order of bytes
CROWDING = 128  # a row's inputs have at least 7 bits of its largest


def largest(x):
    """Largest magnitude of each feature, (features,). x: (n, ...) numbers, or `Scaled` ones."""
    if isinstance(x, Scaled):
        return x.largest
    flat, rows = x.reshape(len(x), -1), range(0, len(x), scaled.BLOCK)
    return np.maximum.reduce([np.max(np.abs(flat[start : start + scaled.BLOCK]), axis=0) for start in rows])


def outlying(x):
    """(feature, value) of the largest value that crowds out a row's other features in exact arithmetic, or None.

    x: (n, features). Rule: a magnitude above 128 times the median over the features of their largest magnitudes leaves
    its row's other features less than a unit of the row's grid. No other row is coarsened.
    """
    magnitudes = largest(x)
    feature = int(np.argmax(magnitudes))
    typical = np.sort(magnitudes)[(len(magnitudes) - 1) // 2]
    return (feature, float(magnitudes[feature])) if 0 < CROWDING * typical < magnitudes[feature] else None


def _taking(x):
    """Function of indices (R, batch) to the rows x[indices], (R, batch, features)."""
    if isinstance(x, Scaled):
        return x.take
    flat = x.reshape(len(x), -1)
    return lambda indices: flat.take(indices, axis=0)


class Inputs:
    """The training examples, of which batches are scaled, dropped and snapped.

    Of a single split the whole is snapped once, unless compiled loops make the rows of a batch from a
    large one as quickly. Raises UserError for magnitudes beyond what the
    arithmetic trains on.
    """

    def __init__(self, splits, network, dense):
        """splits: arrays (n, features) or images (n, height, width), or `Scaled` of such, one for each split.

        dense: the first layer's products.
        """
        self._operand, self._dtype = dense.operand, network.parameters.dtype
        self._networks, self._takes = parts(len(splits), network.replicas), []
        for x in splits:
            _check(largest(x), network.arithmetic.limit)
            self._takes.append(_taking(x))
        self._all, plain = splits, all(isinstance(x, Scaled) for x in splits)
        self._splits, self._grid = splits if plain else None, dense.grids[0] if dense.grids else None
        held = not plain or math.prod(x.shape) <= selection.current.HELD  # integers
        self._held = held and len(splits) == 1
        if plain and not self._held:
            advise(splits[0].x, random=True)

    @functools.cached_property
    def _whole(self):
        """The operand of all rows, made in blocks, so that no copy of it is held beside it."""
        (take,), n, whole = self._takes, len(self._all[0]), None
        for rows in scaled.blocks(n):
            parts = self._operand(take(rows).astype(self._dtype))
            if whole is None:
                whole = tuple(None if part is None else np.empty((n, part.shape[1]), part.dtype) for part in parts)
            for part, all_rows in zip(parts, whole, strict=True):
                if part is not None:
                    all_rows[rows] = part
        return whole

    def __call__(self, indices, mask=None):
        """indices: (R, rows) -> the operand. mask: None, or zeros and factors for each input, (R, rows, features)."""
        if mask is None and self._held:
            return tuple(None if part is None else part.take(indices, axis=0) for part in self._whole)
        if mask is None and self._splits:
            return self._gathered(indices)
        pairs = zip(self._takes, self._networks, strict=True)
        x = np.concatenate([take(indices[own]) for take, own in pairs]).astype(self._dtype)
        return self._operand(x if mask is None else (x * mask).astype(self._dtype))

    def source(self):
        """The splits as `Scaled` rows of one array, of a kind that compiled loops gather from, or None."""
        splits = self._all
        if len(splits) == 1 and not isinstance(splits[0], Scaled):
            features = math.prod(splits[0].shape[1:])  # integers
            splits = [Scaled(splits[0], np.arange(len(splits[0])), np.zeros(features), np.ones(features))]
        of_one = all(isinstance(x, Scaled) and x.x is splits[0].x for x in splits)
        return splits if of_one and splits[0].x.dtype in GATHERED else None

    def _gathered(self, indices):
        out = np.empty((*indices.shape, self._splits[0].scale.size), self._dtype)
        unit = None if self._grid is None else np.empty((*indices.shape, 1), self._dtype)
        for x, own in zip(self._splits, self._networks, strict=True):
            rows, flat = x.rows.take(indices[own]), x.x.reshape(len(x.x), -1)
            gather = selection.current.gather if flat.dtype in GATHERED else numpy_backend.gather
            gather(flat, rows, x.offset, x.scale, self._grid, out[own], unit if unit is None else unit[own])
        return out, unit


def _check(magnitudes, limit):
    within = magnitudes <= limit
    if not within.all():
        feature = int(np.argmin(within))
        raise UserError(
            f"feature {feature} of the inputs: got a magnitude of {magnitudes[feature]:g}; exact arithmetic trains on"
            f" magnitudes up to {limit:g}: scale the feature, or mend the value"
        )
