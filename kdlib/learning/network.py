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

    sizes: widths of the layers, input and output included. arithmetic: a class of `kdlib.numerics.arithmetic`.
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

    def part(self, networks):
        """Some of the stack as a stack. networks: a slice, of which it is a view, or indices or a mask, for a copy."""
        part = Network(self.sizes, 0, self.arithmetic)
        part.parameters = self.parameters[networks]
        part.layers = layer_views(part.parameters, self.sizes)
        return part

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

        In exact arithmetic they are float64, and a row has the same logits alone and beside any other rows.
        """
        x = np.asarray(x, dtype=self.arithmetic.logits_dtype)
        x = x if x.ndim == 3 else x[None]
        blocks = []
        for start in range(0, x.shape[1], INFERENCE_ROWS):
            a = x[:, start : start + INFERENCE_ROWS]
            for index, (weights, biases) in enumerate(self.layers):
                a = self.arithmetic.matmul(a if index == 0 else np.maximum(a, 0), weights) + biases
            blocks.append(a)
        return np.concatenate(blocks, axis=1)
