"""Whether the default rates train what they meet: `python -m benchmarks.defaults` writes benchmarks/defaults.md.

Test accuracy of the baseline, and of one teacher without dropout, beside scikit-learn's `MLPClassifier` of that size
with its own defaults, on the same rows and inputs. MNIST where its file is.
"""

import warnings
from pathlib import Path

import numpy as np

from benchmarks import pipeline
from benchmarks.report import table

OUTPUT = Path(__file__).with_name("defaults.md")
CHANGES = ["teacher.members=1", "teacher.dropout=0.0", "distill.loss=ls", "logging.level=WARNING"]
WHOLE = "prepare.splits=1"
CASES = {
    "digits": (None, []),
    "iris": (None, []),
    "wine": (None, []),
    "breast_cancer": (None, []),
    "table of 50,000 x 30, 5 classes": (pipeline.wide_table, [WHOLE]),
    "MNIST, 12,000 images": (lambda: pipeline.mnist(12_000), [WHOLE]),
}


def of_scikit_learn(dataset, split, hidden):
    """Test accuracy of `MLPClassifier` on the split."""
    from sklearn.neural_network import MLPClassifier

    train, test = dataset.rows("train", split), dataset.rows("test", split)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged in its 200 epochs
        model = MLPClassifier(hidden, random_state=0).fit(dataset.inputs(train, split), dataset.y[train])
    return model.score(dataset.inputs(test, split), dataset.y[test])


def measured(title):
    """[(accuracy, scikit-learn's), of baseline and teacher] of a case, or None where its data are not here."""
    source, changes = CASES[title]
    data = source() if source else None
    if source and data is None:
        return None
    changes = [*CHANGES, *changes] + ([] if source else [f"prepare.dataset={title}"])
    with pipeline.experiment(changes, data) as result:
        dataset, pairs = pipeline.dataset(), []
        for name, hidden in (("baseline", (32,)), ("teacher", (128,))):
            theirs = [of_scikit_learn(dataset, split, hidden) for split in range(dataset.splits)]
            pairs.append((result[name]["test"]["accuracy"]["mean"], np.mean(theirs)))
        return pairs


def main():
    rows = []
    for title in CASES:
        pairs = measured(title)
        rows += [[title, *(f"{100 * value:.2f}" for pair in pairs for value in pair)]] if pairs else []
    head = ["test accuracy, %", "baseline [32]", "MLPClassifier", "teacher [128]", "MLPClassifier"]
    OUTPUT.write_text("\n".join(table(head, rows)) + "\n", encoding="utf-8", newline="\n")
    print(OUTPUT.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
