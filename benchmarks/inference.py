"""Inference of a batch in memory, one class for each system. All have the same weights; `run` returns the outputs."""

import warnings

import numpy as np

from benchmarks.rivals import UnavailableError, sklearn_mlp, torch_mlp
from benchmarks.workloads import CLASSES, initial_network
from kdlib.backends.arithmetic import EXACT, FAST

SIZES = (784, 256, 256, 10)


class Kdlib:
    def __init__(self, x, arithmetic):
        self.x, self.network = x, initial_network(SIZES, arithmetic)

    def run(self):
        return self.network.logits(self.x)[0]


class Torch:
    """Under `inference_mode`."""

    def __init__(self, x):
        try:
            import torch
        except ImportError:
            raise UnavailableError("torch is not installed") from None
        self.torch, self.x = torch, torch.from_numpy(x)
        self.model = torch_mlp(torch, initial_network(SIZES, FAST)).eval()

    def run(self):
        with self.torch.inference_mode():
            return self.model(self.x)


class ScikitLearn:
    """`predict_proba`, the only public function that gives more than the class."""

    def __init__(self, x):
        self.x, self.model = x, sklearn_mlp(SIZES[1:-1], 32, "sgd", 0.1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            blank, classes = np.zeros((CLASSES, SIZES[0]), np.float32), np.arange(CLASSES)
            self.model.partial_fit(blank, classes, classes=classes)
        layers = initial_network(SIZES, FAST).layers
        self.model.coefs_ = [weights[0] for weights, _ in layers]
        self.model.intercepts_ = [biases[0, 0] for _, biases in layers]

    def run(self):
        return np.log(self.model.predict_proba(self.x))


class OnnxRuntime:
    def __init__(self, x):
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise UnavailableError(f"{error.name} is not installed") from None
        model = onnx_mlp(onnx, initial_network(SIZES, FAST))
        self.x = x
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])

    def run(self):
        return self.session.run(None, {"x": self.x})[0]


def onnx_mlp(onnx, network):
    """`onnx.ModelProto` of a network of one replica: Gemm and Relu, x (n, features) -> logits (n, classes)."""
    from onnx import TensorProto, helper, numpy_helper

    nodes, tensors, name = [], [], "x"
    for index, (weights, biases) in enumerate(network.layers):
        tensors += [
            numpy_helper.from_array(weights[0], f"w{index}"),
            numpy_helper.from_array(biases[0, 0], f"b{index}"),
        ]
        last = index == len(network.layers) - 1
        nodes.append(helper.make_node("Gemm", [name, f"w{index}", f"b{index}"], ["logits" if last else f"z{index}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"z{index}"], [f"a{index}"]))
        name = f"a{index}"
    ends = [
        helper.make_tensor_value_info(value, TensorProto.FLOAT, ["n", width])
        for value, width in (("x", network.sizes[0]), ("logits", network.sizes[-1]))
    ]
    graph = helper.make_graph(nodes, "mlp", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


INFERENCE = {
    "kdlib fast": lambda x: Kdlib(x, FAST),
    "kdlib exact": lambda x: Kdlib(x, EXACT),
    "scikit-learn": ScikitLearn,
    "PyTorch eager": Torch,
    "ONNX Runtime": OnnxRuntime,
}


def check(outputs):
    """Raises AssertionError where one system's probabilities are not the first one's."""

    def probabilities(logits):
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    first, *others = [probabilities(np.asarray(output, np.float64)) for output in outputs]
    for other in others:
        np.testing.assert_allclose(other, first, rtol=0, atol=1e-4)
