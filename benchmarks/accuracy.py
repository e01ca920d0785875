"""What exact arithmetic costs in accuracy: `python -m benchmarks.accuracy`. Writes benchmarks/accuracy.md.

Seeds are paired: the same initial weights, batches and masks in both arithmetics. Chosen beforehand: a measure counts
as equivalent if the 90 % interval of its paired mean difference (two one-sided tests at 5 %, Schuirmann 1987) lies
within 1.5 standard deviations over the seeds of float32: less than what another seed changes.
"""

import argparse
import math
from pathlib import Path

import numpy as np

from benchmarks.workloads import digits, mnist
from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.evaluation import metrics
from kdlib.evaluation.statistics import mean_and_std, student_t_95
from kdlib.io.artifacts import write_text
from kdlib.learning.model_file import ensemble_logits
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams

RESULTS = Path(__file__).resolve().parent / "accuracy.md"
BOUND = 1.5  # standard deviations over the seeds
MEASURES = {
    "accuracy %": (lambda *a: 100 * metrics.accuracy(*a), 2),
    "NLL, nats": (metrics.negative_log_likelihood, 4),
    "calibration error %": (lambda *a: 100 * metrics.expected_calibration_error(*a), 2),
}
T90 = {9: 1.8331, 29: 1.6991}  # one-sided 95 % points of Student's t


class Data:
    """Examples, of which the last `held_out` are tested on; shuffled alike every time."""

    def __init__(self, x, labels, held_out, shuffle=True):
        order = np.random.default_rng(0).permutation(len(x)) if shuffle else np.arange(len(x))
        x, labels, cut = np.asarray(x)[order], labels[order], len(x) - held_out
        self.x, self.labels, self.one_hot = x[:cut], labels[:cut], np.eye(labels.max() + 1)[labels[:cut]]
        self.validation = x[cut:], np.eye(labels.max() + 1)[labels[cut:]]
        self.test_labels = labels[cut:]

    def teacher(self, recipe):
        """Logits of a teacher for the training examples."""
        objective = CrossEntropy(self.one_hot, EXACT)
        return ensemble_logits(
            train(self.x, objective, recipe, self.validation, Streams(0, "teacher"))[0].logits(self.x)
        )


def table(features=100, n=2000):
    """Four classes, columns of sizes from 1e-6 to 1e6, then scaled to [0, 1] as `prepare` does."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, n)
    x = random.normal(size=(4, features))[labels] * 0.3 + random.normal(size=(n, features))
    x = x * 10 ** np.linspace(-6, 6, features)
    return Data((x - x.min(axis=0)) / np.ptp(x, axis=0), labels, 500)


def many_classes(classes=1000, n=12000):
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, n)
    labels[:classes] = np.arange(classes)
    return Data(random.normal(size=(classes, 64))[labels] + 1.2 * random.normal(size=(n, 64)), labels, 3000)


def cases():
    """Yield (name, data, function of an arithmetic to an objective, recipe, seeds, rows to train on or None)."""
    small, sgd = Data(*digits(), 450), Recipe((16,), 30, 0.1, 32, schedule="linear")

    def labels(data):
        return lambda arithmetic: CrossEntropy(data.one_hot, arithmetic)

    def soft(data, logits, **options):
        return lambda arithmetic: Distillation(data.one_hot, logits, arithmetic, **options)

    for hidden in ((128,), (16,), (8,), (4,)):
        recipe = Recipe(hidden, 30, 0.1, 32, schedule="linear")
        yield f"digits, 64-{hidden[0]}-10, labels", small, labels(small), recipe, 30
    logits = small.teacher(Recipe((128,), 30, 0.1, 32, schedule="linear"))
    adam = Recipe((16,), 30, 0.01, 32, optimizer="adam", schedule="linear")
    for temperature, rate in ((1.0, 0.1), (4.0, 0.1), (20.0, 0.02)):
        recipe = Recipe((16,), 30, rate, 32, schedule="linear")
        objective = soft(small, logits, temperature=temperature, alpha=0.9)
        yield f"digits, student [16], SGD, T = {temperature:g}", small, objective, recipe, 30
        yield f"digits, student [16], Adam, T = {temperature:g}", small, objective, adam, 30
    yield "digits, student [16], DKD, T = 4", small, soft(small, logits, loss="dkd", alpha=0.5), adam, 30
    yield "digits, student [16], MSE of logits", small, soft(small, logits, loss="mse", alpha=0.9), sgd, 30
    few = Data(*digits(), 450)
    few.x, few.one_hot = few.x[:130], few.one_hot[:130]
    yield "digits, 64-16-10, 130 labels", few, labels(few), Recipe((16,), 100, 0.1, 32, schedule="linear"), 30
    wide = table()
    yield (
        "table of 100 columns, 1e-6 to 1e6, 100-64-4",
        wide,
        labels(wide),
        Recipe((64,), 30, 0.05, 32, schedule="constant"),
        30,
    )
    many = many_classes()
    yield "1,000 classes, 64-128-1000", many, labels(many), Recipe((128,), 10, 0.1, 64, schedule="linear"), 30
    x, y, source = mnist(40000)
    medium = Data(x, y, 10000, shuffle=False)
    yield (
        f"{source}, 784-256-256-10, 3 epochs",
        medium,
        labels(medium),
        Recipe((256, 256), 3, 0.05, 128, schedule="constant"),
        10,
    )
    large = Data(x[:25000].reshape(-1, 28, 28), y[:25000], 10000, shuffle=False)
    large.validation = large.validation[0].reshape(10000, -1), large.validation[1]
    options = {"input_dropout": 0.1, "dropout": 0.3, "max_norm": 2.0, "shift": 2, "nesterov": True}
    recipe = Recipe((1200, 1200), 20, 0.1, 128, schedule="linear", **options)
    yield f"{source}, 784-1200-1200-10, all regularisers, 20 epochs", large, labels(large), recipe, 10


def measured(data, objective, recipe, seeds):
    """{measure: (seeds,)} on the held-out examples, one seed after another where the networks are large."""
    parts = [range(seeds)] if recipe.hidden[0] < 256 else [range(k, k + 1) for k in range(seeds)]
    results = []
    for part in parts:
        network, _ = train(data.x, objective, recipe, data.validation, Streams(0, "accuracy", tuple(part)))
        logits = network.logits(data.validation[0])
        results.append([measure(logits, data.test_labels) for measure, _ in MEASURES.values()])
    return dict(zip(MEASURES, np.concatenate(results, axis=1), strict=True))


def compare(name, data, objective, recipe, seeds):
    """Lines of Markdown; `*` marks a difference that is significant by itself at 5 %."""
    exact, fast = (measured(data, objective(arithmetic), recipe, seeds) for arithmetic in (EXACT, FAST))
    lines = []
    for measure, (_, decimals) in MEASURES.items():
        cells = [mean_and_std(values[measure]) for values in (exact, fast)]
        difference = mean_and_std(exact[measure] - fast[measure])
        mean, error = difference["mean"], difference["std"] / math.sqrt(seeds)
        equivalent = abs(mean) + T90[seeds - 1] * error < BOUND * cells[1]["std"]
        texts = [f"{cell['mean']:.{decimals}f} ± {cell['std']:.{decimals}f}" for cell in cells]
        star = "*" * (abs(mean) > student_t_95(seeds - 1) * error)
        texts.append(f"{mean:+.{decimals + 1}f} ± {error:.{decimals + 1}f}{star}")
        verdict = "equivalent" if equivalent else "not shown to be equivalent"
        lines.append(f"| {name} | {measure} | {' | '.join(texts)} | {verdict} |")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="TEXT", default="", help="the cases whose name has it; writes nothing")
    arguments = parser.parse_args()
    lines = ["| data, network | measure | exact | float32 | exact - float32, paired | |", "| --- " * 6 + "|"]
    print("\n".join(lines))
    for name, *case in cases():
        if arguments.only in name:
            lines += compare(name, *case)
            print("\n".join(lines[-3:]), flush=True)
    rows = lines[2:]
    starred = len([row for row in rows if "* |" in row])
    lines.append("")
    lines.append(
        f"{len(rows)} differences: {len([r for r in rows if '| equivalent' in r])} equivalent; {starred} significant at"
        f" 5 % by itself (*), of which chance gives {0.05 * len(rows):.1f}."
    )
    print("\n".join(lines[-2:]))
    if not arguments.only:
        write_text(RESULTS, "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
