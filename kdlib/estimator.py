"""Distillation behind scikit-learn's interface: `DistilledClassifier`."""

import numpy as np
from numpy.typing import ArrayLike

from kdlib.backends.arithmetic import ARITHMETICS, EXACT
from kdlib.data.dataframes import masked_to_nan
from kdlib.data.mapped_rows import equal_rows
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
from kdlib.numerics.streams import REPLICAS_PER_SPLIT, Streams
from kdlib.preparation.scaling import fit_scaling
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
RECIPE_FIELDS = "epochs", "learning_rate", "batch_size", "optimizer", "weight_decay", "schedule"
CONSTRAINTS = {name: recipe.CONSTRAINTS[name] for name in ("hidden", *RECIPE_FIELDS)} | {
    **objectives.SETTING_CONSTRAINTS,
    "loss": objectives.CONSTRAINTS["loss"],
    "learning_rate": (POSITIVE,),
    "members": (Interval(1, REPLICAS_PER_SPLIT, whole=True),),
    "folds": (Interval(2, 100, whole=True),),
    "scaling": (Options(("auto", "minmax", "standard", "none")),),
    "arithmetic": (Options(ARITHMETICS),),
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
        scaling="standard", unlabeled=None, arithmetic="exact", random_state=0,
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

    def fit(
        self,
        X: ArrayLike,  # noqa: N803 - scikit-learn's names
        y: ArrayLike,
        X_transfer: ArrayLike | None = None,  # noqa: N803
        teacher_proba: ArrayLike | None = None,
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
        known = np.ones(len(classes), bool) if self.unlabeled is None else classes != self.unlabeled
        self.classes_, labels = np.unique(classes[known], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has {len(self.classes_)} class; at least 2 classes are needed")
        self._offset, self._scale = fit_scaling(x, self.scaling, image=False)
        if X_transfer is not None:
            x = np.concatenate(
                [x, positive_zeros(validate_data(self, masked_to_nan(X_transfer), dtype=np.float64, reset=False))]
            )
        codes = np.full(len(x), -1)
        codes[np.flatnonzero(known)] = labels.reshape(-1)
        is_seed = isinstance(self.random_state, int | np.integer)
        if is_seed:
            check_arguments({"random_state": (SEED_RANGE,)}, vars(self))
        seed = int(self.random_state if is_seed else check_random_state(self.random_state).randint(1 << 31))
        if teacher_proba is None:
            logits = self._teacher_logits(x, codes, seed)
        else:
            logits = self._logits_of_given(teacher_proba, codes)
        student = Recipe(self.hidden, **{name: getattr(self, name) for name in RECIPE_FIELDS})
        options = {"loss": self.loss, "temperature": self.temperature, "alpha": self.alpha}
        objective = Distillation(codes, logits, ARITHMETICS[self.arithmetic], **options)
        self.network_ = self._trained(self._inputs(x), objective, student, Streams(seed, "student"))
        return self

    def _check_teacher(self):
        of_networks = self.teacher is None or isinstance(self.teacher, Recipe)
        if not of_networks and (isinstance(self.teacher, type) or not hasattr(self.teacher, "fit")):
            raise UserError(
                f"teacher: got {self.teacher!r}; needs None, a Recipe, or a classifier, such as GaussianNB()"
            )

    def _inputs(self, x):
        return (x - self._offset) * self._scale

    @staticmethod
    def _trained(x, objective, recipe, streams):
        network, _ = train(x, objective, recipe, streams=streams)
        return Network.from_arrays(network.arrays(), EXACT)

    def _logits_of_given(self, probabilities, codes):
        """Check the probabilities that `fit` was given; return their logits, (n, classes)."""
        p = np.asarray(probabilities)
        shape = len(codes), len(self.classes_)
        if p.shape != shape or p.dtype.kind not in "fiu":
            raise ValueError(f"teacher_proba: got {p.dtype} {p.shape}; needs probabilities {shape}, rows and classes")
        check_probabilities(p, "teacher_proba")
        self.teacher_ = None
        return smoothed_log_probabilities(p, int(np.count_nonzero(codes >= 0)))

    def _teacher_logits(self, x, codes, seed):
        """Fit the teacher, if it is not fitted yet; return its logits of all rows, (n, classes)."""
        known = np.flatnonzero(codes >= 0)
        if self.teacher is None or isinstance(self.teacher, Recipe):
            objective = CrossEntropy(one_hot(codes[known], len(self.classes_)), ARITHMETICS[self.arithmetic])
            streams = Streams(seed, "teacher", tuple(range(self.members)))
            inputs = self._inputs(x)
            self.teacher_ = self._trained(inputs[known], objective, self.teacher or DEFAULT_TEACHER, streams)
            return ensemble_logits(self.teacher_.logits(inputs))
        if not _is_fitted(self.teacher):
            fold = np.full(len(x), self.folds)
            fold[known] = assign_folds(codes[known], self.folds, seed, groups=equal_rows(x[known]))
            classes = len(self.classes_)
            logits, self.teacher_ = predict_out_of_fold(self.teacher, x, codes, fold, self.folds, classes, seed)
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
