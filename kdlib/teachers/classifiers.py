"""scikit-learn's classifiers by name: their predictions depend on seed, split and fold only."""

import contextlib
import inspect
import logging
import math
import pickle
import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from kdlib.backends.threads import CORES, Threads
from kdlib.data.dataset import Dataset
from kdlib.data.mapped_rows import equal_rows
from kdlib.io.errors import UserError
from kdlib.learning.calibration import fit_temperature
from kdlib.numerics.streams import REPLICAS_PER_SPLIT, stream
from kdlib.teachers.folds import assign_folds, folds_by_split, rows_to_fit
from kdlib.teachers.smoothing import check_probabilities, smoothed_log_probabilities

log = logging.getLogger("train_teacher")
SUGGESTIONS = ["RandomForestClassifier", "HistGradientBoostingClassifier"]


def _known_classifiers():
    """Return {name: class} of scikit-learn's classifiers that have no required option."""
    try:
        from sklearn.utils import all_estimators
    except ImportError:
        raise UserError("teacher.model: a classifier of scikit-learn needs it: pip install 'kdlib[sklearn]'") from None
    return {name: kind for name, kind in all_estimators(type_filter="classifier") if not _required_options(kind)}


def _options_of(kind):
    """Return {name: parameter} of a class's constructor."""
    parameters = inspect.signature(kind.__init__).parameters
    return {name: p for name, p in parameters.items() if name != "self" and p.kind != p.VAR_KEYWORD}


def _required_options(kind):
    return [name for name, parameter in _options_of(kind).items() if parameter.default is parameter.empty]


def build_classifier(name: str, options: Mapping[str, Any]) -> Any:
    """Build a classifier of scikit-learn.

    The name is looked up among scikit-learn's own classifiers; no module is imported by it.

    Parameters
    ----------
    name : str
        Name of the class, for example "RandomForestClassifier".
    options : mapping of str to object
        Arguments of its constructor.

    Returns
    -------
    classifier
        Not fitted.

    Raises
    ------
    UserError
        If scikit-learn is missing, or the name or an option is unknown; the message lists those that are allowed.
    """
    known = _known_classifiers()
    if name not in known:
        short = {other.removesuffix("Classifier"): other for other in known}  # the suffix makes all names alike
        close = [short[match] for match in get_close_matches(name.removesuffix("Classifier"), short)] or SUGGESTIONS
        raise UserError(
            f"teacher.model: got {name!r}; allowed are mlp, a classifier of scikit-learn, such as {', '.join(close)},"
            " or any other model's answers in a file, data/raw/my.npz (python -m stages.prepare --export writes the"
            " rows to ask)"
        )
    allowed = _options_of(known[name])
    for option in options:
        if option not in allowed:
            raise UserError(f"teacher.options.{option}: unknown; {name} has {', '.join(allowed)}")
    return known[name](**options)


def _for_numbered_classes(options, class_names):
    """Return the options with the class names in `class_weight` replaced by class numbers, as the labels have them."""
    weights = options.get("class_weight")
    if isinstance(weights, list):
        raise UserError(f"teacher.options.class_weight: got {weights!r}; needs weights by class names, {{name: 2}}")
    if not isinstance(weights, dict):
        return options
    weights = {str(name): weight for name, weight in weights.items()}
    for name, weight in weights.items():
        if name not in class_names:
            raise UserError(
                f"teacher.options.class_weight: got the class {name!r}; the dataset's are {', '.join(class_names)}"
            )
        if type(weight) not in (int, float) or not 0 <= weight < math.inf:
            raise UserError(f"teacher.options.class_weight.{name}: got {weight!r}; needs a number, not negative")
    return options | {"class_weight": {k: weights.get(name, 1) for k, name in enumerate(class_names)}}


def _set(estimator, name, value, unset_only=False):
    """Set the parameter `name` of an estimator and of the estimators inside it."""
    found = {k: v for k, v in estimator.get_params().items() if k == name or k.endswith(f"__{name}")}
    estimator.set_params(**{k: value for k, v in found.items() if v is None or not unset_only})


@contextlib.contextmanager
def _reporting(name):
    """Log each warning of scikit-learn once, and turn its exceptions (options can cause any) into UserErrors."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except (MemoryError, UserError):
            raise
        except Exception as error:
            raise UserError(f"teacher.options: {name} failed: {' '.join(str(error).split())}") from None
    for text in dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught):
        log.warning("%s: %s", name, text)


def fit_classifier(classifier: Any, x: np.ndarray, y: np.ndarray, model_number: int, seed: int, n_folds: int) -> Any:
    """Fit a clone of a classifier, and make sure that it predicts probabilities.

    If it has no `predict_proba`, its `decision_function` is calibrated on `n_folds` folds of the same rows. It predicts
    on one thread, because a forest adds up the answers of its trees in the order in which they finish. If all rows
    have one class, for example in a fold without the only row of a rare class, the model always predicts this class.

    Parameters
    ----------
    classifier : classifier of scikit-learn
    x : ndarray, shape (n, features)
    y : ndarray of int, shape (n,)
        Classes.
    model_number : int
        Number of the split and the fold. With the seed it determines `random_state`, unless the classifier has one.
    seed : int
    n_folds : int

    Returns
    -------
    classifier
        Fitted.

    Raises
    ------
    UserError
        If the classifier predicts only classes, or if it needs calibration and a class has fewer than two rows.

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines" (1999).
    """
    from sklearn.base import clone
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.dummy import DummyClassifier

    rows_of_class = np.unique(y, return_counts=True)[1]
    if len(rows_of_class) == 1:
        return DummyClassifier().fit(x, y)
    model = clone(classifier)
    random_state = int(stream(seed, "teacher/random_state", model_number).random() * (1 << 31))
    _set(model, "random_state", random_state, unset_only=True)
    if not hasattr(model, "predict_proba"):
        if not hasattr(model, "decision_function"):
            raise UserError(f"teacher.model: {type(model).__name__} says classes alone, no probabilities to teach by")
        if rows_of_class.min() < 2:  # of 3 training rows, 2 or more remain without a fold
            raise UserError(
                f"teacher.model: {type(model).__name__} has no probabilities, and to calibrate it each class needs 3"
                " labelled training rows or more: take another, such as LogisticRegression"
            )
        fold = assign_folds(y, n_folds, seed, model_number, equal_rows(x))
        pairs = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
        model = CalibratedClassifierCV(model, cv=pairs, ensemble=False)
    model.fit(x, y)
    _set(model, "n_jobs", None)
    return model


def predict_probabilities(estimator: Any, x: np.ndarray, classes: int) -> np.ndarray:
    """Predict the probabilities of all classes.

    Parameters
    ----------
    estimator : classifier of scikit-learn
        Fitted on class numbers from 0.
    x : ndarray, shape (n, features)
    classes : int
        Number of classes.

    Returns
    -------
    ndarray of float64, shape (n, classes)
        Zeros for a class that the estimator was not fitted on.

    Raises
    ------
    UserError
        If a row is not of probabilities that sum to 1.
    """
    result = np.zeros((len(x), classes))
    result[:, estimator.classes_] = estimator.predict_proba(x)
    check_probabilities(result, f"teacher.model: {type(estimator).__name__}")
    return result


def predict_out_of_fold(
    classifier: Any,
    x: np.ndarray,
    y: np.ndarray,
    fold: np.ndarray,
    n_folds: int,
    classes: int,
    seed: int,
    split: int = 0,
    after_fit: Callable[[], object] = lambda: None,
) -> tuple[np.ndarray, Any]:
    """Predict each fold with a model that was fitted on the other folds, and calibrate the logits.

    Parameters
    ----------
    classifier : classifier of scikit-learn
    x : ndarray, shape (n, features)
    y : ndarray of int, shape (n,)
        Classes; read for the labelled training rows only.
    fold : ndarray of int, shape (n,)
        One row of `kdlib.teachers.folds.folds_by_split`: `n_folds` for rows that are not labelled training rows.
    n_folds : int
        Number of folds.
    classes : int
        Number of classes.
    seed, split : int
        They determine `random_state`.
    after_fit : callable
        Called after each model has been fitted and has predicted.

    Returns
    -------
    logits : ndarray of float32, shape (n, classes)
    model : classifier
        Fitted on all labelled training rows.
    """
    logits = np.zeros((len(x), classes), dtype=np.float32)
    examples = np.count_nonzero(fold != n_folds)
    for k in range(n_folds + 1):
        predicted = np.flatnonzero(fold == k)
        training = rows_to_fit(fold, k, n_folds)
        if len(predicted) or k == n_folds:
            model = fit_classifier(classifier, x[training], y[training], split * REPLICAS_PER_SPLIT + k, seed, n_folds)
        if len(predicted):
            logits[predicted] = smoothed_log_probabilities(
                predict_probabilities(model, x[predicted], classes), examples
            )
        if len(predicted) or k == n_folds:
            after_fit()
    labeled = np.flatnonzero(fold != n_folds)
    return logits / np.float32(fit_temperature(logits[labeled], y[labeled])), model


def count_fits(dataset: Dataset, n_folds: int, seed: int) -> int:
    """Count the models that `fit_and_predict` fits.

    In each split these are one model for each of the `n_folds` folds and one for all labelled training rows.
    """
    return sum(len(np.union1d(fold, n_folds)) for fold in folds_by_split(dataset, n_folds, seed))  # lint: integer sum


def _build_for(dataset, name, options):
    return build_classifier(name, _for_numbered_classes(options, dataset.class_names))


def fit_and_predict(
    name: str,
    options: Mapping[str, Any],
    dataset: Dataset,
    n_folds: int,
    seed: int,
    after_fit: Callable[[], object] = lambda: None,
    threads: Threads = CORES,
) -> tuple[np.ndarray, int]:
    """Compute the logits of a classifier of scikit-learn for each split, training rows out of fold.

    Parameters
    ----------
    name : str
        Name of the class.
    options : mapping of str to object
        Arguments of its constructor; `class_weight` by class names.
    dataset : Dataset
    n_folds : int
        Number of folds.
    seed : int
    after_fit : callable
        Called after each of the `count_fits` models.
    threads : Threads
        For the libraries that fit.

    Returns
    -------
    logits : ndarray of float32, shape (S, n, classes)
        Zero for examples that are absent from a split.
    size : int
        Bytes of a fitted model as a pickle.

    Raises
    ------
    UserError
        As `build_classifier`, `fit_classifier` and `predict_probabilities` do; also for any other exception of the
        classifier.
    """
    classifier = _build_for(dataset, name, options)
    classes = len(dataset.class_names)
    sizes = []
    logits = np.zeros((dataset.splits, len(dataset.y), classes), dtype=np.float32)
    log.info("%s: %d models to fit: in each split one a fold, and one on all", name, count_fits(dataset, n_folds, seed))
    with _reporting(name), threads.limited():
        for split, fold in enumerate(folds_by_split(dataset, n_folds, seed)):
            rows = dataset.present(split)
            x = dataset.inputs(rows, split)
            logits[split, rows], model = predict_out_of_fold(
                classifier, x, dataset.y[rows], fold[rows], n_folds, classes, seed, split, after_fit
            )
            sizes.append(len(pickle.dumps(model, protocol=5)))
    return logits, sizes[0]


def refit_first_split(name: str, options: Mapping[str, Any], dataset: Dataset, n_folds: int, seed: int) -> Any:
    """Fit again the model that predicted the first split's validation rows. Parameters as of `fit_and_predict`."""
    x = dataset.inputs(dataset.labeled())
    with _reporting(name):
        classifier = _build_for(dataset, name, options)
        return fit_classifier(classifier, x, dataset.y[dataset.labeled()], n_folds, seed, n_folds)
