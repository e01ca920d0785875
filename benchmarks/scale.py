"""More rows than memory: `python -m benchmarks.scale FOLDER` writes benchmarks/scale.md and scale.svg.

For each of `--gigabytes` (default: 1 2 5 10 20) random images of 28 x 28 bytes in ten classes are written to FOLDER as
`.npy`, and prepare, train_teacher, train_baseline, distill and evaluate run on them, each a process whose anonymous
memory the system limits to `--limit` (1.5 GB): RLIMIT_DATA, which counts what a process may write to, and no file that
it maps to read. Nothing else is limited: the system may cache the files, and takes that memory back when it needs it.

Told of each process: its seconds, and at most resident, sampled: anonymous memory (RssAnon) and all (VmHWM), with the
mapped pages; and what `benchmarks.mapped` tells. Twice the gigabytes have to be free on the disk.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml

from benchmarks import machine
from benchmarks.mapped import BATCH, STUDENT
from benchmarks.report import table
from benchmarks.workloads import ROOT
from kdlib.reporting.svg_axes import Panel, document

STAGES = ("prepare", "train_teacher", "train_baseline", "distill", "evaluate")
SHAPE, CLASSES, CHUNK_ROWS = (28, 28), 10, 1 << 16
TEACHER = (64,)
SAMPLED = 0.02  # s between looks at a process
OUTPUT = Path(__file__).with_suffix(".md")
COLORS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00")


def make(folder, gigabytes):
    """Write rows.npy (n, 28, 28) uint8 and classes.npy (n,); n, for so many GB. A class is a pattern in noise."""
    n = int(gigabytes * 1e9) // (SHAPE[0] * SHAPE[1])
    raw = folder / "data/raw"
    raw.mkdir(parents=True)
    random = np.random.default_rng(0)
    patterns = random.integers(0, 128, (CLASSES, *SHAPE), dtype=np.uint8)
    rows = np.lib.format.open_memmap(raw / "rows.npy", "w+", np.uint8, (n, *SHAPE))
    classes = random.integers(0, CLASSES, n, dtype=np.uint8)
    for start in range(0, n, CHUNK_ROWS):
        own = classes[start : start + CHUNK_ROWS]
        rows[start : start + CHUNK_ROWS] = random.integers(0, 128, (len(own), *SHAPE), dtype=np.uint8) + patterns[own]
        rows.flush()
    np.save(raw / "classes.npy", classes)
    return n


def configure(folder):
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    content["replicas"] = 1
    content["prepare"] |= {"dataset": "data/raw/rows.npy", "target": "data/raw/classes.npy", "splits": 1}
    shared = {"epochs": 1, "batch_size": BATCH, "dropout": 0.0}
    content["teacher"] |= shared | {"hidden": list(TEACHER), "members": 1, "learning_rate": 0.02}
    content["student"] |= shared | {"hidden": list(STUDENT), "learning_rate": [0.02]}
    (folder / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")


def _status(pid):
    """{name: bytes} of /proc/PID/status."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines())
    return {words[0].rstrip(":"): int(words[1]) << 10 for words in lines if words[-1] == "kB"}


def run(stage, folder, limit):
    """{"seconds", "anonymous", "resident"} (bytes) of a stage in `folder`. Raises RuntimeError if it fails."""
    import resource

    def limited():
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    extra = ["--deployed="] if stage == "evaluate" else []
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command, start = [sys.executable, "-m", f"stages.{stage}", *extra], time.monotonic()
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, preexec_fn=limited)
        found = {"anonymous": 0, "resident": 0}
        while process.poll() is None:
            try:
                status = _status(process.pid)
            except (OSError, IndexError):
                status = {}
            for name, key in (("anonymous", "RssAnon"), ("resident", "VmHWM")):
                found[name] = max(found[name], status.get(key, 0))
            time.sleep(SAMPLED)
    if process.returncode:
        raise RuntimeError(f"{stage}: {(folder / 'log').read_text()[-500:]}")
    return found | {"seconds": time.monotonic() - start}


def measure(folder, gigabytes, limit):
    """A size's {"gigabytes", "rows", "ratio", stage: ...}; all its files are removed."""
    folder = folder / "scale"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if shutil.disk_usage(folder).free < 2.2e9 * gigabytes:
        raise SystemExit(f"{folder}: {gigabytes} GB twice do not fit the disk")
    configure(folder)
    try:
        found = {"gigabytes": gigabytes, "rows": make(folder, gigabytes)}
        for stage in STAGES:
            found[stage] = run(stage, folder, limit)
            print(f"{gigabytes} GB, {stage}: {json.dumps(found[stage])}", flush=True)
        command = [sys.executable, "-m", "benchmarks.mapped", str(folder)]
        told = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        return found | {"ratio": float(told.splitlines()[-1])}
    finally:
        shutil.rmtree(folder)


def report(found, limit):
    about, rows = machine.describe(), []
    for size in found:
        for stage in STAGES:
            of = size[stage]
            rate = size["rows"] * SHAPE[0] * SHAPE[1] / of["seconds"] / 1e6
            memory = [f"{of[key] / 1e6:,.0f}" for key in ("anonymous", "resident")]
            rows.append([f"{size['gigabytes']:g}", f"{size['rows']:,}", stage, f"{of['seconds']:.0f}", f"{rate:.0f}"])
            rows[-1] += memory
    head = ["GB", "rows", "stage", "seconds", "MB of rows a second", "anonymous MB", "resident MB"]
    lines = [
        f"{about['cpu']}, {about['cores']} cores; RLIMIT_DATA {limit / 1e9:g} GB for each process:", "",
        *table(head, rows), "",
        *(f"{size['gigabytes']:g} GB: a step on mapped rows takes {size['ratio']:.2f} times as long as in memory."
          for size in found),
    ]  # fmt: skip
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    most = max(size[stage]["seconds"] for size in found for stage in STAGES)
    panel = Panel("time by rows", "million rows", "s", (0, found[-1]["rows"] / 1e6 * 1.05), (0, most * 1.05))
    for color, stage in zip(COLORS, STAGES, strict=True):
        xs, ys = [size["rows"] / 1e6 for size in found], [size[stage]["seconds"] for size in found]
        panel.line([0, *xs], [0, *ys], color)
        panel.points(xs, ys, color, stage)
    OUTPUT.with_suffix(".svg").write_text(document([panel]), encoding="utf-8", newline="\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 2, 5, 10, 20])
    parser.add_argument("--limit", type=float, default=1.5, help="GB (default: %(default)s)")
    arguments = parser.parse_args()
    limit = int(arguments.limit * 1e9)
    report([measure(arguments.folder, size, limit) for size in arguments.gigabytes], limit)
    print(OUTPUT.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
