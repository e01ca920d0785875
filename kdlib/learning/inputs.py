"""Batches of training examples as operands of the first layer."""

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kdlib.backends.numpy_backend import NUMPY, NumpyBackend
from kdlib.data import scaled
from kdlib.data.scaled import ScaledRows
from kdlib.io.chunks import advise_access
from kdlib.io.errors import UserError
from kdlib.learning.stack import network_slices

if TYPE_CHECKING:
    from kdlib.backends.dense import ExactDense, FastDense, Operand
    from kdlib.learning.network import Network

COMPILED_DTYPES = np.uint8, np.float32, np.float64  # in the byte order of this machine
MAX_OUTLIER_RATIO = 128  # the grid of a row's inputs has at least 7 bits below its largest magnitude


def feature_maxima(x: np.ndarray | ScaledRows) -> np.ndarray:
    """Return the largest magnitude of each feature, (features,), of an array (n, ...) or of `ScaledRows` rows."""
    if isinstance(x, ScaledRows):
        return x.max_magnitudes
    flat = x.reshape(len(x), -1)
    starts = range(0, len(x), scaled.CHUNK_ROWS)
    return np.maximum.reduce([np.max(np.abs(flat[start : start + scaled.CHUNK_ROWS]), axis=0) for start in starts])


def find_outlier(x: np.ndarray | ScaledRows) -> tuple[int, float] | None:
    """Find a value so large that exact arithmetic may lose the other features of its row.

    Take each feature's largest magnitude. A value is too large if it exceeds 128 times the lower median of these. At
    least half of the features are then smaller than the unit of the row's grid, if the grid has 7 bits. It has 7 bits
    if there are more than 512 features, or more than 256 rows in a batch. Otherwise it has more bits, and small
    features lose less. If this median is zero, no value is too large. Other rows are not affected.

    Parameters
    ----------
    x : array (n, features) or ScaledRows
        The inputs.

    Returns
    -------
    (int, float) or None
        Feature and magnitude of the largest value if it is too large, else None.
    """
    magnitudes = feature_maxima(x)
    feature = int(np.argmax(magnitudes))
    typical = np.sort(magnitudes)[(len(magnitudes) - 1) // 2]
    return (feature, float(magnitudes[feature])) if 0 < MAX_OUTLIER_RATIO * typical < magnitudes[feature] else None


def _row_reader(x):
    """Return the function that maps indices (R, batch) to rows (R, batch, features)."""
    if isinstance(x, ScaledRows):
        return x.take
    flat = x.reshape(len(x), -1)
    return lambda indices: flat.take(indices, axis=0)


class Inputs:
    """Make batches of the training examples: scaled, with dropout, and snapped to the grid of the first layer.

    The operands of all examples are made once and kept if all splits together have at most `NumpyBackend.max_held`
    elements, or if x is one array that no compiled loop reads. Otherwise, and with input dropout, each batch is made
    when it is needed. `max_held` is smaller for compiled loops, because they make a batch as quickly as they read one
    that was kept.

    Parameters
    ----------
    splits : sequence of arrays (n, features), images (n, height, width), or ScaledRows
        The examples of each split.
    network : Network
        The stack that is trained.
    dense : ExactDense or FastDense
        The products of the first layer.
    backend : NumpyBackend
        It makes the batches.

    Raises
    ------
    UserError
        If a magnitude is above the limit of the arithmetic.
    """

    def __init__(
        self,
        splits: Sequence[np.ndarray | ScaledRows],
        network: "Network",
        dense: "ExactDense | FastDense",
        backend: NumpyBackend = NUMPY,
    ):
        self._backend = backend
        self._operand = dense.operand
        self._grid = dense.grids[0] if dense.grids else None
        self._dtype = network.parameters.dtype
        self._networks = network_slices(len(splits), network.replicas)
        self._readers = []
        for x in splits:
            _check_magnitudes(feature_maxima(x), network.arithmetic.max_magnitude)
            self._readers.append(_row_reader(x))
        self._splits = splits
        self._features = math.prod(splits[0].shape[1:])  # lint: integer sum
        scaled_splits = [x for x in splits if isinstance(x, ScaledRows)]
        self._scaled = scaled_splits if len(scaled_splits) == len(splits) else []  # empty if a split is an array
        one_array = len(splits) == 1 and not self._scaled
        compiled = (backend.has_steps and self.scaled_splits()) or []
        few = len(splits) * len(splits[0]) * self._features <= backend.max_held
        self._snap_once = few or (one_array and not compiled)
        if one_array and not self._snap_once:
            self._scaled = compiled
        if self._scaled and not self._snap_once:
            advise_access(self._scaled[0].x, random=True)

    @functools.cached_property
    def _whole(self) -> "Operand":
        """The operand of all rows, split after split. It is filled in blocks: no second copy of all rows exists."""
        n = len(self._splits[0])
        values = np.empty((len(self._splits), n, self._features), self._dtype)
        units = np.empty((len(self._splits), n, 1), self._dtype)
        for split, read_rows in enumerate(self._readers):
            for rows in scaled.row_chunks(n):
                values[split, rows], unit = self._operand(read_rows(rows).astype(self._dtype))
                if unit is not None:
                    units[split, rows] = unit
        return values.reshape(-1, self._features), None if self._grid is None else units.reshape(-1, 1)

    def __call__(self, indices: np.ndarray, mask: np.ndarray | None = None) -> "Operand":
        """Make the operand of a batch.

        Parameters
        ----------
        indices : array (R, rows)
            Row indices for each network.
        mask : array (R, rows, features), optional
            Dropout: zeros, and factors for the inputs that are kept.

        Returns
        -------
        values : array (R, rows, features)
        unit : array (R, rows, 1) or None
            See `kdlib.backends.dense`.
        """
        if mask is None and self._snap_once:
            values, unit = self._whole
            first_row = np.repeat(np.arange(len(self._splits)), len(indices) // len(self._splits))[:, None]
            indices = indices + first_row * len(self._splits[0])
            return values.take(indices, axis=0), None if unit is None else unit.take(indices, axis=0)
        if mask is None and self._scaled:
            return self._gathered(indices)
        pairs = zip(self._readers, self._networks, strict=True)
        x = np.concatenate([read_rows(indices[own]) for read_rows, own in pairs]).astype(self._dtype)
        return self._operand(x if mask is None else (x * mask).astype(self._dtype))

    def scaled_splits(self) -> list[ScaledRows] | None:
        """Return the splits as `ScaledRows` rows of one array, or None if compiled loops cannot read them."""
        splits = self._scaled
        first = self._splits[0]
        if len(self._splits) == 1 and not isinstance(first, ScaledRows):
            splits = [ScaledRows(first, np.arange(len(first)), np.zeros(self._features), np.ones(self._features))]
        same_array = all(_is_same_array(split.x, splits[0].x) for split in splits)
        return splits if splits and same_array and _compiled_loops_read(splits[0].x) else None

    def _gathered(self, indices):
        """Scale and snap the rows of a batch in one pass."""
        values = np.empty((*indices.shape, self._features), self._dtype)
        unit = np.empty((*indices.shape, 1), self._dtype)  # filled only if there is a grid
        for x, own in zip(self._scaled, self._networks, strict=True):
            rows = x.rows.take(indices[own])
            flat = x.x.reshape(len(x.x), -1)
            gather = (self._backend if _compiled_loops_read(flat) else NUMPY).gather
            gather(flat, rows, x.offset, x.scale, self._grid, values[own], unit[own])
        return values, None if self._grid is None else unit


def _compiled_loops_read(x):
    """Return whether compiled loops can read an array."""
    return x.dtype in COMPILED_DTYPES and x.flags.c_contiguous


def _is_same_array(a, b):
    """Return whether both are one array, or views of one with the same shape: images are a new view for each split."""
    arrays = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
    return a is b or (arrays and a.__array_interface__ == b.__array_interface__)


def _check_magnitudes(magnitudes, max_magnitude):
    within = magnitudes <= max_magnitude
    if not within.all():
        feature = int(np.argmin(within))
        raise UserError(
            f"feature {feature} of the inputs: got a magnitude of {magnitudes[feature]:g}; exact arithmetic trains on"
            f" magnitudes up to {max_magnitude:g}: scale the feature, or mend the value"
        )
