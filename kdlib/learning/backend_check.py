"""A check that another back end of kernels trains to the same bits as NumPy."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.backends.numpy_backend import NUMPY, NumpyBackend
from kdlib.learning.backpropagation import Backpropagation
from kdlib.learning.losses import log_or_zero
from kdlib.learning.network import Network
from kdlib.learning.optimizer_base import constants_of_steps
from kdlib.learning.optimizers import optimizer
from kdlib.learning.recipe import Recipe
from kdlib.numerics.grids import MAX_MAGNITUDE, blas_is_exact

WIDTHS = 33, 17, 9  # of the inputs and the first two hidden layers; more are as wide as the last
CLASSES = 5
SPECIAL = (  # values for each of the two networks
    [1e-45, -1e-39, 4e-13, 0.0, -0.0, 1.0, -1.0],
    [3e38, -MAX_MAGNITUDE, 2 * MAX_MAGNITUDE, np.inf, -np.inf, np.nan],
)


def sizes_of(layers: int) -> tuple[int, ...]:
    """Return the widths of a network with `layers` layers of weights, for `example`."""
    return *(WIDTHS + WIDTHS[-1:] * layers)[:layers], CLASSES


class Example(NamedTuple):
    """Inputs and parameters of two networks.

    Attributes
    ----------
    sizes : tuple of int
        Widths of the layers.
    x : ndarray of float32, shape (2, 7, sizes[0])
    targets : ndarray of float64, shape (2, 7, sizes[-1])
    mask : ndarray of float64, shape (2, 7, sizes[-2])
        A dropout mask of the last hidden layer.
    parameters : ndarray of float32, shape (2, parameters)
    """

    sizes: tuple[int, ...]
    x: np.ndarray
    targets: np.ndarray
    mask: np.ndarray
    parameters: np.ndarray


def example(seed: int, sizes: tuple[int, ...]) -> Example:
    """Draw an example with magnitudes of all sizes.

    An odd seed puts in tiny, zero, huge, infinite and NaN values, different ones in each network.
    """
    random = np.random.default_rng(seed)
    network = Network(sizes, 2, EXACT)
    x = random.normal(size=(2, 7, sizes[0]))
    parameters = random.normal(size=network.parameters.shape)
    x *= np.ldexp(1.0, random.integers(-30, 5, (2, 7, 1)))
    parameters *= np.ldexp(1.0, random.integers(-8, 2, parameters.shape[1]))
    for k, special in enumerate(SPECIAL if seed % 2 else ()):
        x[k, 2, random.permutation(sizes[0])[: len(special)]] = special
        parameters[k, random.permutation(parameters.shape[1])[: len(special)]] = special
    targets = random.random((2, 7, sizes[-1]))
    mask = (random.random((2, 7, sizes[-2])) > 0.5) * 1.25
    return Example(sizes, x.astype(np.float32), targets, mask, parameters.astype(np.float32))


def results(backend: NumpyBackend, recipe: Recipe, given: Example) -> dict[str, np.ndarray]:
    """Train three steps with the recipe's optimizer, at several rates and temperatures.

    Parameters
    ----------
    backend : NumpyBackend
    recipe : Recipe
    given : Example

    Returns
    -------
    dict of str to ndarray
        Named results of every step, and the parameters, weights and moments at the end.
    """
    sizes, x, targets, mask, parameters = given
    found = {}
    arithmetic = EXACT.on(backend)
    masks = [*[None] * (len(sizes) - 3), mask][: len(sizes) - 2]
    with np.errstate(all="ignore"):
        network = Network(sizes, 2, EXACT)
        network.parameters[:] = parameters
        passes = Backpropagation(network, x.shape[1], backend=backend)
        update = optimizer(network.parameters, recipe)
        for step, rate in enumerate((0.1, 0.01, np.array([[0.1], [0.7]]))):
            temperature = np.full((2, 1, 1), 3.0) if step else None
            logits = passes.forward(passes.dense[0].operand(x), masks if step else [None] * len(masks))
            found[f"logits {step}"] = logits.copy()
            logits = logits.astype(np.float64)
            errors = arithmetic.softmax_gradient(logits, targets, temperature)
            found[f"errors {step}"] = errors.copy()
            logs = log_or_zero(targets, EXACT)
            found[f"divergences {step}"] = arithmetic.divergence(logits, targets, logs, temperature)
            found[f"cross-entropies {step}"] = arithmetic.divergence(logits, targets[:1])
            passes.backward(errors)
            found[f"gradient {step}"] = passes.gradient.copy()
            update.step(network.parameters, passes.gradient, rate, passes.layers)
            if recipe.max_norm:
                passes.constrain(recipe.max_norm)
        found |= {"parameters": network.parameters, "weights": passes.layers.flat_product_weights, **update.moments}
    return found


def results_in_steps(backend: NumpyBackend, recipe: Recipe, given: Example) -> dict[str, np.ndarray]:
    """Train an epoch of two steps, three rows each, on a loss of two terms; in one call if `backend.has_steps`.

    The parameters are those of `results`; the mask is not used. Return the logits and losses of the epoch, and the
    parameters, weights and moments at its end, named `logits in steps` and so on.
    """
    sizes, x, targets, _, parameters = given
    order = np.array([[0, 6, 2, 4, 5, 1], [3, 5, 4, 0, 2, 6]])
    rates = np.array([[[0.2], [0.01]], [[0.1], [0.7]]])
    temperatures = np.array([[1.0, 3.0], [1.0, 0.7]])
    weights = np.array([[0.3, 6.3], [1.0, 0.0]])
    of_examples = np.array([[1.0, 0.0, 0.3, 2.5, 1e-20, 1.0], [0.1, 1.7, 1.0, 1.0, 3.0, 0.6]])
    offset = x[1, :2].astype(np.float64)
    data = (x[0], order, offset[:1], offset[1:])
    both = [targets[:, :6], targets[:, 1:]]
    logs = [None, log_or_zero(both[1], EXACT)]
    logits = np.empty(both[0].shape)
    losses = np.empty(logits.shape[:2])
    arithmetic = EXACT.on(backend)
    with np.errstate(all="ignore"):
        network = Network(sizes, 2, EXACT)
        network.parameters[:] = parameters
        passes = Backpropagation(network, 3, backend=backend)
        update = optimizer(network.parameters, recipe)
        if backend.has_steps:
            steps = backend.steps(passes.layers, 3, update.rule, tuple(update.moments.values()), np.float64)
            loss = logits, both, logs, temperatures, weights, of_examples
            steps(data, loss, losses, *constants_of_steps(update, rates, network.parameters))
        else:
            for rows, rate in zip((slice(0, 3), slice(3, 6)), rates, strict=True):
                snapped = np.empty((2, 3, sizes[0]), np.float32)
                unit = np.empty((2, 3, 1), np.float32)
                grid = passes.dense[0].grids[0]
                NUMPY.gather(x[0], order[:, rows], offset[0], offset[1], grid, snapped, unit)
                logits[:, rows] = passes.forward((snapped, unit))
                errors = [
                    arithmetic.softmax_gradient(logits[:, rows], target[:, rows], temperatures[:, k, None, None])
                    * weights[:, k, None, None]
                    for k, target in enumerate(both)
                ]
                passes.backward((errors[0] + errors[1]) * of_examples[:, rows, None] / 3)
                terms = [
                    arithmetic.divergence(
                        logits[:, rows], target[:, rows], log if log is None else log[:, rows],
                        temperatures[:, k, None, None],
                    )
                    * weights[:, k, None]
                    for k, (target, log) in enumerate(zip(both, logs, strict=True))
                ]  # fmt: skip
                losses[:, rows] = (terms[0] + terms[1]) * of_examples[:, rows]
                update.step(network.parameters, passes.gradient, rate, passes.layers)
    found = {
        "logits": logits,
        "losses": losses,
        "parameters": network.parameters,
        "weights": passes.layers.flat_product_weights,
        **update.moments,
    }
    return {f"{name} in steps": array for name, array in found.items()}


def differences(backend: NumpyBackend, recipe: Recipe, seeds: Sequence[int] = (0, 1), layers: int = 3) -> str:
    """Compare a back end with NumPy.

    Parameters
    ----------
    backend : NumpyBackend
    recipe : Recipe
        Its optimizer and `max_norm` are tried.
    seeds : sequence of int
        Seeds of the examples.
    layers : int
        Layers of weights: compiled code is made for a number of layers.

    Returns
    -------
    str
        Names of the results that differ on the first example with a difference; "products" if the back end's matrix
        products round, then nothing else is tried; "" if nothing differs.
    """
    if not blas_is_exact(backend.product):
        return "products"
    sizes = sizes_of(layers)
    for seed in seeds:
        given = example(seed, sizes)
        expected, found = (
            results(tried, recipe, given) | results_in_steps(tried, recipe, given) for tried in (NUMPY, backend)
        )
        different = [name for name in expected if not same_bits(expected[name], found[name])]
        if different:
            return ", ".join(different)
    return ""


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether two arrays have the same numbers and the same signs of zeros; all NaNs count as equal."""
    a, b = (np.where(np.isnan(x), np.nan, x).view(f"i{x.itemsize}") for x in (a, b))
    return np.array_equal(a, b)
