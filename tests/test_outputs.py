"""One process at a time writes an output; what dead ones left is removed, what living ones write never is."""

import os
import signal
import subprocess
import sys
import time

import pytest
import yaml
from conftest import ROOT, files, quick

from kdlib.io import atomic
from kdlib.io.artifacts import read_npz, write_text
from kdlib.io.atomic import atomic_write, file_lock
from kdlib.io.errors import UserError

HOLDS = """
import sys, time
from kdlib.io.atomic import atomic_write, file_lock
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
