"""The three products of a dense layer in training: a W forward, aᵀ δ and δ Wᵀ backward.

An *operand* is what enters `forward`: (values (R, rows, K), unit (R, rows, 1) or None).
"""

import numpy as np

from kdlib.numerics.grids import SCALED_FLOOR, Grid, Mirror, bits_beside, magnitude, product, snap


class ExactDense:
    """Products that do not round, in float32. See `kdlib.numerics.grids` for the bound.

    Activations a have grids by rows, of units e, weights W by columns, of units f: a W is exact. In the other two
    products these units lie along the sum, and the error δ takes them in before it is snapped: (e δ) by columns beside
    the integers a / e, (f δ) by rows beside the integers W / f. Powers of two move freely: with them taken out again,
    the products are those of a and W themselves. So a and W are snapped once, δ twice, and once more for its own sum.

    e <= LIMIT 2^-7 = 2^49, and a unit of e δ is at least SCALED_FLOOR 2^-17 = 2^-77, so that e δ / e has units of at
    least 2^-126; f likewise. No partial sum exceeds PART LIMIT^2 = 2^122.
    """

    def __init__(self, layer, rows):
        """layer: (weights (R, K, m), biases (R, 1, m)), views of the parameters. rows: of the largest batch."""
        weights, self.biases = layer
        _, inner, width = weights.shape
        # Each operand is in two products; neither of them is to starve the other.
        input_bits = min(-(-bits_beside(inner) // 2), bits_beside(rows) // 2)
        weight_bits = min(bits_beside(inner, input_bits), bits_beside(width) // 2)
        self.bits = input_bits, weight_bits
        self.mirror = Mirror(weights, Grid(weight_bits))
        self._input = Grid(input_bits)
        self._for_weights = Grid(bits_beside(rows, input_bits), SCALED_FLOOR)
        self._for_inputs = Grid(bits_beside(width, weight_bits), SCALED_FLOOR)
        self._for_biases = Grid(bits_beside(rows), SCALED_FLOOR)
        self._ones, self._buffers = np.ones((1, rows), np.float32), {}

    def _buffer(self, shape):
        if shape not in self._buffers:
            self._buffers[shape] = np.empty(shape, np.float32)
        return self._buffers[shape]

    def operand(self, x, out=None, nonnegative=False):
        """x: (..., K), float32 -> the operand. nonnegative: the caller knows that x >= 0."""
        largest = np.maximum.reduce(x, axis=-1, keepdims=True) if nonnegative else magnitude(x, axis=-1)
        anchor, unit = self._input.anchor_and_unit(largest)
        return snap(x, anchor, np.empty_like(x) if out is None else out), unit

    def forward(self, operand, out):
        """a W + b -> `out`, (R, rows, m)."""
        product(operand[0], self.mirror.values, out=out)
        out += self.biases
        return out

    def gradients(self, operand, delta, weights, biases):
        """The gradients by weights and biases, into these arrays. delta: the gradient by `forward`'s result."""
        values, unit = operand
        scaled = np.multiply(delta, unit, out=self._buffer(delta.shape))
        snap(scaled, self._for_weights.anchor(magnitude(scaled, axis=1)), scaled)
        scaled *= 1 / unit
        product(values.transpose(0, 2, 1), scaled, out=weights)
        snap(delta, self._for_biases.anchor(magnitude(delta, axis=1)), scaled)
        product(self._ones[:, : delta.shape[1]], scaled, out=biases)

    def backward(self, delta, out):
        """The gradient by the layer's inputs, δ Wᵀ -> `out`, (R, rows, K)."""
        unit = self.mirror.unit
        scaled = np.multiply(delta, unit, out=self._buffer(delta.shape))
        snap(scaled, self._for_inputs.anchor(magnitude(scaled, axis=-1)), scaled)
        scaled *= 1 / unit
        return product(scaled, self.mirror.values.transpose(0, 2, 1), out=out)

    def square_sum(self):
        """(R, 1, m), the sum of squares of each unit's incoming weights, exact: 2 bits + log2 K <= 53."""
        return np.einsum("rkm,rkm->rm", self.mirror.values, self.mirror.values, dtype=np.float64)[:, None]


class Same:
    """`Mirror` of weights that are their own operand."""

    def __init__(self, weights):
        self.values = weights

    def update(self, rows):
        pass

    def finish(self):
        pass


class FastDense:
    """`ExactDense` with plain products, which round as the BLAS likes."""

    def __init__(self, layer, rows):
        weights, self.biases = layer
        self.mirror, self._ones = Same(weights), np.ones((1, rows), np.float32)

    @staticmethod
    def operand(x, out=None, nonnegative=False):
        return x, None

    def forward(self, operand, out):
        np.matmul(operand[0], self.mirror.values, out=out)
        out += self.biases
        return out

    def gradients(self, operand, delta, weights, biases):
        np.matmul(operand[0].transpose(0, 2, 1), delta, out=weights)
        np.matmul(self._ones[:, : delta.shape[1]], delta, out=biases)

    def backward(self, delta, out):
        return np.matmul(delta, self.mirror.values.transpose(0, 2, 1), out=out)

    def square_sum(self):
        return np.einsum("rkm,rkm->rm", self.mirror.values, self.mirror.values)[:, None]
