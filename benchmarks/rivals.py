"""The systems that kdlib is compared with, as `benchmarks.systems` runs them: PyTorch and scikit-learn."""

import warnings

import numpy as np

from benchmarks.workloads import ALPHA, CLASSES, TEMPERATURE, initial_network
from kdlib.backends.arithmetic import FAST


class UnavailableError(Exception):
    """A system that cannot run here, with the reason."""


class Torch:
    """Eager float32 on the CPU: `nn.Sequential`, `torch.optim`, batches by `index_select` from a tensor in memory."""

    def __init__(self, workload, fused=None, compiled=False, cached_teacher=False):
        try:
            import torch
        except ImportError:
            raise UnavailableError("torch is not installed") from None
        self.torch, self.fused, self.cached_teacher = torch, fused, cached_teacher
        self.start = initial_network(workload.sizes, FAST)
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
