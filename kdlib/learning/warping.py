"""Images as they look where their points have been moved."""

import numpy as np

from kdlib.backends.threads import spread

PIXEL = 256  # parts of a pixel, by which a point of a view lies between pixels of the image


def viewed(images, moves, background):
    """(m, height, width) of images and `moves` of as many: bilinear between four pixels, of the images' dtype.

    A move by (y, x) shows at a point what the image has so far below and to the right. background: beyond its edges.
    Of bytes the weights and sums are exact in float32, as they have 24 bits.
    """
    result = np.empty(images.shape, images.dtype)
    fill = _shifted if moves.shape[2:] == (1, 1) else _between
    spread(fill, len(images), images.size, result, images, moves, background)
    return result


def _shifted(result, images, moves, background, first, last):
    down, across = (int(move) // PIXEL for move in moves.ravel())
    height, width = images.shape[1:]
    of = [slice(max(0, by), min(side, side + by)) for by, side in ((down, height), (across, width))]
    to = [slice(max(0, -by), min(side, side - by)) for by, side in ((down, height), (across, width))]
    result[first:last] = background
    result[first:last, to[0], to[1]] = images[first:last, of[0], of[1]]


def _between(result, images, moves, background, first, last):
    rows, (height, width), real = last - first, images.shape[1:], np.float32 if images.dtype == np.uint8 else np.float64
    across, pixels = width + 4, (height + 4) * (width + 4)  # of a frame of two, beyond which all is background too
    framed = np.full((rows, height + 4, width + 4), background, real)
    framed[:, 2:-2, 2:-2] = images[first:last]
    y = moves[first:last, 0] + PIXEL * np.arange(height, dtype=np.int32)[:, None]
    x = moves[first:last, 1] + PIXEL * np.arange(width, dtype=np.int32)
    parts_y, parts_x = ((at % PIXEL).astype(real) * real(1 / PIXEL) for at in (y, x))
    corner = np.clip(y // PIXEL, -2, height) * across + np.clip(x // PIXEL, -2, width)
    corner += np.arange(rows, dtype=np.int64)[:, None, None] * pixels + 2 * across + 2

    def pixel(step):
        return framed.ravel().take(corner + step, mode="clip")

    above = pixel(0) * (1 - parts_x) + pixel(1) * parts_x
    below = pixel(across) * (1 - parts_x) + pixel(across + 1) * parts_x
    found = above * (1 - parts_y) + below * parts_y
    result[first:last] = np.rint(found) if images.dtype.kind in "ui" else found
