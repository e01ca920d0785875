"""Weights of examples: from a column of a table, and by their classes."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from kdlib.data.checks import SUBSETS
from kdlib.data.dataset import Dataset
from kdlib.data.parsing import parse_number
from kdlib.data.table import Table
from kdlib.data.weights import MAX_WEIGHT, are_weights, class_factors, weights_of_classes
from kdlib.io.errors import UserError


def of_table(table: Table, column: str) -> np.ndarray:
    """Read the weights of a table's rows.

    Parameters
    ----------
    table : Table
        n rows.
    column : str
        Column of the weights.

    Returns
    -------
    float64, shape (n,)

    Raises
    ------
    UserError
        If a cell is no number from 0 to MAX_WEIGHT; the message names the row.
    """
    result = np.empty(len(table))
    start = 0
    for batch in table.batches([column]):
        values = batch.numbers(column)
        if values is None:
            values = np.array([parse_number(text) for text in batch.cells(column)], np.float64)  # None becomes NaN
        if not are_weights(values):
            k = int(np.argmin((values >= 0) & (values <= MAX_WEIGHT)))
            text = batch.cells(column)[k]
            found = repr(text[:40]) if text else "an empty cell"
            raise UserError(
                f"{table.where(start + k, column)}: got {found}; prepare.weight needs a number from 0 to"
                f" {MAX_WEIGHT:g} in each row"
            )
        result[start : start + len(values)] = values
        start += len(values)
    return result


def with_class_weights(dataset: Dataset, class_weight: Mapping[str, float] | str | None) -> Dataset:
    """Set the factors of the classes in each split, from its labelled training rows.

    Parameters
    ----------
    dataset : Dataset
        With the `weights` of its examples, if they have such.
    class_weight : mapping of class name to number, "balanced" or None
        See `kdlib.data.weights.class_factors`.

    Returns
    -------
    Dataset
        Without a digest. `dataset` itself if there are no weights at all.

    Raises
    ------
    UserError
        If there is no such class, or if no training or no validation row of a split has a weight above 0.
    """
    if class_weight is None and dataset.weights is None:
        return dataset
    if isinstance(class_weight, Mapping):
        class_weight = weights_of_classes(class_weight, dataset.class_names, "prepare.class_weight")
    found = []
    for split in range(dataset.splits):
        _factors(dataset, split, "validation", class_weight)  # to refuse validation rows that all weigh nothing
        found.append(_factors(dataset, split, "train", class_weight))
    return replace(dataset, class_factors=np.stack(found), digest="")


def _factors(dataset, split, subset, class_weight):
    """Return the factors of the classes, from the labelled rows of a subset."""
    rows = np.flatnonzero(dataset.assignment[split] == SUBSETS.index(subset))
    own = None if dataset.weights is None else dataset.weights[rows]
    try:
        return class_factors(dataset.y[rows], len(dataset.class_names), class_weight, own)
    except UserError as error:
        keys = "prepare.weight, prepare.class_weight"
        raise UserError(f"{keys}: {error} among the {subset} rows of split {split}") from None
