"""The forward and the backward pass of training, over batches of a stack."""

from collections.abc import Sequence

import numpy as np

from kdlib.backends import numpy_backend, rank_gradient
from kdlib.backends.dense import Layers, Operand
from kdlib.backends.numpy_backend import NUMPY, NumpyBackend
from kdlib.backends.ranks import SINGLE_RANK, SingleRank
from kdlib.learning.network import Network
from kdlib.numerics.quantization import fake_quantized_layers


class Backpropagation:
    """Run forward and backward passes, in buffers that are allocated once for each batch size.

    Products use snapped copies of the weights. `Optimizer.step(..., layers=...)` keeps the copies up to date. If you
    change the parameters in any other way, call `refresh_product_weights`.

    Parameters
    ----------
    network : Network
        The stack that is trained.
    rows : int
        Rows of the largest batch.
    bits : int, optional
        Products use weights on levels of this many bits, see `kdlib.numerics.quantization`.
    backend : NumpyBackend
        It computes the passes.
    ranks : SingleRank or Ranks
        They share the rows of each batch.

    Attributes
    ----------
    gradient : array (R, parameters)
        The result of `backward`, laid out as `network.parameters`.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors" (1986).
    """

    def __init__(
        self,
        network: Network,
        rows: int,
        bits: int | None = None,
        backend: NumpyBackend = NUMPY,
        ranks: SingleRank = SINGLE_RANK,
    ):
        self.network = network
        self.layers = Layers(network.arithmetic.dense, network.sizes, network.parameters, rows, backend)
        self.dense = self.layers.dense
        self.gradient = self.layers.gradient
        if bits:
            for dense, quantized in zip(self.dense, fake_quantized_layers(network.layers, bits), strict=True):
                dense.product_weights = quantized
        self._buffers = {}  # by rows
        self._compiled = {}  # by rows
        self._ranks = ranks

    def _batch(self, rows):
        """Return three buffers (R, rows, width) for each layer.

        They hold the pre-activation z, which ReLU and dropout change in place; its snapped copy for the next layer; and
        the gradient with respect to z.
        """
        if rows not in self._buffers:
            shapes = [(self.network.replicas, rows, width) for width in self.network.sizes[1:]]
            self._buffers[rows] = [tuple(np.empty(shape, self.gradient.dtype) for _ in range(3)) for shape in shapes]
        return self._buffers[rows]

    def _passes(self, rows):
        """Return the compiled passes for batches of this size, or None."""
        if rows not in self._compiled:
            self._compiled[rows] = self.layers.backend.passes(self.layers, rows)
        return self._compiled[rows]

    def forward(self, operand: Operand, masks: Sequence[np.ndarray | None] | None = None) -> np.ndarray:
        """Compute the logits of a batch.

        Parameters
        ----------
        operand : tuple (values, unit)
            The batch as an operand of the first layer, see `kdlib.backends.dense`; values are (R, batch, features).
        masks : sequence of arrays (R, batch, width) or None, optional
            Dropout of each hidden layer: zeros and 1 / (1 - rate). None: no dropout.

        Returns
        -------
        array (R, batch, classes)
            Logits in float32, in a buffer that the next call overwrites.
        """
        rows = operand[0].shape[1]
        masks = masks or [None] * (len(self.dense) - 1)
        if passes := self._passes(rows):
            return passes.forward(operand, masks)
        self._masks = masks
        self._operands = [operand]
        *hidden, last = self._batch(rows)
        for index, (z, snapped, _) in enumerate(hidden):
            dense = self.dense[index]
            dense.product(self._operands[index], out=z)
            self._operands.append(self.dense[index + 1].hidden_forward(z, dense.biases, masks[index], snapped))
        logits = self.dense[-1].product(self._operands[-1], out=last[0])
        logits += self.dense[-1].biases
        return logits

    def backward(self, delta: np.ndarray, rows: int | None = None) -> None:
        """Compute `gradient` for the batch of the last `forward`.

        Parameters
        ----------
        delta : array (R, batch, classes)
            Gradient of the loss with respect to the logits.
        rows : int, optional
            Rows of the whole batch, if `delta` has only the share of one of several ranks (`kdlib.backends.ranks`).
            Default: those of `delta`.
        """
        if passes := self._passes(delta.shape[1]):
            passes.backward(delta)
            return
        buffers = self._batch(delta.shape[1])
        several_ranks = self._ranks.size > 1
        deltas = [delta.astype(self.gradient.dtype, copy=False)]
        for index in reversed(range(len(self.dense))):
            if not several_ranks:
                self.dense[index].gradients(self._operands[index], deltas[0], *self.layers.gradients[index])
            if index > 0:
                z, _, delta_below = buffers[index - 1]
                self.dense[index].backward(deltas[0], out=delta_below)
                numpy_backend.relu_backward(delta_below, z)
                if self._masks[index - 1] is not None:
                    delta_below *= self._masks[index - 1]
                deltas.insert(0, delta_below)
        if several_ranks:
            all_rows = delta.shape[1] if rows is None else rows
            rank_gradient.gradient(self._ranks, self.layers, self._operands, deltas, all_rows)

    def refresh_product_weights(self) -> None:
        """Snap the weights anew, after a change of the parameters that no optimizer made."""
        for dense in self.dense:
            dense.product_weights.refresh()

    def constrain(self, max_norm: float) -> None:
        """Scale down the incoming weights of each unit whose L2 norm is above `max_norm`, so that it is `max_norm`.

        The norm is computed from the snapped weights. It differs from the norm of the parameters by about the last bit
        of the grid.

        References
        ----------
        Hinton et al., "Improving neural networks by preventing co-adaptation of feature detectors" (2012).
        """
        self.layers.backend.constrain(self.layers, max_norm)
