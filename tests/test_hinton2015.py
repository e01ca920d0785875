"""The experiment of Hinton, Vinyals and Dean (2015): what is committed agrees, and a small version of all rows runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import FRIGHTENS, MAINS, ROOT
from readme import EXPERIMENT, paper

MNIST = [ROOT.parent / "shared/data/mnist.npz", EXPERIMENT / "data/raw/mnist.npz"]
FOLDER = EXPERIMENT.relative_to(ROOT).as_posix()
DVC_YAML = {folder: yaml.safe_load((folder / "dvc.yaml").read_text("utf-8"))["stages"] for folder in (ROOT, EXPERIMENT)}
ROWS = yaml.safe_load((EXPERIMENT / "rows.yaml").read_text("utf-8"))
SMALL = {800: 24, 300: 16, 30: 8}


@pytest.mark.parametrize("stage", [stage for stage in MAINS if stage in DVC_YAML[EXPERIMENT]])
def test_its_stages_depend_on_the_files_in_the_folders_that_the_projects_own_depend_on(stage):
    def modules(folder, prefix):
        entry = DVC_YAML[folder][stage]
        deps = [dep.removeprefix(prefix) for dep in entry.get("do", entry)["deps"]]
        return {dep for dep in deps if dep.startswith(("kdlib/", "stages/"))}

    files = [[path] if path.endswith(".py") else sorted((ROOT / path).glob("**/*.py")) for path in modules(ROOT, "")]
    expected = {(ROOT / path).relative_to(ROOT).as_posix() for group in files for path in group}
    assert modules(EXPERIMENT, "../../") == expected


def test_the_table_depends_on_the_files_that_it_imports():
    code = "import sys, table; print(*(m.__file__ for name, m in sys.modules.items() if name.startswith('kdlib')))"
    process = subprocess.run([sys.executable, "-c", code], cwd=EXPERIMENT, capture_output=True, text=True, check=True)
    opened = {Path(line).relative_to(ROOT).as_posix() for line in process.stdout.split()}
    deps = DVC_YAML[EXPERIMENT]["table"]["deps"]
    assert {dep.removeprefix("../../") for dep in deps if dep.startswith("../../")} == opened


def test_its_params_differ_from_the_projects_in_values_alone():
    def keys(folder):
        content = yaml.safe_load((folder / "params.yaml").read_text("utf-8"))
        return {key: set(value) if isinstance(value, dict) else None for key, value in content.items()}

    assert keys(EXPERIMENT) == keys(ROOT)


@pytest.fixture(scope="module")
def status(project, tmp_path_factory):
    """What `dvc status` says of the experiment in a clone as it is committed: {stage: [{kind: {path: state}}]}."""
    clone = project.copy(tmp_path_factory.mktemp("status") / "clone")
    process = clone.dvc("status", "--json", cwd=FOLDER)
    return json.loads(process.stdout)


def test_the_committed_lock_is_of_this_code_and_these_rows(status):
    """In a clone nothing but data and models may be missing: no parameter, command or metric has changed.

    The code may have: the README says at which commit the figures were made.
    """
    found = []
    for stage, entries in status.items():
        for entry in entries:
            if isinstance(entry, str):
                found.append((stage, entry))
                continue
            for kind, states in entry.items():
                for path, state in states.items():
                    inside = re.match(r"(data|models|metrics)(/|$)", path)
                    code = kind == "changed deps" and re.search(r"(^|/)\w+\.py$", path)
                    if not (code or (inside and state in ("deleted", "not in cache"))):
                        found.append((stage, kind, path, state))
    assert found == [], "run: cd experiments/hinton2015 && dvc repro"


def test_every_row_is_in_the_committed_metrics():
    _, result, rows = paper()
    assert set(result) == {"teacher", *rows["baselines"], *rows["students"]}
    for name, row in (rows["baselines"] | rows["students"]).items():
        assert set(result[name]["test"]) == {"mean", "std"}, name
        assert row["replicas"] >= (10 if row["units"] == 30 else 3)


@pytest.fixture(scope="module")
def small(project, tmp_path_factory):
    """A clone in which the whole pipeline ran on 2,000 images, with small networks, for 2 epochs."""
    mnist = next(filter(Path.exists, MNIST), None)
    if mnist is None:
        pytest.skip(f"no MNIST: neither {MNIST[0]} nor {MNIST[1]} is there")
    clone = project.copy(tmp_path_factory.mktemp("small") / "clone")
    clone.environment = clone.environment | {"PYTHONPATH": str(clone.folder)}
    folder = clone.folder / FOLDER
    params = yaml.safe_load((folder / "params.yaml").read_text("utf-8"))
    params["prepare"]["max_samples"] = 2000
    params["teacher"] |= {"hidden": [32, 32], "epochs": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    rows = {
        kind: {name: row | {"units": SMALL[row["units"]], "epochs": 2, "replicas": 2} for name, row in entries.items()}
        for kind, entries in ROWS.items()
    }
    (folder / "rows.yaml").write_text(yaml.safe_dump(rows), "utf-8")
    (folder / "data/raw").mkdir(parents=True)
    shutil.copyfile(mnist, folder / "data/raw/mnist.npz")
    clone.output = clone.dvc("repro", cwd=FOLDER).stdout
    return clone


def test_a_small_version_runs_every_row_to_the_table(small):
    stages = re.findall(r"^Running stage '(.+)':$", small.output, re.MULTILINE)
    expected = {"prepare", "train_teacher", "table", *(f"train_baseline@{name}" for name in ROWS["baselines"])}
    expected |= {f"{stage}@{name}" for stage in ("distill", "evaluate") for name in ROWS["students"]}
    assert set(stages) == expected
    folder = small.folder / FOLDER
    result = json.loads((folder / "metrics.json").read_text("utf-8"))
    rows = yaml.safe_load((folder / "rows.yaml").read_text("utf-8"))
    assert set(result) == {"teacher", *ROWS["baselines"], *ROWS["students"]}
    assert (folder / "temperature.svg").read_text("utf-8").count("<circle") == 12
    table = paper()[0].markdown(result, rows)
    assert [line.count("|") for line in table.splitlines()] == [4] * 13 + [0] + [9] * 4
    partial = {name for name, row in ROWS["students"].items() if row["classes"] != "null"}
    assert partial == {name for name in result if "shift" in result[name]}
    for name in partial:
        assert 0 < result[name]["absent"]["mean"] <= result[name]["test"]["mean"]
        assert 0 < result[name]["absent_shifted"]["mean"] <= result[name]["shifted"]["mean"]


def test_the_root_pipeline_is_still_the_digits_alone(small):
    assert small.ran("repro") == []
    assert FOLDER not in small.dvc("metrics", "show").stdout
    assert small.dvc("status").stdout.strip() == "Data and pipelines are up to date."


def test_dvcs_own_commands_work_in_its_folder(small):
    for command in (["checkout"], ["status"], ["dag"], ["metrics", "show"], ["exp", "show", "--no-pager"]):
        process = small.dvc(*command, cwd=FOLDER)
        assert not FRIGHTENS.search(process.stdout + process.stderr), command


def test_it_leaves_no_checkpoint_and_nothing_for_git(small):
    folder = small.folder / FOLDER
    assert sorted(path.suffix for path in (folder / "models").iterdir() if path.suffix != ".npz") == []
    changed = small.run("git", "status", "--porcelain", "--untracked-files=all").stdout.split("\n")
    paths = {line[3:] for line in changed if line}
    names = ("dvc.lock", "metrics.json", "params.yaml", "rows.yaml", "temperature.svg")
    assert paths <= {f"{FOLDER}/{name}" for name in names}
