"""The passes of training, forward and backward, over batches of a stack."""

import numpy as np

from kdlib.learning.network import layer_views

BLOCK = 65536  # elements of a block: its arrays stay in the cache while all passes of an update go over them


class Backpropagation:
    """Forward and backward passes over batches, in buffers that are allocated once for each batch size.

    `gradient` (R, parameters) is laid out as `network.parameters`. The layers' products work on mirrors of the
    weights, which follow the parameters where these change by `blocks`; after other changes call `mirror`.
    Reference: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986).
    """

    def __init__(self, network, rows):
        """rows: of the largest batch."""
        self.network = network
        self.dense = [network.arithmetic.dense(layer, rows) for layer in network.layers]
        self.gradient = np.zeros_like(network.parameters)
        self._gradients = layer_views(self.gradient, network.sizes)
        self._buffers, self._blocks = {}, list(self._cut())

    def _cut(self):
        """(columns, dense, rows) of blocks of about BLOCK elements, whole rows of weights, the biases with the last."""
        start = 0
        for dense, (weights, _) in zip(self.dense, self.network.layers, strict=True):
            replicas, fan_in, fan_out = weights.shape
            height = max(1, BLOCK // (replicas * fan_out))
            for top in range(0, fan_in, height):
                bottom = min(top + height, fan_in)
                end = start + (bottom - top + (bottom == fan_in)) * fan_out
                yield slice(start, end), dense, slice(top, bottom)
                start = end

    def _batch(self, rows):
        """For each layer its result, that as the next one's operand, and the gradient by it, each (R, rows, width)."""
        if rows not in self._buffers:
            shapes = [(self.network.replicas, rows, width) for width in self.network.sizes[1:]]
            self._buffers[rows] = [tuple(np.empty(shape, self.gradient.dtype) for _ in range(3)) for shape in shapes]
        return self._buffers[rows]

    def forward(self, operand, masks=None):
        """operand: of the first layer, (R, batch, features) -> logits (R, batch, classes), float32.

        masks: for dropout, an array (R, batch, width) of zeros and 1 / (1 - rate), or None, for each hidden layer.
        """
        self._masks = masks or [None] * (len(self.dense) - 1)
        self._operands, buffers = [operand], self._batch(operand[0].shape[1])
        for index, (dense, (z, snapped, _)) in enumerate(zip(self.dense, buffers, strict=True)):
            dense.forward(self._operands[-1], out=z)
            if index < len(self._masks):
                np.maximum(z, 0, out=z)
                if self._masks[index] is not None:
                    z *= self._masks[index]
                self._operands.append(self.dense[index + 1].operand(z, snapped, nonnegative=True))
        return z

    def backward(self, delta):
        """delta: gradient of the loss by the logits of the last `forward`, (R, batch, classes). Fills `gradient`."""
        buffers = self._batch(delta.shape[1])
        delta = delta.astype(self.gradient.dtype, copy=False)
        for index in reversed(range(len(self.dense))):
            self.dense[index].gradients(self._operands[index], delta, *self._gradients[index])
            if index > 0:
                z, _, below = buffers[index - 1]
                self.dense[index].backward(delta, out=below)
                # A unit that is off or dropped has z = 0; one that is on has z > 0, and passes its mask on.
                below *= z > 0
                if self._masks[index - 1] is not None:
                    below *= self._masks[index - 1]
                delta = below

    def blocks(self):
        """Slices of the parameters' columns, all of them, each to be changed before the next one is asked for."""
        if self.gradient.size > BLOCK:
            for columns, dense, rows in self._blocks:
                yield columns
                dense.mirror.update(rows)
        else:
            yield slice(None)
        self.mirror()

    def mirror(self):
        for dense in self.dense:
            dense.mirror.finish()

    def constrain(self, max_norm):
        """Scale the incoming weights of each unit whose L2 norm is above `max_norm` down to it.

        The norm is that of the weights as the products see them: near the parameters' to the last bit of the grid.
        Reference: Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors" (2012).
        """
        for dense, (weights, _) in zip(self.dense, self.network.layers, strict=True):
            factor = max_norm / np.sqrt(dense.square_sum())
            if (factor < 1).any():
                weights *= np.minimum(factor, 1)
                dense.mirror.finish()
