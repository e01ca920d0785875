"""Distillation behind scikit-learn's interface: `DistilledClassifier`."""

import numpy as np

from kdlib.backends.arithmetic import ARITHMETICS, Exact
from kdlib.data.mapped_rows import equal_rows
from kdlib.data.memory import unmasked
from kdlib.io.chunks import positive_zeros
from kdlib.io.errors import UserError
from kdlib.learning import losses, objectives, recipe
from kdlib.learning.arguments import POSITIVE, Interval, Options, check
from kdlib.learning.model_file import ensemble_logits
from kdlib.learning.network import Network
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics.streams import REPLICAS, Streams
from kdlib.preparation.scaling import fit_scaling
from kdlib.teachers.classifiers import out_of_fold
from kdlib.teachers.folds import fold_of
from kdlib.teachers.smoothing import check_probabilities, logits_of

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import NotFittedError
    from sklearn.utils import check_random_state, validation
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise UserError("kdlib.estimator needs scikit-learn: pip install 'kdlib[sklearn]'") from None
# A method of estimators before 1.6.
validate_data = getattr(validation, "validate_data", lambda own, *data, **options: own._validate_data(*data, **options))
TEACHER = Recipe((128,), epochs=40, learning_rate=0.003, optimizer="adam", dropout=0.3)
SEED = Interval(0, 2**32, "[)", whole=True)
RECIPE = "epochs", "learning_rate", "batch_size", "optimizer", "weight_decay", "schedule"
CONSTRAINTS = {name: recipe.CONSTRAINTS[name] for name in ("hidden", *RECIPE)} | {
    **objectives.SETTING,
    "loss": objectives.CONSTRAINTS["loss"],
    "learning_rate": (POSITIVE,),
    "members": (Interval(1, REPLICAS, whole=True),),
    "folds": (Interval(2, 100, whole=True),),
    "scaling": (Options(("auto", "minmax", "standard", "none")),),
    "arithmetic": (Options(ARITHMETICS),),
}


class DistilledClassifier(ClassifierMixin, BaseEstimator):
    """A small network that another classifier teaches (Hinton, Vinyals and Dean 2015), with scikit-learn's methods.

    teacher: None, for `members` networks by the recipe TEACHER of this module; a `Recipe`, for others; a classifier
    that is not fitted: clones of it answer the training rows out of `folds` folds; or a fitted one, whose answers are
    taken as they are: of rows that it was fitted on they are worth little. hidden to schedule: the student's, see
    `Recipe`. loss, temperature, alpha: see `kdlib.learning.objectives.Distillation`; temperature and alpha are a number
    or a `kdlib.learning.schedules.LinearSchedule`. scaling: of the networks' inputs, see
    `kdlib.preparation.scaling.fit_scaling`; a classifier is given X as it is. unlabeled: None, or the y of rows
    without a label, such as -1: there alpha is 1. arithmetic: `exact` or `fast`. random_state: the seed of all draws;
    the same seed and rows give the same bytes as the pipeline's first replica of its first split.

    Attributes: classes_, n_features_in_, feature_names_in_, teacher_ (fitted, or None), network_.
    """

    def __init__(
        self, teacher=None, hidden=(16,), temperature=Distillation.temperature, alpha=Distillation.alpha,
        loss=Distillation.loss, epochs=Recipe.epochs, learning_rate=0.01, batch_size=Recipe.batch_size,
        optimizer="adam", weight_decay=Recipe.weight_decay, schedule=Recipe.schedule, members=5, folds=5,
        scaling="standard", unlabeled=None, arithmetic="exact", random_state=0,
    ):  # fmt: skip
        self.teacher, self.hidden, self.temperature, self.alpha, self.loss = teacher, hidden, temperature, alpha, loss
        self.epochs, self.learning_rate, self.batch_size, self.optimizer = epochs, learning_rate, batch_size, optimizer
        self.weight_decay, self.schedule, self.members, self.folds = weight_decay, schedule, members, folds
        self.scaling, self.unlabeled, self.arithmetic, self.random_state = scaling, unlabeled, arithmetic, random_state

    def fit(self, X, y, X_transfer=None, teacher_proba=None):  # noqa: N803 - scikit-learn's names
        """X: (n, features) numbers. y: (n,) classes. X_transfer: (m, features), rows that only the teacher speaks of.

        teacher_proba: what a teacher says, (n + m, classes) in the order of the sorted classes, in place of `teacher`.
        Raises ValueError for an argument of the constructor that is not allowed, before anything is trained.
        """
        check(CONSTRAINTS, vars(self))
        self._check_teacher()
        x, y = validate_data(self, unmasked(X), y, dtype=np.float64)
        check_classification_targets(y)
        x, known = positive_zeros(x), np.ones(len(y), bool) if self.unlabeled is None else y != self.unlabeled
        self.classes_, labels = np.unique(y[known], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has {len(self.classes_)} class; at least 2 classes are needed")
        self._offset, self._scale = fit_scaling(x, self.scaling, image=False)
        if X_transfer is not None:
            x = np.concatenate(
                [x, positive_zeros(validate_data(self, unmasked(X_transfer), dtype=np.float64, reset=False))]
            )
        codes = np.full(len(x), -1)
        codes[np.flatnonzero(known)] = labels.reshape(-1)
        draws = isinstance(self.random_state, int | np.integer)
        if draws:
            check({"random_state": (SEED,)}, vars(self))
        seed = int(self.random_state if draws else check_random_state(self.random_state).randint(1 << 31))
        logits = self._taught(x, codes, seed) if teacher_proba is None else self._given(teacher_proba, codes)
        student = Recipe(self.hidden, **{name: getattr(self, name) for name in RECIPE})
        options = {"loss": self.loss, "temperature": self.temperature, "alpha": self.alpha}
        objective = Distillation(self._one_hot(codes), logits, ARITHMETICS[self.arithmetic], **options)
        self.network_ = self._trained(self._inputs(x), objective, student, Streams(seed, "student"))
        return self

    def _check_teacher(self):
        known = self.teacher is None or isinstance(self.teacher, Recipe)
        if not known and (isinstance(self.teacher, type) or not hasattr(self.teacher, "fit")):
            raise UserError(
                f"teacher: got {self.teacher!r}; needs None, a Recipe, or a classifier, such as GaussianNB()"
            )

    def _inputs(self, x):
        return (x - self._offset) * self._scale

    def _one_hot(self, codes):
        return (codes[:, None] == np.arange(len(self.classes_))).astype(np.float64)

    @staticmethod
    def _trained(x, objective, recipe, streams):
        network, _ = train(x, objective, (x[:1], objective.one_hot[:1]), recipe, streams)  # chooses nothing
        return Network.from_arrays(network.arrays(), Exact)

    def _given(self, probabilities, codes):
        p, shape = np.asarray(probabilities), (len(codes), len(self.classes_))
        if p.shape != shape or p.dtype.kind not in "fiu":
            raise ValueError(f"teacher_proba: got {p.dtype} {p.shape}; needs probabilities {shape}, rows and classes")
        check_probabilities(p, "teacher_proba")
        self.teacher_ = None
        return logits_of(p, np.count_nonzero(codes >= 0))

    def _taught(self, x, codes, seed):
        """The teacher's logits of all rows, (n, classes)."""
        known = np.flatnonzero(codes >= 0)
        if self.teacher is None or isinstance(self.teacher, Recipe):
            objective = CrossEntropy(self._one_hot(codes[known]), ARITHMETICS[self.arithmetic])
            streams, inputs = Streams(seed, "teacher", tuple(range(self.members))), self._inputs(x)
            self.teacher_ = self._trained(inputs[known], objective, self.teacher or TEACHER, streams)
            return ensemble_logits(self.teacher_.logits(inputs))
        try:
            check_is_fitted(self.teacher)
        except NotFittedError:
            fold = np.full(len(x), self.folds)
            fold[known] = fold_of(codes[known], self.folds, seed, groups=equal_rows(x[known]))
            classes = len(self.classes_)
            logits, self.teacher_ = out_of_fold(self.teacher, x, codes, fold, self.folds, classes, seed)
            return logits
        self.teacher_ = self.teacher
        return logits_of(self._teacher_proba(x), len(known))

    def _teacher_proba(self, x):
        """(n, classes) of the fitted teacher."""
        if isinstance(self.teacher_, Network):
            return losses.softmax(ensemble_logits(self.teacher_.logits(self._inputs(x))).astype(np.float64), Exact)
        if self.teacher_ is self.teacher and not np.array_equal(self.teacher_.classes_, self.classes_):
            raise ValueError(f"teacher: its classes are {self.teacher_.classes_}, those of y {self.classes_}")
        return self.teacher_.predict_proba(x)

    def predict_proba(self, X):  # noqa: N803
        """(n, classes) float64. A row has the same probabilities alone and beside any others."""
        check_is_fitted(self)
        x = positive_zeros(validate_data(self, unmasked(X), dtype=np.float64, reset=False))
        return losses.softmax(self.network_.logits(self._inputs(x))[0], Exact)

    def predict(self, X):  # noqa: N803
        """(n,) the most probable class."""
        found = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[found]

    def fidelity(self, X):  # noqa: N803
        """Share of the rows on which student and teacher predict the same class (Stanton et al. 2021, equation 3)."""
        probabilities = self.predict_proba(X)
        if self.teacher_ is None:
            raise ValueError("fidelity needs the teacher, and fit was given its probabilities alone")
        theirs = self._teacher_proba(validate_data(self, unmasked(X), dtype=np.float64, reset=False))
        return np.count_nonzero(np.argmax(probabilities, axis=1) == np.argmax(theirs, axis=1)) / len(probabilities)
