"""The recipes of docs/recipes/ run as they are written, in an empty folder beside a small table.

What cannot be installed for a test has a stand-in of the same interface, and its recipe says so.
"""

import csv
import json
import os
import re
import shutil

import numpy as np
import pytest

from tests.conftest import ROOT, Project

RECIPES = ROOT / "docs/recipes"
BLOCK = re.compile(r"((?:^[^\n]+\n)*)\n```(sh|python|c)\n(.*?)^```$", re.MULTILINE | re.DOTALL)  # and what is before
NEEDS_BASH = pytest.mark.skipif(not shutil.which("bash"), reason="no bash (apt-get install bash)")
NEEDS_A_COMPILER = pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("cc")),
    reason="no bash and C compiler (apt-get install bash gcc libc6-dev)",
)
CLASSES = np.array(["low", "middle", "high"])

TABICL = """
from sklearn.ensemble import HistGradientBoostingClassifier


class TabICLClassifier(HistGradientBoostingClassifier):
    def __init__(self):
        super().__init__(max_iter=20, learning_rate=0.3)
"""
AUTOGLUON = """
import pandas
from sklearn.ensemble import HistGradientBoostingClassifier


class TabularPredictor:
    def __init__(self, label, path=None, verbosity=2):
        self.label = label

    def fit(self, train_data, time_limit=None):
        rows = train_data.drop(columns=self.label)
        self.model = HistGradientBoostingClassifier(max_iter=20, learning_rate=0.3).fit(rows, train_data[self.label])
        return self

    def predict_proba(self, data):
        return pandas.DataFrame(self.model.predict_proba(data), index=data.index, columns=self.model.classes_)
"""


def script(name):
    """Return a recipe's blocks as one script of bash: code in a file is written to it, and commands are run."""
    parts = []
    for before, language, code in BLOCK.findall((RECIPES / name).read_text("utf-8")):
        if language != "sh":
            (file,) = re.findall(r"`(\w+\.(?:py|c))`", before)
            code = f"cat > {file} <<'END OF FILE'\n{code}END OF FILE\n"
        parts.append(code)
    return "".join(parts)


def write_tables(folder, colours=("",)):
    """Write my.csv with its classes and rows.csv without; several colours are a column of texts, and a number lacks."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 4)).round(3)
    colour = generator.integers(len(colours), size=len(x))
    classes = CLASSES[np.digitize(x[:, 0] + x[:, 1] * x[:, 2] + 2 * colour, [-0.5, 1.5])]
    texts = [colours[k] for k in colour]
    names = ["width", "height", "depth", "weight", *(["colour"] if len(colours) > 1 else [])]
    rows = [[*numbers, text][: len(names)] for numbers, text in zip(x.tolist(), texts, strict=True)]
    if len(colours) > 1:
        rows[0][0] = ""
    for file, header, table in (
        ("my.csv", [*names, "target"], [[*row, target] for row, target in zip(rows, classes, strict=True)]),
        ("rows.csv", names, rows[:50]),
    ):
        with open(folder / file, "w", newline="", encoding="utf-8") as opened:
            csv.writer(opened, lineterminator="\n").writerows([header, *table])


class Recipe(Project):
    """A folder in which a recipe ran; `output` is what it printed."""

    def __init__(self, folder, environment, name, stand_in=("", ""), colours=("",)):
        path, code = stand_in
        if path:
            (folder / "stand_ins" / path).parent.mkdir(parents=True)
            (folder / "stand_ins" / path).write_text(code, "utf-8")
        write_tables(folder, colours)
        search = os.pathsep.join([str(folder / "stand_ins"), str(ROOT)])
        super().__init__(folder, environment | {"PYTHONPATH": search, "OMP_NUM_THREADS": "1"})
        self.output = self.run("bash", "-e", "-o", "pipefail", "-c", script(name)).stdout
        self.folder = folder / "demo"

    def check_table(self):
        """The answers are out of fold, the table has all columns, and the student has learnt what can be learnt."""
        rows = np.load(self.folder / "data/rows.npz")
        answers = np.load(self.folder / "data/raw/teacher.npz")["probabilities"]
        training = rows["fold"] != rows["fold"].max()
        assert (answers.argmax(axis=2) == rows["y"])[training].mean() < 0.97  # fitted on them, it is right on all
        assert re.search(r"\| +teacher \| +baseline \| +student \| +int8 \|", self.output)
        assert "teacher: foreign; the promise of same bytes begins at its logits" in self.output
        result = json.loads((self.folder / "metrics/details.json").read_text("utf-8"))
        for name in ("teacher", "student", "quantized"):
            assert result[name]["test"]["accuracy"]["mean"] > 0.65, name

    def predicted(self, model):
        """Classes of rows.csv by `kdlib predict`."""
        self.python("-m", "kdlib", "predict", f"models/deployed/{model}", "../rows.csv")
        with open(self.folder / "predictions.csv", encoding="utf-8") as file:
            return [row["class"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.md")), ids=lambda path: path.name)
def test_a_recipe_is_short(path):
    assert len(path.read_text("utf-8").splitlines()) <= 60


@NEEDS_A_COMPILER
@pytest.mark.slow
def test_a_tabular_foundation_model_on_a_chip(environment, tmp_path):
    recipe = Recipe(tmp_path, environment, "tabular-foundation-model.md", ("tabicl.py", TABICL))
    recipe.check_table()
    # The last command is ./test, whose exit code is that of the script. A file of other integers fails it.
    header = recipe.folder / "models/deployed/student.h"
    text = header.read_text("ascii")
    header.write_text(re.sub(r"(student_biases_1\[3\] = \{\n +)-?\d+", r"\g<1>12345", text), "ascii")
    recipe.run("cc", "test.c", "-o", "test")
    assert recipe.run("./test", check=False).returncode == 1  # the first vector


@NEEDS_A_COMPILER
@pytest.mark.slow
def test_lightgbm_to_c(environment, tmp_path):
    pytest.importorskip("lightgbm", reason="no LightGBM (pip install lightgbm)")
    recipe = Recipe(tmp_path, environment, "lightgbm-to-c.md")
    recipe.check_table()
    assert (recipe.folder / "features.csv").read_text() == "width,height,depth,weight\n"
    predicted = recipe.predicted("int.npz")
    assert recipe.output.splitlines()[-50:] == predicted
    assert set(predicted) == set(CLASSES)
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    for row in ("1,2,3", "1,2,3,4,5", "1,2,3,red", "1,2,3,nan"):
        (tmp_path / "rows.csv").write_text("\n".join([*lines, row]))
        process = recipe.run("bash", "-c", "./classify < ../rows.csv", check=False)
        assert process.returncode == 1, row
        assert process.stdout.splitlines()[:50] == predicted


@NEEDS_BASH
@pytest.mark.slow
def test_an_autogluon_ensemble_to_onnx(environment, tmp_path):
    for package in ("pandas", "onnxruntime"):
        pytest.importorskip(package, reason=f"no {package} (pip install {package})")
    stand_in = ("autogluon/tabular.py", AUTOGLUON)
    recipe = Recipe(tmp_path, environment, "autogluon-to-onnx.md", stand_in, ("blue", "green", "red"))
    recipe.check_table()
    predicted = recipe.predicted("float.npz")
    assert recipe.output.splitlines()[-50:] == predicted
    assert set(predicted) == set(CLASSES)


@NEEDS_BASH
@pytest.mark.slow
def test_a_lecture_in_ten_minutes(project, tmp_path):
    clone = project.copy(tmp_path / "clone")
    output = clone.run("bash", "-e", "-c", script("lecture.md")).stdout
    soft = {int(t): [float(p) for p in row.split()] for t, row in re.findall(r"^T = (\d): (.*)$", output, re.MULTILINE)}
    logits = np.load(clone.folder / "models/teacher.npz")["logits"][0, 3].astype(np.float64)
    for temperature, row in soft.items():
        assert row == pytest.approx(np.exp(logits / temperature) / np.exp(logits / temperature).sum(), abs=1e-4)
    assert max(soft[4]) < max(soft[1])
    gains = [float(gain) for gain in re.findall(r"^test NLL, student - baseline: (\S+)", output, re.MULTILINE)]
    plain, without_teacher, unsoftened, coarse = gains
    assert without_teacher == 0
    assert len({plain, without_teacher, unsoftened, coarse}) == 4  # the first is of the alpha of `quick`
    assert re.findall(r"\| +student \| +(int\d) \|", output) == ["int8", "int8", "int8", "int2"]
    assert clone.run("git", "status", "--porcelain").stdout == "?? soften.py\n"
    assert "up to date" in clone.dvc("status").stdout
