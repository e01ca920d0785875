"""The passes of training, forward and backward, over batches of a stack."""

import numpy as np

from kdlib.learning.network import layer_views


class Backpropagation:
    """Forward and backward passes over batches, in buffers that are allocated once for each batch size.

    `gradient` (R, parameters) is laid out as `network.parameters`; `mirror` has to follow their changes.
    Reference: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986).
    """

    def __init__(self, network, inner_length):
        """inner_length: the longest sum that a pass takes, over the features of a layer or over a batch."""
        self.network = network
        self.arithmetic = network.arithmetic(inner_length)
        self.gradient = np.zeros_like(network.parameters)
        self.mirror = self.arithmetic.mirror(network.parameters)
        self._layers = layer_views(self.mirror.operand, network.sizes)
        self._gradient_layers = layer_views(self.gradient, network.sizes)
        self._buffers, self._ones = {}, {}

    def _batch(self, rows):
        if rows not in self._buffers:
            shapes = [(self.network.replicas, rows, width) for width in self.network.sizes[1:]]
            self._buffers[rows] = [tuple(np.empty(shape, self.gradient.dtype) for _ in range(2)) for shape in shapes]
            self._ones[rows] = np.ones((1, rows), self.gradient.dtype)
        return self._buffers[rows]

    def forward(self, x, masks=None):
        """x: operand (R, batch, features) -> logits (R, batch, classes).

        masks: for dropout, an array (R, batch, width) of zeros and 1 / (1 - rate), or None, for the inputs and for each
        hidden layer.
        """
        buffers = self._batch(x.shape[1])
        self._masks = masks or [None] * len(buffers)
        self._inputs = [x if self._masks[0] is None else self.arithmetic.operand(x * self._masks[0])]
        for index, ((weights, biases), (z, _)) in enumerate(zip(self._layers, buffers, strict=True)):
            self.arithmetic.product(self._inputs[-1], weights, out=z)
            z += biases
            if index < len(buffers) - 1:
                np.maximum(z, 0, out=z)
                if self._masks[index + 1] is not None:
                    z *= self._masks[index + 1]
                self._inputs.append(self.arithmetic.operand(z, out=z, nonnegative=True))
        return z

    def backward(self, delta):
        """delta: gradient of the loss by the logits of the last `forward`, (R, batch, classes). Fills `gradient`."""
        buffers = self._batch(delta.shape[1])
        for index in reversed(range(len(self._layers))):
            a, (weights, biases) = self._inputs[index], self._gradient_layers[index]
            delta = self.arithmetic.operand(delta, out=delta)
            self.arithmetic.product(a.transpose(0, 2, 1), delta, out=weights)
            self.arithmetic.product(self._ones[delta.shape[1]], delta, out=biases)  # the sum over the batch
            if index > 0:
                below = buffers[index - 1][1]
                self.arithmetic.product(delta, self._layers[index][0].transpose(0, 2, 1), out=below)
                # A unit that is off or dropped has a = 0; one that is on has a > 0, and passes its mask on.
                below *= a > 0
                if self._masks[index] is not None:
                    below *= self._masks[index]
                delta = below

    def constrain(self, max_norm):
        """Scale the incoming weights of each unit whose L2 norm is above `max_norm` down to it.

        The norm is the operand's: near the parameters' to the last bit of the grid.
        Reference: Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors" (2012).
        """
        factors = [max_norm / np.sqrt(self.arithmetic.square_sum(weights)) for weights, _ in self._layers]
        above = [(weights, f) for (weights, _), f in zip(self.network.layers, factors, strict=True) if (f < 1).any()]
        for weights, factor in above:
            weights *= np.minimum(factor, 1)
        if above:
            self.mirror.finish()
