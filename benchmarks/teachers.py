"""Other teachers, and whether synthetic rows help: `python -m benchmarks.teachers` writes benchmarks/teachers.md.

Five splits of each table. Every student takes as many steps: the one with synthetic rows, four for each training row,
has 15 epochs, the one without 75, and the baseline, on the labels only, 75. Temperature, alpha and rate are
chosen on validation rows. Gains are over the five splits, by the corrected resampled t-test.
"""

import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import pipeline
from benchmarks.machine import describe
from benchmarks.report import table
from kdlib.__main__ import classifier, network
from kdlib.data.dataset import Dataset
from kdlib.evaluation.metrics import accuracy
from kdlib.evaluation.statistics import corrected_resampled_gain
from kdlib.io.artifacts import read_npz
from kdlib.learning.model_file import Model, load_model, save_model
from kdlib.learning.stack import network_slices
from kdlib.pipeline.command_line import PATHS, Paths
from kdlib.pipeline.params import load_params
from stages import distill, prepare

OUTPUT = Path(__file__).with_name("teachers.md")
TIMES, EPOCHS = 4, 15
COMMON = [
    "prepare.splits=5", "prepare.train_ratio=0.7", "replicas=1", "logging.level=ERROR", "student.hidden=[16]",
    "distill.temperature=[1,4]", "distill.alpha=[0.5,0.9]",
]  # fmt: skip
TEACHERS = {
    "forest": ["teacher.model=RandomForestClassifier", "teacher.options={n_estimators: 100}"],
    "boosting": ["teacher.model=HistGradientBoostingClassifier"],
    "5 networks": ["teacher.members=5"],
}
PLAIN = Paths(dataset="data/plain.npz", teacher="models/plain_teacher.npz", student="models/plain_student.npz")
ROWS, CALLS = 1024, 21


def clusters():
    from sklearn.datasets import make_classification

    options = {"n_informative": 8, "n_classes": 4, "n_clusters_per_class": 3, "class_sep": 1.5, "flip_y": 0.02}
    return make_classification(1500, 20, **options, random_state=0)


def hastie():
    from sklearn.datasets import make_hastie_10_2

    return make_hastie_10_2(2000, random_state=0)


def mixed(rows=1500):
    """A CSV of whole numbers, numbers, categories and missing values; the class follows from rules, but for a tenth."""
    rng = np.random.default_rng(0)
    age, income = rng.integers(18, 80, rows), rng.lognormal(3, 0.6, rows).round(2)
    town = np.array(list("ABCDEF"))[rng.integers(0, 6, rows)]
    job = np.array(["clerk", "cook", "none"])[rng.integers(0, 3, rows)]
    buys = np.where(np.isin(town, ["A", "D"]), income > 18, (age > 45) ^ (job == "cook"))
    buys ^= rng.random(rows) < 0.1
    shown = np.where(rng.random(rows) < 0.1, "", income.astype(str))
    columns = age, shown, town, job, np.where(buys, "yes", "no")
    lines = [",".join(map(str, cells)) for cells in zip(*columns, strict=True)]
    return "\n".join(["age,income,town,job,class", *lines, ""])


TABLES = {
    "digits": ("digits", None), "breast_cancer": ("breast_cancer", None), "wine": ("wine", None),
    "clusters": (None, clusters), "hastie": (None, hastie), "mixed": (None, mixed),
}  # fmt: skip


def right(path, dataset, teacher=None):
    """(S,) the test accuracy of each split's network in the file, or how often it agrees with the `Model` teacher."""
    stack, found = load_model(path, dataset).network, []
    for split, own in enumerate(network_slices(dataset.splits, stack.replicas)):
        rows = dataset.rows("test", split)
        labels = np.argmax(teacher.logits[split, rows], axis=1) if teacher else dataset.y[rows]
        found.append(accuracy(stack.select(own).logits(dataset.inputs(rows, split)), labels)[0])
    return np.array(found)


def without(changes, dataset):
    """(accuracy, agreement), (S,) each, of the student without synthetic rows, after as many steps."""
    changes = [*changes, "prepare.transfer=null", f"student.epochs={EPOCHS * (TIMES + 1)}"]
    params = load_params(pipeline.ROOT / "params.yaml", changes)
    prepare.main(params, PLAIN)
    plain = Dataset.load(PLAIN.dataset)
    logits = load_model(PATHS.teacher, dataset).logits[:, : len(plain.y)]
    save_model(PLAIN.teacher, Model(None, {}, logits), plain)
    distill.main(params, PLAIN)
    return right(PLAIN.student, plain), right(PLAIN.student, plain, load_model(PLAIN.teacher, plain))


def cost(path):
    """Microseconds of one processor's time that a row takes in a batch, of a teacher or a student."""
    arrays = read_npz(path)
    _, answer, features = network(path, arrays) if "weights_0" in arrays else classifier(path, PATHS.dataset)
    x, times = np.random.default_rng(0).random((ROWS, features), dtype=np.float32), []
    with threadpool_limits(1):
        for _ in range(CALLS):
            start = time.process_time()
            answer(x)
            times.append(time.process_time() - start)
    return 1e6 * sorted(times)[CALLS // 2] / ROWS


def percent(value):
    return f"{100 * value['mean']:.1f} ± {100 * value['std']:.1f}"


def gained(values, control, result):
    """Mean and standard error of the difference over the splits, in points; * where it is significant."""
    counts = result["train_examples"], round(result["examples"]["test"] / result["splits"])
    found = corrected_resampled_gain(values - control, *counts)
    mark = "*" if found["verdict"] in ("higher", "lower") else ""
    error = f" ± {100 * found['standard_error']:.1f}" if "standard_error" in found else ""
    return f"{100 * found['mean']:+.1f}{error}{mark}"


def measured(name, teacher):
    """Cells of one table and one teacher."""
    source, make = TABLES[name]
    data = make() if make else None
    path = source or (pipeline.TABLE if isinstance(data, str) else pipeline.OWN)
    changes = [*COMMON, *TEACHERS[teacher], f"prepare.dataset={path}"]
    changes += ["prepare.target=class"] if isinstance(data, str) else []
    cells, helped = [name, teacher], []
    for synthesis in ("mixup", "munge"):
        if (name, synthesis) == ("digits", "munge"):  # which is for tables
            helped.append("")
            continue
        transfer = f"prepare.transfer={{synthesis: {synthesis}, times: {TIMES}}}"
        with pipeline.experiment([*changes, transfer, f"student.epochs={EPOCHS}"], data) as result:
            dataset = pipeline.dataset()
            if not helped:
                (plain, agreement), control = without(changes, dataset), right(PATHS.baseline, dataset)
                cells += [percent(result["teacher"]["test"]["accuracy"]), f"{100 * control.mean():.1f}"]
                cells += [f"{100 * plain.mean():.1f}", gained(plain, control, result)]
                sizes = [f"{result[who]['bytes']:,}" for who in ("teacher", "student")]
                times = [f"{cost(path):.2f}" for path in (PATHS.teacher, PATHS.student)]
            helped.append(gained(right(PATHS.student, dataset), plain, result))
    return [*cells, *helped, f"{100 * agreement.mean():.1f}", *sizes, *times]


HEAD = [
    "table", "teacher", "teacher %", "baseline %", "student %", "student - baseline", "mixup adds", "munge adds",
    "agrees %", "bytes", "student's", "µs a row", "student's",
]  # fmt: skip


def main():
    rows = []
    for name in TABLES:
        for teacher in TEACHERS:
            rows.append(measured(name, teacher))
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    machine = describe()
    where = f"{machine['cpu']}, {machine['cores']} cores; scikit-learn {machine['scikit-learn']}; {machine['date']}."
    OUTPUT.write_text("\n".join([*table(HEAD, rows), "", where, ""]), encoding="utf-8", newline="\n")
    print(OUTPUT.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
