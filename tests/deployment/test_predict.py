"""The network that leaves: which one it is, what its file holds, what it predicts, and what is refused."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kdlib
from kdlib.backends.arithmetic import EXACT
from kdlib.data.dataset import Dataset
from kdlib.data.encoding import Column
from kdlib.deployment.predict import predict
from kdlib.io.artifacts import read_npz, write_npz
from kdlib.io.errors import UserError
from kdlib.learning.model_file import load_model
from kdlib.learning.network import Network
from kdlib.pipeline.command_line import PATHS
from tests.conftest import MAINS, ROOT, between, quick_params
from tests.data.column_examples import EXAMPLES, deployed

FLOAT = f"{PATHS.deployed}/float.npz"
INTEGERS = f"{PATHS.deployed}/int.npz"
BOTH = [FLOAT, INTEGERS]


def swept(rates):
    student = {"learning_rate": rates, "epochs": 12}
    return quick_params(seed=2, prepare={"splits": 3, "scaling": "standard"}, student=student)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All stages ran in it on three splits of iris, of which the one of the deployed network chose another rate."""
    folder = tmp_path_factory.mktemp("swept")
    params = swept([0.1, 0.12, 1e30])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for main in MAINS.values():
            main(params)
    return folder


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """A copy of it, the working directory."""
    monkeypatch.chdir(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture
def dataset(here):
    return Dataset.load(PATHS.dataset)


class TestTheNetwork:
    def test_is_of_the_least_validation_loss_in_the_setting_of_the_least_mean(self, dataset):
        sweep, card = load_model(PATHS.student, dataset).sweep, kdlib.load(FLOAT).card
        means = [sweep.loss[:, setting].mean() for setting in range(3)]
        setting = int(np.nanargmin(means))
        assert card.setting["learning_rate"] == sweep.settings["learning_rate"][setting]
        assert sweep.loss[card.split, setting, card.replica] == sweep.loss[:, setting].min()

    def test_has_the_weights_that_training_gave_it_though_its_split_chose_another_setting(self, dataset):
        card, sweep = kdlib.load(FLOAT).card, load_model(PATHS.student, dataset).sweep
        rate = card.setting["learning_rate"]
        assert rate != sweep.settings["learning_rate"][sweep.chosen()[card.split]]
        MAINS["distill"](swept(rate))
        stack = load_model(PATHS.student, dataset).network
        expected = stack.select([2 * card.split + card.replica]).arrays()
        arrays = read_npz(FLOAT)
        assert all(np.array_equal(arrays[name], value) for name, value in expected.items())

    def test_answers_as_its_stack_does_bit_for_bit(self, dataset):
        deployed, rows = kdlib.load(FLOAT), np.arange(len(dataset.y))
        network = Network(deployed.network.sizes, 1, EXACT)
        network.parameters[:] = load_model(PATHS.student, dataset).weights_to_deploy
        expected = network.logits(dataset.inputs(rows, deployed.card.split))[0]
        assert deployed.logits(dataset.x).tobytes() == expected.tobytes()

    def test_far_weights_and_inputs_too(self):
        from kdlib.deployment.float_network import FloatNetwork

        random = np.random.default_rng(0)
        for exponent in (-700, -300, 0, 90, 126):
            network = Network((5, 4, 3), 1, EXACT)
            network.parameters[:] = np.ldexp(random.normal(size=network.parameters.shape), min(exponent, 126))
            for power in (-900, -1, 0, 300):
                x = np.ldexp(random.normal(size=(7, 5)), power)
                x[3] = 0
                with np.errstate(over="ignore"):
                    assert np.array_equal(FloatNetwork(network).logits(x), network.logits(x)[0])


class TestItsFile:
    def test_is_as_large_as_the_table_says(self, here):
        details = json.loads(Path("metrics/details.json").read_text("utf-8"))
        for key, path in (("student", FLOAT), ("quantized", INTEGERS)):
            assert details[key]["bytes_on_disk"] == Path(path).stat().st_size

    @pytest.mark.parametrize("path", BOTH)
    def test_says_what_it_takes_and_where_it_is_from(self, dataset, path):
        card = kdlib.load(path).card
        assert card.classes == dataset.class_names
        assert card.features == dataset.feature_names
        assert (card.dataset, card.encoding, card.image_shape) == (dataset.digest, dataset.encoding, [])
        assert card.recipe["student.epochs"] == 12
        assert card.teacher == load_model("models/teacher.npz", dataset).digest()

    @pytest.mark.parametrize("path", BOTH)
    def test_comes_back_as_it_was_saved(self, here, path):
        before = Path(path).read_bytes()
        kdlib.load(path).save(path)
        assert Path(path).read_bytes() == before

    def test_needs_no_other_file(self, dataset, tmp_path):
        x = dataset.x
        expected = kdlib.load(FLOAT).predict_proba(x)
        shutil.copy(FLOAT, tmp_path / "alone.npz")
        shutil.rmtree("models")
        shutil.rmtree("data")
        probabilities = kdlib.load(tmp_path / "alone.npz").predict_proba(x)
        assert np.array_equal(probabilities, expected)
        assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-14


@pytest.mark.parametrize("path", BOTH)
def test_a_row_says_the_same_whatever_is_beside_it(dataset, path):
    deployed, random = kdlib.load(path), np.random.default_rng(0)
    x = np.concatenate([dataset.x, dataset.x * 1e6, dataset.x * 1e-6])
    whole = deployed.predict_proba(x)
    for _ in range(20):
        cuts = np.sort(random.integers(1, len(x), 6))
        pieces = [piece for piece in np.split(x, cuts) if len(piece)]
        assert np.concatenate([deployed.predict_proba(piece) for piece in pieces]).tobytes() == whole.tobytes()
    order = random.permutation(len(x))
    assert deployed.predict_proba(x[order]).tobytes() == whole[order].tobytes()


# python -m kdlib predict


def write_rows(path, names, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])


class TestPredict:
    def run(self, *arguments):
        return subprocess.run([sys.executable, "-m", "kdlib", "predict", *arguments], capture_output=True, text=True)

    @pytest.mark.parametrize("path", BOTH)
    def test_csv_with_more_columns_in_another_order_and_npz_give_the_same_file(self, dataset, path):
        names = ["id", *reversed(dataset.feature_names)]
        write_rows("rows.csv", names, [[f"no {k}", *row[::-1]] for k, row in enumerate(dataset.x.tolist())])
        np.savez("rows.npz", x=dataset.x)
        done = self.run(path, "rows.csv", "--output", "a/out.csv")
        assert (done.returncode, done.stdout, done.stderr) == (0, "a/out.csv: 150 rows\n", "")
        predict(path, "rows.npz", "b.csv")
        assert Path("a/out.csv").read_bytes() == Path("b.csv").read_bytes()
        with open("b.csv", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        probabilities = kdlib.load(path).predict_proba(dataset.x)
        assert list(rows[0]) == ["class", "confidence", *(f"probability of {name}" for name in dataset.class_names)]
        assert [row["class"] for row in rows] == kdlib.load(path).predict(dataset.x).tolist()
        confidence = np.array([float(row["confidence"]) for row in rows])
        assert np.abs(confidence - probabilities.max(axis=1)).max() <= 5e-7

    def test_parquet(self, dataset):
        parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow (pip install pyarrow)")
        import pyarrow

        columns = dict(zip(dataset.feature_names, dataset.x.T, strict=True))
        parquet.write_table(pyarrow.table(columns), "rows.parquet")
        np.savez("rows.npz", x=dataset.x)
        for rows in ("rows.parquet", "rows.npz"):
            predict(FLOAT, rows, f"{rows}.csv")
        assert Path("rows.parquet.csv").read_bytes() == Path("rows.npz.csv").read_bytes()

    @pytest.mark.parametrize(
        ("spoil", "words"),
        [
            (lambda path: path.write_bytes(path.read_bytes()[:-100]), "not a readable .npz"),
            (lambda path: path.write_bytes(path.read_bytes()[:2000]), "not a readable .npz"),
            (lambda path: path.write_bytes(b""), "not a readable .npz"),
            (lambda path: path.write_text("class,confidence\n"), "not a readable .npz"),
            (lambda path: path.unlink(), "not found"),
            (lambda path: shutil.copy(PATHS.student, path), "no deployed network; name models/deployed/float.npz"),
            (lambda path: shutil.copy("data/dataset.npz", path), "no deployed network"),
            (lambda path: write_npz(path, read_npz(path) | {"about": np.array(b"[]")}), "not a deployed network"),
            (lambda path: write_npz(path, read_npz(path) | {"about": np.array(3)}), "not a deployed network"),
            (lambda path: write_npz(path, read_npz(path) | {"offset": np.zeros(3)}), "not a deployed network"),
            (lambda path: write_npz(path, read_npz(path) | {"biases_0": np.zeros(3)}), "not a deployed network"),
            (lambda path: write_npz(path, read_npz(path) | {"scale": np.full(4, np.nan)}), "not a deployed network"),
            (lambda path: write_npz(path, read_npz(path) | {"scale": np.ones((1, 4))}), "not a deployed network"),
            (lambda path: write_npz(path, read_npz(path) | {"scale": np.arange(4.0)}), "a scale of 0 to 3, not"),
            (lambda path: write_npz(path, read_npz(path) | {"scale": np.full(4, 1e300)}), "scale of 1e.300 to 1e.300"),
            (lambda path: write_npz(path, read_npz(path) | {"about": np.array(b"[" * 10**6)}), "not a deployed"),
            (lambda path: restate(path, kind="integers", bits=0), "not a deployed network"),
            (lambda path: restate(path, kind="integers", sizes=[]), "not a deployed network"),
            (lambda path: restate(path, kind="integers", sizes=[4, -8, 3]), "not a deployed network"),
            (lambda path: restate(path, kind="page"), "not a deployed network"),
            (lambda path: restate(path, classes=["a", "b", "a"]), "two classes are named 'a'"),
            (lambda path: restate(path, features=["p", "q", "q", "r"]), "two columns are named 'q'"),
            (lambda path: restate(path, recipe={"a": nested(600)}), "nested more than 20 deep"),
            (lambda path: bomb(path, 2**28), "not a readable .npz without pickles .its .* bytes unpack to 268435456"),
            (lambda path: claim(path, 2**50), "not a readable .npz .*about: an array is .*bytes behind it"),
        ],
        ids=["truncated", "headless", "empty", "text", "none", "stack", "dataset", "list", "number", "offset", "biases",
             "scale", "shape", "zero", "vast", "deep", "bits", "sizes", "negative", "kind",
             "classes", "columns", "recipe", "bomb", "claim"],
    )  # fmt: skip
    @pytest.mark.parametrize("path", BOTH)
    def test_a_file_that_is_no_deployed_network_is_refused_in_one_line(self, dataset, path, spoil, words):
        np.savez("rows.npz", x=dataset.x)
        spoil(Path(path))
        with pytest.raises(UserError, match=f"^{path}: .*({words})") as refused:
            predict(path, "rows.npz", "out.csv")
        assert "\n" not in str(refused.value)
        assert not Path("out.csv").exists()

    def test_rows_that_are_not_there(self, here):
        with pytest.raises(UserError, match=r"^rows.csv: not found"):
            predict(FLOAT, "rows.csv", "out.csv")

    def test_the_line_is_all_that_a_user_sees(self, here):
        Path(FLOAT).write_bytes(Path(FLOAT).read_bytes()[:1000])
        done = self.run(FLOAT, "rows.csv")
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {FLOAT}: not a readable .npz")
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize(
        ("names", "row", "words"),
        [
            (["a", "b"], [1, 2], "rows.csv: lacks the column 'sepal length"),
            (None, ["1", "2", "x", "3"], "rows.csv: row 2, column petal length.*'x' is no number"),
            (None, ["1", "2", "", "3"], "rows.csv: row 2, column petal length.* needs a finite number"),
            (None, ["1", "2", "inf", "3"], "rows.csv: row 2, column petal length"),
            (None, ["1", "2", "3"], "rows.csv: row 2 has 3 cells, the header 4"),
        ],
    )
    def test_a_row_that_does_not_fit_is_named(self, dataset, names, row, words):
        write_rows("rows.csv", names or dataset.feature_names, [row])
        with pytest.raises(UserError, match=words):
            predict(FLOAT, "rows.csv", "out.csv")

    @pytest.mark.parametrize(
        ("x", "words"),
        [
            (np.zeros((3, 5)), r"float64 \(3, 5\); needs numbers \(n, 4\)"),
            (np.zeros(4), r"needs numbers \(n, 4\)"),
            (np.array([["a"] * 4]), r"needs numbers \(n, 4\)"),
            (np.zeros((3, 4)) * [1, 1, np.nan, 1], "row 1, petal length.*nan"),
            (np.array([[0.0] * 4, [1e308, -1e308, 1e308, -1e308]]), "row 1 has numbers too large"),
            (np.zeros((0, 4)), "has no rows"),
        ],
        ids=["wide", "flat", "text", "nan", "large", "none"],
    )
    def test_an_array_that_does_not_fit_is_described(self, here, x, words):
        np.savez("rows.npz", x=x)
        with pytest.raises(UserError, match=f"^rows.npz: .*{words}"):
            predict(FLOAT, "rows.npz", "out.csv")


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
@pytest.mark.filterwarnings("ignore:column")
def test_a_column_of_each_kind_is_encoded_as_in_training(tmp_path, example):
    deployed((example.column,)).save(tmp_path / "model.npz")
    (tmp_path / "rows.csv").write_text(example.csv, "utf-8")
    predict(tmp_path / "model.npz", tmp_path / "rows.csv", tmp_path / "new.csv")
    model = kdlib.load(tmp_path / "model.npz")
    expected = model.predict_proba(np.array(example.features))
    assert model.predict_proba({example.column.name: example.cells}).tobytes() == expected.tobytes()
    with open(tmp_path / "new.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = [[float(row[f"probability of {name}"]) for name in "abc"] for row in rows]
    assert np.abs(found - expected).max() <= 5e-7


def restate(path, **changes):
    arrays = read_npz(path)
    about = json.dumps(json.loads(arrays["about"].item()) | changes)
    write_npz(path, arrays | {"about": np.array(about.encode())})


def nested(levels):
    return [nested(levels - 1)] if levels else 1


def bomb(path, size):
    """An array of zeros that is small while it is packed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("about.npy", "w") as member:
        for _ in range(0, size, 2**20):
            member.write(bytes(2**20))


def claim(path, count):
    """A header of more numbers than there are."""
    with zipfile.ZipFile(path, "w") as archive, archive.open("about.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (count,)})


def test_images_are_taken_as_images_and_as_rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = quick_params(prepare={"dataset": "digits", "scaling": "auto", "max_samples": 300})
    for name in between("prepare", "deploy"):
        MAINS[name](params)
    x, deployed = Dataset.load(PATHS.dataset).x, kdlib.load(FLOAT)
    assert np.array_equal(deployed.logits(x.reshape(-1, 8, 8)), deployed.logits(x))
    assert len(deployed.offset) == len(deployed.scale) == 1
    with pytest.raises(UserError, match=r"needs numbers \(n, 64\) or images \(8, 8\)"):
        deployed.logits(x.reshape(-1, 4, 16))


@pytest.mark.parametrize("scale", [1e-250, 1e250, np.nan])
def test_a_scale_that_no_other_program_could_hold_is_not_deployed(here, scale):
    with pytest.raises(UserError, match=r"a scale of .* not from 1e-240 to 1e\+240"):
        replace(kdlib.load(FLOAT), scale=np.array([scale]))


@pytest.mark.parametrize("key", ["dataset", "teacher", "licence"])
def test_what_goes_into_a_comment_of_c_cannot_end_it(dataset, key):
    arrays = read_npz(FLOAT)
    about = json.loads(arrays["about"].item()) | {key: "*/ int x; /*"}
    write_npz(FLOAT, arrays | {"about": np.array(json.dumps(about).encode())})
    with pytest.raises(UserError, match="not a deployed network"):
        predict(FLOAT, "rows.csv", "new.csv")


@pytest.mark.parametrize(
    ("rows", "output", "words"),
    [("rows.csv", "rows.csv", "which is ROWS"), ("rows.csv", FLOAT, "ends with .csv"), ("a.csv", "./a.csv", "ROWS")],
)
def test_a_prediction_replaces_nothing_that_it_reads(dataset, rows, output, words):
    with pytest.raises(UserError, match=words):
        predict(FLOAT, rows, output)


def encoded_by_hand(name, columns, parsed, missing):
    """The feature of one cell as docs/deployment.md says, from its column's entry in card.encoding."""
    column, ending = re.fullmatch(r"(\w+?)( is missing| is rare|=.*)?", name).groups()
    about = columns[column]
    if ending is None:
        return about["fill"] if missing else parsed
    if ending == " is missing":
        return float(missing)
    return float(parsed in about["rare"] if ending == " is rare" else ending == f"={parsed}")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_order_of_a_row_in_c_is_told_where_a_c_programmer_looks(name, tmp_path):
    example = EXAMPLES[name]
    (tmp_path / "models/deployed").mkdir(parents=True)
    model = deployed((Column("first", "number"), example.column))
    model.save(tmp_path / INTEGERS)
    text = (ROOT / "docs/deployment.md").read_text("utf-8").split("\n## C\n")[1]
    code = re.search(r'^python -c "(.*features.*)"$', text, re.MULTILINE).group(1)
    options = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}, "encoding": "utf-8"}
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, **options).stdout
    columns = {column["name"]: column for column in json.loads(model.card.encoding)}
    parse = example.column.parser()
    for cell, expected in zip(example.cells, example.features, strict=True):
        value = parse(cell)
        missing = np.isnan(value)
        parsed = cell if name == "category" else value
        cells = {"first": (7.0, False), example.column.name: (parsed, missing)}
        row = [encoded_by_hand(n, columns, *cells[re.split("=| is ", n)[0]]) for n in printed.splitlines()]
        assert row == [7, *expected]
