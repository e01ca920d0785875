"""A step on mapped rows against one on a copy of them in memory: `python -m benchmarks.mapped FOLDER`.

FOLDER has the data/dataset.npz of `benchmarks.scale`, which runs this.
"""

import os
import sys
import time
from dataclasses import replace

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.data.dataset import Dataset
from kdlib.learning.lazy_targets import one_hot, one_hot_of_split
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams

STUDENT, BATCH, ROUNDS = (32,), 256, 5
COMPARED, COPIED = 200_000, 2 * 10**9  # rows, bytes


def compare(folder):
    """Median ratio of the time of an epoch on mapped rows to that on a copy in memory, in turns, once both are cached.

    COMPARED training rows, spread over the first COPIED bytes of the file, which are what is copied.
    """
    os.chdir(folder)
    dataset = Dataset.load("data/dataset.npz")
    copied = min(len(dataset.x), COPIED // dataset.x[0].nbytes)
    rows = dataset.rows("train")
    rows = rows[rows < copied]
    rows = rows[:: max(1, len(rows) // COMPARED)]
    some = dataset.rows("validation")[:100]
    mapped = dataset.scaled(rows)
    held = replace(mapped, x=mapped.x[:copied].copy())
    objective = CrossEntropy(one_hot(dataset, [rows], [0]), EXACT)
    ratios = []
    for turn in range(ROUNDS + 1):
        times = []
        for x in (mapped, held):
            start = time.perf_counter()
            given = dataset.scaled(some), one_hot_of_split(dataset, some, 0)
            train(x, objective, Recipe(STUDENT, 1, 0.02, BATCH, schedule="constant"), given, Streams(turn, "scale"))
            times.append(time.perf_counter() - start)
        ratios.append(times[0] / times[1])
    return float(np.median(ratios[1:]))


if __name__ == "__main__":
    print(compare(sys.argv[1]))
