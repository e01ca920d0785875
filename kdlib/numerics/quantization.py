"""Quantization: numbers become integers from `low` to `high`, times a power of two that some of them share.

A number x becomes the integer nearest to x * 2^e, ties to even; beyond the last integer, x is clipped to it.
Let e0 be the largest exponent at which no x is clipped. The exponents e0 - 1 to e0 + 3 are tried, and e is the one with
the least squared error (ties: the smallest).
"""

from collections.abc import Sequence

import numpy as np

from kdlib.numerics import exact

EXPONENTS_BELOW = 1  # exponents that are tried below e0
EXPONENTS_ABOVE = 3  # exponents that are tried above e0
MAX_EXPONENT = 40  # magnitude; as in `kdlib.numerics.grids.MIN_MAGNITUDE`
MAX_INTEGER = {8: 127, 4: 7, 2: 1}  # {bits of a weight: number of levels on each side of zero}


def round_and_clip(x: np.ndarray, factors: np.ndarray, low: int, high: int) -> np.ndarray:
    """Return the integers from low to high that are nearest to x * factors; ties to even.

    Parameters
    ----------
    x : float64 array
    factors : float64 array
        Powers of two; broadcasts to x.
    low, high : int

    Returns
    -------
    float64 array, the shape of x
        Without -0.
    """
    return np.minimum(np.maximum(np.rint(x * factors), low), high) + 0.0


def to_fixed_point(x: np.ndarray, low: int, high: int, axis: int | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Find integers from low to high, and exponents, such that x is nearly integers * 2^-exponents.

    Parameters
    ----------
    x : array
    low, high : int
        low <= 0 < high. If `low` is 0, negative x become 0 and do not affect the exponents.
    axis : int or tuple of int
        Numbers along it share an exponent.

    Returns
    -------
    integers : float64 array, the shape of x
    exponents : int32 array
        The shape of x with length 1 along `axis`.
    """
    x = x.astype(np.float64)
    fitting = _largest_exponents(np.max(x, axis=axis, keepdims=True), high)
    if low:
        fitting = np.minimum(fitting, _largest_exponents(-np.min(x, axis=axis, keepdims=True), -low))
    unit = np.ldexp(1.0, fitting)
    result = None
    for shift in range(-EXPONENTS_BELOW, EXPONENTS_ABOVE + 1):
        exponents = np.clip(fitting + np.int32(shift), -MAX_EXPONENT, MAX_EXPONENT)
        integers = round_and_clip(x, np.ldexp(1.0, exponents), low, high)
        error = x * unit - integers * np.ldexp(1.0, fitting - exponents)
        error = exact.sum(error * error, axis=axis, keepdims=True)
        if result is None:
            result = integers, exponents
            least = error
        else:
            better = error < least
            result = np.where(better, integers, result[0]), np.where(better, exponents, result[1])
            least = np.minimum(error, least)
    return result


def _largest_exponents(largest, high):
    """Return the largest exponents e, int32, at which largest * 2^e <= high; `largest` below 2^-40 counts as 2^-40."""
    fraction, exponent = np.frexp(np.maximum(largest, np.ldexp(1.0, -MAX_EXPONENT)))
    high_fraction, high_exponent = np.frexp(float(high))
    return np.int32(high_exponent) - exponent - (fraction > high_fraction)


class FakeQuantizedWeights:
    """Keep a quantized copy of weights while an optimizer changes them; it has the interface of `grids.SnappedWeights`.

    Products use the quantized weights, and their gradient is taken as the gradient of the weights: the straight-through
    estimator.

    Parameters
    ----------
    weights : array, shape (R, K, m)
    bits : int
        A key of MAX_INTEGER.
    axis : int or tuple of int
        Weights along it share an exponent, as in `to_fixed_point`.

    Attributes
    ----------
    values : array, shape (R, K, m)
        The quantized weights, in the dtype of the weights.
    unit : array
        2^-exponents, in the dtype of the weights; the shape of the weights with length 1 along `axis`.

    References
    ----------
    Bengio, Léonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional
    Computation" (2013). Polino, Pascanu and Alistarh, "Model compression via distillation and quantization" (2018),
    section 3.
    """

    def __init__(self, weights: np.ndarray, bits: int, axis: int | tuple[int, ...]):
        self.weights = weights
        self._high = MAX_INTEGER[bits]
        self._axis = axis
        self.refresh()

    def update_rows(self, rows: slice) -> None:
        """Do nothing: `refresh` quantizes all rows."""

    def refresh(self) -> None:
        """Quantize the weights as they are now."""
        integers, exponents = to_fixed_point(self.weights, -self._high, self._high, self._axis)
        self.unit = np.ldexp(1.0, -exponents).astype(self.weights.dtype)
        self.values = integers.astype(self.weights.dtype) * self.unit


def fake_quantized_layers(layers: Sequence[tuple[np.ndarray, np.ndarray]], bits: int) -> list[FakeQuantizedWeights]:
    """Quantize the weights of each layer of a stack.

    Each unit has its own exponent. In the last layer all units share one, because their outputs are compared.

    Parameters
    ----------
    layers : sequence of (weights, biases)
        Weights of shape (R, K, m).
    bits : int
        A key of MAX_INTEGER.
    """
    last = len(layers) - 1
    return [
        FakeQuantizedWeights(weights, bits, (1, 2) if index == last else 1) for index, (weights, _) in enumerate(layers)
    ]
