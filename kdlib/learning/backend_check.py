"""Whether another back end of kernels trains to the bits of NumPy."""

import numpy as np

from kdlib.backends import numpy_backend, selection
from kdlib.backends.arithmetic import Exact
from kdlib.learning.backpropagation import Backpropagation
from kdlib.learning.losses import log_softmax
from kdlib.learning.network import Network
from kdlib.learning.optimizers import factors, optimizer
from kdlib.numerics.grids import LIMIT, blas_is_exact

SIZES = 33, 17, 9, 5
SPECIAL = [1e-45, -1e-39, 4e-13, 0.0, -0.0, 1.0, -1.0], [3e38, -LIMIT, 2 * LIMIT, np.inf, -np.inf, np.nan]


def example(seed):
    """(x (2, 7, 33), targets (2, 7, 5), mask (2, 7, 9), parameters (2, P)): magnitudes of all sizes.

    Of an odd seed there are special ones among them, for each network others.
    """
    random, network = np.random.default_rng(seed), Network(SIZES, 2, Exact)
    x, parameters = random.normal(size=(2, 7, SIZES[0])), random.normal(size=network.parameters.shape)
    x *= np.ldexp(1.0, random.integers(-30, 5, (2, 7, 1)))
    parameters *= np.ldexp(1.0, random.integers(-8, 2, parameters.shape[1]))
    for k, special in enumerate(SPECIAL if seed % 2 else ()):
        x[k, 2, random.permutation(SIZES[0])[: len(special)]] = special
        parameters[k, random.permutation(parameters.shape[1])[: len(special)]] = special
    targets, mask = random.random((2, 7, SIZES[-1])), (random.random((2, 7, SIZES[2])) > 0.5) * 1.25
    return x.astype(np.float32), targets, mask, parameters.astype(np.float32)


def results(back_end, recipe, x, targets, mask, parameters):
    """{what: array} of three steps with the optimizer of the recipe, at several rates and temperatures."""
    found = {}
    with selection.using(back_end), np.errstate(all="ignore"):
        network = Network(SIZES, 2, Exact)
        network.parameters[:] = parameters
        passes, update = Backpropagation(network, x.shape[1]), optimizer(network.parameters, recipe)
        for step, rate in enumerate((0.1, 0.01, np.array([[0.1], [0.7]]))):
            temperature = np.full((2, 1, 1), 3.0) if step else None
            logits = passes.forward(passes.dense[0].operand(x), [None, mask if step else None])
            found[f"logits {step}"], logits = logits.copy(), logits.astype(np.float64)
            errors = Exact.softmax_gradient(logits, targets, temperature)
            found[f"errors {step}"], found[f"losses {step}"] = errors.copy(), log_softmax(logits, Exact, temperature)
            passes.backward(errors)
            found[f"gradient {step}"] = passes.gradient.copy()
            update.step(network.parameters, passes.gradient, rate, passes.layers)
            if recipe.max_norm:
                passes.constrain(recipe.max_norm)
        found |= {"parameters": network.parameters, "weights": passes.layers.mirrored, **update.moments}
    return found


def results_in_steps(back_end, recipe, x, targets, mask, parameters):
    """{what: array} of an epoch of two steps of three rows on two terms, in one call where the back end has that."""
    order, rates = np.array([[0, 6, 2, 4, 5, 1], [3, 5, 4, 0, 2, 6]]), np.array([[[0.2], [0.01]], [[0.1], [0.7]]])
    temperatures, weights = np.array([[1.0, 3.0], [1.0, 0.7]]), np.array([[0.3, 6.3], [1.0, 0.0]])
    data, targets = (x[0], order, x[1, :1], x[1, 1:2]), [targets[:, :6], targets[:, 1:]]
    logits = np.empty(targets[0].shape)
    with selection.using(back_end), np.errstate(all="ignore"):
        network = Network(SIZES, 2, Exact)
        network.parameters[:] = parameters
        passes, update = Backpropagation(network, 3), optimizer(network.parameters, recipe)
        if back_end.steps:
            steps = back_end.steps(passes.layers, 3, update.rule, tuple(update.moments.values()), np.float64)
            steps(data, (logits, targets, temperatures, weights), *factors(update, rates, network.parameters))
        else:
            for rows, rate in zip((slice(0, 3), slice(3, 6)), rates, strict=True):
                out, unit = np.empty((2, 3, SIZES[0]), np.float32), np.empty((2, 3, 1), np.float32)
                numpy_backend.gather(x[0], order[:, rows], *x[1, :2], passes.dense[0].grids[0], out, unit)
                logits[:, rows] = passes.forward((out, unit))
                errors = [
                    Exact.softmax_gradient(logits[:, rows], of[:, rows], temperatures[:, k, None, None])
                    * weights[:, k, None, None]
                    for k, of in enumerate(targets)
                ]
                passes.backward((errors[0] + errors[1]) / 3)
                update.step(network.parameters, passes.gradient, rate, passes.layers)
    found = {"logits": logits, "parameters": network.parameters, "weights": passes.layers.mirrored, **update.moments}
    return {f"{name} in steps": array for name, array in found.items()}


def disagreement(back_end, recipe, seeds=(0, 1)):
    """The names of what differs on the examples of these seeds, as a text; "" if nothing does."""
    if not blas_is_exact(back_end.product):
        return "products"
    for seed in seeds:
        ours, theirs = (
            results(each, recipe, *example(seed)) | results_in_steps(each, recipe, *example(seed))
            for each in (numpy_backend, back_end)
        )
        differs = [name for name in ours if not same_bits(ours[name], theirs[name])]
        if differs:
            return ", ".join(differs)
    return ""


def same_bits(a, b):
    """Whether numbers, and the signs of zeros, are the same; any NaN is as good as another."""
    a, b = (np.where(np.isnan(x), np.nan, x).view(f"i{x.itemsize}") for x in (a, b))
    return np.array_equal(a, b)
