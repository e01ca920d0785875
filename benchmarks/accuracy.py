"""What exact arithmetic costs in accuracy: `python -m benchmarks.accuracy`, ten seeds each, paired with float32."""

import numpy as np

from benchmarks.workloads import digits, mnist
from kdlib.evaluation import metrics, statistics
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics.arithmetic import Exact, Fast
from kdlib.numerics.streams import Streams

SEEDS = 10


def compare(name, x, labels, held_out, hidden, batch_size, epochs):
    """Print test accuracy (%) and NLL (nats) on the last `held_out` examples, of both and their paired difference."""
    one_hot = np.eye(10)[labels]
    cut = len(x) - held_out
    results = {}
    for arithmetic in (Exact, Fast):
        objective, validation = CrossEntropy(one_hot[:cut], arithmetic), (x[cut:], one_hot[cut:])
        recipe = Recipe(tuple(hidden), epochs, 0.05, batch_size, schedule="linear")
        network, _ = train(x[:cut], objective, validation, recipe, Streams(0, "accuracy", tuple(range(SEEDS))))
        logits = network.logits(x[cut:].astype(arithmetic.dtype))
        measures = metrics.accuracy, metrics.negative_log_likelihood
        accuracy, nll = (measure(logits, labels[cut:]) for measure in measures)
        results[arithmetic] = 100 * accuracy, nll
    for k, measure in enumerate(("accuracy %", "NLL, nats")):
        exact, fast = results[Exact][k], results[Fast][k]
        cells = [statistics.mean_and_std(values) for values in (exact, fast)]
        gain = statistics.paired_gain(exact, fast)
        texts = [f"{cell['mean']:.4f} ± {cell['std']:.4f}" for cell in cells]
        difference = f"{gain['mean']:+.6f} ± {gain['standard_error']:.6f}, {gain['verdict']}"
        print(f"| {name} | {measure} | {texts[0]} | {texts[1]} | {difference} |")


def main():
    print("| data | measure | exact | float32 | exact - float32, paired |\n| --- | --- | --- | --- | --- |")
    compare("digits, 64-128-10, 20 epochs", *digits(), 360, [128], 32, 20)
    x, labels, source = mnist(60000)
    compare(f"{source}, 784-256-256-10, 3 epochs", x, labels, 10000, [256, 256], 128, 3)


if __name__ == "__main__":
    main()
