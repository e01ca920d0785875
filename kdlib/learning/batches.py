"""Batches of training examples as operands of the first layer."""

import numpy as np

from kdlib.data.scaled import Scaled
from kdlib.learning.augmentation import shifted
from kdlib.learning.stack import parts


def batches(inputs, arithmetic, shift, generators):
    """Function of indices (R, batch) to the operand (R, batch, features).

    inputs: one for each split, arrays (n, features) or images (n, height, width), or `Scaled` of such. shift: pixels by
    which images are moved at most, drawn from the generators, one for each network.
    """
    takes, slices = [], parts(len(inputs), len(generators))
    for x, networks in zip(inputs, slices, strict=True):
        flat = x if isinstance(x, Scaled) else x.reshape(len(x), -1)
        take = flat.take if isinstance(x, Scaled) else lambda indices, flat=flat: flat.take(indices, axis=0)
        if shift:
            take = shifted(take, x.shape[1:], shift, generators[networks])
        if isinstance(x, Scaled):
            flat = np.array(x.range())
        takes.append(arithmetic.batches(flat, take if shift or isinstance(x, Scaled) else None))
    if len(takes) == 1:
        return takes[0]
    return lambda indices: np.concatenate([take(indices[own]) for take, own in zip(takes, slices, strict=True)])
