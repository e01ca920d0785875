"""Scaling of features: fitted on the training rows, finite for every range."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.io.errors import UserError
from kdlib.preparation import sources
from kdlib.preparation.scaling import fit_scaling
from tests.preparation.small_datasets import examples, inputs, prepare


def test_scaling_is_fitted_on_the_training_split_alone():
    data = examples()
    split = prepare(data=data)
    outlier = examples()
    outlier.x[split.rows("test")] += 1e9
    for scaling in ("minmax", "standard"):
        plain, moved = prepare(data=data, scaling=scaling), prepare(data=outlier, scaling=scaling)
        assert np.array_equal(plain.offset, moved.offset)
        assert np.array_equal(inputs(plain, "train"), inputs(moved, "train"))
        assert inputs(moved, "test").max() > 1e6


def test_standard_scaling():
    x = inputs(prepare(scaling="standard"), "train")
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(0), 1, rtol=1e-12)


@pytest.mark.parametrize("kind", ["standard", "auto"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_what_is_0_or_1_in_every_row_of_a_table_is_left_so(kind, share):
    random = np.random.default_rng(0)
    flags, numbers = (random.random((200, 3)) < share).astype(np.float64), random.integers(0, 3, (200, 2))
    offset, scale = fit_scaling(np.concatenate([flags, numbers], axis=1), kind, False)
    assert (offset[:3].tolist(), scale[:3].tolist()) == ([0, 0, 0], [1, 1, 1])
    assert scale[3:] == pytest.approx(1 / numbers.std(axis=0))
    # A single other value makes it a number; of images a pixel is one, whatever it is in training.
    flags[7, 0] = 0.5
    assert fit_scaling(flags, kind, False)[1][0] == pytest.approx(1 / flags[:, 0].std())
    assert fit_scaling(flags, "standard", True)[1] == pytest.approx(1 / flags.std(axis=0))


def test_categories_truth_values_and_what_is_missing_are_inputs_of_0_and_1(tmp_path):
    kinds = ["lime" if k % 3 else "pear" for k in range(60)]
    lines = [f"{k % 7 if k % 5 else ''},{kinds[k]},{'true' if k % 4 else 'false'},{'ab'[k % 2]}" for k in range(60)]
    (tmp_path / "own.csv").write_text("\n".join(["size,fruit,ripe,class", *lines]), "utf-8")
    dataset = prepare(data=sources.load_examples(str(tmp_path / "own.csv"), "class"), scaling="auto")
    assert dataset.feature_names == ["size", "size is missing", "fruit=lime", "fruit=pear", "ripe"]
    assert (dataset.offset[0, 1:].tolist(), dataset.scale[0, 1:].tolist()) == ([0] * 4, [1] * 4)
    assert dataset.scale[0, 0] == pytest.approx(1 / dataset.x[dataset.rows("train"), 0].std())


def test_scaling_is_by_default_what_suits_images_and_tables():
    image = examples(image_shape=(2, 2))
    assert prepare(scaling="auto").digest == prepare(scaling="standard").digest
    assert prepare(data=image, scaling="auto").digest == prepare(data=image, scaling="minmax").digest


def test_minmax_scaling_of_tables_and_images():
    table = inputs(prepare(scaling="minmax"), "train")
    assert table.min(0).tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(table.max(0), 1, rtol=1e-12)
    image = inputs(prepare(data=examples(image_shape=(2, 2)), scaling="minmax"), "train")
    assert image.min() == 0
    assert image.max() == pytest.approx(1)
    assert (image.max(0) < 1).any()


def test_a_constant_feature_stays_finite():
    data = examples()
    data.x[:, 1] = 7.0
    for scaling in ("minmax", "standard"):
        assert not inputs(prepare(data=data, scaling=scaling), "train")[:, 1].any()


KINDS = pytest.mark.parametrize("kind", ["minmax", "standard"])

CONSTANTS = st.floats(-1e300, 1e300).map(lambda value: value + 0.0)


@KINDS
@settings(deadline=None, max_examples=200)
@given(value=CONSTANTS, count=st.integers(2, 400), off=st.integers(-1, 1))
def test_a_constant_feature_keeps_the_scale_1_also_with_one_value_off_by_a_bit(kind, value, count, off):
    x = np.full((count, 1), value)
    x[0] = np.nextafter(value, off * np.inf) if off else value
    offset, scale = fit_scaling(x, kind, False)
    assert scale[0] == 1
    assert np.abs(x - offset).max() <= 2 * np.spacing(np.abs(x).max())


@KINDS
@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e5 / 7, -0.7])
def test_rounding_noise_is_no_spread(kind, value):
    """The sum of tenths in different orders, say: equal numbers that rounding has made unequal."""
    x = value + np.arange(96)[:, None] % 7 * np.spacing(abs(value))
    assert np.ptp(x) > 0
    assert fit_scaling(x, kind, False)[1][0] == 1


@KINDS
def test_pixels_are_scaled_as_the_floats_that_they_are(kind):
    """Bit for bit, though never all of them are floats at once."""
    x = np.random.default_rng(0).integers(0, 256, (90, 200)).astype(np.uint8)
    for image in (True, False):
        ours, floats = fit_scaling(x, kind, image), fit_scaling(x.astype(np.float64), kind, image)
        assert [a.tobytes() for a in ours] == [a.tobytes() for a in floats]
    alone = [fit_scaling(x[:, k : k + 1], kind, False) for k in range(200)]
    assert [np.concatenate(parts).tobytes() for parts in zip(*alone, strict=True)] == [a.tobytes() for a in floats]


@KINDS
def test_a_small_spread_beside_a_large_mean_is_kept(kind):
    """2^-44 of the magnitude is the bound; a millisecond beside seconds since 1970 is 5e-13, above it."""
    x = 1.7e9 + np.arange(64)[:, None] % 2 * 1e-3
    _, scale = fit_scaling(x, kind, False)
    spread = x.max() - x.min()
    assert scale[0] == pytest.approx((1 if kind == "minmax" else 2) / spread, rel=1e-9)


@KINDS
@settings(deadline=None, max_examples=200)
@given(exponent=st.integers(-1074, 990), count=st.integers(2, 300), at=st.floats(-1, 1))
def test_no_range_gives_an_infinite_scale_or_input(kind, exponent, count, at):
    x = np.zeros((count, 1))
    x[0] = np.ldexp(1.0, exponent)
    x += at * np.ldexp(1.0, exponent)
    offset, scale = fit_scaling(x + 0.0, kind, False)
    assert np.isfinite(scale).all()
    assert (scale > 0).all()
    assert np.abs((x - offset) * scale).max() <= count


@KINDS
def test_a_feature_of_a_range_that_has_no_inverse_is_constant(kind):
    for spread in (5e-324, 5.5e-309, 1e-300):
        assert fit_scaling(np.array([[0.0], [spread]]), kind, False)[1][0] == 1


def test_a_magnitude_whose_range_may_overflow_is_told(tmp_path):
    np.savez(tmp_path / "own.npz", x=np.array([[1e301], [0.0]]), y=np.array(["a", "b"]))
    with pytest.raises(UserError, match=r"magnitudes above 1e300"):
        sources.load_examples(str(tmp_path / "own.npz"), None)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_short_floats_are_taken_without_a_warning(tmp_path, kind):
    """NumPy would warn that 1e300 is beyond them."""
    np.savez(tmp_path / "own.npz", x=np.array([[1.5], [0.0]], kind), y=np.array(["a", "b"]))
    assert sources.load_examples(str(tmp_path / "own.npz"), None).x.tolist() == [[1.5], [0.0]]


def test_each_split_has_the_scaling_of_its_own_training_rows():
    dataset = prepare(splits=3, scaling="standard")
    for split in range(3):
        x = dataset.inputs(dataset.rows("train", split), split)
        np.testing.assert_allclose(x.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(x.std(0), 1, rtol=1e-12)
    assert len({tuple(row) for row in dataset.offset}) == 3
