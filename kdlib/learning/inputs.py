"""Batches of training examples as the first layer's operands."""

import numpy as np

from kdlib.data.scaled import Scaled
from kdlib.errors import UserError
from kdlib.learning.augmentation import shifted
from kdlib.learning.stack import parts

BLOCK = 4096  # rows that are scaled at once
CROWDING = 128  # a row's inputs have at least 7 bits of its largest


def largest(x):
    """Largest magnitude of each feature, (features,). x: (n, ...) numbers, or `Scaled` ones."""
    return x.largest() if isinstance(x, Scaled) else np.max(np.abs(x.reshape(len(x), -1)), axis=0)


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
    """The training examples, of which batches are scaled, moved, dropped and snapped.

    Of a single split that is not moved the whole is snapped once. Raises UserError for magnitudes beyond what the
    arithmetic trains on.
    """

    def __init__(self, splits, network, dense, shift, generators):
        """splits: arrays (n, features) or images (n, height, width), or `Scaled` of such, one for each split.

        dense: the first layer's products. shift: pixels, drawn from the generators, one for each network.
        """
        self._operand, self._dtype, self._whole = dense.operand, network.parameters.dtype, None
        self._networks, self._takes = parts(len(splits), network.replicas), []
        for x, own in zip(splits, self._networks, strict=True):
            _check(largest(x), network.arithmetic.limit)
            take = _taking(x)
            self._takes.append(shifted(take, x.shape[1:], shift, generators[own]) if shift else take)
        if len(splits) == 1 and not shift:
            blocks = [np.arange(start, min(start + BLOCK, len(x))) for start in range(0, len(x), BLOCK)]
            self._whole = self._operand(np.concatenate([take(rows).astype(self._dtype) for rows in blocks]))

    def __call__(self, indices, mask=None):
        """indices: (R, batch) -> the operand. mask: None, or zeros and factors for each input, (R, batch, features)."""
        if mask is None and self._whole:
            return tuple(None if part is None else part.take(indices, axis=0) for part in self._whole)
        pairs = zip(self._takes, self._networks, strict=True)
        x = np.concatenate([take(indices[own]) for take, own in pairs]).astype(self._dtype)
        return self._operand(x if mask is None else (x * mask).astype(self._dtype))


def _check(magnitudes, limit):
    within = magnitudes <= limit
    if not within.all():
        feature = int(np.argmin(within))
        raise UserError(
            f"feature {feature} of the inputs: got a magnitude of {magnitudes[feature]:g}; exact arithmetic trains on"
            f" magnitudes up to {limit:g}: scale the feature, or mend the value"
        )
