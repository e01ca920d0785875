"""Changed copies of training examples, drawn anew for each batch."""

import numpy as np


def shifted(x, image_shape, shift, generators):
    """Function of indices (R, batch) to copies of those images, moved by -shift to shift pixels down and across.

    x: (n, height * width), scaled so that zero is the background, which fills what a shift lays bare; what leaves the
    frame is lost. generators: one for each replica. Its result is (R, batch, height * width).
    Reference: Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks" (2003), section 2.
    """
    height, width = image_shape
    framed = np.zeros((len(x), height + 2 * shift, width + 2 * shift), x.dtype)
    framed[:, shift : shift + height, shift : shift + width] = x.reshape(-1, height, width)
    windows = np.lib.stride_tricks.sliding_window_view(framed, image_shape, axis=(1, 2))

    def take(indices):
        # 2 shift + 1 is odd, so that its product with the largest draw, 1 - 2^-53, rounds down.
        draws = [(g.random((2, indices.shape[1])) * (2 * shift + 1)).astype(np.int64) for g in generators]
        down, across = np.stack(draws, axis=1)
        return windows[indices, down, across].reshape(*indices.shape, -1)

    return take
