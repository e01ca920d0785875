"""What few bits cost on the digits, by the whole pipeline over ten splits: `python -m benchmarks.levels`.

Writes benchmarks/levels.md. Each student of integers is compared with the student of floats of the default params.yaml,
over the same splits, by the corrected resampled t-test. Some minutes.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.report import table
from kdlib.data.dataset import Dataset
from kdlib.deployment.integer_stack import load_stack
from kdlib.evaluation.statistics import corrected_resampled_gain
from kdlib.io.artifacts import write_text
from kdlib.learning.model_file import load_model
from kdlib.learning.stack import network_slices

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).with_name("levels.md")
SLOW, WIDE = "student.learning_rate=[0.01,0.03]", ["student.hidden=[104]", "student.learning_rate=[0.03,0.05]"]
RUNS = {
    "8 bits": [],
    "4 bits": ["deploy.bits=4"],
    "4 bits, in training": ["deploy.bits=4", "student.bits=4"],
    "2 bits": ["deploy.bits=2"],
    "2 bits, in training": ["deploy.bits=2", "student.bits=2", SLOW],
    "2 bits, in training, wider": ["deploy.bits=2", "student.bits=2", *WIDE],
}
SUBSETS = ("validation", "test")


def accuracies(answer, dataset, subset):
    """(S,) mean accuracies. answer: function of a split and its inputs to logits (R, n, classes)."""
    found = []
    for split in range(dataset.splits):
        rows = dataset.rows(subset, split)
        found.append((answer(split, dataset.inputs(rows, split)).argmax(axis=-1) == dataset.y[rows]).mean())
    return np.array(found)


def run(folder, changes):
    """Run all stages in the folder: (Dataset, sizes, bytes, accuracies of the floats and of the integers by subset)."""
    sets = [word for change in changes for word in ("--set", change)]
    command = [sys.executable, "-m", "stages", "--config", str(ROOT / "params.yaml"), *sets]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    dataset = Dataset.load(folder / "data/dataset.npz")
    network = load_model(folder / "models/student.npz", dataset).network
    integers, _ = load_stack(folder / "models/deployed/stack.npz", network)
    own = network_slices(dataset.splits, network.replicas)

    def float_logits(split, x):
        return network.select(own[split]).logits(x)

    def integer_logits(split, x):
        return np.stack([one.logits(x) for one in integers[own[split]]])

    size = (folder / "models/deployed/int.npz").stat().st_size
    of_floats = {subset: accuracies(float_logits, dataset, subset) for subset in SUBSETS}
    of_integers = {subset: accuracies(integer_logits, dataset, subset) for subset in SUBSETS}
    return dataset, network.sizes, size, of_floats, of_integers


def main():
    rows, reference = [], None
    with tempfile.TemporaryDirectory() as work:
        for name, changes in RUNS.items():
            folder = Path(work, name)
            folder.mkdir()
            dataset, sizes, size, floats, integers = run(folder, changes)
            reference = reference or floats
            cells = [name, "-".join(map(str, sizes)), f"{size:,}"]
            for subset in SUBSETS:
                counts = len(dataset.rows("train")), len(dataset.rows(subset))
                gain = corrected_resampled_gain(integers[subset] - reference[subset], *counts)
                cells += [f"{100 * integers[subset].mean():.2f}"]
                cells += [f"{100 * gain['mean']:+.2f} ± {100 * gain['standard_error']:.2f}"]
            rows.append(cells)
            print(cells, file=sys.stderr)
    head = ["weights", "network", "file, bytes", "validation %", "- floats", "test %", "- floats"]
    write_text(RESULTS, "\n".join(table(head, rows)) + "\n")
    print(RESULTS.read_text("utf-8"))


if __name__ == "__main__":
    main()
