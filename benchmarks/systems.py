"""What trains: one class for each system. What a constructor and `reset` do is not timed, what `run`
does is. `logits(x)` is the network after the last `run`: it shows that the systems did the same work.
"""

import importlib.util
import itertools
import warnings
from unittest import mock

import numpy as np

from benchmarks.workloads import CLASSES, PURPOSE, SEED, initial_network
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.training import train
from kdlib.numerics import threads
from kdlib.numerics.arithmetic import Exact, Fast
from kdlib.numerics.kernels import choose
from kdlib.numerics.streams import Streams

TEMPERATURE, ALPHA = 4.0, 0.7


class UnavailableError(Exception):
    """A system that cannot run here, with the reason."""


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
        self.count, self.pace = count, _fixed if fixed else threads.Pace
        if kernels == "numba" and importlib.util.find_spec("numba") is None:
            raise UnavailableError("numba is not installed")

    def run(self, w):
        choose(self.kernels)
        if w.teacher:
            logits = w.teacher.logits(w.x)[0] if self.teacher_pass else w.teacher_logits
            objective = Distillation(w.one_hot, logits, self.arithmetic, temperature=TEMPERATURE, alpha=ALPHA)
        else:
            objective = CrossEntropy(w.one_hot, self.arithmetic)
        streams = Streams(SEED, PURPOSE, tuple(range(self.replicas)))
        threads.limit(self.count)
        try:
            with mock.patch.object(threads, "Pace", self.pace):
                self.network, _ = train(w.x, objective, (w.x[:8], w.one_hot[:8]), w.recipe, streams)
        finally:
            threads.limit(None)

    def logits(self, x):
        return self.network.logits(x)[0]


class Torch:
    """Eager float32 on the CPU: `nn.Sequential`, `torch.optim`, batches by `index_select` from a tensor in memory."""

    def __init__(self, workload, fused=None, compiled=False, cached_teacher=False):
        try:
            import torch
        except ImportError:
            raise UnavailableError("torch is not installed") from None
        self.torch, self.fused, self.cached_teacher = torch, fused, cached_teacher
        self.start = initial_network(workload.sizes, Fast)
        self.model = self.forward = torch_mlp(torch, self.start)
        if compiled:
            self.forward = torch.compile(self.model, dynamic=False)
        self.teacher = torch_mlp(torch, workload.teacher) if workload.teacher else None

    def reset(self):
        torch_fill(self.torch, self.model, self.start)

    def run(self, w):
        torch, parameters = self.torch, self.model.parameters()
        if w.optimizer == "sgd":
            optimizer = torch.optim.SGD(parameters, lr=w.rate, momentum=0.9, fused=self.fused)
        else:
            optimizer = torch.optim.Adam(parameters, lr=w.rate, fused=self.fused)
        x, labels = torch.from_numpy(w.x), torch.from_numpy(w.labels)
        teacher_logits = torch.from_numpy(w.teacher_logits) if self.cached_teacher else None
        for order in w.orders:
            for batch in torch.from_numpy(order).split(w.batch_size):
                inputs, targets = x.index_select(0, batch), labels.index_select(0, batch)
                optimizer.zero_grad()
                logits = self.forward(inputs)
                if not self.teacher:
                    loss = torch.nn.functional.cross_entropy(logits, targets)
                elif self.cached_teacher:
                    loss = self._distillation(logits, targets, teacher_logits.index_select(0, batch))
                else:
                    with torch.no_grad():
                        of_teacher = self.teacher(inputs)
                    loss = self._distillation(logits, targets, of_teacher)
                loss.backward()
                optimizer.step()

    def _distillation(self, logits, labels, teacher_logits):
        functional = self.torch.nn.functional
        log_student = functional.log_softmax(logits / TEMPERATURE, dim=1)
        soft_targets = functional.softmax(teacher_logits / TEMPERATURE, dim=1)
        soft = functional.kl_div(log_student, soft_targets, reduction="batchmean") * TEMPERATURE**2
        return ALPHA * soft + (1 - ALPHA) * functional.cross_entropy(logits, labels)

    def logits(self, x):
        with self.torch.inference_mode():
            return self.model(self.torch.from_numpy(x)).numpy()


def torch_mlp(torch, network):
    """`nn.Sequential` with the weights of a kdlib network of one replica."""
    layers = []
    for fan_in, fan_out in zip(network.sizes, network.sizes[1:], strict=False):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    torch_fill(torch, model, network)
    return model


def torch_fill(torch, model, network):
    with torch.no_grad():
        for linear, (weights, biases) in zip(model[::2], network.layers, strict=True):
            linear.weight.copy_(torch.from_numpy(weights[0].T.astype(np.float32)))
            linear.bias.copy_(torch.from_numpy(biases[0, 0].astype(np.float32)))


class ScikitLearn:
    """`MLPClassifier` in float32, one `partial_fit` for each epoch: that takes the same batches in the same order."""

    def __init__(self, workload):
        self.model = None

    def run(self, w):
        self.model = sklearn_mlp(w.hidden, w.batch_size, w.optimizer, w.rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for order in w.orders:
                self.model.partial_fit(w.x[order], w.labels[order], classes=np.arange(CLASSES))

    def logits(self, x):
        return self.model.predict_proba(x)


def sklearn_mlp(hidden, batch_size, optimizer, rate):
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier(
        hidden, solver=optimizer, alpha=0, batch_size=batch_size, learning_rate_init=rate, shuffle=False,
        momentum=0.9, nesterovs_momentum=False, early_stopping=False,
    )  # fmt: skip


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
    "kdlib fast": lambda w: Kdlib(w, Fast),
    "kdlib exact": lambda w: Kdlib(w, Exact),
    "kdlib fast, numba": lambda w: Kdlib(w, Fast, kernels="numba"),
    "kdlib exact, numba": lambda w: Kdlib(w, Exact, kernels="numba"),
    "scikit-learn": ScikitLearn,
    "PyTorch eager": Torch,
    "PyTorch eager, fused optimizer": lambda w: Torch(w, fused=True),
    "PyTorch compiled": lambda w: Torch(w, fused=True, compiled=True),
    "products alone, float32": lambda w: Limit(w, np.float32),
    "products alone, float64": lambda w: Limit(w, np.float64),
}
STUDENTS = {
    "kdlib fast, 10 networks": lambda w: Kdlib(w, Fast, replicas=10),
    "kdlib exact, 10 networks": lambda w: Kdlib(w, Exact, replicas=10),
    "kdlib fast, 10 networks, numba": lambda w: Kdlib(w, Fast, replicas=10, kernels="numba"),
    "kdlib exact, 10 networks, numba": lambda w: Kdlib(w, Exact, replicas=10, kernels="numba"),
    "PyTorch eager, 1 network": Torch,
}
DISTILLATION = {
    "kdlib fast": lambda w: Kdlib(w, Fast),
    "kdlib fast, with the teacher's pass": lambda w: Kdlib(w, Fast, teacher_pass=True),
    "kdlib exact": lambda w: Kdlib(w, Exact),
    "kdlib exact, numba": lambda w: Kdlib(w, Exact, kernels="numba"),
    "PyTorch eager, teacher at every step": Torch,
    "PyTorch eager, teacher's logits cached": lambda w: Torch(w, cached_teacher=True),
}
BUSY = {
    "kdlib exact, one thread": lambda w: Kdlib(w, Exact, count=1),
    "kdlib exact, all threads": lambda w: Kdlib(w, Exact, fixed=True),
    "kdlib exact, by trial": lambda w: Kdlib(w, Exact),
}
