"""Distillation behind scikit-learn's interface: `DistilledClassifier`."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from kdlib.backends.arithmetic import ARITHMETICS, EXACT
from kdlib.data.dataframes import masked_to_nan
from kdlib.data.mapped_rows import equal_rows
from kdlib.data.weights import BALANCED, MAX_WEIGHT, are_weights, class_factors, row_weights, weights_of_classes
from kdlib.io.chunks import positive_zeros
from kdlib.io.errors import UserError
from kdlib.learning import losses, objectives, recipe
from kdlib.learning.arguments import POSITIVE, Interval, Options, check_arguments
from kdlib.learning.labels import one_hot
from kdlib.learning.model_file import ensemble_logits
from kdlib.learning.network import Network
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.learning.weighting import Weighted
from kdlib.numerics.streams import REPLICAS_PER_SPLIT, Streams
from kdlib.preparation.scaling import fit_scaling
from kdlib.preparation.splits import stratified_split
from kdlib.teachers.classifiers import predict_out_of_fold
from kdlib.teachers.folds import assign_folds
from kdlib.teachers.smoothing import check_probabilities, predict_probabilities, smoothed_log_probabilities

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import NotFittedError
    from sklearn.utils import check_random_state, validation
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise UserError("kdlib.estimator needs scikit-learn: pip install 'kdlib[sklearn]'") from None
# Before scikit-learn 1.6 it is a private method of estimators.
validate_data = getattr(validation, "validate_data", lambda own, *data, **options: own._validate_data(*data, **options))
DEFAULT_TEACHER = Recipe((128,), epochs=40, learning_rate=0.003, optimizer="adam", dropout=0.3)
SEED_RANGE = Interval(0, 2**32, "[)", whole=True)
RECIPE_FIELDS = "epochs", "learning_rate", "batch_size", "optimizer", "weight_decay", "schedule", "dropout", "patience"
CONSTRAINTS = {name: recipe.CONSTRAINTS[name] for name in ("hidden", *RECIPE_FIELDS)} | {
    **objectives.SETTING_CONSTRAINTS,
    "loss": objectives.CONSTRAINTS["loss"],
    "learning_rate": (POSITIVE,),
    "members": (Interval(1, REPLICAS_PER_SPLIT, whole=True),),
    "folds": (Interval(2, 100, whole=True),),
    "scaling": (Options(("auto", "minmax", "standard", "none")),),
    "arithmetic": (Options(ARITHMETICS),),
    "validation_fraction": (Interval(0, 1, "()"),),
}


def _is_fitted(teacher):
    """Return whether a classifier of any library is fitted."""
    if isinstance(teacher, BaseEstimator):
        try:
            check_is_fitted(teacher)
        except NotFittedError:
            return False
        return True
    for name in ("__sklearn_is_fitted__", "is_fitted"):
        if callable(method := getattr(teacher, name, None)):
            return bool(method())
    return any(name.endswith("_") and not name.startswith("_") for name in getattr(teacher, "__dict__", {}))


class DistilledClassifier(ClassifierMixin, BaseEstimator):
    """Train a small network on the outputs of a teacher, with scikit-learn's methods.

    Parameters
    ----------
    teacher : None, Recipe or classifier
        None: `members` networks by the recipe DEFAULT_TEACHER of this module. A `Recipe`: networks by that. Or a
        classifier of any library, with `fit` and `predict_proba`. If it is not fitted, clones of it predict the
        training rows out of `folds` folds. If it is (it has `is_fitted()`, or an attribute whose name ends with an
        underscore), its probabilities are taken as they are. It should not be fitted on these rows: for them its
        probabilities are nearly the labels.
    hidden : tuple of int
        Widths of the student's hidden layers.
    temperature, alpha : float or LinearSchedule
        See `kdlib.learning.objectives.Distillation`.
    loss : str
        See `kdlib.learning.objectives.Distillation`.
    epochs, learning_rate, batch_size, optimizer, weight_decay, schedule
        Of the student, see `kdlib.learning.recipe.Recipe`.
    members : int
        Networks of the teacher, if it is one of networks.
    folds : int
        For a teacher that is not fitted.
    scaling : {"auto", "minmax", "standard", "none"}
        Of the networks' inputs, see `kdlib.preparation.scaling.fit_scaling`. A classifier is given X unscaled.
    unlabeled : optional
        The y of rows without a label, such as -1; for these alpha is 1. None: every row has a label.
    arithmetic : {"exact", "fast"}
    random_state : int, RandomState or None
        Seed of all draws. The same seed and rows give the same bytes as the pipeline's first replica of its first
        split.
    dropout : float
        Of the student, see `kdlib.learning.recipe.Recipe`.
    patience : int, optional
        The student stops after this many epochs without a lower loss on rows that are held out, and its best epoch is
        kept. None: no row is held out, and the last epoch is kept.
    validation_fraction : float
        With a patience: the share of the labelled rows of each class on which neither student nor teacher is trained. A
        fitted teacher, and one whose probabilities `fit` is given, may know them.
    class_weight : None, "balanced" or dict
        Weights of classes in the losses of teacher and student, {class: number}; a class that is left out has 1.
        "balanced": the rows of one class together weigh as much as those of any other.

    Attributes
    ----------
    classes_ : np.ndarray, (classes,)
        Sorted.
    n_features_in_ : int
    feature_names_in_ : np.ndarray
        Only if X has names of columns.
    teacher_ : Network, classifier or None
        Fitted; None if `fit` was given its probabilities.
    network_ : Network
        The student.

    References
    ----------
    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network" (2015).

    Examples
    --------
    >>> model = DistilledClassifier(RandomForestClassifier(), hidden=(8,)).fit(x, y)  # doctest: +SKIP
    >>> model.predict(x)  # doctest: +SKIP
    """

    def __init__(  # noqa: PLR0913 - scikit-learn's constructor
        self, teacher=None, hidden=(16,), temperature=Distillation.temperature, alpha=Distillation.alpha,
        loss=Distillation.loss, epochs=Recipe.epochs, learning_rate=0.01, batch_size=Recipe.batch_size,
        optimizer="adam", weight_decay=Recipe.weight_decay, schedule=Recipe.schedule, members=5, folds=5,
        scaling="standard", unlabeled=None, arithmetic="exact", random_state=0, dropout=Recipe.dropout,
        patience=None, validation_fraction=0.1, class_weight=None,
    ):  # fmt: skip
        self.teacher = teacher
        self.hidden = hidden
        self.temperature = temperature
        self.alpha = alpha
        self.loss = loss
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.schedule = schedule
        self.members = members
        self.folds = folds
        self.scaling = scaling
        self.unlabeled = unlabeled
        self.arithmetic = arithmetic
        self.random_state = random_state
        self.dropout = dropout
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.class_weight = class_weight

    def fit(
        self,
        X: ArrayLike,  # noqa: N803 - scikit-learn's names
        y: ArrayLike,
        X_transfer: ArrayLike | None = None,  # noqa: N803
        teacher_proba: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> "DistilledClassifier":
        """Fit the teacher, if it is not fitted yet, and train the student.

        Parameters
        ----------
        X : array-like, (n, features)
            Numbers.
        y : array-like, (n,)
            Classes.
        X_transfer : array-like, (m, features), optional
            Rows without labels, on which the student learns from the teacher only.
        teacher_proba : array-like, (n + m, classes), optional
            The teacher's probabilities, in the order of the sorted classes, in place of `teacher`.
        sample_weight : array-like, (n,), optional
            Weights of the rows in the losses of teacher and student; only their ratios matter. A row of weight 0 is
            left out. Rows of `X_transfer` have the mean weight.

        Returns
        -------
        DistilledClassifier
            self

        Raises
        ------
        ValueError
            If an argument of the constructor is not allowed, before anything is trained; or if the data are not.
        """
        check_arguments(CONSTRAINTS, vars(self))
        self._check_teacher()
        x, classes = validate_data(self, masked_to_nan(X), y, dtype=np.float64)
        check_classification_targets(classes)
        x = positive_zeros(x)
        own_weights = self._checked_weights(sample_weight, x)
        known = np.ones(len(classes), bool) if self.unlabeled is None else classes != self.unlabeled
        if own_weights is not None:
            known &= own_weights > 0
        self.classes_, labels = np.unique(classes[known], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has {len(self.classes_)} class; at least 2 classes are needed")
        n = len(x)
        if X_transfer is not None:
            x = np.concatenate(
                [x, positive_zeros(validate_data(self, masked_to_nan(X_transfer), dtype=np.float64, reset=False))]
            )
        codes = np.full(len(x), -1)
        codes[np.flatnonzero(known)] = labels.reshape(-1)
        seed = self._seed()
        used = np.ones(len(x), bool)
        if own_weights is not None:
            used[:n] = own_weights > 0
            own_weights = np.concatenate([own_weights, np.full(len(x) - n, np.nan)])
        held_out = self._held_out(x, codes, seed)
        used[held_out] = False
        rows = np.flatnonzero(used)
        self._offset, self._scale = fit_scaling(x[rows[rows < n]], self.scaling, image=False)
        weights, validation_weights = self._weights(codes, own_weights, rows, held_out)
        validated = None
        if len(held_out):
            validated = self._inputs(x[held_out]), codes[held_out]
            validated = validated if validation_weights is None else (*validated, validation_weights)
        if teacher_proba is None:
            logits = self._teacher_logits(x[rows], codes[rows], seed, weights, validated)
        else:
            logits = self._logits_of_given(teacher_proba, codes, rows)
        student = Recipe(self.hidden, **{name: getattr(self, name) for name in RECIPE_FIELDS})
        options = {"loss": self.loss, "temperature": self.temperature, "alpha": self.alpha}
        objective = Distillation(codes[rows], logits, ARITHMETICS[self.arithmetic], **options)
        streams = Streams(seed, "student")
        self.network_ = self._trained(self._inputs(x[rows]), objective, student, streams, weights, validated)
        return self

    def _check_teacher(self):
        of_networks = self.teacher is None or isinstance(self.teacher, Recipe)
        if not of_networks and (isinstance(self.teacher, type) or not hasattr(self.teacher, "fit")):
            raise UserError(
                f"teacher: got {self.teacher!r}; needs None, a Recipe, or a classifier, such as GaussianNB()"
            )

        allowed = self.class_weight is None or isinstance(self.class_weight, Mapping)
        if not allowed and not (isinstance(self.class_weight, str) and self.class_weight == BALANCED):
            raise UserError(f"class_weight: got {self.class_weight!r}; needs None, {BALANCED!r} or {{class: number}}")

    def _seed(self):
        if isinstance(self.random_state, int | np.integer):
            check_arguments({"random_state": (SEED_RANGE,)}, vars(self))
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(1 << 31))

    @staticmethod
    def _checked_weights(sample_weight, x):
        """Return the weights as (n,) float64, or None."""
        if sample_weight is None:
            return None
        weights = validation._check_sample_weight(sample_weight, x, dtype=np.float64)
        if not are_weights(weights) or not weights.any():
            raise UserError(f"sample_weight: needs numbers from 0 to {MAX_WEIGHT:g} that are not all zero")
        return weights

    def _held_out(self, x, codes, seed):
        """Return the indices of the labelled rows that are held out; none without a patience."""
        if self.patience is None:
            return np.arange(0)
        known = np.flatnonzero(codes >= 0)
        ratios = 1 - self.validation_fraction, self.validation_fraction
        remedy = "lower validation_fraction, or set patience to None"
        groups = equal_rows(x[known])
        _, held_out = stratified_split(codes[known], ratios, seed, "estimator/validation", remedy, 1, groups)
        if not len(held_out):
            raise UserError(
                f"patience: got {self.patience}, and a validation_fraction of {self.validation_fraction} leaves none of"
                f" {len(known)} labelled rows to validate on; raise validation_fraction, or set patience to None"
            )
        return known[held_out]

    def _weights(self, codes, own_weights, rows, held_out):
        """Return the weights of the rows to train on and of those that are held out; (None, None) without any."""
        if self.class_weight is None and own_weights is None:
            return None, None
        class_weight = self.class_weight
        if isinstance(class_weight, Mapping):
            class_weight = weights_of_classes(class_weight, self.classes_.tolist(), "class_weight")
        known = rows[codes[rows] >= 0]
        own = [None if own_weights is None else own_weights[of] for of in (known, rows, held_out)]
        factors = class_factors(codes[known], len(self.classes_), class_weight, own[0])
        return row_weights(factors, codes[rows], own[1]), row_weights(factors, codes[held_out], own[2])

    def _inputs(self, x):
        return (x - self._offset) * self._scale

    @staticmethod
    def _trained(x, objective, recipe, streams, weights, validated):
        objective = objective if weights is None else Weighted(objective, weights)
        network, _ = train(x, objective, recipe, validated, streams)
        return Network.from_arrays(network.arrays(), EXACT)

    def _logits_of_given(self, probabilities, codes, rows):
        """Check the probabilities that `fit` was given; return the logits of `rows`, (m, classes)."""
        p = np.asarray(probabilities)
        shape = len(codes), len(self.classes_)
        if p.shape != shape or p.dtype.kind not in "fiu":
            raise ValueError(f"teacher_proba: got {p.dtype} {p.shape}; needs probabilities {shape}, rows and classes")
        check_probabilities(p, "teacher_proba")
        self.teacher_ = None
        return smoothed_log_probabilities(p[rows], int(np.count_nonzero(codes[rows] >= 0)))

    def _teacher_logits(self, x, codes, seed, weights, validated):
        """Fit the teacher, if it is not fitted yet; return its logits of all rows, (n, classes)."""
        known = np.flatnonzero(codes >= 0)
        if self.teacher is None or isinstance(self.teacher, Recipe):
            objective = CrossEntropy(one_hot(codes[known], len(self.classes_)), ARITHMETICS[self.arithmetic])
            streams = Streams(seed, "teacher", tuple(range(self.members)))
            inputs = self._inputs(x)
            recipe = self.teacher or DEFAULT_TEACHER
            own = None if weights is None else weights[known]
            self.teacher_ = self._trained(inputs[known], objective, recipe, streams, own, validated)
            return ensemble_logits(self.teacher_.logits(inputs))
        if not _is_fitted(self.teacher):
            fold = np.full(len(x), self.folds)
            fold[known] = assign_folds(codes[known], self.folds, seed, groups=equal_rows(x[known]))
            classes = len(self.classes_)
            logits, self.teacher_ = predict_out_of_fold(
                self.teacher, x, codes, fold, self.folds, classes, seed, weights=weights
            )
            return logits
        self.teacher_ = self.teacher
        return smoothed_log_probabilities(self._teacher_proba(x), len(known))

    def _teacher_proba(self, x):
        """Return the probabilities of the fitted teacher, (n, classes)."""
        teacher = self.teacher_
        if teacher is None:
            raise ValueError("fidelity needs the teacher, and fit was given its probabilities alone")
        if isinstance(teacher, Network):
            return losses.softmax(ensemble_logits(teacher.logits(self._inputs(x))).astype(np.float64), EXACT)
        classes = getattr(teacher, "classes_", self.classes_)
        if teacher is self.teacher and not np.array_equal(classes, self.classes_):
            raise ValueError(f"teacher: its classes are {classes}, those of y {self.classes_}")
        return predict_probabilities(teacher, x, np.arange(len(self.classes_)), len(self.classes_))

    def predict_proba(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """Return the student's probabilities, (n, classes) float64. Those of a row do not depend on the other rows."""
        check_is_fitted(self)
        x = positive_zeros(validate_data(self, masked_to_nan(X), dtype=np.float64, reset=False))
        return losses.softmax(self.network_.logits(self._inputs(x))[0], EXACT)

    def predict(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """Return the student's most probable classes, (n,)."""
        codes = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[codes]

    def fidelity(self, X: ArrayLike) -> float:  # noqa: N803
        """Return the fraction of rows on which student and teacher predict the same class.

        Parameters
        ----------
        X : array-like, (n, features)

        Raises
        ------
        ValueError
            If `fit` was given the teacher's probabilities and not the teacher.

        References
        ----------
        Stanton et al., "Does Knowledge Distillation Really Work?" (2021), equation 3.
        """
        probabilities = self.predict_proba(X)
        theirs = self._teacher_proba(validate_data(self, masked_to_nan(X), dtype=np.float64, reset=False))
        return np.count_nonzero(np.argmax(probabilities, axis=1) == np.argmax(theirs, axis=1)) / len(probabilities)
