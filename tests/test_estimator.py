"""`DistilledClassifier`: scikit-learn's contract, and the pipeline's bytes."""

import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from kdlib.data.dataset import Dataset
from kdlib.estimator import DistilledClassifier
from kdlib.io.artifacts import read_npz
from kdlib.learning.calibration import fit_temperature
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.pipeline.command_line import PATHS
from kdlib.teachers.folds import assign_folds
from kdlib.teachers.smoothing import smoothed_log_probabilities
from tests.conftest import MAINS, quick_params

# Of old scikit-learn with a new SciPy.
pytestmark = pytest.mark.filterwarnings("ignore:.*L-BFGS-B:DeprecationWarning")

SMALL = {"hidden": (5,), "epochs": 4}


@pytest.mark.slow
@pytest.mark.parametrize("teacher", [None, GaussianNB()], ids=["networks", "classifier"])
@pytest.mark.filterwarnings("ignore")  # of what the checks pass on purpose
def test_scikit_learns_contract(teacher, monkeypatch):
    """But repeated rows: they are other batches than rows with whole weights, as in any descent by batches."""
    reason = "steps on batches of repeated rows are others"
    if "expected_failed_checks" in inspect.signature(check_estimator).parameters:
        expected = {"check_sample_weight_equivalence_on_dense_data": reason}
        check_estimator(DistilledClassifier(teacher), expected_failed_checks=expected)
        return
    expected = {"check_sample_weights_invariance": reason}
    tags = lambda self: {"_xfail_checks": expected}  # noqa: E731
    monkeypatch.setattr(DistilledClassifier, "_more_tags", tags, raising=False)
    check_estimator(DistilledClassifier(teacher))


def blobs(n=120, seed=0):
    """Rows (n, 3) of three classes that overlap, and their names."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    return rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[y], np.array(["b", "a", "c"])[y]


FOREST, TREES = {"model": "RandomForestClassifier", "options": {"n_estimators": 9}}, RandomForestClassifier(9)
NETWORK = Recipe((16,), 3, 0.1, 32, schedule="linear")


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {"teacher": Recipe((16,), 3, 0.1, 32, schedule="linear"), "members": 2}),
        (
            {"prepare": {"labeled_fraction": 0.4, "splits": 1}},
            {"teacher": Recipe((16,), 3, 0.1, 32, schedule="linear")},
        ),
        (
            {"prepare": {"scaling": "none"}, "teacher": FOREST},
            {"teacher": RandomForestClassifier(9), "scaling": "none"},
        ),
    ],
    ids=["networks", "few labels", "forest"],
)
def test_the_pipelines_bytes(tmp_path, monkeypatch, changes, options):
    """For the same rows and the same recipe: the first split's first replica."""
    monkeypatch.chdir(tmp_path)
    last = {"keep": "last"}  # without a patience no row is held out, by which an epoch could be chosen
    changes = {"seed": 3, "teacher": {"members": options.get("members", 1)} | last, "student": last} | changes
    params = quick_params(**changes)
    for stage in ("prepare", "train_teacher", "distill"):
        MAINS[stage](params)
    dataset, expected = Dataset.load(PATHS.dataset), read_npz(PATHS.student)
    rows = dataset.rows("train")
    options = {"scaling": "minmax", "members": 1, "unlabeled": -1, "random_state": 3} | options
    student = {"hidden": (8,), "epochs": 3, "batch_size": 32, "learning_rate": 0.15, "optimizer": "sgd", "alpha": 0.7}
    classifier = DistilledClassifier(**student, **options).fit(dataset.x[rows], dataset.labels(rows))
    for name, array in classifier.network_.arrays().items():
        assert array.tobytes() == expected[name][:1].tobytes(), name


def test_a_transfer_set_is_rows_without_labels():
    x, y = blobs()
    apart = DistilledClassifier(LogisticRegression(), scaling="none", **SMALL).fit(x[:80], y[:80], X_transfer=x[80:])
    y[80:] = "?"
    together = DistilledClassifier(LogisticRegression(), scaling="none", unlabeled="?", **SMALL).fit(x, y)
    assert np.array_equal(apart.predict_proba(x), together.predict_proba(x))
    assert apart.classes_.tolist() == ["a", "b", "c"]


def test_unlabelled_rows_need_to_be_opted_into():
    x, y = blobs()
    y = np.where(np.arange(len(y)) < 60, np.unique(y, return_inverse=True)[1], -1)
    classifier = DistilledClassifier(GaussianNB(), **SMALL)
    assert classifier.fit(x, y).classes_.tolist() == [-1, 0, 1, 2]
    assert classifier.set_params(unlabeled=-1).fit(x, y).classes_.tolist() == [0, 1, 2]


def test_a_teachers_probabilities_are_as_good_as_the_teacher():
    x, y = blobs()
    codes = np.unique(y, return_inverse=True)[1]
    fold, p = assign_folds(codes, 5, 0), np.empty((len(x), 3))
    for k in range(5):
        p[fold == k] = GaussianNB().fit(x[fold != k], y[fold != k]).predict_proba(x[fold == k])
    theirs, ours = DistilledClassifier(GaussianNB(), **SMALL).fit(x, y), DistilledClassifier(**SMALL)
    scaled = smoothed_log_probabilities(p, len(x)) / np.float32(
        fit_temperature(smoothed_log_probabilities(p, len(x)), codes)
    )
    calibrated = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    ours.fit(x, y, teacher_proba=calibrated / calibrated.sum(axis=1, keepdims=True))
    assert ours.predict_proba(x) == pytest.approx(theirs.predict_proba(x), abs=0.01)  # but for another floor
    with pytest.raises(ValueError, match="its probabilities alone"):
        ours.fidelity(x)


def test_a_fitted_teacher_is_taken_as_it_is_and_an_unfitted_one_is_left_alone():
    x, y = blobs()
    fitted = GaussianNB().fit(x, y)
    before = pickle.dumps(fitted)
    ours = DistilledClassifier(fitted, **SMALL).fit(x, y)
    given = DistilledClassifier(**SMALL).fit(x, y, teacher_proba=fitted.predict_proba(x))
    assert np.array_equal(ours.predict_proba(x), given.predict_proba(x))
    assert pickle.dumps(fitted) == before
    unfitted = GaussianNB()
    DistilledClassifier(unfitted, **SMALL).fit(x, y)
    assert vars(unfitted) == vars(GaussianNB())


class Centres:
    """A classifier without scikit-learn's base class, classes or parameters."""

    def __init__(self):
        self.settings = {"sharpness": 1.0}

    def fit(self, x, y):
        self.centres_ = np.array([x[y == k].mean(axis=0) for k in np.unique(y)])

    def predict_proba(self, x):
        likelihood = np.exp(-self.settings["sharpness"] * ((x[:, None] - self.centres_) ** 2).sum(axis=2))
        return likelihood / likelihood.sum(axis=1, keepdims=True)


def test_a_teacher_needs_fit_and_predict_proba_alone():
    x, y = blobs()
    unfitted = Centres()
    ours = DistilledClassifier(unfitted, **SMALL).fit(x, y)
    assert vars(unfitted) == vars(Centres())
    fitted = Centres()
    fitted.fit(x, np.unique(y, return_inverse=True)[1])
    given = DistilledClassifier(**SMALL).fit(x, y, teacher_proba=fitted.predict_proba(x))
    theirs = DistilledClassifier(fitted, **SMALL).fit(x, y)
    assert np.array_equal(theirs.predict_proba(x), given.predict_proba(x))
    assert not np.array_equal(theirs.predict_proba(x), ours.predict_proba(x))
    fitted.fit(x, np.arange(len(x)) % 2)
    with pytest.raises(ValueError, match=r"Centres: its predict_proba gave float64 \(120, 2\); needs numbers"):
        DistilledClassifier(fitted, **SMALL).fit(x, y)


@pytest.mark.parametrize(
    ("package", "options"),
    [
        ("lightgbm.LGBMClassifier", {"n_estimators": 5, "verbose": -1, "colsample_bytree": 0.5}),
        ("xgboost.XGBClassifier", {"n_estimators": 5, "subsample": 0.5}),
        ("catboost.CatBoostClassifier", {"iterations": 5, "verbose": 0, "allow_writing_files": False}),
    ],
)
def test_a_teacher_of_another_library(package, options):
    package, name = package.split(".")
    pypi = {"xgboost": "xgboost-cpu"}.get(package, package)
    module = pytest.importorskip(package, reason=f"no {package} (pip install {pypi})")
    x, y = blobs()
    teacher = getattr(module, name)(**options)
    first, again = (DistilledClassifier(teacher, hidden=(5,), epochs=30).fit(x, y) for _ in range(2))
    assert np.array_equal(first.predict_proba(x), again.predict_proba(x))
    assert first.fidelity(x) > 0.5
    if package != "catboost":
        assert first.teacher_.get_params()["n_jobs"] == 1
        assert teacher.get_params()["n_jobs"] is None
    fitted = teacher.fit(x, np.unique(y, return_inverse=True)[1])
    with pytest.raises(ValueError, match="its classes are"):
        DistilledClassifier(fitted, **SMALL).fit(x, y)


@pytest.mark.parametrize("teacher", [None, GaussianNB()], ids=["networks", "classifier"])
def test_fidelity_is_the_share_of_equal_predictions(teacher):
    x, y = blobs()
    classifier = DistilledClassifier(teacher, epochs=30).fit(x, y)
    rows = blobs(50, seed=1)[0]
    theirs = np.argmax(classifier._teacher_proba(rows), axis=1)
    assert classifier.fidelity(rows) == np.mean(classifier.predict(rows) == classifier.classes_[theirs])
    assert classifier.fidelity(rows) > 0.8


@pytest.mark.parametrize(
    ("teacher", "fit", "message"),
    [
        (CalibratedClassifierCV(GaussianNB()).fit(*blobs()[0:2]), {"teacher_proba": np.ones((2, 2))}, "needs proba"),
        (None, {"teacher_proba": np.full((120, 3), 0.5)}, "row 0 sums to 1.5"),
        (None, {"X_transfer": np.ones((4, 2))}, "2 features"),
        (GaussianNB().fit(blobs()[0], blobs()[1] == "a"), {}, "its classes are"),
    ],
    ids=["shape", "sums", "features", "classes"],
)
def test_what_does_not_fit_is_refused(teacher, fit, message):
    with pytest.raises(ValueError, match=message):
        DistilledClassifier(teacher, **SMALL).fit(*blobs(), **fit)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": -1}, r"temperature: got -1; needs a number in \(0, inf\)"),
        ({"temperature": 0}, "temperature: got 0; needs a number"),
        ({"temperature": "4"}, "temperature: got '4'; needs a number"),
        ({"temperature": [1.0, 4.0]}, r"temperature: got \[1.0, 4.0\]; needs a number"),
        ({"alpha": 1.5}, r"alpha: got 1.5; needs a number in \[0, 1\]"),
        ({"epochs": 0}, r"epochs: got 0; needs a whole number in \[1, inf\)"),
        ({"hidden": 16}, "hidden: got 16; needs a sequence, of which each is a whole number"),
        ({"learning_rate": (0.1, 0.2)}, r"learning_rate: got \(0.1, 0.2\); needs a number"),
        ({"loss": "kdd"}, "loss: got 'kdd'; needs one of 'kd', 'dkd', 'mse'"),
        ({"optimizer": "sdg"}, "optimizer: got 'sdg'; needs one of 'sgd', 'adam', 'adamw'"),
        ({"schedule": "curve"}, "schedule: got 'curve'; needs one of 'constant', 'linear'"),
        ({"dropout": 1.0}, r"dropout: got 1.0; needs a number in \[0, 1\)"),
        ({"patience": 0}, "patience: got 0; needs a whole number"),
        ({"validation_fraction": 1}, r"validation_fraction: got 1; needs a number in \(0, 1\)"),
        ({"class_weight": "even"}, "class_weight: got 'even'; needs None, 'balanced' or {class: number}"),
        ({"class_weight": [1, 2]}, r"class_weight: got \[1, 2\]; needs None"),
        ({"class_weight": {"d": 1}}, "class_weight: got the class 'd'; the classes are a, b, c"),
        ({"class_weight": {"a": -1}}, "class_weight: got -1 for a; needs a number from 0"),
        ({"members": 0}, r"members: got 0; needs a whole number in \[1, 1000\]"),
        ({"folds": 1}, "folds: got 1; needs a whole number in"),
        ({"scaling": "robust"}, "scaling: got 'robust'; needs one of 'auto'"),
        ({"arithmetic": "double"}, "arithmetic: got 'double'; needs one of 'exact', 'fast'"),
        ({"random_state": -1}, "random_state: got -1; needs a whole number in"),
        ({"teacher": "forest"}, "teacher: got 'forest'; needs None, a Recipe, or a classifier"),
        ({"teacher": GaussianNB}, "teacher: got <class .*GaussianNB'>; needs None, a Recipe, or a classifier"),
    ],
)
def test_an_argument_that_is_not_allowed_is_named_before_anything_is_trained(change, message, monkeypatch):
    monkeypatch.delattr("kdlib.estimator.train")
    with pytest.raises(ValueError, match=message):
        DistilledClassifier(**change).fit(*blobs())


def test_a_schedule_is_a_setting_as_a_number_is():
    x, y = blobs()
    classifier = DistilledClassifier(GaussianNB(), alpha=LinearSchedule(0.5, 0.5), **SMALL)
    same = DistilledClassifier(GaussianNB(), alpha=0.5, **SMALL).fit(x, y).predict_proba(x)
    assert np.array_equal(clone(classifier).fit(x, y).predict_proba(x), same)
    other = classifier.set_params(alpha=LinearSchedule(0.5, 0.9)).fit(x, y).predict_proba(x)
    assert not np.array_equal(other, same)


def test_what_is_masked_is_missing():
    x, y = blobs()
    fitted = DistilledClassifier(GaussianNB(), **SMALL).fit(np.ma.array(x, mask=False), y)
    assert np.array_equal(
        fitted.predict_proba(x), DistilledClassifier(GaussianNB(), **SMALL).fit(x, y).predict_proba(x)
    )
    masked = np.ma.array(x, mask=x == x.max())
    for ask in (lambda: DistilledClassifier(**SMALL).fit(masked, y), lambda: fitted.predict(masked)):
        with pytest.raises(ValueError, match="NaN"):
            ask()


def test_copies_and_pickles_say_the_same():
    x, y = blobs()
    classifier = DistilledClassifier(RandomForestClassifier(5), **SMALL).fit(x, y)
    again = clone(classifier).fit(x, y)
    thawed = pickle.loads(pickle.dumps(classifier))
    for other in (again, thawed):
        assert np.array_equal(other.predict_proba(x), classifier.predict_proba(x))
        assert other.fidelity(x) == classifier.fidelity(x)


def test_searches_and_pipelines():
    x, y = blobs()
    fruit = np.array(["lime", "pear"], dtype=object)[np.arange(len(y)) % 2]
    table = np.concatenate([x.astype(object), fruit[:, None]], axis=1)
    columns = ColumnTransformer([("numbers", StandardScaler(), [0, 1, 2]), ("fruit", OneHotEncoder(), [3])])
    search = GridSearchCV(DistilledClassifier(GaussianNB(), epochs=20), {"temperature": [1.0, 4.0]}, cv=2)
    pipeline = make_pipeline(columns, search).fit(table, y)
    assert pipeline.score(table, y) > 0.6
    assert set(search.get_params()["estimator"].get_params()) >= {"teacher", "teacher__priors", "hidden", "alpha"}


def test_the_seed_decides():
    x, y = blobs()
    draw = [DistilledClassifier(random_state=seed, **SMALL).fit(x, y).predict_proba(x).tobytes() for seed in (0, 0, 1)]
    assert draw[0] == draw[1] != draw[2]
    np.random.seed(0)  # noqa: NPY002 - what None means to scikit-learn
    DistilledClassifier(random_state=None, **SMALL).fit(x, y)


WEIGHTS = np.random.default_rng(1).integers(0, 4, 120) / 2


@pytest.mark.parametrize("teacher", [Recipe((8,), 3, 0.1), GaussianNB()], ids=["networks", "classifier"])
def test_weights_of_rows_and_of_classes(teacher):
    """Weights that are alike are none, only ratios matter, and both multiply; teacher and student are changed."""
    x, y = blobs()

    def fit(sample_weight=None, **options):
        model = DistilledClassifier(teacher, **SMALL, **options).fit(x, y, sample_weight=sample_weight)
        return model.network_.parameters.tobytes(), model._teacher_proba(x).tobytes()

    plain = fit()
    assert fit(np.ones(120)) == fit(np.full(120, 4)) == fit(class_weight={"a": 2, "b": 2, "c": 2}) == plain
    weighted = fit(WEIGHTS)
    assert fit(WEIGHTS * 8) == weighted
    heavy = fit(np.where(y == "a", 3, 1))
    assert fit(class_weight={"a": 3}) == heavy
    assert fit(np.where(y == "a", 3, 1), class_weight={"b": 3, "c": 3.0}) == plain
    balanced = fit(class_weight="balanced")
    found = [plain, weighted, heavy, balanced]
    assert len({network for network, _ in found}) == len({theirs for _, theirs in found}) == 4


@pytest.mark.parametrize("teacher", [None, GaussianNB()], ids=["networks", "classifier"])
def test_a_row_of_weight_zero_is_left_out(teacher):
    x, y = blobs()
    kept = WEIGHTS > 0
    more = blobs(30, seed=2)[0]
    given = DistilledClassifier(teacher, **SMALL).fit(x, y, more, sample_weight=WEIGHTS)
    apart = DistilledClassifier(teacher, **SMALL).fit(x[kept], y[kept], more, sample_weight=WEIGHTS[kept])
    assert np.array_equal(given.predict_proba(x), apart.predict_proba(x))
    p = np.full((150, 3), 1 / 3)
    p[:, 0] += np.linspace(0, 0.2, 150)
    p /= p.sum(axis=1, keepdims=True)
    rows = np.concatenate([kept, np.ones(30, bool)])
    given.fit(x, y, more, p, sample_weight=WEIGHTS)
    apart.fit(x[kept], y[kept], more, p[rows], sample_weight=WEIGHTS[kept])
    assert np.array_equal(given.predict_proba(x), apart.predict_proba(x))


def test_weights_and_class_weights_are_those_of_the_pipeline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = {"virginica": 3.0, "setosa": 0.5}
    params = quick_params(
        prepare={"class_weight": weights}, teacher={"members": 1, "keep": "last"}, student={"keep": "last"}
    )
    for stage in ("prepare", "train_teacher", "distill"):
        MAINS[stage](params)
    dataset, expected = Dataset.load(PATHS.dataset), read_npz(PATHS.student)
    rows = dataset.rows("train")
    y = np.array(dataset.class_names)[dataset.y[rows]]
    student = {"hidden": (8,), "epochs": 3, "batch_size": 32, "learning_rate": 0.15, "optimizer": "sgd", "alpha": 0.7}
    options = {"scaling": "minmax", "members": 1, "teacher": NETWORK, "class_weight": weights}
    classifier = DistilledClassifier(**student, **options).fit(dataset.x[rows], y)
    for name, array in classifier.network_.arrays().items():
        assert array.tobytes() == expected[name][:1].tobytes(), name


@pytest.mark.parametrize("weights", [np.zeros(120), -np.ones(120), np.where(np.arange(120) < 1, np.nan, 1)])
def test_what_are_no_weights_is_told(weights):
    with pytest.raises(ValueError, match="weight"):
        DistilledClassifier(GaussianNB(), **SMALL).fit(*blobs(), sample_weight=weights)


def test_a_patience_holds_rows_out_and_stops():
    """From teacher and student alike: what these rows are changes neither, but by the epoch that is kept."""
    x, y = blobs()
    options = {"hidden": (5,), "epochs": 40, "learning_rate": 0.1, "patience": 2}
    model = DistilledClassifier(GaussianNB(), **options).fit(x, y)
    held_out = model._held_out(x, np.unique(y, return_inverse=True)[1], 0)
    assert np.unique(y[held_out], return_counts=True)[1].min() >= 3
    assert 11 <= len(held_out) <= 13
    trained = np.setdiff1d(np.arange(120), held_out)
    assert model.teacher_.class_count_.sum() == len(trained)
    longer = DistilledClassifier(GaussianNB(), **options | {"patience": 40}).fit(x, y)
    last = DistilledClassifier(GaussianNB(), **options | {"patience": None}).fit(x[trained], y[trained])
    assert not np.array_equal(longer.predict_proba(x), last.predict_proba(x))
    x[held_out] += 1
    moved = DistilledClassifier(GaussianNB(), **options).fit(x, y)
    assert np.array_equal(moved._offset, model._offset)
    assert np.array_equal(moved.teacher_.theta_, model.teacher_.theta_)
    weighted = DistilledClassifier(None, class_weight="balanced", members=1, **options)
    assert weighted.fit(x, y).score(x, y) > 0.5


def test_too_few_rows_to_hold_out_are_told():
    x, y = np.arange(12.0).reshape(-1, 1), np.arange(12) % 2
    with pytest.raises(ValueError, match=r"patience: got 3, and a validation_fraction of 0.01 leaves none of 12"):
        DistilledClassifier(GaussianNB(), patience=3, validation_fraction=0.01, **SMALL).fit(x, y)


def test_dropout_is_the_students():
    x, y = blobs()
    plain, dropped = (DistilledClassifier(GaussianNB(), dropout=rate, **SMALL).fit(x, y) for rate in (0.0, 0.5))
    assert not np.array_equal(plain.predict_proba(x), dropped.predict_proba(x))
    assert np.array_equal(plain.teacher_.theta_, dropped.teacher_.theta_)
