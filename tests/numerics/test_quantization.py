"""Quantization: the exponent of the least error, exact on levels, finite at both ends."""

import numpy as np
import pytest

from kdlib.numerics.quantization import MAX_INTEGER, to_fixed_point

BITS = [8, 4, 2]


class TestLevels:
    @pytest.mark.parametrize("bits", BITS)
    def test_no_other_exponent_of_five_has_a_smaller_error(self, bits):
        x, most = np.random.default_rng(0).normal(size=(50, 40)) * np.exp2(np.arange(-20, 20)), MAX_INTEGER[bits]
        integers, exponents = to_fixed_point(x, -most, most, 0)
        top = np.floor(np.log2(most / np.abs(x).max(axis=0)))
        errors = []
        for e in (top - 1, top, top + 1, top + 2, top + 3):
            errors.append(np.square(x - np.clip(np.rint(x * np.exp2(e)), -most, most) / np.exp2(e)).sum(axis=0))
        assert np.array_equal(exponents[0], top - 1 + np.argmin(errors, axis=0))
        assert np.array_equal(integers, np.clip(np.rint(x * np.exp2(exponents)), -most, most))

    @pytest.mark.parametrize("bits", BITS)
    def test_what_is_on_levels_stays(self, bits):
        random, most = np.random.default_rng(1), MAX_INTEGER[bits]
        x = random.integers(-most, most + 1, (9, 30)) * np.exp2(random.integers(-15, 15, 30))
        integers, exponents = to_fixed_point(x, -most, most, 0)
        assert np.array_equal(integers / np.exp2(exponents), x)

    def test_zeros_and_the_least_and_greatest_numbers(self):
        x = np.array([[0.0, 1e-30, 1e11, -0.0]] * 2, np.float32)
        integers, exponents = to_fixed_point(x, -127, 127, 0)
        assert integers.tolist() == [[0, 0, round(1e11 / 2**30), 0]] * 2
        assert not np.signbit(integers).any()
        assert np.abs(exponents).max() <= 40

    def test_inputs_from_zero_have_no_level_below_it(self):
        integers, exponents = to_fixed_point(np.array([[0.0, 255.0], [255.5, 3.0]]), 0, 255, (0, 1))
        assert (integers.min(), integers.max(), exponents.item()) == (0, 255, 0)
