"""A deployed network as an ONNX model: raw rows in; label, probabilities and logits out."""

import json
from dataclasses import asdict

import numpy as np

from kdlib.data.parsing import MISSING, spellings
from kdlib.deployment.features import encoding
from kdlib.deployment.integer_network import HIGHEST
from kdlib.deployment.onnx_graph import TYPES, Graph

ML, OUTPUTS = "ai.onnx.ml", ("label", "probabilities", "logits")


def onnx_file(deployed):
    """bytes of the model of a `Deployed`.

    Its input is `rows`, (n, features) float64. Of a table with an encoding each column is an input of its name, (n, 1),
    with underscores after it, until no column has the name, if an output has it: numbers, truth values (0 or 1) and
    dates (days since 1970-01-01 UTC) float64, NaN where missing, in whatever notation the table had them (0.5 for
    `0,5`, 5 for `5%`);
    categories texts without blanks around them, which are compared as they are: a trained value, or one of its
    `kdlib.data.parsing.spellings`. Outputs: `label` (n,) texts; `probabilities` and `logits`, (n, classes), float64 of
    integers, float32 of floats. Rows that Python refuses have answers that mean nothing.
    """
    graph, network, about = Graph(), deployed.network, deployed.about
    kind, width = network.settings()["kind"], network.sizes[-1]
    x = _table(graph, encoding(about)) if about.encoding else graph.input("rows", "float64", network.sizes[0])
    x = graph.node("Sub", x, graph.constant(deployed.offset, "float64"))
    x = graph.node("Mul", x, graph.constant(deployed.scale, "float64"))
    logits, of = (_integers if kind == "integers" else _floats)(graph, network, x)
    graph.node("Identity", logits, output="logits")
    graph.node("Softmax", logits, output="probabilities", axis=-1)
    best = graph.node("ArgMax", logits, axis=1, keepdims=0)
    graph.node("Gather", graph.constant(about.classes, "str"), best, output="label")
    graph.output("label", "str", None)
    graph.output("probabilities", of, width)
    graph.output("logits", of, width)
    settings = network.settings() | asdict(about)
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True) for key, value in settings.items()
    }
    return graph.file(texts)


def _floats(graph, network, x):
    x = graph.node("Cast", x, to=TYPES["float32"])
    for index, (weights, biases) in enumerate(network.network.layers):
        x = graph.node("Relu", x) if index else x
        x = graph.node("Gemm", x, graph.constant(weights[0], "float32"), graph.constant(biases[0, 0], "float32"))
    return x, "float32"


def _integers(graph, network, x):
    """`IntegerNetwork.sums` in float64, which holds each of its integers: kernels for int8 may saturate or round."""

    def scaled(x, exponents):
        return graph.node("Mul", x, graph.constant(np.ldexp(1.0, exponents), "float64"))

    def rounded(x, low, high):
        limits = (graph.constant(float(limit), "float64") for limit in (low, high))
        return graph.node("Clip", graph.node("Round", x), *limits)

    low = -network.zero_point
    x = rounded(scaled(x, network.input_exponent), low, low + HIGHEST)
    x = graph.node("Sub", x, graph.constant(float(low), "float64"))
    for index, (weights, biases) in enumerate(network.layers):
        w, b = graph.constant(weights, "int8"), graph.constant(biases, "int32")
        w, b = (graph.node("Cast", one, to=TYPES["float64"]) for one in (w, b))
        x = graph.node("Add", graph.node("MatMul", x, w), b)
        if index < len(network.shifts):
            x = rounded(scaled(x, -network.shifts[index].astype(int)), 0, HIGHEST)
    return scaled(x, -network.logit_exponent), "float64"


def _input_name(column, encoded):
    name, names = column.name, {other.name for other in encoded.columns}
    while name in OUTPUTS or (name != column.name and name in names):
        name += "_"
    return name


def _table(graph, encoded):
    """The features (n, features), float64, of the columns of an `Encoding`."""
    parts = []
    for column in encoded.columns:
        if column.kind == "category":
            cells = graph.input(_input_name(column, encoded), "str", 1)
            width = len(column.feature_names)
            places = {value: k for k, value in enumerate(column.categories)}
            places |= dict.fromkeys(column.rare, len(column.categories))
            for text in sorted(MISSING.union(column.missing_texts, *map(spellings, column.missing_texts))):
                places.setdefault(text, width - 1 if column.missing else width)
            for value in sorted((*column.categories, *column.rare), key=len):
                for text in sorted(spellings(value)):
                    places.setdefault(text, places[value])
            of_place = np.array([*places.values()])[:, None] == np.arange(width)
            hot = graph.node("OneHotEncoder", cells, domain=ML, cats_strings=[*places], zeros=1)
            hot = graph.node("Reshape", hot, graph.constant([-1, len(places)], "int64"))
            parts.append(
                graph.node("MatMul", graph.node("Cast", hot, to=TYPES["float64"]), graph.constant(of_place, "float64"))
            )
            continue
        cells = graph.input(_input_name(column, encoded), "float64", 1)
        missing = graph.node("IsNaN", cells)
        parts.append(graph.node("Where", missing, graph.constant(column.fill, "float64"), cells))
        if column.missing:
            parts.append(graph.node("Cast", missing, to=TYPES["float64"]))
    return graph.node("Concat", *parts, axis=1)
