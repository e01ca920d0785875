"""Operands of parameters that an optimizer changes block by block."""

import functools

import numpy as np


class Mirror:
    """`operand` of an array (R, n) of which blocks of columns are `update`d while they are in cache; then `finish`.

    The grid follows from the largest magnitude of all columns, which is known after the last block. It seldom leaves
    its binade: each block is snapped to the grid of the last round, and all again in the rounds where the grid moved.
    """

    def __init__(self, arithmetic, parameters):
        self._arithmetic, self._parameters = arithmetic, parameters
        self.operand = np.empty_like(parameters)
        self._bounds, self._anchor = [], 0.0
        self.finish()

    def update(self, columns):
        block = self._parameters[:, columns]
        if block.shape != self._parameters.shape:  # `finish` meets a single block in cache
            self._bounds.append(self._arithmetic.bound(block))
            self._arithmetic.snap(block, self._anchor, self.operand[:, columns])

    def finish(self):
        bound = functools.reduce(np.maximum, self._bounds) if self._bounds else self._arithmetic.bound(self._parameters)
        anchor = self._arithmetic.anchor(bound)
        if not self._bounds or np.any(anchor != self._anchor):
            self._arithmetic.snap(self._parameters, anchor, self.operand)
        self._bounds, self._anchor = [], anchor


class Same:
    """`Mirror` of an array that is its own operand."""

    def __init__(self, parameters):
        self.operand = parameters

    def update(self, columns):
        pass

    def finish(self):
        pass
