"""Checks of a dataset's content, which apply also to files that this program did not write."""

import numpy as np

from kdlib.data.encoding import Encoding
from kdlib.data.parsing import MAX_MAGNITUDE
from kdlib.data.weights import are_weights
from kdlib.io.errors import UserError

SUBSETS = ("train", "validation", "test")
UNLABELED = len(SUBSETS)  # in `assignment`: a training row without its label
ABSENT = UNLABELED + 1  # in `assignment`: in no subset, for example a synthetic row that belongs to another split


def check_content(dataset, min_max: np.ndarray | None) -> None:
    """Check the content of a dataset.

    The digest is no protection, because anyone can compute one; so everything is checked.

    Parameters
    ----------
    dataset : kdlib.data.dataset.Dataset
    min_max : array, shape (2, 1, features), or None
        Smallest and largest values of x, as in `kdlib.data.mapped_rows.MinMaxRecorder`. None if x is empty, or no array
        (n, features) of floats or unsigned integers; then the content is refused.

    Raises
    ------
    UserError
        If the content is not that of a dataset. The message names the array and what was found.
    """
    bounds = np.array(np.nan) if min_max is None else min_max.astype(np.float64)
    _check_examples(dataset, bounds)
    _check_assignment(dataset)
    _check_scaling(dataset, bounds)
    _check_names(dataset)
    _check_weights(dataset)


def _check_examples(dataset, bounds):
    x = dataset.x
    y = dataset.y
    if not (np.abs(bounds) <= MAX_MAGNITUDE).all():
        raise UserError(
            f"x is {x.dtype} {x.shape}, not finite numbers up to {MAX_MAGNITUDE:g} of examples and features"
        )
    n = len(x)
    classes = len(dataset.class_names)
    if y.shape != (n,) or y.dtype != np.int64 or not ((y >= -1) & (y < classes)).all():
        raise UserError(f"y is {y.dtype} {y.shape}, not one of {classes} classes, or -1, for each of {n} examples")


def _check_assignment(dataset):
    assignment = dataset.assignment
    n = len(dataset.y)
    codes = assignment.ndim == 2 and assignment.size and assignment.dtype == np.uint8
    if not codes or assignment.shape[1] != n or assignment.max() > ABSENT:
        raise UserError(f"assignment is {assignment.dtype} {assignment.shape}, not a subset for each of {n} examples")
    if (assignment[:, dataset.y < 0] < UNLABELED).any():
        raise UserError("an example without a class is where one is needed")
    if any(not (assignment == subset).any(axis=1).all() for subset in range(len(SUBSETS))):
        raise UserError(f"a split has no example in one of {', '.join(SUBSETS)}")


def _check_scaling(dataset, bounds):
    splits = len(dataset.assignment)
    features = dataset.x.shape[1]
    for name in ("offset", "scale"):
        array = getattr(dataset, name)
        if array.shape != (splits, features) or array.dtype != np.float64 or not np.isfinite(array).all():
            raise UserError(f"{name} is {array.dtype} {array.shape}, not finite float64 ({splits}, {features})")
    with np.errstate(over="ignore"):
        scaled = np.abs((bounds - dataset.offset) * dataset.scale)
    if not (scaled <= MAX_MAGNITUDE).all():
        raise UserError(f"scaled its features are not finite numbers up to {MAX_MAGNITUDE:g}")


def _check_names(dataset):
    features = dataset.x.shape[1]
    classes = len(dataset.class_names)
    if classes < 2 or len(set(dataset.class_names)) != classes or len(dataset.feature_names) != features:
        raise UserError(
            f"{classes} class names and {len(dataset.feature_names)} of features, of which {features} are needed"
        )
    if not is_encoding_of(dataset.encoding, dataset.feature_names):
        raise UserError("its encoding has other features")
    height, width = dataset.image_shape if len(dataset.image_shape) == 2 else (features, 1)
    if len(dataset.image_shape) not in (0, 2) or height < 1 or height * width != features:
        raise UserError(f"images {dataset.image_shape} are not of {features} pixels")


def _check_weights(dataset):
    weights = dataset.weights
    factors = dataset.class_factors
    if factors is None and weights is None:
        return
    n = len(dataset.y)
    if weights is not None and (weights.shape != (n,) or weights.dtype != np.float64):
        raise UserError(f"weights is {weights.dtype} {weights.shape}, not float64 ({n},)")
    if weights is not None and not are_weights(np.where((dataset.y < 0) & np.isnan(weights), 1, weights)):
        raise UserError("weights has numbers that are no weights")
    shape = len(dataset.assignment), len(dataset.class_names) + 1
    if not isinstance(factors, np.ndarray) or (factors.shape, factors.dtype) != (shape, np.float64):
        raise UserError(f"class_factors are {getattr(factors, 'dtype', None)}, not float64 {shape}")
    if not (np.isfinite(factors) & (factors >= 0)).all():
        raise UserError("class_factors has negative numbers, or some that are not finite")
    for split in range(len(factors)):
        for subset in SUBSETS[:2]:
            of_rows = dataset.row_weights(np.flatnonzero(dataset.assignment[split] == SUBSETS.index(subset)), split)
            if not 0 < of_rows.max() < np.inf:
                raise UserError(
                    f"weights and class_factors leave the {subset} rows of split {split} no finite weight above 0"
                )


def is_encoding_of(text: str, feature_names: list[str]) -> bool:
    """Return whether a text is the JSON of an encoding with exactly these features, or is empty."""
    try:
        return not text or Encoding.from_json(text).feature_names == feature_names
    except UserError:
        return False
