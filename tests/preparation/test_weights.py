"""Weights of rows and of classes: from the table to the losses of all stages."""

import json

import numpy as np
import pytest

from kdlib.data.dataset import Dataset
from kdlib.data.readers import read_table
from kdlib.io.artifacts import read_npz, write_npz
from kdlib.io.errors import UserError
from kdlib.pipeline.command_line import PATHS
from kdlib.pipeline.params import load_params
from kdlib.preparation.weights import of_table
from kdlib.teachers.classifiers import fit_classifier
from kdlib.teachers.external import export_rows
from tests.conftest import MAINS, files, quick_params

RANDOM = np.random.default_rng(0)
N = 120
X = RANDOM.normal(size=(N, 2))
NAMES = np.where(X[:, 0] + RANDOM.normal(size=N) > 1.2, "yes", "no")
WEIGHTS = RANDOM.integers(0, 6, N) / 2
NETWORKS = ("train_teacher", "train_baseline", "distill")
OUTPUTS = ("teacher", "baseline", "student")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "data/raw").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_table(weights=WEIGHTS, path="data/raw/t.csv", rows=N):
    lines = [f"{a:.3f},{b:.3f},{w},{c}" for (a, b), w, c in zip(X[:rows], weights, NAMES[:rows], strict=False)]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(["a,b,w,c", *lines]))
    return path


def params(drop=(), teacher=None, **prepare):
    of_table = {"dataset": "data/raw/t.csv", "target": "c", "splits": 2, "drop": list(drop), "scaling": "auto"}
    return quick_params(prepare=of_table | prepare, teacher=teacher or {})


def trained(params):
    """The arrays of the three models, without digests and what is written of parameters."""
    for stage in ("prepare", *NETWORKS):
        MAINS[stage](params)
    found = {(name, key): of for name in OUTPUTS for key, of in read_npz(getattr(PATHS, name)).items()}
    return {key: of.tobytes() for key, of in found.items() if not key[1].endswith("digest") and key[1] != "recipe"}


def test_the_column_is_no_feature_and_its_rows_keep_their_weights(folder):
    write_table()
    dataset = MAINS["prepare"](params(weight="w", max_samples=90, labeled_fraction=0.5))
    again = Dataset.load(PATHS.dataset)
    assert again.feature_names == ["a", "b"]
    weight_of = {(round(a, 3), round(b, 3)): w for (a, b), w in zip(X, WEIGHTS, strict=True)}
    assert [weight_of[round(a, 3), round(b, 3)] for a, b in again.x] == again.weights.tolist()
    for split in range(2):
        of_rows = again.row_weights(again.labeled(split), split)
        assert of_rows.mean() == pytest.approx(1)
        hidden = np.setdiff1d(again.rows("train", split), again.labeled(split))
        assert again.row_weights(hidden, split) == pytest.approx(
            again.weights[hidden] / again.weights[again.labeled(split)].mean()
        )
    assert again.digest == dataset.digest


def test_without_weights_the_artifact_is_as_it_was(folder):
    write_table()
    MAINS["prepare"](params(["w"]))
    assert not {"weights", "class_factors"} & read_npz(PATHS.dataset).keys()
    assert Dataset.load(PATHS.dataset).row_weights(np.arange(3)) is None


@pytest.mark.parametrize("teacher", [{}, {"model": "GaussianNB"}], ids=["networks", "classifier"])
def test_only_the_ratios_of_weights_matter(folder, teacher):
    """And weights that are all alike are none, in each stage."""
    write_table(np.ones(N))
    plain = trained(params(["w"], teacher))
    assert trained(params(weight="w", teacher=teacher)) == plain
    write_table()
    weighted = trained(params(weight="w", teacher=teacher))
    write_table(WEIGHTS / 4)
    assert trained(params(weight="w", teacher=teacher)) == weighted
    parts = [("teacher", "logits"), ("baseline", "weights_0"), ("student", "weights_0"), ("student", "validation_loss")]
    for part in parts:
        assert weighted[part] != plain[part], part


def test_classes_have_weights_too_and_both_multiply(folder):
    write_table(np.where(NAMES == "yes", 5, 1))
    by_column = trained(params(weight="w"))
    assert trained(params(["w"], class_weight={"yes": 5})) == by_column
    assert trained(params(["w"], class_weight={"yes": 10, "no": 2})) == by_column
    balanced = trained(params(["w"], class_weight="balanced"))
    assert balanced != by_column
    MAINS["prepare"](params(weight="w", class_weight={"yes": 0.2}))
    dataset = Dataset.load(PATHS.dataset)
    assert dataset.row_weights(dataset.rows("train")) == pytest.approx(1)


def test_each_split_balances_its_own_labelled_rows(folder):
    write_table()
    MAINS["prepare"](params(["w"], class_weight="balanced", labeled_fraction=0.3, splits=5))
    dataset = Dataset.load(PATHS.dataset)
    for split in range(5):
        labels = dataset.y[dataset.labeled(split)]
        counts = np.bincount(labels)
        assert dataset.class_factors[split] == pytest.approx([*(len(labels) / (2 * counts)), 1])


def test_rows_that_another_model_is_fitted_on_have_their_weights(folder):
    write_table()
    dataset = MAINS["prepare"](params(weight="w", class_weight="balanced"))
    export_rows("rows.npz", dataset, 5, 0)
    rows = dataset.labeled(1)
    assert np.array_equal(read_npz("rows.npz")["weight"][1, rows], dataset.row_weights(rows, 1))
    MAINS["prepare"](params(["w"]))
    export_rows("rows.npz", Dataset.load(PATHS.dataset), 5, 0)
    assert "weight" not in read_npz("rows.npz")


def test_rows_of_the_transfer_set_have_their_own_weights_or_the_mean(folder):
    write_table()
    more = write_table(np.full(9, 4.0), "data/raw/more.csv", 9)
    options = {"rows": more, "synthesis": "munge", "times": 1}
    MAINS["prepare"](params(weight="w", transfer=options))
    dataset = Dataset.load(PATHS.dataset)
    assert dataset.weights[N : N + 9].tolist() == [4.0] * 9
    assert np.isnan(dataset.weights[N + 9 :]).all()
    rows = dataset.rows("train")
    weights = dataset.row_weights(rows)
    assert (weights[rows >= N + 9] == 1).all()
    text = (folder / more).read_text("utf-8").replace(",w,", ",other,")
    (folder / more).write_text(text, "utf-8")
    MAINS["prepare"](params(weight="w", transfer=options))
    dataset = Dataset.load(PATHS.dataset)
    assert (dataset.row_weights(np.arange(N, N + 9)) == 1).all()
    for stage in NETWORKS:
        MAINS[stage](params(weight="w", transfer=options))


def test_all_stages_run_and_the_page_tells_why_it_does_not_train(folder):
    write_table()
    given = params(weight="w", class_weight="balanced")
    for main in MAINS.values():
        main(given)
    assert "does not implement prepare.weight and prepare.class_weight" in (folder / PATHS.page).read_text("utf-8")
    assert json.loads((folder / "metrics/details.json").read_text("utf-8"))["student"]
    before = files(folder)
    for main in MAINS.values():
        main(given)
    assert files(folder) == before


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["1", "", "2"], "row 3, column w: got an empty cell; prepare.weight needs a number from 0 to 1e\\+100"),
        (["1", "2", "-1"], "row 4, column w: got '-1'; prepare.weight needs"),
        (["nan", "2", "1"], "row 2, column w: got 'nan'; prepare.weight needs"),
        (["1", "inf", "1"], "row 3, column w: got 'inf'; prepare.weight needs"),
        (["1", "1", "much"], "row 4, column w: got 'much'; prepare.weight needs"),
        (["1", "1", "0,5"], "row 4, column w: got '0,5'; prepare.weight needs"),
    ],
)
def test_a_cell_that_is_no_weight_is_told(table, cells, message):
    path = table("w;c\n" + "".join(f"{cell};x\n" for cell in cells))
    with pytest.raises(UserError, match=message):
        of_table(read_table(path), "w")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": "v"}, "prepare.weight: got 'v'; the columns of data/raw/t.csv are a, b, w, c"),
        ({"weight": "c"}, "prepare.weight: got 'c', the column of the classes"),
        ({"weight": "w", "drop": ["w"]}, "prepare.weight: got 'w', which prepare.drop names, too"),
        ({"class_weight": {"maybe": 2}}, "prepare.class_weight: got the class 'maybe'; the classes are no, yes"),
        (
            {"class_weight": {"yes": 0, "no": 0}},
            "prepare.weight, prepare.class_weight: no row has a weight above 0 among the validation rows of split 0",
        ),
    ],
)
def test_what_does_not_fit_the_table_is_told(folder, change, message):
    write_table()
    with pytest.raises(UserError, match=message):
        MAINS["prepare"](params(**change))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("class_weight: heavy", "prepare.class_weight: got 'heavy'; needs balanced, weights of classes such as"),
        ("class_weight: {}", r"prepare.class_weight: got \{\}; needs balanced"),
        ("class_weight: {rare: -1}", "prepare.class_weight: got -1 for 'rare'; needs a number from 0 to 1e"),
        ("class_weight: {rare: .nan}", "prepare.class_weight: got nan for 'rare'"),
        ("class_weight: {rare: two}", "prepare.class_weight: got 'two' for 'rare'"),
        ("class_weight: {yes: 2}", "prepare.class_weight: got the class True; needs its name, in quotes"),
        ("weight: w", "weight is a column of a table, and iris is none; set null"),
    ],
)
def test_params_that_are_not_allowed_are_told(tmp_path, lines, message):
    path = tmp_path / "params.yaml"
    path.write_text(f"prepare:\n  dataset: iris\n  {lines}\n")
    with pytest.raises(UserError, match=message):
        load_params(path)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.ones(N - 1)},
        {"weights": -np.ones(N)},
        {"weights": np.full(N, np.nan)},
        {"class_factors": np.ones((2, 2))},
        {"class_factors": np.full((2, 3), np.inf)},
        {"class_factors": np.zeros((2, 3))},
        {"class_factors": None},
    ],
    ids=str,
)
def test_a_file_with_other_weights_is_refused(folder, change):
    write_table()
    dataset = MAINS["prepare"](params(weight="w"))
    for name, array in change.items():
        setattr(dataset, name, array)
    with pytest.raises(UserError, match=r"weights|class_factors"):
        dataset.validate()
    dataset.update_digest()
    arrays = read_npz(PATHS.dataset)
    arrays = {name: array for name, array in arrays.items() if name not in change} | {
        name: array for name, array in change.items() if array is not None
    }
    write_npz(PATHS.dataset, arrays | {"digest": np.array(dataset.digest)})
    with pytest.raises(UserError, match=r"weights|class_factors"):
        Dataset.load(PATHS.dataset)


def test_a_classifier_is_fitted_with_the_weights_or_says_that_it_takes_none():
    neighbors = pytest.importorskip("sklearn.neighbors", reason="no scikit-learn (pip install scikit-learn)")
    from sklearn.naive_bayes import GaussianNB
    from sklearn.svm import LinearSVC

    y = (NAMES == "yes").astype(int)
    fitted = fit_classifier(GaussianNB(), X, y, 0, 0, 5, WEIGHTS)
    kept = WEIGHTS > 0
    assert np.array_equal(fitted.theta_, GaussianNB().fit(X[kept], y[kept], WEIGHTS[kept]).theta_)
    of_one_class = fit_classifier(GaussianNB(), X, y, 0, 0, 5, np.where(y == 1, 0.0, 1.0))
    assert (of_one_class.predict(X) == 0).all()
    with pytest.warns(UserWarning, match="KNeighborsClassifier: its fit takes no sample_weight, so that the weights"):
        fit_classifier(neighbors.KNeighborsClassifier(), X, y, 0, 0, 5, WEIGHTS)
    plain, weighted = (fit_classifier(LinearSVC(), X, y, 0, 0, 5, given).predict_proba(X) for given in (None, WEIGHTS))
    assert not np.array_equal(plain, weighted)
