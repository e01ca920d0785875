"""An integer network: weights of 8, 4 or 2 bits, activations of 8 bits, sums of 32 bits, scales that are powers of two.

Rounding is to the nearest integer, ties to even. Values outside a range are clipped to its nearest end.

1. Inputs: a = u * 2^input_exponent + zero_point, from 0 to 255, where u are the scaled inputs (float64). zero_point is
   0 if no training row has a negative input, else 128. The biases of the first layer already account for it.
2. A layer: s = a W + b. No partial sum reaches 2^30; the constructor checks this.
3. Between layers: a = max(s, 0) * 2^-shift, from 0 to 255, with one shift for each unit.
4. The sums of the last layer are the logits times 2^logit_exponent.

So float64 holds every number exactly, and NumPy's products equal integer products in any order.

Reference: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(2018). Their multipliers are powers of two here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from kdlib.numerics.quantization import MAX_INTEGER, round_and_clip

MAX_ACTIVATION = 255
SUM_LIMIT = 2**30  # magnitudes of sums are below it: a shift by 31 then gives zero
MAX_SHIFT = 31


@dataclass(frozen=True)
class IntegerNetwork:
    """A network of integers, see the head of this module.

    Parameters
    ----------
    bits : int
        Bits of a weight: 8, 4 or 2.
    layers : list of (np.ndarray, np.ndarray)
        For each layer weights (in, out) int8 and biases (out,) int32.
    shifts : list of np.ndarray
        For each layer but the last, (out,) uint8.
    input_exponent, zero_point, logit_exponent : int

    Raises
    ------
    ValueError
        If the integers could overflow, or if C could not shift by a shift or an exponent.
    """

    bits: int
    layers: list[tuple[np.ndarray, np.ndarray]]
    shifts: list[np.ndarray]
    input_exponent: int
    zero_point: int
    logit_exponent: int

    def __post_init__(self):
        for weights, biases in self.layers:
            magnitudes = np.abs(weights.astype(np.int64))
            products = MAX_ACTIVATION * magnitudes.sum(axis=0)  # lint: integer sum
            largest = np.max(products + np.abs(biases.astype(np.int64)))
            if magnitudes.max() > MAX_INTEGER[self.bits] or largest >= SUM_LIMIT:
                raise ValueError(f"weights of up to {magnitudes.max()} in {self.bits} bits, sums of up to {largest:,}")
        if any(shifts.max(initial=0) > MAX_SHIFT for shifts in self.shifts):
            raise ValueError(f"shifts of more than {MAX_SHIFT}")
        if max(abs(self.input_exponent), abs(self.logit_exponent)) > 200 or self.zero_point not in (0, 128):
            raise ValueError(f"exponents {self.input_exponent} and {self.logit_exponent}, zero {self.zero_point}")

    @cached_property
    def _float_layers(self):
        """[(weights, biases, 2^-shift of each unit or None), ...], float64."""
        factors = [*(np.ldexp(1.0, -shifts.astype(np.int32)) for shifts in self.shifts), None]
        layers = [(weights.astype(np.float64), biases.astype(np.float64)) for weights, biases in self.layers]
        return [(*layer, factor) for layer, factor in zip(layers, factors, strict=True)]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The widths of the layers, input and output included."""
        return (len(self.layers[0][0]), *(len(biases) for _, biases in self.layers))

    def inputs(self, x: np.ndarray) -> np.ndarray:
        """Return the integers 0 to 255 (float64) of scaled features x (n, features) float64."""
        low = -self.zero_point
        return round_and_clip(x, math.ldexp(1, self.input_exponent), low, low + MAX_ACTIVATION) - low

    def sums(self, x: np.ndarray) -> np.ndarray:
        """Return the integer logits (n, classes), held in float64, of scaled features x (n, features) float64."""
        activations = self.inputs(x)
        for weights, biases, factors in self._float_layers:
            sums = np.matmul(activations, weights) + biases  # lint: integer sum
            activations = sums if factors is None else round_and_clip(sums, factors, 0, MAX_ACTIVATION)
        return activations

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Return `sums` * 2^-logit_exponent, (n, classes) float64, exactly."""
        return self.sums(x) * math.ldexp(1, -self.logit_exponent)

    def metadata(self) -> dict:
        """Return the metadata that the model file stores as JSON beside the arrays."""
        return {"kind": "integers", "bits": self.bits, "sizes": list(self.sizes)}

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the model file by name. weights_i has one unit after another, packed by `pack`."""
        result = {f"shifts_{i}": shifts for i, shifts in enumerate(self.shifts)}
        for i, (weights, biases) in enumerate(self.layers):
            result |= {f"weights_{i}": pack(weights.T.ravel(), self.bits), f"biases_{i}": biases}
        names = ("input_exponent", "zero_point", "logit_exponent")
        return result | {"scalars": np.array([getattr(self, name) for name in names], np.int32)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], metadata: dict) -> "IntegerNetwork":
        """Rebuild the network from what `arrays` and `metadata` returned.

        Raises
        ------
        LookupError, TypeError, ValueError
            If the arrays and metadata are not those of an integer network.
        """
        bits = metadata["bits"]
        sizes = metadata["sizes"]
        if bits not in MAX_INTEGER:
            raise ValueError(f"weights of {bits} bits")
        layers = []
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes)):
            weights = unpack(arrays[f"weights_{i}"], bits, fan_in * fan_out).reshape(fan_out, fan_in).T
            layers.append((weights, _checked(arrays[f"biases_{i}"], np.int32, fan_out)))
        shifts = [_checked(arrays[f"shifts_{i}"], np.uint8, width) for i, width in enumerate(sizes[1:-1])]
        return cls(bits, layers, shifts, *_checked(arrays["scalars"], np.int32, 3).tolist())


def _checked(array, dtype, count):
    """Return the array in native byte order; ValueError if its shape is not (count,) or its dtype differs."""
    if array.shape != (count,) or array.dtype.newbyteorder("=") != dtype:
        raise ValueError(f"{array.dtype} {array.shape} in place of {np.dtype(dtype)} {(count,)}")
    return array.astype(dtype)


def pack(values: np.ndarray, bits: int) -> np.ndarray:
    """Pack integers (n,) as two's complements of `bits` bits each.

    Returns
    -------
    np.ndarray
        (bytes,) uint8. The first integer is in the lowest bits of a byte.
    """
    per_byte = 8 // bits
    fields = np.zeros(-(-len(values) // per_byte) * per_byte, np.uint8)
    fields[: len(values)] = values.astype(np.uint8) & ((1 << bits) - 1)
    places = np.arange(per_byte, dtype=np.uint8) * bits
    return np.bitwise_or.reduce(fields.reshape(-1, per_byte) << places, axis=1).astype(np.uint8)


def unpack(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """Undo `pack`: return the integers, (count,) int8.

    Raises
    ------
    ValueError
        If `packed` does not have the number of bytes that `count` integers need.
    """
    packed = _checked(packed, np.uint8, -(-count * bits // 8))
    fields = packed[:, None] << np.arange(8 - bits, -1, -bits, dtype=np.uint8)  # the sign to the highest bit
    return (fields.astype(np.uint8).view(np.int8) >> (8 - bits)).ravel()[:count]
