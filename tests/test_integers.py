"""Levels, networks of integers, and training on levels."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.deployment.integer_network import IntegerNetwork, pack, unpack
from kdlib.deployment.quantization import quantize
from kdlib.learning.backpropagation import Backpropagation
from kdlib.learning.network import Network
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.learning.validation import validate
from kdlib.numerics.quantization import MAX_INTEGER, FakeQuantizedWeights, to_fixed_point
from kdlib.numerics.streams import Streams

BITS = [8, 4, 2]


def random_layers(*sizes, seed=0):
    random = np.random.default_rng(seed)
    return [
        (random.normal(size=(a, b)).astype(np.float32), random.normal(size=b).astype(np.float32))
        for a, b in pairwise(sizes)
    ]


class TestLevels:
    @pytest.mark.parametrize("bits", BITS)
    def test_no_other_exponent_of_five_has_a_smaller_error(self, bits):
        x, most = np.random.default_rng(0).normal(size=(50, 40)) * np.exp2(np.arange(-20, 20)), MAX_INTEGER[bits]
        integers, exponents = to_fixed_point(x, -most, most, 0)
        top = np.floor(np.log2(most / np.abs(x).max(axis=0)))
        errors = []
        for e in (top - 1, top, top + 1, top + 2, top + 3):
            errors.append(np.square(x - np.clip(np.rint(x * np.exp2(e)), -most, most) / np.exp2(e)).sum(axis=0))
        assert np.array_equal(exponents[0], top - 1 + np.argmin(errors, axis=0))
        assert np.array_equal(integers, np.clip(np.rint(x * np.exp2(exponents)), -most, most))

    @pytest.mark.parametrize("bits", BITS)
    def test_what_is_on_levels_stays(self, bits):
        random, most = np.random.default_rng(1), MAX_INTEGER[bits]
        x = random.integers(-most, most + 1, (9, 30)) * np.exp2(random.integers(-15, 15, 30))
        integers, exponents = to_fixed_point(x, -most, most, 0)
        assert np.array_equal(integers / np.exp2(exponents), x)

    def test_zeros_and_the_least_and_greatest_numbers(self):
        x = np.array([[0.0, 1e-30, 1e11, -0.0]] * 2, np.float32)
        integers, exponents = to_fixed_point(x, -127, 127, 0)
        assert integers.tolist() == [[0, 0, round(1e11 / 2**30), 0]] * 2
        assert not np.signbit(integers).any()
        assert np.abs(exponents).max() <= 40

    def test_inputs_from_zero_have_no_level_below_it(self):
        integers, exponents = to_fixed_point(np.array([[0.0, 255.0], [255.5, 3.0]]), 0, 255, (0, 1))
        assert (integers.min(), integers.max(), exponents.item()) == (0, 255, 0)


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


# Training on levels


@pytest.mark.parametrize("arithmetic", [EXACT, FAST])
@pytest.mark.parametrize("bits", BITS)
def test_the_gradient_is_that_of_the_levels(arithmetic, bits):
    """The straight-through estimator: forward and backward see the levels, as if they were the parameters."""
    random = np.random.default_rng(0)
    network = Network((6, 5, 3), 2, arithmetic)
    network.initialize([np.random.default_rng(k) for k in range(2)])
    x = random.normal(size=(2, 8, 6)).astype(np.float32)
    delta = random.normal(size=(2, 8, 3))
    gradients = []
    for of, given in ((network, bits), (network.quantized_copy(bits), None)):
        passes = Backpropagation(of, 8, given)
        logits = passes.forward(passes.dense[0].operand(x), [None])
        passes.backward(delta)
        gradients.append((logits.copy(), passes.gradient))
    for ours, theirs in zip(*gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=0.05 if arithmetic is EXACT else 1e-5)
    assert not np.array_equal(network.parameters, network.quantized_copy(bits).parameters)


def problem():
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 6))
    one_hot = np.eye(3)[np.argmax(x[:, :3] + x[:, 3:], axis=1)]
    return x, CrossEntropy(one_hot, EXACT), (x[:50], one_hot[:50])


class TestTraining:
    recipe = Recipe((12,), 20, learning_rate=0.1, bits=2, patience=6)

    def train(self, replicas, recipe=recipe):
        x, objective, validation = problem()
        return train(x, objective, recipe, validation, Streams(0, "student", replicas)), validation

    def test_ends_on_levels(self):
        (network, _), _ = self.train((0, 1))
        assert np.array_equal(network.quantized_copy(2).parameters, network.parameters)
        hidden, last = (weights for weights, _ in network.layers)
        assert all(len(np.unique(np.abs(column))) <= 2 for replica in hidden for column in replica.T)
        assert all(len(np.unique(np.abs(replica))) <= 2 for replica in last)

    def test_its_curve_is_of_the_levels(self):
        (network, curve), validation = self.train((0, 1))
        assert np.array_equal(np.nanmin(curve["validation_loss"], axis=1), validate(network, [validation])[0])

    def test_a_replica_is_the_same_alone_and_beside_others(self):
        (stack, _), _ = self.train((0, 1, 2))
        (alone, _), _ = self.train((1,))
        assert np.array_equal(stack.parameters[1], alone.parameters[0])

    def test_loses_less_than_rounding_afterwards(self):
        (floats, _), _ = self.train((0, 1, 2), replace(self.recipe, bits=None))
        (levels, _), validation = self.train((0, 1, 2))
        after = validate(floats.quantized_copy(2), [validation])[0].mean()
        assert validate(levels, [validation])[0].mean() < after

    def test_levels_follow_the_weights(self):
        weights = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
        levels = FakeQuantizedWeights(weights, 4, 1)
        weights *= 3
        levels.update_rows(slice(0, 5))
        levels.refresh()
        integers, exponents = to_fixed_point(weights, -7, 7, 1)
        assert np.array_equal(levels.values, integers / np.exp2(exponents))
        assert np.array_equal(levels.unit, np.exp2(-exponents.astype(float)))
