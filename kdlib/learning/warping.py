"""Warping of images: each pixel of the result is read at a displaced position of the image."""

import numpy as np

from kdlib.backends.threads import CORES, Threads

UNITS_PER_PIXEL = 256  # displacements are integers in units of 1 / UNITS_PER_PIXEL pixel


def warp_bilinear(
    images: np.ndarray, displacements: np.ndarray, background: float, threads: Threads = CORES
) -> np.ndarray:
    """Warp images, with bilinear interpolation between four pixels.

    For bytes the weights and sums are exact in float32, which has 24 bits.

    Parameters
    ----------
    images : ndarray, shape (m, height, width)
    displacements : ndarray of int32, shape (m, 2, height, width) or (1, 2, 1, 1)
        Displacements in units of 1 / UNITS_PER_PIXEL pixel. With the displacement (dy, dx), a pixel shows the point
        of the image that lies dy below and dx to the right of it. (1, 2, 1, 1): one for all pixels of all images, a
        multiple of UNITS_PER_PIXEL.
    background : float
        The value outside of the image.
    threads : Threads
        They share the images.

    Returns
    -------
    ndarray, shape (m, height, width)
        The dtype is that of the images.
    """
    result = np.empty(images.shape, images.dtype)
    fill = _shift if displacements.shape[2:] == (1, 1) else _interpolate
    threads.parallel_for(fill, len(images), images.size, result, images, displacements, background)
    return result


def _shift(result, images, displacements, background, first, last):
    """Shift all images by the same whole number of pixels."""
    down, across = (int(move) // UNITS_PER_PIXEL for move in displacements.ravel())
    height, width = images.shape[1:]
    source = [slice(max(0, by), min(side, side + by)) for by, side in ((down, height), (across, width))]
    target = [slice(max(0, -by), min(side, side - by)) for by, side in ((down, height), (across, width))]
    result[first:last] = background
    result[first:last, target[0], target[1]] = images[first:last, source[0], source[1]]


def _interpolate(result, images, displacements, background, first, last):
    rows = last - first
    height, width = images.shape[1:]
    float_type = np.float32 if images.dtype == np.uint8 else np.float64
    # A frame of two pixels of background; beyond the frame all is background too.
    stride = width + 4
    framed_size = (height + 4) * stride
    framed = np.full((rows, height + 4, width + 4), background, float_type)
    framed[:, 2:-2, 2:-2] = images[first:last]
    y = displacements[first:last, 0] + UNITS_PER_PIXEL * np.arange(height, dtype=np.int32)[:, None]
    x = displacements[first:last, 1] + UNITS_PER_PIXEL * np.arange(width, dtype=np.int32)
    weight_y, weight_x = ((at % UNITS_PER_PIXEL).astype(float_type) * float_type(1 / UNITS_PER_PIXEL) for at in (y, x))
    corner = np.clip(y // UNITS_PER_PIXEL, -2, height) * stride + np.clip(x // UNITS_PER_PIXEL, -2, width)
    corner += np.arange(rows, dtype=np.int64)[:, None, None] * framed_size + 2 * stride + 2

    def pixel(step):
        return framed.ravel().take(corner + step, mode="clip")

    above = pixel(0) * (1 - weight_x) + pixel(1) * weight_x
    below = pixel(stride) * (1 - weight_x) + pixel(stride + 1) * weight_x
    found = above * (1 - weight_y) + below * weight_y
    result[first:last] = np.rint(found) if images.dtype.kind in "ui" else found
