"""Compiled kernels that are kept in files: found again, never trusted when damaged, never in the way."""

import dataclasses
import os
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kdlib.backends import code_folder, context
from kdlib.backends.code_folder import rule_digest
from kdlib.backends.context import COMPILE_SECONDS, LOAD_SECONDS, SAVED_SECONDS, Context, Workload
from kdlib.backends.numpy_backend import NUMPY
from kdlib.backends.threads import Threads
from kdlib.learning.optimizers import adam_rule, sgd_rule
from tests.conftest import ROOT

RULE = sgd_rule(False, False)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder of kept code, an empty one."""
    pytest.importorskip("numba", reason="no numba (pip install numba scipy)")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    code_folder.folder.cache_clear()
    yield code_folder.folder()
    code_folder.folder.cache_clear()


def plus_one(x):
    return x + 1


def times_two(x):
    return x * 2


def compilations(function=plus_one):
    """How often a function is compiled by a process that calls it."""
    from kdlib.backends.numba_backend.kept import keep
    from kdlib.backends.numba_backend.scalars import jit

    compiled = keep(jit(function))
    assert compiled(3) == function(3)
    assert sum(compiled.stats.cache_hits.values()) + sum(compiled.stats.cache_misses.values()) == 1
    return sum(compiled.stats.cache_misses.values())


def test_what_is_kept_is_compiled_once(kept):
    assert [compilations(), compilations(), compilations(times_two)] == [1, 0, 1]
    assert len(list(kept.iterdir())) == 2


class Bomb:
    def __reduce__(self):
        return os.abort, ()


def damaged(kept):
    """{kind of damage: content of a file}, of the function `plus_one`."""
    (path,) = kept.iterdir()
    whole = path.read_bytes()
    compilations(times_two)
    (other,) = set(kept.iterdir()) - {path}
    return path, {
        "empty": b"",
        "short": whole[:7],
        "cut": whole[:-1],
        "longer": whole + b"\0",
        "a bit": whole[:99] + bytes([whole[99] ^ 1]) + whole[100:],
        "another function": other.read_bytes(),
        "code": pickle.dumps(Bomb()),
        "code behind a digest": whole[:32] + pickle.dumps(Bomb()),
    }


def test_a_damaged_file_is_not_opened_but_made_anew(kept):
    compilations()
    path, contents = damaged(kept)
    for name, content in contents.items():
        path.write_bytes(content)
        assert [compilations(), compilations()] == [1, 0], name


def test_what_cannot_be_loaded_is_compiled(kept):
    compilations()
    (path,) = kept.iterdir()
    for content in (pickle.dumps(None), pickle.dumps(("of", "another", "numba")), b"no pickle"):
        code_folder.write(path.name, content)
        assert [compilations(), compilations()] == [1, 0]


posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such bits")


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_a_file_that_others_may_write_is_not_loaded(kept, mode):
    compilations()
    (path,) = kept.iterdir()
    path.chmod(mode)
    assert [compilations(), compilations()] == [1, 0]


@posix
def test_a_link_is_not_followed(kept, tmp_path):
    compilations()
    (path,) = kept.iterdir()
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert [compilations(), compilations()] == [1, 0]
    assert not path.is_symlink()


@posix
@pytest.mark.parametrize("which", ["folder", "above", "two above"])
@pytest.mark.parametrize("change", ["group", "others", "link", "owner", "file"])
def test_a_folder_that_is_not_the_users_own_is_not_used(kept, tmp_path, monkeypatch, which, change):
    path = {"folder": kept, "above": kept.parent, "two above": kept.parent.parent}[which]
    if change in ("group", "others"):
        path.chmod(0o770 if change == "group" else 0o707)
    elif change == "owner":
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    else:
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere") if change == "link" else path.write_bytes(b"")
    code_folder.folder.cache_clear()
    assert code_folder.folder() is None
    assert [compilations(), compilations()] == [1, 1]


def test_without_a_place_nothing_is_kept(kept, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    code_folder.folder.cache_clear()
    assert [compilations(), compilations()] == [1, 1]


@pytest.mark.parametrize(
    ("system", "variables", "expected"),
    [
        ("linux", {"NUMBA_CACHE_DIR": "/n", "XDG_CACHE_HOME": "/x"}, "/n/kdlib"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/kdlib"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/kdlib"),
        ("linux", {}, "/home/me/.cache/kdlib"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/me/Library/Caches/kdlib"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/kdlib/cache"),
    ],
)
@posix
def test_the_place_is_the_systems(monkeypatch, system, variables, expected):
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", system)
    assert code_folder._user_folder().as_posix() == expected


def test_another_source_version_or_option_has_another_folder(kept, tmp_path, monkeypatch):
    source = tmp_path / "source"
    source.mkdir()
    monkeypatch.setattr(code_folder, "SOURCES", [source])
    found = [code_folder._digest_of_environment()]
    (source / "loops.py").write_text("ONE = 1", "utf-8")
    found.append(code_folder._digest_of_environment())
    (source / "loops.py").write_text("ONE = 2", "utf-8")
    found.append(code_folder._digest_of_environment())
    monkeypatch.setenv("NUMBA_OPT", "1")
    found.append(code_folder._digest_of_environment())
    monkeypatch.setattr(code_folder.importlib.metadata, "version", lambda name: "9")
    found.append(code_folder._digest_of_environment())
    assert len(set(found)) == len(found)
    monkeypatch.setenv("NUMBA_CACHE_DIR", "elsewhere")
    assert code_folder._digest_of_environment() == found[-1]


def test_a_folder_that_nobody_used_for_a_month_is_removed(kept):
    old, new = "0" * 32, "a" * 32
    times = {old: time.time() - 31 * 86400, new: time.time() - 29 * 86400, "other": time.time() - 31 * 86400}
    for name, at in times.items():
        (kept.parent / name).mkdir()
        (kept.parent / name / "file").write_bytes(b"")
        os.utime(kept.parent / name, (at, at))
    code_folder.folder.cache_clear()
    code_folder.folder()
    assert {path.name for path in kept.parent.iterdir()} == {new, "other", kept.name}


def test_rules_are_told_apart():
    rules = [sgd_rule(*two) for two in np.ndindex(2, 2)] + [adam_rule(*two) for two in np.ndindex(2, 2)]
    digests = [rule_digest(rule) for rule in rules]
    assert None not in digests
    assert len(set(digests)) == 8


def test_a_rule_that_depends_on_what_no_digest_sees_is_not_kept():
    array = np.ones(1)
    assert rule_digest(lambda p, g, v, rate: (p - rate * array[0], v)) is None
    assert rule_digest(lambda p, g, v, rate: (p - plus_one(rate), v)) is None
    assert rule_digest(eval("lambda p, g, v, rate: (p, v)")) is None
    assert rule_digest(lambda p, g, v, rate: (p - np.sqrt(rate), v)) is not None


def test_auto_takes_numba_sooner_where_its_code_is_kept(kept, monkeypatch):
    monkeypatch.setattr(context, "_numba", lambda: lambda threads: "numba")
    monkeypatch.setattr(context, "_agreed", {})

    def chosen(saved, rule=RULE, bounded=False, layers=2, exact=True, found=""):
        context._agreed.clear()
        arithmetic = "exact" if exact else "fast"
        steps = round(saved / SAVED_SECONDS[arithmetic][0])
        work = Workload(rule, bounded, layers, steps, 0, arithmetic)
        return Context().backend(Threads(), work, lambda backend: found)

    between = (LOAD_SECONDS + COMPILE_SECONDS) / 2
    assert chosen(between) is NUMPY
    assert chosen(2 * COMPILE_SECONDS, found="parameters") is NUMPY
    assert chosen(between) is NUMPY
    assert chosen(2 * COMPILE_SECONDS) == "numba"
    assert chosen(between) == "numba"
    assert chosen(LOAD_SECONDS / 2) is NUMPY
    assert chosen(between, exact=False) is NUMPY
    assert chosen(2 * COMPILE_SECONDS, exact=False) == "numba"
    context._agreed[RULE, False, 2] = False
    work = Workload(RULE, False, 2, 10**9, 0, "exact")
    assert not Context().wants_numba(work)
    assert Context().wants_numba(dataclasses.replace(work, layers=3))
    foreign = eval("lambda p, g, v, rate, momentum, decay: (p, v)")
    assert chosen(2 * COMPILE_SECONDS, foreign) == "numba"
    for other in ({"rule": foreign}, {"rule": sgd_rule(True, False)}, {"bounded": True}, {"layers": 3}):
        assert chosen(between, **other) is NUMPY


PROCESS = """
import numpy as np
from numba.core import event
from kdlib.backends.numba_backend.calls import NumbaBackend
from kdlib.backends.threads import Threads
from kdlib.learning.backend_check import differences
from kdlib.learning.recipe import Recipe
from kdlib.numerics.grids import Grid

class Count(event.Listener):
    found = 0
    def on_start(self, happened):
        self.found += 1
    def on_end(self, happened):
        pass

count = Count()
event.register("numba:compile", count)
backend = NumbaBackend(Threads())
if {whole}:
    assert differences(backend, Recipe({recipe})) == ""
else:
    out = np.empty((2, 3), np.float32)
    unit = backend.operand(np.full((2, 3), 0.3, np.float32), Grid(8), out)
    assert (unit > 0).all() and (abs(out - 0.3) < 0.01).all(), (out, unit)
print(count.found)
"""


def started(whole=False, recipe=""):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = PROCESS.format(whole=whole, recipe=recipe)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def counted(process):
    found = int(process.communicate(timeout=300)[0])
    assert process.returncode == 0
    return found


@pytest.mark.slow
def test_processes_at_once_do_not_harm_each_other(kept):
    assert all(counted(process) > 0 for process in [started() for _ in range(3)])
    assert [path.name.split("-")[0] for path in kept.iterdir()] == ["snap_rows"]
    assert [counted(process) for process in [started() for _ in range(3)]] == [0, 0, 0]


def listed():
    return {path for path in Path(ROOT, "kdlib").rglob("*") if "__pycache__" not in path.parts or path.suffix != ".pyc"}


@pytest.mark.slow
def test_the_second_process_compiles_nothing_at_all(kept):
    """Nor does another rule of the same shape take the code of the first; nothing is written beside the sources."""
    before = listed()
    plain, nesterov = "optimizer='sgd'", "optimizer='sgd', nesterov=True, max_norm=0.7"
    assert counted(started(True, plain)) > 0
    assert counted(started(True, plain)) == 0
    assert counted(started(True, nesterov)) > 0
    assert counted(started(True, nesterov)) == counted(started(True, plain)) == 0
    assert listed() == before
