"""The harness finds what it is to find, and a round of all its attacks passes."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.fuzz.passing import Ending, fault_of_attack, fault_of_kill, fault_of_race

REFUSED = Ending(1, "", "error: params.yaml: seed: got -1\n", 0)
DONE = Ending(0, "a table\n", "12:00:00 WARNING evaluate: a word\n", 0)
OLD, NEW = {"in": b"in", "out": b"old"}, {"in": b"in", "out": b"new"}
A, B = "models/deployed/a", "models/deployed/b"


class TestAttack:
    @pytest.mark.parametrize(
        ("ending", "after", "expected"),
        [
            (REFUSED, OLD, None),
            (REFUSED, OLD | {"out.checkpoint": b""}, None),
            (DONE, NEW, None),
            (DONE, NEW, {"out": b"new"}),
            (DONE, OLD, None),
        ],
    )
    def test_passes(self, ending, after, expected):
        assert fault_of_attack(ending, OLD, after, ["out"], expected) is None

    @pytest.mark.parametrize(
        ("ending", "after", "fault"),
        [
            (Ending(-14, "", "", 0), OLD, "no end after 20 s"),
            (Ending(-11, "", "", 0), OLD, "exit code -11"),
            (Ending(70, "", "Traceback\n", 0), OLD, "exit code 70"),
            (Ending(1, "", "error: a\nerror: b\n", 0), OLD, "2 lines"),
            (Ending(1, "", "Traceback\n", 0), OLD, "1 lines: 'Traceback'"),
            (Ending(1, "", "error: \x1b[31m\n", 0), OLD, "ended with"),
            (Ending(1, "", "error: " + "a" * 300, 0), OLD, "307 characters"),
            (Ending(1, "", "error: out of memory: an array\n", 0), OLD, "memory"),
            (Ending(0, "", "", 2 << 30), NEW, "memory"),
            (Ending(0, "", "RuntimeWarning: overflow\n", 0), NEW, "RuntimeWarning"),
            (REFUSED, NEW, "refused, and changed out"),
            (REFUSED, OLD | {".out.01234567.tmp": b""}, "refused, and changed .out"),
            (DONE, NEW | {"in": b""}, "changed in"),
            (DONE, NEW | {".out.lock": b""}, "changed .out.lock"),
            (DONE, {"in": b"in"}, "wrote no out"),
        ],
    )
    def test_fails(self, ending, after, fault):
        assert fault in fault_of_attack(ending, OLD, after, ["out"])

    def test_another_result_without_a_word(self):
        assert fault_of_attack(DONE, OLD, NEW, ["out"], {"out": b"other"}) == "another out without a word"


KILLED = Ending(-9, "", "", 0)


class TestKill:
    @pytest.mark.parametrize("torn", [OLD, NEW, OLD | {".out.0.tmp": b"", ".out.lock": b"", "out.checkpoint": b""}])
    def test_passes(self, torn):
        assert fault_of_kill(KILLED, OLD, torn, DONE, NEW, NEW) is None

    @pytest.mark.parametrize(
        "torn", [{}, {A: b"old", B: b"old"}, {A: b"new", B: b"new"}, {"models/.deployed.0.tmp/a": b"new"}]
    )
    def test_passes_with_a_folder_that_is_whole_or_absent(self, torn):
        new = NEW | {A: b"new", B: b"new"}
        assert fault_of_kill(KILLED, OLD | {A: b"old", B: b"old"}, NEW | torn, DONE, new, new) is None

    @pytest.mark.parametrize("torn", [{A: b"new"}, {A: b"old"}, {A: b"new", B: b"old"}, {A: b"new", B: b"n"}])
    def test_fails_with_half_a_folder(self, torn):
        new = NEW | {A: b"new", B: b"new"}
        fault = fault_of_kill(KILLED, OLD | {A: b"old", B: b"old"}, NEW | torn, DONE, new, new)
        assert fault == "killed, it left half of models/deployed/"

    @pytest.mark.parametrize(
        ("killed", "torn", "ending", "after", "fault"),
        [
            (KILLED, OLD | {"out": b"n"}, DONE, NEW, "another out"),
            (KILLED, {"in": b"in"}, DONE, NEW, "another out"),
            (KILLED, OLD, REFUSED, OLD, "after a kill: error"),
            (KILLED, OLD, DONE, OLD, "after a kill another out"),
            (KILLED, OLD, DONE, NEW | {".out.0.tmp": b""}, "after a kill another .out.0.tmp"),
            (REFUSED, OLD, DONE, NEW, "was to be killed"),
        ],
    )
    def test_fails(self, killed, torn, ending, after, fault):
        assert fault in fault_of_kill(killed, OLD, torn, ending, after, NEW)


class TestRace:
    @pytest.mark.parametrize(
        ("endings", "after"), [((DONE, REFUSED), OLD), ((REFUSED, DONE), NEW), ((DONE, DONE), NEW)]
    )
    def test_passes(self, endings, after):
        assert fault_of_race(endings, after, [OLD, NEW]) is None

    @pytest.mark.parametrize(
        ("endings", "after"),
        [((DONE, REFUSED), NEW), ((DONE, DONE), {"in": b"in", "out": b"half"}), ((REFUSED, REFUSED), OLD)],
    )
    def test_fails(self, endings, after):
        assert fault_of_race(endings, after, [OLD, NEW]) == "two runs at once left the files of neither"


needs_forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that forks")


def harness(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)


ENDS = """
import os, tempfile, time
os.environ["OPENBLAS_NUM_THREADS"] = "1"
from tests.fuzz import forks, passing
import numpy as np

def traceback():
    raise ValueError("a mistake")

def hangs():
    while True:
        time.sleep(1)

def grows():
    kept = [np.ones(1 << 24) for _ in range(9)]

for function in (traceback, hangs, grows, lambda: None):
    forks.SECONDS = 1 if function is hangs else passing.SECONDS
    print(forks.Fork(function, tempfile.gettempdir()).end().fault())
"""


@needs_forks
def test_a_process_that_ends_otherwise_is_found():
    lines = harness("-c", ENDS).stdout.splitlines()
    assert lines[0] == "exit code 70"
    assert lines[1] == "no end after 20 s"
    assert lines[2] in ("exit code 70", "over 1 GB of memory")  # a MemoryError of the limit, or grown in spite of it
    assert lines[3] == "None"


@pytest.mark.slow
@needs_forks
def test_a_round_of_all_attacks_passes():
    process = harness("-m", "tests.fuzz", "--laps", "1", "--seed", "1")
    assert process.returncode == 0, process.stderr
    rows = [line.split("|")[1:-1] for line in process.stdout.splitlines()[4:]]
    assert all(int(tried) == int(passed) >= 1 for _, tried, passed, _, _ in rows)
    assert len(rows) > 15
