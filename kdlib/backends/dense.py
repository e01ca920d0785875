"""The three products of a dense layer in training: a W forward, aᵀ δ and δ Wᵀ backward.

An *operand* is what enters `forward`: (values (R, rows, K), unit (R, rows, 1) or None).
"""

from itertools import pairwise

import numpy as np

from kdlib.backends import numpy_backend, selection
from kdlib.numerics.grids import SCALED_FLOOR, Grid, Mirror, bits_beside, product


class ExactDense:
    """Products that do not round, in float32. See `kdlib.numerics.grids` for the bound.

    Activations a have grids by rows, of units e, weights W by columns, of units f: a W is exact. In the other two
    products these units lie along the sum, and the error δ takes them in before it is snapped: (e δ) by columns beside
    the integers a / e, (f δ) by rows beside the integers W / f. Powers of two move freely: with them taken out again,
    the products are those of a and W themselves. So a and W are snapped once, δ twice, and once more for its own sum.

    e <= LIMIT 2^-7 = 2^49, and a unit of e δ is at least SCALED_FLOOR 2^-17 = 2^-77, so that e δ / e has units of at
    least 2^-126; f likewise. No partial sum exceeds PART LIMIT^2 = 2^122.
    """

    def __init__(self, layer, rows, values=None):
        """layer: (weights (R, K, m), biases (R, 1, m)), views of the parameters. rows: of the largest batch.

        values: where the snapped weights go, if not into a new array.
        """
        weights, self.biases = layer
        _, inner, width = weights.shape
        # Each operand is in two products; neither of them is to starve the other.
        input_bits = min(-(-bits_beside(inner) // 2), bits_beside(rows) // 2)
        weight_bits = min(bits_beside(inner, input_bits), bits_beside(width) // 2)
        self.bits = input_bits, weight_bits
        self.mirror = Mirror(weights, Grid(weight_bits), values)
        self._input, for_errors = Grid(input_bits), (bits_beside(rows, input_bits), bits_beside(width, weight_bits))
        self._for_weights, self._for_inputs, self._for_biases = (
            Grid(bits, SCALED_FLOOR) for bits in (*for_errors, bits_beside(rows))
        )
        self.grids = self._input, self.mirror.grid, self._for_weights, self._for_inputs, self._for_biases
        self._ones, self._buffers = np.ones((1, rows), np.float32), {}

    def _buffer(self, shape):
        if shape not in self._buffers:
            self._buffers[shape] = np.empty(shape, np.float32)
        return self._buffers[shape]

    def operand(self, x):
        """x: (..., K), float32 -> the operand."""
        out = np.empty_like(x)
        return out, selection.current.operand(x, self._input, out)

    def activate(self, z, biases, mask, out):
        """ReLU of z + b, times the mask if there is one, in place; that as the operand, in `out`. z: (R, rows, K)."""
        return out, numpy_backend.activate(z, biases, mask, self._input, out)

    def product(self, operand, out):
        """a W -> `out`, (R, rows, m)."""
        return product(operand[0], self.mirror.values, out=out)

    def gradients(self, operand, delta, weights, biases, tops=(None, None)):
        """The gradients by weights and biases, into these arrays. delta: by a W + b. tops: of `snap_scaled`."""
        values, unit = operand
        scaled = self._buffer(delta.shape)
        numpy_backend.snap_scaled(delta, unit, self._for_weights, 1, scaled, tops[0])
        product(values.transpose(0, 2, 1), scaled, out=weights)
        numpy_backend.snap_scaled(delta, None, self._for_biases, 1, scaled, tops[1])
        product(self._ones[:, : delta.shape[1]], scaled, out=biases)

    def backward(self, delta, out):
        """The gradient by the layer's inputs, δ Wᵀ -> `out`, (R, rows, K)."""
        scaled = self._buffer(delta.shape)
        numpy_backend.snap_scaled(delta, self.mirror.unit, self._for_inputs, 2, scaled)
        return product(scaled, self.mirror.values.transpose(0, 2, 1), out=out)

    def square_sum(self):
        """(R, 1, m), the sum of squares of each unit's incoming weights, exact: 2 bits + log2 K <= 53."""
        return np.einsum("rkm,rkm->rm", self.mirror.values, self.mirror.values, dtype=np.float64)[:, None]


class Same:
    """`Mirror` of weights that are their own operand."""

    def __init__(self, weights):
        self.weights = self.values = weights

    def update(self, rows):
        pass

    def finish(self):
        pass


class FastDense:
    """`ExactDense` with plain products, which round as the BLAS likes."""

    grids = ()

    def __init__(self, layer, rows, values=None):
        weights, self.biases = layer
        self.mirror, self._ones = Same(weights), np.ones((1, rows), np.float32)

    @staticmethod
    def operand(x):
        return x, None

    @staticmethod
    def activate(z, biases, mask, out):
        return z, numpy_backend.activate(z, biases, mask, None, None)

    def product(self, operand, out):
        return np.matmul(operand[0], self.mirror.values, out=out)

    def gradients(self, operand, delta, weights, biases):
        np.matmul(operand[0].transpose(0, 2, 1), delta, out=weights)
        np.matmul(self._ones[:, : delta.shape[1]], delta, out=biases)

    def backward(self, delta, out):
        return np.matmul(delta, self.mirror.values.transpose(0, 2, 1), out=out)

    def square_sum(self):
        return np.einsum("rkm,rkm->rm", self.mirror.values, self.mirror.values)[:, None]


def layer_views(flat, sizes):
    """The layers in a flat stack (R, parameters), as views: [(weights (R, in, out), biases (R, 1, out)), ...]."""
    layers, start = [], 0
    for fan_in, fan_out in pairwise(sizes):
        middle, end = start + fan_in * fan_out, start + (fan_in + 1) * fan_out
        weights = flat[:, start:middle].reshape(-1, fan_in, fan_out)
        layers.append((weights, flat[:, middle:end].reshape(-1, 1, fan_out)))
        start = end
    return layers


class Layers:
    """All dense layers of a stack, on flat arrays (R, P) that are laid out as `layer_views`.

    parameters; mirrored: what the products take for the weights; gradient. dense, gradients: of each layer.
    """

    def __init__(self, dense, sizes, parameters, rows):
        """dense: `ExactDense` or `FastDense`. rows: of the largest batch."""
        self.sizes, self.parameters, self.gradient = sizes, parameters, np.zeros_like(parameters)
        self.mirrored = np.zeros_like(parameters) if dense is ExactDense else parameters
        views, mirrored = layer_views(parameters, sizes), layer_views(self.mirrored, sizes)
        self.dense = [dense(view, rows, values) for view, (values, _) in zip(views, mirrored, strict=True)]
        self.gradients = layer_views(self.gradient, sizes)
