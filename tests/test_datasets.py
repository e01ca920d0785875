"""Splits, scaling, hidden labels, and the digest."""

import logging
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import datasets

from kdlib.data.dataset import SUBSETS, Dataset
from kdlib.data.encoding import Column, Encoding
from kdlib.data.mapped_rows import ConcatenatedRows, equal_rows
from kdlib.io.errors import UserError
from kdlib.preparation import build, builtin, sources
from kdlib.preparation.scaling import fit_scaling
from kdlib.preparation.splits import apportion, stratified_split

OPTIONS = {
    "splits": 1,
    "train_ratio": 0.6,
    "val_ratio": 0.2,
    "max_samples": None,
    "scaling": "none",
    "labeled_fraction": 1.0,
}


def examples(counts=(50, 30, 20), image_shape=()):
    y = np.repeat(np.arange(len(counts)), counts)
    x = np.arange(len(y) * 4, dtype=float).reshape(-1, 4)
    return sources.Examples(x, y, [str(c) for c in range(len(counts))], list("abcd"), image_shape)


def prepare(seed=0, data=None, **options):
    return build.build_dataset(data or examples(), seed, **OPTIONS | options)


def inputs(dataset, part):
    return dataset.inputs(dataset.rows(part))


def rows(dataset):
    return np.concatenate([dataset.x[dataset.rows(part), 0] for part in SUBSETS])


def test_each_example_is_in_one_split():
    assert sorted(rows(prepare())) == sorted(examples().x[:, 0])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(10, 60), min_size=2, max_size=6), st.integers(0, 5))
def test_splits_have_their_sizes_and_each_class_its_share(counts, seed):
    dataset, n = prepare(seed, examples(counts)), sum(counts)
    for part, share in zip(SUBSETS, (0.6, 0.2, 0.2), strict=True):
        labels = dataset.y[dataset.rows(part)]
        assert abs(len(labels) - share * n) < 1
        for label, count in enumerate(counts):
            assert abs((labels == label).sum() - share * count) <= len(counts)


def test_the_seed_decides_the_split():
    assert prepare(0).digest == prepare(0).digest
    assert prepare(0).digest != prepare(1).digest


def test_max_samples_keeps_proportions():
    dataset = prepare(max_samples=50)
    assert np.bincount(dataset.y).tolist() == [25, 15, 10]


@pytest.mark.parametrize(("options", "counts"), [({"max_samples": 8}, (50, 30, 20)), ({}, (50, 2))])
def test_too_few_examples_are_told(options, counts):
    with pytest.raises(UserError, match="too few examples"):
        prepare(data=examples(counts), **options)


def test_a_class_with_fewer_rows_than_splits_is_told_by_name():
    with pytest.raises(UserError, match="too few examples of the class '2': 9, and 10 splits need 10 to train"):
        prepare(data=examples((50, 30, 9)), splits=10, train_ratio=0.8, val_ratio=0.1)
    with pytest.raises(UserError, match="too few examples of the class '1': 2, and 1 splits need 3 to train"):
        prepare(data=examples((50, 2)))
    assert prepare(data=examples((50, 30, 10)), splits=10, train_ratio=0.8, val_ratio=0.1).splits == 10


def test_max_samples_is_advised_where_there_is_one():
    for limit, counts in ((None, (50, 30, 9)), (40, (50, 30, 9)), (None, (50, 30, 10))):
        ratios = {"train_ratio": 0.8, "val_ratio": 0.01 if counts[2] == 10 else 0.1}
        with pytest.raises(UserError, match="too few examples") as told:
            prepare(data=examples(counts), splits=10, max_samples=limit, **ratios)
        assert ("prepare.max_samples" in str(told.value)) == (limit is not None)


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


def test_hidden_labels_leave_no_trace():
    full, part = prepare(), prepare(labeled_fraction=0.25)
    rows = part.rows("train")
    labels = part.labels(rows)
    assert (labels < 0).sum() == 45
    assert np.array_equal(rows, full.rows("train"))
    assert np.array_equal(labels[labels >= 0], full.labels(rows)[labels >= 0])
    assert np.array_equal(part.labeled(), rows[labels >= 0])
    assert not part.one_hot(rows)[labels < 0].any()
    assert np.array_equal(part.rows("test"), full.rows("test"))
    assert np.bincount(labels[labels >= 0]).min() >= 1


@pytest.mark.parametrize("name", builtin.FILES)
def test_bundled_tables_are_what_scikit_learns_loaders_give(name):
    x, y, classes, features, image_shape = builtin.read(name)
    bunch = getattr(datasets, f"load_{name}")()
    assert x.astype(np.float64).tobytes() == np.ascontiguousarray(bunch.data).tobytes()
    assert (x.dtype, x.flags.c_contiguous) == (np.uint8 if name == "digits" else np.float64, True)
    assert (y.tolist(), y.dtype) == (bunch.target.tolist(), np.int64)
    assert classes == [str(c) for c in bunch.target_names]
    assert features == [str(f) for f in bunch.feature_names]
    assert image_shape == (bunch.images.shape[1:] if "images" in bunch else ())


def test_images_are_prepared_in_little_more_than_their_bytes():
    """As float64 they would be eight times as many."""
    data = examples((3000, 3000), (28, 28))
    data.x, data.feature_names = np.arange(6000 * 784, dtype=np.uint8).reshape(6000, 784), [""] * 784
    tracemalloc.start()
    try:
        prepare(data=data, splits=3, scaling="auto")
        assert tracemalloc.get_traced_memory()[1] < 2 * data.x.nbytes
    finally:
        tracemalloc.stop()


def test_without_scikit_learn_a_bundled_table_is_refused(monkeypatch):
    monkeypatch.setattr(builtin, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="iris comes with scikit-learn"):
        sources.load_examples("iris", None)


@pytest.mark.parametrize("name", builtin.FILES)
def test_bundled_datasets(name, tmp_path):
    dataset = prepare(data=sources.load_examples(name, None), train_ratio=0.8, val_ratio=0.1, scaling="minmax")
    dataset.save(tmp_path / "dataset.npz")
    again = Dataset.load(tmp_path / "dataset.npz")
    assert again.digest == dataset.digest
    assert again.class_names == dataset.class_names
    assert len(again.feature_names) == again.x.shape[1]
    assert inputs(again, "train").min() == 0


def test_content_that_is_not_the_digests_is_refused(tmp_path):
    from kdlib.io.artifacts import read_npz, write_npz

    prepare().save(tmp_path / "dataset.npz")
    arrays = read_npz(tmp_path / "dataset.npz")
    arrays["y"][0] += 1
    write_npz(tmp_path / "dataset.npz", arrays)
    with pytest.raises(UserError, match="digest"):
        Dataset.load(tmp_path / "dataset.npz")


def test_the_encoding_is_part_of_the_digest(tmp_path):
    data = examples()
    data.encoding = Encoding(tuple(Column(name, "number") for name in data.feature_names)).to_json()
    dataset = prepare(data=data)
    assert dataset.digest != prepare().digest
    dataset.save(tmp_path / "dataset.npz")
    assert Dataset.load(tmp_path / "dataset.npz").encoding == data.encoding
    prepare().save(tmp_path / "dataset.npz")
    assert Dataset.load(tmp_path / "dataset.npz").encoding == ""


@pytest.mark.parametrize("text", ["[1]", "{", Encoding((Column("other", "number"),)).to_json()])
def test_an_encoding_of_other_features_is_refused(tmp_path, text):
    from kdlib.io.artifacts import array_digest, read_npz, write_npz

    path = tmp_path / "dataset.npz"
    data = examples()
    data.encoding = text
    dataset = prepare(data=data)
    for check in (dataset.validate, lambda: dataset.save(path)):
        with pytest.raises(UserError, match="its encoding has other features"):
            check()
    assert not path.exists()
    prepare().save(path)
    arrays = read_npz(path) | {"encoding": np.array(text)}
    del arrays["digest"]
    write_npz(path, arrays | {"digest": np.array(array_digest(arrays))})
    with pytest.raises(UserError, match=r"not a dataset \(its encoding has other features\)"):
        Dataset.load(path)


def test_a_dataset_with_a_name_that_harms_a_file_is_refused(tmp_path):
    data = examples()
    data.class_names[1] = "</script>"
    prepare(data=data).save(tmp_path / "dataset.npz")
    with pytest.raises(UserError, match=r"dataset\.npz: a class: '</script>' has markup"):
        Dataset.load(tmp_path / "dataset.npz")


def test_apportioned_parts_sum_to_the_whole():
    assert apportion(10, [1, 1, 1]).tolist() == [4, 3, 3]
    assert apportion(1797, [0.8, 0.1, 0.1]).sum() == 1797


def test_the_transfer_set_has_the_examples_of_its_classes_and_all_by_default():
    dataset = prepare()
    train = dataset.rows("train")
    assert dataset.transfer_set().tolist() == train.tolist()
    assert dataset.transfer_set(["2", "0"]).tolist() == train[dataset.y[train] != 1].tolist()
    with pytest.raises(UserError, match=r"prepare\.transfer_classes: got '3'; the classes are 0, 1, 2"):
        dataset.transfer_set(["0", "3"])


# Several splits


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(20, 60), min_size=2, max_size=4), st.integers(0, 5), st.integers(2, 12))
def test_test_sets_are_disjoint_while_their_share_allows_it(counts, seed, splits):
    dataset, n = prepare(seed, examples(counts), splits=splits, train_ratio=0.7, val_ratio=0.2), sum(counts)
    times = sum((dataset.assignment[split] == SUBSETS.index("test")).astype(int) for split in range(splits))
    assert times.max() <= -(-splits // 10)
    assert splits != 10 or (times == 1).all()
    for split in range(splits):
        assert abs(len(dataset.rows("test", split)) - 0.1 * n) < len(counts) + 1
        for label, count in enumerate(counts):
            inside = (dataset.y[dataset.rows("train", split)] == label).sum()
            assert abs(inside - 0.7 * count) <= len(counts) + 1
    assert len({len(dataset.rows("train", split)) for split in range(splits)}) == 1


def test_each_split_has_the_scaling_of_its_own_training_rows():
    dataset = prepare(splits=3, scaling="standard")
    for split in range(3):
        x = dataset.inputs(dataset.rows("train", split), split)
        np.testing.assert_allclose(x.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(x.std(0), 1, rtol=1e-12)
    assert len({tuple(row) for row in dataset.offset}) == 3


def test_a_given_test_set_is_that_of_every_split():
    data = examples()
    data.in_given_test_set = np.arange(100) % 5 == 0
    dataset = prepare(data=data, splits=4)
    validation = [set(dataset.rows("validation", split)) for split in range(4)]
    for split in range(4):
        assert np.array_equal(dataset.rows("test", split), np.flatnonzero(data.in_given_test_set))
        assert all(not validation[split] & validation[other] for other in range(split))


def test_each_split_hides_labels_of_its_own():
    dataset = prepare(splits=2, labeled_fraction=0.5)
    assert [len(dataset.labeled(split)) for split in range(2)] == [30, 30]
    assert not np.array_equal(*(dataset.labeled(split) for split in range(2)))


# Equal rows


def repeated(points, times, seed=0):
    """Points of 4 numbers with a label each that is a coin flip, each so many times, in a random order."""
    random = np.random.default_rng(seed)
    of = random.permutation(np.repeat(np.arange(points), times))
    x, y = random.normal(size=(points, 4))[of], random.integers(0, 2, points)[of]
    return sources.Examples(x, y, ["0", "1"], list("abcd"))


@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_of_equal_rows_the_first_is_named_also_of_rows_that_are_read_in_pieces(dtype, monkeypatch):
    x = np.random.default_rng(0).integers(0, 3, (300, 4)).astype(dtype)
    expected = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in x]
    monkeypatch.setattr("kdlib.io.chunks.CHUNK_BYTES", 64)
    assert equal_rows(x).tolist() == expected
    assert equal_rows(ConcatenatedRows([x[:100], x[100:]], dtype)).tolist() == expected
    assert equal_rows(np.unique(x, axis=0)) is None
    assert equal_rows(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -0.0]])).tolist() == [0, 1, 0]


def test_groups_of_several_classes_leave_each_class_in_each_part():
    """Where a first draw leaves one out, another one is made: 21 different rows of 60, of which 6 are held out."""
    k = np.arange(60)
    groups = k % 7 * 3 + k // 2 % 3
    y = k % 3
    for seed in range(50):
        parts = stratified_split(y, (0.8, 0.1, 0.1), seed, "test", groups=groups)
        assert all(set(y[part]) == {0, 1, 2} for part in parts)
        assert not any(set(groups[a]) & set(groups[b]) for i, a in enumerate(parts) for b in parts[:i])


@pytest.mark.parametrize(
    "options", [{"splits": 1}, {"splits": 4}, {"splits": 10, "train_ratio": 0.8, "val_ratio": 0.1}]
)
def test_equal_rows_are_in_one_part_of_a_split(options, caplog):
    """On coin flips nothing better than chance is possible: the nearest training row is right where it is a copy."""
    caplog.set_level(logging.INFO)
    data = repeated(60, 4)
    dataset, groups = prepare(data=data, **options), equal_rows(data.x)
    right = []
    for split in range(dataset.splits):
        train, test = dataset.rows("train", split), dataset.rows("test", split)
        assert all(len(np.unique(part)) == 1 for part in (dataset.assignment[split, groups == g] for g in set(groups)))
        distances = np.abs(data.x[test][:, None] - data.x[train]).sum(axis=-1)
        right.append(data.y[train[distances.argmin(axis=1)]] == data.y[test])
    assert 0.3 < np.concatenate(right).mean() < 0.7
    assert {len(dataset.rows("train", split)) for split in range(dataset.splits)} == {
        round(240 * (0.8 if options["splits"] == 10 else 0.6))
    }
    assert "240 of 240 rows are equal to another one" in caplog.text


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 9), min_size=30, max_size=80), st.integers(0, 9), st.integers(2, 5))
def test_parts_keep_groups_whole_and_are_as_large_as_single_rows_allow(sizes, seed, parts):
    random = np.random.default_rng(seed)
    groups = random.permutation(np.concatenate([np.repeat(np.arange(len(sizes)), sizes), 1000 + np.arange(60)]))
    y, ratios = random.integers(0, 2, len(groups)), [1 - 0.15 * (parts - 1), *[0.15] * (parts - 1)]
    found = stratified_split(y, ratios, seed, "a test", groups=groups)
    assert sorted(np.concatenate(found).tolist()) == list(range(len(y)))
    assert [len(part) for part in found] == apportion(len(y), ratios).tolist()
    for k, part in enumerate(found):
        assert not np.isin(groups[part], groups[np.concatenate(found[:k] + found[k + 1 :])]).any()
        shares = np.bincount(y[part], minlength=2) - np.bincount(y, minlength=2) * ratios[k]
        assert np.abs(shares).max() <= 9
    assert all(map(np.array_equal, found, stratified_split(y, ratios, seed, "a test", groups=groups)))


def test_groups_of_one_change_nothing():
    y = np.random.default_rng(0).integers(0, 3, 200)
    for groups in (np.arange(200), np.arange(200)[::-1]):
        split = [stratified_split(y, (0.7, 0.2, 0.1), 0, "a test", groups=of) for of in (None, groups)]
        assert all(map(np.array_equal, *split))


def test_a_group_may_come_into_any_part():
    """Also the largest one: else what is tested on would lack what is frequent."""
    groups = np.concatenate([np.zeros(12, int), np.arange(1, 109)])
    found = [stratified_split(np.arange(120) % 2, (0.6, 0.2, 0.2), seed, "a test", groups=groups) for seed in range(40)]
    places = np.bincount([next(k for k, part in enumerate(parts) if 0 in part) for parts in found], minlength=3)
    assert places.min() >= 2


def test_a_group_larger_than_a_part_takes_no_class_from_another():
    y = np.concatenate([np.zeros(90, int), np.arange(110) % 2])
    data = sources.Examples(np.arange(200.0)[:, None].repeat(4, 1), y, ["0", "1"], list("abcd"))
    data.x[:90] = 7.5
    dataset = prepare(data=data, splits=5, train_ratio=0.6, val_ratio=0.2)
    for split in range(5):
        assert len(np.unique(dataset.assignment[split, :90])) == 1
        counts = [np.bincount(y[dataset.rows(part, split)], minlength=2) for part in SUBSETS]
        assert np.min(counts) >= 5


def test_copies_of_a_row_are_not_enough_for_a_class():
    data = examples((50, 12))
    data.x[50:] = 1.0
    with pytest.raises(UserError, match="too few examples of the class '1': 1 different rows, and 1 splits need 3"):
        prepare(data=data)


def test_a_given_test_set_with_rows_of_the_training_set_is_told(caplog):
    data = repeated(60, 3)
    data.in_given_test_set = np.arange(180) >= 150
    shared = sum((data.x[:150] == row).all(axis=1).any() for row in data.x[150:])
    caplog.set_level(logging.INFO)
    dataset = prepare(data=data)
    assert np.array_equal(dataset.rows("test"), np.arange(150, 180))
    assert [r.levelname for r in caplog.records] == ["INFO", "WARNING"]
    assert caplog.messages[0] == "180 of 180 rows are equal to another one"
    assert f"{shared} of the 30 rows of the given test set are equal to rows that are trained on" in caplog.text


def test_rows_that_all_differ_are_no_word_in_the_log(caplog):
    caplog.set_level(logging.INFO)
    data = examples()
    data.in_given_test_set = np.arange(100) % 5 == 0
    prepare(data=data)
    assert not caplog.records
