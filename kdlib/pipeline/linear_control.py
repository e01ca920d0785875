"""Train the linear model that the networks of a run must not be below, see `kdlib.evaluation.collapse`."""

from dataclasses import replace

import numpy as np

from kdlib.backends.context import Context
from kdlib.data.dataset import Dataset
from kdlib.evaluation.collapse import labeled_rows
from kdlib.evaluation.heldout import HeldoutLogits
from kdlib.learning.network import Network
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.learning.weighting import Weighted
from kdlib.numerics.streams import Streams

LINEAR = Recipe(learning_rate=0.03, batch_size=32, optimizer="adam")
# The training takes a fraction of a second.
MAX_ROWS = 4096
STEPS = 1280  # about


def _thinned(rows):
    """Choose at most MAX_ROWS of the rows, evenly."""
    return rows[:: -(-len(rows) // MAX_ROWS)]


def train_linear_model(
    x: np.ndarray, one_hot: np.ndarray, context: Context = Context(), weights: np.ndarray | None = None
) -> Network:
    """Train a softmax regression, on at most MAX_ROWS examples.

    It has the same bits everywhere, whatever arithmetic trained the networks.

    Parameters
    ----------
    x : np.ndarray, (n, features)
        Scaled inputs.
    one_hot : np.ndarray, (n, classes)
        Labels; rows of zeros are left out.
    context : Context
        What computes.
    weights : np.ndarray, (n,), optional
        Of the examples in the loss.

    Returns
    -------
    Network
        Without hidden layers.
    """
    rows = _thinned(np.flatnonzero(one_hot.any(axis=1)))
    recipe = replace(LINEAR, epochs=STEPS // LINEAR.steps(len(rows)))
    objective = CrossEntropy(one_hot[rows])
    objective = objective if weights is None else Weighted(objective, weights[rows])
    return train(x[rows], objective, recipe, streams=Streams(0, "linear"), context=context)[0]


def train_linear_control(dataset: Dataset, heldout: HeldoutLogits, context: Context = Context()) -> Network:
    """Train a linear model on the labelled rows of the first split, see `kdlib.evaluation.collapse.labeled_rows`."""
    rows = _thinned(labeled_rows(dataset, heldout)[0])
    return train_linear_model(dataset.scaled(rows), dataset.one_hot(rows), context, dataset.row_weights(rows))
