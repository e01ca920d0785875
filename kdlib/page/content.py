"""The content of the page, for JSON: arrays from the artifacts, thinned to limited sizes."""

import base64
import hashlib

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.deployment.model_file import DeployedModel
from kdlib.evaluation.heldout import NETWORKS
from kdlib.io.chunks import pieces, positive_zeros
from kdlib.io.errors import UserError
from kdlib.learning.model_file import Model
from kdlib.learning.stack import parts
from kdlib.page.browser_training import Lesson
from kdlib.reporting.table import table

ROOM = 340_000  # bytes of the examples that are shown, at most; as many for those that are trained on
WEIGHTS = 300_000  # bytes of a network's weights, at most
KINDS = ("uint8", "int8", "int32", "float32", "float64")


def _bytes(array):
    return positive_zeros(array).astype(array.dtype.newbyteorder("<")).tobytes()


def packed(array: np.ndarray) -> dict:
    """Encode an array: {type, shape, data}, little-endian, in base64."""
    if array.dtype.name not in KINDS:
        array = array.astype(np.int32 if array.dtype.kind in "biu" else np.float64)
    return {"type": array.dtype.name, "shape": list(array.shape), "data": base64.b64encode(_bytes(array)).decode()}


def sha256(array: np.ndarray) -> str:
    """Hash the bytes of an array, little-endian and without negative zeros; in hex."""
    return hashlib.sha256(_bytes(array)).hexdigest()


def _are_bytes(x):
    return ((x >= 0) & (x <= 255) & (x == np.rint(x))).all()


def _raw(dataset, rows):
    """Return rows as they were loaded: in bytes if these can hold the whole dataset, else in float64."""
    x = dataset.x
    bytes_hold = x.dtype == np.uint8 or all(_are_bytes(piece) for piece in pieces(x))
    return x[rows].astype(np.uint8 if bytes_hold else np.float64)


def room(dataset: Dataset) -> int:
    """Return how many examples fit, each with the logits of three networks."""
    return ROOM // (_raw(dataset, [0]).nbytes + 4 * len(NETWORKS) * len(dataset.class_names))


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


def content(
    dataset: Dataset,
    models: dict[str, Model],
    integers: DeployedModel,
    predictions: dict[str, np.ndarray],
    lesson: Lesson | None,
) -> dict:
    """Collect what the page shows; train the networks of the lesson for comparison with the browser's.

    All indices of examples are positions in the content's `x` and `y`.

    Parameters
    ----------
    dataset : Dataset
    models : dict
        {network: Model}.
    integers : DeployedModel
        The deployed student as integers.
    predictions : dict
        Arrays of the stage evaluate's file.
    lesson : Lesson or None

    Raises
    ------
    UserError
        If `predictions` belong to another dataset.
    """
    rows, logits_shown = _shown(dataset, predictions, room(dataset))
    used = [lesson.rows, lesson.validation] if lesson else []
    all_rows = np.unique(np.concatenate([rows, *used]))

    def places(of):
        return packed(np.searchsorted(all_rows, of).astype(np.int32))

    split = integers.card.split
    logits = models["teacher"].logits
    scaling = {name: packed(getattr(dataset, name)[split]) for name in ("offset", "scale")}
    found = {
        "classes": dataset.class_names, "features": [] if dataset.image_shape else dataset.feature_names,
        "image": list(dataset.image_shape), "dataset": dataset.digest, "highest": float(np.max(dataset.x)),
        "x": packed(_raw(dataset, all_rows)), "y": packed(dataset.y[all_rows].astype(np.int32)), "scaling": scaling,
        "shown": {"rows": places(rows)} | {name: packed(values) for name, values in logits_shown.items()},
        "teacher": _teacher(models["teacher"], dataset.splits, split), "integers": _integers(integers),
        "deployed": sha256(models["student"].weights_to_deploy), "lesson": None,
    }  # fmt: skip
    if lesson:
        deployed = models["student"].sweep.deployed_network()[2]
        found["lesson"] = _lesson(dataset, lesson, logits[split]) | {
            "replica": min(deployed, len(lesson.streams.replicas) - 1),
            "rows": places(lesson.rows), "all": len(dataset.rows("train", split)),
            "labels": packed(dataset.labels(lesson.rows, split).astype(np.int32)),
            "labeled": places(lesson.labeled), "validation": places(lesson.validation),
            "logits": packed(logits[split][lesson.rows]),
        }  # fmt: skip
    return found


def _lesson(dataset, lesson, logits):
    """Train the lesson's networks; return recipes, curves, and the SHA-256 of each network's parameters."""
    trained = {"student": lesson.student(dataset, logits), "baseline": lesson.baseline(dataset)}
    found = {}
    for name, recipe in (("student", lesson.recipe), ("baseline", lesson.control)):
        network, curve = trained[name]
        found[name] = {key: packed(values) for key, values in curve.items()}
        found[name] |= {"sha256": [sha256(own) for own in network.parameters], "epochs": recipe.epochs}
        found[name]["rate"] = recipe.learning_rate
    names = ("batch_size", "momentum", "nesterov", "schedule", "warmup")
    found["recipe"] = {name: getattr(lesson.recipe, name) for name in names} | lesson.setting
    found["recipe"]["sizes"] = list(trained["student"][0].sizes)
    streams = {"seed": lesson.streams.seed, "replicas": list(lesson.streams.replicas)}
    return found | streams | {"split": lesson.split, "changed": list(lesson.changed)}


def _integers(deployed):
    """Encode the integer network, with the SHA-256 of its concatenated int32 arrays; None if it is too large."""
    network = deployed.network
    layers = [array for layer in network.layers for array in layer]
    if sum(array.nbytes for array in layers) > WEIGHTS:  # integers
        return None
    arrays = [np.ravel(array).astype(np.int32) for array in (*layers, *network.shifts)]
    return {
        "bits": network.bits, "layers": [[packed(array) for array in layer] for layer in network.layers],
        "shifts": [packed(shifts) for shifts in network.shifts], "input_exponent": network.input_exponent,
        "zero_point": network.zero_point, "logit_exponent": network.logit_exponent,
        "offset": packed(deployed.offset), "scale": packed(deployed.scale), "sha256": sha256(np.concatenate(arrays)),
    }  # fmt: skip


def _teacher(model, splits, split):
    """Encode the weights of a split's members, (R, parameters) float32; None if there are none, or too large ones."""
    own = model.network.part(parts(splits, model.network.replicas)[split]) if model.network else None
    if own is None or own.parameters.nbytes > WEIGHTS:
        return None
    return {"sizes": list(own.sizes), "parameters": packed(own.parameters)}


def worth(details: dict, pictures: dict[str, str]) -> dict:
    """Convert the report to the page's section of results: its table without the validation rows, and the lines below.

    Parameters
    ----------
    details : dict
        Of `kdlib.reporting.report.report`.
    pictures : dict
        {name: SVG text}.
    """
    lines = table(details).replace(";\n", "; ").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    return {
        "rows": [row for row in rows if not row[0].startswith(("validation", "-"))],
        "lines": [line for line in lines if line and not line.startswith(("|", "validation"))],
        "pictures": {name: f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
                     for name, svg in pictures.items()},
    }  # fmt: skip
