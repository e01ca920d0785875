"""What trains: one class for each system. What a constructor and `reset` do is not timed, what `run`
does is. `logits(x)` is the network after the last `run`: it shows that the systems did the same work.
"""

import importlib.util
import itertools
from unittest import mock

import numpy as np

from benchmarks.rivals import ScikitLearn, Torch, UnavailableError
from benchmarks.workloads import ALPHA, PURPOSE, SEED, TEMPERATURE
from kdlib.backends import threads
from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.backends.context import Context
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams


def _fixed(use, count):
    use(count)
    return lambda: None


class Kdlib:
    """`kdlib.learning.training.train`, with the first draw of the weights, which PyTorch here has for free.

    kernels: `numpy`, the default install, or `numba`, with the extra. count: of threads at most. fixed: all of them, at
    every step.
    """

    def __init__(
        self, workload, arithmetic, replicas=1, teacher_pass=False, kernels="numpy", count=None, fixed=False
    ):  # fmt: skip
        self.arithmetic, self.replicas, self.teacher_pass, self.kernels = arithmetic, replicas, teacher_pass, kernels
        self.count, self.pace = count, _fixed if fixed else threads.ThreadTuner
        if kernels == "numba" and importlib.util.find_spec("numba") is None:
            raise UnavailableError("numba is not installed")

    def run(self, w):
        if w.teacher:
            logits = w.teacher.logits(w.x)[0] if self.teacher_pass else w.teacher_logits
            objective = Distillation(w.one_hot, logits, self.arithmetic, temperature=TEMPERATURE, alpha=ALPHA)
        else:
            objective = CrossEntropy(w.one_hot, self.arithmetic)
        streams = Streams(SEED, PURPOSE, tuple(range(self.replicas)))
        context = Context(self.kernels, self.count)
        with mock.patch.object(threads, "ThreadTuner", self.pace):
            self.network, _ = train(w.x, objective, w.recipe, (w.x[:8], w.one_hot[:8]), streams, context=context)

    def logits(self, x):
        return self.network.logits(x)[0]


class Limit:
    """The matrix products of the steps and nothing else, into arrays that are there already."""

    def __init__(self, workload, dtype):
        sizes = workload.sizes
        generator = np.random.default_rng(SEED)

        def array(*shape):
            return generator.random(shape).astype(dtype)

        self.activations = [array(workload.batch_size, width) for width in sizes]
        self.deltas = [array(workload.batch_size, width) for width in sizes]
        self.weights = [array(*shape) for shape in itertools.pairwise(sizes)]
        self.gradients = [np.empty_like(weights) for weights in self.weights]
        self.outputs = [np.empty_like(delta) for delta in self.deltas]

    def run(self, w):
        for _ in range(w.steps):
            for index, weights in enumerate(self.weights):
                np.matmul(self.activations[index], weights, out=self.outputs[index + 1])
            for index in reversed(range(len(self.weights))):
                np.matmul(self.activations[index].T, self.deltas[index + 1], out=self.gradients[index])
                if index > 0:
                    np.matmul(self.deltas[index + 1], self.weights[index].T, out=self.outputs[index])


TRAINING = {
    "kdlib fast": lambda w: Kdlib(w, FAST),
    "kdlib exact": lambda w: Kdlib(w, EXACT),
    "kdlib fast, numba": lambda w: Kdlib(w, FAST, kernels="numba"),
    "kdlib exact, numba": lambda w: Kdlib(w, EXACT, kernels="numba"),
    "scikit-learn": ScikitLearn,
    "PyTorch eager": Torch,
    "PyTorch eager, fused optimizer": lambda w: Torch(w, fused=True),
    "PyTorch compiled": lambda w: Torch(w, fused=True, compiled=True),
    "products alone, float32": lambda w: Limit(w, np.float32),
    "products alone, float64": lambda w: Limit(w, np.float64),
}
STUDENTS = {
    "kdlib fast, 10 networks": lambda w: Kdlib(w, FAST, replicas=10),
    "kdlib exact, 10 networks": lambda w: Kdlib(w, EXACT, replicas=10),
    "kdlib fast, 10 networks, numba": lambda w: Kdlib(w, FAST, replicas=10, kernels="numba"),
    "kdlib exact, 10 networks, numba": lambda w: Kdlib(w, EXACT, replicas=10, kernels="numba"),
    "PyTorch eager, 1 network": Torch,
}
DISTILLATION = {
    "kdlib fast": lambda w: Kdlib(w, FAST),
    "kdlib fast, with the teacher's pass": lambda w: Kdlib(w, FAST, teacher_pass=True),
    "kdlib exact": lambda w: Kdlib(w, EXACT),
    "kdlib exact, numba": lambda w: Kdlib(w, EXACT, kernels="numba"),
    "PyTorch eager, teacher at every step": Torch,
    "PyTorch eager, teacher's logits cached": lambda w: Torch(w, cached_teacher=True),
}
BUSY = {
    "kdlib exact, one thread": lambda w: Kdlib(w, EXACT, count=1),
    "kdlib exact, all threads": lambda w: Kdlib(w, EXACT, fixed=True),
    "kdlib exact, by trial": lambda w: Kdlib(w, EXACT),
}
