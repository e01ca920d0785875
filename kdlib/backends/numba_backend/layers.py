"""What compiled code takes of `kdlib.backends.dense.Layers`: tuples of arrays, one for each layer."""

import numpy as np

from kdlib.backends.numba_backend.passes import backward, forward
from kdlib.numerics.grids import PART

NO_TABLE = np.empty(0, np.float32)
NO_UNIT, NO_MASK = np.empty((1, 0), np.float32), np.empty((1, 0, 0))


def _tables(layers, name, index):
    """That table of the `index`-th grid of each layer, of no element in plain float32."""
    return tuple(getattr(dense.grids[index], name) if dense.grids else NO_TABLE for dense in layers.dense)


def _mirrors(layers, name):
    return tuple(getattr(dense.mirror, name)[:, 0] if dense.grids else NO_UNIT for dense in layers.dense)


class Passes:
    """Forward and backward of a stack of `Layers` for batches of so many rows."""

    def __init__(self, layers, rows):
        replicas, sizes, snaps = len(layers.gradient), layers.sizes, bool(layers.dense[0].grids)

        def buffers(widths):
            return tuple(np.empty((replicas, rows, width), np.float32) for width in widths)

        self.sizes, self.flat, self.gradient = np.array(sizes), (layers.parameters, layers.mirrored), layers.gradient
        self.part = PART if snaps else max(*sizes, rows)
        self.z, self.deltas = buffers(sizes[1:]), buffers(sizes[1:])
        self.operands = buffers(sizes[1:-1]) if snaps else self.z[:-1]
        self.scales = tuple(np.empty(a.shape[:2], np.float32) if snaps else NO_UNIT for a in self.operands)
        self.scaled, self.units = buffers(sizes[1:]) if snaps else self.deltas, _mirrors(layers, "unit")
        self.of_operand = tuple(_tables(layers, name, 0) for name in ("anchors", "units"))
        self.of_errors = tuple(_tables(layers, "anchors", index) for index in (2, 3, 4))

    def forward(self, operand, masks):
        values, unit = operand
        self.now = (values, *self.operands), (NO_UNIT if unit is None else unit[..., 0], *self.scales)
        self.masks = tuple(NO_MASK if mask is None else mask for mask in (*masks, None))
        forward(self.sizes, *self.flat, *self.now, self.z, self.masks, *self.of_operand, self.part)
        return self.z[-1]

    def backward(self, delta):
        self.deltas[-1][...] = delta
        backward(
            self.sizes, self.flat[1], self.gradient, *self.now, self.z, self.masks, self.deltas, self.scaled,
            self.units, self.of_errors, self.part,
        )  # fmt: skip


class Mirrored:
    """What an update takes of `Layers`: their sizes and mirrors, none of a plain array."""

    def __init__(self, layers, parameters):
        snaps = layers is not None and bool(layers.dense[0].grids)
        self.sizes = np.array(layers.sizes if layers else (parameters.shape[1] - 1, 1))
        self.widths = self.sizes[1:].sum() if snaps else 0  # integers
        self.values = layers.mirrored if snaps else parameters
        self.anchor, self.unit = (_mirrors(layers, name) if snaps else (NO_UNIT,) for name in ("anchor", "unit"))
        self.tables = [_tables(layers, name, 1) for name in ("anchors", "units")] if snaps else []
