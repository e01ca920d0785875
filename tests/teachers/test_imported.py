"""Teachers by dotted path: classes of other libraries, and of a module beside params.yaml."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from kdlib import __main__ as tools
from kdlib.data.dataset import Dataset
from kdlib.io.artifacts import read_npz, write_npz
from kdlib.io.errors import UserError
from kdlib.learning.calibration import fit_temperature
from kdlib.pipeline.command_line import PATHS
from kdlib.teachers.classifiers import build_classifier, fit_and_predict, fit_classifier, predict_out_of_fold
from kdlib.teachers.folds import assign_folds, folds_by_split
from kdlib.teachers.imported import constructor_options, import_classifier, is_dotted
from kdlib.teachers.smoothing import smoothed_log_probabilities
from tests.conftest import MAINS, quick_params

OWN_MODULE = '''
import json
import numpy

MADE = []


class Nearest:
    """Nearest centre, with none of scikit-learn's conventions beyond fit and predict_proba."""

    def __init__(self, sharpness=1.0, seed=None, thread_count=None, class_weight=None):
        self.options = dict(sharpness=sharpness, seed=seed, thread_count=thread_count, class_weight=class_weight)
        MADE.append(self.options)

    def fit(self, x, y):
        if not numpy.array_equal(numpy.unique(y), numpy.arange(y.max() + 1)):
            raise ValueError("classes have gaps")
        self.centres = numpy.array([x[y == k].mean(axis=0) for k in range(y.max() + 1)])
        self.options["rows"] = len(x)

    def predict_proba(self, x):
        distance = ((x[:, None] - self.centres) ** 2).sum(axis=2)
        likelihood = numpy.exp(-self.options["sharpness"] * distance)
        return likelihood / likelihood.sum(axis=1, keepdims=True)


class Columns:
    """Remembers the columns that it was fitted on, and says the shares of classes by a category."""

    seen = []

    def fit(self, x, y):
        self.seen.append(x)
        self.shares = numpy.bincount(y) / len(y)

    def predict_proba(self, x):
        self.seen.append(x)
        return numpy.repeat(self.shares[None], len(x), axis=0)


class Reversed(Nearest):
    def fit(self, x, y):
        super().fit(x, y)
        self.classes_ = numpy.arange(y.max(), -1, -1)


class OneColumn(Nearest):
    def predict_proba(self, x):
        return super().predict_proba(x)[:, 0]


class Failing(Nearest):
    def fit(self, x, y):
        raise RuntimeError("the first\\n line and the second")


class Needy(Nearest):
    def __init__(self, required):
        super().__init__()


class Unpicklable(Nearest):
    def fit(self, x, y):
        super().fit(x, y)
        self.function = lambda: None


class ClassesAlone:
    def fit(self, x, y):
        pass


def function(x=1):
    raise SystemExit("called")
'''
NEAREST = "my_models.Nearest"
FEW_TREES = {
    "lightgbm.LGBMClassifier": {"n_estimators": 5, "min_child_samples": 3, "verbose": -1, "colsample_bytree": 0.5},
    "xgboost.XGBClassifier": {"n_estimators": 5, "subsample": 0.5},
    "catboost.CatBoostClassifier": {"iterations": 5, "verbose": 0, "allow_writing_files": False},
}
PACKAGES = {"lightgbm": "lightgbm", "xgboost": "xgboost-cpu", "catboost": "catboost"}


def boosting(name):
    """A name and its options, where its package is installed."""
    package = name.partition(".")[0]
    pytest.importorskip(package, reason=f"no {package} (pip install {PACKAGES[package]})")
    return name, FEW_TREES[name]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A project with a module of its own and a dataset of two splits; the module's MADE has all constructors' calls."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as `python -m` does
    Path("my_models.py").write_text(OWN_MODULE, "utf-8")
    Path("broken.py").write_text("1 / 0\n", "utf-8")
    Path("incomplete.py").write_text("import absent_package.inner\n", "utf-8")
    MAINS["prepare"](quick_params(prepare={"splits": 2}))
    yield tmp_path
    for name in ("my_models", "broken", "incomplete"):
        sys.modules.pop(name, None)


def train(**teacher):
    MAINS["train_teacher"](quick_params(teacher=teacher))


class TestImportedClassifier:
    def test_answers_are_out_of_fold(self, here):
        dataset = Dataset.load(PATHS.dataset)
        found, size = fit_and_predict(NEAREST, {}, dataset, 3, 0)
        model = sys.modules["my_models"].Nearest()
        for split, fold in enumerate(folds_by_split(dataset, 3, 0)):
            x = dataset.inputs(np.arange(len(dataset.y)), split)
            expected = np.zeros((len(x), 3))
            for k in range(4):
                training = (fold != k) & (fold != 3)
                model.fit(x[training], dataset.y[training])
                expected[fold == k] = model.predict_proba(x[fold == k])
            logits = smoothed_log_probabilities(expected, np.count_nonzero(fold != 3))
            labeled = fold != 3
            logits /= np.float32(fit_temperature(logits[labeled], dataset.y[labeled]))
            assert np.array_equal(found[split], logits)
        assert size == pytest.approx(len(pickle.dumps(model)), abs=20)

    def test_it_gets_one_thread_and_a_seed_for_each_model(self, here):
        dataset = Dataset.load(PATHS.dataset)
        module = import_classifier(NEAREST, {}, 3).kind
        made = sys.modules[module.__module__].MADE

        def fitted(options, seed):
            made.clear()
            fit_and_predict(NEAREST, options, dataset, 3, seed)
            return [(call["seed"], call["thread_count"]) for call in made if "rows" in call]

        calls = fitted({}, 0)
        assert len(set(calls)) == len(calls) == 8
        assert {threads for _, threads in calls} == {1}
        assert calls == fitted({}, 0)
        assert not set(calls) & set(fitted({}, 1))
        assert fitted({"seed": 5, "thread_count": 2}, 0) == [(5, 2)] * 8

    @pytest.mark.parametrize("name", FEW_TREES)
    def test_of_boosting_follow_from_the_seed(self, here, name):
        dataset = Dataset.load(PATHS.dataset)
        name, options = boosting(name)
        first, size = fit_and_predict(name, options, dataset, 3, 0)
        again, same_size = fit_and_predict(name, options, dataset, 3, 0)
        assert np.array_equal(first, again)
        assert size == same_size
        assert not np.array_equal(first, fit_and_predict(name, options, dataset, 3, 1)[0])
        rows = dataset.rows("test")
        assert (first[0, rows].argmax(axis=1) == dataset.y[rows]).mean() > 0.8
        if "iterations" not in options:
            model = import_classifier(name, options, 3).build(7, range(3))
            assert model.get_params()["n_jobs"] == 1
            assert model.get_params()["random_state"] == 7

    @pytest.mark.parametrize("name", FEW_TREES)
    def test_an_object_of_the_class_has_the_same_answers(self, here, name):
        dataset = Dataset.load(PATHS.dataset)
        name, options = boosting(name)
        found, _ = fit_and_predict(name, options, dataset, 3, 0)
        x = dataset.inputs(np.arange(len(dataset.y)))
        classifier = import_classifier(name, options, 3).kind(**options)
        logits, _ = predict_out_of_fold(classifier, x, dataset.y, folds_by_split(dataset, 3, 0)[0], 3, 3, 0)
        assert np.array_equal(logits, found[0])

    @pytest.mark.parametrize("name", [NEAREST, *FEW_TREES])
    def test_a_fold_without_a_class(self, here, name):
        """The other classes keep their columns, though the library numbers them without a gap."""
        name, options = (NEAREST, {}) if name == NEAREST else boosting(name)
        x = np.repeat([[0.0], [5.0], [9.0]], 20, axis=0)[:41] + np.arange(41)[:, None] / 100
        y = np.array([0] * 20 + [2] * 20 + [1])
        classifier = import_classifier(name, options, 3)
        logits, _ = predict_out_of_fold(classifier, x, y, assign_folds(y, 4, 0), 4, 3, 0)
        assert (logits.argmax(axis=1) == y)[:40].mean() > 0.9
        assert logits[40].argmax() == 2

    def test_a_class_of_scikit_learn_by_its_path(self, here):
        """It has the answers that it has by its name, and the weights of its classes where a fold lacks one."""
        dataset = Dataset.load(PATHS.dataset)
        name = "RandomForestClassifier"
        options = {"n_estimators": 5, "n_jobs": 2}
        found, _ = fit_and_predict(f"sklearn.ensemble.{name}", options, dataset, 3, 0)
        assert np.array_equal(found, fit_and_predict(name, options, dataset, 3, 0)[0])
        x = np.arange(41.0)[:, None]
        y = np.array([0] * 20 + [2] * 20 + [1])
        classifier = import_classifier("sklearn.tree.DecisionTreeClassifier", {"class_weight": {0: 1, 1: 1, 2: 9}}, 3)
        model = fit_classifier(classifier, x[:40] % 20, y[:40], 0, 0, 4)
        assert model.predict_proba(x[:1])[0] == pytest.approx([0.1, 0.9])

    def test_classes_have_weights_by_their_names(self, here):
        dataset = Dataset.load(PATHS.dataset)
        dataset.y[dataset.labeled(0)] = np.where(np.arange(len(dataset.labeled(0))) % 2, 0, 2)
        import_classifier(NEAREST, {}, 3)
        fit_and_predict(NEAREST, {"class_weight": {"setosa": 4, "virginica": 2}}, dataset, 3, 0)
        made = [call["class_weight"] for call in sys.modules["my_models"].MADE if "rows" in call]
        assert made[:4] == [{0: 4, 1: 2}] * 4

    def test_a_run_with_it(self, here):
        for stage in MAINS:
            MAINS[stage](quick_params(teacher={"model": NEAREST}, prepare={"splits": 2}))
        assert json.loads(Path("metrics/metrics.json").read_text("utf-8"))["teacher"] == NEAREST

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("no_such_module.Class", {}, ["no_such_module is not installed: pip install no_such_module", "beside"]),
            ("sklearn.no_such.Class", {}, ["sklearn is installed, but has no module sklearn.no_such"]),
            ("broken.Class", {}, ["broken cannot be imported: ZeroDivisionError: division by zero"]),
            ("incomplete.Class", {}, ["incomplete needs absent_package, which is not installed: pip install absent_"]),
            ("my_models.Nearer", {}, ["my_models has no Nearer; it has Nearest, Columns, Reversed"]),
            ("my_models.ClassesAlone", {}, ["a class without predict_proba; needs a class with fit and predict_proba"]),
            ("my_models.function", {}, ["'my_models.function', no class; needs a class"]),
            ("os.system", {}, ["'os.system', no class; needs a class"]),
            (NEAREST, {"trees": 3}, ["teacher.options.trees: unknown; my_models.Nearest has sharpness, seed"]),
            (
                NEAREST,
                {"sharpness": "much"},
                ["teacher.model: my_models.Nearest failed: bad operand type for unary -: 'str'"],
            ),
            (NEAREST, {"class_weight": {"rose": 1}}, ["class_weight: got the class 'rose'"]),
            ("my_models.Needy", {}, ["teacher.options: my_models.Needy cannot be built with them", "'required'"]),
            ("my_models.Failing", {}, ["teacher.model: my_models.Failing failed: the first line and the second"]),
            ("my_models.Reversed", {}, ["Reversed was fitted on the classes 0 to 2, and its classes_ are [2, 1, 0]"]),
            ("my_models.OneColumn", {}, ["OneColumn: its predict_proba gave float64 (40,); needs numbers (40, 3)"]),
            ("my_models.Unpicklable", {}, ["my_models.Unpicklable has no size, as pickle cannot write it"]),
            ("my_models.Nearest()", {}, ["teacher.model: got 'my_models.Nearest()'; allowed are mlp"]),
            ("..my_models.Nearest", {}, ["teacher.model: got '..my_models.Nearest'; allowed are mlp"]),
        ],
        ids=str,
    )
    def test_what_is_wrong_is_named_in_one_line(self, here, name, options, words):
        with pytest.raises(UserError) as refused:
            train(model=name, options=options, folds=3)
        message = str(refused.value)
        assert "\n" not in message
        assert [word for word in words if word not in message] == []
        assert not Path(PATHS.teacher).exists()

    def test_a_file_imports_nothing(self, here):
        train(model=NEAREST)
        del sys.modules["my_models"]
        with pytest.raises(UserError, match=r"names my_models\.Nearest, and no class is imported by a file"):
            tools.latency(PATHS.teacher, 8, PATHS.dataset)
        arrays = read_npz(PATHS.teacher)
        origin = json.loads(str(arrays["origin"])) | {"model": "my_models"}
        write_npz(PATHS.teacher, arrays | {"origin": np.array(json.dumps(origin))})
        with pytest.raises(UserError, match="got 'my_models'; allowed are"):
            tools.latency(PATHS.teacher, 8, PATHS.dataset)
        with pytest.raises(UserError, match=r"got 'my_models\.Nearest'; allowed are"):
            build_classifier(NEAREST, {})
        assert "my_models" not in sys.modules


RAW_OPTIONS = {
    "HistGradientBoostingClassifier": {"max_iter": 5, "categorical_features": "from_dtype"},
    "lightgbm.LGBMClassifier": FEW_TREES["lightgbm.LGBMClassifier"] | {"min_data_per_group": 3},
    "xgboost.XGBClassifier": {"n_estimators": 5, "enable_categorical": True},
    "catboost.CatBoostClassifier": FEW_TREES["catboost.CatBoostClassifier"] | {"cat_features": ["colour"]},
}
COLOURS = ["blue", "green", "red"]


class TestRaw:
    @pytest.fixture
    def of_a_table(self, here):
        """Prepare a table whose classes follow from a category and a number that may be missing."""
        pytest.importorskip("pandas", reason="no pandas (pip install 'kdlib[raw]')")
        generator = np.random.default_rng(0)
        lines = ["width,colour,target"]
        for k in range(120):
            colour = k % 3
            width = "" if k % 10 == 7 else f"{generator.normal():.3f}"
            lines.append(f"{width},{COLOURS[colour]},{'xyz'[colour if width == '' or float(width) < 1 else 0]}")
        Path("data/raw").mkdir(parents=True, exist_ok=True)
        Path("data/raw/own.csv").write_text("\n".join(lines), "utf-8")
        return self.prepared()

    @staticmethod
    def prepared(**prepare):
        table = {"splits": 2, "dataset": "data/raw/own.csv", "target": "target", "scaling": "auto"}
        MAINS["prepare"](quick_params(prepare=table | prepare))
        return Dataset.load(PATHS.dataset)

    def test_a_class_is_given_the_columns_of_the_table(self, of_a_table):
        import_classifier("my_models.Columns", {}, 3)
        seen = sys.modules["my_models"].Columns.seen
        fit_and_predict("my_models.Columns", {}, of_a_table, 3, 0, inputs="raw")
        assert len(seen) == 16
        for frame in seen:
            assert list(frame.columns) == ["width", "colour"]
            assert frame["width"].dtype == np.float64
            assert list(frame["colour"].cat.categories) == COLOURS
        everything = of_a_table.table(np.arange(120))
        lines = Path("data/raw/own.csv").read_text("utf-8").splitlines()[1:]
        assert everything["colour"].tolist() == [line.split(",")[1] for line in lines]
        texts = [line.split(",")[0] for line in lines]
        assert np.array_equal(everything["width"], [float(text or "nan") for text in texts], equal_nan=True)
        predicted = [row for frame in seen[1:8:2] for row in frame.index]
        assert sorted(predicted) == list(range(120))

    @pytest.mark.parametrize("name", RAW_OPTIONS)
    def test_boosting_takes_them(self, of_a_table, name):
        if "." in name:
            boosting(name)
        first, _ = fit_and_predict(name, RAW_OPTIONS[name], of_a_table, 3, 0, inputs="raw")
        again, _ = fit_and_predict(name, RAW_OPTIONS[name], of_a_table, 3, 0, inputs="raw")
        assert np.array_equal(first, again)
        rows = of_a_table.rows("test")
        assert (first[0, rows].argmax(axis=1) == of_a_table.y[rows]).mean() > 0.7

    def test_rows_without_labels_have_columns_too(self, of_a_table):
        dataset = self.prepared(transfer={"synthesis": "munge", "times": 1})
        logits, _ = fit_and_predict("my_models.Columns", {}, dataset, 3, 0, inputs="raw")
        assert np.isfinite(logits).all()
        assert set(dataset.table(np.arange(len(dataset.y)))["colour"]) == set(COLOURS)

    def test_a_run_with_it(self, of_a_table):
        table = {"splits": 2, "dataset": "data/raw/own.csv", "target": "target", "scaling": "auto"}
        teacher = {"model": "HistGradientBoostingClassifier", "inputs": "raw"}
        for stage in MAINS:
            MAINS[stage](quick_params(teacher=teacher, prepare=table))
        assert json.loads(Path("metrics/metrics.json").read_text("utf-8"))["teacher"] == teacher["model"]
        with pytest.raises(UserError, match="HistGradientBoostingClassifier has the table's columns as they are"):
            tools.latency(PATHS.teacher, 8, PATHS.dataset)

    def test_what_has_no_probabilities_is_refused(self, of_a_table):
        with pytest.raises(UserError, match=r"teacher\.inputs: raw needs predict_proba, and LinearSVC has none"):
            train(model="LinearSVC", inputs="raw")

    def test_it_needs_pandas(self, of_a_table, monkeypatch):
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(UserError, match=r"teacher\.inputs: raw.* need pandas: pip install 'kdlib\[raw\]'"):
            train(model=NEAREST, inputs="raw")

    def test_it_needs_a_table(self, here):
        with pytest.raises(UserError, match=r"teacher\.inputs: got raw, which needs a table .*; set features"):
            train(model=NEAREST, inputs="raw")

    @pytest.mark.parametrize("model", ["mlp", "data/raw/answers.npz"])
    def test_it_needs_a_classifier(self, model):
        with pytest.raises(ValueError, match=rf"inputs: got raw, which is for a classifier, and model is {model}"):
            quick_params(teacher={"model": model, "inputs": "raw"})


@pytest.mark.parametrize(
    "name", ["", "a", "a.", ".a", "a..b", "a.b()", "a.b\n", "a b.c", "a.1", "é.b", "a/b.c", "a:b.c"]
)
def test_a_dotted_path_has_names_and_dots_alone(name):
    assert not is_dotted(name)
    assert is_dotted("package._module.Class2")


def test_an_object_of_another_library_fits_on_one_thread_unless_it_has_a_number():
    from sklearn.naive_bayes import GaussianNB

    class Threaded(GaussianNB):
        def __init__(self, n_jobs=None, random_state=None):
            super().__init__()
            self.n_jobs = n_jobs
            self.random_state = random_state

        def fit(self, x, y):
            self.used_ = self.n_jobs, self.random_state
            return super().fit(x, y)

    x, y = np.random.default_rng(0).random((60, 4)), np.arange(60) % 3
    used = [fit_classifier(Threaded(jobs), x, y, number, 0, 5).used_ for jobs, number in ((None, 0), (None, 1), (3, 0))]
    assert [jobs for jobs, _ in used] == [1, 1, 3]
    assert used[0][1] == used[2][1] != used[1][1]


def test_options_are_of_the_bases_too_if_they_are_handed_on():
    class Base:
        def __init__(self, seed=None):
            pass

    class HandsOn(Base):
        def __init__(self, depth=3, **others):
            pass

    class Closed(Base):
        def __init__(self, depth=3):
            pass

    assert constructor_options(HandsOn) == (["depth", "seed"], False)
    assert constructor_options(Closed) == (["depth"], False)
    assert constructor_options(object) == ([], False)
