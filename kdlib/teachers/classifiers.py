"""scikit-learn's classifiers by name, fitted so that what they say depends on seed, split and fold alone."""

import contextlib
import inspect
import logging
import math
import pickle
import warnings
from difflib import get_close_matches

import numpy as np

from kdlib.backends import threads
from kdlib.data.mapped_rows import equal_rows
from kdlib.io.errors import UserError
from kdlib.numerics.streams import REPLICAS, stream
from kdlib.teachers.calibration import temperature
from kdlib.teachers.folds import fitted_on, fold_of, folds
from kdlib.teachers.smoothing import check_probabilities, logits_of

log = logging.getLogger("train_teacher")
USUAL = ["RandomForestClassifier", "HistGradientBoostingClassifier"]


def _known():
    """{name: class} of scikit-learn's classifiers that are built from options alone. Raises UserError without it."""
    try:
        from sklearn.utils import all_estimators
    except ImportError:
        raise UserError("teacher.model: a classifier of scikit-learn needs it: pip install scikit-learn") from None
    return {name: kind for name, kind in all_estimators(type_filter="classifier") if not _required(kind)}


def _parameters(kind):
    return {
        n: p for n, p in inspect.signature(kind.__init__).parameters.items() if n != "self" and p.kind != p.VAR_KEYWORD
    }


def _required(kind):
    return [name for name, parameter in _parameters(kind).items() if parameter.default is parameter.empty]


def build(name, options):
    """The classifier `name` of scikit-learn with these options ({name: value}), not fitted.

    Nothing is imported by its name: it is looked up among scikit-learn's own. Raises UserError, naming what is allowed.
    """
    known = _known()
    if name not in known:
        short = {other.removesuffix("Classifier"): other for other in known}  # all are alike in the rest
        close = [short[found] for found in get_close_matches(name.removesuffix("Classifier"), short)] or USUAL
        raise UserError(
            f"teacher.model: got {name!r}; allowed are mlp, a classifier of scikit-learn, such as {', '.join(close)},"
            " or any other model's answers in a file, data/raw/my.npz (python -m stages.prepare --export writes the"
            " rows to ask)"
        )
    allowed = _parameters(known[name])
    for option in options:
        if option not in allowed:
            raise UserError(f"teacher.options.{option}: unknown; {name} has {', '.join(allowed)}")
    return known[name](**options)


def _for_numbered_classes(options, class_names):
    """The options; of a `class_weight` by class names, one of all the classes' numbers, as the labels are."""
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


def _set(estimator, ending, value, unset_only=False):
    """Set its parameters of this name, and those of the estimators inside it."""
    found = {k: v for k, v in estimator.get_params().items() if k == ending or k.endswith(f"__{ending}")}
    estimator.set_params(**{k: value for k, v in found.items() if v is None or not unset_only})


@contextlib.contextmanager
def _told(name):
    """What scikit-learn warns of is logged, once, and what it raises, of options anything, becomes a UserError."""
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


def fitted(classifier, x, y, number, seed, folds):
    """A clone, fitted. number: of the split and the fold, from which its `random_state` follows unless it has one.

    What has no probabilities gets them from its decision_function, calibrated on `folds` folds of the same rows (Platt
    1999). It predicts on one thread: a forest adds up its trees' answers in the order in which they finish. Rows of one
    class alone, as of a fold without the one row of a rare class, are answered by that class.
    """
    from sklearn.base import clone
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.dummy import DummyClassifier

    rows_of_class = np.unique(y, return_counts=True)[1]
    if len(rows_of_class) == 1:
        return DummyClassifier().fit(x, y)
    own = clone(classifier)
    _set(own, "random_state", int(stream(seed, "teacher/random_state", number).random() * (1 << 31)), unset_only=True)
    if not hasattr(own, "predict_proba"):
        if not hasattr(own, "decision_function"):
            raise UserError(f"teacher.model: {type(own).__name__} says classes alone, no probabilities to teach by")
        if rows_of_class.min() < 2:  # 3 of all training rows are 2 or more of those without a fold
            raise UserError(
                f"teacher.model: {type(own).__name__} has no probabilities, and to calibrate it each class needs 3"
                " labelled training rows or more: take another, such as LogisticRegression"
            )
        fold = fold_of(y, folds, seed, number, equal_rows(x))
        pairs = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]
        own = CalibratedClassifierCV(own, cv=pairs, ensemble=False)
    own.fit(x, y)
    _set(own, "n_jobs", None)
    return own


def probabilities(estimator, x, classes):
    """(n, classes) float64, zeros of a class that it has not seen. Its classes are numbers from 0."""
    result = np.zeros((len(x), classes))
    result[:, estimator.classes_] = estimator.predict_proba(x)
    check_probabilities(result, f"teacher.model: {type(estimator).__name__}")
    return result


def out_of_fold(classifier, x, y, fold, count, classes, seed, split=0, after_fit=lambda: None):
    """(calibrated logits (n, classes) float32, the model of all training rows). y: (n,) classes of the training rows.

    fold: (n,), see `kdlib.teachers.folds.folds`. after_fit: called after each model that is fitted and asked.
    """
    logits, examples = np.zeros((len(x), classes), dtype=np.float32), np.count_nonzero(fold != count)
    for k in range(count + 1):
        asked, taught = np.flatnonzero(fold == k), fitted_on(fold, k, count)
        if len(asked) or k == count:
            model = fitted(classifier, x[taught], y[taught], split * REPLICAS + k, seed, count)
        if len(asked):
            logits[asked] = logits_of(probabilities(model, x[asked], classes), examples)
        if len(asked) or k == count:
            after_fit()
    known = np.flatnonzero(fold != count)
    return logits / np.float32(temperature(logits[known], y[known])), model


def fits(dataset, count: int, seed: int) -> int:
    """Count the models that `answers` fits: of each split one a fold, and one on all of its labelled training rows.

    Parameters
    ----------
    dataset : Dataset
    count : int
        Number of folds.
    seed : int

    Returns
    -------
    int
    """
    return sum(len(np.union1d(fold, count)) for fold in folds(dataset, count, seed))  # integers


def _built(name, options, dataset):
    return build(name, _for_numbered_classes(options, dataset.class_names))


def answers(name, options, dataset, count, seed, after_fit=lambda: None):
    """(logits (S, n, classes), bytes of a fitted model as a pickle) of a classifier by its name, for each split.

    after_fit: called after each of the `fits`.
    """
    classifier, classes, sizes = _built(name, options, dataset), len(dataset.class_names), []
    logits = np.zeros((dataset.splits, len(dataset.y), classes), dtype=np.float32)
    log.info("%s: %d models to fit: in each split one a fold, and one on all", name, fits(dataset, count, seed))
    with _told(name), threads.limited():
        for split, fold in enumerate(folds(dataset, count, seed)):
            rows = dataset.present(split)
            x, y = dataset.inputs(rows, split), dataset.y[rows]
            own = x, y, fold[rows], count, classes, seed, split, after_fit
            logits[split, rows], model = out_of_fold(classifier, *own)
            sizes.append(len(pickle.dumps(model, protocol=5)))
    return logits, sizes[0]


def refitted(name, options, dataset, count, seed):
    """The model that answered the first split's validation rows, fitted again."""
    x = dataset.inputs(dataset.labeled())
    with _told(name):
        return fitted(_built(name, options, dataset), x, dataset.y[dataset.labeled()], count, seed, count)
