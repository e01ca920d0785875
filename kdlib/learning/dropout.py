"""What dropout leaves out of a batch."""

import numpy as np


def dropout_masks(generators, rows, widths, rates, share=slice(None)):
    """Inverted dropout (Srivastava et al. 2014): zeros with probability `rate`, else 1 / (1 - rate).

    A list with one (R, rows, width) for each of the `widths` and its rate, None where that is 0. share: of the rows,
    the slice that is returned; it is drawn for all.
    """
    return [
        np.stack([(g.random((rows, width))[share] >= rate) * (1 / (1 - rate)) for g in generators]) if rate else None
        for width, rate in zip(widths, rates, strict=True)
    ]
