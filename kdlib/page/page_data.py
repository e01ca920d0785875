"""The data of the page, for JSON: arrays from the artifacts, thinned to limited sizes."""

import base64
import hashlib

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.deployment.model_file import DeployedModel
from kdlib.evaluation.heldout import NETWORKS
from kdlib.io.chunks import canonical_chunks, positive_zeros
from kdlib.io.errors import UserError
from kdlib.learning.model_file import Model
from kdlib.learning.stack import network_slices
from kdlib.page.browser_training import BrowserTraining
from kdlib.reporting.table import column_names, sentences, table_rows

MAX_EXAMPLE_BYTES = 340_000  # of the examples that are shown; as many for those that are trained on
MAX_WEIGHT_BYTES = 300_000  # of a network
DTYPES = ("uint8", "int8", "int32", "float32", "float64")


def _bytes(array):
    return positive_zeros(array).astype(array.dtype.newbyteorder("<")).tobytes()


def encode_array(array: np.ndarray) -> dict:
    """Encode an array: {type, shape, data}, little-endian, in base64."""
    if array.dtype.name not in DTYPES:
        array = array.astype(np.int32 if array.dtype.kind in "biu" else np.float64)
    return {"type": array.dtype.name, "shape": list(array.shape), "data": base64.b64encode(_bytes(array)).decode()}


def array_sha256(array: np.ndarray) -> str:
    """Hash the bytes of an array, little-endian and without negative zeros; in hex."""
    return hashlib.sha256(_bytes(array)).hexdigest()


def _are_bytes(x):
    return ((x >= 0) & (x <= 255) & (x == np.rint(x))).all()


def _raw(dataset, rows):
    """Return rows as they were loaded: in bytes if these can hold the whole dataset, else in float64."""
    x = dataset.x
    bytes_hold = x.dtype == np.uint8 or all(_are_bytes(chunk) for chunk in canonical_chunks(x))
    return x[rows].astype(np.uint8 if bytes_hold else np.float64)


def max_examples(dataset: Dataset) -> int:
    """Return how many examples fit into the page, each with the logits of three networks."""
    return MAX_EXAMPLE_BYTES // (_raw(dataset, [0]).nbytes + 4 * len(NETWORKS) * len(dataset.class_names))


def _shown(dataset, predictions, most):
    """Choose test examples, each once; return their rows, and {network: logits (n, classes)} of the first replica."""
    rows = np.concatenate([dataset.rows("test", split) for split in range(dataset.splits)])
    first = np.unique(rows, return_index=True)[1]
    kept = first[:: max(1, -(-len(first) // max(1, most)))]
    logits = {}
    for name in NETWORKS:
        own = [np.atleast_1d(predictions.get(f"{name}_test_{split}", 0))[:1] for split in range(dataset.splits)]
        shapes = [(1, len(dataset.rows("test", split)), len(dataset.class_names)) for split in range(dataset.splits)]
        if [a.shape for a in own] != shapes or not all(a.dtype == np.float32 and np.isfinite(a).all() for a in own):
            raise UserError(f"predictions: those of the {name} are not of this dataset; run the stage evaluate again")
        logits[name] = np.concatenate([a[0] for a in own])[kept]
    return rows[kept], logits


def page_data(
    dataset: Dataset,
    models: dict[str, Model],
    integers: DeployedModel,
    predictions: dict[str, np.ndarray],
    training: BrowserTraining | None,
    why_untrained: str = "",
) -> dict:
    """Collect what the page shows; train the networks of `training` for comparison with the browser's.

    All indices of examples are positions in the data's `x` and `y`.

    Parameters
    ----------
    dataset : Dataset
    models : dict
        {network: Model}.
    integers : DeployedModel
        The deployed student as integers.
    predictions : dict
        Arrays of the stage evaluate's file.
    training : BrowserTraining or None
    why_untrained : str, optional
        A sentence for the page, if `training` is None.

    Raises
    ------
    UserError
        If `predictions` belong to another dataset.
    """
    rows, logits_shown = _shown(dataset, predictions, max_examples(dataset))
    used = [training.rows, training.validation] if training else []
    all_rows = np.unique(np.concatenate([rows, *used]))

    def places(of):
        return encode_array(np.searchsorted(all_rows, of).astype(np.int32))

    split = integers.card.split
    logits = models["teacher"].logits
    scaling = {name: encode_array(getattr(dataset, name)[split]) for name in ("offset", "scale")}
    found = {
        "classes": dataset.class_names, "features": [] if dataset.image_shape else dataset.feature_names,
        "image": list(dataset.image_shape), "dataset": dataset.digest, "highest": float(np.max(dataset.x)),
        "x": encode_array(_raw(dataset, all_rows)), "y": encode_array(dataset.y[all_rows].astype(np.int32)),
        "scaling": scaling,
        "shown": {"rows": places(rows)} | {name: encode_array(values) for name, values in logits_shown.items()},
        "teacher": _teacher(models["teacher"], dataset.splits, split), "integers": _integers(integers),
        "deployed": array_sha256(models["student"].weights_to_deploy), "lesson": None, "untrained": why_untrained,
    }  # fmt: skip
    if training:
        deployed = models["student"].sweep.deployed_network()[2]
        found["lesson"] = _trained(dataset, training, logits[split]) | {
            "replica": min(deployed, len(training.streams.replicas) - 1),
            "rows": places(training.rows), "all": len(dataset.rows("train", split)),
            "labels": encode_array(dataset.labels(training.rows, split).astype(np.int32)),
            "labeled": places(training.labeled), "validation": places(training.validation),
            "logits": encode_array(logits[split][training.rows]),
        }  # fmt: skip
    return found


def _trained(dataset, training, logits):
    """Train the networks; return recipes, curves, and the SHA-256 of each network's parameters."""
    trained = {"student": training.student(dataset, logits), "baseline": training.baseline(dataset)}
    found = {}
    for name, recipe in (("student", training.recipe), ("baseline", training.baseline_recipe)):
        network, curve = trained[name]
        found[name] = {key: encode_array(values) for key, values in curve.items()}
        found[name] |= {"sha256": [array_sha256(own) for own in network.parameters], "epochs": recipe.epochs}
        found[name]["rate"] = recipe.learning_rate
    names = ("batch_size", "momentum", "nesterov", "schedule", "warmup", "keep")
    found["recipe"] = {name: getattr(training.recipe, name) for name in names} | training.objective
    found["recipe"]["sizes"] = list(trained["student"][0].sizes)
    streams = {"seed": training.streams.seed, "replicas": list(training.streams.replicas)}
    return found | streams | {"split": training.split}


def _integers(deployed):
    """Encode the integer network, with the SHA-256 of its concatenated int32 arrays; None if it is too large."""
    network = deployed.network
    layers = [array for layer in network.layers for array in layer]
    if sum(array.nbytes for array in layers) > MAX_WEIGHT_BYTES:  # lint: integer sum
        return None
    arrays = [np.ravel(array).astype(np.int32) for array in (*layers, *network.shifts)]
    return {
        "bits": network.bits, "layers": [[encode_array(array) for array in layer] for layer in network.layers],
        "shifts": [encode_array(shifts) for shifts in network.shifts], "input_exponent": network.input_exponent,
        "zero_point": network.zero_point, "logit_exponent": network.logit_exponent,
        "offset": encode_array(deployed.offset), "scale": encode_array(deployed.scale),
        "sha256": array_sha256(np.concatenate(arrays)),
    }  # fmt: skip


def _teacher(model, splits, split):
    """Encode the weights of a split's members, (R, parameters) float32; None if there are none, or too large ones."""
    own = model.network.select(network_slices(splits, model.network.replicas)[split]) if model.network else None
    if own is None or own.parameters.nbytes > MAX_WEIGHT_BYTES:
        return None
    return {"sizes": list(own.sizes), "parameters": encode_array(own.parameters)}


def results_section(details: dict, pictures: dict[str, str]) -> dict:
    """Convert the report to the page's section of results: its table without the validation rows, and the lines below.

    Parameters
    ----------
    details : dict
        Of `kdlib.reporting.report.build_report`.
    pictures : dict
        {name: SVG text}.
    """
    shown = ("test",)
    return {
        "rows": [column_names(details), *table_rows(details, shown)],
        "lines": [line.replace("\n", " ") for line in sentences(details, shown)],
        "pictures": {name: f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
                     for name, svg in pictures.items()},
    }  # fmt: skip
