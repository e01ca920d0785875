"""An audit finds what is not what the committed parameters, code and data give."""

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from kdlib.io.errors import UserError
from kdlib.pipeline import audit
from kdlib.pipeline.lockfile import read_locked_hashes
from tests.conftest import DVC_YAML, MAINS, Project, outputs

CACHED = [path for stage in MAINS for path in outputs(stage) if not path.startswith("metrics/") or "html" in path]
TABLE = "data/raw/table.csv"
OUTPUTS = {path: stage for stage in MAINS for path in outputs(stage)} | {TABLE: f"{TABLE}.dvc"}
SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


@pytest.fixture(scope="module")
def audited(project, tmp_path_factory):
    """audited(scenario): (process, rows {output: (stage, here, lock, held, mark)}) of an audit after it, in a clone.

    A folder is the clone's remote, and all is pushed before the scenario, a table of raw data among it.
    """
    folder = tmp_path_factory.mktemp("audits")
    shared = project.copy(folder / "pushed")
    (shared.folder / TABLE).write_text("size,kind\n1,p\n2,q\n", "utf-8")
    shared.dvc("add", TABLE)
    shared.dvc("repro")
    shared.dvc("remote", "add", "--default", "storage", "../storage")
    shared.commit()
    shared.dvc("push")

    def run(function):
        own = folder / function.__name__
        clone = shared.copy(own / "project")
        shutil.copytree(folder / "storage", own / "storage")
        arguments = function(clone) or ()
        before = clone.run("git", "status", "--porcelain", "--ignored").stdout
        process = clone.python("-m", "kdlib.pipeline.audit", *arguments, check=False)
        assert clone.run("git", "status", "--porcelain", "--ignored").stdout == before
        rows = [re.split(r" {2,}", line) for line in process.stdout.splitlines()[1:] if "  " in line]
        return process, {path: (stage, *rest) for stage, path, *rest in rows}

    pool = ThreadPoolExecutor(2)
    futures = {function: pool.submit(run, function) for function in SCENARIOS}
    yield lambda function: futures[function].result()
    pool.shutdown(cancel_futures=True)


def last(process):
    return process.stderr.splitlines()[-1]


def stored(project, path):
    """The file in the clone's remote that has the bytes of an output."""
    known = read_locked_hashes(project.folder)[0]
    (md5,) = [md5 for (_, output), md5 in known.items() if output == path]
    return project.folder.parent / "storage/files/md5" / md5[:2] / md5[2:]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


@scenario
def untouched(project):
    """Without a cache, which an audit has no need of."""
    shutil.rmtree(project.folder / ".dvc/cache")


class TestUntouched:
    def test_ends_well(self, audited):
        process, _ = audited(untouched)
        assert process.returncode == 0, process.stderr
        assert process.stdout.splitlines()[-1] == f"{len(OUTPUTS)} outputs, all equal"

    def test_every_output_has_one_hash_in_three_places(self, audited):
        _, rows = audited(untouched)
        assert {path: stage for path, (stage, *_) in rows.items()} == OUTPUTS
        assert [path for path, (_, here, lock, held) in rows.items() if not here == lock == held] == []
        assert min(len(here) for _, here, *_ in rows.values()) >= 12

    def test_its_progress_is_beside_the_table(self, audited):
        process, _ = audited(untouched)
        assert [stage for stage in MAINS if f"Running stage '{stage}'" not in process.stderr] == []
        assert "Running" not in process.stdout


@scenario
def flipped(project):
    flip(stored(project, "models/teacher.npz"))


def test_a_flipped_byte_in_the_remote_is_found(audited):
    process, rows = audited(flipped)
    assert process.returncode == 1
    assert last(process).startswith("error: models/teacher.npz of train_teacher: here ")
    _, here, lock, held, mark = rows.pop("models/teacher.npz")
    assert (here == lock, here == held, mark) == (True, False, "differs")
    assert all(len(set(hashes)) == 1 for _, *hashes in rows.values())


@scenario
def tampered(project):
    """The remote lacks a file and has other raw data; a better accuracy is committed, with its hash in dvc.lock."""
    stored(project, "models/deployed").unlink()
    flip(stored(project, TABLE))
    path, lock = project.folder / "metrics/metrics.json", project.folder / "dvc.lock"
    (old,) = [
        md5 for (_, output), md5 in read_locked_hashes(project.folder)[0].items() if output == "metrics/metrics.json"
    ]
    path.write_text(re.sub(r'("student_accuracy": )[\d.]+', r"\g<1>1.0", path.read_text("utf-8")), "utf-8")
    project.dvc("commit", "--force", "evaluate")
    assert old not in lock.read_text("utf-8")
    project.commit()


class TestTampered:
    def test_a_metric_edited_by_hand_is_found_though_dvc_has_nothing_to_say(self, audited):
        process, rows = audited(tampered)
        assert process.returncode == 1
        _, here, lock, held, mark = rows["metrics/metrics.json"]
        assert (here == lock, lock == held, mark) == (False, True, "differs")

    def test_what_the_remote_lacks_is_found(self, audited):
        _, rows = audited(tampered)
        _, here, lock, held, mark = rows["models/deployed"]
        assert (here == lock, held, mark) == (True, "absent", "differs")

    def test_raw_data_are_compared_too(self, audited):
        _, rows = audited(tampered)
        _, here, lock, held, mark = rows[TABLE]
        assert (here == lock, lock == held, mark) == (True, False, "differs")

    def test_the_line_names_the_first_and_counts_the_rest(self, audited):
        process, rows = audited(tampered)
        differing = [path for path, row in rows.items() if row[-1] == "differs"]
        assert last(process).startswith(f"error: {differing[0]} of {rows[differing[0]][0]}: here ")
        assert len(differing) == 3
        assert last(process).endswith(f"(and {len(differing) - 1} more)")


@scenario
def stale(project):
    """Without a remote, and with other parameters than dvc.lock has."""
    project.dvc("remote", "remove", "storage")
    project.configure(deploy={"bits": 4})
    project.commit()


def test_a_lock_of_other_parameters_is_told_from_a_wrong_one(audited):
    process, rows = audited(stale)
    assert process.returncode == 1
    assert last(process).startswith("error: dvc.lock: deploy ran with another params.yaml: deploy than is here")
    found = {path: [cell for cell in row if cell != "differs"] for path, row in rows.items()}
    assert {path for path, row in found.items() if len(row) == 3} == {*CACHED, TABLE}  # with no cell of a remote


def test_what_is_in_no_remote_is_not_said_to_be_equal_there(monkeypatch, capsys):
    monkeypatch.setattr(
        audit, "compare", lambda remote: ({("a", "x"): ("1", "1", "1"), ("a", "y"): ("2", "2", "")}, [])
    )
    audit.audit()
    assert capsys.readouterr().out.splitlines()[-1] == "2 outputs, all equal; 1 in no remote, as none is set"


@scenario
def not_committed(project):
    (project.folder / "metrics/summary.csv").write_text("edited\n", "utf-8")


@scenario
def unknown_remote(project):
    return ["--remote", "nowhere"]


@pytest.mark.parametrize(
    ("function", "line"),
    [
        (not_committed, "error: metrics/summary.csv: not as committed; "),
        (unknown_remote, "error: remote nowhere: cannot be read "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_it_ends_in_one_line(audited, function, line):
    process, rows = audited(function)
    assert (process.returncode, rows) == (1, {})
    assert last(process).startswith(line)
    assert "Traceback" not in process.stderr


def test_a_project_in_a_folder_of_another_is_refused(project):
    installed = Project(project.folder, project.environment | {"PYTHONPATH": str(project.folder)})
    process = installed.python("-m", "kdlib.pipeline.audit", cwd="experiments/hinton2015", check=False)
    assert (process.returncode, process.stdout) == (1, "")
    assert last(process).startswith("error: experiments/hinton2015/: a folder in a git repository; ")


def test_its_help_tells_what_it_does(project):
    process = project.python("-m", "kdlib.pipeline.audit", "--help")
    assert [word for word in ("--remote", "dvc.lock", "data/raw/", "Exit code 0") if word not in process.stdout] == []
    assert process.stderr == ""


# What dvc.lock says is not believed


def written(folder, content):
    (folder / "dvc.lock").write_text(yaml.safe_dump(content), "utf-8")
    return folder


def lock_of(path):
    return {"schema": "2.0", "stages": {"evil": {"cmd": "true", "outs": [{"path": path, "md5": "0" * 32}]}}}


@pytest.mark.parametrize("path", ["../elsewhere", "/etc/passwd", ".", "a/../../b", "link/file"])
def test_an_output_outside_of_the_project_is_refused(tmp_path, path):
    folder = tmp_path / "project"
    folder.mkdir()
    if path.startswith("link"):
        try:
            os.symlink(tmp_path, folder / "link")
        except OSError:
            pytest.skip("no symbolic links here")
    with pytest.raises(UserError, match=r"dvc\.lock: evil has the output .* not in this project"):
        read_locked_hashes(written(folder, lock_of(path)))


@pytest.mark.parametrize(
    "content", [None, [], {"stages": 1}, {"stages": {"a": []}}, {"stages": {"a": {"outs": [{"path": "x"}]}}}, "a: b"]
)
def test_what_is_no_lock_is_refused_in_a_line(tmp_path, content):
    with pytest.raises(UserError, match=r"dvc\.lock: not as DVC writes it"):
        read_locked_hashes(written(tmp_path, content))


def test_without_a_lock_there_is_nothing_to_audit(tmp_path):
    with pytest.raises(UserError, match=r"dvc\.lock: not in the commit"):
        read_locked_hashes(tmp_path)


def test_of_a_lock_every_output_is_read(project):
    found, inputs = read_locked_hashes(project.folder)
    assert sorted(found) == sorted((stage, path) for stage in MAINS for path in outputs(stage))
    depended = {(stage, path) for stage in MAINS for path in DVC_YAML["stages"][stage]["deps"]}
    assert depended <= inputs.keys()
