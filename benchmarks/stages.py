"""Run `dvc repro` and time its stages: python -m benchmarks.stages experiments/hinton2015 [STAGE ...]

Writes times.json into that folder: seconds of each stage and the largest memory of a process, in bytes. A stage that
DVC skips keeps the time that it had there.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import machine
from kdlib.io.artifacts import write_json


def run(command, folder, seen):
    """Run it in `folder`, with its output shown, and call `seen(stage)` as each begins. Returns its exit code."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    options = {"cwd": folder, "env": environment, "stdout": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    with subprocess.Popen(command, **options) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            match = re.match(r"Running stage '(.+)':", line)
            if match:
                seen(match[1])
    return process.returncode


def main(arguments):
    path = Path(arguments.folder) / "times.json"
    result = json.loads(path.read_text("utf-8")) if path.exists() else {"stages": {}}
    starts = []
    command = [sys.executable, "-m", "dvc", "repro", *arguments.stages]
    code = run(command, arguments.folder, lambda stage: starts.append((stage, time.monotonic())))
    ends = [start for _, start in starts[1:]] + [time.monotonic()]
    finished = list(zip(starts, ends, strict=True))[: None if code == 0 else -1]
    result["stages"] |= {stage: round(end - start, 1) for (stage, start), end in finished}
    result["machine"] = machine.describe()
    try:
        import resource

        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        result["peak_bytes"] = max(used, result.get("peak_bytes", 0))
    except ImportError:
        pass
    write_json(path, result)
    return code


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="with a dvc.yaml")
    parser.add_argument("stages", metavar="STAGE", nargs="*", help="all, if none is named")
    sys.exit(main(parser.parse_args()))
