"""Numbers on few levels: integers from `low` to `high`, and a power of two that some of them share.

A number x goes to the nearest integer to x * 2^e, ties to even, and to the last level from beyond it. Of the exponents
from one below the largest at which no x is beyond, to three above it, e is the one of least squared error, the smallest
if several are.
"""

import numpy as np

from kdlib.numerics import exact

BELOW, ABOVE = 1, 3
RANGE = 40  # of exponents, as of `kdlib.numerics.grids.FLOOR`
LEVELS = {8: 127, 4: 7, 2: 1}  # of weights of so many bits, to both sides of zero


def rounded(x, factors, low, high):
    """The integers from low to high, float64, nearest to x * factors, powers of two; ties to even."""
    return np.minimum(np.maximum(np.rint(x * factors), low), high) + 0.0


def to_levels(x, low, high, axis):
    """(integers, exponents): x is nearly integers * 2^-exponents, float64 and int32.

    axis: along which numbers share an exponent, an int or a tuple; it is kept in the exponents' shape.
    """
    x = x.astype(np.float64)
    of_high = _fitting(np.max(x, axis=axis, keepdims=True), high)
    fitting = np.minimum(of_high, _fitting(-np.min(x, axis=axis, keepdims=True), -low)) if low else of_high
    unit, result = np.ldexp(1.0, fitting), None
    for shift in range(-BELOW, ABOVE + 1):
        exponents = np.clip(fitting + np.int32(shift), -RANGE, RANGE)
        integers = rounded(x, np.ldexp(1.0, exponents), low, high)
        error = x * unit - integers * np.ldexp(1.0, fitting - exponents)
        error = exact.sum(error * error, axis=axis, keepdims=True)
        if result is None:
            result, least = (integers, exponents), error
        else:
            better = error < least
            result = tuple(np.where(better, *pair) for pair in zip((integers, exponents), result, strict=True))
            least = np.minimum(error, least)
    return result


def _fitting(top, most):
    """The largest exponents at which `top` is at most `most`, int32; what is not above 0 is no matter."""
    fraction, exponent = np.frexp(np.maximum(top, np.ldexp(1.0, -RANGE)))
    of_most = np.frexp(float(most))
    return np.int32(of_most[1]) - exponent - (fraction > of_most[0])


class Levels:
    """A `kdlib.numerics.grids.Mirror` of weights (R, K, m) on levels of so many bits, while an optimizer changes them.

    The products see the levels, and the gradient by these is taken for the weights': the straight-through estimator.
    axis: as `to_levels`. References: Bengio, Léonard and Courville, "Estimating or Propagating Gradients Through
    Stochastic Neurons for Conditional Computation" (2013); Polino, Pascanu and Alistarh, "Model compression via
    distillation and quantization" (2018), section 3.
    """

    def __init__(self, weights, bits, axis):
        self.weights, self._most, self._axis = weights, LEVELS[bits], axis
        self.finish()

    def update(self, rows):
        pass

    def finish(self):
        integers, exponents = to_levels(self.weights, -self._most, self._most, self._axis)
        self.unit = np.ldexp(1.0, -exponents).astype(self.weights.dtype)
        self.values = integers.astype(self.weights.dtype) * self.unit


def mirrors(layers, bits):
    """`Levels` of a stack's layers [(weights (R, K, m), biases), ...]: a unit has an exponent of its own, but in the
    last layer, where what the units say is compared, all share one."""
    last = len(layers) - 1
    return [Levels(weights, bits, (1, 2) if index == last else 1) for index, (weights, _) in enumerate(layers)]
