"""The kinds of comparison: each returns one entry of results.json, which `benchmarks.report` makes a table of."""

import functools
import sys

import numpy as np

from benchmarks import memory
from benchmarks.inference import INFERENCE, SIZES, check
from benchmarks.rivals import UnavailableError
from benchmarks.rounds import summary, times

ACCURACY_ON = 1000


def log(text):
    print(text, file=sys.stderr, flush=True)


def constructed(factories, argument, warm_up):
    """({name: system}, {name: reason}): each is made and warmed up, or left out with a reason."""
    systems, skipped = {}, {}
    for name, make in factories.items():
        try:
            system = make(argument)
            warm_up(system)
            systems[name] = system
        except UnavailableError as error:
            skipped[name] = str(error)
        except Exception as error:
            if name != "PyTorch compiled":  # its compiler raises a dozen kinds where its tools are missing
                raise
            skipped[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return systems, skipped


def training(title, workload, factories, rounds):
    """Time per step of each system, and its accuracy on the first 1,000 training examples as a check of its work."""
    log(title)
    short = workload.warm_up()
    systems, skipped = constructed(factories, workload, lambda system: system.run(short))
    runs = {name: functools.partial(system.run, workload) for name, system in systems.items()}
    resets = {name: system.reset for name, system in systems.items() if hasattr(system, "reset")}
    seconds = times(runs, rounds, resets)
    x, labels = workload.x[:ACCURACY_ON], workload.labels[:ACCURACY_ON]
    trained = {name: system for name, system in systems.items() if hasattr(system, "logits")}
    accuracy = {name: float(np.mean(system.logits(x).argmax(axis=1) == labels)) for name, system in trained.items()}
    title = f"{title}; {workload.steps:,} steps, {rounds} rounds"
    entry = {"kind": "compared", "title": title, "unit": "step", "skipped": skipped, "accuracy": accuracy}
    return entry | {"systems": summary(seconds, workload.steps), "seconds": seconds}


def scaling(title, by, workloads, factories, rounds):
    """Time per step by size. workloads, factories: {size: ...}."""
    entries = {n: training(f"{title}: {n:,}", workloads[n], factories[n], rounds) for n in workloads}
    sizes = {
        str(n): {name: row["microseconds"] for name, row in entry["systems"].items()} for n, entry in entries.items()
    }
    skipped = next(iter(entries.values()))["skipped"]
    return {
        "kind": "scaling", "title": f"{title}; {rounds} rounds", "by": by, "unit": "step", "sizes": sizes,
        "skipped": skipped,
    }  # fmt: skip


def inference(title, rows, calls, rounds):
    """Time per call with a batch of `rows` examples, after a check that all systems give the same probabilities."""
    log(title)
    x = np.random.default_rng(0).random((rows, SIZES[0]), dtype=np.float32)
    systems, skipped = constructed(INFERENCE, x, lambda system: system.run())
    check([system.run() for system in systems.values()])

    def repeat(system):
        for _ in range(calls):
            system.run()

    seconds = times({name: functools.partial(repeat, system) for name, system in systems.items()}, rounds)
    title = f"{title}; {calls:,} calls, {rounds} rounds"
    entry = {"kind": "compared", "title": title, "unit": "call", "skipped": skipped}
    return entry | {"systems": summary(seconds, calls), "seconds": seconds}


def peak_memory(title, hidden, n, names):
    """Each system in a process of its own."""
    log(title)
    systems, skipped = {}, {}
    for name in names:
        try:
            systems[name] = memory.measure_apart(name, hidden, n)
        except UnavailableError as error:
            skipped[name] = str(error)
    return {"kind": "memory", "title": title, "systems": systems, "skipped": skipped}
