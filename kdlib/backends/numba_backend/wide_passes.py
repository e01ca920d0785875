"""The passes of a stack of wide networks: NumPy's products, and compiled loops between them.

Where a product takes long, calls from Python do not matter. NumPy's BLAS is often newer than SciPy's, which compiled
code has to use.
"""

from collections.abc import Sequence

import numpy as np

from kdlib.backends.numba_backend.layers import Passes
from kdlib.backends.numba_backend.row_loops import (
    add,
    hidden_forward,
    relu_backward,
    scale_columns,
    scale_rows,
    sum_columns,
)
from kdlib.numerics.grids import product


def plain_product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Multiply two stacks of matrices in plain float32."""
    return np.matmul(a, b, out=out)


class WidePasses(Passes):
    """`Passes` that go layer by layer; the same bits."""

    def __init__(self, layers, rows: int):
        super().__init__(layers, rows)
        self._layers = layers
        self._snaps = bool(layers.dense[0].grids)
        self._multiply = product if self._snaps else plain_product

    def forward(self, operand: tuple[np.ndarray, np.ndarray | None], masks: Sequence[np.ndarray | None]) -> np.ndarray:
        self._begin(operand, masks)
        operands, scales = self._inputs
        for k, (dense, z) in enumerate(zip(self._layers.dense, self.z, strict=True)):
            self._multiply(operands[k], dense.product_weights.values, out=z)
            for r in range(len(z)):
                if k == len(self.z) - 1:
                    add(z[r], dense.biases[r, 0])
                else:
                    tables = (names[k + 1] for names in self.operand_tables)
                    to = operands[k + 1][r], _of(scales[k + 1], r)
                    hidden_forward(z[r], dense.biases[r, 0], _of(self._masks[k], r), *tables, *to)
        return self.z[-1]

    def backward(self, delta: np.ndarray) -> None:
        self.deltas[-1][...] = delta
        operands, scales = self._inputs
        for_weights, for_inputs, for_biases = self.error_anchors
        for k in reversed(range(len(self.z))):
            deltas, errors = self.deltas[k], self.scaled[k]
            weights, biases = self._layers.gradients[k]
            for r, own in enumerate(deltas):
                sum_columns(own, for_biases[k], self.max_terms, biases[r, 0])
                if self._snaps:
                    scale_columns(own, scales[k][r], for_weights[k], errors[r])
            self._multiply(operands[k].transpose(0, 2, 1), errors, out=weights)
            if k > 0:
                if self._snaps:
                    for r, own in enumerate(deltas):
                        scale_rows(own, self.units[k][r], for_inputs[k], errors[r])
                values = self._layers.dense[k].product_weights.values
                self._multiply(errors, values.transpose(0, 2, 1), out=self.deltas[k - 1])
                for r, below in enumerate(self.deltas[k - 1]):
                    relu_backward(below, self.z[k - 1][r], _of(self._masks[k - 1], r))


def _of(arrays, replica):
    """Return one network's array, of arrays for each network or one for all."""
    return arrays[min(replica, len(arrays) - 1)]
