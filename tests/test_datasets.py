"""Splits, scaling, hidden labels, and the digest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets

from kdlib.data.dataset import SPLITS, Dataset
from kdlib.errors import UserError
from kdlib.preparation import assembly, bundled, sources
from kdlib.preparation.scaling import fit_scaling
from kdlib.preparation.splits import apportion

OPTIONS = {"train_ratio": 0.6, "val_ratio": 0.2, "max_samples": None, "scaling": "none", "labeled_fraction": 1.0}


def examples(counts=(50, 30, 20), image_shape=()):
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(len(y) * 4, dtype=float).reshape(-1, 4)
    return sources.Examples(x, y, [str(c) for c in range(len(counts))], list("abcd"), image_shape)


def prepare(seed=0, data=None, **options):
    return assembly.prepare(data or examples(), seed, **OPTIONS | options)


def rows(dataset):
    return np.concatenate([dataset.x[split][:, 0] for split in SPLITS])


def test_each_example_is_in_one_split():
    assert sorted(rows(prepare())) == sorted(examples().x[:, 0])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(10, 60), min_size=2, max_size=6), st.integers(0, 5))
def test_splits_have_their_sizes_and_each_class_its_share(counts, seed):
    dataset, n = prepare(seed, examples(counts)), sum(counts)
    for split, share in zip(SPLITS, (0.6, 0.2, 0.2), strict=True):
        assert abs(len(dataset.y[split]) - share * n) < 1
        for label, count in enumerate(counts):
            assert abs((dataset.y[split] == label).sum() - share * count) <= len(counts)


def test_the_seed_decides_the_split():
    assert prepare(0).digest == prepare(0).digest
    assert prepare(0).digest != prepare(1).digest


def test_max_samples_keeps_proportions():
    dataset = prepare(max_samples=50)
    assert np.bincount(np.concatenate(list(dataset.y.values()))).tolist() == [25, 15, 10]


@pytest.mark.parametrize(("options", "counts"), [({"max_samples": 8}, (50, 30, 20)), ({}, (50, 2))])
def test_too_few_examples_are_told(options, counts):
    with pytest.raises(UserError, match="too few examples for a stratified split"):
        prepare(data=examples(counts), **options)


def test_scaling_is_fitted_on_the_training_split_alone():
    data = examples()
    split = prepare(data=data)
    outlier = examples()
    outlier.x[np.isin(data.x[:, 0], split.x["test"][:, 0])] = 1e9
    for scaling in ("minmax", "standard"):
        plain, moved = prepare(data=data, scaling=scaling), prepare(data=outlier, scaling=scaling)
        assert np.array_equal(plain.offset, moved.offset)
        assert np.array_equal(plain.inputs("train"), moved.inputs("train"))
        assert moved.inputs("test").max() > 1e6


def test_standard_scaling():
    x = prepare(scaling="standard").inputs("train")
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(x.std(0), 1, rtol=1e-12)


def test_minmax_scaling_of_tables_and_images():
    table = prepare(scaling="minmax").inputs("train")
    assert table.min(0).tolist() == [0, 0, 0, 0]
    np.testing.assert_allclose(table.max(0), 1, rtol=1e-12)
    image = prepare(data=examples(image_shape=(2, 2)), scaling="minmax").inputs("train")
    assert image.min() == 0
    assert image.max() == pytest.approx(1)
    assert (image.max(0) < 1).any()


def test_a_constant_feature_stays_finite():
    data = examples()
    data.x[:, 1] = 7.0
    for scaling in ("minmax", "standard"):
        assert not prepare(data=data, scaling=scaling).inputs("train")[:, 1].any()


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


def test_a_magnitude_whose_range_may_overflow_is_told():
    with pytest.raises(UserError, match=r"magnitudes above 1e300"):
        sources._examples("own.csv", np.array([[1e301], [0.0]]), np.array(["a", "b"]), ["x"])


def test_hidden_labels_leave_no_trace():
    full, part = prepare(), prepare(labeled_fraction=0.25)
    hidden = part.y["train"] < 0
    assert hidden.sum() == 45
    assert np.array_equal(part.y["train"][~hidden], full.y["train"][~hidden])
    assert np.array_equal(part.labeled(), np.flatnonzero(~hidden))
    assert not part.one_hot("train")[hidden].any()
    assert np.array_equal(part.y["test"], full.y["test"])
    assert np.bincount(part.y["train"][~hidden]).min() >= 1


@pytest.mark.parametrize("name", bundled.FILES)
def test_bundled_tables_are_what_scikit_learns_loaders_give(name):
    x, y, classes, features, image_shape = bundled.read(name)
    bunch = getattr(datasets, f"load_{name}")()
    assert x.astype(np.float64).tobytes() == np.ascontiguousarray(bunch.data).tobytes()
    assert (x.dtype, x.flags.c_contiguous) == (np.uint8 if name == "digits" else np.float64, True)
    assert (y.tolist(), y.dtype) == (bunch.target.tolist(), np.int64)
    assert classes == [str(c) for c in bunch.target_names]
    assert features == [str(f) for f in bunch.feature_names]
    assert image_shape == (bunch.images.shape[1:] if "images" in bunch else ())


def test_without_scikit_learn_a_bundled_table_is_refused(monkeypatch):
    monkeypatch.setattr(bundled, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="iris comes with scikit-learn"):
        sources.load("iris", None)


@pytest.mark.parametrize("name", bundled.FILES)
def test_bundled_datasets(name, tmp_path):
    dataset = prepare(data=sources.load(name, None), train_ratio=0.8, val_ratio=0.1, scaling="minmax")
    dataset.save(tmp_path / "dataset.npz")
    again = Dataset.load(tmp_path / "dataset.npz")
    assert again.digest == dataset.digest
    assert again.class_names == dataset.class_names
    assert len(again.feature_names) == again.x["train"].shape[1]
    assert again.inputs("train").min() == 0


def test_content_that_is_not_the_digests_is_refused(tmp_path):
    from kdlib.artifacts import read_npz, write_npz

    prepare().save(tmp_path / "dataset.npz")
    arrays = read_npz(tmp_path / "dataset.npz")
    arrays["y_test"][0] += 1
    write_npz(tmp_path / "dataset.npz", arrays)
    with pytest.raises(UserError, match="digest"):
        Dataset.load(tmp_path / "dataset.npz")


def test_apportioned_parts_sum_to_the_whole():
    assert apportion(10, [1, 1, 1]).tolist() == [4, 3, 3]
    assert apportion(1797, [0.8, 0.1, 0.1]).sum() == 1797


def test_the_transfer_set_has_the_examples_of_its_classes_and_all_by_default():
    dataset = prepare()
    assert dataset.transfer_set().tolist() == list(range(60))
    assert dataset.transfer_set(["2", "0"]).tolist() == np.flatnonzero(dataset.y["train"] != 1).tolist()
    with pytest.raises(UserError, match=r"prepare\.transfer_classes: got '3'; the classes are 0, 1, 2"):
        dataset.transfer_set(["0", "3"])
