"""What numba compiles, and how: nothing is contracted or reordered (no `fastmath`), nothing is written to disk.

The largest magnitude of floats is found by their bits, which order alike, NaN above all: no float is compared.
"""

import math

import numba
import numpy as np
from numba.extending import overload

from kdlib.numerics import elementary

MAGNITUDE = np.int32(0x7FFFFFFF)

jit = numba.njit(nogil=True, error_model="numpy")
exact_exp = jit(elementary.exp)


@jit
def fast_exp(x):
    return math.exp(x)


@jit
def snapped(x, anchor):
    """`kdlib.numerics.grids.snap`."""
    return (x + anchor) - anchor


@jit
def magnitude(x):
    """The bits of |x|, float32."""
    return np.int32(np.float32(x).view(np.int32) & MAGNITUDE)


@jit
def field(magnitude):
    """The place in a `Grid`'s tables of a magnitude, given as bits."""
    place = (magnitude - 1) >> 23
    return place if place >= 0 else 256


LOWEST = 1078
_EXPONENTS = np.arange(-LOWEST, 1027)
_FIRST, _SECOND = (np.ldexp(1.0, part) for part in (_EXPONENTS >> 1, _EXPONENTS - (_EXPONENTS >> 1)))


@overload(elementary.scaled)
def _scaled(p, e):
    def by_tables(p, e):
        place = min(max(e + LOWEST, 0), _FIRST.size - 1)  # NaN may have any e
        return p * _FIRST[place] * _SECOND[place]

    return by_tables


@overload(elementary.entry)
def _entry(table, index):
    return lambda table, index: table[index]


@overload(elementary.integer)
def _integer(k):
    return lambda k: np.int32(k)
