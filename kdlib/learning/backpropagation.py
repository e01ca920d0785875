"""The passes of training, forward and backward, over batches of a stack."""

import numpy as np

from kdlib.backends import numpy_backend, rank_gradient, ranks, selection
from kdlib.backends.dense import Layers
from kdlib.numerics.levels import mirrors


class Backpropagation:
    """Forward and backward passes over batches, in buffers that are allocated once for each batch size.

    The layers' products work on mirrors of the weights, which follow the parameters where an optimizer changes these
    with `layers`; after other changes call `mirror`. `gradient` (R, parameters) is laid out as `network.parameters`.
    Reference: Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986).
    """

    def __init__(self, network, rows, bits=None):
        """rows: of the largest batch. bits: None, or of weights whose products are those of their `Levels`."""
        self.network = network
        self.layers = Layers(network.arithmetic.dense, network.sizes, network.parameters, rows)
        self.dense, self.gradient = self.layers.dense, self.layers.gradient
        if bits:
            for dense, mirror in zip(self.dense, mirrors(network.layers, bits), strict=True):
                dense.mirror = mirror
        self._buffers, self._compiled = {}, {}

    def _batch(self, rows):
        """For each layer its result, that as the next one's operand, and the gradient by it, each (R, rows, width)."""
        if rows not in self._buffers:
            shapes = [(self.network.replicas, rows, width) for width in self.network.sizes[1:]]
            self._buffers[rows] = [tuple(np.empty(shape, self.gradient.dtype) for _ in range(3)) for shape in shapes]
        return self._buffers[rows]

    def _passes(self, rows):
        """The compiled passes for so many rows, or None."""
        key = selection.current, rows
        if key not in self._compiled:
            self._compiled[key] = selection.current.passes(self.layers, rows)
        return self._compiled[key]

    def forward(self, operand, masks=None):
        """operand: of the first layer, (R, batch, features) -> logits (R, batch, classes), float32.

        masks: for dropout, an array (R, batch, width) of zeros and 1 / (1 - rate), or None, for each hidden layer.
        """
        rows, masks = operand[0].shape[1], masks or [None] * (len(self.dense) - 1)
        if passes := self._passes(rows):
            return passes.forward(operand, masks)
        self._masks, self._operands = masks, [operand]
        for index, (dense, (z, snapped, _)) in enumerate(zip(self.dense, self._batch(rows), strict=True)):
            dense.product(self._operands[-1], out=z)
            if index < len(self._masks):
                following = self.dense[index + 1]
                self._operands.append(following.activate(z, dense.biases, self._masks[index], snapped))
        z += dense.biases
        return z

    def backward(self, delta, rows=None):
        """delta: gradient of the loss by the logits of the last `forward`, (R, batch, classes). Fills `gradient`.

        rows: of a batch of which these are the `kdlib.backends.ranks` share; None: it is the whole.
        """
        if passes := self._passes(delta.shape[1]):
            passes.backward(delta)
            return
        buffers, of_several = self._batch(delta.shape[1]), ranks.current.size > 1
        deltas = [delta.astype(self.gradient.dtype, copy=False)]
        for index in reversed(range(len(self.dense))):
            if not of_several:
                self.dense[index].gradients(self._operands[index], deltas[0], *self.layers.gradients[index])
            if index > 0:
                z, _, below = buffers[index - 1]
                self.dense[index].backward(deltas[0], out=below)
                numpy_backend.pass_on(below, z)
                if self._masks[index - 1] is not None:
                    below *= self._masks[index - 1]
                deltas.insert(0, below)
        if of_several:
            rank_gradient.gradient(ranks.current, self.layers, self._operands, deltas, rows)

    def mirror(self):
        for dense in self.dense:
            dense.mirror.finish()

    def constrain(self, max_norm):
        """Scale the incoming weights of each unit whose L2 norm is above `max_norm` down to it.

        The norm is that of the weights as the products see them: near the parameters' to the last bit of the grid.
        Reference: Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors" (2012).
        """
        selection.current.constrain(self.layers, max_norm)
