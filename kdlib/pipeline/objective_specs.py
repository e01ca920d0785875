"""Specifications of training objectives: plain data, from which a worker builds the objective that it trains on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kdlib.backends.arithmetic import Arithmetic
from kdlib.learning.labels import smooth_labels
from kdlib.learning.lazy_targets import map_rows, teacher_targets
from kdlib.learning.objectives import SETTING_CONSTRAINTS, CrossEntropy, Distillation


def one_per_run(values: Sequence) -> Sequence:
    """Shorten a list that consists of equally long runs of equal values to one value for each run.

    Parameters
    ----------
    values : sequence of length R
        One value for each network, in the order of `kdlib.learning.stack`.

    Returns
    -------
    sequence
        As short as possible: its length divides R, and each of its entries stands for R / length networks in a row.
    """
    n = len(values)
    lengths = (length for length in range(n, 0, -1) if n % length == 0)
    return next(values[::run] for run in lengths if all(values[k] == values[k - k % run] for k in range(n)))


@dataclass(frozen=True)
class LabelTargets:
    """Specify training on the labels only.

    Parameters
    ----------
    arithmetic : Arithmetic
        `EXACT` or `FAST` of `kdlib.backends.arithmetic`.
    smoothing : float
        Probability that is spread evenly over all classes.
    """

    arithmetic: Arithmetic
    smoothing: float = 0.0

    def objective(self, one_hot: np.ndarray, splits: Sequence[int], settings: Mapping[str, Sequence]) -> CrossEntropy:
        """Build the objective of a stack of networks.

        Parameters
        ----------
        one_hot : (splits, rows, classes)
            Labels; may be a lazy array of `kdlib.learning.lazy_targets`.
        splits : sequence of int
            Numbers of the splits in the stack.
        settings : mapping
            {name: one value for each network of a split}; the same in each split.

        Returns
        -------
        CrossEntropy
        """
        smooth = map_rows(one_hot, lambda t: smooth_labels(t, self.smoothing), ["smooth", self.smoothing])
        return CrossEntropy(smooth, self.arithmetic)


@dataclass(frozen=True)
class DistillationTargets:
    """Specify distillation.

    Parameters
    ----------
    arithmetic : Arithmetic
        `EXACT` or `FAST` of `kdlib.backends.arithmetic`.
    logits : np.ndarray, (S, n, classes)
        The teacher's logits of all n examples, for each split.
    rows : list of S integer arrays
        Indices of the examples that the students of each split are trained on.
    digest : str
        SHA-256 of `logits`, in hex.
    options : dict
        Keyword arguments of `Distillation` except temperature and alpha.
    """

    arithmetic: Arithmetic
    logits: np.ndarray
    rows: list
    digest: str
    options: dict = field(default_factory=dict)

    def objective(self, one_hot: np.ndarray, splits: Sequence[int], settings: Mapping[str, Sequence]) -> Distillation:
        """Build the objective of a stack of students. Parameters as of `LabelTargets.objective`."""
        logits = teacher_targets(self.logits, self.rows, splits, self.digest)
        swept = {name: one_per_run(settings[name] * len(splits)) for name in SETTING_CONSTRAINTS}
        return Distillation(one_hot, logits, self.arithmetic, **swept, **self.options)
