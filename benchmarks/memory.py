"""Peak memory of one system in a process of its own: `python -m benchmarks.memory SYSTEM LAYERS EXAMPLES`.

SYSTEM is one of `benchmarks.systems.TRAINING`, which have float32 data, or one of BYTES: kdlib with data as bytes.

Prints JSON: MiB that were resident at most after the imports and the data, and at most in all.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.rivals import UnavailableError
from benchmarks.systems import TRAINING
from benchmarks.workloads import CLASSES, ROOT, Workload
from kdlib.backends.arithmetic import EXACT
from kdlib.backends.context import Context
from kdlib.data.scaled import ScaledRows
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams

FEATURES, BATCH = 784, 128
BYTES = {"kdlib exact, bytes": "numpy", "kdlib exact, bytes, numba": "numba"}


def peak():
    """MiB resident at most so far, of this program alone."""
    try:
        # ru_maxrss starts at the peak of the process that started this one: Linux carries it over exec.
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource  # not on Windows

        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def of_bytes(x, one_hot, hidden, kernels):
    """Train in exact arithmetic on bytes, as the stages do, the last sixth of them as the validation subset."""
    scaling, n = (np.zeros(FEATURES), np.full(FEATURES, 1 / 255)), len(x) * 5 // 6
    rows, rest = (ScaledRows(x, part, *scaling) for part in (np.arange(len(x)), np.arange(n, len(x))))
    train(
        rows,
        CrossEntropy(one_hot, EXACT),
        Recipe(hidden, 1, 0.05, BATCH, schedule="constant"),
        (rest, one_hot[n:]),
        Streams(0, "memory"),
        context=Context(kernels),
    )


def measure(system, hidden, n):
    """{"baseline", "peak"} in MiB, of this process."""
    if system.startswith("PyTorch"):
        import torch  # noqa: F401 - in the baseline
    if system.startswith("scikit"):
        import sklearn.neural_network  # noqa: F401 - in the baseline
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, n)
    if system in BYTES:
        x = generator.integers(0, 256, (n, FEATURES), dtype=np.uint8)
        baseline = peak()
        of_bytes(x, np.eye(CLASSES)[labels], hidden, BYTES[system])
        return {"baseline": baseline, "peak": peak()}
    x = generator.random((n, FEATURES), dtype=np.float32)
    workload = Workload(hidden, BATCH, "sgd", 1, x, labels)
    baseline = peak()
    TRAINING[system](workload).run(workload)
    return {"baseline": baseline, "peak": peak()}


def measure_apart(system, hidden, n):
    """`measure` in a new process. Raises UnavailableError with the reason if it ends with an error."""
    command = [sys.executable, "-m", "benchmarks.memory", system, "-".join(map(str, hidden)), str(n)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode != 0:
        raise UnavailableError((result.stderr.strip() or "no message").splitlines()[-1])
    return json.loads(result.stdout.splitlines()[-1])


if __name__ == "__main__":
    name, layers, examples = sys.argv[1:]
    try:
        print(json.dumps(measure(name, tuple(map(int, layers.split("-"))), int(examples))))
    except UnavailableError as error:
        sys.exit(str(error))
