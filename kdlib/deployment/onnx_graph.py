"""Build a graph of ONNX nodes and the bytes of its file, without the package `onnx`.

The numbers of the fields are those of onnx/onnx.proto3, https://github.com/onnx/onnx.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from kdlib.deployment.protobuf import message

IR_VERSION = 8
OPSETS = {"": 13, "ai.onnx.ml": 1}
TYPES = {"float32": 1, "int8": 3, "int32": 6, "int64": 7, "str": 8, "float64": 11}
# Types of attributes.
INT = 2
INTS = 7
STRINGS = 8


def _attribute(name, value):
    if isinstance(value, int):
        return message((1, name), (3, value), (20, INT))
    texts = isinstance(value[0], str)
    return message((1, name), (9 if texts else 8, list(value)), (20, STRINGS if texts else INTS))


def _value_info(name, kind, width):
    """Describe a tensor (n, width), or (n,) if width is None."""
    dimensions = [message((2, "n"))] + ([message((1, width))] if width else [])
    shape = message((1, dimensions))
    return message((1, name), (2, message((1, message((1, TYPES[kind]), (2, shape))))))


class Graph:
    """An ONNX graph. Nodes are kept in the order in which they are added.

    A tensor is identified by its name. `input`, `constant` and `node` return the name of the tensor that they add. The
    kind of a tensor is a key of TYPES.
    """

    def __init__(self):
        self._nodes = []
        self._tensors = []
        self._inputs = []
        self._outputs = []

    def input(self, name: str, kind: str, width: int) -> str:
        """Add an input (n, width)."""
        self._inputs.append(_value_info(name, kind, width))
        return name

    def output(self, name: str, kind: str, width: int | None) -> None:
        """Make a tensor (n, width), or (n,) if width is None, an output."""
        self._outputs.append(_value_info(name, kind, width))

    def constant(self, value: np.ndarray | float | Sequence, kind: str) -> str:
        """Add a constant: an array, a number, or a list of numbers or of texts."""
        name = f"/constant_{len(self._tensors)}"
        raw = None
        texts = []
        if kind == "str":
            shape = [len(value)]
            texts = list(value)
        else:
            array = np.asarray(value)
            shape = list(array.shape)
            raw = array.astype(np.dtype(kind).newbyteorder("<")).tobytes()
        self._tensors.append(message((1, shape), (2, TYPES[kind]), (6, texts), (8, name), (9, raw)))
        return name

    def node(
        self,
        operator: str,
        *inputs: str,
        output: str | None = None,
        domain: str = "",
        **attributes: int | Sequence[int] | Sequence[str],
    ) -> str:
        """Apply an operator to tensors.

        Parameters
        ----------
        operator : str
            Its name in ONNX.
        *inputs : str
            Names of tensors.
        output : str, optional
            Name of the result.
        domain : str
            A key of OPSETS.
        **attributes
            Attributes of the operator.

        Returns
        -------
        str
            Name of the result.
        """
        output = output or f"/{operator.lower()}_{len(self._nodes)}"
        named = [_attribute(name, value) for name, value in sorted(attributes.items())]
        fields = (1, list(inputs)), (2, output), (3, f"node_{len(self._nodes)}"), (4, operator), (5, named)
        self._nodes.append(message(*fields, (7, domain or None)))
        return output

    def file(self, metadata: Mapping[str, str]) -> bytes:
        """Return the bytes of a model with this graph and these metadata."""
        graph = message((1, self._nodes), (2, "student"), (5, self._tensors), (11, self._inputs), (12, self._outputs))
        opsets = [message((1, domain), (2, version)) for domain, version in OPSETS.items()]
        properties = [message((1, key), (2, value)) for key, value in sorted(metadata.items())]
        return message((1, IR_VERSION), (2, "kdlib"), (7, graph), (8, opsets), (14, properties))
