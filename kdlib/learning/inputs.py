"""Batches of training examples as the first layer's operands."""

import numpy as np

from kdlib.errors import UserError
from kdlib.learning.augmentation import shifted

CROWDING = 128  # a row's inputs have at least 7 bits of its largest


def outlying(x):
    """(feature, value) of the largest value that crowds out a row's other features in exact arithmetic, or None.

    x: (n, features). Rule: a magnitude above 128 times the median over the features of their largest magnitudes leaves
    its row's other features less than a unit of the row's grid. No other row is coarsened.
    """
    largest = np.max(np.abs(x), axis=0)
    feature = int(np.argmax(largest))
    typical = np.sort(largest)[(len(largest) - 1) // 2]
    return (feature, float(largest[feature])) if typical > 0 and largest[feature] > CROWDING * typical else None


class Inputs:
    """x, (n, features) or images (n, height, width), of which batches are moved, dropped and snapped.

    What is the same in every epoch is done once. Raises UserError for magnitudes beyond what the arithmetic trains on.
    """

    def __init__(self, x, network, dense, shift, generators):
        """dense: the first layer's products. shift: pixels, drawn from the generators, one for each replica."""
        flat = x.reshape(len(x), -1)
        within = np.abs(flat) <= network.arithmetic.limit
        if not within.all():
            row, column = np.argwhere(~within)[0]
            raise UserError(
                f"feature {column} of the inputs: got {flat[row, column]:g} in row {row}; exact arithmetic trains on"
                f" magnitudes up to {network.arithmetic.limit:g}: scale the feature, or mend the value"
            )
        self._flat = flat.astype(network.parameters.dtype)
        self._operand = dense.operand
        self._take = shifted(self._flat.reshape(x.shape), shift, generators) if shift else None
        self._whole = None if shift else self._operand(self._flat)

    def __call__(self, indices, mask=None):
        """indices: (R, batch) -> the operand. mask: None, or zeros and factors for each input, (R, batch, features)."""
        if mask is None and self._whole:
            return tuple(None if part is None else part.take(indices, axis=0) for part in self._whole)
        x = self._take(indices) if self._take else self._flat.take(indices, axis=0)
        return self._operand(x if mask is None else (x * mask).astype(x.dtype))
