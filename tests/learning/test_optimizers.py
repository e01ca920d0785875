"""Update rules: a step by hand, PyTorch's where it is installed, and their blocks."""

import numpy as np
import pytest

from kdlib.backends import numpy_backend
from kdlib.learning.optimizer_base import FLUSH_ANCHOR
from kdlib.learning.optimizers import OPTIMIZERS, SGD, Adam
from kdlib.learning.recipe import Recipe


def run(optimizer, parameters, gradients, learning_rate=0.1):
    for gradient in gradients:
        optimizer.step(parameters, gradient.copy(), learning_rate)
    return parameters


def test_two_steps_of_sgd_by_hand():
    parameters = np.array([[1.0]])
    run(SGD(parameters, momentum=0.5), parameters, [np.array([[2.0]]), np.array([[4.0]])], learning_rate=0.25)
    assert parameters.item() == 1.0 - 0.25 * 2.0 - 0.25 * (0.5 * 2.0 + 4.0)


def test_a_nesterov_step_by_hand():
    parameters = np.array([[1.0]])
    run(SGD(parameters, momentum=0.5, nesterov=True), parameters, [np.array([[2.0]])], learning_rate=0.25)
    assert parameters.item() == 1.0 - 0.25 * (2.0 + 0.5 * 2.0)


def test_the_first_step_of_adam_is_the_learning_rate():
    parameters = np.array([[1.0, 1.0]])
    run(Adam(parameters, epsilon=0.0), parameters, [np.array([[3.0, -1e-4]])])
    np.testing.assert_allclose(parameters, [[0.9, 1.1]], rtol=1e-12)


def of_a_recipe(kind):
    """The options of an optimizer, as a recipe has them: PyTorch has other defaults."""
    return {name: getattr(Recipe(), name) for name in kind.options}


RULES = {
    "SGD": (SGD, {"momentum": 0.9}),
    "SGD with Nesterov": (SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    **{name: (kind, {**of_a_recipe(kind), "weight_decay": 0.01}) for name, kind in OPTIMIZERS.items()},
}


@pytest.mark.parametrize("name", RULES)
def test_against_torch(name):
    torch = pytest.importorskip("torch", reason="no PyTorch (pip install torch)")
    rule, options = RULES[name]
    random = np.random.default_rng(0)
    ours, gradients = random.normal(size=(2, 7)), random.normal(size=(50, 2, 7))
    theirs = torch.nn.Parameter(torch.tensor(ours))
    twin = getattr(torch.optim, rule.__name__)([theirs], lr=0.1, **options)
    for gradient in gradients:
        theirs.grad = torch.tensor(gradient)
        twin.step()
    run(rule(ours, **options), ours, gradients)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("name", RULES)
def test_blocks_change_nothing(name, monkeypatch):
    rule, options = RULES[name]
    random = np.random.default_rng(1)
    start, gradients = random.normal(size=(3, 41)), random.normal(size=(40, 3, 41))
    whole = run(rule(start, **options), start.copy(), gradients)
    in_blocks = start.copy()
    monkeypatch.setattr(numpy_backend, "CACHE_ELEMENTS", 8)
    run(rule(in_blocks, **options), in_blocks, gradients)
    assert np.array_equal(whole, in_blocks)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9, 0.99])
def test_a_fading_momentum_becomes_zero_and_never_subnormal(momentum, dtype):
    parameters = np.ones((1, 3), dtype)
    optimizer = SGD(parameters, momentum=momentum)
    gradient = np.full((1, 3), 1e-3, dtype)
    smallest = np.finfo(dtype).tiny
    for _ in range(15000):
        optimizer.step(parameters, gradient.copy(), 0.1)
        gradient[:] = 0
        velocity = np.abs(optimizer.moments["velocity"])
        assert ((velocity == 0) | (velocity >= smallest)).all()
    assert not optimizer.moments["velocity"].any()


def test_flushing_does_not_move_what_training_sees():
    moment = np.array([1.0, -1e-3, 1e-12, 1e-40])
    kept = moment.copy()
    numpy_backend.flush_to_zero(moment, FLUSH_ANCHOR)
    assert np.array_equal(moment[:2], kept[:2])
    assert abs(moment[2] - kept[2]) < 1e-35
    assert moment[3] == 0
