"""Export a deployed network as an ONNX model: raw rows in; label, probabilities and logits out."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from kdlib.data.parsing import MISSING_TEXTS, other_spellings
from kdlib.deployment.features import encoding
from kdlib.deployment.integer_network import MAX_ACTIVATION
from kdlib.deployment.onnx_graph import TYPES, Graph
from kdlib.io.errors import UserError

if TYPE_CHECKING:
    from kdlib.deployment.model_file import DeployedModel

ML_DOMAIN = "ai.onnx.ml"
OUTPUTS = ("label", "probabilities", "logits")


def onnx_file(deployed: "DeployedModel") -> bytes:
    """Return the bytes of the ONNX model of a deployed network.

    Inputs. Without an encoding there is one input `rows`, (n, features) float64. With an encoding each column is an
    input (n, 1) of its name. If an output has the same name, underscores are appended until no column has the name.

    - Numbers, truth values (0 or 1) and dates (days since 1970-01-01 UTC) are float64, NaN where missing. The notation
      of the table does not matter: 0.5 for `0,5`, 5 for `5%`.
    - Categories are texts without blanks at their ends. They are compared literally: with a trained value, or with one
      of its `kdlib.data.parsing.other_spellings`.

    Outputs. `label` (n,) texts; `probabilities` and `logits`, (n, classes), float64 of an integer network, float32 of a
    float network. For rows that Python refuses, the outputs have no meaning.

    Raises
    ------
    UserError
        If a column is of a kind that is not in `EXPORTERS`.
    """
    graph = Graph()
    network = deployed.network
    card = deployed.card
    x = _encoded_columns(graph, encoding(card)) if card.encoding else graph.input("rows", "float64", network.sizes[0])
    x = graph.node("Sub", x, graph.constant(deployed.offset, "float64"))
    x = graph.node("Mul", x, graph.constant(deployed.scale, "float64"))
    if network.metadata()["kind"] == "integers":
        logits = _integer_logits(graph, network, x)
        kind = "float64"
    else:
        logits = _float_logits(graph, network, x)
        kind = "float32"
    graph.node("Identity", logits, output="logits")
    graph.node("Softmax", logits, output="probabilities", axis=-1)
    best = graph.node("ArgMax", logits, axis=1, keepdims=0)
    graph.node("Gather", graph.constant(card.classes, "str"), best, output="label")
    graph.output("label", "str", None)
    graph.output("probabilities", kind, network.sizes[-1])
    graph.output("logits", kind, network.sizes[-1])
    given = network.metadata() | asdict(card)
    metadata = {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in given.items()
    }
    return graph.file(metadata)


def _float_logits(graph, network, x):
    """Add the layers of a `FloatNetwork`, in float32."""
    x = graph.node("Cast", x, to=TYPES["float32"])
    for index, (weights, biases) in enumerate(network.network.layers):
        x = graph.node("Relu", x) if index else x
        x = graph.node("Gemm", x, graph.constant(weights[0], "float32"), graph.constant(biases[0, 0], "float32"))
    return x


def _integer_logits(graph, network, x):
    """Add `IntegerNetwork.logits` in float64, which holds all its integers: kernels for int8 may saturate or round."""

    def scaled(x, exponents):
        return graph.node("Mul", x, graph.constant(np.ldexp(1.0, exponents), "float64"))

    def rounded(x, low, high):
        nearest = graph.node("Round", x)
        lower = graph.constant(float(low), "float64")
        upper = graph.constant(float(high), "float64")
        return graph.node("Clip", nearest, lower, upper)

    low = -network.zero_point
    x = rounded(scaled(x, network.input_exponent), low, low + MAX_ACTIVATION)
    x = graph.node("Sub", x, graph.constant(float(low), "float64"))
    for index, (weights, biases) in enumerate(network.layers):
        int8_weights = graph.constant(weights, "int8")
        int32_biases = graph.constant(biases, "int32")
        w = graph.node("Cast", int8_weights, to=TYPES["float64"])
        b = graph.node("Cast", int32_biases, to=TYPES["float64"])
        x = graph.node("Add", graph.node("MatMul", x, w), b)
        if index < len(network.shifts):
            x = rounded(scaled(x, -network.shifts[index].astype(int)), 0, MAX_ACTIVATION)
    return scaled(x, -network.logit_exponent)


def _input_name(column, encoded):
    """Return the column's name, with underscores appended while an output or another column has the name."""
    name = column.name
    names = {other.name for other in encoded.columns}
    while name in OUTPUTS or (name != column.name and name in names):
        name += "_"
    return name


def _encoded_columns(graph, encoded):
    """Add an input for each column of an `Encoding`; return the features (n, features), float64."""
    parts = []
    for column in encoded.columns:
        if column.kind not in EXPORTERS:
            allowed = ", ".join(EXPORTERS)
            raise UserError(
                f"ONNX: column {column.name}: no export of its encoding {column.kind}; allowed are {allowed}"
            )
        parts += EXPORTERS[column.kind](graph, column, _input_name(column, encoded))
    return graph.node("Concat", *parts, axis=1)


def _filled(graph, column, input_name):
    """Add the input of a column of numbers; return its features, each (n, 1) float64."""
    cells = graph.input(input_name, "float64", 1)
    missing = graph.node("IsNaN", cells)
    parts = [graph.node("Where", missing, graph.constant(column.fill, "float64"), cells)]
    return parts + ([graph.node("Cast", missing, to=TYPES["float64"])] if column.missing else [])


def _one_hot(graph, column, input_name):
    """Add the input of a category column; return its one-hot features, [(n, width) float64]."""
    cells = graph.input(input_name, "str", 1)
    width = len(column.feature_names)
    feature_of = {value: k for k, value in enumerate(column.categories)}
    feature_of |= dict.fromkeys(column.rare, len(column.categories))
    for text in sorted(MISSING_TEXTS.union(column.missing_texts, *map(other_spellings, column.missing_texts))):
        feature_of.setdefault(text, width - 1 if column.missing else width)
    for value in sorted((*column.categories, *column.rare), key=len):
        for text in sorted(other_spellings(value)):
            feature_of.setdefault(text, feature_of[value])
    text_to_feature = np.array([*feature_of.values()])[:, None] == np.arange(width)
    hot = graph.node("OneHotEncoder", cells, domain=ML_DOMAIN, cats_strings=[*feature_of], zeros=1)
    hot = graph.node("Reshape", hot, graph.constant([-1, len(feature_of)], "int64"))
    hot = graph.node("Cast", hot, to=TYPES["float64"])
    return [graph.node("MatMul", hot, graph.constant(text_to_feature, "float64"))]


# {kind of a column: function that adds its input to the graph and returns its features}
EXPORTERS = {"number": _filled, "date": _filled, "boolean": _filled, "category": _one_hot}
