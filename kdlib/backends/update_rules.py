"""Update rules, written once: NumPy applies them to arrays, which change in place, and numba compiles them for numbers.

Numbers beside float32 ones are arguments: compiled code takes a literal for float64. a b + c is rounded twice, by NumPy
and by a compiler that is not told to contract.
"""

import functools

import numpy as np


@functools.cache
def sgd(nesterov, decays):
    """The rule of (p, g, velocity, rate, momentum, decay) -> (p, velocity); arrays of g are overwritten."""

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
def adam(decoupled, decays):
    """The rule of (p, g, mean, square, the constants of `optimizers.Adam`) -> (p, mean, square); g is overwritten."""

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
