"""Integer students, and what runs them: functions of (folder, DeployedModel, rows) to classes and integer logits.

A result is (n, 1 + classes) int32: the class, or -1, and the logits.
"""

import functools
import importlib.util
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from kdlib.backends.arithmetic import EXACT
from kdlib.deployment.c_source import c_source
from kdlib.deployment.model_file import DeployedModel, ModelCard
from kdlib.deployment.onnx_export import onnx_file
from kdlib.deployment.quantization import quantize_stack
from kdlib.io.artifacts import write_text
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams
from kdlib.preparation import sources
from kdlib.preparation.build import build_dataset

C = Path(__file__).with_name("c")
MNIST = Path(__file__).parents[3] / "shared/data/mnist.npz"
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1"]


def trained(source, hidden=(32,), epochs=3):
    """(Dataset, Network) of a few epochs on a source of `kdlib.preparation`."""
    dataset = build_dataset(sources.load_examples(source, None), 0, 1, 0.8, 0.1, None, "auto", 1.0)
    rows, held_out = dataset.labeled(), dataset.rows("validation")
    recipe = Recipe(hidden, epochs, learning_rate=0.1, batch_size=64)
    validation = dataset.inputs(held_out), dataset.one_hot(held_out)
    objective = CrossEntropy(dataset.one_hot(rows), EXACT)
    return dataset, train(dataset.scaled(rows), objective, recipe, validation, Streams(0, "student"))[0]


def student(dataset, network, bits):
    """`DeployedModel` with weights of so many bits."""
    names = dataset.class_names, dataset.feature_names, list(dataset.image_shape), dataset.encoding
    card = ModelCard(*names, dataset.digest, "", {}, {}, 0, 0)
    return DeployedModel.of(quantize_stack(network, dataset, 0, bits)[0], card, dataset)


def extremes(x):
    """Rows that saturate, by a little and by far; zeros; and ties between two integers."""
    features, far = x.shape[1], np.finfo(np.float64).max
    values = [0.0, -0.0, far, -far, 1e300, 5e-324, 1e-310, x.max(), x.min(), x.max() + 1, x.min() - 1]
    rows = [np.full(features, value) for value in values]
    rows += [np.where(np.arange(features) % 2, a, b) for a, b in ((far, -far), (x.max(), x.min()))]
    return np.stack(rows)


def halves(deployed):
    """Rows whose scaled inputs times 2^input_exponent are near and on k + 1/2, for all k from -130 to 260."""
    ks = np.arange(-130, 260)[:, None] + 0.5 + np.array([-(2.0**-40), 0, 2.0**-40])
    inputs = np.ldexp(np.resize(ks.ravel(), (40, deployed.network.sizes[0])), -deployed.network.input_exponent)
    return inputs / deployed.scale + deployed.offset


@functools.cache
def cases():
    """{name: (DeployedModel, rows (n, features) float64)}. Of MNIST, where it is, its 10,000 test images."""
    found = {}
    sets = {"digits": ("digits", (32,), (8, 4, 2)), "breast cancer": ("breast_cancer", (20, 15), (8, 4))}
    sets["iris"] = "iris", (), (8,)
    if MNIST.exists():
        sets["MNIST"] = str(MNIST), (32,), (8,)
    for name, (source, hidden, sizes) in sets.items():
        dataset, network = trained(source, hidden, epochs=1 if name == "MNIST" else 3)
        rows = (dataset.x[dataset.rows("test")] if name == "MNIST" else dataset.x).astype(np.float64)
        for bits in sizes:
            made = student(dataset, network, bits)
            whole = np.concatenate([rows, extremes(rows), halves(made)])
            found[f"{name}, {bits} bits"] = made, whole
    return found


def numpy(folder, deployed, rows):
    sums = np.ldexp(deployed.logits(rows), deployed.network.logit_exponent)
    return np.concatenate([np.argmax(sums, axis=1)[:, None], sums], axis=1).astype(np.int32)


def onnx_runtime(folder, deployed, rows, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx_file(deployed), options, providers=["CPUExecutionProvider"])
    label, logits = session.run(["label", "logits"], {"rows": rows})
    classes = [deployed.card.classes.index(name) for name in label]
    sums = np.ldexp(logits, deployed.network.logit_exponent)
    assert (sums == np.rint(sums)).all()
    return np.concatenate([np.array(classes)[:, None], sums], axis=1).astype(np.int32)


def compiled(folder, deployed, rows, compiler, sources=("rows.c",), emulator=()):
    """compiler: a command with its options. sources: of `c/`. emulator: a command that runs the program."""
    write_text(folder / "student.h", c_source(deployed))
    (folder / "rows.bin").write_bytes(rows.astype("<f8").tobytes())
    program = [*compiler, f"-I{folder}", *(str(C / name) for name in sources), "-o", "program"]
    for command in (program, [*emulator, "./program"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return np.fromfile(folder / "sums.bin", "<i4").reshape(len(rows), -1)


CORTEX_M3 = ["arm-none-eabi-gcc", "-mcpu=cortex-m3", "-mthumb", "-Os",
             "-Wl,--section-start=.vectors=0", "--specs=rdimon.specs", *WARNINGS]  # fmt: skip
BOARD = ["qemu-system-arm", "-M", "mps2-an385", "-nographic", "-semihosting-config", "enable=on,target=native",
         "-kernel"]  # fmt: skip


@functools.cache
def runners():
    """{name: (function, commands and packages that it needs)}."""
    found, machine = {"NumPy": (numpy, [])}, platform.machine().replace("x86_64", "x86-64")
    for threads in (1, 4):
        run = functools.partial(onnx_runtime, threads=threads)
        found[f"ONNX Runtime, threads: {threads}"] = run, ["onnxruntime"]
    for compiler in ("gcc", "clang"):
        for options in (["-O0"], ["-O3", "-march=native"], SANITIZERS):
            name = "ASan, UBSan" if options is SANITIZERS else " ".join(options)
            run = functools.partial(compiled, compiler=[compiler, *WARNINGS, *options])
            found[f"{compiler} {name}, {machine}"] = run, [compiler]
    arm64 = ["aarch64-linux-gnu-gcc", "-O3", "-static", *WARNINGS]
    qemu = next(filter(shutil.which, ("qemu-aarch64-static", "qemu-aarch64")), "qemu-aarch64")
    run = functools.partial(compiled, compiler=arm64, emulator=[qemu])
    found["gcc -O3, arm64 by qemu-aarch64"] = run, [arm64[0], qemu]
    run = functools.partial(compiled, compiler=CORTEX_M3, sources=("rows.c", "cortex_m3.c"), emulator=BOARD)
    found["gcc -Os, Cortex-M3 by qemu-system-arm"] = run, [CORTEX_M3[0], BOARD[0]]
    return found


INSTALL = {
    "gcc": "apt-get install gcc libc6-dev",
    "clang": "apt-get install clang libclang-rt-dev",
    "aarch64-linux-gnu-gcc": "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "arm-none-eabi-gcc": "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-size": "apt-get install binutils-arm-none-eabi",
    "qemu-aarch64": "apt-get install qemu-user-static",
    "qemu-system-arm": "apt-get install qemu-system-arm",
    "onnxruntime": "pip install onnxruntime",
}


def skip_without(*needs):
    """Skip the test where one of the commands and packages is missing."""
    for name in missing(needs):
        pytest.skip(f"no {name} here ({INSTALL[name]})")


def missing(needs):
    """Those of the commands and packages that this machine lacks."""
    return [name for name in needs if shutil.which(name) is None and importlib.util.find_spec(name) is None]
