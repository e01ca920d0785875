"""Float32 products that cannot round: the bound, its edges, and the three products of a dense layer."""

import math
from fractions import Fraction
from itertools import pairwise
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kdlib.backends.arithmetic import EXACT
from kdlib.backends.dense import ExactDense
from kdlib.numerics import grids
from kdlib.numerics.grids import (
    MAX_MAGNITUDE,
    MAX_TERMS,
    MIN_MAGNITUDE,
    Grid,
    SnappedWeights,
    magnitude,
    product,
    remaining_bits,
    snap,
)

SIZES = st.sampled_from([0.0, -0.0, 1e-45, 1e-39, 1e-30, 1e-12, 1e-6, 1.0, 3e5])
UNITS = st.floats(-1, 1, width=32)


def floats(shape):
    """Entries of one size, or one huge among tiny, or all mixed; zeros of both signs."""
    return arrays(np.float32, shape, elements=st.builds(lambda unit, size: np.float32(unit * size), UNITS, SIZES))


def same_bits(a, b):
    return np.array_equal(a.view(np.int32), b.view(np.int32))


@st.composite
def layers(draw):
    """(x (R, rows, K), weights (R, K, m), biases, delta (R, rows, m))."""
    replicas, rows, inner, width = (draw(st.integers(1, top)) for top in (2, 5, 9, 4))
    x, delta = draw(floats((replicas, rows, inner))), draw(floats((replicas, rows, width)))
    return x, draw(floats((replicas, inner, width))), draw(floats((replicas, 1, width))), delta


def snapped(x, bits, axis, floor=MIN_MAGNITUDE):
    """By rational numbers: multiples of 2^(e - bits), where the largest magnitude along `axis` is in (2^(e-1), 2^e]."""

    def of(line):
        largest = max(max(abs(Fraction(float(v))) for v in line), Fraction(floor))
        e = math.frexp(largest)[1] - (math.frexp(largest)[0] == 0.5)
        unit = Fraction(2) ** (e - bits)
        return np.array([round(Fraction(float(v)) / unit) * unit for v in line])  # round: ties to even

    return np.apply_along_axis(of, axis, x.astype(object))


def exactly(a, b):
    """The product of two stacks of rational matrices as float32."""
    return np.array([p.dot(q) for p, q in zip(a, b, strict=True)]).astype(np.float64).astype(np.float32)


def unit_of(x, bits):
    return Grid(bits).anchor_and_unit(magnitude(x, -1))[1]


def make(pair):
    x, weights, biases, _ = pair
    dense = ExactDense((weights, biases), x.shape[1])
    operand = dense.operand(x)
    return dense, operand, *reversed(dense.bits)


def forward(dense, operand, out):
    return dense.product(operand, out) + dense.biases


@given(st.data(), st.integers(1, 22))
def test_snap_rounds_to_the_nearest_multiple_of_its_rows_unit(data, bits):
    x = data.draw(floats((3, 4)))
    anchor, unit = Grid(bits).anchor_and_unit(magnitude(x, -1))
    result = snap(x, anchor, np.empty_like(x))
    assert result.tolist() == snapped(x, bits, -1).astype(np.float64).tolist()
    assert not np.signbit(result[result == 0]).any()
    assert (np.abs(result) <= unit * 2.0**bits).all()


@pytest.mark.parametrize(("ulps", "unit"), [(-1, 2.0**-7), (0, 2.0**-7), (1, 2.0**-6)])
def test_the_unit_at_a_power_of_two(ulps, unit):
    largest = np.array([1 + ulps * 2.0**-23], np.float32)
    assert Grid(7).anchor_and_unit(largest)[1] == unit


@pytest.mark.parametrize(
    "bad", [math.nan, math.inf, -math.inf, 2.0**57, np.float32(MAX_MAGNITUDE) * np.float32(1 + 2**-23)]
)
def test_what_is_out_of_range_becomes_nan_in_its_own_row(bad):
    x = np.ones((1, 2, 3), np.float32)
    x[0, 0, 1] = bad
    dense = ExactDense((np.ones((1, 3, 2), np.float32), np.zeros((1, 1, 2), np.float32)), 2)
    with np.errstate(invalid="ignore"):
        values, _ = dense.operand(x)
    assert np.isnan(values[0, 0]).all()
    assert values[0, 1].tolist() == [1.0, 1.0, 1.0]


def test_the_limit_itself_is_in_range():
    x = np.full((1, 1, 1), MAX_MAGNITUDE, np.float32)
    assert snap(x, Grid(7).anchor(magnitude(x, -1)), np.empty_like(x)).item() == MAX_MAGNITUDE


@given(layers())
def test_forward_is_the_exact_product_of_the_snapped_operands(pair):
    dense, operand, weight_bits, input_bits = make(pair)
    x, weights, biases, delta = pair
    expected = exactly(snapped(x, input_bits, -1), snapped(weights, weight_bits, 1)) + biases
    assert np.array_equal(forward(dense, operand, np.empty_like(delta)), expected)


@given(layers())
def test_gradients_are_the_exact_products_of_the_operand_and_the_error_on_the_grids_of_its_columns(pair):
    dense, operand, _, input_bits = make(pair)
    x, weights, biases, delta = pair
    unit = np.vectorize(lambda v: Fraction(float(v)))(unit_of(x, input_bits))
    bits = remaining_bits(x.shape[1], input_bits)
    error = snapped((delta * unit_of(x, input_bits)), bits, 1, grids.MIN_SCALED_MAGNITUDE) / unit
    by_weights, by_biases = np.empty_like(weights), np.empty_like(biases)
    dense.gradients(operand, delta, by_weights, by_biases)
    assert np.array_equal(by_weights, exactly(snapped(x, input_bits, -1).transpose(0, 2, 1), error))
    total = snapped(delta, min(22, remaining_bits(x.shape[1])), 1, grids.MIN_SCALED_MAGNITUDE).sum(
        axis=1, keepdims=True
    )
    assert np.array_equal(by_biases, total.astype(np.float64).astype(np.float32))


@given(layers())
def test_backward_is_the_exact_product_of_the_weights_and_the_error_on_the_grids_of_its_rows(pair):
    dense, _, weight_bits, _ = make(pair)
    x, weights, _, delta = pair
    unit32 = dense.product_weights.unit
    unit = np.vectorize(lambda v: Fraction(float(v)))(unit32)
    error = snapped(delta * unit32, remaining_bits(delta.shape[-1], weight_bits), -1, grids.MIN_SCALED_MAGNITUDE) / unit
    expected = exactly(error, snapped(weights, weight_bits, 1).transpose(0, 2, 1))
    assert np.array_equal(dense.backward(delta, np.empty_like(x)), expected)


@given(layers(), st.randoms())
def test_a_pass_is_the_same_in_any_order_of_rows_features_and_units(pair, random):
    dense, operand, *_ = make(pair)
    x, weights, biases, delta = pair
    rows, features, units = (random.sample(range(n), n) for n in (x.shape[1], x.shape[2], delta.shape[2]))
    other, moved, *_ = make((x[:, rows][..., features], weights[:, features][..., units], biases[..., units], delta))
    z, again = forward(dense, operand, np.empty_like(delta)), forward(other, moved, np.empty_like(delta))
    assert same_bits(z[:, rows][..., units] + 0.0, again + 0.0)
    results = []
    for d, o, change in ((dense, operand, delta), (other, moved, delta[:, rows][..., units])):
        results.append((np.empty_like(weights), np.empty_like(biases), np.empty_like(x)))
        d.gradients(o, change, *results[-1][:2])
        d.backward(change, results[-1][2])
    (w, b, below), (w2, b2, below2) = results
    assert same_bits(w[:, features][..., units] + 0.0, w2 + 0.0)
    assert same_bits(b[..., units] + 0.0, b2 + 0.0)
    assert same_bits(below[:, rows][..., features] + 0.0, below2 + 0.0)


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(1, 5000))
def test_the_bits_of_all_three_products_are_within_the_bound(inner, width, rows):
    layer = np.zeros((1, inner, 1), np.float32), np.zeros((1, 1, 1), np.float32)
    layer = np.broadcast_to(layer[0], (1, inner, width)), np.broadcast_to(layer[1], (1, 1, width))
    with mock.patch("kdlib.backends.dense.SnappedWeights"):
        input_bits, weight_bits = ExactDense(layer, rows).bits
    by_rows, by_width = (remaining_bits(n, b) for n, b in ((rows, input_bits), (width, weight_bits)))
    for terms, bits in (
        (inner, input_bits + weight_bits),
        (rows, input_bits + by_rows),
        (width, weight_bits + by_width),
    ):
        assert bits + math.ceil(math.log2(min(terms, MAX_TERMS))) <= 24
    assert min(input_bits, weight_bits, by_rows, by_width) >= 7


def test_a_huge_row_and_a_huge_feature_coarsen_nothing_but_themselves():
    x = np.random.default_rng(0).normal(size=(1, 6, 5)).astype(np.float32)
    spoilt = x.copy()
    spoilt[0, 2, 3] = 1e8
    weights = np.random.default_rng(1).normal(size=(1, 5, 4)).astype(np.float32)
    dense, others = ExactDense((weights, np.zeros((1, 1, 4), np.float32)), 6), [0, 1, 3, 4, 5]
    z, z_spoilt = (forward(dense, dense.operand(v), np.empty((1, 6, 4), np.float32)) for v in (x, spoilt))
    assert same_bits(z[:, others], z_spoilt[:, others])


@pytest.mark.parametrize("inner", [1, 32, 128, 784, MAX_TERMS, MAX_TERMS + 1, 1200, 5000])
def test_products_at_the_bound_are_those_of_integers(inner):
    """All entries of the largest magnitude, and random ones; parts are added in their order."""
    weight_bits = remaining_bits(inner) // 2
    bits = remaining_bits(inner, weight_bits), weight_bits
    parts = -(-inner // MAX_TERMS)
    assert sum(bits) + math.ceil(math.log2(-(-inner // parts))) <= 24
    random = np.random.default_rng(0)
    for low in (0, -1):
        shapes = (1, 9, inner), (1, inner, 7)
        a, b = (random.integers(low * 2**n, 2**n + 1, shape) for n, shape in zip(bits, shapes, strict=True))
        if low == 0:
            a[:], b[:] = 2 ** bits[0], 2 ** bits[1]
        edges = [inner * k // parts for k in range(parts + 1)]
        total = np.zeros((1, 9, 7), np.float32)
        for start, end in pairwise(edges):
            total += np.einsum("rnk,rkm->rnm", a[..., start:end], b[:, start:end]).astype(np.float32)
        assert np.array_equal(product(a.astype(np.float32), b.astype(np.float32)), total)


def test_without_a_grid_products_do_round():
    a = np.array([[[2.0**24, 1.0, 1.0]]], np.float32)
    b = np.ones((1, 3, 1), np.float32)
    assert sum(np.float32(v) for v in a[0, 0]) != sum(np.float32(v) for v in a[0, 0, ::-1])
    values, _ = ExactDense((b, np.zeros((1, 1, 1), np.float32)), 1).operand(a)
    assert values.tolist() == [[[2.0**24, 0.0, 0.0]]]


def rounding(bits):
    """`matmul` of a BLAS that rounds its operands to so many bits."""
    matmul = np.matmul

    def rounded(a, b, out=None):
        a, b = (np.ldexp(np.rint(np.ldexp(m, bits)), e - bits) for m, e in map(np.frexp, (a, b)))
        return matmul(a, b, out=out)

    return rounded


@pytest.mark.parametrize(("bits", "kind"), [(8, "bfloat16"), (11, "TF32")])
def test_a_blas_of_fewer_bits_is_found_out(monkeypatch, bits, kind):
    assert grids.blas_is_exact.__wrapped__()
    monkeypatch.setattr(grids.np, "matmul", rounding(bits))
    assert not grids.blas_is_exact.__wrapped__()


@given(st.data())
def test_weights_that_are_snapped_in_blocks_have_the_grids_of_their_columns(data):
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    weights = random.normal(size=(2, 12, 5)).astype(np.float32)
    snapped_weights = SnappedWeights(weights, Grid(8))
    for _ in range(3):
        height = data.draw(st.integers(1, 13))
        scale = np.float32(data.draw(st.sampled_from([0.3, 1.0, 1.9, 50.0])))
        for start in range(0, 12, height):
            weights[:, start : start + height] *= scale * random.random((5,)).astype(np.float32)
            snapped_weights.update_rows(slice(start, start + height))
        snapped_weights.refresh()
        again = SnappedWeights(weights, Grid(8))
        assert same_bits(snapped_weights.values, again.values)
        assert same_bits(snapped_weights.unit, again.unit)


def test_exact_arithmetic_is_usable_here():
    assert EXACT.usable()
