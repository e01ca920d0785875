"""Where a step of SGD with momentum spends its time: `python -m benchmarks.profile`. Writes benchmarks/profile.md.

With numba the products are within the compiled passes, so they are timed alone, in turn with the runs. Where an epoch
is a few calls, these are in the column of forward and backward.
"""

import importlib.util
import itertools
import time
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks.systems import Limit
from benchmarks.workloads import PURPOSE, SEED, Workload, digits, mnist
from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.backends.context import Context
from kdlib.io.artifacts import write_text
from kdlib.learning.backpropagation import Backpropagation
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.optimizer_base import Optimizer
from kdlib.learning.steps import CompiledSteps
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams

RESULTS = Path(__file__).resolve().parent / "profile.md"
PARTS = ("products", "forward", "backward", "loss", "update")
ROUNDS = 5  # of which the median is shown, after one to warm up
INSTALLS = ("numpy", "numba") if importlib.util.find_spec("numba") else ("numpy",)
HEAD = (
    "| network | arithmetic | kernels | µs a step | products | rest of forward, backward | loss's gradient |"
    " update, snapping | the rest |\n| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def timed(function, part, times):
    """`function`, which adds its seconds to times[part]."""

    def wrapper(*arguments, **options):
        start = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            times[part] += time.perf_counter() - start

    return wrapper


def profile(workload, arithmetic, kernels):
    """{part: µs a step} and the "total" of training on the workload."""
    objective, times = CrossEntropy(workload.one_hot, arithmetic), dict.fromkeys(PARTS, 0.0)
    places = [(Backpropagation, "forward", "forward"), (Backpropagation, "backward", "backward")]
    places.append((CompiledSteps, "__call__", "forward"))
    places.append((Optimizer, "step", "update"))
    places.append((CrossEntropy, "gradient", "loss"))
    patches = [mock.patch.object(owner, name, timed(getattr(owner, name), part, times)) for owner, name, part in places]
    if kernels == "numpy":
        patches.append(mock.patch.object(np, "matmul", timed(np.matmul, "products", times)))
    validation = workload.x[:8], workload.one_hot[:8]
    for patch in patches:
        patch.start()
    try:
        start = time.perf_counter()
        train(workload.x, objective, workload.recipe, validation, Streams(SEED, PURPOSE), context=Context(kernels))
        times["total"] = time.perf_counter() - start
    finally:
        mock.patch.stopall()
    if kernels == "numba":
        timed(Limit(workload, np.float32).run, "products", times)(workload)
    return {part: 1e6 * seconds / workload.steps for part, seconds in times.items()}


def main():
    x, labels = digits()
    workloads = [Workload((128,), 32, "sgd", 20, x, labels)]
    for hidden, n, epochs in (((256, 256), 60000, 1), ((1200, 1200), 12800, 4)):
        x, labels, _ = mnist(n)
        workloads.append(Workload(hidden, 128, "sgd", epochs, x, labels))
    lines = [HEAD]
    for workload in workloads:
        for arithmetic, kernels in itertools.product((FAST, EXACT), INSTALLS):
            runs = [profile(workload, arithmetic, kernels) for _ in range(ROUNDS + 1)][1:]
            t = sorted(runs, key=lambda run: run["total"])[ROUNDS // 2]
            around = t["forward"] + t["backward"] - t["products"]
            rest = t["total"] - t["forward"] - t["backward"] - t["loss"] - t["update"]
            cells = (t["total"], t["products"], around, t["loss"], t["update"], rest)
            name = f"{'-'.join(map(str, workload.sizes))} | {arithmetic.name} | {kernels}"
            lines.append(f"| {name} | " + " | ".join(f"{cell:,.0f}" for cell in cells) + " |")
    print("\n".join(lines))
    write_text(RESULTS, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
