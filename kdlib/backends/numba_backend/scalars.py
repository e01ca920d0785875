"""The options of numba's compiler, and functions of single numbers.

Nothing is contracted or reordered (no `fastmath`). The largest magnitude of floats is
found by comparing their bits as integers: the order is the same, and NaN is above all numbers.
"""

import math

import numba
import numpy as np
from numba.extending import overload
from numba.np.unsafe.ndarray import to_fixed_tuple

from kdlib.numerics import elementary

MAGNITUDE_BITS = np.int32(0x7FFFFFFF)  # all bits of a float32 but the sign

jit = numba.njit(nogil=True, error_model="numpy")
# For functions that only compiled code calls; without what Python needs to call them, they are compiled sooner.
inner_jit = numba.njit(nogil=True, error_model="numpy", no_cpython_wrapper=True)
exact_exp = inner_jit(elementary.exp)
exact_log_of_positive = inner_jit(elementary.log_of_positive)
as_tuple = to_fixed_tuple  # (array, its length as a constant)


@inner_jit
def fast_exp(x):
    """Return exp(x) by the C library."""
    return math.exp(x)


@inner_jit
def snapped(x, anchor):
    """Return x rounded as by `kdlib.numerics.grids.snap`."""
    return (x + anchor) - anchor


@inner_jit
def magnitude(x):
    """Return the bits of |x|, float32, as an integer."""
    return np.int32(np.float32(x).view(np.int32) & MAGNITUDE_BITS)


@inner_jit
def table_index(magnitude):
    """Return the index of a magnitude, given as bits, in the tables of a `Grid`."""
    index = (magnitude - 1) >> 23
    return index if index >= 0 else 256


EXPONENT_OFFSET = 1078  # minus the lowest exponent
_EXPONENTS = np.arange(-EXPONENT_OFFSET, 1027)
_FIRST = np.ldexp(1.0, _EXPONENTS >> 1)
_SECOND = np.ldexp(1.0, _EXPONENTS - (_EXPONENTS >> 1))


@overload(elementary.scaled)
def _scaled(p, e):
    def by_tables(p, e):
        index = min(max(e + EXPONENT_OFFSET, 0), _FIRST.size - 1)  # NaN may have any e
        return p * _FIRST[index] * _SECOND[index]

    return by_tables


@overload(elementary.entry)
def _entry(table, index):
    return lambda table, index: table[index]


@overload(elementary.parts)
def _parts(x):
    return lambda x: math.frexp(x)


@overload(elementary.integer)
def _integer(k):
    return lambda k: np.int32(k)
