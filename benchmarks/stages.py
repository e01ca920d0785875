"""Run `dvc repro` and time its stages: python -m benchmarks.stages experiments/hinton2015/dvc.yaml [TARGET ...]

Writes times.json beside the dvc.yaml: seconds of each stage and the largest memory of a process, in bytes. A stage that
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
from kdlib.artifacts import write_json


def run(command, seen):
    """Run it, with its output shown, and call `seen(stage)` as each begins. Returns its exit code."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            match = re.match(r"Running stage '(?:.*:)?(.+)':", line)
            if match:
                seen(match[1])
    return process.returncode


def main(arguments):
    path = Path(arguments.pipeline).with_name("times.json")
    result = json.loads(path.read_text("utf-8")) if path.exists() else {"stages": {}}
    starts = []
    targets = [f"{arguments.pipeline}:{target}" for target in arguments.targets] or [arguments.pipeline]
    command = [sys.executable, "-m", "dvc", "repro", *targets]
    code = run(command, lambda stage: starts.append((stage, time.monotonic())))
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
    parser.add_argument("pipeline", metavar="DVC_YAML")
    parser.add_argument("targets", metavar="TARGET", nargs="*", help="a stage; all, if none is named")
    sys.exit(main(parser.parse_args()))
