"""Kills of stages at any moment, at each call that changes a file, and in the midst of writing; two runs at once."""

import os
import signal
import subprocess
import sys
import time
from itertools import chain

from tests.fuzz.forks import Fork, filling, killing
from tests.fuzz.ground import ROOT, STAGES, copy, files, stage
from tests.fuzz.passing import Ending, fault_of_kill, fault_of_race

CHANGES = ("--set", "student.epochs=4", "--set", "teacher.epochs=4", "--set", "distill.alpha=0.5")
UNCHANGED = ("deploy", "evaluate")  # by other parameters; their files go, or stay as they are


class Kill:
    """One way to kill a stage, whose outputs are other files, or none, before it."""

    def __init__(self, way):
        self.way, self._whole = way, {}

    def _known(self, ground, name):
        """(files after a whole run, its seconds, how many of its calls may change a file)."""
        if name not in self._whole:
            with copy(ground.base) as folder:
                count, run = [0], stage(name, *self._arguments(name))
                start = time.monotonic()
                process = Fork(lambda: (run(), print("calls", *count)), folder, killing(-1, False, count))
                ending = process.end()
                ground.check(ending)
                seconds = time.monotonic() - start
                self._whole[name] = files(folder), seconds, int(ending.out.split()[-1])
        return self._whole[name]

    @staticmethod
    def _arguments(name):
        return () if name in UNCHANGED else CHANGES

    def fault(self, ground, random):
        """(what is wrong or None, the `Ending` of the run after the kill)."""
        name = random.choice(list(STAGES))
        expected, seconds, calls = self._known(ground, name)
        with copy(ground.base) as folder:
            if random.random() < 0.5:
                for path in STAGES[name]:
                    (folder / path).unlink()
            before = files(folder)
            run = stage(name, *self._arguments(name))
            if self.way == "process":
                killed = _killed_process(name, self._arguments(name), folder, random.uniform(0, 1.5))
            elif self.way == "moment":
                killed = Fork(run, folder).kill_after(random.uniform(0, 1.2 * seconds)).end()
            elif self.way == "call":
                kill = killing(random.randrange(calls), random.random() < 0.5, [0])
                killed = Fork(run, folder, kill).end()
            else:
                killed = Fork(run, folder, filling(int(10 ** random.uniform(0, 5)))).end()
            torn = files(folder)
            ending = Fork(run, folder).end()
            return fault_of_kill(killed, before, torn, ending, files(folder), expected), ending


def _killed_process(name, arguments, folder, seconds):
    """The command that a user types, killed by SIGKILL."""
    command = [sys.executable, "-m", f"stages.{name}", *arguments]
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return Ending(process.wait(seconds), "", "", 0)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        return Ending(process.wait(), "", "", 0)


class Race:
    """Two whole runs at once in one folder, with other seeds."""

    @staticmethod
    def fault(ground, random):
        with copy(ground.base) as folder:
            for path in chain.from_iterable(STAGES.values()):
                (folder / path).unlink()
            runs = []
            for seed in (1, 2):
                runs.append(Fork(stage("stages", "--set", f"seed={seed}"), folder))
                time.sleep(random.choice((0, random.uniform(0, 0.02), random.uniform(0, 3))))
            endings = [run.end() for run in runs]
            fault = fault_of_race(endings, files(folder), [ground.races[1], ground.races[2]])
            return fault, max(endings, key=lambda ending: ending.code)


KILLS = {
    "a kill: at any moment": Kill("moment"),
    "a kill: before or after a call that changes a file": Kill("call"),
    "a kill: in the midst of a file": Kill("size"),
    "a kill: of the command as a user types it": Kill("process"),
    "two runs at once": Race(),
}
