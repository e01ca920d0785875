"""Convert a float network to an integer network, calibrated on training rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kdlib.deployment.integer_network import MAX_ACTIVATION, MAX_SHIFT, SUM_LIMIT, IntegerNetwork
from kdlib.numerics import exact
from kdlib.numerics.quantization import MAX_INTEGER, round_and_clip, to_fixed_point

if TYPE_CHECKING:
    from kdlib.data.dataset import Dataset
    from kdlib.learning.network import Network

# Limits of the calibration, whose rows are spread evenly over all training rows.
MAX_ROWS = 4096
MAX_ELEMENTS = 2**22
# Shares of the sums' range. The rest is for the zero point: one of 128 adds to the biases at most 128 / 255 of the
# products.
MAX_PRODUCTS = SUM_LIMIT * 7 // 16
MAX_BIAS = SUM_LIMIT // 4


def quantize_stack(network: "Network", dataset: "Dataset", split: int, bits: int) -> list[IntegerNetwork]:
    """Quantize each replica of a network.

    Parameters
    ----------
    network : Network
    dataset : Dataset
        At most MAX_ROWS training rows of the split calibrate the exponents.
    split : int
    bits : int
        Bits of a weight: 8, 4 or 2.
    """
    rows = dataset.rows("train", split)
    most = min(MAX_ROWS, -(-MAX_ELEMENTS // network.sizes[0]))
    x = dataset.inputs(rows[:: -(-len(rows) // most)], split)
    replicas = range(network.replicas)
    return [quantize([(weights[k], biases[k, 0]) for weights, biases in network.layers], x, bits) for k in replicas]


def quantize(layers: Sequence[tuple[np.ndarray, np.ndarray]], x: np.ndarray, bits: int) -> IntegerNetwork:
    """Quantize one network.

    The exponents are chosen by `kdlib.numerics.quantization` for the values that occur on these rows. The biases are
    corrected by the mean error that rounded weights and activations cause there.

    Parameters
    ----------
    layers : sequence of (np.ndarray, np.ndarray)
        For each layer weights (in, out) and biases (out,), floats.
    x : np.ndarray
        (n, features) float64, scaled: the rows of the calibration.
    bits : int
        Bits of a weight: 8, 4 or 2.

    References
    ----------
    Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction" (2019), section 4.2.
    """
    zero_point = 128 if np.min(x) < 0 else 0
    activations, exponent = to_fixed_point(x, -zero_point, MAX_ACTIVATION - zero_point, axis=(0, 1))
    input_exponent = exponent.item()
    integer_layers = []
    shifts = []
    for index, (weights, biases) in enumerate(layers):
        last = index == len(layers) - 1
        integers, sum_exponents = _quantized_weights(weights, biases, bits, exponent, last)
        products = np.matmul(activations, integers)  # lint: integer sum
        x = exact.SnappedMatrix(weights.astype(np.float64)).product(x) + biases
        mean_error = exact.mean(x - products * np.ldexp(1.0, -sum_exponents), axis=0)
        integer_biases = round_and_clip(mean_error, np.ldexp(1.0, sum_exponents[0]), -MAX_BIAS, MAX_BIAS)
        of_zero_point = zero_point * integers.sum(axis=0) if index == 0 else 0  # lint: integer sum
        integer_layers.append((integers.astype(np.int8), (integer_biases - of_zero_point).astype(np.int32)))
        if not last:
            x = np.maximum(x, 0)
            sums = np.maximum(products + integer_biases, 0)
            held = to_fixed_point(sums * np.ldexp(1.0, -sum_exponents), 0, MAX_ACTIVATION, axis=(0, 1))[1]
            exponent = np.minimum(held, sum_exponents.min())
            shifts.append(np.minimum(sum_exponents - exponent, MAX_SHIFT)[0].astype(np.uint8))
            activations = round_and_clip(sums, np.ldexp(1.0, -shifts[-1].astype(np.int32)), 0, MAX_ACTIVATION)
    return IntegerNetwork(bits, integer_layers, shifts, input_exponent, zero_point, sum_exponents.item(0))


def _quantized_weights(weights, biases, bits, input_exponent, last):
    """Return integers (in, out) and the exponents of the sums (1, out), so coarse that biases and sums fit.

    last: whether this is the last layer, whose units share one exponent.
    """
    most = MAX_INTEGER[bits]
    shared = np.min if last else lambda values: values
    integers, exponents = to_fixed_point(weights, -most, most, (0, 1) if last else 0)
    bias_limit = np.frexp(float(MAX_BIAS))[1] - 1 - np.frexp(biases)[1] - input_exponent
    excess = np.frexp(MAX_ACTIVATION * np.abs(integers).sum(axis=0) / MAX_PRODUCTS)[1]  # lint: integer sum
    exponents = np.minimum(exponents, shared(np.minimum(bias_limit, exponents - np.maximum(excess, 0))))
    integers = round_and_clip(weights.astype(np.float64), np.ldexp(1.0, exponents), -most, most)
    return integers, np.broadcast_to(input_exponent + exponents, (1, len(biases)))
