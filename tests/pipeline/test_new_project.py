"""`python -m kdlib new FOLDER`: a DVC project of one's own, without a clone."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import kdlib
from kdlib.io.errors import UserError
from kdlib.pipeline import new_project
from kdlib.pipeline.command_line import run_stage, stage_parser
from kdlib.pipeline.new_project import CODE_FILE, check_code_file, write_project
from tests.conftest import DVC_YAML, MAINS, ROOT, Project, files, outputs, quick

SHARED = {
    path.relative_to(ROOT).as_posix(): path.read_bytes()
    for path in (
        *(ROOT / name for name in (".dvcignore", ".gitignore", "docs/parameters.md", "params.yaml")),
        *ROOT.glob("stages/*.py"),
    )
}
OWN = {CODE_FILE, "README.md", "data/raw/.gitkeep", "dvc.yaml", "requirements.txt"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """{path: bytes} of a new project with the name `demo`."""
    folder = tmp_path_factory.mktemp("new") / "demo"
    write_project(folder)
    return files(folder)


def test_it_has_the_stages_and_the_parameters_of_this_repository(written):
    assert {path: content for path, content in written.items() if path not in OWN} == SHARED
    assert {f"stages/{stage}.py" for stage in MAINS} <= written.keys()


def test_it_has_nothing_else(written):
    assert written.keys() == SHARED.keys() | OWN
    assert written["data/raw/.gitkeep"] == b""


def test_its_stages_differ_from_the_repositorys_only_in_what_stands_for_the_code(written):
    stages = yaml.safe_load(written["dvc.yaml"])["stages"]
    assert list(stages) == list(MAINS)
    for name, stage in stages.items():
        ours = DVC_YAML["stages"][name]
        assert {key: stage[key] for key in stage if key not in ("deps", "params")} == {
            key: ours[key] for key in ours if key not in ("deps", "params")
        }
        assert stage["deps"] == [path for path in ours["deps"] if not re.match("kdlib(/|$)", path)]
        assert f"stages/{name}.py" in stage["deps"]
        assert stage["params"] == [*ours["params"], {CODE_FILE: ["BYTES"]}]


def test_the_number_and_the_version_are_the_librarys(written):
    assert yaml.safe_load(written[CODE_FILE]) == {"BYTES": kdlib.BYTES}
    assert written["requirements.txt"].decode() == f"kdlib[pipeline]=={kdlib.__version__}\n"


def test_its_readme_has_its_name_and_what_to_type(written):
    text = written["README.md"].decode()
    assert text.startswith("# demo\n")
    assert "git init && dvc init && dvc repro" in text
    assert "dvc exp run -S prepare.dataset=data/raw/my.csv -S prepare.target=label" in text
    assert len(text.splitlines()) <= 15


# What is refused


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "empty").mkdir()
    write_project(tmp_path / "empty")
    assert "dvc.yaml" in files(tmp_path / "empty")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    with pytest.raises(UserError, match=r"holds params\.yaml; needs a new folder or an empty one"):
        write_project(tmp_path)
    assert files(tmp_path) == {"params.yaml": b"seed: 1\n"}


def test_a_file_is_left_as_it_is(tmp_path):
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(UserError, match="demo: not a folder"):
        write_project(tmp_path / "demo")
    assert files(tmp_path) == {"demo": b"mine"}


@pytest.mark.parametrize("name", [".", ""])
def test_the_folder_that_one_is_in_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^\.: the folder that you are in; needs the name of a new one"):
        write_project(name)
    assert files(tmp_path) == {}


def test_after_an_error_nothing_is_there(tmp_path, monkeypatch):
    """Files are written one after another; the disk is full before the last."""
    write = Path.write_bytes

    def full(path, content):
        if path.name == "train_teacher.py":
            raise OSError(28, "No space left on device", str(path))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        write_project(tmp_path / "a/demo")
    assert list(tmp_path.iterdir()) == []


def test_the_command_writes_it_or_ends_in_one_line(tmp_path):
    def new(folder):
        command = [sys.executable, "-m", "kdlib", "new", folder]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    process = new("demo")
    assert process.stdout == "demo: a DVC project, see its README.md; there: git init && dvc init && dvc repro\n"
    assert (process.returncode, process.stderr) == (0, "")
    before = files(tmp_path)
    process = new("demo")
    line = "error: demo: holds .dvcignore; needs a new folder or an empty one\n"
    assert (process.returncode, process.stdout, process.stderr) == (1, "", line)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("command", "missing", "line"),
    [
        (["new", "demo"], "yaml", "error: new: needs yaml: pip install 'kdlib[pipeline]'\n"),
        (["page"], "pydantic", "error: page: needs pydantic: pip install 'kdlib[pipeline]'\n"),
        (
            ["page"],
            "stages",
            "error: page: no stages/ here; run it in a folder of `python -m kdlib new`, or in a clone\n",
        ),
    ],
    ids=["new", "page", "page elsewhere"],
)
def test_a_command_that_lacks_something_ends_in_one_line(command, missing, line, tmp_path):
    code = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = {command}; import kdlib.__main__ as m; m.main()"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert (process.returncode, process.stderr) == (1, line)
    assert files(tmp_path) == {}


# What stands for the code


def test_a_stage_runs_with_the_number_of_the_library_alone(written, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(quick()), "utf-8")
    Path(CODE_FILE).write_bytes(written[CODE_FILE])
    arguments = stage_parser("a stage").parse_args([])
    assert run_stage(lambda *_: "ran", arguments) == "ran"
    monkeypatch.setattr(kdlib, "BYTES", kdlib.BYTES + 1)
    with pytest.raises(SystemExit):
        run_stage(lambda *_: "ran", arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {CODE_FILE}: BYTES is {kdlib.BYTES - 1}, and that of the installed kdlib")
    assert f"set BYTES: {kdlib.BYTES} there" in line
    Path(CODE_FILE).unlink()
    assert run_stage(lambda *_: "ran", arguments) == "ran"


@pytest.mark.parametrize("text", ["", "BYTES: one", "BYTES: true", "- BYTES", "BYTES: [", "VERSION: 1"])
def test_a_file_without_the_number_is_refused(text, tmp_path):
    (tmp_path / CODE_FILE).write_text(text)
    with pytest.raises(UserError, match=f"{CODE_FILE}: (needs the line BYTES: {kdlib.BYTES}|not YAML)"):
        check_code_file(tmp_path / CODE_FILE)


# From a wheel, without a clone


def test_what_the_wheel_gets_is_what_a_project_gets():
    text = (new_project.TEMPLATE / "build_wheel.py").read_text("utf-8")
    (listed,) = re.findall(r"^FILES = \[(.*)\]$", text, re.MULTILINE)
    found = {path.relative_to(ROOT).as_posix() for name in re.findall('"(.*?)"', listed) for path in ROOT.glob(name)}
    assert found == SHARED.keys() | {"dvc.yaml"}


def packages_of(wheel):
    return {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist() if ".dist-info" not in name}


@pytest.fixture(scope="module")
def wheel(project, tmp_path_factory):
    """Path of a wheel that is built in a clone."""
    pytest.importorskip("setuptools", "77", reason="no setuptools of 77 or later (pip install -U setuptools)")
    clone = project.copy(tmp_path_factory.mktemp("source") / "clone")
    folder = tmp_path_factory.mktemp("wheel")
    for path, content in SHARED.items():
        (clone.folder / path).write_bytes(content)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder)]
    clone.python("-m", "pip", "wheel", *options, ".")
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def elsewhere(wheel, project, tmp_path_factory):
    """A `Project` in an empty folder, whose Python has the wheel's kdlib, and beside it what is installed here."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False)
    place = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", vars=place))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # Folders that a .pth file names have no .pth files of their own: no editable kdlib.
    here = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "beside.pth").write_text("".join(f"{path}\n" for path in here), "utf-8")
    scripts = sysconfig.get_path("scripts", vars=place)
    found = dict(project.environment)
    found["PATH"] = os.pathsep.join([scripts, found["PATH"]])
    result = Project(tmp_path_factory.mktemp("elsewhere"), found)
    result.run("python", "-c", f"import kdlib; assert kdlib.__file__.startswith({str(packages)!r}), kdlib.__file__")
    return result


@pytest.fixture(scope="module")
def demo(elsewhere):
    """A new project that ran what its README says, with small networks; `output` is what `dvc repro` printed."""
    elsewhere.run("python", "-m", "kdlib", "new", "demo")
    result = Project(elsewhere.folder / "demo", elsewhere.environment)
    assert {path: (result.folder / path).read_bytes() for path in SHARED} == SHARED
    text = (result.folder / "params.yaml").read_text("utf-8")
    for key, value in {"epochs": 3, "splits": 2, "members": 2, "replicas": 1}.items():
        text = re.sub(rf"^( *{key}:) +\d+", rf"\1 {value}", text, flags=re.MULTILINE)
    (result.folder / "params.yaml").write_text(text, "utf-8")
    result.run("git", "init", "--quiet", "--initial-branch", "main")
    result.run("python", "-m", "dvc", "init", "--quiet")
    result.output = result.run("python", "-m", "dvc", "repro").stdout
    return result


@pytest.mark.slow
def test_the_wheel_has_kdlib_alone(wheel):
    assert packages_of(wheel) == {"kdlib"}


@pytest.mark.slow
def test_without_a_clone_a_new_project_runs_to_the_table(demo):
    assert re.findall(r"^Running stage '(.+)':$", demo.output, re.MULTILINE) == list(MAINS)
    assert "student - baseline" in demo.output
    assert all((demo.folder / path).exists() for stage in MAINS for path in outputs(stage))
    assert "up to date" in demo.run("python", "-m", "dvc", "status").stdout


@pytest.mark.slow
def test_git_takes_the_sources_and_the_metrics_of_it(demo):
    listed = set(demo.run("git", "ls-files", "--others", "--cached", "--exclude-standard").stdout.splitlines())
    metrics = {path for path in outputs("evaluate") if path.startswith("metrics/")}
    assert listed == SHARED.keys() | OWN | metrics | {"dvc.lock", ".dvc/.gitignore", ".dvc/config"}


@pytest.mark.slow
def test_a_csv_of_ones_own_runs_by_the_line_of_the_readme(demo):
    (line,) = re.findall("`(dvc exp run .*?)`", (demo.folder / "README.md").read_text("utf-8"))
    rows = [f"{k % 7},{k % 11 + 20 * (k % 3)},{'abc'[k % 3]}" for k in range(150)]
    (demo.folder / "data/raw/my.csv").write_text("\n".join(["width,height,label", *rows]) + "\n")
    demo.run("git", "add", ".")
    demo.run("git", "commit", "--quiet", "--message", "A project")
    output = demo.run("python", "-m", *line.split()).stdout
    assert "student - baseline" in output
    params = yaml.safe_load((demo.folder / "params.yaml").read_text("utf-8"))
    assert (params["prepare"]["dataset"], params["prepare"]["target"]) == ("data/raw/my.csv", "label")
    assert "up to date" in demo.run("python", "-m", "dvc", "status").stdout


@pytest.mark.slow
def test_another_number_runs_all_stages_again_and_the_wrong_one_none(demo):
    text = (demo.folder / CODE_FILE).read_text("utf-8")
    (demo.folder / CODE_FILE).write_text(text.replace(f"BYTES: {kdlib.BYTES}", "BYTES: 999"), "utf-8")
    process = demo.run("python", "-m", "dvc", "repro", check=False)
    (demo.folder / CODE_FILE).write_text(text, "utf-8")
    assert process.returncode != 0
    assert f"error: {CODE_FILE}: BYTES is 999" in process.stderr
    assert re.findall(r"^Running stage '(.+)':$", process.stdout, re.MULTILINE) == ["prepare"]
