"""A network of integers: weights of 8, 4 or 2 bits, activations of 8, sums of 32, and powers of two between them.

All that is rounded is rounded to the nearest integer, ties to even; what is beyond a range goes to its end.

1. Inputs: a = u * 2^input_exponent + zero_point of the scaled inputs u, float64, from 0 to 255. zero_point is 0 where
   no training row has a negative input, else 128, which the first biases have taken in.
2. A layer: s = a W + b. No partial sum reaches 2^30, which is checked when a network is made.
3. Between layers: a = max(s, 0) * 2^-shift, from 0 to 255, with a shift for each unit.
4. The last sums are the logits times 2^logit_exponent.

So float64 holds every number exactly, and NumPy's products are those of integers in any order. Reference: Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference" (2018), whose multipliers
are powers of two here.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from kdlib.numerics.levels import LEVELS, rounded

HIGHEST = 255
SUMS = 2**30  # above all magnitudes of sums: a shift by 31 then gives zero
SHIFTS = 31


@dataclass(frozen=True)
class IntegerNetwork:
    """layers: [(weights (in, out) int8, biases (out,) int32), ...]. shifts: (out,) uint8 of each layer but the last."""

    bits: int
    layers: list
    shifts: list
    input_exponent: int
    zero_point: int
    logit_exponent: int

    def __post_init__(self):
        """Raises ValueError for numbers with which the integers could overflow, or that C could not shift by."""
        for weights, biases in self.layers:
            magnitudes = np.abs(weights.astype(np.int64))
            largest = np.max(HIGHEST * magnitudes.sum(axis=0) + np.abs(biases.astype(np.int64)))  # integers
            if magnitudes.max() > LEVELS[self.bits] or largest >= SUMS:
                raise ValueError(f"weights of up to {magnitudes.max()} in {self.bits} bits, sums of up to {largest:,}")
        if any(shifts.max(initial=0) > SHIFTS for shifts in self.shifts):
            raise ValueError(f"shifts of more than {SHIFTS}")
        if max(abs(self.input_exponent), abs(self.logit_exponent)) > 200 or self.zero_point not in (0, 128):
            raise ValueError(f"exponents {self.input_exponent} and {self.logit_exponent}, zero {self.zero_point}")

    @cached_property
    def _operands(self):
        """[(weights, biases, 2^-shift of each unit or None), ...], float64."""
        factors = [*(np.ldexp(1.0, -shifts.astype(np.int32)) for shifts in self.shifts), None]
        layers = [(weights.astype(np.float64), biases.astype(np.float64)) for weights, biases in self.layers]
        return [(*layer, factor) for layer, factor in zip(layers, factors, strict=True)]

    @property
    def sizes(self):
        return (len(self.layers[0][0]), *(len(biases) for _, biases in self.layers))

    def inputs(self, x):
        """x: (n, features) float64, scaled -> integers from 0 to 255."""
        low = -self.zero_point
        return rounded(x, math.ldexp(1, self.input_exponent), low, low + HIGHEST) - low

    def sums(self, x):
        """x: (n, features) float64, scaled -> (n, classes) float64, the integer logits."""
        a = self.inputs(x)
        for weights, biases, factors in self._operands:
            s = np.matmul(a, weights) + biases  # integers
            a = s if factors is None else rounded(s, factors, 0, HIGHEST)
        return a

    def logits(self, x):
        """(n, classes) float64, exactly `sums` * 2^-logit_exponent."""
        return self.sums(x) * math.ldexp(1, -self.logit_exponent)

    def settings(self):
        """What its file says of it besides arrays, for JSON."""
        return {"kind": "integers", "bits": self.bits, "sizes": list(self.sizes)}

    def arrays(self):
        """{name: array}. weights_i: unit after unit, packed as `pack` says."""
        result = {f"shifts_{i}": shifts for i, shifts in enumerate(self.shifts)}
        for i, (weights, biases) in enumerate(self.layers):
            result |= {f"weights_{i}": pack(weights.T.ravel(), self.bits), f"biases_{i}": biases}
        names = ("input_exponent", "zero_point", "logit_exponent")
        return result | {"scalars": np.array([getattr(self, name) for name in names], np.int32)}

    @classmethod
    def from_arrays(cls, arrays, settings):
        """Raises LookupError, TypeError or ValueError if they are no such network's."""
        bits, sizes, layers = settings["bits"], settings["sizes"], []
        if bits not in LEVELS:
            raise ValueError(f"weights of {bits} bits")
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            weights = unpack(arrays[f"weights_{i}"], bits, fan_in * fan_out).reshape(fan_out, fan_in).T
            layers.append((weights, _integers(arrays[f"biases_{i}"], np.int32, fan_out)))
        shifts = [_integers(arrays[f"shifts_{i}"], np.uint8, width) for i, width in enumerate(sizes[1:-1])]
        return cls(bits, layers, shifts, *_integers(arrays["scalars"], np.int32, 3).tolist())


def _integers(array, dtype, count):
    if array.shape != (count,) or array.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"{array.dtype} {array.shape} in place of {np.dtype(dtype)} {(count,)}")
    return array.astype(dtype)


def pack(values, bits):
    """Integers (n,) as two's complements of so many bits, the first in the lowest bits of a byte; (bytes,) uint8."""
    per_byte = 8 // bits
    fields = np.zeros(-(-len(values) // per_byte) * per_byte, np.uint8)
    fields[: len(values)] = values.astype(np.uint8) & ((1 << bits) - 1)
    places = np.arange(per_byte, dtype=np.uint8) * bits
    return np.bitwise_or.reduce(fields.reshape(-1, per_byte) << places, axis=1).astype(np.uint8)


def unpack(packed, bits, count):
    """The inverse of `pack`, (count,) int8. Raises ValueError for another number of bytes."""
    packed = _integers(packed, np.uint8, -(-count * bits // 8))
    fields = packed[:, None] << np.arange(8 - bits, -1, -bits, dtype=np.uint8)  # the sign to the highest bit
    return (fields.astype(np.uint8).view(np.int8) >> (8 - bits)).ravel()[:count]
