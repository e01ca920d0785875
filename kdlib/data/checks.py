"""Checks of a dataset's content, which apply whoever made the dataset."""

import numpy as np

from kdlib.data.encoding import encodes

PARTS = ("train", "validation", "test")
HIDDEN = len(PARTS)  # in `assignment`: a training row without its label
ABSENT = HIDDEN + 1  # in `assignment`: in no subset, as a synthetic row of another split
MAX_MAGNITUDE = 1e300  # of a number in x, raw and scaled


def fault(dataset, ends: np.ndarray | None) -> str | None:
    """Return what is wrong with a dataset, or None.

    A correct digest proves nothing, because anyone can compute one.

    Parameters
    ----------
    dataset : kdlib.data.dataset.Dataset
    ends : array, shape (2, 1, features), or None
        Smallest and largest values of x, as in `kdlib.data.mapped_rows.Ends`.
    """
    x = dataset.x
    y = dataset.y
    assignment = dataset.assignment
    ends = np.array(np.nan) if ends is None else ends.astype(np.float64)
    if not (np.abs(ends) <= MAX_MAGNITUDE).all():
        return f"x is {x.dtype} {x.shape}, not finite numbers up to {MAX_MAGNITUDE:g} of examples and features"
    n, features = x.shape
    classes = len(dataset.class_names)
    if y.shape != (n,) or y.dtype != np.int64 or not ((y >= -1) & (y < classes)).all():
        return f"y is {y.dtype} {y.shape}, not one of {classes} classes, or -1, for each of {n} examples"
    codes = assignment.ndim == 2 and assignment.size and assignment.dtype == np.uint8
    if not codes or assignment.shape[1] != n or assignment.max() > ABSENT:
        return f"assignment is {assignment.dtype} {assignment.shape}, not a part for each of {n} examples"
    if (assignment[:, y < 0] < HIDDEN).any():
        return "an example without a class is where one is needed"
    splits = len(assignment)
    if any(not (assignment == part).any(axis=1).all() for part in range(len(PARTS))):
        return f"a split has no example in one of {', '.join(PARTS)}"
    for name in ("offset", "scale"):
        array = getattr(dataset, name)
        if array.shape != (splits, features) or array.dtype != np.float64 or not np.isfinite(array).all():
            return f"{name} is {array.dtype} {array.shape}, not finite float64 ({splits}, {features})"
    with np.errstate(over="ignore"):
        scaled = np.abs((ends - dataset.offset) * dataset.scale)
    if not (scaled <= MAX_MAGNITUDE).all():
        return f"scaled its features are not finite numbers up to {MAX_MAGNITUDE:g}"
    if classes < 2 or len(set(dataset.class_names)) != classes or len(dataset.feature_names) != features:
        return f"{classes} class names and {len(dataset.feature_names)} of features, of which {features} are needed"
    if not encodes(dataset.encoding, dataset.feature_names):
        return "its encoding has other features"
    height, width = dataset.image_shape if len(dataset.image_shape) == 2 else (features, 1)
    if len(dataset.image_shape) not in (0, 2) or height < 1 or height * width != features:
        return f"images {dataset.image_shape} are not of {features} pixels"
    return None
