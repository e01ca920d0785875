"""Classifiers with scikit-learn's interface: their predictions depend on seed, split and fold only."""

import contextlib
import inspect
import logging
import math
import pickle
import warnings
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np

from kdlib.backends.threads import CORES, Threads
from kdlib.data.dataset import Dataset
from kdlib.io.errors import UserError
from kdlib.learning.calibration import fit_temperature
from kdlib.numerics.streams import REPLICAS_PER_SPLIT
from kdlib.teachers.fitting import fit_classifier, take
from kdlib.teachers.folds import folds_by_split, rows_to_fit
from kdlib.teachers.imported import import_classifier, is_dotted
from kdlib.teachers.smoothing import predict_probabilities, smoothed_log_probabilities

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
            " a class as lightgbm.LGBMClassifier, or answers in a file, data/raw/my.npz (python -m stages.prepare"
            " --export writes the rows)"
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


@contextlib.contextmanager
def _reporting(name):
    """Log each warning of a classifier once, and turn its exceptions (options can cause any) into UserErrors."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        except (MemoryError, UserError):
            raise
        except Exception as error:
            key = "teacher.model" if is_dotted(name) else "teacher.options"
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{key}: {name} failed: {reason}") from None
    for text in dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught):
        log.warning("%s: %s", name, text)


def predict_out_of_fold(  # noqa: PLR0913 - four arrays of the same rows
    classifier: Any,
    x: Any,
    y: np.ndarray,
    fold: np.ndarray,
    n_folds: int,
    classes: int,
    seed: int,
    split: int = 0,
    after_fit: Callable[[], object] = lambda: None,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, Any]:
    """Predict each fold with a model that was fitted on the other folds, and calibrate the logits.

    Parameters
    ----------
    classifier : classifier or ImportedClassifier
    x : ndarray, shape (n, features), or DataFrame, n rows
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
    weights : ndarray, shape (n,), optional
        Of the rows, in fits and calibration.

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
            number = split * REPLICAS_PER_SPLIT + k
            own = None if weights is None else weights[training]
            fitted = training if own is None else training[own > 0]
            model = fit_classifier(classifier, take(x, training), y[training], number, seed, n_folds, own)
        if len(predicted):
            logits[predicted] = smoothed_log_probabilities(
                predict_probabilities(model, take(x, predicted), np.unique(y[fitted]), classes), examples
            )
        if len(predicted) or k == n_folds:
            after_fit()
    labeled = np.flatnonzero(fold != n_folds)
    own = None if weights is None else weights[labeled]
    return logits / np.float32(fit_temperature(logits[labeled], y[labeled], weights=own)), model


def count_fits(dataset: Dataset, n_folds: int, seed: int) -> int:
    """Count the models that `fit_and_predict` fits.

    In each split these are one model for each of the `n_folds` folds and one for all labelled training rows.
    """
    return sum(len(np.union1d(fold, n_folds)) for fold in folds_by_split(dataset, n_folds, seed))  # lint: integer sum


def _pickled_size(model, name):
    """Return the bytes of a model as a pickle, which tell its size."""
    try:
        return len(pickle.dumps(model, protocol=5))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"teacher.model: {name} has no size, as pickle cannot write it: {reason}") from None


def fit_and_predict(
    name: str,
    options: Mapping[str, Any],
    dataset: Dataset,
    n_folds: int,
    seed: int,
    after_fit: Callable[[], object] = lambda: None,
    threads: Threads = CORES,
    inputs: Literal["features", "raw"] = "features",
) -> tuple[np.ndarray, int]:
    """Compute the logits of a classifier for each split, training rows out of fold.

    Parameters
    ----------
    name : str
        Name of a class of scikit-learn, or the dotted path of any class, which is imported.
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
    inputs : {"features", "raw"}
        What the classifier is given: scaled features (n, features), or the DataFrame of `Dataset.table`.

    Returns
    -------
    logits : ndarray of float32, shape (S, n, classes)
        Zero for examples that are absent from a split.
    size : int
        Bytes of a fitted model as a pickle.

    Raises
    ------
    UserError
        As `build_classifier`, `import_classifier`, `fit_classifier` and `predict_probabilities` do; also for any other
        exception of the classifier.
    """
    classes = len(dataset.class_names)
    options = _for_numbered_classes(options, dataset.class_names)
    classifier = import_classifier(name, options, classes) if is_dotted(name) else build_classifier(name, options)
    sizes = []
    logits = np.zeros((dataset.splits, len(dataset.y), classes), dtype=np.float32)
    log.info("%s: %d models to fit: in each split one a fold, and one on all", name, count_fits(dataset, n_folds, seed))
    with _reporting(name), threads.limited():
        for split, fold in enumerate(folds_by_split(dataset, n_folds, seed)):
            rows = dataset.present(split)
            x = dataset.table(rows) if inputs == "raw" else dataset.inputs(rows, split)
            weights = dataset.row_weights(rows, split)
            logits[split, rows], model = predict_out_of_fold(
                classifier, x, dataset.y[rows], fold[rows], n_folds, classes, seed, split, after_fit, weights
            )
            sizes.append(_pickled_size(model, name))
    return logits, sizes[0]


def refit_first_split(name: str, options: Mapping[str, Any], dataset: Dataset, n_folds: int, seed: int) -> Any:
    """Fit again the model that predicted the first split's validation rows. Parameters as of `fit_and_predict`.

    The name may come from a file, so it must be of a class of scikit-learn: nothing is imported by it.
    """
    rows = dataset.labeled()
    x = dataset.inputs(rows)
    with _reporting(name):
        classifier = build_classifier(name, _for_numbered_classes(options, dataset.class_names))
        return fit_classifier(classifier, x, dataset.y[rows], n_folds, seed, n_folds, dataset.row_weights(rows))
