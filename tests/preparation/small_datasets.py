"""Small examples, and the datasets that they are prepared to."""

import numpy as np

from kdlib.data.dataset import SUBSETS
from kdlib.preparation import build, sources

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
