"""What is measured for each entry of benchmarks/results.json: one function for each workload that can be named."""

import subprocess
import sys

from benchmarks import compare
from benchmarks.memory import BYTES
from benchmarks.systems import BUSY, DISTILLATION, STUDENTS, TRAINING, Kdlib, Torch
from benchmarks.workloads import TEACHER, Workload, digits, initial_network, mnist, tiled_digits
from kdlib.backends.arithmetic import EXACT, FAST

OPTIMIZERS = {"sgd": "SGD with momentum 0.9", "adam": "Adam"}
MEASURED = ("kdlib fast", "kdlib exact", "kdlib exact, numba", "scikit-learn", "PyTorch eager")


def _name(hidden, features=784):
    return "-".join(map(str, (features, *hidden, 10)))


def small(quick, rounds):
    x, labels = digits()
    n, epochs = (320, 1) if quick else (len(x), 20)
    for optimizer, text in OPTIMIZERS.items():
        workload = Workload((128,), 32, optimizer, epochs, x[:n], labels[:n])
        title = f"{_name((128,), 64)}, batch 32, digits, {text}"
        yield compare.training(title, workload, _systems(quick and optimizer != "sgd"), rounds)


def _systems(quick):
    return {name: make for name, make in TRAINING.items() if not (quick and name == "PyTorch compiled")}


def _mnist(hidden, n, epochs, quick, rounds):
    x, labels, source = mnist(256 if quick else n)
    for optimizer, text in OPTIMIZERS.items():
        workload = Workload(hidden, 128, optimizer, 1 if quick else epochs, x, labels)
        title = f"{_name(hidden)}, batch 128, {len(x):,} examples of {source}, {text}"
        yield compare.training(title, workload, _systems(quick), rounds)


def medium(quick, rounds):
    return _mnist((256, 256), 60000, 1, quick, rounds)


def large(quick, rounds):
    return _mnist((1200, 1200), 12800, 4, quick, rounds)


def students(quick, rounds):
    x, labels = digits()
    workload = Workload((32,), 32, "sgd", 1 if quick else 20, x, labels)
    title = f"Ten networks at once against one: {_name((32,), 64)}, batch 32, digits, SGD"
    yield compare.training(title, workload, STUDENTS, rounds)


def distillation(quick, rounds):
    x, labels, source = mnist(256 if quick else 12800)
    teacher = initial_network(TEACHER, FAST, "teacher")
    workload = Workload((256, 256), 128, "sgd", 1 if quick else 3, x, labels, teacher)
    title = f"Distillation of an untrained {_name(TEACHER[1:-1])} into {_name((256, 256))}, batch 128, {source}, SGD"
    entry = compare.training(title, workload, DISTILLATION, rounds)
    yield entry | {"accuracy": {}}  # of a teacher that knows nothing


def busy(quick, rounds):
    x, labels, source = mnist(256 if quick else 12800)
    workload = Workload((256, 256), 128, "sgd", 1 if quick else 5, x, labels)
    title = f"Beside a process that keeps one core busy: {_name((256, 256))}, batch 128, {source}, SGD"
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            yield compare.training(title, workload, BUSY, rounds)
        finally:
            other.kill()


def inference(quick, rounds):
    for rows, calls in ((1, 2000), (1024, 50)):
        title = f"Inference of {rows:,} example{'s' * (rows > 1)}, {_name((256, 256))}"
        yield compare.inference(title, rows, 10 if quick else calls, rounds)


def memory(quick, rounds):
    n = 256 if quick else 12800
    for hidden in ((256, 256),) if quick else ((256, 256), (1200, 1200)):
        title = f"Peak memory of training {_name(hidden)}, batch 128, {n:,} examples, SGD"
        yield compare.peak_memory(title, hidden, n, MEASURED)
    n = 256 if quick else 60000
    title = f"Peak memory of training {_name((256, 256))}, batch 128, {n:,} examples of 784 bytes, SGD"
    yield compare.peak_memory(title, (256, 256), n, BYTES)


def examples(quick, rounds):
    workloads = {
        n: Workload((128,), 128, "sgd", 1, *tiled_digits(n)) for n in ((600, 1200) if quick else (6000, 60000, 600000))
    }
    systems = {name: TRAINING[name] for name in MEASURED}
    title = f"Number of examples: {_name((128,), 64)}, batch 128, digits again and again, SGD"
    yield compare.scaling(title, "examples", workloads, dict.fromkeys(workloads, systems), rounds)


def replicas(quick, rounds):
    x, labels = digits()
    workload = Workload((32,), 32, "sgd", 1 if quick else 10, x, labels)
    counts = (1, 2) if quick else (1, 2, 5, 10, 20)

    def systems(count):
        return {
            "kdlib fast": lambda w: Kdlib(w, FAST, replicas=count),
            "kdlib exact": lambda w: Kdlib(w, EXACT, replicas=count),
            "PyTorch eager, one network": Torch,
        }

    title = f"Networks at once: {_name((32,), 64)}, batch 32, digits, SGD"
    yield compare.scaling(
        title, "networks", dict.fromkeys(counts, workload), {count: systems(count) for count in counts}, rounds
    )


WORKLOADS = {
    function.__name__: function
    for function in (small, medium, large, students, distillation, busy, inference, memory, examples, replicas)
}
