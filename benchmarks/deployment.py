"""What the student costs where it goes: `python -m benchmarks.deployment`, after `dvc repro`. Writes deployment.md.

Bytes of flash and RAM and instructions for one row on a Cortex-M3 (arm-none-eabi-gcc -Os, by qemu-system-arm), and
nanoseconds for one row here (gcc -O3 -march=native; from Python a call that gives probabilities), medians. All have the
weights of models/deployed/float.npz. Needs the packages of benchmarks/requirements.txt, and of Debian gcc,
gcc-arm-none-eabi, libnewlib-arm-none-eabi and qemu-system-arm.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import kdlib
from benchmarks.machine import describe
from benchmarks.report import header, table
from kdlib.data.dataset import Dataset
from kdlib.deployment.c_source import c_source
from kdlib.deployment.c_template import doubles
from kdlib.deployment.onnx_export import onnx_file
from kdlib.io.artifacts import write_text
from kdlib.io.errors import UserError

RESULTS, C = Path(__file__).with_name("deployment.md"), Path(__file__).with_name("c")
ROWS, CALLS, ROUNDS = 16, 500, 9
BOARD = ["arm-none-eabi-gcc", "-std=gnu99", "-mcpu=cortex-m3", "-mthumb", "-Os", "-ffunction-sections",
         "-fdata-sections", "-nostartfiles", "-Wl,--gc-sections,--section-start=.vectors=0,--undefined=vectors",
         "-Wl,--entry=reset"]  # fmt: skip
QEMU = ["qemu-system-arm", "-M", "mps2-an385", "-nographic", "-icount", "shift=0", "-semihosting-config",
        "enable=on,target=native", "-kernel", "program"]  # fmt: skip
DESK = ["gcc", "-std=gnu99", "-O3", "-march=native"]


def constants(rows, kind):
    """In a section of their own, which is no cost of the network's."""
    numbers = ",\n".join("{" + ", ".join(doubles(row)) + "}" for row in rows)
    name = f'__attribute__((section(".rows"))) static const {kind} rows[][{rows.shape[1]}]'
    return f"#define ROWS {len(rows)}\n{name} = {{\n{numbers}}};\n"


def of_kdlib(integers, rows, folder):
    write_text(folder / "student.h", c_source(integers))
    text = constants(rows, "double") + '#include "student.h"\n'
    return (
        text + "static int subject(const double *row) { int32_t l[STUDENT_CLASSES]; return student_predict(row, l); }\n"
    )


def of_emlearn(floats, rows, folder):
    """The rows are scaled beforehand: emlearn exports no scaling."""
    import emlearn

    emlearn.convert(scikit_learn(floats), method="inline").save(file=str(folder / "net.h"), name="net")
    text = constants(((rows - floats.offset) * floats.scale).astype(np.float32), "float") + '#include "net.h"\n'
    return text + f"static int subject(const float *row) {{ return (int)net_predict(row, {rows.shape[1]}); }}\n"


def of_nothing(model, rows, folder):
    return constants(rows[:, :1], "double") + "static int subject(const double *row) { return row[0] > 0; }\n"


def scikit_learn(floats):
    """An `MLPClassifier` with the network's weights."""
    from sklearn.neural_network import MLPClassifier

    sizes, layers = floats.network.sizes, floats.network.network.layers
    model = MLPClassifier(sizes[1:-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        classes = np.arange(sizes[-1])
        model.partial_fit(np.zeros((len(classes), sizes[0]), np.float32), classes, classes=classes)
    model.coefs_, model.intercepts_ = [weights[0] for weights, _ in layers], [biases[0, 0] for _, biases in layers]
    return model


def build(subject, model, rows, folder, command, source):
    write_text(folder / "subject.h", subject(model, rows, folder))
    includes = [f"-I{folder}"]
    if subject is of_emlearn:
        import emlearn

        includes.append(f"-I{emlearn.includedir}")
    subprocess.run([*command, *includes, str(C / source), "-o", "program", "-lm"], cwd=folder, check=True)


def on_board(subject, model, rows, folder):
    """(flash, RAM without the stack, instructions, stack) of the whole program."""
    build(subject, model, rows, folder, BOARD, "board.c")
    run = subprocess.run(QEMU, cwd=folder, check=True, capture_output=True, text=True)
    listed = subprocess.run(
        ["arm-none-eabi-size", "-A", "program"], cwd=folder, check=True, capture_output=True, text=True
    )
    size = {name: int(count) for name, count in re.findall(r"^(\.\w+)\S*\s+(\d+)", listed.stdout, re.MULTILINE)}
    flash = sum(size.get(name, 0) for name in (".text", ".rodata", ".data"))
    instructions, stack = map(int, (run.stdout + run.stderr).split())
    return flash, size.get(".data", 0) + size.get(".bss", 0), instructions, stack


def on_desk(subject, model, rows, folder):
    build(subject, model, rows, folder, DESK, "desk.c")
    lines = subprocess.run(["./program"], cwd=folder, check=True, capture_output=True, text=True).stdout
    return statistics.median(map(float, lines.split()))


def from_python(floats, integers, rows):
    """{name: nanoseconds of a call with one row, the median of all calls}. The systems take turns."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = [onnxruntime.InferenceSession(onnx_file(of), options) for of in (floats, integers)]
    model, scaled = scikit_learn(floats), ((rows - floats.offset) * floats.scale).astype(np.float32)
    calls = {
        "kdlib, floats": (floats.predict_proba, rows),
        "kdlib, integers": (integers.predict_proba, rows),
        "ONNX Runtime, floats": (lambda row: sessions[0].run(None, {"rows": row}), rows),
        "ONNX Runtime, integers": (lambda row: sessions[1].run(None, {"rows": row}), rows),
        "scikit-learn, scaled rows": (model.predict_proba, scaled),
    }
    found = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, (call, given) in calls.items():
            for k in range(CALLS):
                row = given[k % ROWS : k % ROWS + 1]
                start = time.perf_counter_ns()
                call(row)
                found[name].append(time.perf_counter_ns() - start)
    return {name: statistics.median(values) for name, values in found.items()}


def main():
    try:
        floats, integers = kdlib.load("models/deployed/float.npz"), kdlib.load("models/deployed/int.npz")
        dataset = Dataset.load("data/dataset.npz")
    except UserError as error:
        sys.exit(f"error: {error}")
    rows = dataset.x[dataset.rows("test", floats.card.split)[:ROWS]].astype(np.float64)
    subjects = {
        f"C by kdlib, integers of {integers.network.bits} bits": (of_kdlib, integers),
        "C by emlearn, float32, without scaling": (of_emlearn, floats),
    }
    machine, found = describe(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = on_board(of_nothing, None, rows, folder)
        for label, (subject, model) in subjects.items():
            flash, ram, instructions, stack = np.subtract(on_board(subject, model, rows, folder), empty).tolist()
            ns = on_desk(subject, model, rows, folder)
            found.append([label, *(f"{value:,.0f}" for value in (flash, ram, stack, instructions, ns))])
    found += [
        [f"Python: {label}", "", "", "", "", f"{ns:,.0f}"] for label, ns in from_python(floats, integers, rows).items()
    ]
    sizes = "-".join(map(str, floats.network.sizes))
    head = [f"{sizes}; one row", "flash, bytes", "RAM, bytes", "stack, bytes", "instructions, Cortex-M3", "ns, here"]
    lines = [header(machine)[0], "", *table(head, found)]
    write_text(RESULTS, "\n".join(lines) + "\n")
    print(RESULTS.read_text("utf-8"))


if __name__ == "__main__":
    main()
