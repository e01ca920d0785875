"""The artifact of a trained stack: weights, learning curve, where it comes from and, of a teacher, logits."""

import json
from dataclasses import dataclass, field

import numpy as np

from kdlib.artifacts import digest, read_npz, write_npz
from kdlib.data.dataset import SPLITS
from kdlib.errors import UserError
from kdlib.learning import losses
from kdlib.learning.network import Network
from kdlib.learning.training import CURVES
from kdlib.numerics.arithmetic import Exact


@dataclass
class Model:
    """network: a stack in exact arithmetic, or None. curve: {name: (R, epochs)}. logits: {split: (n, classes)}.

    recipe: {key of params.yaml: value}, of what `evaluate` compares. teacher: `digest` of the teacher, "" without one.
    """

    network: Network
    curve: dict
    logits: dict
    recipe: dict = field(default_factory=dict)
    teacher: str = ""

    def digest(self):
        """SHA-256, in hex, of the logits: a teacher is what it says."""
        return digest(self.logits)


def ensemble_logits(logits):
    """One teacher from a stack of members, (R, n, classes) -> (n, classes) float32.

    One member's logits are as they are; of several it is the log of the mean of their probabilities (Hinton, Vinyals
    and Dean 2015, section 3: the arithmetic mean), which are logits too.
    """
    if len(logits) == 1:
        return logits[0].astype(np.float32)
    probabilities = losses.softmax(logits.astype(np.float64), Exact)
    mean = Exact.sum(np.moveaxis(probabilities, 0, 2), axis=2) / len(logits)
    return Exact.log(np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32)


def save_model(path, model, dataset):
    """Write a `Model` that was trained on `dataset`."""
    logits = {f"logits_{split}": array for split, array in model.logits.items()}
    origin = {"dataset_digest": dataset.digest, "recipe": json.dumps(model.recipe, sort_keys=True)}
    origin |= {"teacher_digest": model.teacher} if model.teacher else {}
    write_npz(path, model.network.arrays() | model.curve | logits | {k: np.array(v) for k, v in origin.items()})


def load_model(path, dataset):
    """`Model` of the file. Any model can be a teacher: of a file without weights, network is None and curve empty.

    Raises UserError if it is missing, damaged, foreign, or of another dataset.
    """
    arrays = read_npz(path, ["dataset_digest"])
    of = str(arrays["dataset_digest"])
    if of != dataset.digest:
        raise UserError(
            f"{path}: belongs to the dataset {of[:12]}, not to this one ({dataset.digest[:12]}); train it again"
        )
    logits = {split: arrays[f"logits_{split}"] for split in SPLITS if f"logits_{split}" in arrays}
    for split, array in logits.items():
        shape = (len(dataset.y[split]), len(dataset.class_names))
        if array.shape != shape or array.dtype.kind != "f" or not np.isfinite(array).all():
            raise UserError(f"{path}: logits_{split} are {array.dtype} {array.shape}, not finite floats {shape}")
    curve = {name: arrays[name] for name in CURVES if name in arrays}
    for name, array in curve.items():
        if array.ndim != 2 or array.dtype.kind != "f":
            raise UserError(f"{path}: {name} is {array.dtype} {array.shape}, not floats (replicas, epochs)")
    if "weights_0" not in arrays:
        return Model(None, curve, logits)
    try:
        recipe = dict(json.loads(str(arrays.get("recipe", "{}"))))
    except (TypeError, ValueError):
        raise UserError(f"{path}: recipe is not an object in JSON; train it again") from None
    try:
        network = Network.from_arrays(arrays, Exact)
    except (LookupError, ValueError) as error:
        raise UserError(f"{path}: not a network's weights ({error}); train it again") from None
    ends = dataset.x["train"].shape[1], len(dataset.class_names)
    if (network.sizes[0], network.sizes[-1]) != ends or not np.isfinite(network.parameters).all():
        sizes = "-".join(map(str, network.sizes))
        raise UserError(f"{path}: {sizes} are not finite weights from {ends[0]} features to {ends[1]} classes")
    return Model(network, curve, logits, recipe, str(arrays.get("teacher_digest", "")))
