"""A graph of ONNX nodes and the bytes of its file, without the package `onnx`.

The numbers of the fields are those of onnx/onnx.proto3, https://github.com/onnx/onnx.
"""

import numpy as np

from kdlib.deployment.protobuf import message

IR_VERSION, OPSETS = 8, {"": 13, "ai.onnx.ml": 1}
TYPES = {"float32": 1, "int8": 3, "int32": 6, "int64": 7, "str": 8, "float64": 11}
INT, STRINGS, INTS = 2, 8, 7  # types of attributes


def _attribute(name, value):
    if isinstance(value, int):
        return message((1, name), (3, value), (20, INT))
    texts = isinstance(value[0], str)
    return message((1, name), (9 if texts else 8, list(value)), (20, STRINGS if texts else INTS))


def _described(name, kind, width):
    """A tensor (n, width), or (n,) where width is None."""
    dimensions = [message((2, "n"))] + ([message((1, width))] if width else [])
    shape = message((1, dimensions))
    return message((1, name), (2, message((1, message((1, TYPES[kind]), (2, shape))))))


class Graph:
    """Nodes in their order. A tensor is known by its name; each method that makes one returns it."""

    def __init__(self):
        self._nodes, self._tensors, self._inputs, self._outputs = [], [], [], []

    def input(self, name, kind, width):
        """(n, width). kind: a key of TYPES."""
        self._inputs.append(_described(name, kind, width))
        return name

    def output(self, name, kind, width):
        self._outputs.append(_described(name, kind, width))

    def constant(self, value, kind):
        """Of an array, a number, or a list of texts."""
        name, raw, texts = f"/constant_{len(self._tensors)}", None, []
        if kind == "str":
            shape, texts = [len(value)], list(value)
        else:
            array = np.asarray(value)
            shape, raw = list(array.shape), array.astype(np.dtype(kind).newbyteorder("<")).tobytes()
        self._tensors.append(message((1, shape), (2, TYPES[kind]), (6, texts), (8, name), (9, raw)))
        return name

    def node(self, operator, *inputs, output=None, domain="", **attributes):
        """The result of an operator on tensors."""
        output = output or f"/{operator.lower()}_{len(self._nodes)}"
        named = [_attribute(name, value) for name, value in sorted(attributes.items())]
        fields = (1, list(inputs)), (2, output), (3, f"node_{len(self._nodes)}"), (4, operator), (5, named)
        self._nodes.append(message(*fields, (7, domain or None)))
        return output

    def file(self, metadata):
        """bytes of a model. metadata: {key: text}."""
        graph = message((1, self._nodes), (2, "student"), (5, self._tensors), (11, self._inputs), (12, self._outputs))
        opsets = [message((1, domain), (2, version)) for domain, version in OPSETS.items()]
        properties = [message((1, key), (2, value)) for key, value in sorted(metadata.items())]
        return message((1, IR_VERSION), (2, "kdlib"), (7, graph), (8, opsets), (14, properties))
