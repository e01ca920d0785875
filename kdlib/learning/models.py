"""The artifact of a trained stack: weights, learning curve, where it comes from and, of a teacher, logits."""

import json
from dataclasses import dataclass, field

import numpy as np

from kdlib.artifacts import digest, read_npz, write_npz
from kdlib.errors import UserError
from kdlib.learning import losses
from kdlib.learning.network import INFERENCE_ROWS, Network
from kdlib.learning.stack import parts
from kdlib.learning.sweeps import Sweep
from kdlib.learning.training import CURVES
from kdlib.numerics.arithmetic import Exact


@dataclass
class Model:
    """network: a stack in exact arithmetic, splits by replicas, or None. curve: {name: (S * R, epochs)}.

    logits: of a teacher, (S, n, classes) of all examples of the dataset, or None. sweep: the `Sweep` that chose, or
    None. recipe: {key of params.yaml: value}, of what `evaluate` compares. teacher: `digest` of the teacher, or "".
    """

    network: Network
    curve: dict
    logits: np.ndarray = None
    sweep: Sweep = None
    recipe: dict = field(default_factory=dict)
    teacher: str = ""

    def digest(self):
        """SHA-256, in hex, of the logits: a teacher is what it says."""
        return digest({"logits": self.logits})


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


def split_logits(network, dataset):
    """What each split's members say together of all examples under its scaling, (S, n, classes) float32."""
    result, blocks = [], range(0, len(dataset.y), INFERENCE_ROWS)
    for split, own in enumerate(parts(dataset.splits, network.replicas)):
        rows = [np.arange(start, min(start + INFERENCE_ROWS, len(dataset.y))) for start in blocks]
        logits = [network.part(own).logits(dataset.inputs(block, split)) for block in rows]
        result.append(ensemble_logits(np.concatenate(logits, axis=1)))
    return np.stack(result)


def joined(networks, curves, chosen, replicas):
    """(network, curve) of the chosen settings of all splits. networks: of each split, settings by replicas.

    Curves of fewer epochs than others are filled with NaN.
    """
    first = networks[0]
    network = Network(first.sizes, len(networks) * replicas, first.arithmetic)
    epochs = max(curve[CURVES[0]].shape[1] for curve in curves)
    curve = {name: np.full((network.replicas, epochs), np.nan) for name in CURVES}
    for split, (own, setting) in enumerate(zip(parts(len(networks), network.replicas), chosen, strict=True)):
        of = slice(setting * replicas, (setting + 1) * replicas)
        network.parameters[own] = networks[split].parameters[of]
        for name, values in curves[split].items():
            curve[name][own, : values.shape[1]] = values[of]
    return network, curve


def save_model(path, model, dataset):
    """Write a `Model` that was trained on `dataset`."""
    arrays = model.network.arrays() | model.curve
    arrays |= {"logits": model.logits} if model.logits is not None else {}
    arrays |= model.sweep.arrays() if model.sweep else {}
    origin = {"dataset_digest": dataset.digest, "recipe": json.dumps(model.recipe, sort_keys=True)}
    origin |= {"teacher_digest": model.teacher} if model.teacher else {}
    write_npz(path, arrays | {name: np.array(value) for name, value in origin.items()})


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
    logits, shape = arrays.get("logits"), (dataset.splits, len(dataset.y), len(dataset.class_names))
    if logits is not None and (logits.shape != shape or logits.dtype.kind != "f" or not np.isfinite(logits).all()):
        raise UserError(f"{path}: logits are {logits.dtype} {logits.shape}, not finite floats {shape}")
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
        network, sweep = Network.from_arrays(arrays, Exact), Sweep.from_arrays(arrays)
    except (LookupError, ValueError) as error:
        raise UserError(f"{path}: not a network's weights and sweep ({error}); train it again") from None
    ends = dataset.x.shape[1], len(dataset.class_names)
    sizes = "-".join(map(str, network.sizes))
    if (network.sizes[0], network.sizes[-1]) != ends or not np.isfinite(network.parameters).all():
        raise UserError(f"{path}: {sizes} are not finite weights from {ends[0]} features to {ends[1]} classes")
    if network.replicas % dataset.splits or len(sweep.loss) != dataset.splits:
        raise UserError(f"{path}: {network.replicas} networks are not of {dataset.splits} splits; train it again")
    return Model(network, curve, logits, sweep, recipe, str(arrays.get("teacher_digest", "")))
