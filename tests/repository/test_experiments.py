"""The experiments: what is committed agrees, and a small version of all rows runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from docs.generate import BEYOND, PAPER, experiment
from kdlib.pipeline.command_line import DEPLOYED_FILES
from kdlib.pipeline.params import load_params
from tests.conftest import FRIGHTENS, ROOT

MNIST = [ROOT.parent / "shared/data/mnist.npz", PAPER / "data/raw/mnist.npz", BEYOND / "data/raw/mnist.npz"]
EXPERIMENTS = {"paper": PAPER, "beyond": BEYOND}
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]
SMALL = {800: 24, 300: 16, 30: 8}


@pytest.fixture(scope="module", params=EXPERIMENTS.values(), ids=EXPERIMENTS)
def folder(request):
    return request.param


def test_its_stages_depend_on_the_number_of_the_bytes_in_place_of_the_code(folder):
    for name, entry in yaml.safe_load((folder / "dvc.yaml").read_text("utf-8"))["stages"].items():
        entry = entry.get("do", entry)
        assert not [dep for dep in entry.get("deps", []) if re.match(r"\.\./\.\./(kdlib|stages)/", dep)], name
        assert {"../../kdlib/__init__.py": ["BYTES"]} in entry["params"], name


def test_its_stages_depend_on_the_parameters_that_the_projects_own_depend_on(folder):
    for name, entry in yaml.safe_load((folder / "dvc.yaml").read_text("utf-8"))["stages"].items():
        entry = entry.get("do", entry)
        if module := re.search(r"-m stages\.(\w+)", entry["cmd"]):
            # teacher.model of prepare: their teachers are networks, and there is no file of answers to hash.
            wanted = set(STAGES[module[1]].get("params", [])) - {"teacher.model"}
            if module[1] == "evaluate":  # their params.yaml have all keys that it reads of its sections
                wanted = {"prepare.scaling", "prepare.transfer_classes", "student.warmup"}
            named = {key for key in entry["params"] if isinstance(key, str)}
            left = {key for key in wanted if f"{key}=" not in entry["cmd"]} - named
            assert left == set(), name


def test_a_transfer_set_has_the_images_that_its_row_says():
    rows = experiment(BEYOND)[2]["few"]
    for name, row in rows.items():
        assert int(name) == 200 + row["images"]
        path = f"{{rows: data/raw/transfer_{row['images']}.npz}}" if row["images"] else "null"
        assert row["transfer"] == path
    sizes = {int(name): -(-int(name) // 128) * row["epochs"] for name, row in rows.items()}
    assert max(sizes.values()) - min(sizes.values()) < 0.01 * max(sizes.values()), "steps"


def test_scripts_depend_on_the_files_of_experiments_that_they_import(folder):
    stages = yaml.safe_load((folder / "dvc.yaml").read_text("utf-8"))["stages"]
    scripts = {path.stem for path in folder.glob("*.py")} & stages.keys()
    assert "table" in scripts
    for script in scripts:
        files = "m.__file__ for m in sys.modules.values() if getattr(m, '__file__', None)"
        command = [sys.executable, "-c", f"import sys, {script}; print(*({files}), sep='\\n')"]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        opened = {Path(line) for line in process.stdout.splitlines()}
        opened = {path for path in opened if path.is_relative_to(ROOT / "experiments")}
        assert {(folder / dep).resolve() for dep in stages[script]["deps"] if dep.endswith(".py")} == opened


def test_its_params_are_those_of_the_project(folder):
    """Keys that were added later have their default there."""
    assert load_params(folder / "params.yaml")


@pytest.fixture(scope="module")
def status(folder, project, tmp_path_factory):
    """What `dvc status` says of the experiment in a clone as it is committed: {stage: [{kind: {path: state}}]}."""
    clone = project.copy(tmp_path_factory.mktemp("status") / "clone")
    process = clone.dvc("status", "--json", cwd=folder.relative_to(ROOT).as_posix())
    return json.loads(process.stdout)


@pytest.mark.slow
def test_the_committed_lock_is_of_these_parameters_and_rows(status):
    """In a clone nothing but data and models may be missing: no parameter, command, metric or number has changed."""
    found = []
    for stage, entries in status.items():
        for entry in entries:
            if isinstance(entry, str):
                found.append((stage, entry))
                continue
            for kind, states in entry.items():
                for path, state in states.items():
                    if not (re.match(r"(data|models|metrics)(/|$)", path) and state in ("deleted", "not in cache")):
                        found.append((stage, kind, path, state))
    assert found == [], "run `dvc repro` in the folder of the experiment"


def rows_of(folder, rows):
    """The names of what metrics.json has to hold."""
    if folder == PAPER:
        return {*rows["teachers"], *rows["baselines"], *rows["students"]}
    return {*rows["students"], *(f"few_{images}" for images in rows["few"])}


def test_the_committed_metrics_have_every_row_and_the_picture_is_of_them(folder):
    module, result, rows = experiment(folder)
    assert set(result) == rows_of(folder, rows)
    (path,) = folder.glob("*.svg")
    assert path.read_text("utf-8") == module.picture(result, rows)


def test_the_papers_rows_have_three_replicas_or_more():
    _, result, rows = experiment(PAPER)
    for name, row in (rows["baselines"] | rows["students"]).items():
        assert set(result[name]["test"]) == {"mean", "std"}, name
        assert row["replicas"] >= (10 if row["units"] == 30 else 3)


def smaller(folder):
    """The texts of params.yaml and rows.yaml with 3,000 images, small networks and 2 epochs."""
    params, rows = (yaml.safe_load((folder / f"{name}.yaml").read_text("utf-8")) for name in ("params", "rows"))
    params["prepare"]["max_samples"] = 3000
    params["teacher"] |= {"hidden": [32, 32], "epochs": 2}
    params["student"] |= {"hidden": [24, 24], "epochs": 2}
    params["replicas"], params["execution"]["workers"] = 2, 1
    for entries in rows.values():
        for row in entries.values():
            row |= {key: 2 for key in ("epochs", "replicas") if key in row}
            row |= {"units": SMALL[row["units"]]} if "units" in row else {}
    return {"params": yaml.safe_dump(params), "rows": yaml.safe_dump(rows, sort_keys=False)}


@pytest.fixture(scope="module")
def small(folder, project, tmp_path_factory):
    """A clone in which the whole pipeline of the experiment ran, `smaller`."""
    mnist = next(filter(Path.exists, MNIST), None)
    if mnist is None:
        pytest.skip("no MNIST: no mnist.npz in ../shared/data or data/raw of the experiment")
    clone = project.copy(tmp_path_factory.mktemp("small") / "clone")
    clone.environment = clone.environment | {"PYTHONPATH": str(clone.folder)}
    clone.of = folder.relative_to(ROOT).as_posix()
    for name, text in smaller(folder).items():
        (clone.folder / clone.of / f"{name}.yaml").write_text(text, "utf-8")
    (clone.folder / clone.of / "data/raw").mkdir(parents=True)
    shutil.copyfile(mnist, clone.folder / clone.of / "data/raw/mnist.npz")
    clone.output = clone.dvc("repro", cwd=clone.of).stdout
    return clone


@pytest.mark.slow
def test_a_small_version_runs_every_row_to_the_table(folder, small):
    own, module = small.folder / small.of, experiment(folder)[0]
    rows = yaml.safe_load((own / "rows.yaml").read_text("utf-8"))
    ran, expected = set(re.findall(r"^Running stage '(.+)':$", small.output, re.MULTILINE)), set()
    for stage, entry in yaml.safe_load((own / "dvc.yaml").read_text("utf-8"))["stages"].items():
        names = rows[entry["foreach"].strip("${}")] if "foreach" in entry else []
        expected |= {f"{stage}@{name}" for name in names} or {stage}
    assert ran == expected
    result = json.loads((own / "metrics.json").read_text("utf-8"))
    assert set(result) == rows_of(folder, rows)
    widths = [line.count("|") for line in module.table(result, rows).splitlines()]
    assert widths == ([7] * 13 + [0] + [9] * 4 if folder == PAPER else [4] * 14)
    dots = [path.read_text("utf-8").count("<circle") for path in own.glob("*.svg")]
    assert dots == ([12] if folder == PAPER else [5 * len(rows["few"])])


@pytest.mark.slow
def test_the_small_rows_without_a_class_have_its_errors(folder, small):
    result = json.loads((small.folder / small.of / "metrics.json").read_text("utf-8"))
    students = experiment(folder)[2]["students"]
    partial = {name for name, row in students.items() if row.get("classes", "null") != "null"}
    assert partial == {name for name in result if "shift" in result[name]}
    for name in partial:
        assert 0 < result[name]["absent"]["mean"] <= result[name]["test"]["mean"]
        assert 0 < result[name]["absent_shifted"]["mean"] <= result[name]["shifted"]["mean"]


@pytest.mark.slow
def test_the_root_pipeline_is_still_the_digits_alone(small):
    assert small.ran("repro") == []
    assert small.of not in small.dvc("metrics", "show").stdout
    assert small.dvc("status").stdout.strip() == "Data and pipelines are up to date."


@pytest.mark.slow
def test_dvcs_own_commands_work_in_its_folder(small):
    for command in (["checkout"], ["status"], ["dag"], ["metrics", "show"], ["exp", "show", "--no-pager"]):
        process = small.dvc(*command, cwd=small.of)
        assert not FRIGHTENS.search(process.stdout + process.stderr), command


@pytest.mark.slow
def test_it_leaves_no_checkpoint_and_nothing_for_git(small):
    models = [path for path in (small.folder / small.of / "models").rglob("*") if path.is_file()]
    assert {path.name for path in models if path.suffix != ".npz"} <= {*DEPLOYED_FILES}
    changed = small.run("git", "status", "--porcelain", "--untracked-files=all").stdout.split("\n")
    paths = {line[3:] for line in changed if line}
    names = ("dvc.lock", "dvc.yaml", "metrics.json", "params.yaml", "rows.yaml", "temperature.svg", "transfer.svg")
    assert paths <= {f"{small.of}/{name}" for name in names}
