"""A sweep as a stack against a queue of runs: `python -m benchmarks.sweep` writes benchmarks/sweep.md.

600 students of the digits: 5 temperatures x 4 alphas x 3 rates x 10 splits, in a clone whose teacher and baseline are
trained. As a stack it is one `dvc exp run`; through the queue, with a worker for each of two cores, one for each of the
60 settings, of which the first SAMPLE are run and their time is taken by 60 / SAMPLE.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.report import table
from benchmarks.workloads import ROOT

SAMPLE = 6
GRID = {
    "distill.temperature": [1, 2, 4, 8, 16],
    "distill.alpha": [0.25, 0.5, 0.75, 1],
    "student.learning_rate": [0.02, 0.05, 0.1],
}
SETTINGS = 60
OUTPUT = Path(__file__).with_name("sweep.md")


def seconds(folder, *arguments):
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def changed(grid):
    return [word for key, value in grid.items() for word in ("-S", f"{key}={value}".replace(" ", ""))]


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        os.environ["DVC_NO_ANALYTICS"] = "1"
        seconds(folder, "exp", "run", "-S", "replicas=1")
        stack = seconds(folder, "exp", "run", "-S", "replicas=1", *changed(GRID))
        for rate in GRID["student.learning_rate"]:
            for alpha in GRID["distill.alpha"][: SAMPLE // 3]:
                one = {"distill.temperature": 2, "distill.alpha": alpha, "student.learning_rate": rate}
                seconds(folder, "exp", "run", "--queue", "-S", "replicas=1", *changed(one))
        queue = seconds(folder, "exp", "run", "--run-all", "--jobs", "2") * SETTINGS / SAMPLE
    rows = [["one stack", f"{stack:.0f}", "1.0"], ["queue", f"{queue:.0f}", f"{queue / stack:.1f}"]]
    about = machine.describe()
    lines = [f"{about['cpu']}, {about['cores']} cores:", "", *table(["600 students", "seconds", "ratio"], rows)]
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    print(OUTPUT.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
