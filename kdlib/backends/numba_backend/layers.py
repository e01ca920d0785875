"""Give compiled code the arrays of `kdlib.backends.dense.Layers`, as tuples with one array for each layer."""

from collections.abc import Sequence

import numpy as np

from kdlib.backends.numba_backend.passes import backward, forward
from kdlib.numerics.grids import MAX_TERMS

# Compiled code takes these in place of None.
NO_TABLE = np.empty(0, np.float32)
NO_UNIT = np.empty((1, 0), np.float32)
NO_MASK = np.empty((1, 0, 0))


def _tables(layers, name, index):
    """Return a table of the `index`-th grid of each layer: its "anchors" or "units"; empty in plain float32."""
    return tuple(getattr(dense.grids[index], name) if dense.grids else NO_TABLE for dense in layers.dense)


def _snapped(layers, name):
    """Return the "anchor" or "unit" (R, m) of each layer's snapped weights; empty in plain float32."""
    return tuple(getattr(dense.product_weights, name)[:, 0] if dense.grids else NO_UNIT for dense in layers.dense)


class Passes:
    """The forward and the backward pass of a stack (`Layers`), compiled, with buffers for batches of `rows` rows."""

    def __init__(self, layers, rows: int):
        replicas = len(layers.gradient)
        sizes = layers.sizes
        snaps = bool(layers.dense[0].grids)

        def buffers(widths):
            return tuple(np.empty((replicas, rows, width), np.float32) for width in widths)

        self.sizes = np.array(sizes)
        self.flat = (layers.parameters, layers.flat_product_weights)
        self.gradient = layers.gradient
        self.max_terms = MAX_TERMS if snaps else max(*sizes, rows)
        self.z = buffers(sizes[1:])
        self.deltas = buffers(sizes[1:])
        self.operands = buffers(sizes[1:-1]) if snaps else self.z[:-1]
        self.scales = tuple(np.empty(a.shape[:2], np.float32) if snaps else NO_UNIT for a in self.operands)
        self.scaled = buffers(sizes[1:]) if snaps else self.deltas
        self.units = _snapped(layers, "unit")
        self.operand_tables = tuple(_tables(layers, name, 0) for name in ("anchors", "units"))
        self.error_anchors = tuple(_tables(layers, "anchors", index) for index in (2, 3, 4))

    def forward(self, operand: tuple[np.ndarray, np.ndarray | None], masks: Sequence[np.ndarray | None]) -> np.ndarray:
        """Return the logits (R, rows, classes) of the operand of the first layer.

        masks: of dropout, one for each hidden layer.
        """
        self._begin(operand, masks)
        forward(self.sizes, *self.flat, *self._inputs, self.z, self._masks, *self.operand_tables, self.max_terms)
        return self.z[-1]

    def _begin(self, operand, masks):
        """Hold what both passes of a batch read."""
        values, unit = operand
        self._inputs = (values, *self.operands), (NO_UNIT if unit is None else unit[..., 0], *self.scales)
        self._masks = tuple(NO_MASK if mask is None else mask for mask in (*masks, None))

    def backward(self, delta: np.ndarray) -> None:
        """Compute the gradient of the last `forward`. delta: with respect to the logits, (R, rows, classes)."""
        self.deltas[-1][...] = delta
        backward(
            self.sizes,
            self.flat[1],
            self.gradient,
            *self._inputs,
            self.z,
            self._masks,
            self.deltas,
            self.scaled,
            self.units,
            self.error_anchors,
            self.max_terms,
        )


class SnappedWeightArrays:
    """Hold the arrays of `Layers` that an update needs: the sizes and the snapped weights."""

    def __init__(self, layers):
        snaps = bool(layers.dense[0].grids)
        self.sizes = np.array(layers.sizes)
        self.widths = self.sizes[1:].sum() if snaps else 0  # lint: integer sum
        self.values = layers.flat_product_weights
        self.anchor = _snapped(layers, "anchor") if snaps else (NO_UNIT,)
        self.unit = _snapped(layers, "unit") if snaps else (NO_UNIT,)
        self.tables = [_tables(layers, name, 1) for name in ("anchors", "units")] if snaps else []
