"""From loaded examples to the dataset artifact: sample, split, scale, hide labels."""

import numpy as np

from kdlib.data.dataset import SPLITS, Dataset
from kdlib.preparation.scaling import fit_scaling
from kdlib.preparation.splits import stratified_split


def prepare(examples, seed, train_ratio, val_ratio, max_samples, scaling, labeled_fraction):
    """Split, scale and hide labels: `kdlib.preparation.sources.Examples` -> `Dataset`. All draws follow from `seed`.

    Where a test set is given it is the test split, and the rest is divided as train_ratio : val_ratio.
    Raises UserError if there are too few examples of a class for the splits.
    """
    x, y, tested = examples.x, examples.y, examples.tested
    tested = np.zeros(len(y), dtype=bool) if tested is None else tested
    if max_samples is not None and max_samples < len(y):
        ratios = max_samples / len(y), 1 - max_samples / len(y)
        strata = 2 * y + tested
        kept, _ = stratified_split(strata, ratios, seed, "prepare/sample", "raise prepare.max_samples", spare=1)
        x, y, tested = x[kept], y[kept], tested[kept]
    ratios = train_ratio, val_ratio, 1 - train_ratio - val_ratio
    remedy = "raise prepare.max_samples, or the smallest of train_ratio, val_ratio and the test split's rest"
    if tested.any():
        ratios = train_ratio / (train_ratio + val_ratio), val_ratio / (train_ratio + val_ratio)
    free = np.flatnonzero(~tested)
    parts = [free[part] for part in stratified_split(y[free], ratios, seed, "prepare/split", remedy)]
    parts += [np.flatnonzero(tested)] if tested.any() else []
    inputs, labels = ({s: values[part] for s, part in zip(SPLITS, parts, strict=True)} for values in (x, y))
    offset, scale = fit_scaling(inputs["train"], scaling, bool(examples.image_shape))
    if labeled_fraction < 1:
        train = labels["train"]
        ratios = labeled_fraction, 1 - labeled_fraction
        remedy = "raise prepare.labeled_fraction"
        _, hidden = stratified_split(train, ratios, seed, "prepare/labels", remedy, spare=1)
        train[hidden] = -1
    names = examples.class_names, examples.feature_names, examples.image_shape
    dataset = Dataset(inputs, labels, offset, scale, *names)
    dataset.digest = dataset._digest()
    return dataset
