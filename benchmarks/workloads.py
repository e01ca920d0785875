"""What is trained: data, sizes, batches and their order, the same for every system."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kdlib.learning.network import Network
from kdlib.learning.recipe import Recipe
from kdlib.numerics.streams import permutation, stream

ROOT = Path(__file__).resolve().parent.parent
MNIST = (ROOT.parent / "shared" / "data" / "mnist.npz", ROOT / "data" / "raw" / "mnist.npz")
RATES = {"sgd": 0.05, "adam": 0.001}
SEED, PURPOSE, CLASSES = 0, "benchmark", 10
TEACHER = (784, 1200, 1200, 10)
TEMPERATURE, ALPHA = 4.0, 0.7  # of distillation


@dataclass
class Workload:
    """x: (n, features) float32 in [0, 1]. labels: (n,) int64. teacher: a `Network` in Fast to distil, or None."""

    hidden: tuple
    batch_size: int
    optimizer: str
    epochs: int
    x: np.ndarray
    labels: np.ndarray
    teacher: Network = None
    one_hot: np.ndarray = field(init=False)
    teacher_logits: np.ndarray = field(init=False, default=None)
    orders: list = field(init=False)

    def __post_init__(self):
        self.one_hot = np.eye(CLASSES)[self.labels]
        if self.teacher:
            self.teacher_logits = self.teacher.logits(self.x)[0]
        # What `kdlib.learning.training.train` draws for its first replica, so that all systems see the same batches.
        generator = stream(SEED, f"{PURPOSE}/batches")
        self.orders = [permutation(generator, len(self.x)) for _ in range(self.epochs)]

    @property
    def sizes(self):
        return (self.x.shape[1], *self.hidden, CLASSES)

    @property
    def rate(self):
        return RATES[self.optimizer]

    @property
    def recipe(self):
        return Recipe(tuple(self.hidden), self.epochs, self.rate, self.batch_size, self.optimizer, schedule="constant")

    @property
    def steps(self):
        return self.epochs * -(-len(self.x) // self.batch_size)

    def warm_up(self):
        """A few steps of the same, with a full and with the last, smaller batch."""
        n = min(len(self.x), 2 * self.batch_size + len(self.x) % self.batch_size)
        return Workload(self.hidden, self.batch_size, self.optimizer, 1, self.x[:n], self.labels[:n], self.teacher)


def initial_network(sizes, arithmetic, purpose=PURPOSE):
    """The network that `train` starts its first replica from."""
    network = Network(sizes, 1, arithmetic)
    network.initialize([stream(SEED, f"{purpose}/weights")])
    return network


def digits():
    """(x, labels) of scikit-learn's digits, (1797, 64)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return (bunch.data / 16).astype(np.float32), bunch.target.astype(np.int64)


def mnist(n):
    """(x, labels, source) of the first n training images, (n, 784); random data of that shape if no file is there."""
    for path in MNIST:
        if path.exists():
            with np.load(path) as archive:
                x, labels = archive["x_train"][:n], archive["y_train"][:n]
            return x.reshape(len(x), -1) / np.float32(255), labels.astype(np.int64), "MNIST"
    generator = np.random.default_rng(SEED)
    x = generator.random((n, 784), dtype=np.float32)
    return x, generator.integers(0, CLASSES, n), "random data of MNIST's shape (no mnist.npz found)"


def tiled_digits(n):
    """(x, labels) of n examples: digits, again and again."""
    x, labels = digits()
    return np.resize(x, (n, x.shape[1])), np.resize(labels, n)
