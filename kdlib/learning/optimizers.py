"""Update rules on flat arrays of parameters (R, parameters), in order of increasing complexity.

They change `parameters` in place and know nothing of networks or losses. Powers are running products: pow is not
rounded alike on all machines.
"""

import math

import numpy as np

DECAY = math.ldexp(1.0, -26)


class Optimizer:
    """What the rules share: a step goes block by block, and running means are kept from fading into subnormals.

    `state`: {name: array}, all that a step changes besides the parameters; it may be overwritten in place.
    """

    def __init__(self, parameters, decay, moments, powers=()):
        self.moments = [np.zeros_like(parameters) for _ in range(moments)]
        self._powers, self._steps = np.ones(len(powers)), np.zeros(1, dtype=np.int64)
        self._bases = np.array(powers)
        named = {f"moment_{k}": moment for k, moment in enumerate(self.moments)}
        self.state = named | {"powers": self._powers, "steps": self._steps}
        self._scratch = np.empty((len(parameters), 0), parameters.dtype)
        self._period, power = 1, decay
        while power * decay > DECAY and self._period < 1024:
            self._period, power = self._period + 1, power * decay

    def step(self, parameters, gradient, learning_rate, blocks=(slice(None),)):
        """gradient: as `parameters`; it is overwritten. learning_rate: a number, or (R, 1).

        blocks: slices of columns, one after another, all of them.
        """
        self._steps += 1
        self._powers *= self._bases
        self._begin(learning_rate, parameters.dtype)
        flush = self._steps[0] % self._period == 0
        for columns in blocks:
            moments = [moment[:, columns] for moment in self.moments]
            block = parameters[:, columns]
            if self._scratch.shape[1] < block.shape[1]:
                self._scratch = np.empty_like(block)
            self._update(block, gradient[:, columns], moments, self._scratch[:, : block.shape[1]])
            if flush:
                for moment in moments:
                    flush_to_zero(moment)


def as_factor(value, dtype):
    """A number, or an array of this dtype: what NumPy makes of a number beside an array of parameters."""
    return value.astype(dtype) if isinstance(value, np.ndarray) else value


def flush_to_zero(moment):
    """Round to a multiple of the last place of an anchor 1.5 * 2^-77, so that what is below a half of it becomes zero.

    Subnormal numbers are slow, and some libraries switch them off for the whole process. In float32 the last place is
    2^-100, and a mean that decays by less than 2^-26 before the next call stays above the subnormals, below 2^-126.
    """
    anchor = moment.dtype.type(math.ldexp(1.5, -77))
    moment += anchor
    moment -= anchor


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: v <- momentum v + g; p <- p - learning_rate v.

    nesterov: p <- p - learning_rate (g + momentum v). weight_decay adds weight_decay p to g.
    Reference: Sutskever et al., "On the importance of initialization and momentum in deep learning" (2013).
    """

    def __init__(self, parameters, momentum=0.9, nesterov=False, weight_decay=0.0):
        super().__init__(parameters, momentum, 1)
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay

    def _begin(self, learning_rate, dtype):
        self.learning_rate = as_factor(learning_rate, dtype)

    def _update(self, parameters, gradient, moments, scratch):
        (velocity,) = moments
        if self.weight_decay:
            gradient += np.multiply(parameters, self.weight_decay, out=scratch)
        velocity *= self.momentum
        velocity += gradient
        direction = velocity
        if self.nesterov:
            gradient += np.multiply(velocity, self.momentum, out=scratch)
            direction = gradient
        parameters -= np.multiply(direction, self.learning_rate, out=scratch)


class Adam(Optimizer):
    """m <- b1 m + (1 - b1) g; v <- b2 v + (1 - b2) g^2; p <- p - learning_rate m^ / (sqrt(v^) + epsilon).

    m^ = m / (1 - b1^t), v^ = v / (1 - b2^t). weight_decay adds weight_decay p to g.
    Reference: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (2015), algorithm 1.
    """

    decoupled = False

    def __init__(self, parameters, beta_1=0.9, beta_2=0.999, epsilon=1e-8, weight_decay=0.0):
        super().__init__(parameters, min(beta_1, beta_2), 2, powers=(beta_1, beta_2))
        self.beta_1, self.beta_2, self.epsilon, self.weight_decay = beta_1, beta_2, epsilon, weight_decay

    def _begin(self, learning_rate, dtype):
        power_1, power_2 = self._powers.tolist()
        self.decay = as_factor(learning_rate * self.weight_decay, dtype)
        # learning_rate m^ / (sqrt(v^) + epsilon) = rate m / (sqrt(v) + floor)
        correction = math.sqrt(1 - power_2)
        self.rate = as_factor(learning_rate * correction / (1 - power_1), dtype)
        self.floor = self.epsilon * correction

    def _update(self, parameters, gradient, moments, scratch):
        mean, square = moments
        if self.weight_decay and self.decoupled:
            parameters -= np.multiply(parameters, self.decay, out=scratch)
        elif self.weight_decay:
            gradient += np.multiply(parameters, self.weight_decay, out=scratch)
        mean *= self.beta_1
        mean += np.multiply(gradient, 1 - self.beta_1, out=scratch)
        square *= self.beta_2
        gradient *= gradient
        gradient *= 1 - self.beta_2
        square += gradient
        np.sqrt(square, out=scratch)
        scratch += self.floor
        np.divide(mean, scratch, out=scratch)
        scratch *= self.rate
        parameters -= scratch


class AdamW(Adam):
    """Adam whose weight decay acts on the parameters, not on the gradient: p <- p - learning_rate weight_decay p.

    Reference: Loshchilov and Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2.
    """

    decoupled = True


OPTIMIZERS = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def optimizer(parameters, recipe):
    """The update rule that a `Recipe` names, for these parameters (R, n)."""
    momentum = {"momentum": recipe.momentum, "nesterov": recipe.nesterov} if recipe.optimizer == "sgd" else {}
    return OPTIMIZERS[recipe.optimizer](parameters, weight_decay=recipe.weight_decay, **momentum)
