"""The multilayer perceptron: a stack of R replicas that are trained side by side."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from kdlib.backends.arithmetic import EXACT, Arithmetic
from kdlib.backends.dense import layer_views
from kdlib.data.scaled import ScaledRows, row_chunks
from kdlib.numerics.quantization import fake_quantized_layers

INFERENCE_ROWS = 1024  # rows whose logits are computed at once


def parameter_count(sizes: Sequence[int]) -> int:
    """Count the weights and biases of one replica whose layers have these widths, input and output included."""
    return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))  # lint: integer sum


def multiply_adds(sizes: Sequence[int]) -> int:
    """Count the multiply-adds of the matrix products for one example."""
    return sum(fan_in * fan_out for fan_in, fan_out in pairwise(sizes))  # lint: integer sum


class Network:
    """A stack of R perceptrons with ReLU between their layers.

    Parameters
    ----------
    sizes : sequence of int
        Widths of the layers, input and output included.
    replicas : int
        R, the number of all networks in the stack. In `kdlib.learning.sweeps` and `kdlib.learning.model_file` R counts
        only those of one split and setting.
    arithmetic : Arithmetic
        `EXACT` or `FAST` of `kdlib.backends.arithmetic`.

    Attributes
    ----------
    parameters : array (R, parameters)
        All weights and biases of each network, flat.
    layers : list of (weights, biases)
        Views of `parameters`, (R, fan_in, fan_out) and (R, 1, fan_out).

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986);
    Glorot, Bordes and Bengio, "Deep Sparse Rectifier Neural Networks" (2011).
    """

    def __init__(self, sizes: Sequence[int], replicas: int = 1, arithmetic: Arithmetic = EXACT):
        self.sizes = tuple(sizes)
        self.arithmetic = arithmetic
        self.parameters = np.zeros((replicas, parameter_count(sizes)), dtype=arithmetic.dtype)
        self.layers = layer_views(self.parameters, self.sizes)

    @property
    def replicas(self) -> int:
        """R, the number of all networks in the stack."""
        return len(self.parameters)

    def select(self, networks: slice | Sequence[int] | np.ndarray) -> "Network":
        """Return some networks of the stack as a stack.

        Parameters
        ----------
        networks : slice, or array of indices or bool
            Which networks. A slice gives a view of the parameters; indices or a mask give a copy.
        """
        selected = Network(self.sizes, 0, self.arithmetic)
        selected.parameters = self.parameters[networks]
        selected.layers = layer_views(selected.parameters, self.sizes)
        return selected

    def quantized_copy(self, bits: int | None) -> "Network":
        """Return a copy with weights of this many bits (`kdlib.numerics.quantization`); itself for None."""
        if bits is None:
            return self
        result = self.select(np.arange(self.replicas))
        for (weights, _), quantized in zip(result.layers, fake_quantized_layers(self.layers, bits), strict=True):
            weights[:] = quantized.values
        return result

    def initialize(self, generators: Sequence[np.random.Generator]) -> None:
        """Draw the weights, uniform with variance 2 / fan_in, and set the biases to zero.

        Parameters
        ----------
        generators : sequence of R numpy.random.Generator
            One for each replica.

        References
        ----------
        He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015).
        """
        for weights, biases in self.layers:
            limit = math.sqrt(6 / weights.shape[1])
            for replica, generator in zip(weights, generators, strict=True):
                replica[:] = (2 * generator.random(replica.shape) - 1) * limit
            biases[:] = 0

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the layers as they are stored, in float32.

        Returns
        -------
        dict
            ``{"weights_0": (R, fan_in, fan_out), "biases_0": (R, 1, fan_out), "weights_1": ...}``
        """
        arrays = {}
        for index, (weights, biases) in enumerate(self.layers):
            arrays[f"weights_{index}"] = weights.astype(np.float32)
            arrays[f"biases_{index}"] = biases.astype(np.float32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], arithmetic: Arithmetic = EXACT) -> "Network":
        """Make the network of the arrays that `arrays` returned; other names are ignored.

        Raises
        ------
        LookupError
            If there is no layer, or one is missing.
        ValueError
            If the layers do not follow one another, or are not float arrays of the right shape.
        """
        count = sum(name.startswith("weights_") for name in arrays)  # lint: integer sum
        layers = [(arrays[f"weights_{index}"], arrays[f"biases_{index}"]) for index in range(count)]
        shapes = [weights.shape for weights, _ in layers]
        # Checked first: a network of the product of these shapes may be far larger than the arrays.
        valid = all(len(shape) == 3 and 0 not in shape for shape in shapes)
        if not valid or any(above[:2] != below[::2] for below, above in pairwise(shapes)):
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

    def logits(self, x: np.ndarray | ScaledRows) -> np.ndarray:
        """Compute logits without dropout.

        Parameters
        ----------
        x : array (n, features) or (R, n, features), or ScaledRows
            The inputs: the same for all networks, or each network's own.

        Returns
        -------
        array (R, n, classes)
            In exact arithmetic they are float64, and the logits of a row do not depend on the other rows.
        """
        if isinstance(x, ScaledRows):
            return np.concatenate([self.logits(x.take(rows)) for rows in row_chunks(len(x))], axis=1)
        x = x if x.ndim == 3 else x[None]
        found = []
        for start in range(0, max(1, x.shape[1]), INFERENCE_ROWS):
            activations = np.asarray(x[:, start : start + INFERENCE_ROWS], dtype=self.arithmetic.logits_dtype)
            for index, (weights, biases) in enumerate(self.layers):
                if index > 0:
                    activations = np.maximum(activations, 0)
                activations = self.arithmetic.matmul(activations, weights) + biases
            found.append(activations)
        return np.concatenate(found, axis=1)
