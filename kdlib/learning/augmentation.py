"""What is drawn anew for each batch of training examples: shifts of images, and what dropout leaves out."""

import numpy as np


def shifted(take, shape, shift, generators):
    """Function of indices (R, rows) to those images, moved by -shift to shift pixels down and across.

    It also takes the number of rows of the whole batch, for which is drawn, and the slice of these that is asked for.

    take: function of the indices to the images, (R, batch, height * width), scaled so that zero is the background,
    which fills what a shift lays bare; what leaves the frame is lost. shape: (height, width). generators: one for each
    replica.
    Reference: Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks" (2003), section 2.
    """
    height, width = shape

    def moved(indices, whole=None, share=slice(None)):
        x = take(indices)
        replicas, batch = indices.shape
        framed = np.zeros((replicas, batch, height + 2 * shift, width + 2 * shift), x.dtype)
        framed[:, :, shift : shift + height, shift : shift + width] = x.reshape(replicas, batch, height, width)
        windows = np.lib.stride_tricks.sliding_window_view(framed, shape, axis=(2, 3))
        # 2 shift + 1 is odd, so that its product with the largest draw, 1 - 2^-53, rounds down.
        draws = [(g.random((2, whole or batch)) * (2 * shift + 1)).astype(np.int64) for g in generators]
        down, across = np.stack(draws, axis=1)[..., share]
        return windows[np.arange(replicas)[:, None], np.arange(batch), down, across].reshape(x.shape)

    return moved


def dropout_masks(generators, rows, widths, rates, share=slice(None)):
    """Inverted dropout (Srivastava et al. 2014): zeros with probability `rate`, else 1 / (1 - rate).

    A list with one (R, rows, width) for each of the `widths` and its rate, None where that is 0. share: of the rows,
    the slice that is returned; it is drawn for all.
    """
    return [
        np.stack([(g.random((rows, width))[share] >= rate) * (1 / (1 - rate)) for g in generators]) if rate else None
        for width, rate in zip(widths, rates, strict=True)
    ]
