"""Splits: their sizes, hidden labels, transfer sets, and equal rows kept together."""

import logging
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdlib.data.dataset import SUBSETS
from kdlib.data.mapped_rows import equal_rows
from kdlib.io.errors import UserError
from kdlib.preparation import sources
from kdlib.preparation.splits import apportion, stratified_split
from tests.preparation.small_datasets import examples, prepare, rows


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
