"""The multilayer perceptron: a stack of R replicas that are trained side by side."""

import math
from itertools import pairwise

import numpy as np

from kdlib.backends.dense import layer_views
from kdlib.data.scaled import Scaled, blocks
from kdlib.numerics.levels import mirrors

INFERENCE_ROWS = 1024


def parameter_count(sizes):
    """Weights and biases of one replica with layers of these `sizes`, input and output included."""
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))  # integers


def multiply_adds(sizes):
    """Multiply-adds of the matrix products for one example."""
    return sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))  # integers


class Network:
    """R perceptrons with ReLU between their layers (Rumelhart, Hinton and Williams 1986; Glorot et al. 2011).

    sizes: widths of the layers, input and output included. arithmetic: a class of `kdlib.backends.arithmetic`.
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

    def on_levels(self, bits):
        """Itself; or, if bits is not None, a copy whose weights are on their `kdlib.numerics.levels`."""
        if bits is None:
            return self
        result = self.part(np.arange(self.replicas))
        for (weights, _), mirror in zip(result.layers, mirrors(self.layers, bits), strict=True):
            weights[:] = mirror.values
        return result

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
        shapes = [weights.shape for weights, _ in layers]
        # Before anything is made of their product, which may be far larger than the layers.
        if any(len(s) != 3 or 0 in s for s in shapes) or any(a[::2] != b[:2] for a, b in pairwise(shapes)):
            raise ValueError(f"the layers {shapes} do not follow one another")
        replicas, features = layers[0][0].shape[:2]
        network = cls((features, *(weights.shape[2] for weights, _ in layers)), replicas, arithmetic)
        for views, stored in zip(network.layers, layers, strict=True):
            for view, array in zip(views, stored, strict=True):
                if view.shape != array.shape or array.dtype.kind != "f":
                    raise ValueError(f"a layer is {array.dtype} {array.shape}, not float {view.shape}")
                with np.errstate(over="ignore"):
                    view[:] = array
        return network

    def logits(self, x):
        """x: (n, features), `Scaled` ones, or (R, n, features) -> logits (R, n, classes). No dropout.

        In exact arithmetic they are float64, and a row has the same logits alone and beside any other rows.
        """
        if isinstance(x, Scaled):
            return np.concatenate([self.logits(x.take(rows)) for rows in blocks(len(x))], axis=1)
        x = x if x.ndim == 3 else x[None]
        found = []
        for start in range(0, max(1, x.shape[1]), INFERENCE_ROWS):
            a = np.asarray(x[:, start : start + INFERENCE_ROWS], dtype=self.arithmetic.logits_dtype)
            for index, (weights, biases) in enumerate(self.layers):
                a = self.arithmetic.matmul(a if index == 0 else np.maximum(a, 0), weights) + biases
            found.append(a)
        return np.concatenate(found, axis=1)
