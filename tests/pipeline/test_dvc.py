"""The pipeline under DVC, as a user runs it: in clones of this project, with small data and networks."""

import csv
import json
import os
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from kdlib.data.dataset import SUBSETS, Dataset
from kdlib.data.encoding import Encoding
from kdlib.io.artifacts import read_npz
from kdlib.pipeline.schema import Params, Section
from tests.conftest import (
    DVC_YAML,
    FRIGHTENS,
    MAINS,
    ROOT,
    Project,
    downstream,
    files,
    inputs,
    outputs,
    quick,
    quick_params,
)

STAGES = list(MAINS)
TROUBLESHOOTING = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
MODELS = [path for stage in STAGES for path in outputs(stage) if path.startswith("models/")]


SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


@pytest.fixture(scope="module")
def outcome(project, tmp_path_factory):
    """outcome(scenario): its result. They run side by side, each in its own clone: DVC is slow to start."""
    folder = tmp_path_factory.mktemp("scenarios")
    pool = ThreadPoolExecutor(1 + os.cpu_count())

    def start(function):
        return function(project.copy(folder / function.__name__))

    SCENARIOS.sort(key=lambda function: function is not sweep)  # it waits more than it works
    futures = {function: pool.submit(start, function) for function in SCENARIOS}
    yield lambda function: futures[function].result()
    pool.shutdown(cancel_futures=True)


# What a stage depends on

WATCHED = """
import importlib, json, os, sys
from pathlib import Path

root, read, written, sections = Path.cwd().resolve(), set(), set(), set()

def inside(path):
    path = Path(path).resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else ""

def watch(event, arguments):
    if event == "open" and arguments[1] and arguments[1].startswith("r") and not isinstance(arguments[0], int):
        read.add(inside(os.fsdecode(arguments[0])))
    if event == "os.rename":
        written.add(inside(os.fsdecode(arguments[1])))

class Watched:
    def __init__(self, params):
        self.params = params

    def __getattr__(self, name):
        sections.add(name)
        return getattr(self.params, name)

    def model_copy(self, **options):
        return Watched(self.params.model_copy(**options))

from kdlib.pipeline.params import load_params
params = load_params("params.yaml")
stage = importlib.import_module("stages." + sys.argv[1])
sys.addaudithook(watch)
stage.main(Watched(params))
modules = {inside(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", None)}
data = {path for path in read if path.startswith(("data/", "models/", "metrics/"))}
packages = {name.split(".")[0] for name in sys.modules}
written = {path for path in written if ".tmp" not in path}
found = {"deps": modules | data, "outs": written, "params": sections, "packages": packages}
print(json.dumps({key: sorted(values - {""}) for key, values in found.items()}))
"""


@scenario
def watched(project):
    """{stage: what it imports, reads and writes, and the sections of params.yaml that it reads}."""
    return {stage: json.loads(project.python("-c", WATCHED, stage).stdout.splitlines()[-1]) for stage in STAGES}


@pytest.mark.parametrize("stage", STAGES)
class TestStage:
    def test_runs_its_own_module(self, stage):
        assert DVC_YAML["stages"][stage]["cmd"] == f"python -m stages.{stage}"

    def test_depends_on_all_that_it_imports_and_reads_and_on_nothing_else(self, outcome, stage):
        deps = DVC_YAML["stages"][stage]["deps"]
        left_out = {"kdlib/__init__.py", "stages/__init__.py", *outputs(stage)}  # the first two compute nothing
        opened = set(outcome(watched)[stage]["deps"]) - left_out
        covers = {dep: {path for path in opened if path == dep or path.startswith(f"{dep}/")} for dep in deps}
        assert opened - set().union(*covers.values()) == set()
        unused = {dep for dep, paths in covers.items() if not paths}
        # Read if prepare.dataset names a file there, or teacher.model something other than a network of ours, of whose
        # answers DVC compares the hash.
        answered = {"data/answers.sha256", "kdlib/teachers"}
        assert unused == {"prepare": {"data/raw"}, "train_teacher": answered}.get(stage, set())

    def test_imports_no_large_package_that_it_does_not_use(self, outcome, stage):
        large = {"joblib", "matplotlib", "pandas", "scipy", "sklearn", "tqdm"}
        bar = {"tqdm"} if stage in TRAINED else set()
        assert large & set(outcome(watched)[stage]["packages"]) == bar

    def test_declares_what_it_writes(self, outcome, stage):
        assert sorted(outputs(stage)) == outcome(watched)[stage]["outs"]

    def test_tracks_the_params_that_it_reads(self, outcome, stage):
        read = [
            section
            for section in outcome(watched)[stage]["params"]
            if section not in ("checkpoint", "logging", "execution")
        ]
        assert sorted({key.split(".")[0] for key in DVC_YAML["stages"][stage].get("params", [])}) == read


def test_a_run_under_dvc_ends_with_the_table_and_leaves_nothing_to_run(project):
    assert re.findall(r"^Running stage '(.+)':$", project.output, re.MULTILINE) == STAGES
    assert "student - baseline" in project.output
    assert project.dvc("status").stdout.strip() == "Data and pipelines are up to date."


def test_dvc_finds_the_parameters_that_the_stages_track_in_params_yaml():
    """Keys may be left out of it, but of those that dvc.yaml names DVC has no default."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    for stage, entry in DVC_YAML["stages"].items():
        for key in entry["params"]:
            found = content
            for part in key.split("."):
                assert part in found, f"{stage}: {key}"
                found = found[part]


# What runs again


@scenario
def repeated(project):
    return project.ran("repro")


def test_a_second_run_runs_nothing(outcome):
    assert outcome(repeated) == []


@scenario
def fresh(project):
    """A clone has what is in git: no cache, and none of its outputs."""
    shutil.rmtree(project.folder / ".dvc" / "cache")
    for path in ("data/dataset.npz", "data/predictions.npz", *MODELS):
        project.remove(path)
    process = project.dvc("repro")
    return (
        re.findall(r"^Running stage '(.+)':$", process.stdout, re.MULTILINE),
        process.stdout,
        project.is_as_committed("."),
    )


def test_a_fresh_clone_runs_every_stage_and_ends_with_the_table(outcome):
    ran, output, unchanged = outcome(fresh)
    assert sorted(ran) == sorted(STAGES)
    assert "student - baseline" in output
    assert unchanged


@scenario
def forced(project):
    ran = project.ran("repro", "--force")
    return ran, project.is_as_committed("dvc.lock", "metrics/")


@scenario
def compiled(project):
    """With what numba compiles in every training; the teacher's log tells if that is not so."""
    params = yaml.safe_load((project.folder / "params.yaml").read_text("utf-8"))
    params["execution"]["kernels"], params["logging"]["level"] = "numba", "INFO"
    (project.folder / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    process = project.dvc("repro", "--force")
    return "NumPy trains" in process.stderr + process.stdout, project.is_as_committed("dvc.lock", "metrics/")


def test_what_numba_compiles_writes_the_same_lock(outcome):
    pytest.importorskip("numba", reason="no numba (pip install numba scipy)")
    fell_back, unchanged = outcome(compiled)
    assert not fell_back
    assert unchanged


def test_a_forced_run_writes_the_same_bytes(outcome):
    ran, unchanged = outcome(forced)
    assert sorted(ran) == sorted(STAGES)
    assert unchanged


def change(**changes):
    def changed(project):
        project.configure(**changes)
        return project.ran("repro")

    changed.__name__ = "_".join([*changes, *(key for value in changes.values() for key in value)])
    return scenario(changed)


def comment(path):
    def commented(project):
        with open(project.folder / path, "a") as module:
            module.write("# a comment\n")
        return project.ran("repro")

    commented.__name__ = path.replace("/", "_")
    return scenario(commented)


@pytest.mark.parametrize(
    ("changed", "reruns"),
    [
        (change(teacher={"epochs": 4}), downstream("train_teacher")),
        (change(student={"hidden": [9]}), downstream("train_baseline", "distill")),
        (change(deploy={"bits": 4}), downstream("deploy")),
        (change(logging={"level": "ERROR"}), []),
        (change(execution={"kernels": "numpy", "threads": 1}), []),
        (comment("kdlib/evaluation/metrics.py"), ["evaluate", "page"]),
        (comment("kdlib/preparation/scaling.py"), ["prepare", "evaluate", "page"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_change_reruns_what_it_affects(outcome, changed, reruns):
    assert sorted(outcome(changed)) == sorted(reruns)


EDITED = [
    "kdlib/numerics/exact.py",
    "kdlib/data/dataset.py",
    "kdlib/preparation/splits.py",
    "kdlib/learning/losses.py",
    "kdlib/deployment/integer_network.py",
    "kdlib/reporting/svg_axes.py",
    "kdlib/page/web/soften.mjs",
    "kdlib/teachers/smoothing.py",
    "kdlib/pipeline/jobs.py",
    "stages/distill.py",
]


@scenario
def edited(project):
    """{path: the stages of which `dvc status` says that their code has changed, where that file has}."""
    found = {}
    for path in EDITED:
        content = (project.folder / path).read_text("utf-8")
        (project.folder / path).write_text(content + "# a comment\n", "utf-8")
        found[path] = sorted(json.loads(project.dvc("status", "--json").stdout))
        (project.folder / path).write_text(content, "utf-8")
    return found


@pytest.mark.parametrize("path", EDITED)
def test_an_edit_makes_the_stages_dirty_that_depend_on_its_package(outcome, path):
    covers = {path, *(folder.as_posix() for folder in Path(path).parents)}
    assert outcome(edited)[path] == sorted(stage for stage in STAGES if covers.intersection(inputs(stage)))


# DVC's own commands

COMMANDS = [
    ["checkout"],
    ["status"],
    ["dag"],
    ["exp", "run", "--name", "warmer", "--set-param", "distill.temperature=5"],
    ["exp", "show", "--no-pager"],
    ["exp", "apply", "warmer"],
    ["queue", "status"],
    ["exp", "run", "--queue", "--set-param", "distill.temperature=6"],
    ["queue", "start"],
    ["gc", "--workspace", "--force"],
    ["checkout"],
    ["status"],
]


@scenario
def commanded(project):
    processes = []
    for command in COMMANDS:
        processes.append(project.dvc(*command, check=False))
        while command == ["queue", "start"] and not re.search(r"\b(Success|Failed)\b", queue(project)):
            time.sleep(0.5)
    return processes, queue(project)


def queue(project):
    return project.dvc("queue", "status").stdout


def test_dvcs_own_commands_succeed_without_a_word_that_frightens(outcome):
    processes, queued = outcome(commanded)
    for command, process in zip(COMMANDS, processes, strict=True):
        output = process.stdout + process.stderr
        assert process.returncode == 0, f"{command}\n{output}"
        assert not FRIGHTENS.search(output), output
    assert "Success" in queued
    assert processes[-1].stdout.strip() == "Data and pipelines are up to date."
    graph = processes[2].stdout
    assert [stage for stage in STAGES if stage not in graph] == []


@scenario
def one_value(project):
    """The lines of params.yaml that setting one value changes, of the file as it is committed but for two numbers."""
    text = (ROOT / "params.yaml").read_text("utf-8")
    text = re.sub(r"^(replicas|  epochs): \d+", r"\1: 1", text, flags=re.MULTILINE)
    (project.folder / "params.yaml").write_text(text, "utf-8")
    project.commit()
    changed = {}
    for change in ("distill.temperature=2", "student.hidden=[17]", "+teacher.patience=3"):
        project.dvc("exp", "run", "--set-param", change)
        diff = project.run("git", "diff", "--unified=0", "--", "params.yaml").stdout
        changed[change] = re.findall(r"^[-+](?![-+]) *(\S.*?) *(?:#.*)?$", diff, re.MULTILINE)
        project.run("git", "checkout", "--quiet", "--", "params.yaml")
    return changed


def test_setting_one_value_changes_one_line_of_params_yaml(outcome):
    assert outcome(one_value) == {
        "distill.temperature=2": ["temperature: 4.0", "temperature: 2"],
        "student.hidden=[17]": ["- 32", "- 17"],
        "+teacher.patience=3": ["patience: 3"],
    }


# What is shown


@scenario
def shown(project):
    metrics = json.loads(project.dvc("metrics", "show", "--json").stdout)
    project.dvc("plots", "show")
    return metrics, project


class TestShow:
    def test_metrics(self, outcome):
        metrics, project = outcome(shown)
        written = json.loads((project.folder / "metrics/metrics.json").read_text("utf-8"))
        assert metrics[""]["data"]["metrics/metrics.json"]["data"] == written

    def test_every_picture(self, outcome):
        _, project = outcome(shown)
        page = (project.folder / "dvc_plots/index.html").read_text("utf-8")
        sources = re.findall(r'<img src="([^"]+)"', page)
        pictures = [project.folder / path for path in outputs("evaluate") if path.endswith(".svg")]
        copies = [(project.folder / "dvc_plots" / source).read_bytes() for source in sources]
        assert sorted(copies) == sorted(path.read_bytes() for path in pictures)

    def test_every_picture_is_seen_without_a_network(self, outcome, browser):
        _, project = outcome(shown)
        browser.open(project.folder / "dvc_plots/index.html")
        assert [url for url in browser.requests if not url.startswith("file:")] == []
        assert browser.console == []
        widths = browser.value("Array.from(document.images, (image) => image.naturalWidth)")
        assert len(widths) == len([path for path in outputs("evaluate") if path.endswith(".svg")])
        assert min(widths) > 0

    def test_it_is_not_left_to_git(self, outcome):
        _, project = outcome(shown)
        assert project.run("git", "status", "--porcelain").stdout == ""


# Experiments


@scenario
def experiment(project):
    ran = project.ran("exp", "run", "--set-param", "distill.temperature=2")
    return ran, *(json.loads(project.dvc(kind, "diff", "--json").stdout) for kind in ("params", "metrics"))


class TestExperiment:
    def test_with_another_temperature_trains_the_student_alone(self, outcome):
        ran, _, _ = outcome(experiment)
        assert sorted(ran) == sorted(downstream("distill"))

    def test_differs_in_that_param(self, outcome):
        _, params, _ = outcome(experiment)
        (changed,) = params.values()
        assert {key: (value["old"], value["new"]) for key, value in changed.items()} == {"distill.temperature": (4, 2)}

    def test_differs_in_the_students_metrics(self, outcome):
        _, _, metrics = outcome(experiment)
        (changed,) = metrics.values()
        assert "student_nll" in changed
        of_student = {"accuracy", "nll", "balanced_accuracy", "macro_f1"}
        allowed = {f"student_{measure}" for measure in of_student} | {"quantized_accuracy", "accuracy_gain", "verdict"}
        assert changed.keys() <= allowed


@scenario
def sweep(project):
    project.dvc("exp", "run", "--queue", "--set-param", "distill.temperature=choice(1,2)")
    ran = project.ran("exp", "run", "--run-all", "--jobs", "1")
    return ran, list(csv.DictReader(project.dvc("exp", "show", "--only-changed", "--csv").stdout.splitlines()))


class TestSweep:
    def test_trains_the_students_alone(self, outcome):
        ran, _ = outcome(sweep)
        assert sorted(ran) == sorted(2 * downstream("distill"))

    def test_gives_a_row_for_each_temperature(self, outcome):
        _, table = outcome(sweep)
        rows = [row for row in table if row["State"] == "Success"]
        assert sorted(row["distill.temperature"] for row in rows) == ["1", "2"]
        assert len({row["student_nll"] for row in rows}) == 2
        assert "teacher_accuracy" not in table[0]


# Own data


@scenario
def own_table(project):
    """What runs and is kept of a table that `dvc add` has put under version control, and then of an edited one."""
    path = project.folder / "data/raw/table.csv"
    lines = [f"{k},{k % 7 * 0.5},{['red', 'blue', ''][k // 2 % 3]},{'pqr'[k % 3]}" for k in range(60)]
    path.write_text("\n".join(["id,size,colour,kind", *lines]) + "\n", "utf-8")
    project.configure(prepare={"dataset": "data/raw/table.csv", "target": "kind", "drop": ["id"]})
    project.dvc("add", "data/raw/table.csv")
    project.run("git", "add", "params.yaml", "data/raw/table.csv.dvc", "data/raw/.gitignore")
    project.run("git", "commit", "--quiet", "--message", "a table")
    untracked = project.run("git", "status", "--porcelain").stdout
    project.dvc("exp", "run", "--queue", "--set-param", "distill.temperature=choice(2,3)")
    process = project.dvc("exp", "run", "--run-all", "--jobs", "1")
    ran = re.findall(r"^Running stage '(.+)':$", process.stdout, re.MULTILINE)
    path.write_text("\n".join(["id,size,colour,kind", *lines[:57]]) + "\n", "utf-8")
    return untracked, ran, project.ran("repro"), project


class TestOwnTable:
    def test_is_left_to_dvc_and_not_to_git(self, outcome):
        untracked, *_ = outcome(own_table)
        assert untracked == ""

    def test_is_there_in_queued_runs(self, outcome):
        _, ran, *_ = outcome(own_table)
        assert sorted(ran) == sorted([*STAGES, *downstream("distill")])

    def test_is_a_dependency_of_prepare(self, outcome):
        *_, again, project = outcome(own_table)
        assert again == STAGES
        dataset = Dataset.load(project.folder / "data/dataset.npz")
        assert (len(dataset.y), dataset.class_names) == (57, ["p", "q", "r"])
        assert dataset.feature_names == ["size", "colour=blue", "colour=red", "colour is missing"]
        assert Encoding.from_json(dataset.encoding).feature_names == dataset.feature_names


# Own answers


@scenario
def own_answers(project):
    """What runs for answers in a file, for other answers in it, and for files beside it that nobody reads."""
    raw = project.folder / "data/raw"
    logits = np.random.default_rng(0).normal(size=(150, 3))
    np.savez(raw / "teacher.npz", logits=logits)
    project.configure(teacher={"model": "data/raw/teacher.npz"})
    given = project.ran("repro")
    np.savez(raw / "teacher.npz", logits=-logits)
    changed = project.ran("repro")
    (raw / "notes.txt").write_text("a note\n", "utf-8")
    noted = project.ran("repro")
    (raw / ".DS_Store").write_bytes(b"\0")
    return given, changed, noted, project.ran("repro"), project.run("git", "status", "--porcelain").stdout


def test_other_answers_and_no_other_file_run_the_teacher_again(outcome):
    given, changed, noted, hidden, _ = outcome(own_answers)
    assert sorted(given) == sorted(changed) == sorted(["prepare", *downstream("train_teacher")])
    assert noted == ["prepare"]
    assert hidden == []


def test_the_hash_of_answers_is_left_to_dvc(outcome):
    *_, status = outcome(own_answers)
    assert "sha256" not in status


# Failure


@scenario
def failure(project):
    project.configure(distill={"temperature": -1})
    failed = project.dvc("repro", check=False)
    kept = project.is_as_committed("dvc.lock", "metrics/")
    project.configure()
    return failed, kept, project.ran("repro"), project.files()


class TestFailure:
    def test_stops_the_run(self, outcome):
        process, *_ = outcome(failure)
        assert process.returncode != 0
        assert re.search("^error: params.yaml: distill.temperature", process.stderr, re.MULTILINE)

    def test_loses_no_metrics(self, outcome):
        _, kept, *_ = outcome(failure)
        assert kept

    def test_is_undone_without_training(self, outcome, project):
        *_, ran, restored = outcome(failure)
        assert ran == []
        assert restored == project.files()


BROKEN = {".dvc/tmp/rwlock": "Unable to read RWLock-file", "dvc.lock": "'./dvc.lock' validation failed"}


@scenario
def emptied(project):
    """What a kill in the midst of DVC's own writing leaves of a run that nobody has committed; then it is mended."""
    project.configure(distill={"temperature": 3})
    project.dvc("repro")
    done, said = project.files(), {}
    for path in BROKEN:
        content = (project.folder / path).read_bytes()
        (project.folder / path).write_bytes(b"")
        said[path] = project.dvc("repro", "--force", check=False)
        (project.folder / path).write_bytes(content)
    for path in BROKEN:
        (project.folder / path).write_bytes(b"")
    for line in MENDING:
        project.run(*line.split())
    return said, project.ran("repro"), project.files() == done


MENDING = (
    re.search(r"every command of DVC fails.*?```sh\n(.*?)```", TROUBLESHOOTING, re.DOTALL).group(1).split("\n")[:-1]
)


class TestKilledDvc:
    @pytest.mark.parametrize("path", BROKEN)
    def test_is_stuck_with_the_words_of_the_documentation(self, outcome, path):
        said, *_ = outcome(emptied)
        assert said[path].returncode != 0
        assert BROKEN[path] in said[path].stderr
        assert BROKEN[path] in TROUBLESHOOTING

    @pytest.mark.skipif(os.name == "nt", reason="commands of a shell")
    def test_is_mended_by_its_two_commands_without_training_again(self, outcome):
        _, ran, same = outcome(emptied)
        assert len(MENDING) == 2
        assert set(ran) <= {"evaluate"}  # whose metrics are in no cache
        assert same


# What leaves


@scenario
def ten_lines(project):
    """(what the path from `dvc repro` to a class says in docs/deployment.md, its output, what `predict` says)."""
    project.configure(prepare={"dataset": "digits", "max_samples": 400}, student={"epochs": 20})
    page = (ROOT / "docs/deployment.md").read_text("utf-8")
    text = re.search(r"<!-- ten lines -->\n```sh\n(.*?)```", page, re.DOTALL).group(1)
    process = project.run("bash", "-e", "-c", text)
    row = re.search(r"echo ([\d,]+) ", text).group(1)
    header = ",".join(f"pixel_{k // 8}_{k % 8}" for k in range(64))
    (project.folder / "rows.csv").write_text(f"{header}\n{row}\n", "utf-8")
    project.python("-m", "kdlib", "predict", "models/deployed/int.npz", "rows.csv")
    with open(project.folder / "predictions.csv", encoding="utf-8") as file:
        return text, process.stdout, list(csv.DictReader(file))


@pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("cc")),
    reason="no bash and C compiler (apt-get install bash gcc libc6-dev)",
)
def test_ten_lines_print_the_class_of_a_row(outcome):
    text, said, predicted = outcome(ten_lines)
    assert len(text.splitlines()) == 10
    assert said.splitlines()[-1] == predicted[0]["class"] == "0"


# Without DVC, and elsewhere


@scenario
def one_process(project):
    """(files, results): of `python -m stages` in an empty folder with the same params.yaml."""
    folder = project.folder / "elsewhere"
    folder.mkdir()
    shutil.copy(project.folder / "params.yaml", folder)
    elsewhere = Project(folder, project.environment | {"PYTHONPATH": str(project.folder)})
    elsewhere.python("-m", "stages", "--config", "params.yaml", "--output", "results.json")
    return files(folder)


class TestOneProcess:
    def test_writes_the_same_files_as_dvc(self, outcome, project):
        written = {path: content for path, content in outcome(one_process).items()}
        assert {path: written.get(path) for path in project.files()} == project.files()

    def test_writes_nothing_else(self, outcome, project):
        assert outcome(one_process).keys() - project.files().keys() == {"params.yaml", "results.json"}

    def test_results_are_the_metrics(self, outcome):
        written = outcome(one_process)
        assert written["results.json"] == written["metrics/details.json"]


@scenario
def another(project):
    """A folder with its own params.yaml and its own dvc.yaml, which runs two of the stages."""
    folder = project.folder / "experiments" / "another"
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(quick(seed=1)), "utf-8")
    stages = {stage: dict(DVC_YAML["stages"][stage]) for stage in ("prepare", "train_baseline")}
    for stage in stages.values():
        stage["deps"] = [f"../../{path}" if path.startswith(("kdlib", "stages")) else path for path in stage["deps"]]
    stages["prepare"]["deps"].remove("data/raw")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), "utf-8")
    there = Project(project.folder, project.environment | {"PYTHONPATH": str(project.folder)})
    return there.ran("repro", "experiments/another/dvc.yaml"), project.files(), files(folder)


class TestAnotherFolder:
    def test_runs_its_own_stages(self, outcome):
        ran, _, _ = outcome(another)
        assert ran == [f"experiments/another/dvc.yaml:{stage}" for stage in ("prepare", "train_baseline")]

    def test_writes_there_alone(self, outcome, project):
        _, here, there = outcome(another)
        assert here == project.files()
        assert {"data/dataset.npz", "models/baseline.npz"} <= there.keys()

    def test_follows_its_own_params(self, outcome):
        _, here, there = outcome(another)
        assert here["data/dataset.npz"] != there["data/dataset.npz"]


HELP = {("stages",): ["--config", "--output", "params.yaml", "data/", "models/", "metrics/"]}
HELP |= {(f"stages.{stage}",): ["--config", outputs(stage)[0]] for stage in STAGES}
HELP |= {("kdlib",): ["latency", "new", "page", "predict"], ("kdlib", "latency"): ["FILE", "--batch"]}
HELP |= {("kdlib", "new"): ["FOLDER", "dvc.yaml", "params.yaml", "stages/"]}
HELP |= {("kdlib", "predict"): ["models/deployed/float.npz", ".parquet", "--output"]}


@scenario
def helped(project):
    return {command: project.python("-m", *command, "--help") for command in HELP}


@pytest.mark.parametrize("command", HELP, ids=" ".join)
def test_help_tells_what_is_read_and_written(outcome, command):
    process = outcome(helped)[command]
    assert process.stdout.startswith(f"usage: python -m {command[0]}" if "." not in command[0] else "usage: ")
    assert process.stderr == ""
    assert [word for word in HELP[command] if word not in process.stdout] == []


# params.yaml


def keys_of(model):
    """{key: type} of the parameters, with dots; sections left out."""
    keys = {}
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            keys |= {f"{name}.{key}": kind for key, kind in keys_of(field.annotation).items()}
        else:
            keys[name] = field.annotation
    return keys


def lines_of(node, prefix=""):
    """{key: line number} of a YAML mapping, with dots; sections left out."""
    lines = {}
    for key, value in node.value:
        name = prefix + key.value
        lines |= lines_of(value, f"{name}.") if isinstance(value, yaml.MappingNode) else {name: key.start_mark.line}
    return lines


class TestParams:
    text = (ROOT / "params.yaml").read_text("utf-8")

    def test_hold_a_key_once(self):
        lines = lines_of(yaml.compose(self.text))
        assert lines.keys() <= keys_of(Params).keys()
        assert len(set(lines.values())) == len(lines)

    def test_are_valid(self):
        Params.model_validate(yaml.safe_load(self.text))


# What a split tests on is for `evaluate` alone

TRAINED = ("train_teacher", "train_baseline", "distill")


def garbage(dataset, part, split):
    """Other numbers and other labels for one part of a split."""
    rows = dataset.rows(part, split)
    dataset.x[rows] = (100 * np.random.default_rng(0).random(dataset.x[rows].shape)).astype(dataset.x.dtype)
    dataset.y[rows] = (dataset.y[rows] + 1) % len(dataset.class_names)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{(part, split): {(path, name): array}}: the models' arrays, trained with garbage there; None: with none."""
    folder, before, result = tmp_path_factory.mktemp("poisoned"), Path.cwd(), {}
    recipe = {"epochs": 8, "patience": 1}
    swept = {"temperature": [1.0, 4.0], "alpha": [0.5, 1.0]}
    params = quick_params(prepare={"splits": 3}, teacher=recipe, student=recipe, distill=swept)
    for where in (None, *((part, split) for part in SUBSETS for split in range(3))):
        (folder / str(where)).mkdir()
        os.chdir(folder / str(where))
        try:
            MAINS["prepare"](params)
            dataset = Dataset.load("data/dataset.npz")
            if where:
                garbage(dataset, *where)
            dataset.save("data/dataset.npz")
            for stage in TRAINED:
                MAINS[stage](params)
            result[where] = {
                (path, name): array
                for stage in TRAINED
                for path in outputs(stage)
                for name, array in read_npz(path).items()
                if name not in ("dataset_digest", "teacher_digest", "recipe")
            }
            result[where]["rows"] = dataset.rows("test", where[1] if where else 0)
        finally:
            os.chdir(before)
    return result


def of_split(arrays, split, but=()):
    """{(path, name): bytes} of what belongs to a split, without the rows `but` of its logits."""
    result = {}
    for key, array in arrays.items():
        if key != "rows" and len(array) % 3 == 0 and array.ndim > 1:
            own = np.split(array, 3)[split]
            result[key] = (np.delete(own, but, axis=1) if key[1] == "logits" else own).tobytes()
    return result


class TestSplits:
    @pytest.mark.parametrize("split", range(3))
    def test_training_does_not_read_what_its_split_tests_on(self, models, split):
        clean, poisoned = models[None], models["test", split]
        but = poisoned["rows"]
        assert of_split(clean, split, but) == of_split(poisoned, split, but)
        others = [other for other in range(3) if other != split]
        assert all(of_split(clean, other) != of_split(poisoned, other) for other in others)

    @pytest.mark.parametrize("split", range(3))
    def test_its_validation_rows_decide_when_to_stop_and_what_is_chosen(self, models, split):
        clean, poisoned = of_split(models[None], split), of_split(models["validation", split], split)
        differs = {key for key in clean if clean[key] != poisoned[key]}
        assert {("models/student.npz", "weights_0"), ("models/student.npz", "sweep_loss")} <= differs

    @pytest.mark.parametrize("split", range(3))
    def test_its_training_rows_are_what_is_learnt(self, models, split):
        clean, poisoned = of_split(models[None], split), of_split(models["train", split], split)
        assert all(clean[key] != poisoned[key] for key in clean if key[1].startswith("weights"))
