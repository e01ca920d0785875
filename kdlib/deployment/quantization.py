"""From a network of floats to one of integers, calibrated on training rows."""

import numpy as np

from kdlib.deployment.integer_network import HIGHEST, SHIFTS, SUMS, IntegerNetwork
from kdlib.numerics import exact
from kdlib.numerics.levels import LEVELS, rounded, to_levels

ROWS, NUMBERS = 4096, 2**22  # of calibration at most, evenly from all
# Their shares of the sums; the rest is for what a zero point of 128 adds to biases, at most 128 / 255 of the products.
PRODUCTS, BIASES = SUMS * 7 // 16, SUMS // 4


def quantized(network, dataset, split, bits):
    """[`IntegerNetwork` of each replica of a `Network`], calibrated on at most ROWS training rows of its split."""
    rows = dataset.rows("train", split)
    most = min(ROWS, -(-NUMBERS // network.sizes[0]))
    x = dataset.inputs(rows[:: -(-len(rows) // most)], split)
    replicas = range(network.replicas)
    return [quantize([(weights[k], biases[k, 0]) for weights, biases in network.layers], x, bits) for k in replicas]


def quantize(layers, x, bits):
    """`IntegerNetwork` of layers [(weights (in, out), biases (out,)), ...], floats. x: (n, features), scaled, float64.

    Exponents by `kdlib.numerics.levels`, of what they have to hold on these rows. The biases take in the mean error
    that rounded weights and activations make there (Nagel et al., "Data-Free Quantization Through Weight Equalization
    and Bias Correction", 2019, section 4.2).
    """
    zero = 128 if np.min(x) < 0 else 0
    a, exponent = to_levels(x, -zero, HIGHEST - zero, axis=(0, 1))
    input_exponent, found, shifts = exponent.item(), [], []
    for index, (weights, biases) in enumerate(layers):
        last = index == len(layers) - 1
        integers, of_sums = _weights(weights, biases, bits, exponent, last)
        products = np.matmul(a, integers)  # integers
        x = exact.Right(weights.astype(np.float64)).product(x) + biases
        mean_error = exact.mean(x - products * np.ldexp(1.0, -of_sums), axis=0)
        added = rounded(mean_error, np.ldexp(1.0, of_sums[0]), -BIASES, BIASES)
        of_zero = zero * integers.sum(axis=0) if index == 0 else 0  # integers
        found.append((integers.astype(np.int8), (added - of_zero).astype(np.int32)))
        if not last:
            x, sums = np.maximum(x, 0), np.maximum(products + added, 0)
            held = to_levels(sums * np.ldexp(1.0, -of_sums), 0, HIGHEST, axis=(0, 1))[1]
            exponent = np.minimum(held, of_sums.min())
            shifts.append(np.minimum(of_sums - exponent, SHIFTS)[0].astype(np.uint8))
            a = rounded(sums, np.ldexp(1.0, -shifts[-1].astype(np.int32)), 0, HIGHEST)
    return IntegerNetwork(bits, found, shifts, input_exponent, zero, of_sums.item(0))


def _weights(weights, biases, bits, exponent, last):
    """(integers (in, out), exponents of the sums (1, out)), so coarse that biases and sums have room.

    exponent: of the inputs. last: all units share one.
    """
    most, shared = LEVELS[bits], np.min if last else lambda values: values
    integers, own = to_levels(weights, -most, most, (0, 1) if last else 0)
    room = np.frexp(float(BIASES))[1] - 1 - np.frexp(biases)[1] - exponent
    above = np.frexp(HIGHEST * np.abs(integers).sum(axis=0) / PRODUCTS)[1]  # integers
    own = np.minimum(own, shared(np.minimum(room, own - np.maximum(above, 0))))
    integers = rounded(weights.astype(np.float64), np.ldexp(1.0, own), -most, most)
    return integers, np.broadcast_to(exponent + own, (1, len(biases)))
