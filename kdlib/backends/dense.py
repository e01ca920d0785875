"""The three products of a dense layer in training: a W forward, aᵀ δ and δ Wᵀ backward.

An *operand* is what enters `forward`: (values (R, rows, K), unit (R, rows, 1) or None).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np

from kdlib.backends import numpy_backend
from kdlib.backends.numpy_backend import NUMPY, NumpyBackend
from kdlib.numerics.grids import MIN_SCALED_MAGNITUDE, Grid, SnappedWeights, product, remaining_bits

Operand = tuple[np.ndarray, np.ndarray | None]
Layer = tuple[np.ndarray, np.ndarray]  # weights and biases


class ProductWeights(Protocol):
    """What a layer's products use in place of its weights.

    Call `update_rows` after each block of rows of the weights has changed, then `refresh`.

    Attributes
    ----------
    weights, values : np.ndarray
        (R, K, m), the weights themselves, and what stands in their place.
    """

    weights: np.ndarray
    values: np.ndarray

    def update_rows(self, rows: slice) -> None:
        """Follow a change of these rows."""

    def refresh(self) -> None:
        """Follow a change of the weights."""


class ProductWeightsOnGrids(ProductWeights, Protocol):
    """`ProductWeights` whose values are multiples of `unit`, (R, 1, m) or (R, 1, 1)."""

    unit: np.ndarray


class ExactDense:
    """Products that do not round, in float32. See `kdlib.numerics.grids` for the bound.

    The activations a have one grid for each row, with units e. The weights W have one grid for each column, with units
    f. So a W is exact.

    In aᵀ δ the units e vary along the summed axis, and in δ Wᵀ the units f do. So multiply the error δ by these units
    first, then snap it, then divide it by the same units:

    - aᵀ δ = (a / e)ᵀ (e δ), where a / e are integers, and e δ has one grid for each column;
    - δ Wᵀ = (f δ) (W / f)ᵀ, where W / f are integers, and f δ has one grid for each row.

    Units are powers of two, so multiplying and dividing by them is exact, and the results are the products of a and W
    themselves. So a and W are snapped once, and δ three times: for each of the two products, and for its own sum.

    Range: e <= MAX_MAGNITUDE 2^-7 = 2^49, and a unit of e δ is at least MIN_SCALED_MAGNITUDE 2^-17 = 2^-77, so that e δ
    / e has units of at least 2^-126. The same holds for f. No partial sum exceeds MAX_TERMS MAX_MAGNITUDE^2 = 2^122.

    Parameters
    ----------
    layer : (np.ndarray, np.ndarray)
        Weights (R, K, m) and biases (R, 1, m), views of the parameters.
    rows : int
        Number of rows of the largest batch.
    backend : NumpyBackend
        It snaps operands.
    values : np.ndarray, optional
        Where the snapped weights are stored, if not in a new array.

    Attributes
    ----------
    bits : (int, int)
        Bits of the grids of activations and of weights.
    product_weights : ProductWeightsOnGrids
        The snapped weights.
    grids : tuple of Grid
        Grids of the activations, of the weights, and of δ in the gradients of weights, inputs and biases.
    """

    def __init__(self, layer: Layer, rows: int, backend: NumpyBackend = NUMPY, values: np.ndarray | None = None):
        weights, self.biases = layer
        self._backend = backend
        _, inner, width = weights.shape
        # Each operand is in two products, and each product must leave enough bits to both of its operands.
        input_bits = min(-(-remaining_bits(inner) // 2), remaining_bits(rows) // 2)
        weight_bits = min(remaining_bits(inner, input_bits), remaining_bits(width) // 2)
        self.bits = input_bits, weight_bits
        weight_grid = Grid(weight_bits)
        self.product_weights: ProductWeightsOnGrids = SnappedWeights(weights, weight_grid, values)
        self._input_grid = Grid(input_bits)
        self._weight_gradient_grid = Grid(remaining_bits(rows, input_bits), MIN_SCALED_MAGNITUDE)
        self._input_gradient_grid = Grid(remaining_bits(width, weight_bits), MIN_SCALED_MAGNITUDE)
        self._bias_gradient_grid = Grid(remaining_bits(rows), MIN_SCALED_MAGNITUDE)
        self.grids = (
            self._input_grid,
            weight_grid,
            self._weight_gradient_grid,
            self._input_gradient_grid,
            self._bias_gradient_grid,
        )
        self._ones = np.ones((1, rows), np.float32)
        self._buffers = {}

    def _buffer(self, shape):
        if shape not in self._buffers:
            self._buffers[shape] = np.empty(shape, np.float32)
        return self._buffers[shape]

    def operand(self, x: np.ndarray) -> Operand:
        """Return x (..., K), float32, as an operand."""
        out = np.empty_like(x)
        return out, self._backend.operand(x, self._input_grid, out)

    def hidden_forward(self, z: np.ndarray, biases: np.ndarray, mask: np.ndarray | None, out: np.ndarray) -> Operand:
        """Apply z <- ReLU(z + b) * mask in place, and return z as this layer's operand.

        Parameters
        ----------
        z : np.ndarray
            (R, rows, K), the products of the layer before.
        biases : np.ndarray
            Biases of the layer before.
        mask : np.ndarray or None
            The dropout mask.
        out : np.ndarray
            (R, rows, K), where the values of the operand are stored.
        """
        numpy_backend.hidden_forward(z, biases, mask)
        return out, numpy_backend.operand(z, self._input_grid, out, nonnegative=True)

    def product(self, operand: Operand, out: np.ndarray) -> np.ndarray:
        """Store a W in `out`, (R, rows, m), and return it."""
        return product(operand[0], self.product_weights.values, out=out)

    def gradients(
        self,
        operand: Operand,
        delta: np.ndarray,
        weights: np.ndarray,
        biases: np.ndarray,
        column_maxima: Sequence[np.ndarray | None] = (None, None),
    ) -> None:
        """Compute the gradients with respect to weights and biases.

        Parameters
        ----------
        operand : (np.ndarray, np.ndarray or None)
            The operand that `product` was given.
        delta : np.ndarray
            (R, rows, m), the gradient with respect to a W + b.
        weights, biases : np.ndarray
            (R, K, m) and (R, 1, m), where the gradients are stored.
        column_maxima : (np.ndarray or None, np.ndarray or None)
            Largest magnitudes of e δ and of δ, if known: see `numpy_backend.snap_scaled`.
        """
        values, unit = operand
        scaled = self._buffer(delta.shape)
        numpy_backend.snap_scaled(delta, unit, self._weight_gradient_grid, 1, scaled, column_maxima[0])
        product(values.transpose(0, 2, 1), scaled, out=weights)
        numpy_backend.snap_scaled(delta, None, self._bias_gradient_grid, 1, scaled, column_maxima[1])
        product(self._ones[:, : delta.shape[1]], scaled, out=biases)

    def backward(self, delta: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Store δ Wᵀ, the gradient with respect to the layer's inputs, in `out` (R, rows, K), and return it."""
        scaled = self._buffer(delta.shape)
        numpy_backend.snap_scaled(delta, self.product_weights.unit, self._input_gradient_grid, -1, scaled)
        return product(scaled, self.product_weights.values.transpose(0, 2, 1), out=out)

    def square_sum(self) -> np.ndarray:
        """Return the sum of squares of each unit's incoming weights, (R, 1, m) float64.

        It is exact: 2 bits + log2 K <= 53.
        """
        values = self.product_weights.values
        return np.einsum("rkm,rkm->rm", values, values, dtype=np.float64)[:, None]


class PlainWeights:
    """The interface of `SnappedWeights` for weights that are not snapped: `values` are the weights themselves."""

    def __init__(self, weights: np.ndarray):
        self.weights = weights
        self.values = weights

    def update_rows(self, rows: slice) -> None:
        """Do nothing."""

    def refresh(self) -> None:
        """Do nothing."""


class FastDense:
    """`ExactDense` with plain products, which the BLAS rounds in its own order."""

    grids: tuple[Grid, ...] = ()

    def __init__(self, layer: Layer, rows: int, backend: NumpyBackend = NUMPY, values: np.ndarray | None = None):
        weights, self.biases = layer
        self.product_weights: ProductWeights = PlainWeights(weights)
        self._ones = np.ones((1, rows), np.float32)

    @staticmethod
    def operand(x: np.ndarray) -> Operand:
        return x, None

    @staticmethod
    def hidden_forward(z: np.ndarray, biases: np.ndarray, mask: np.ndarray | None, out: np.ndarray) -> Operand:
        numpy_backend.hidden_forward(z, biases, mask)
        return z, None

    def product(self, operand: Operand, out: np.ndarray) -> np.ndarray:
        return np.matmul(operand[0], self.product_weights.values, out=out)

    def gradients(self, operand: Operand, delta: np.ndarray, weights: np.ndarray, biases: np.ndarray) -> None:
        np.matmul(operand[0].transpose(0, 2, 1), delta, out=weights)
        np.matmul(self._ones[:, : delta.shape[1]], delta, out=biases)

    def backward(self, delta: np.ndarray, out: np.ndarray) -> np.ndarray:
        return np.matmul(delta, self.product_weights.values.transpose(0, 2, 1), out=out)

    def square_sum(self) -> np.ndarray:
        values = self.product_weights.values
        return np.einsum("rkm,rkm->rm", values, values)[:, None]


def layer_views(flat: np.ndarray, sizes: Sequence[int]) -> list[Layer]:
    """Return the layers in a flat stack as views.

    Parameters
    ----------
    flat : np.ndarray
        (R, parameters).
    sizes : sequence of int
        Widths of the layers, input and output included.

    Returns
    -------
    list of (np.ndarray, np.ndarray)
        Weights (R, in, out) and biases (R, 1, out) of each layer.
    """
    layers = []
    start = 0
    for fan_in, fan_out in pairwise(sizes):
        middle = start + fan_in * fan_out
        end = start + (fan_in + 1) * fan_out
        weights = flat[:, start:middle].reshape(-1, fan_in, fan_out)
        layers.append((weights, flat[:, middle:end].reshape(-1, 1, fan_out)))
        start = end
    return layers


class Layers:
    """All dense layers of a stack, on flat arrays (R, parameters) in the order of `layer_views`.

    Parameters
    ----------
    dense : type
        `ExactDense` or `FastDense`.
    sizes : sequence of int
        Widths of the layers, input and output included.
    parameters : np.ndarray
        (R, parameters).
    rows : int
        Number of rows of the largest batch.
    backend : NumpyBackend
        It snaps operands.

    Attributes
    ----------
    gradient : np.ndarray
        It has the shape of `parameters`.
    flat_product_weights : np.ndarray
        What the products use as weights: their snapped values, or `parameters` itself in plain float32.
    dense : list of ExactDense or FastDense
        One for each layer.
    gradients : list of (np.ndarray, np.ndarray)
        `layer_views` of `gradient`.
    """

    def __init__(
        self,
        dense: type[ExactDense] | type[FastDense],
        sizes: Sequence[int],
        parameters: np.ndarray,
        rows: int,
        backend: NumpyBackend = NUMPY,
    ):
        self.sizes = sizes
        self.parameters = parameters
        self.backend = backend
        self.gradient = np.zeros_like(parameters)
        self.flat_product_weights = np.zeros_like(parameters) if dense is ExactDense else parameters
        views = layer_views(parameters, sizes)
        product_views = layer_views(self.flat_product_weights, sizes)
        self.dense = [
            dense(view, rows, backend, values) for view, (values, _) in zip(views, product_views, strict=True)
        ]
        self.gradients = layer_views(self.gradient, sizes)
