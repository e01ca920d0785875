"""What the tests share: a small experiment, trained once in this process, and a clone in which DVC ran it."""

import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from kdlib.pipeline.schema import Params
from stages import STAGES
from tests.clients.chromium import CHROMIUM, Browser

ROOT = Path(__file__).parents[1]
MAINS = {stage: import_module(f"stages.{stage}").main for stage in STAGES}


def quick(**changes):
    """The content of params.yaml with small data and networks. changes: key=value or section={key: value}."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    content["replicas"] = 2
    content["prepare"]["dataset"] = "iris"
    content["prepare"] |= {"splits": 1, "scaling": "minmax"}
    content["teacher"] |= {
        "hidden": [16],
        "epochs": 3,
        "members": 1,
        "batch_size": 32,
        "learning_rate": 0.1,
        "dropout": 0.0,
    }
    content["student"] |= {"hidden": [8], "epochs": 3, "batch_size": 32, "learning_rate": 0.15}
    content["execution"]["workers"] = 1
    content["distill"]["alpha"] = 0.7
    content["logging"] |= {"level": "WARNING", "file": None}
    for key, value in changes.items():
        content[key] = content.get(key, {}) | value if isinstance(value, dict) else value
    return content


def quick_params(**changes):
    return Params.model_validate(quick(**changes))


def files(folder):
    """{path: bytes} of all files below `folder`."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="session", autouse=True)
def _own_compiled_kernels(tmp_path_factory):
    """Keep compiled kernels for these tests alone, also those of the processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A folder in which all stages ran with `quick()`. To be copied, not changed."""
    folder, before = tmp_path_factory.mktemp("trained"), Path.cwd()
    os.chdir(folder)
    try:
        Path("params.yaml").write_text(yaml.safe_dump(quick()), "utf-8")
        for main in MAINS.values():
            main(quick_params())
    finally:
        os.chdir(before)
    return folder


DVC_YAML = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))


def names(entries):
    """Of a list in dvc.yaml whose entries may carry options."""
    return [next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries]


def inputs(stage):
    return names(DVC_YAML["stages"][stage]["deps"])


def outputs(stage):
    return [path for kind in ("metrics", "outs", "plots") for path in names(DVC_YAML["stages"][stage].get(kind, []))]


def readers(path):
    """The stages that read the output `path`, in order."""
    return [stage for stage in STAGES if path in inputs(stage)]


def after(*stages):
    """The stages that read what one of these writes, or what such a reader writes, and so on; in order."""
    found = []
    for stage in STAGES:
        if any(stage in readers(path) for maker in (*stages, *found) for path in outputs(maker)):
            found.append(stage)
    return found


def downstream(*stages):
    """These stages and those `after` them, in order: what `dvc repro --downstream` runs."""
    return [stage for stage in STAGES if stage in (*stages, *after(*stages))]


def between(first, last):
    """The stages on all ways from `first` to `last`, both included, in order."""
    return [stage for stage in downstream(first) if last in downstream(stage)]


FRIGHTENS = re.compile("^error|fail|missing|corrupt|traceback", re.IGNORECASE | re.MULTILINE)


class Project:
    """A clone of this project in `folder`, which runs its own code."""

    def __init__(self, folder, environment):
        self.folder, self.environment = folder, environment

    def run(self, *command, cwd=".", check=True):
        process = subprocess.run(
            command, cwd=self.folder / cwd, env=self.environment, capture_output=True, text=True, encoding="utf-8"
        )
        if check and process.returncode:
            raise AssertionError(f"{command} in {self.folder}: {process.returncode}\n{process.stdout}{process.stderr}")
        return process

    def python(self, *arguments, **options):
        return self.run(sys.executable, *arguments, **options)

    def dvc(self, *arguments, **options):
        return self.python("-m", "dvc", *arguments, **options)

    def ran(self, *arguments):
        """The stages that a `dvc` command ran."""
        return re.findall(r"^Running stage '(.+)':$", self.dvc(*arguments).stdout, re.MULTILINE)

    def configure(self, **changes):
        (self.folder / "params.yaml").write_text(yaml.safe_dump(quick(**changes)), "utf-8")

    def commit(self):
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "a state")

    def is_as_committed(self, *paths):
        return self.run("git", "diff", "--exit-code", "--", *paths, check=False).returncode == 0

    def files(self):
        """{path: bytes} of what the stages wrote."""
        found = {}
        for path in (path for stage in MAINS for path in outputs(stage)):
            of = self.folder / path
            inside = {f"{path}/{name}": content for name, content in files(of).items()}
            found |= inside if of.is_dir() else {path: of.read_bytes()}
        return found

    def remove(self, path):
        """Remove an output, a file or a folder."""
        of = self.folder / path
        shutil.rmtree(of) if of.is_dir() else of.unlink()

    def copy(self, folder):
        return Project(Path(shutil.copytree(self.folder, folder, symlinks=True)), self.environment)


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Variables of a `Project`: this Python comes first, and no settings of git and DVC are the user's."""
    home = tmp_path_factory.mktemp("home")
    found = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "DVC_", "PYTHON"))}
    found["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), found["PATH"]])
    found |= {
        "PYTHONUTF8": "1",
        "DVC_NO_ANALYTICS": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    found |= {f"DVC_{kind}_DIR": str(home) for kind in ("SITE_CACHE", "GLOBAL_CONFIG", "SYSTEM_CONFIG")}
    for role in ("AUTHOR", "COMMITTER"):
        found |= {f"GIT_{role}_NAME": "A Tester", f"GIT_{role}_EMAIL": "tester@example.org"}
    return found


@pytest.fixture(scope="session")
def project(environment, tmp_path_factory):
    """`dvc repro` ran in it and printed `output`; all is committed. To be copied, not changed."""
    folder = tmp_path_factory.mktemp("project")
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for path in filter(None, listing.stdout.split("\0")):
        if (ROOT / path).is_file():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, folder / path)
    result = Project(folder, environment)
    result.configure()
    result.run("git", "init", "--quiet", "--initial-branch", "main")
    result.commit()
    result.output = result.dvc("repro").stdout
    result.commit()
    return result


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A `Browser`, or a skip with a word."""
    if CHROMIUM is None or sys.platform == "win32":
        pytest.skip("no Chromium that speaks over pipes (apt-get install chromium)")
    found = Browser(tmp_path_factory.mktemp("chromium"))
    yield found
    found.close()


@pytest.fixture
def table(tmp_path):
    """table(text or bytes): the path of a CSV."""

    def write(content, name="own.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    return write


@pytest.fixture
def interruptible():
    """SIGINT interrupts this process and those that it starts. A shell starts what runs in the background without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _logging_as_before():
    root = logging.getLogger()
    level = root.level
    yield
    for handler in root.handlers[:]:
        if type(handler) in (logging.StreamHandler, logging.FileHandler):  # pytest's own are subclasses
            root.removeHandler(handler)
            handler.close()
    root.setLevel(level)


ALL = 'pytest -m "slow or not slow"'
SLOW = {"audited", "browser", "outcome"}  # fixtures whose tests are slow


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the tests of SLOW fixtures, before some are left out by their marks."""
    for item in items:
        if SLOW.intersection(item.fixturenames):
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter):
    """Say what to install for the tests that were skipped, and how to run those that are slow."""
    stats = terminalreporter.stats
    if terminalreporter.config.option.collectonly:
        return
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in stats.get("skipped", []))
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped {count}: {reason}")
    slow = sum(item.get_closest_marker("slow") is not None for item in stats.get("deselected", []))
    ran = sum(len(stats.get(outcome, [])) for outcome in ("passed", "failed"))
    left = f"; {slow:,} slow ones are left out, all run by: {ALL}" if slow else ""
    terminalreporter.write_line(f"{ran:,} tests ran{left}")
