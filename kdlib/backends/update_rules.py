"""Update rules, written once: NumPy applies them to arrays, in place, and numba compiles them for single numbers.

Constants are arguments, because compiled code takes a literal for float64. a b + c is rounded twice, by NumPy and by a
compiler that may not contract it.
"""

import functools
from collections.abc import Callable

import numpy as np


@functools.cache
def sgd(nesterov: bool, decays: bool) -> Callable:
    """Return the rule of `kdlib.learning.optimizers.SGD`.

    Parameters
    ----------
    nesterov : bool
        Whether the momentum is Nesterov's.
    decays : bool
        Whether there is a weight decay. Without it the rule ignores `decay`.

    Returns
    -------
    callable
        rule(p, g, velocity, rate, momentum, decay) -> (p, velocity). If g is an array, it is overwritten.
    """

    def rule(p, g, velocity, rate, momentum, decay):
        if decays:
            g += p * decay
        velocity *= momentum
        velocity += g
        if nesterov:
            g += velocity * momentum
            g *= rate
            p -= g
        else:
            p -= velocity * rate
        return p, velocity

    return rule


@functools.cache
def adam(decoupled: bool, decays: bool) -> Callable:
    """Return the rule of `kdlib.learning.optimizers.Adam` or `AdamW`.

    It is p <- p - rate mean / (sqrt(square) + floor). Its constants contain the corrections for the moments' bias.

    Parameters
    ----------
    decoupled : bool
        Whether the weight decay acts on the parameters (AdamW), not on the gradient.
    decays : bool
        Whether there is a weight decay. Without it the rule ignores `decay`.

    Returns
    -------
    callable
        rule(p, g, mean, square, rate, floor, beta_1, rest_1, beta_2, rest_2, decay) -> (p, mean, square), where rest is
        1 - beta. With `decoupled`, `decay` is learning_rate * weight_decay. If g is an array, it is overwritten.
    """

    def rule(p, g, mean, square, rate, floor, beta_1, rest_1, beta_2, rest_2, decay):
        if decays and decoupled:
            p -= p * decay
        elif decays:
            g += p * decay
        mean *= beta_1
        mean += g * rest_1
        square *= beta_2
        g *= g
        g *= rest_2
        square += g
        root = np.sqrt(square)
        root += floor
        step = mean / root
        step *= rate
        p -= step
        return p, mean, square

    return rule
