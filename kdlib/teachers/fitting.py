"""Fit one classifier on given rows, with a seed, one thread and, if it takes them, weights of the rows."""

import copy
import warnings
from typing import Any

import numpy as np

from kdlib.data.mapped_rows import equal_rows
from kdlib.io.errors import UserError
from kdlib.numerics.streams import stream
from kdlib.teachers.folds import assign_folds
from kdlib.teachers.imported import ImportedClassifier, unset_options


def _set(estimator, name, value, unset_only=False):
    """Set the parameter `name` of an estimator and of the estimators inside it, if it tells its parameters."""
    parameters = estimator.get_params() if hasattr(estimator, "get_params") else {}
    found = {k: v for k, v in parameters.items() if k == name or k.endswith(f"__{name}")}
    if changes := {k: value for k, v in found.items() if v is None or not unset_only}:
        estimator.set_params(**changes)


def _is_of_sklearn(classifier):
    """Return whether scikit-learn itself has the class: it takes classes by any numbers, and None is one process."""
    return type(classifier).__module__.split(".")[0] == "sklearn"


def _unfitted(classifier, seed, classes):
    """Return a new classifier with a seed for its random draws and one thread, unless it has others."""
    from sklearn.base import clone

    if isinstance(classifier, ImportedClassifier):
        return classifier.build(seed, classes)
    try:
        model = clone(classifier)
    except (TypeError, RuntimeError):  # it does not keep to scikit-learn's rules of constructors
        model = copy.deepcopy(classifier)
    _set(model, "random_state", seed, unset_only=True)
    if not _is_of_sklearn(model) and hasattr(model, "get_params"):
        given = [name for name, value in model.get_params().items() if value is not None]
        if unset := unset_options(type(model), given, seed):
            model.set_params(**unset)
    return model


def _check_classes(model, count):
    """Refuse a fitted model whose classes are not 0 to count - 1, as those of its y."""
    found = getattr(model, "classes_", None)
    if found is not None and not np.array_equal(found, np.arange(count)):
        raise UserError(
            f"teacher.model: {type(model).__name__} was fitted on the classes 0 to {count - 1}, and its classes_ are"
            f" {np.asarray(found).tolist()}; needs them in this order"
        )


def take(x, rows):
    """Return rows of an array or a DataFrame by their numbers."""
    return x[rows] if isinstance(x, np.ndarray) else x.iloc[rows]


def _sample_weight(model, weights):
    """Return the weights as an argument of the model's `fit`; none, and a warning, if it takes none."""
    from sklearn.utils.validation import has_fit_parameter

    if weights is None:
        return {}
    if has_fit_parameter(model, "sample_weight"):
        return {"sample_weight": weights}
    name = type(model).__name__
    warnings.warn(f"{name}: its fit takes no sample_weight, so that the weights of rows are not used", stacklevel=3)
    return {}


def _calibrated(model, x, y, rows_of_class, model_number, seed, n_folds):
    """Return the model with probabilities from its `decision_function`, calibrated on folds of the rows."""
    from sklearn.calibration import CalibratedClassifierCV

    if not hasattr(model, "decision_function"):
        raise UserError(f"teacher.model: {type(model).__name__} says classes alone, no probabilities to teach by")
    if not isinstance(x, np.ndarray):
        raise UserError(f"teacher.inputs: raw needs predict_proba, and {type(model).__name__} has none; set features")
    if rows_of_class.min() < 2:  # of 3 training rows, 2 or more remain without a fold
        raise UserError(
            f"teacher.model: {type(model).__name__} has no probabilities, and to calibrate it each class needs 3"
            " labelled training rows or more: take another, such as LogisticRegression"
        )
    fold = assign_folds(y, n_folds, seed, model_number, equal_rows(x))
    pairs = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
    return CalibratedClassifierCV(model, cv=pairs, ensemble=False)


def fit_classifier(
    classifier: Any,
    x: np.ndarray,
    y: np.ndarray,
    model_number: int,
    seed: int,
    n_folds: int,
    weights: np.ndarray | None = None,
) -> Any:
    """Fit a clone of a classifier, and make sure that it predicts probabilities.

    A classifier that is not scikit-learn's own gets the classes of `y` numbered from 0 without gaps, because some
    libraries allow no others; and one thread, unless it has a number of threads.

    If it has no `predict_proba`, its `decision_function` is calibrated on `n_folds` folds of the same rows. It predicts
    on one thread, because a forest adds up the answers of its trees in the order in which they finish. If all rows
    have one class, for example in a fold without the only row of a rare class, the model always predicts this class.

    Parameters
    ----------
    classifier : classifier or ImportedClassifier
    x : ndarray, shape (n, features), or DataFrame, n rows
    y : ndarray of int, shape (n,)
        Classes.
    model_number : int
        Number of the split and the fold. With the seed it determines `random_state`, unless the classifier has one.
    seed : int
    n_folds : int
    weights : ndarray, shape (n,), optional
        Of the rows: its `sample_weight`. Rows of weight 0 are left out. If it takes none, a warning says so, and the
        other weights are not used.

    Returns
    -------
    classifier
        Fitted.

    Raises
    ------
    UserError
        If the classifier predicts only classes, if it needs calibration and a class has fewer than two rows, or if its
        `classes_` are not those of `y` in their order.

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines" (1999).
    """
    from sklearn.dummy import DummyClassifier

    if weights is not None and not weights.all():
        kept = np.flatnonzero(weights)
        return fit_classifier(classifier, take(x, kept), y[kept], model_number, seed, n_folds, weights[kept])
    classes, codes, rows_of_class = np.unique(y, return_inverse=True, return_counts=True)
    if len(classes) == 1:
        return DummyClassifier().fit(x, y)
    random_state = int(stream(seed, "teacher/random_state", model_number).random() * (1 << 31))
    model = _unfitted(classifier, random_state, classes)
    of_sklearn = _is_of_sklearn(model) and not isinstance(classifier, ImportedClassifier)
    fitted_with = _sample_weight(model, weights)
    if not hasattr(model, "predict_proba"):
        model = _calibrated(model, x, y, rows_of_class, model_number, seed, n_folds)
    model.fit(x, y if of_sklearn else codes.reshape(-1), **fitted_with)
    if not of_sklearn:
        _check_classes(model, len(classes))
    _set(model, "n_jobs", None if of_sklearn else 1)
    return model
