"""Build the dataset artifact from loaded examples: sample, split, scale, hide labels."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.data.mapped_rows import ConcatenatedRows, equal_rows
from kdlib.io.errors import UserError
from kdlib.preparation.scaling import fit_scaling
from kdlib.preparation.splits import (
    LEAVE_OUT,
    RareClassesError,
    assign_subsets,
    count_disjoint_splits,
    held_out_share,
    hide_labels,
    stratified_split,
)

if TYPE_CHECKING:
    from kdlib.preparation.sources import Examples

RARE_CLASSES = "error", "leave_out"
MAX_NAMED = 10  # classes that a line of the log names

log = logging.getLogger("prepare")


def build_dataset(
    examples: "Examples",
    seed: int,
    splits: int,
    train_ratio: float,
    val_ratio: float,
    max_samples: int | None,
    scaling: str,
    labeled_fraction: float,
    rare_classes: str = "error",
) -> Dataset:
    """Split examples, fit the scaling and hide labels.

    A given test set is the test subset of every split; the other rows are divided as train_ratio : val_ratio. Rows with
    equal features are in one subset of a split, whatever their labels: otherwise a network would be tested on rows that
    it was trained on. The number of equal rows is logged, and how many of them a given test set shares with the other
    rows.

    Parameters
    ----------
    examples : Examples
    seed : int
        All random draws depend only on it.
    splits : int
        Number of splits S.
    train_ratio, val_ratio : float
        Shares of the training and validation subsets.
    max_samples : int or None
        Number of examples to keep; None keeps all.
    scaling : {"auto", "minmax", "standard", "none"}
        As `kdlib.preparation.scaling.fit_scaling` takes it.
    labeled_fraction : float
        Share of the training rows of each class that keep their label.
    rare_classes : {"error", "leave_out"}
        What happens to classes with too few examples for the subsets. The log names those that are left out.

    Returns
    -------
    Dataset
        Without a digest if x is `kdlib.data.mapped_rows.ConcatenatedRows`. With the examples' weights, and still
        without the factors of `kdlib.preparation.weights.with_class_weights`.

    Raises
    ------
    UserError
        If a class has too few examples for the subsets; if classes are left out, only if fewer than two are left.
    """
    if rare_classes not in RARE_CLASSES:
        raise UserError(f"rare_classes: got {rare_classes!r}; allowed are {', '.join(RARE_CLASSES)}")
    while True:
        try:
            return _split_and_scale(
                examples, seed, splits, (train_ratio, val_ratio), max_samples, scaling, labeled_fraction
            )
        except RareClassesError as error:
            if rare_classes == "error" or len(examples.class_names) - len(error.classes) < 2:
                raise
            examples = _without_classes(examples, error.classes)


def _split_and_scale(examples, seed, splits, shares, max_samples, scaling, labeled_fraction):
    """Do what `build_dataset` does if no class is rare; shares are train_ratio and val_ratio."""
    x = examples.x
    y = examples.y
    weights = examples.weights
    in_given_test_set = (
        np.zeros(len(y), dtype=bool) if examples.in_given_test_set is None else examples.in_given_test_set
    )
    if max_samples is not None and max_samples < len(y):
        ratios = max_samples / len(y), 1 - max_samples / len(y)
        strata = 2 * y + in_given_test_set
        remedy = f"raise prepare.max_samples, {LEAVE_OUT}"
        try:
            kept, _ = stratified_split(strata, ratios, seed, "prepare/sample", remedy, optional_parts=1)
        except RareClassesError as error:
            raise RareClassesError(str(error), np.unique(error.classes // 2)) from None
        x = select_rows(x, kept)
        y = y[kept]
        weights = None if weights is None else weights[kept]
        in_given_test_set = in_given_test_set[kept]
    free_labels = y[~in_given_test_set] if in_given_test_set.any() else y
    groups = equal_rows(x)
    share = held_out_share(in_given_test_set, shares)
    free_groups = groups if groups is None else groups[~in_given_test_set]
    _refuse_small_class(free_labels, free_groups, examples.class_names, splits, share, max_samples)
    if groups is not None:
        _log_equal_rows(groups, in_given_test_set)
    assignment = assign_subsets(y, in_given_test_set, shares, splits, seed, groups)
    offset = np.zeros((splits, x.shape[1]))
    scale = np.zeros((splits, x.shape[1]))
    description = examples.class_names, examples.feature_names, examples.image_shape, examples.encoding
    dataset = Dataset(x, y, assignment, offset, scale, *description, weights=weights)
    for split in range(splits):
        train = select_rows(x, dataset.rows("train", split))
        dataset.offset[split], dataset.scale[split] = fit_scaling(train, scaling, bool(examples.image_shape))
    if labeled_fraction < 1:
        hide_labels(assignment, y, labeled_fraction, seed)
    if isinstance(x, np.ndarray):
        dataset.update_digest()
    return dataset


def _without_classes(examples, classes):
    """Return the examples of the other classes, which are numbered anew; log which are left out, and how many rows."""
    counts = np.bincount(examples.y, minlength=len(examples.class_names))
    named = [f"{examples.class_names[k]!a} ({counts[k]} rows)" for k in classes[:MAX_NAMED]]
    more = f" and {len(classes) - MAX_NAMED} more" if len(classes) > MAX_NAMED else ""
    log.warning(
        "prepare.rare_classes: %d of %d classes, with %d of %d rows, are left out, which are too few for the splits:"
        " %s%s",
        len(classes), len(counts), counts[classes].sum(), len(examples.y), ", ".join(named), more,  # lint: integer sum
    )  # fmt: skip
    stays = ~np.isin(np.arange(len(counts)), classes)
    kept = np.flatnonzero(stays[examples.y])
    given = examples.in_given_test_set
    weights = examples.weights
    return replace(
        examples,
        x=select_rows(examples.x, kept),
        y=(np.cumsum(stays) - 1)[examples.y[kept]],  # lint: integer sum
        class_names=[name for name, stay in zip(examples.class_names, stays, strict=True) if stay],
        in_given_test_set=None if given is None else given[kept],
        weights=None if weights is None else weights[kept],
    )


def select_rows(x: np.ndarray | ConcatenatedRows, rows: np.ndarray) -> np.ndarray | ConcatenatedRows:
    """Return the rows with these indices. `ConcatenatedRows` stay lazy: no row is read."""
    return x[rows] if isinstance(x, np.ndarray) else x.select(rows)


def _log_equal_rows(groups, in_given_test_set):
    """Log how many rows are equal; groups is (n,), from `kdlib.data.mapped_rows.equal_rows`."""
    repeated = np.bincount(groups)[groups] > 1
    shared = np.count_nonzero(np.isin(groups[in_given_test_set], groups[~in_given_test_set]))
    apart = "" if shared else "; equal rows are in one subset of a split"
    log.info("%d of %d rows are equal to another one%s", np.count_nonzero(repeated), len(groups), apart)
    if shared:
        log.warning(
            "%d of the %d rows of the given test set are equal to rows that are trained on or chosen by: what is"
            " measured on them is memory; leave them out",
            shared, np.count_nonzero(in_given_test_set),
        )  # fmt: skip


def _refuse_small_class(y, groups, names, splits, share, max_samples):
    """Refuse a class with fewer rows than disjoint splits hold out, or than a training needs.

    The rows of one group, (n,) or None, count as one row.
    """
    if groups is not None:
        y = np.unique(groups * len(names) + y) % len(names)
    counts = np.bincount(y, minlength=len(names))
    least = int(np.argmin(counts))
    needed = max(3, count_disjoint_splits(share, splits))
    if counts[least] < needed:
        more = "" if max_samples is None else " raise prepare.max_samples,"
        different = "" if groups is None else " different rows"
        raise RareClassesError(
            f"too few examples of the class {names[least]!a}: {counts[least]}{different}, and {splits} splits need"
            f" {needed} to train, choose and test with; lower prepare.splits,{more} or leave the class out:"
            " prepare.rare_classes: leave_out",
            np.flatnonzero(counts < needed),
        )
