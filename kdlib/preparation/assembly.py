"""From loaded examples to the dataset artifact: sample, split, scale, hide labels."""

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.preparation.partition import hide_labels, partitions
from kdlib.preparation.scaling import fit_scaling
from kdlib.preparation.splits import stratified_split


def prepare(examples, seed, splits, train_ratio, val_ratio, max_samples, scaling, labeled_fraction):
    """Split, scale and hide labels: `kdlib.preparation.sources.Examples` -> `Dataset`. All draws follow from `seed`.

    Where a test set is given it is the test part of every split, and the rest is divided as train_ratio : val_ratio.
    Raises UserError if there are too few examples of a class for the parts.
    """
    x, y, tested = examples.x, examples.y, examples.tested
    tested = np.zeros(len(y), dtype=bool) if tested is None else tested
    if max_samples is not None and max_samples < len(y):
        ratios = max_samples / len(y), 1 - max_samples / len(y)
        strata = 2 * y + tested
        kept, _ = stratified_split(strata, ratios, seed, "prepare/sample", "raise prepare.max_samples", spare=1)
        x, y, tested = x[kept], y[kept], tested[kept]
    assignment = partitions(y, tested, (train_ratio, val_ratio), splits, seed)
    names = examples.class_names, examples.feature_names, examples.image_shape
    dataset = Dataset(x, y, assignment, *[np.zeros((splits, x.shape[1])) for _ in range(2)], *names)
    for split in range(splits):
        train = x[dataset.rows("train", split)]
        dataset.offset[split], dataset.scale[split] = fit_scaling(train, scaling, bool(examples.image_shape))
    if labeled_fraction < 1:
        hide_labels(assignment, y, labeled_fraction, seed)
    return dataset.sealed()
