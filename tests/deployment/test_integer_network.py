"""Networks of integers."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from kdlib.deployment.integer_network import IntegerNetwork, pack, unpack
from kdlib.deployment.quantization import quantize
from kdlib.numerics.quantization import MAX_INTEGER, to_fixed_point

BITS = [8, 4, 2]


def random_layers(*sizes, seed=0):
    random = np.random.default_rng(seed)
    return [
        (random.normal(size=(a, b)).astype(np.float32), random.normal(size=b).astype(np.float32))
        for a, b in pairwise(sizes)
    ]


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 101])
def test_unpacking_undoes_packing(bits, count):
    values = np.random.default_rng(0).integers(-MAX_INTEGER[bits] - 1, MAX_INTEGER[bits] + 1, count).astype(np.int8)
    packed = pack(values, bits)
    assert packed.nbytes == -(-count * bits // 8)
    assert np.array_equal(unpack(packed, bits, count), values)
    with pytest.raises(ValueError, match="uint8"):
        unpack(packed, bits, count + 8)


def test_the_first_of_two_is_in_the_lower_half_of_a_byte():
    assert pack(np.array([1, -1, 7]), 4).tolist() == [0xF1, 0x07]
    assert pack(np.array([1, -1, 0, 1, -1]), 2).tolist() == [0b01001101, 0b11]


def half_even(value):
    """A Fraction to the nearest integer: what Python's round does."""
    return round(value)


def by_hand(network, row):
    """The rules at the head of `kdlib.deployment.integer_network`, in Python's integers and fractions."""
    z = network.zero_point
    a = [min(255, max(0, half_even(Fraction(u) * Fraction(2) ** network.input_exponent) + z)) for u in row]
    for index, (weights, biases) in enumerate(network.layers):
        columns = zip(*weights.tolist(), strict=True)
        sums = [
            sum(x * w for x, w in zip(a, ws, strict=True)) + b for ws, b in zip(columns, biases.tolist(), strict=True)
        ]
        if index < len(network.shifts):
            pairs = zip(sums, network.shifts[index].tolist(), strict=True)
            a = [min(255, half_even(Fraction(max(s, 0), 2**shift))) for s, shift in pairs]
    return sums


@pytest.fixture(params=[(bits, signed) for bits in BITS for signed in (False, True)], ids=str)
def made(request):
    """(float layers, calibration inputs, IntegerNetwork)."""
    bits, signed = request.param
    layers, random = random_layers(6, 9, 7, 4), np.random.default_rng(2)
    x = random.normal(size=(300, 6)) if signed else random.random((300, 6))
    return layers, x, quantize(layers, x, bits)


def floats(layers, x):
    for index, (weights, biases) in enumerate(layers):
        x = (np.maximum(x, 0) if index else x) @ weights.astype(float) + biases
    return x


class TestIntegerNetwork:
    def test_follows_its_rules(self, made):
        _, x, network = made
        rows = np.concatenate([x[:30], 10 * x[:10], -x[:10], np.zeros((1, 6))])
        assert network.sums(rows).tolist() == [by_hand(network, row) for row in rows.tolist()]

    def test_is_nearer_to_the_floats_with_more_bits(self, made):
        """Two bits more, levels four times as fine, halve the error at least; activations have 8 bits in all three."""
        layers, x, _ = made
        errors = [np.square(quantize(layers, x, bits).logits(x) - floats(layers, x)).mean() for bits in BITS]
        assert np.sqrt(errors[0]) < np.sqrt(errors[1]) / 4
        assert np.sqrt(errors[1]) < np.sqrt(errors[2]) / 2

    def test_means_what_the_floats_mean_on_the_calibration_rows(self, made):
        """The biases take in the mean error, which is then what rounding the last biases leaves."""
        layers, x, network = made
        difference = network.logits(x).mean(axis=0) - floats(layers, x).mean(axis=0)
        assert np.abs(difference).max() <= 0.5001 * 2.0**-network.logit_exponent

    def test_has_no_zero_point_where_no_input_is_negative(self, made):
        _, x, network = made
        assert network.zero_point == (128 if x.min() < 0 else 0)

    def test_comes_back_from_its_arrays(self, made):
        _, x, network = made
        again = IntegerNetwork.from_arrays(network.arrays(), network.metadata())
        assert np.array_equal(again.sums(x), network.sums(x))
        assert again.metadata() == network.metadata()

    def test_weights_on_levels_are_kept_exactly(self):
        for bits in BITS:
            layers = random_layers(5, 6, 3)
            for index, (weights, _) in enumerate(layers):
                integers, exponents = to_fixed_point(
                    weights, -MAX_INTEGER[bits], MAX_INTEGER[bits], (0, 1) if index else 0
                )
                weights[:] = integers / np.exp2(exponents)
            network = quantize(layers, np.random.default_rng(0).random((50, 5)), bits)
            for (weights, _), (integers, _) in zip(layers, network.layers, strict=True):
                unit = np.abs(weights).max(axis=0) / np.maximum(np.abs(integers).max(axis=0), 1)
                assert np.array_equal(integers * unit, weights)

    @pytest.mark.parametrize("bits", BITS)
    def test_holds_what_is_far_apart(self, bits):
        """Dead units, units without weights, biases beyond all products, weights beyond all biases."""
        layers = random_layers(6, 8, 3)
        weights, biases = layers[0]
        weights[:, 0], biases[0] = 0, 0
        weights[:, 1], biases[1] = 0, -3
        weights[:, 2], biases[2] = 1e-12, 1e6
        weights[:, 3], biases[3] = 1e9, 1e-9
        weights[:, 4], biases[4] = 1e-30, 1e-30
        weights[:, 5] *= 1e-5
        x = np.random.default_rng(0).random((100, 6))
        network = quantize(layers, x, bits)
        assert network.sums(x[:20]).tolist() == [by_hand(network, row) for row in x[:20].tolist()]
        assert max(shifts.max() for shifts in network.shifts) <= 31

    def test_more_inputs_than_sums_of_the_largest_weights_allow_coarsen_the_weights(self):
        random = np.random.default_rng(0)
        weights = np.ones((40_000, 3), np.float32)
        weights[:, 1] = random.normal(size=40_000) / 9
        network = quantize([(weights, np.zeros(3, np.float32))], random.random((8, 40_000)), 8)
        integers = network.layers[0][0]
        assert 2**27 < 255 * np.abs(integers.astype(int)).sum(axis=0).max() <= 2**29
        assert network.sums(np.ones((1, 40_000))).tolist() == [by_hand(network, [1.0] * 40_000)]

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda n: {"layers": [(n.layers[0][0], np.full(9, 2**30, np.int32)), *n.layers[1:]]}, "sums of up to"),
            (lambda n: {"layers": [(np.full((6, 9), -128, np.int8), n.layers[0][1]), *n.layers[1:]]}, "up to 128 in"),
            (lambda n: {"shifts": [n.shifts[0] + np.uint8(32), n.shifts[1]]}, "shifts of more than 31"),
            (lambda n: {"zero_point": 3}, "zero 3"),
            (lambda n: {"logit_exponent": 201}, "exponents"),
        ],
    )
    def test_numbers_with_which_it_could_overflow_are_refused(self, made, change, words):
        _, _, network = made
        with pytest.raises(ValueError, match=words):
            replace(network, **change(network))
