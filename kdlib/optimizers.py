"""Update rules on flat arrays of parameters (R, parameters), in order of increasing complexity.

They change `parameters` in place and know nothing of networks or losses. Powers are running products: pow is not
rounded alike on all machines.
"""

import math

import numpy as np


def flush(moment):
    """Round a running mean to a multiple of 2^-121 or finer, so that its decay never meets subnormal numbers.

    Those are slow, and some libraries switch them off for the whole process. Above 2^-97 this changes at most the
    last place in float32, and in float64 nothing above 2^-69.
    """
    anchor = moment.dtype.type(math.ldexp(1.5, -98))
    moment += anchor
    moment -= anchor


class SGD:
    """Stochastic gradient descent with momentum: v <- momentum v + g; p <- p - learning_rate v.

    nesterov: p <- p - learning_rate (g + momentum v). weight_decay adds weight_decay p to g.
    Reference: Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).
    """

    def __init__(self, parameters, momentum=0.9, nesterov=False, weight_decay=0.0):
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay
        self.velocity = np.zeros_like(parameters)
        self._scratch = np.empty_like(parameters)

    def step(self, parameters, gradient, learning_rate):
        """gradient: as `parameters`; it is overwritten."""
        if self.weight_decay:
            gradient += np.multiply(parameters, self.weight_decay, out=self._scratch)
        self.velocity *= self.momentum
        self.velocity += gradient
        flush(self.velocity)
        if self.nesterov:
            gradient += np.multiply(self.velocity, self.momentum, out=self._scratch)
            parameters -= np.multiply(gradient, learning_rate, out=self._scratch)
        else:
            parameters -= np.multiply(self.velocity, learning_rate, out=self._scratch)


class Adam:
    """m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; p <- p - learning_rate m^ / (sqrt(v^) + epsilon).

    weight_decay adds weight_decay p to g. Reference: Kingma and Ba, "Adam: A Method for Stochastic Optimization"
    (2015), algorithm 1.
    """

    decoupled = False

    def __init__(self, parameters, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0):
        self.beta_1, self.beta_2, self.epsilon, self.weight_decay = beta_1, beta_2, epsilon, weight_decay
        self.power_1 = self.power_2 = 1.0
        self.mean, self.square = np.zeros_like(parameters), np.zeros_like(parameters)
        self._scratch = np.empty_like(parameters)

    def step(self, parameters, gradient, learning_rate):
        """gradient: as `parameters`; it is overwritten."""
        scratch = self._scratch
        if self.weight_decay and self.decoupled:
            parameters -= np.multiply(parameters, learning_rate * self.weight_decay, out=scratch)
        elif self.weight_decay:
            gradient += np.multiply(parameters, self.weight_decay, out=scratch)
        self.power_1 *= self.beta_1
        self.power_2 *= self.beta_2
        self.mean *= self.beta_1
        self.mean += np.multiply(gradient, 1 - self.beta_1, out=scratch)
        flush(self.mean)
        self.square *= self.beta_2
        gradient *= gradient
        gradient *= 1 - self.beta_2
        self.square += gradient
        flush(self.square)
        np.sqrt(self.square, out=scratch)
        scratch *= 1 / math.sqrt(1 - self.power_2)
        scratch += self.epsilon
        np.divide(self.mean, scratch, out=scratch)
        scratch *= learning_rate / (1 - self.power_1)
        parameters -= scratch


class AdamW(Adam):
    """Adam whose weight decay acts on the parameters, not on the gradient: p <- p - learning_rate weight_decay p.

    Reference: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.
    """

    decoupled = True


OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW}
