"""What the networks of a stack are trained for: plain data, of which an objective is made where they are trained."""

from dataclasses import dataclass, field

import numpy as np

from kdlib.learning.lazy_targets import each, taught
from kdlib.learning.losses import smooth_labels
from kdlib.learning.objectives import CrossEntropy, Distillation

SWEPT = "temperature", "alpha"


def fewest(values):
    """values: one for each network, in the order of `kdlib.learning.stack` -> the fewest entries that say the same."""
    n = len(values)
    runs = (run for run in range(n, 0, -1) if n % run == 0)
    return next(values[::run] for run in runs if all(values[k] == values[k - k % run] for k in range(n)))


@dataclass(frozen=True)
class Labels:
    """Of networks that hear the labels alone. smoothing: probability that is spread over all classes."""

    arithmetic: type
    smoothing: float = 0.0

    def objective(self, one_hot, splits, settings):
        """one_hot: (splits, rows, classes). settings: {name: a value for each}, the same in each split."""
        smooth = each(one_hot, lambda t: smooth_labels(t, self.smoothing), ["smooth", self.smoothing])
        return CrossEntropy(smooth, self.arithmetic)


@dataclass(frozen=True)
class Taught:
    """Of students. logits: the teacher's, (S, n, classes), and their digest. rows: of each split, indices of examples.

    options: of `Distillation`, but those that are SWEPT.
    """

    arithmetic: type
    logits: np.ndarray
    rows: list
    digest: str
    options: dict = field(default_factory=dict)

    def objective(self, one_hot, splits, settings):
        """As of `Labels`."""
        logits = taught(self.logits, self.rows, splits, self.digest)
        swept = {name: fewest(settings[name] * len(splits)) for name in SWEPT}
        return Distillation(one_hot, logits, self.arithmetic, **swept, **self.options)
