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

    It is p <- p - rate first_moment / (sqrt(second_moment) + scaled_epsilon).
    Its constants contain the corrections for the moments' bias.

    Parameters
    ----------
    decoupled : bool
        Whether the weight decay acts on the parameters (AdamW), not on the gradient.
    decays : bool
        Whether there is a weight decay. Without it the rule ignores `decay`.

    Returns
    -------
    callable
        rule(p, g, first_moment, second_moment, rate, scaled_epsilon, beta1, one_minus_beta1, beta2,
        one_minus_beta2, decay) -> (p, first_moment, second_moment). With `decoupled`, `decay` is
        learning_rate * weight_decay. If g is an array, it is overwritten.
    """

    def rule(
        p, g, first_moment, second_moment, rate, scaled_epsilon, beta1, one_minus_beta1, beta2, one_minus_beta2, decay
    ):
        if decays and decoupled:
            p -= p * decay
        elif decays:
            g += p * decay
        first_moment *= beta1
        first_moment += g * one_minus_beta1
        second_moment *= beta2
        g *= g
        g *= one_minus_beta2
        second_moment += g
        root = np.sqrt(second_moment)
        root += scaled_epsilon
        step = first_moment / root
        step *= rate
        p -= step
        return p, first_moment, second_moment

    return rule
