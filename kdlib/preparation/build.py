"""From loaded examples to the dataset artifact: sample, split, scale, hide labels."""

import logging

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.data.mapped_rows import equal_rows
from kdlib.io.errors import UserError
from kdlib.preparation.partition import disjoint_splits, held_out_share, hide_labels, partitions
from kdlib.preparation.scaling import fit_scaling
from kdlib.preparation.splits import stratified_split

log = logging.getLogger("prepare")


def prepare(examples, seed, splits, train_ratio, val_ratio, max_samples, scaling, labeled_fraction):
    """Split, scale and hide labels: `kdlib.preparation.sources.Examples` -> `Dataset`. All draws follow from `seed`.

    Where a test set is given it is the test part of every split, and the rest is divided as train_ratio : val_ratio.
    Rows with equal features, whatever their labels, are in one part of a split: else a network is tested on what it was
    trained on. The log tells how many there are, and how many a given test set shares with the rest.
    Of x that is `kdlib.data.mapped_rows.Rows` there is no digest yet. Raises UserError if there are too few examples
    of a class for the parts.
    """
    x, y, tested = examples.x, examples.y, examples.tested
    tested = np.zeros(len(y), dtype=bool) if tested is None else tested
    if max_samples is not None and max_samples < len(y):
        ratios = max_samples / len(y), 1 - max_samples / len(y)
        strata = 2 * y + tested
        kept, _ = stratified_split(strata, ratios, seed, "prepare/sample", "raise prepare.max_samples", spare=1)
        x, y, tested = rows_of(x, kept), y[kept], tested[kept]
    free = y[~tested] if tested.any() else y
    groups = equal_rows(x)
    if groups is not None:
        _tell_equal(groups, tested)
    share = held_out_share(tested, (train_ratio, val_ratio))
    own = groups if groups is None else groups[~tested]
    _refuse_small_class(free, own, examples.class_names, splits, share, max_samples)
    assignment = partitions(y, tested, (train_ratio, val_ratio), splits, seed, groups)
    names = examples.class_names, examples.feature_names, examples.image_shape, examples.encoding
    dataset = Dataset(x, y, assignment, *[np.zeros((splits, x.shape[1])) for _ in range(2)], *names)
    for split in range(splits):
        train = rows_of(x, dataset.rows("train", split))
        dataset.offset[split], dataset.scale[split] = fit_scaling(train, scaling, bool(examples.image_shape))
    if labeled_fraction < 1:
        hide_labels(assignment, y, labeled_fraction, seed)
    if isinstance(x, np.ndarray):
        dataset.seal()
    return dataset


def rows_of(x, rows):
    """Those rows, of which `kdlib.data.mapped_rows.Rows` are not made."""
    return x[rows] if isinstance(x, np.ndarray) else x.kept(rows)


def _tell_equal(groups, tested):
    """groups: (n,), as of `kdlib.data.mapped_rows.equal_rows`."""
    repeated = np.bincount(groups)[groups] > 1
    shared = np.count_nonzero(np.isin(groups[tested], groups[~tested]))
    apart = "" if shared else "; equal rows are in one part of a split"
    log.info("%d of %d rows are equal to another one%s", np.count_nonzero(repeated), len(groups), apart)
    if shared:
        log.warning(
            "%d of the %d rows of the given test set are equal to rows that are trained on or chosen by: what is"
            " measured on them is memory; leave them out",
            shared, np.count_nonzero(tested),
        )  # fmt: skip


def _refuse_small_class(y, groups, names, splits, share, max_samples):
    """Raises UserError for a class with fewer rows than disjoint splits hold out of it, or than it takes to train.

    Rows of one group, (n,) or None, count as one.
    """
    if groups is not None:
        y = np.unique(groups * len(names) + y) % len(names)
    counts = np.bincount(y, minlength=len(names))
    least, needed = int(np.argmin(counts)), max(3, disjoint_splits(share, splits))
    if counts[least] < needed:
        more = "" if max_samples is None else " raise prepare.max_samples,"
        different = "" if groups is None else " different rows"
        raise UserError(
            f"too few examples of the class {names[least]!a}: {counts[least]}{different}, and {splits} splits need"
            f" {needed} to train, choose and test with; lower prepare.splits,{more} or leave the class out"
        )
