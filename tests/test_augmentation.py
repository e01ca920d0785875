"""Shifted images: what they show, how often, and from which draws."""

import numpy as np

from kdlib.learning.augmentation import shifted
from kdlib.numerics.streams import stream

SHAPE = (4, 5)
X = np.arange(1.0, 61).reshape(3, 20)


def images(indices):
    return X[indices]


def moved(image, down, across):
    """By a loop over the pixels."""
    result = np.zeros(SHAPE)
    for row, column in np.ndindex(SHAPE):
        if 0 <= row - down < SHAPE[0] and 0 <= column - across < SHAPE[1]:
            result[row, column] = image.reshape(SHAPE)[row - down, column - across]
    return result.ravel()


def test_each_image_is_moved_by_up_to_the_shift_and_all_moves_are_alike():
    take = shifted(images, SHAPE, 2, [stream(0, "test", k) for k in range(2)])
    indices = np.random.default_rng(0).integers(0, 3, (2, 5000))
    result = take(indices)
    assert result.shape == (2, 5000, 20)
    moves = [(down, across) for down in range(-2, 3) for across in range(-2, 3)]
    for replica in range(2):
        expected = np.array([[moved(image, *move) for move in moves] for image in X])[indices[replica]]
        same = (expected == result[replica][:, None]).all(axis=-1)  # (examples, moves): all 25 differ
        assert (same.sum(axis=1) == 1).all()
        # 200 of each are expected: 5 standard deviations of a binomial are 69.
        assert abs(same.sum(axis=0) - 200).max() < 69


def test_a_replica_has_its_own_draws():
    indices = np.zeros((2, 50), dtype=int)
    stack = shifted(images, SHAPE, 1, [stream(0, "test", k) for k in range(2)])(indices)
    alone = shifted(images, SHAPE, 1, [stream(0, "test", 1)])(indices[:1])
    assert np.array_equal(stack[1], alone[0])
    assert not np.array_equal(stack[0], stack[1])


def test_the_images_themselves_stay():
    before, views = X.copy(), lambda indices: X[None, :2]
    shifted(views, SHAPE, 2, [stream(0, "test")])(np.array([[0, 1]]))[:] = -1
    assert np.array_equal(X, before)
