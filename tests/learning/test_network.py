"""The perceptron: its gradient, its layout, and the independence of its replicas."""

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.learning.backpropagation import Backpropagation
from kdlib.learning.network import Network, multiply_adds, parameter_count
from kdlib.numerics.streams import stream

SIZES = (5, 7, 4, 3)


def network(replicas, arithmetic=EXACT, sizes=SIZES):
    result = Network(sizes, replicas, arithmetic)
    result.initialize([stream(0, "weights", k) for k in range(replicas)])
    for _, biases in result.layers:
        biases += 0.1
    return result


def gradient(net, x, delta, masks=None):
    backpropagation = Backpropagation(net, 64)
    first, *masks = masks or [None] * len(net.layers)
    x = (x if first is None else x * first).astype(np.float32)
    backpropagation.forward(backpropagation.dense[0].operand(x), masks)
    backpropagation.backward(delta.copy())
    return backpropagation.gradient


@pytest.mark.parametrize("dropout", [False, True])
def test_gradient_is_that_of_the_forward_pass(dropout):
    """Of sum(weight * logits), in every parameter, by float32's products: the exact ones are tested as such."""
    random = np.random.default_rng(0)
    net, x, weight = network(2, FAST), random.normal(size=(2, 6, 5)), random.normal(size=(2, 6, 3))
    masks = [(random.random((2, 6, width)) < 0.7) / 0.7 for width in SIZES[:-1]] if dropout else None
    analytic, numeric, step = gradient(net, x, weight, masks), np.empty(net.parameters.shape), np.float32(2.0**-9)

    def objective():
        a = x
        for index, (weights, biases) in enumerate(net.layers):
            a = (np.maximum(a, 0) if index else a) * (masks[index] if dropout else 1)
            a = a @ weights.astype(np.float64) + biases
        return (a * weight).sum(axis=(1, 2))

    for index in range(net.parameters.shape[1]):
        saved = net.parameters[:, index].copy()
        net.parameters[:, index] = saved + step
        above = objective()
        net.parameters[:, index] = saved - step
        numeric[:, index] = (above - objective()) / (2 * step)
        net.parameters[:, index] = saved
    kinks = np.abs(analytic - numeric) > 1e-5 * np.abs(analytic).max()
    # Piecewise linear: a difference that straddles a kink of ReLU is off, and there are few.
    assert kinks.mean() < 0.03, f"analytic\n{analytic[kinks]}\nnumeric\n{numeric[kinks]}"


def test_inference_is_the_forward_pass_without_dropout():
    net, x = network(3), np.random.default_rng(1).normal(size=(9, 5))
    plain = Network(SIZES, 3, FAST)
    plain.parameters[:] = net.parameters
    backpropagation = Backpropagation(plain, 9)
    stack = np.broadcast_to(x, (3, 9, 5)).astype(np.float32)
    logits = backpropagation.forward(backpropagation.dense[0].operand(stack))
    assert np.abs(net.logits(x) - logits).max() < 1e-5
    assert np.abs(net.logits(x) - plain.logits(x.astype(np.float32))).max() < 1e-5


def test_a_rows_logits_are_the_same_alone_and_beside_any_other():
    net, x = network(2), np.random.default_rng(1).normal(size=(9, 5))
    logits = net.logits(x)
    x[4, 2] = 1e8
    for rows in ([0, 1], [8, 4, 0], [3]):
        among = [row for row in rows if row != 4]
        kept = [k for k, row in enumerate(rows) if row != 4]
        assert np.array_equal(net.logits(x[rows])[:, kept], logits[:, among])


def test_a_replica_is_the_same_alone_and_in_a_stack():
    random = np.random.default_rng(2)
    x, delta = random.normal(size=(3, 8, 5)), random.normal(size=(3, 8, 3)) * np.array([1, 50, 0.01])[:, None, None]
    together, stack = gradient(network(3), x, delta), network(3)
    for k in range(3):
        alone = Network(SIZES, 1, EXACT)
        alone.parameters[:] = stack.parameters[k]
        assert np.array_equal(gradient(alone, x[k : k + 1], delta[k : k + 1])[0], together[k])
        assert np.array_equal(alone.logits(x[k])[0], stack.logits(x)[k])


def test_counts_by_hand():
    assert parameter_count((64, 32, 10)) == 64 * 32 + 32 + 32 * 10 + 10
    assert multiply_adds((64, 32, 10)) == 64 * 32 + 32 * 10
    assert network(2).parameters.shape == (2, parameter_count(SIZES))


def test_initial_weights_have_the_variance_of_he():
    weights, _ = network(1, sizes=(400, 300, 10)).layers[0]
    assert abs(weights.var() * 400 / 2 - 1) < 0.02
    assert abs(weights.mean()) < 0.001


def test_stored_and_read_again():
    net = network(2)
    again = Network.from_arrays(net.arrays(), EXACT)
    assert again.sizes == SIZES
    assert np.array_equal(again.parameters, net.parameters.astype(np.float32))


@pytest.mark.parametrize("broken", ["biases_1", "weights_1"])
def test_arrays_that_do_not_fit_are_refused(broken):
    arrays = network(1).arrays()
    with pytest.raises(ValueError, match=r"could not|a layer is|do not follow one another"):
        Network.from_arrays(arrays | {broken: arrays[broken][..., :-1]}, EXACT)
    with pytest.raises(KeyError):
        Network.from_arrays({name: array for name, array in arrays.items() if name != "biases_0"}, EXACT)
