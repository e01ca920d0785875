"""One process at a time writes an output; what dead ones left is removed, what living ones write never is."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from kdlib.io import atomic
from kdlib.io.artifacts import read_npz, write_text
from kdlib.io.atomic import atomic_write, file_lock, replacing_folder
from kdlib.io.errors import UserError
from tests.conftest import ROOT, files, quick

HOLDS = """
import sys, time
from kdlib.io.atomic import file_lock, atomic_write, replacing_folder
with file_lock(sys.argv[1]), atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    """A process that has begun to write `out`."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, tmp_path / "out"], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_what_another_process_writes_is_refused_and_not_touched(tmp_path, held):
    before = files(tmp_path)
    assert len(before) == 2
    with pytest.raises(UserError, match=rf"out: the process {held.pid} is writing it"):
        write_text(tmp_path / "out", "mine")
    assert files(tmp_path) == before


def test_what_a_dead_process_wrote_is_removed(tmp_path, held):
    held.kill()
    held.wait()
    assert len(files(tmp_path)) == 2
    write_text(tmp_path / "out", "mine")
    assert files(tmp_path) == {"out": b"mine"}


def test_the_temporary_files_of_other_outputs_are_left(tmp_path, held):
    before = files(tmp_path)
    for name in ("out.checkpoint", "o", "ut", "*"):
        write_text(tmp_path / name, "mine")
    assert {name: files(tmp_path)[name] for name in before} == before


def test_blocks_of_one_process_are_nested(tmp_path):
    with file_lock(tmp_path / "deep/out"):
        with atomic_write(tmp_path / "deep/out") as file:
            file.write(b"a")
        write_text(tmp_path / "deep/out", "b")
        assert (tmp_path / "deep/.out.lock").exists()
    assert files(tmp_path) == {os.path.join("deep", "out"): b"b"}


def test_it_leaves_no_folder_that_it_made_for_nothing(tmp_path):
    with file_lock(tmp_path / "a/b/out"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_was_removed_meanwhile_is_taken_again(tmp_path, monkeypatch):
    """The process before removed its file between our opening and our locking it."""
    locked = []

    def lock(descriptor):
        if not locked:
            os.unlink(tmp_path / ".out.lock")
        locked.append(descriptor)
        return True

    monkeypatch.setattr(atomic, "_lock", lock)
    with file_lock(tmp_path / "out"):
        assert os.path.samestat(os.fstat(locked[-1]), os.stat(tmp_path / ".out.lock"))
    assert len(locked) == 2


@pytest.mark.skipif(os.name == "nt", reason="locks are part of its file systems")
def test_where_there_are_no_locks_nothing_is_removed(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(atomic.errno.ENOLCK, "no locks")

    (tmp_path / ".out.01234567.tmp").write_text("of somebody")
    monkeypatch.setattr(atomic.fcntl, "flock", unsupported)
    write_text(tmp_path / "out", "mine")
    assert files(tmp_path) == {"out": b"mine", ".out.01234567.tmp": b"of somebody"}


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="needs links")
def test_a_link_in_place_of_the_lock_leads_nowhere(tmp_path):
    (tmp_path / "precious").write_text("content")
    (tmp_path / ".out.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="out"):
        write_text(tmp_path / "out", "mine")
    assert (tmp_path / "precious").read_text() == "content"


# A folder


def new_folder(path, **contents):
    with replacing_folder(path) as folder:
        for name, text in contents.items():
            write_text(folder / name, text)


def test_a_folder_replaces_the_one_before(tmp_path):
    new_folder(tmp_path / "deep/out", a="1", b="2")
    new_folder(tmp_path / "deep/out", b="3", a="4", c="5")
    assert files(tmp_path) == {"deep/out/a": b"4", "deep/out/b": b"3", "deep/out/c": b"5"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]


def test_after_an_error_the_folder_is_as_it_was(tmp_path):
    new_folder(tmp_path / "out", a="1")
    with pytest.raises(AttributeError):
        new_folder(tmp_path / "out", a="2", b=None)
    assert files(tmp_path) == {"out/a": b"1"}


def test_an_error_at_the_last_rename_too(tmp_path, monkeypatch):
    new_folder(tmp_path / "out", a="1")
    replace = os.replace

    def refused(source, target):
        if str(source).endswith(".tmp") and target == tmp_path / "out" and not calls:
            calls.append(source)
            raise PermissionError(13, "Permission denied", str(source))
        replace(source, target)

    calls = []
    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(PermissionError):
        new_folder(tmp_path / "out", a="2")
    assert calls
    assert files(tmp_path) == {"out/a": b"1"}


def test_an_error_of_a_file_names_its_place_in_the_folder(tmp_path, monkeypatch):
    def full(file, content):
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(sys.modules[__name__], "write_text", full)
    with pytest.raises(OSError, match="No space") as refused:
        new_folder(tmp_path / "out", a="1")
    assert refused.value.filename == str(tmp_path / "out" / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: (path / "mine").mkdir(parents=True), "out: holds mine, which would be lost"),
        (lambda path: path.write_text("mine"), "out: not a folder"),
    ],
    ids=["another folder", "a file"],
)
def test_a_folder_replaces_nothing_that_it_does_not_hold(tmp_path, make, words):
    make(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=words):
        new_folder(tmp_path / "out", a="1")
    assert sorted(tmp_path.rglob("*")) == before


HALF = """
import os, sys
from kdlib.io import atomic
from kdlib.io.artifacts import write_text
left = [int(sys.argv[2])]

def dying(call):
    def counted(*arguments):
        if not left[0]:
            os._exit(9)
        left[0] -= 1
        return call(*arguments)
    return counted

os.replace = dying(os.replace)
with atomic.replacing_folder(sys.argv[1]) as folder:
    write_text(folder / "a", "new")
    write_text(folder / "b", "new")
"""


def test_a_kill_leaves_the_folder_whole_or_absent(tmp_path):
    """Before each rename: of two files, of the old folder, of the new one; and after the last."""
    states = []
    for calls in range(5):
        new_folder(tmp_path / "out", a="old", b="old")
        process = subprocess.run(
            [sys.executable, "-c", HALF, tmp_path / "out", str(calls)], env=os.environ | {"PYTHONPATH": str(ROOT)}
        )
        assert process.returncode == (9 if calls < 4 else 0)
        states.append({path: content.decode() for path, content in files(tmp_path).items() if path.startswith("out/")})
    old = {"out/a": "old", "out/b": "old"}
    assert states == [old, old, old, {}, {"out/a": "new", "out/b": "new"}]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def stages_in(folder, *arguments):
    command = [sys.executable, "-m", "stages", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_of_two_runs_in_a_folder_one_ends_and_the_other_says_why(tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(quick(checkpoint=1)), "utf-8")
    runs = [stages_in(tmp_path, "--set", f"seed={seed}") for seed in (1, 2)]
    errors = [run.communicate()[1] for run in runs]
    codes = [run.returncode for run in runs]
    assert 0 in codes
    if 1 in codes:  # a machine may be so slow that one had ended before the other began
        assert "is writing it" in errors[codes.index(1)]
        assert errors[codes.index(1)].count("\n") == 1
        winner = codes.index(0) + 1
        recipe = yaml.safe_load(str(read_npz(tmp_path / "models/student.npz")["recipe"]))
        assert recipe["seed"] == winner
    assert [path for path in files(tmp_path) if path.endswith((".lock", ".tmp", ".checkpoint"))] == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_leaves_nothing_for_good(tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(quick(checkpoint=1, teacher={"epochs": 2000})), "utf-8")
    run = stages_in(tmp_path)
    while run.poll() is None and not list(tmp_path.glob("models/teacher.npz.checkpoint")):
        time.sleep(0.01)
    run.kill()
    run.communicate()
    (tmp_path / "models/.teacher.npz.checkpoint.01234567.tmp").write_text("half")
    run = stages_in(tmp_path, "--set", "teacher.epochs=3")
    assert "not resumed" in run.communicate()[1]
    assert run.returncode == 0
    assert [path for path in files(tmp_path) if path.endswith((".lock", ".tmp", ".checkpoint"))] == []
