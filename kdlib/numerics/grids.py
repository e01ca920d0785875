"""Float32 numbers on grids of powers of two, one for each row or each column, on which a product cannot round.

The bound. On a grid of b bits an entry is an integer of at most 2^b units of its row or column. With b1 bits for the
rows of the left operand and b2 for the columns of the right one, each partial sum of K products, in any order, with or
without fused multiply-adds, is an integer of at most K 2^(b1 + b2) units of that row and column. Float32 holds every
integer up to 2^24. Hence nothing rounds if b1 + b2 + ceil(log2 K) <= 24. Units of different rows or columns never meet
in a sum: an outlying row coarsens only its own grid. Sums of more than MAX_TERMS terms are cut into parts; the parts
are added in their order.

The range. The smallest magnitude that sets a grid is MIN_MAGNITUDE, or MIN_SCALED_MAGNITUDE for errors that have been
multiplied by the units of the other operand. A magnitude above MAX_MAGNITUDE becomes NaN: training has diverged. So no
unit of an operand or of a product is subnormal, and no partial sum overflows. See `kdlib.backends.dense`.
"""

import functools
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from kdlib.numerics.exact import ceil_log2
from kdlib.numerics.reductions import column_maxima, row_maxima

SIGNIFICAND_BITS = 24
MAX_TERMS = 1024  # terms of the longest sum that is not cut: 7 bits for each operand
MIN_MAGNITUDE = math.ldexp(1, -40)
MIN_SCALED_MAGNITUDE = math.ldexp(1, -60)
MAX_MAGNITUDE = math.ldexp(1, 56)


def remaining_bits(inner_length: int, other: int = 0) -> int:
    """Return the bits that remain for an operand of a product summed over `inner_length` terms.

    Parameters
    ----------
    inner_length : int
    other : int
        Bits of the other operand.
    """
    return SIGNIFICAND_BITS - other - ceil_log2(min(inner_length, MAX_TERMS))


def magnitude(x: np.ndarray, axis: int) -> np.ndarray:
    """Return the largest |x| of each row (axis -1) or column (axis 1); the axis is kept, with length 1."""
    return row_maxima(np.abs(x)) if axis == -1 else column_maxima(np.abs(x))


class Grid:
    """Find the unit of a grid of `bits` bits from the largest magnitude m on it.

    The unit is 2^(e - bits), where 2^(e - 1) < m <= 2^e.

    Parameters
    ----------
    bits : int
        At most 22 are used: with more, the anchor would leave its binade in `snap`.
    floor : float
        Smallest magnitude that sets a grid.
    """

    def __init__(self, bits: int, floor: float = MIN_MAGNITUDE):
        half = np.ldexp(1.0, np.arange(-127, 130))  # 2^(e - 1), by the exponent field of the float before m
        half[-1] = 0.0  # the field of -1, m = 0
        half = np.maximum(half, floor / 2)
        bits = min(bits, SIGNIFICAND_BITS - 2)
        self.units = np.ldexp(np.minimum(half, MAX_MAGNITUDE), 1 - bits).astype(np.float32)
        anchors = np.where(half < MAX_MAGNITUDE, np.ldexp(1.5 * half, SIGNIFICAND_BITS - bits), np.inf)
        self.anchors = anchors.astype(np.float32)

    def anchor(self, largest: np.ndarray) -> np.ndarray:
        """Return the anchors for `snap`.

        Parameters
        ----------
        largest : float32 array, any shape
            Largest magnitude of each row or column.

        Returns
        -------
        float32 array, the shape of `largest`
            Infinite where a magnitude is above MAX_MAGNITUDE.
        """
        return self.anchors.take(_exponent_field(largest))

    def anchor_and_unit(self, largest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the anchors as `anchor` does, and the units, both float32 in the shape of `largest`."""
        field = _exponent_field(largest)
        return self.anchors.take(field), self.units.take(field)


def _exponent_field(largest):
    """Return the exponent field of the float before each magnitude: powers of two end the range of their grid."""
    field = largest.view(np.int32) - 1
    field >>= SIGNIFICAND_BITS - 1
    return field


def snap(x: np.ndarray, anchor: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Round x to multiples of the unit that belongs to `anchor`; ties to even; no -0 in the result.

    The anchor is 1.5 * 2^(23 + e - bits). As |x| <= 2^e, x + anchor stays in the anchor's binade. So its last place is
    the unit, and the difference is exact.

    Parameters
    ----------
    x : float32 array
    anchor : float32 array
        From `Grid.anchor`; broadcasts to x.
    out : float32 array, the shape of x
        Receives the result; may be x.

    Returns
    -------
    float32 array
        `out`, NaN where the anchor is infinite.
    """
    np.add(x, anchor, out=out)
    np.subtract(out, anchor, out=out)
    return out


def sum_edges(inner: int) -> list[int]:
    """Return where the parts of a sum of `inner` terms begin and end, from 0 to `inner`."""
    parts = -(-inner // MAX_TERMS)
    return [inner * k // parts for k in range(parts + 1)]


def product(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
    """Multiply two stacks of snapped matrices; parts of at most MAX_TERMS terms are added in their order.

    Parameters
    ----------
    a : float32 array, shape (R, n, K)
    b : float32 array, shape (R, K, m)
    out : float32 array, shape (R, n, m), optional

    Returns
    -------
    float32 array, shape (R, n, m)
    """
    inner = a.shape[-1]
    if inner <= MAX_TERMS:
        return np.matmul(a, b, out=out)
    ends = sum_edges(inner)
    first = ends[1]
    out = np.matmul(a[..., :first], b[:, :first], out=out)
    for start, end in pairwise(ends[1:]):
        out += np.matmul(a[..., start:end], b[:, start:end])
    return out


@functools.cache
def blas_is_exact(multiply: Callable = product) -> bool:
    """Check that a product of float32 stacks is the product of integers, for operands within the bound.

    A BLAS fails if it rounds operands to bfloat16 (8 bits) or TF32 (11 bits): the operands here have 17 and 9 bits.

    Parameters
    ----------
    multiply : callable
        Takes stacks (1, 256, 256) and (1, 256, 256), as `product` does.
    """
    n = np.arange(256)
    a = (n[:, None] * 181 + n * 89) % 511 - 255
    a[:128] = np.eye(128, 256, dtype=a.dtype) * (65537 + 2 * n)
    b = (n[:, None] * 59 + n * 151) % 255 - 127
    found = multiply(a[None].astype(np.float32), b[None].astype(np.float32))[0]
    return bool((found == np.einsum("ik,kj->ij", a, b)).all())


class SnappedWeights:
    """Keep a snapped copy of weights, one grid for each column, while an optimizer changes the weights.

    Call `update_rows` after each block of rows has changed, then `refresh`. A column's grid follows from its largest
    magnitude, which is known only after the last block of rows. But this magnitude seldom leaves its binade. So each
    block is snapped to the grid of the last round while it is in cache, and only columns whose grid has changed are
    snapped again.

    Parameters
    ----------
    weights : float32 array, shape (R, K, m)
    grid : Grid
    values : float32 array, shape (R, K, m), optional
        Receives the snapped weights, in place of a new array.

    Attributes
    ----------
    values : float32 array, shape (R, K, m)
        The snapped weights.
    anchor, unit : float32 array, shape (R, 1, m)
        Anchor and unit of each column's grid.
    """

    def __init__(self, weights: np.ndarray, grid: Grid, values: np.ndarray | None = None):
        self.weights = weights
        self.grid = grid
        self.values = np.empty_like(weights) if values is None else values
        self._magnitudes = []
        self.anchor, self.unit = np.zeros((2, len(weights), 1, weights.shape[2]), np.float32)
        self.refresh()

    def update_rows(self, rows: slice) -> None:
        """Snap these rows, which have changed, to the last grids, and note their magnitudes."""
        block = self.weights[:, rows]
        self._magnitudes.append(magnitude(block, axis=1))
        snap(block, self.anchor, self.values[:, rows])

    def refresh(self) -> None:
        """Set the grids anew; after a change block by block, call `update_rows` for every block first."""
        magnitudes = self._magnitudes or [magnitude(self.weights, axis=1)]
        anchor, unit = self.grid.anchor_and_unit(functools.reduce(np.maximum, magnitudes))
        self.unit[:] = unit
        if not self._magnitudes:
            snap(self.weights, anchor, self.values)
        elif (moved := np.flatnonzero((anchor != self.anchor).any(axis=(0, 1)))).size:
            columns = np.ascontiguousarray(self.weights[..., moved])
            self.values[..., moved] = snap(columns, anchor[..., moved], columns)
        self.anchor[:] = anchor
        self._magnitudes = []
