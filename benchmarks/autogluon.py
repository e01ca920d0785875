"""AutoGluon's distill beside ours: `python -m benchmarks.autogluon`, after `pip install "autogluon.tabular[lightgbm]"`.

Three splits of two tables, the same rows. AutoGluon: a forest, LightGBM and their ensemble, by its defaults, and
`distill` by spunge, its default (its munge raises a TypeError in 1.6.3), which trains a forest and LightGBM as students
and picks one by validation. Ours: a forest as the teacher, a student of 16 units, munge. AutoGluon's bytes are those of
the picked model's folder. Prints a table, writes benchmarks/autogluon.md.
"""

import logging
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from benchmarks import pipeline
from benchmarks.report import table
from benchmarks.teachers import TABLES, cost
from kdlib.pipeline.command_line import PATHS

OUTPUT = Path(__file__).with_name("autogluon.md")
SPLITS = 3
CHANGES = [
    f"prepare.splits={SPLITS}", "replicas=1", "logging.level=ERROR", "student.hidden=[16]", "student.epochs=15",
    "distill.temperature=[1,4]", "distill.alpha=[0.5,0.9]", "prepare.transfer={synthesis: munge, times: 4}",
    "teacher.model=RandomForestClassifier", "teacher.options={n_estimators: 200}",
]  # fmt: skip
MODELS = {"RF": {}, "GBM": {}}


def distilled(frame, dataset, split):
    """(teacher's, student's accuracy on the split's test rows, student's bytes, µs a row) of AutoGluon."""
    from autogluon.tabular import TabularPredictor

    train = frame.iloc[np.concatenate([dataset.labeled(split), dataset.rows("validation", split)])]
    test = frame.iloc[dataset.rows("test", split)]
    with tempfile.TemporaryDirectory() as folder:
        predictor = TabularPredictor("class", path=folder, verbosity=0).fit(train, hyperparameters=MODELS)
        taught = predictor.model_best
        students = predictor.distill(hyperparameters=MODELS, augment_method="spunge", verbosity=0)
        board = predictor.leaderboard().set_index("model")
        best = board.loc[students, "score_val"].idxmax()
        predictor.persist([best, taught], max_memory=None)
        begun = time.perf_counter()
        for _ in range(5):
            said = predictor.predict(test, model=best)
        each = (time.perf_counter() - begun) / 5 / len(test) * 1e6
        size = sum(file.stat().st_size for file in (Path(folder) / "models" / best).rglob("*") if file.is_file())
        accuracy = [(predictor.predict(test, model=taught) == test["class"]).mean(), (said == test["class"]).mean()]
    return *accuracy, size, each


def main():
    import pandas

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows = []
    for name in ("breast_cancer", "hastie"):
        source, make = TABLES[name]
        with pipeline.experiment(CHANGES + ([f"prepare.dataset={source}"] if source else []), make and make()) as ours:
            dataset = pipeline.dataset()
            real = dataset.y >= 0
            frame = pandas.DataFrame(dataset.x[real], columns=dataset.feature_names)
            frame["class"] = dataset.y[real]
            accuracies = (f"{100 * ours[who]['test']['accuracy']['mean']:.1f}" for who in ("teacher", "student"))
            rows.append([name, "kdlib", *accuracies, f"{ours['student']['bytes']:,}", f"{cost(PATHS.student):.2f}"])
            found = np.array([distilled(frame, dataset, split) for split in range(SPLITS)]).mean(axis=0)
            rows.append(
                [name, "AutoGluon", *(f"{100 * v:.1f}" for v in found[:2]), f"{found[2]:,.0f}", f"{found[3]:.2f}"]
            )
    lines = table(["table", "by", "teacher %", "student %", "student's bytes", "µs a row"], rows)
    OUTPUT.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")
    print(OUTPUT.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
