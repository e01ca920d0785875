"""Float32 numbers on grids of powers of two, one for each row or each column, on which a product cannot round.

The bound. On a grid of b bits an entry is an integer of at most 2^b units, those of its row or column. With b1 bits for
the rows of the left operand and b2 for the columns of the right one, each partial sum of K products, in any order, with
or without fused multiply-adds, is an integer of at most K 2^(b1 + b2) units of that row and column. Float32 holds every
integer up to 2^24. Hence nothing rounds if b1 + b2 + ceil(log2 K) <= 24, and no unit meets another row's or column's:
an outlying row coarsens its own grid alone. Sums of more than PART terms are cut into parts, added in their order.

The range. The least magnitude that sets a grid is FLOOR, or SCALED_FLOOR for errors that have taken in the units of the
other operand; a magnitude above LIMIT becomes NaN: training has diverged. So no unit of an operand or of a product is
subnormal, and no partial sum overflows. See `kdlib.backends.dense`.
"""

import functools
import math
from itertools import pairwise

import numpy as np

from kdlib.numerics.exact import ceil_log2

SIGNIFICAND_BITS = 24
PART = 1024  # the longest sum: 7 bits for each operand
FLOOR = math.ldexp(1, -40)
SCALED_FLOOR = math.ldexp(1, -60)
LIMIT = math.ldexp(1, 56)


def bits_beside(inner_length, other=0):
    """Bits that a sum over `inner_length` terms leaves to an operand whose counterpart has `other` bits."""
    return SIGNIFICAND_BITS - other - ceil_log2(min(inner_length, PART))


def magnitude(x, axis):
    """Largest |x| along `axis`, which is kept."""
    return np.maximum.reduce(np.abs(x), axis=axis, keepdims=True)


class Grid:
    """Grids of `bits` bits: the unit is 2^(e - bits), 2^(e - 1) < m <= 2^e, for numbers whose largest magnitude is m.

    bits: 22 are used at most, or the anchor would leave its binade in `snap`.
    """

    def __init__(self, bits, floor=FLOOR):
        half = np.ldexp(1.0, np.arange(-127, 130))  # 2^(e - 1), by the exponent field of the float before m
        half[-1] = 0.0  # the field of -1, m = 0
        half = np.maximum(half, floor / 2)
        bits = min(bits, SIGNIFICAND_BITS - 2)
        self.units = np.ldexp(np.minimum(half, LIMIT), 1 - bits).astype(np.float32)
        self.anchors = np.where(half < LIMIT, np.ldexp(1.5 * half, SIGNIFICAND_BITS - bits), np.inf).astype(np.float32)

    def anchor(self, largest):
        """Of `snap`, for the `largest` magnitudes, float32 of any shape; infinite above LIMIT."""
        return self.anchors.take(_field(largest))

    def anchor_and_unit(self, largest):
        field = _field(largest)
        return self.anchors.take(field), self.units.take(field)


def _field(largest):
    field = largest.view(np.int32) - 1
    field >>= SIGNIFICAND_BITS - 1
    return field


def snap(x, anchor, out):
    """Round x to multiples of the unit that belongs to `anchor`, 1.5 * 2^(23 + e - bits); ties to even; no -0.

    |x| <= 2^e moves the anchor by no binade, so that x + anchor has its last place, the unit, and the difference is
    exact. NaN where the anchor is infinite.
    """
    np.add(x, anchor, out=out)
    np.subtract(out, anchor, out=out)
    return out


def edges(inner):
    """Where the parts of a sum of so many terms begin and end."""
    parts = -(-inner // PART)
    return [inner * k // parts for k in range(parts + 1)]


def product(a, b, out=None):
    """(R, n, K) @ (R, K, m) -> (R, n, m) of snapped operands; parts of at most PART terms are added in their order."""
    inner = a.shape[-1]
    if inner <= PART:
        return np.matmul(a, b, out=out)
    _, first, *_ = ends = edges(inner)
    out = np.matmul(a[..., :first], b[:, :first], out=out)
    for start, end in pairwise(ends[1:]):
        out += np.matmul(a[..., start:end], b[:, start:end])
    return out


@functools.cache
def blas_is_exact(multiply=product):
    """Whether a function of float32 stacks, such as NumPy's product, gives that of integers within the bound.

    It is not where a BLAS rounds operands to bfloat16 (8 bits) or TF32 (11 bits): these have 17 and 9.
    """
    n = np.arange(256)
    a = (n[:, None] * 181 + n * 89) % 511 - 255
    a[:128] = np.eye(128, 256, dtype=a.dtype) * (65537 + 2 * n)
    b = (n[:, None] * 59 + n * 151) % 255 - 127
    found = multiply(a[None].astype(np.float32), b[None].astype(np.float32))[0]
    return bool((found == np.einsum("ik,kj->ij", a, b)).all())


class Mirror:
    """Weights (R, K, m) on a grid for each column, while an optimizer changes them: `update` rows, then `finish`.

    A column's grid follows from its largest magnitude, which is known after the last block of rows. It seldom leaves
    its binade: each block is snapped, while in cache, to the grid of the last round, and the columns that moved anew.
    """

    def __init__(self, weights, grid, values=None):
        """values: where the snapped weights go, if not into a new array."""
        self.weights, self.grid = weights, grid
        self.values = np.empty_like(weights) if values is None else values
        self._bounds, self.anchor, self.unit = [], *np.zeros((2, len(weights), 1, weights.shape[2]), np.float32)
        self.finish()

    def update(self, rows):
        block = self.weights[:, rows]
        self._bounds.append(magnitude(block, axis=1))
        snap(block, self.anchor, self.values[:, rows])

    def finish(self):
        """After `update` of all rows, or of none where the weights have changed otherwise."""
        anchor, self.unit[:] = self.grid.anchor_and_unit(
            functools.reduce(np.maximum, self._bounds or [magnitude(self.weights, axis=1)])
        )
        if not self._bounds:
            snap(self.weights, anchor, self.values)
        elif (moved := np.flatnonzero((anchor != self.anchor).any(axis=(0, 1)))).size:
            columns = np.ascontiguousarray(self.weights[..., moved])
            self.values[..., moved] = snap(columns, anchor[..., moved], columns)
        self.anchor[:], self._bounds = anchor, []
