"""Dropout: random masks for the inputs and the hidden units of a batch."""

from collections.abc import Sequence

import numpy as np


def dropout_masks(
    generators: Sequence[np.random.Generator],
    rows: int,
    widths: Sequence[int],
    rates: Sequence[float],
    share: slice = slice(None),
) -> list[np.ndarray | None]:
    """Draw masks of inverted dropout: 0 with probability `rate`, else 1 / (1 - rate).

    Parameters
    ----------
    generators : sequence of R numpy.random.Generator
        One for each network.
    rows : int
        Rows of the batch.
    widths : sequence of int
        Units of each layer.
    rates : sequence of float
        Probability to drop a unit, for each layer.
    share : slice
        The rows that are returned. Random numbers are drawn for all rows.

    Returns
    -------
    list of arrays (R, k, width) or None
        One for each layer; None where the rate is 0. k is the number of rows in `share`.

    References
    ----------
    Srivastava et al., "Dropout: A Simple Way to Prevent Neural Networks from Overfitting" (2014).
    """
    masks = []
    for width, rate in zip(widths, rates, strict=True):
        if rate:
            kept = [generator.random((rows, width))[share] >= rate for generator in generators]
            masks.append(np.stack([mask * (1 / (1 - rate)) for mask in kept]))
        else:
            masks.append(None)
    return masks
