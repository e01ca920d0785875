"""The multilayer perceptron: a stack of R replicas that are trained side by side."""

import math
from itertools import pairwise

import numpy as np

INFERENCE_ROWS = 4096


def parameter_count(sizes):
    """Weights and biases of one replica with layers of these `sizes`, input and output included."""
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))  # integers


def multiply_adds(sizes):
    """Multiply-adds of the matrix products for one example."""
    return sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))  # integers


def layer_views(flat, sizes):
    """The layers in a flat stack (R, parameters), as views: [(weights (R, in, out), biases (R, 1, out)), ...]."""
    layers, start = [], 0
    for fan_in, fan_out in pairwise(sizes):
        middle, end = start + fan_in * fan_out, start + (fan_in + 1) * fan_out
        weights = flat[:, start:middle].reshape(-1, fan_in, fan_out)
        layers.append((weights, flat[:, middle:end].reshape(-1, 1, fan_out)))
        start = end
    return layers


class Network:
    """R perceptrons with ReLU between their layers (Rumelhart, Hinton and Williams 1986; Glorot et al. 2011).

    sizes: widths of the layers, input and output included. arithmetic: a class of `kdlib.arithmetic`.
    `parameters` is one flat array (R, parameters); `layers` are views of it.
    """

    def __init__(self, sizes, replicas, arithmetic):
        self.sizes = tuple(sizes)
        self.arithmetic = arithmetic
        self.parameters = np.zeros((replicas, parameter_count(sizes)), dtype=arithmetic.dtype)
        self.layers = layer_views(self.parameters, self.sizes)

    @property
    def replicas(self):
        return len(self.parameters)

    def initialize(self, generators):
        """Draw each replica's weights from its own generator, uniform with variance 2 / fan_in (He et al. 2015)."""
        for weights, biases in self.layers:
            limit = math.sqrt(6 / weights.shape[1])
            for replica, generator in zip(weights, generators, strict=True):
                replica[:] = (2 * generator.random(replica.shape) - 1) * limit
            biases[:] = 0

    def arrays(self):
        """{"weights_0": (R, in, out) float32, "biases_0": (R, 1, out), ...}, as they are stored."""
        names = ("weights", "biases")
        return {
            f"{name}_{index}": array.astype(np.float32)
            for index, layer in enumerate(self.layers)
            for name, array in zip(names, layer, strict=True)
        }

    @classmethod
    def from_arrays(cls, arrays, arithmetic):
        """The network of `arrays`. Raises KeyError or ValueError if they are not such a network's."""
        layers = [
            (arrays[f"weights_{i}"], arrays[f"biases_{i}"])
            for i in range(sum(n.startswith("weights_") for n in arrays))  # integers
        ]
        replicas, features = layers[0][0].shape[:2]
        network = cls((features, *(weights.shape[2] for weights, _ in layers)), replicas, arithmetic)
        for views, stored in zip(network.layers, layers, strict=True):
            for view, array in zip(views, stored, strict=True):
                if view.shape != array.shape or array.dtype.kind != "f":
                    raise ValueError(f"a layer is {array.dtype} {array.shape}, not float {view.shape}")
                view[:] = array
        return network

    def logits(self, x):
        """x: (n, features), or (R, n, features) -> logits (R, n, classes). No dropout.

        In exact arithmetic 4,096 rows at a time share a grid: an example's logits depend on the rows beside it, by no
        more than rounding does.
        """
        x = np.asarray(x, dtype=self.arithmetic.dtype)
        x = x if x.ndim == 3 else x[None]
        blocks = []
        for start in range(0, x.shape[1], INFERENCE_ROWS):
            a = x[:, start : start + INFERENCE_ROWS]
            for index, (weights, biases) in enumerate(self.layers):
                a = self.arithmetic.matmul(a if index == 0 else np.maximum(a, 0), weights) + biases
            blocks.append(a)
        return np.concatenate(blocks, axis=1)


class Backpropagation:
    """Forward and backward passes over batches, in buffers that are allocated once for each batch size.

    `gradient` (R, parameters) is laid out as `network.parameters`; `mirror` has to follow their changes.
    Reference: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986).
    """

    def __init__(self, network, inner_length):
        """inner_length: the longest sum that a pass takes, over the features of a layer or over a batch."""
        self.network = network
        self.arithmetic = network.arithmetic(inner_length)
        self.gradient = np.zeros_like(network.parameters)
        self.mirror = self.arithmetic.mirror(network.parameters)
        self._layers = layer_views(self.mirror.operand, network.sizes)
        self._gradient_layers = layer_views(self.gradient, network.sizes)
        self._buffers, self._ones = {}, {}

    def _batch(self, rows):
        if rows not in self._buffers:
            shapes = [(self.network.replicas, rows, width) for width in self.network.sizes[1:]]
            self._buffers[rows] = [tuple(np.empty(shape, self.gradient.dtype) for _ in range(2)) for shape in shapes]
            self._ones[rows] = np.ones((1, rows), self.gradient.dtype)
        return self._buffers[rows]

    def forward(self, x, masks=None):
        """x: operand (R, batch, features) -> logits (R, batch, classes).

        masks: for dropout, an array (R, batch, width) of zeros and 1 / (1 - rate), or None, for the inputs and for each
        hidden layer.
        """
        buffers = self._batch(x.shape[1])
        self._masks = masks or [None] * len(buffers)
        self._inputs = [x if self._masks[0] is None else self.arithmetic.operand(x * self._masks[0])]
        for index, ((weights, biases), (z, _)) in enumerate(zip(self._layers, buffers, strict=True)):
            self.arithmetic.product(self._inputs[-1], weights, out=z)
            z += biases
            if index < len(buffers) - 1:
                np.maximum(z, 0, out=z)
                if self._masks[index + 1] is not None:
                    z *= self._masks[index + 1]
                self._inputs.append(self.arithmetic.operand(z, out=z, nonnegative=True))
        return z

    def backward(self, delta):
        """delta: gradient of the loss by the logits of the last `forward`, (R, batch, classes). Fills `gradient`."""
        buffers = self._batch(delta.shape[1])
        for index in reversed(range(len(self._layers))):
            a, (weights, biases) = self._inputs[index], self._gradient_layers[index]
            delta = self.arithmetic.operand(delta, out=delta)
            self.arithmetic.product(a.transpose(0, 2, 1), delta, out=weights)
            self.arithmetic.product(self._ones[delta.shape[1]], delta, out=biases)  # the sum over the batch
            if index > 0:
                below = buffers[index - 1][1]
                self.arithmetic.product(delta, self._layers[index][0].transpose(0, 2, 1), out=below)
                # A unit that is off or dropped has a = 0; one that is on has a > 0, and passes its mask on.
                below *= a > 0
                if self._masks[index] is not None:
                    below *= self._masks[index]
                delta = below

    def constrain(self, max_norm):
        """Scale the incoming weights of each unit whose L2 norm is above `max_norm` down to it.

        The norm is the operand's: near the parameters' to the last bit of the grid.
        Reference: Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors" (2012).
        """
        factors = [max_norm / np.sqrt(self.arithmetic.square_sum(weights)) for weights, _ in self._layers]
        above = [(weights, f) for (weights, _), f in zip(self.network.layers, factors, strict=True) if (f < 1).any()]
        for weights, factor in above:
            weights *= np.minimum(factor, 1)
        if above:
            self.mirror.finish()
