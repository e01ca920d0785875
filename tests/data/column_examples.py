"""An example of each kind of columns: what its cells become. Tests of encoding, prediction and ONNX go through all."""

from dataclasses import dataclass

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.data.encoding import Column, Encoding
from kdlib.deployment.float_network import FloatNetwork
from kdlib.deployment.model_file import DeployedModel, ModelCard
from kdlib.learning.network import Network


@dataclass(frozen=True)
class Example:
    """A column, texts of cells, and the features of each cell."""

    column: Column
    cells: list[str]
    features: list[list[float]]

    @property
    def csv(self):
        """The text of a CSV with this column."""
        return "\n".join([self.column.name, *(f'"{cell}"' for cell in self.cells)]) + "\n"


EXAMPLES = {
    "number": Example(
        Column("share", "number", fill=3.5, missing=True, notation="1,5%", missing_texts=("-9",)),
        ["0,5 %", "7%", "", "-9", "-1,25%"],
        [[0.5, 0], [7, 0], [3.5, 1], [3.5, 1], [-1.25, 0]],
    ),
    "date": Example(
        Column("born", "date", fill=12.25),
        ["1970-01-03", "1969-12-31T12:00", "NA"],
        [[2], [-0.5], [12.25]],
    ),
    "boolean": Example(
        Column("fresh", "boolean", missing=True),
        ["true", "False", "?"],
        [[1, 0], [0, 0], [0, 1]],
    ),
    "category": Example(
        Column("colour", "category", categories=("blue", "red, dark"), rare=("green", "ж"), missing=True),
        ["blue", "red, dark", "ж", "violet", "", "green"],
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]],
    ),
}


def deployed(columns=(), features=()):
    """A `DeployedModel` with random weights, of a table with an encoding, or of numbers."""
    encoding = Encoding(columns)
    features = encoding.feature_names or list(features)
    network = Network((len(features), 5, 3), 1, EXACT)
    network.parameters[:] = np.random.default_rng(0).normal(size=network.parameters.shape)
    card = ModelCard(["a", "b", "c"], features, [], encoding.to_json() if columns else "", "", "", {}, {}, 0, 0)
    return DeployedModel(FloatNetwork(network), card, np.zeros(1), np.ones(1))
