"""From loaded examples to the dataset artifact: sample, split, scale, hide labels."""

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.errors import UserError
from kdlib.preparation.partition import disjoint_splits, held_out_share, hide_labels, partitions
from kdlib.preparation.scaling import fit_scaling
from kdlib.preparation.splits import stratified_split


def prepare(examples, seed, splits, train_ratio, val_ratio, max_samples, scaling, labeled_fraction):
    """Split, scale and hide labels: `kdlib.preparation.sources.Examples` -> `Dataset`. All draws follow from `seed`.

    Where a test set is given it is the test part of every split, and the rest is divided as train_ratio : val_ratio.
    Of x that is `kdlib.data.streamed.Rows` there is no digest yet. Raises UserError if there are too few examples of a
    class for the parts.
    """
    x, y, tested = examples.x, examples.y, examples.tested
    tested = np.zeros(len(y), dtype=bool) if tested is None else tested
    if max_samples is not None and max_samples < len(y):
        ratios = max_samples / len(y), 1 - max_samples / len(y)
        strata = 2 * y + tested
        kept, _ = stratified_split(strata, ratios, seed, "prepare/sample", "raise prepare.max_samples", spare=1)
        x, y, tested = rows_of(x, kept), y[kept], tested[kept]
    free = y[~tested] if tested.any() else y
    _refuse_small_class(
        free, examples.class_names, splits, held_out_share(tested, (train_ratio, val_ratio)), max_samples
    )
    assignment = partitions(y, tested, (train_ratio, val_ratio), splits, seed)
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
    """Those rows, of which `kdlib.data.streamed.Rows` are not made."""
    return x[rows] if isinstance(x, np.ndarray) else x.kept(rows)


def _refuse_small_class(y, names, splits, share, max_samples):
    """Raises UserError for a class with fewer rows than disjoint splits hold out of it, or than it takes to train."""
    counts = np.bincount(y, minlength=len(names))
    least, needed = int(np.argmin(counts)), max(3, disjoint_splits(share, splits))
    if counts[least] < needed:
        more = "" if max_samples is None else " raise prepare.max_samples,"
        raise UserError(
            f"too few examples of the class {names[least]!a}: {counts[least]}, and {splits} splits need {needed} to"
            f" train, choose and test with; lower prepare.splits,{more} or leave the class out"
        )
