"""How often a verdict is wrong: `python -m benchmarks.null` writes benchmarks/null.md, the same on every machine.

Under the null, student and baseline are one recipe with other seeds, so that each "better" or "worse" is false: with
other initial weights and batches, or as in the pipeline from the same initial weights, here with other batches. A run
has its own division of the same digits into ten disjoint test sets, each with all other examples to train on. The test
over replicas is made on each split, the corrected resampled test on the ten mean gains.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report import table
from benchmarks.workloads import digits
from kdlib.backends.arithmetic import EXACT
from kdlib.evaluation import metrics, statistics
from kdlib.evaluation.intervals import wilson_interval
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams, permutation, stream

RUNS, SPLITS, REPLICAS, EXAMPLES = 400, 10, 5, 300
RECIPE = Recipe(hidden=(8,), epochs=8, learning_rate=0.1, batch_size=32)
MEASURES = {"accuracy": metrics.accuracy, "NLL": metrics.negative_log_likelihood}
OUTPUT = Path(__file__).with_name("null.md")


@dataclass(frozen=True)
class SameWeights(Streams):
    """The first half of the stack and the second start from the same weights."""

    def generators(self, name):
        first = self.replicas[: len(self.replicas) // 2]
        kept = first + first if name == "weights" else self.replicas
        return Streams(self.seed, self.purpose, kept).generators(name)


PAIRINGS = {"other weights": Streams, "same weights": SameWeights}


def measured(run, x, one_hot, pairing):
    """{measure: (splits, 2, replicas)} on the test sets: of the students and of the baselines."""
    order, result = permutation(stream(run, "null/splits"), len(x)), {name: [] for name in MEASURES}
    for split in range(SPLITS):
        test = order[split::SPLITS]
        kept = np.setdiff1d(order, test)
        # Seeds that all splits shared would be luck that all splits share, and half of the verdicts false.
        first = 2 * REPLICAS * split
        streams = PAIRINGS[pairing](run, "null", tuple(range(first, first + 2 * REPLICAS)))
        objective = CrossEntropy(one_hot[kept], EXACT)
        network, _ = train(x[kept], objective, RECIPE, (x[test], one_hot[test]), streams)
        logits, labels = network.logits(x[test]), one_hot[test].argmax(axis=1)
        for name, measure in MEASURES.items():
            result[name].append(measure(logits, labels).reshape(2, REPLICAS))
    return {name: np.array(values) for name, values in result.items()}


def simulate(runs):
    """{(test, measure, pairing): verdicts}, as the tests word them."""
    x, labels = (array[:EXAMPLES] for array in digits())
    one_hot, test_examples = np.eye(10)[labels], EXAMPLES // SPLITS
    tests = ("over replicas", "over splits, corrected")
    found = {key: [] for key in itertools.product(tests, MEASURES, PAIRINGS)}
    for run, pairing in itertools.product(range(runs), PAIRINGS):
        for name, splits in measured(run, x, one_hot, pairing).items():
            gains = [statistics.paired_gain(student, control) for student, control in splits]
            means = [gain["mean"] for gain in gains]
            corrected = statistics.corrected_resampled_gain(means, EXAMPLES - test_examples, test_examples)
            found["over replicas", name, pairing] += [gain["verdict"] for gain in gains]
            found["over splits, corrected", name, pairing].append(corrected["verdict"])
    return found


def row(key, verdicts):
    """How many verdicts there are, and how many percent decide, with Wilson's 95 % interval."""
    n, cells = len(verdicts), []
    for words in (("higher",), ("lower",), ("higher", "lower")):
        count = sum(verdict in words for verdict in verdicts)
        low, high = wilson_interval(count, n)
        cells.append(f"{100 * count / n:.1f} ({100 * low:.1f} to {100 * high:.1f})")
    return [", ".join(key), n, *cells]


def main():
    rows = [row(key, verdicts) for key, verdicts in simulate(RUNS).items()]
    head = ["paired test", "verdicts", "“higher”, %", "“lower”, %", "either, %"]
    OUTPUT.write_text("\n".join(table(head, rows)) + "\n", encoding="utf-8", newline="\n")
    print(OUTPUT.read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
