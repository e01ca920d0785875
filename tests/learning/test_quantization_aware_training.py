"""Training on levels, by the straight-through estimator."""

from dataclasses import replace

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.learning.backpropagation import Backpropagation
from kdlib.learning.network import Network
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.learning.validation import validate
from kdlib.numerics.quantization import FakeQuantizedWeights, to_fixed_point
from kdlib.numerics.streams import Streams

BITS = [8, 4, 2]


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
