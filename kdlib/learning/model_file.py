"""The artifact of a trained stack: weights, learning curve, where it comes from and, of a teacher, logits."""

import json
import re
from dataclasses import dataclass, field

import numpy as np

from kdlib.backends.arithmetic import Exact
from kdlib.data.scaled import blocks
from kdlib.io.artifacts import digest, read_json, read_npz, write_npz
from kdlib.io.chunks import advise, all_finite, scratch
from kdlib.io.errors import UserError
from kdlib.learning import losses
from kdlib.learning.network import Network
from kdlib.learning.stack import parts
from kdlib.learning.sweeps import Sweep
from kdlib.learning.training import CURVES

LARGEST = 1e100  # loss in a curve: its square is finite
TYPES = {"model": str, "one_for_all": bool, "bytes": int, "options": dict, "folds": int, "seed": int}
TYPES |= {"digest": bool}  # in `origin`
CLASSIFIER = {"model", "bytes", "options", "folds", "seed"}  # what `origin` tells of one
FOREIGN = {"model", "one_for_all"}  # of answers in a file, and maybe bytes and digest


@dataclass
class Model:
    """network: a stack in exact arithmetic, splits by replicas, or None. curve: {name: (S * R, epochs)}.

    logits: of a teacher, (S, n, classes) of all examples of the dataset, or None. sweep: the `Sweep` that chose, or
    None. recipe: {key of params.yaml: value}, of what `evaluate` compares. teacher: `digest` of the teacher, or "".
    origin: of a teacher that is no network, {"model": its name, and what else `kdlib.teachers` tells of it}.
    deployed: (parameters,) of `Sweep.deployed_network`, maybe of a setting that its split has not chosen, or None.
    """

    network: Network
    curve: dict
    logits: np.ndarray = None
    sweep: Sweep = None
    recipe: dict = field(default_factory=dict)
    teacher: str = ""
    origin: dict = field(default_factory=dict)
    deployed: np.ndarray = None

    def digest(self):
        """SHA-256, in hex, of the logits: a teacher is what it says."""
        return digest({"logits": self.logits})


def ensemble_logits(logits):
    """One teacher from a stack of members, (R, n, classes) -> (n, classes) float32.

    One member's logits are as they are; of several it is the log of the mean of their probabilities (Hinton, Vinyals
    and Dean 2015, section 1: the arithmetic mean), which are logits too.
    """
    if len(logits) == 1:
        return logits[0].astype(np.float32)
    probabilities = losses.softmax(logits.astype(np.float64), Exact)
    mean = Exact.sum(np.moveaxis(probabilities, 0, 2), axis=2) / len(logits)
    return Exact.log(np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32)


def split_logits(network, dataset, progress=lambda examples: None):
    """What each split's members say together of its examples under its scaling, (S, n, classes) float32; else 0.

    progress: called with how many examples were asked about, after each block of them.
    """
    advise(dataset.x, random=False)
    result = scratch((dataset.splits, len(dataset.y), network.sizes[-1]), np.float32)
    for split, own in enumerate(parts(dataset.splits, network.replicas)):
        for of in blocks(dataset.present(split)):
            result[split, of] = ensemble_logits(network.part(own).logits(dataset.inputs(of, split)))
            progress(len(of))
    return result


def save_model(path, model, dataset):
    """Write a `Model` that was trained on `dataset`."""
    arrays = model.network.arrays() if model.network else {}
    arrays |= model.curve
    arrays |= {"logits": model.logits} if model.logits is not None else {}
    arrays |= model.sweep.arrays() if model.sweep else {}
    arrays |= {"deployed": model.deployed} if model.deployed is not None else {}
    named = {"dataset_digest": dataset.digest, "recipe": json.dumps(model.recipe, sort_keys=True)}
    named |= {"teacher_digest": model.teacher} if model.teacher else {}
    named |= {"origin": json.dumps(model.origin, sort_keys=True)} if model.origin else {}
    write_npz(path, arrays | {name: np.array(value) for name, value in named.items()})


def _is_origin(found):
    """Whether it is what `kdlib.teachers` tells of a teacher."""
    keys = found.keys()
    known = keys == CLASSIFIER or FOREIGN <= keys <= FOREIGN | {"bytes", "digest"}
    typed = known and all(type(value) is TYPES[key] for key, value in found.items())
    return typed and found["model"].isprintable() and found.get("bytes", 1) > 0


def load_model(path, dataset, teaches=False):
    """`Model` of the file. Any model can be a teacher: of a file without weights, network is None and curve empty.

    teaches: whether its logits are needed. Raises UserError if it is missing, damaged, foreign, or of another dataset.
    """
    arrays = read_npz(path, ["dataset_digest"])
    of = str(arrays["dataset_digest"])
    if of != dataset.digest:
        raise UserError(f"{path}: belongs to the dataset {of[:12]}, this one is {dataset.digest[:12]}; train it again")
    logits, shape = arrays.get("logits"), (dataset.splits, len(dataset.y), len(dataset.class_names))
    if logits is not None and (logits.shape != shape or logits.dtype.kind != "f" or not all_finite(logits)):
        raise UserError(f"{path}: logits are {logits.dtype} {logits.shape}, not finite floats {shape}")
    if teaches and logits is None:
        raise UserError(f"{path}: lacks logits; a teacher needs its logits on every example")
    curve = {name: arrays[name] for name in CURVES if name in arrays}
    for name, array in curve.items():
        numbers = array.ndim == 2 and array.size and array.dtype == np.float64
        most = 1 if name.endswith("accuracy") else LARGEST
        if not numbers or not np.isfinite(array[:, 0]).all() or (np.abs(array) > most).any():
            raise UserError(
                f"{path}: {name} is {array.dtype} {array.shape}, not numbers up to {LARGEST:g} of replicas by epochs"
            )
    try:
        recipe, origin = (dict(read_json(str(arrays.get(name, "{}")))) for name in ("recipe", "origin"))
    except (TypeError, ValueError):
        raise UserError(f"{path}: recipe or origin is not an object in JSON; train it again") from None
    if origin and not _is_origin(origin):
        raise UserError(f"{path}: origin is not of a teacher that was asked; run train_teacher again")
    if "weights_0" not in arrays:
        return Model(None, curve, logits, origin=origin)
    try:
        network, sweep = Network.from_arrays(arrays, Exact), Sweep.from_arrays(arrays)
    except (LookupError, ValueError) as error:
        raise UserError(f"{path}: not a network's weights and sweep ({error}); train it again") from None
    ends = dataset.x.shape[1], len(dataset.class_names)
    sizes = "-".join(map(str, network.sizes))
    if (network.sizes[0], network.sizes[-1]) != ends or not np.isfinite(network.parameters).all():
        raise UserError(f"{path}: {sizes} are not finite weights from {ends[0]} features to {ends[1]} classes")
    if curve.keys() != set(CURVES):
        raise UserError(f"{path}: lacks {', '.join(sorted(set(CURVES) - curve.keys()))}; train it again")
    if network.replicas % dataset.splits or len(sweep.loss) != dataset.splits:
        raise UserError(f"{path}: {network.replicas} networks are not of {dataset.splits} splits; train it again")
    deployed, shape = arrays.get("deployed"), network.parameters.shape[1:]
    if deployed is not None and (deployed.dtype != np.float32 or deployed.shape != shape or not all_finite(deployed)):
        raise UserError(f"{path}: deployed is {deployed.dtype} {deployed.shape}, not finite float32 {shape}: run again")
    teacher = str(arrays.get("teacher_digest", ""))
    if not re.fullmatch("[0-9a-f]*", teacher):
        raise UserError(f"{path}: teacher_digest is not in hex; train it again")
    return Model(network, curve, logits, sweep, recipe, teacher, deployed=deployed)
