"""Order-independent arithmetic: exact products and sums, exp and log within one unit in the last place."""

import hashlib
import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kdlib.backends.arithmetic import EXACT
from kdlib.numerics import elementary, exact

settings.register_profile("exact", deadline=None, max_examples=60)
settings.load_profile("exact")

MAGNITUDES = st.sampled_from([0.0, 5e-324, 1e-310, 1e-200, 1e-20, 1.0, 3e5, 1e20, 1e150, 1e300])
UNITS = st.floats(-1, 1, width=64)


def floats(shape, magnitudes=MAGNITUDES):
    """Entries of one magnitude, or one huge among tiny, or all mixed."""
    return arrays(np.float64, shape, elements=st.builds(lambda unit, size: unit * size, UNITS, magnitudes))


@st.composite
def factors(draw, magnitudes=MAGNITUDES):
    replicas, rows, inner, columns = (draw(st.integers(1, top)) for top in (2, 4, 17, 4))
    return draw(floats((replicas, rows, inner), magnitudes)), draw(floats((replicas, inner, columns), magnitudes))


def rational_product(a, b):
    """Of one pair of matrices, each entry the exact sum as a float: rounded once, infinite where too large."""

    def as_float(value):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf

    rows = [[Fraction(v) for v in row] for row in a.tolist()]
    columns = [[Fraction(v) for v in column] for column in b.T.tolist()]
    return [[as_float(sum(map(lambda p, q: p * q, row, column))) for column in columns] for row in rows]


def same_bits(a, b):
    return np.array_equal(np.asarray(a).view(np.int64), np.asarray(b).view(np.int64))


@given(factors())
def test_product_is_the_exact_product_of_the_snapped_rows_and_columns(pair):
    with np.errstate(over="ignore", under="ignore"):
        a, b = pair
        bits = exact.product_bits(a.shape[-1])
        result = exact.matmul(a, b)
        for k in range(len(a)):
            expected = rational_product(exact.snap(a, bits, -1)[k], exact.snap(b, bits, -2)[k])
            assert result[k].tolist() == expected
        assert not np.signbit(result[result == 0]).any() or (np.abs(result) < 1e-300).any()


@given(factors(), st.randoms())
def test_a_row_of_a_product_is_the_same_alone_and_in_any_company(pair, random):
    with np.errstate(over="ignore", under="ignore"):
        a, b = pair
        result = exact.matmul(a, b)
        rows = random.choices(range(a.shape[1]), k=5)
        assert same_bits(exact.matmul(a[:, rows], b), result[:, rows])
        column = random.randrange(b.shape[2])
        assert same_bits(exact.matmul(a, b[..., [column]]), result[..., [column]])


@given(factors(), st.randoms())
def test_product_is_the_same_for_any_order_and_transposition(pair, random):
    with np.errstate(over="ignore", under="ignore"):
        a, b = pair
        result = exact.matmul(a, b)
        order = random.sample(range(a.shape[-1]), a.shape[-1])
        assert same_bits(result, exact.matmul(a[:, :, order], b[:, order]))
        transposed = exact.matmul(b.transpose(0, 2, 1), a.transpose(0, 2, 1)).transpose(0, 2, 1)
        assert same_bits(result, np.ascontiguousarray(transposed))


@given(factors(st.sampled_from([0.0, 1e-90, 1e-20, 1.0, 3e5, 1e90])), st.randoms())
def test_product_is_the_sum_of_the_products_of_any_split(pair, random):
    a, b = pair
    bits = exact.product_bits(a.shape[-1])
    p, q = exact.snap(a, bits, -1), exact.snap(b, bits, -2)
    cut = random.randint(0, a.shape[-1])
    parts = p[:, :, :cut] @ q[:, :cut] + p[:, :, cut:] @ q[:, cut:]
    assert same_bits(exact.matmul(a, b) + 0.0, parts + 0.0)


def test_operands_that_are_not_snapped_do_round():
    a = np.array([[[1.0, 2.0**-60, -1.0]]])
    b = np.ones((1, 3, 1))
    assert (a @ b).item() == 0.0
    assert (a[:, :, [0, 2, 1]] @ b).item() == 2.0**-60


@given(floats((2, 5, 3)), st.integers(12, 53))
def test_snap_rounds_to_the_nearest_multiple_of_the_grid(x, bits):
    snapped = exact.snap(x, bits, (1, 2))
    for k in range(len(x)):
        exponent = math.frexp(np.abs(x[k]).max())[1]
        grid = Fraction(2) ** (exponent - bits)
        if grid < Fraction(5e-324):
            assert same_bits(snapped[k], x[k] + 0.0)
            continue
        expected = [float(round(Fraction(v) / grid) * grid) for v in x[k].ravel().tolist()]  # round: ties to even
        assert snapped[k].ravel().tolist() == expected
    assert not np.signbit(snapped[snapped == 0]).any()


@given(floats((4, 5)), st.integers(0, 3))
def test_a_sum_is_on_a_grid_of_its_own(x, k):
    with np.errstate(over="ignore", under="ignore"):
        assert same_bits(exact.sum(x, axis=1)[k : k + 1], exact.sum(x[k : k + 1], axis=1))
        assert same_bits(exact.sum(x.T, axis=0), exact.sum(x, axis=1))


@given(st.integers(1, 40), st.randoms())
def test_sum_is_the_same_in_any_order(n, random):
    values = [random.choice([1e-300, 1e-9, 1.0, 1e16, 1e300]) * random.uniform(-1, 1) for _ in range(n)]
    x = np.array([values])
    total = exact.sum(x, axis=1)
    assert same_bits(total, exact.sum(x[:, random.sample(range(n), n)], axis=1))
    snapped = exact.snap(x, exact.sum_bits(n))[0].tolist()
    assert total[0] == float(sum(map(Fraction, snapped)))


def test_sum_over_several_axes_and_kept_ones():
    x = np.arange(24.0).reshape(2, 3, 4)
    assert exact.sum(x, axis=(1, 2)).tolist() == [66.0, 210.0]
    assert exact.sum(x, axis=-1, keepdims=True).shape == (2, 3, 1)
    assert exact.mean(x, axis=1).tolist() == [[4, 5, 6, 7], [16, 17, 18, 19]]


@pytest.mark.parametrize(("length", "bits"), [(1, 26), (2, 26), (64, 23), (1200, 21), (2**29, 12)])
def test_bits_that_an_inner_length_leaves(length, bits):
    assert exact.product_bits(length) == bits
    assert 2 * bits + math.ceil(math.log2(length)) <= 53


def test_too_long_a_sum_is_refused():
    with pytest.raises(ValueError, match="leaves 11 bits for each operand; at least 12"):
        exact.product_bits(2**29 + 1)
    with pytest.raises(ValueError, match="leaves 11 bits"):
        exact.sum_bits(2**42)


def ulps(result, reference, x):
    """Largest distance, in units in the last place, from the correctly rounded values."""
    worst = 0.0
    with mpmath.workprec(160):
        for value, argument in zip(result.tolist(), x.tolist(), strict=True):
            rounded = float(reference(mpmath.mpf(argument)))
            if value != rounded:
                worst = max(worst, abs(value - rounded) / math.ulp(min(abs(value), abs(rounded))))
    return worst


def exp_arguments():
    random = np.random.default_rng(1)
    edges = [0.0, -0.0, 5e-324, -5e-324, 1e-17, -1e-17, 709.782712893384, -708.4, -745.13, -744.4, -739.9]
    ties = (np.arange(-3000, 3000) + 0.5) * math.log(2) / 1024
    return np.concatenate([random.uniform(-745, 709.7, 8000), random.uniform(-1, 1, 8000), ties, edges])


def test_exp_is_within_one_ulp():
    x = exp_arguments()
    assert ulps(elementary.exp(x), mpmath.exp, x) <= 1


def log_arguments():
    random = np.random.default_rng(2)
    anywhere = np.ldexp(random.uniform(0.5, 1, 8000), random.integers(-1073, 1025, 8000))
    near_one = np.concatenate([random.uniform(0.6, 1.5, 8000), 1 + random.uniform(-1, 1, 4000) * 1e-5])
    cells = np.concatenate([[c - 2**-53, c, c + 2**-52] for c in (np.arange(90, 182) + 0.5) / 128])
    edges = [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1.0, 1 - 2**-53, 1 + 2**-52, math.sqrt(0.5)]
    return np.concatenate([anywhere, near_one, cells, edges])


def test_log_is_within_one_ulp():
    x = log_arguments()
    assert ulps(elementary.log(x), mpmath.log, x) <= 1


def test_cos_pi_is_within_1e_15_and_falls():
    x = np.concatenate([np.arange(4001) / 4000, [0.5 - 2**-53, 0.5 + 2**-52, 1 - 2**-53]])
    found = np.array([elementary.cos_pi(float(value)) for value in x])
    with mpmath.workprec(160):
        worst = max(
            abs(mpmath.cospi(mpmath.mpf(float(a))) - mpmath.mpf(float(b))) for a, b in zip(x, found, strict=True)
        )
    assert worst < 1e-15
    assert (np.diff(found[:4001]) < 0).all()
    assert found[[0, 4000]].tolist() == [1.0, -1.0]
    assert hashlib.sha256(found.tobytes()).hexdigest()[:16] == "d51a7e882ec4cccf"


def test_edges_of_exp_and_log():
    with np.errstate(all="ignore"):
        values = elementary.exp(np.array([-math.inf, -746.0, 0.0, 709.8, math.inf, math.nan]))
    assert values[:5].tolist() == [0.0, 0.0, 1.0, math.inf, math.inf]
    assert math.isnan(values[5])
    values = elementary.log(np.array([0.0, 1.0, math.inf, -1.0, math.nan]))
    assert values[:3].tolist() == [-math.inf, 0.0, math.inf]
    assert np.isnan(values[3:]).all()


@given(st.integers(1, 50), st.randoms())
def test_unit_sum_is_exact_in_any_order(n, random):
    x = np.array([[[random.random() ** random.choice([1, 9, 40]) for _ in range(n)]]])
    total = EXACT.unit_sum(x)
    assert same_bits(total, EXACT.unit_sum(x[:, :, random.sample(range(n), n)]))
    assert abs(Fraction(total.item()) - sum(map(Fraction, x.ravel().tolist()))) <= n * Fraction(1, 2**46)
