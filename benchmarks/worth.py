"""When distillation helps: `python -m benchmarks.worth` writes benchmarks/worth.md.

The default parameters on data on which they were not tuned (but for the digits), the baseline tuned as carefully as the
student: 50 splits, five times ten, by the corrected resampled t-test (Bouckaert and Frank 2004). MNIST-1D comes from
its package; without it these rows are left out.
"""

import sys
from pathlib import Path

from benchmarks import pipeline
from benchmarks.report import table

OUTPUT = Path(__file__).with_name("worth.md")
ALL = ["seed=1", "prepare.splits=50", "replicas=1", "logging.level=WARNING"]
FEW_LABELS, STANDARD = "prepare.labeled_fraction=0.2", ["prepare.scaling=standard"]
CASES = {
    "mnist1d, keep: last": ("mnist1d", ["teacher.keep=last", "student.keep=last"]),
    "mnist1d, a fifth of the labels, student.patience: 5, teacher.keep: last": (
        "mnist1d",
        [FEW_LABELS, "student.patience=5", "teacher.keep=last"],
    ),
    "digits": ("digits", []),
    "digits, a fifth of the labels": ("digits", [FEW_LABELS]),
    "wine": ("wine", []),
    "breast_cancer": ("breast_cancer", []),
    "digits, scaling: standard, student.warmup: 0.1": ("digits", [*STANDARD, "student.warmup=0.1"]),
    "… and teacher.learning_rate: 0.05": ("digits", [*STANDARD, "student.warmup=0.1", "teacher.learning_rate=0.05"]),
}


NETWORKS = ("teacher", "baseline", "student")


def gained(gain, factor, digits):
    mark = "*" if gain["verdict"] in ("better", "worse") else ""
    return f"{factor * gain['mean']:+.{digits}f} ± {factor * gain['standard_error']:.{digits}f}{mark}"


def row(title, source, changes):
    """Cells of one case, or None where its data are not here."""
    data = pipeline.mnist1d() if source == "mnist1d" else None
    if source == "mnist1d" and data is None:
        return None
    changes = [*ALL, *changes] + ([] if data else [f"prepare.dataset={source}"])
    with pipeline.experiment(changes, data) as result:
        measured, gain = [result[name]["test"] for name in NETWORKS], result["gain"]["test"]
    accuracies = [f"{100 * m['accuracy']['mean']:.2f}" for m in measured]
    losses = [f"{m['nll']['mean']:.3f}" for m in measured]
    return [title, *accuracies, gained(gain["accuracy"], 100, 2), *losses, gained(gain["nll"], 1, 3)]


def main():
    rows = []
    for title, case in CASES.items():
        cells = row(title, *case)
        print(cells or f"{title}: left out, its package is not installed", file=sys.stderr, flush=True)
        rows += [cells] if cells else []
    head = ["data", *(f"{name} %" for name in NETWORKS), "gain, points"]
    lines = table([*head, *(f"{name} NLL" for name in NETWORKS), "gain, nats"], rows)
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    print(OUTPUT.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
