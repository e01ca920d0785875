"""The file of a trained stack: weights, learning curve, origin and, for a teacher, its logits."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.data.dataset import Dataset
from kdlib.data.scaled import row_chunks
from kdlib.io.artifacts import array_digest, read_json_object, read_npz, write_npz
from kdlib.io.chunks import advise_access, all_finite, zeros_or_tempfile
from kdlib.io.errors import UserError
from kdlib.learning import losses
from kdlib.learning.network import Network
from kdlib.learning.stack import network_slices
from kdlib.learning.sweeps import MAX_MAGNITUDE, Sweep
from kdlib.learning.training import CURVES

ORIGIN_TYPES = {
    "model": str, "one_for_all": bool, "bytes": int, "options": dict, "folds": int, "seed": int, "digest": bool,
    "inputs": str,
}  # fmt: skip
CLASSIFIER_KEYS = {"model", "bytes", "options", "folds", "seed"}  # keys of `origin` for a classifier
CLASSIFIER_OPTIONAL_KEYS = {"inputs"}
EXTERNAL_KEYS = {"model", "one_for_all"}  # keys of `origin` for answers in a file
EXTERNAL_OPTIONAL_KEYS = {"bytes", "digest"}


@dataclass
class Model:
    """A trained stack, or the logits of a teacher that is no network.

    S is the number of splits, R the number of replicas in a split.

    Parameters
    ----------
    network : Network or None
        A stack, splits by replicas; `load_model` gives it exact arithmetic.
    curve : dict of str to ndarray, shape (S * R, epochs)
        The learning curves; empty without a network.
    logits : ndarray, shape (S, n, classes), optional
        A teacher's logits for all examples of the dataset.
    sweep : Sweep, optional
        The sweep that chose the settings.
    params : dict
        {key of params.yaml: value}, the values that the stage `evaluate` compares.
    teacher : str
        The `digest` of the teacher, or "".
    origin : dict
        Describes a teacher that is no network: {"model": name, ...}, see `kdlib.teachers`.
    weights_to_deploy : ndarray, shape (parameters,), optional
        Parameters of the network `Sweep.deployed_network`. Its setting may differ from the one that its split chose.
    """

    network: Network | None
    curve: dict
    logits: np.ndarray | None = None
    sweep: Sweep | None = None
    params: dict = field(default_factory=dict)
    teacher: str = ""
    origin: dict = field(default_factory=dict)
    weights_to_deploy: np.ndarray | None = None

    def digest(self) -> str:
        """Compute the SHA-256, in hex, of the logits: two teachers with the same logits are the same teacher.

        Raises
        ------
        ValueError
            If the model has no logits.
        """
        if self.logits is None:
            raise ValueError("logits: None; a digest needs those of a teacher")
        return array_digest({"logits": self.logits})


def ensemble_logits(logits: np.ndarray) -> np.ndarray:
    """Combine the logits of the members of a stack into those of one teacher.

    The logits of one member are only rounded to float32. For several members the result is the log of their mean
    probabilities, which is a valid set of logits too. A mean probability below the smallest normal number of float32 is
    raised to it, so that its log is finite.

    Parameters
    ----------
    logits : ndarray, shape (R, n, classes)

    Returns
    -------
    ndarray of float32, shape (n, classes)

    References
    ----------
    Hinton, Vinyals and Dean (2015), section 1: the arithmetic mean.
    """
    if len(logits) == 1:
        return logits[0].astype(np.float32)
    probabilities = losses.softmax(logits.astype(np.float64), EXACT)
    mean = EXACT.sum(np.moveaxis(probabilities, 0, 2), axis=2) / len(logits)
    return EXACT.log(np.maximum(mean, np.finfo(np.float32).tiny)).astype(np.float32)


def split_logits(
    network: Network, dataset: Dataset, progress: Callable[[int], object] = lambda examples: None
) -> np.ndarray:
    """Compute the ensemble logits of every split for the examples that are present in it.

    Parameters
    ----------
    network : Network
        A stack, splits by replicas; the replicas of a split are the members of its ensemble.
    dataset : Dataset
        Each split scales the examples with its own scaling.
    progress : callable
        Called after each block of examples with the number of examples in the block.

    Returns
    -------
    ndarray of float32, shape (S, n, classes)
        Zero for examples that are absent from a split.
    """
    advise_access(dataset.x, random=False)
    result = zeros_or_tempfile((dataset.splits, len(dataset.y), network.sizes[-1]), np.float32)
    for split, members in enumerate(network_slices(dataset.splits, network.replicas)):
        for rows in row_chunks(dataset.present(split)):
            result[split, rows] = ensemble_logits(network.select(members).logits(dataset.inputs(rows, split)))
            progress(len(rows))
    return result


def save_model(path: Path | str, model: Model, dataset: Dataset) -> None:
    """Write a `Model` that was trained on `dataset`."""
    arrays = model.network.arrays() if model.network else {}
    arrays |= model.curve
    arrays |= {"logits": model.logits} if model.logits is not None else {}
    arrays |= model.sweep.arrays() if model.sweep else {}
    arrays |= {"deployed": model.weights_to_deploy} if model.weights_to_deploy is not None else {}
    texts = {"dataset_digest": dataset.digest, "recipe": json.dumps(model.params, sort_keys=True)}
    texts |= {"teacher_digest": model.teacher} if model.teacher else {}
    texts |= {"origin": json.dumps(model.origin, sort_keys=True)} if model.origin else {}
    write_npz(path, arrays | {name: np.array(text) for name, text in texts.items()})


def _is_origin(found):
    """Return whether a JSON object is a valid `Model.origin`."""
    keys = found.keys()
    of_classifier = CLASSIFIER_KEYS <= keys <= CLASSIFIER_KEYS | CLASSIFIER_OPTIONAL_KEYS
    known = of_classifier or EXTERNAL_KEYS <= keys <= EXTERNAL_KEYS | EXTERNAL_OPTIONAL_KEYS
    typed = known and all(type(value) is ORIGIN_TYPES[key] for key, value in found.items())
    return typed and found["model"].isprintable() and found.get("bytes", 1) > 0


def load_model(path: Path | str, dataset: Dataset, needs_logits: bool = False) -> Model:
    """Read the file of a `Model`.

    A teacher need not be a network: if the file has no weights, `network` is None and `curve` is empty.

    Parameters
    ----------
    path : Path or str
    dataset : Dataset
        The model must have been trained on it.
    needs_logits : bool
        Whether the logits are required.

    Returns
    -------
    Model

    Raises
    ------
    UserError
        If the file is missing, damaged, not of this program, or of another dataset.
    """
    arrays = read_npz(path, ["dataset_digest"])
    trained_on = str(arrays["dataset_digest"])
    if trained_on != dataset.digest:
        raise UserError(
            f"{path}: belongs to the dataset {trained_on[:12]}, this one is {dataset.digest[:12]}; train it again"
        )
    logits = _logits(path, arrays, dataset)
    if needs_logits and logits is None:
        raise UserError(f"{path}: lacks logits; a teacher needs its logits on every example")
    curve = _curve(path, arrays)
    params, origin = _params_and_origin(path, arrays)
    if "weights_0" not in arrays:
        return Model(None, curve, logits, origin=origin)
    network, sweep = _network_and_sweep(path, arrays, dataset)
    if curve.keys() != set(CURVES):
        raise UserError(f"{path}: lacks {', '.join(sorted(set(CURVES) - curve.keys()))}; train it again")
    if network.replicas % dataset.splits or len(sweep.loss) != dataset.splits:
        raise UserError(f"{path}: {network.replicas} networks are not of {dataset.splits} splits; train it again")
    deployed = _weights_to_deploy(path, arrays, network)
    teacher = str(arrays.get("teacher_digest", ""))
    if not re.fullmatch("[0-9a-f]*", teacher):
        raise UserError(f"{path}: teacher_digest is not in hex; train it again")
    return Model(network, curve, logits, sweep, params, teacher, weights_to_deploy=deployed)


def _logits(path, arrays, dataset):
    """Return the logits of a teacher, checked; None if the file has none."""
    logits = arrays.get("logits")
    shape = (dataset.splits, len(dataset.y), len(dataset.class_names))
    if logits is not None and (logits.shape != shape or logits.dtype.kind != "f" or not all_finite(logits)):
        raise UserError(f"{path}: logits are {logits.dtype} {logits.shape}, not finite floats {shape}")
    return logits


def _curve(path, arrays):
    """Return the learning curves that the file has, checked."""
    curve = {name: arrays[name] for name in CURVES if name in arrays}
    for name, array in curve.items():
        numbers = array.ndim == 2 and array.size and array.dtype == np.float64
        max_value = 1 if name.endswith("accuracy") else MAX_MAGNITUDE
        if not numbers or not np.isfinite(array[:, 0]).all() or (np.abs(array) > max_value).any():
            needed = f"numbers up to {MAX_MAGNITUDE:g} of replicas by epochs"
            raise UserError(f"{path}: {name} is {array.dtype} {array.shape}, not {needed}")
    return curve


def _params_and_origin(path, arrays):
    """Return `Model.params` and `Model.origin`, checked; both are empty if the file has none."""
    try:
        recipe = read_json_object(str(arrays.get("recipe", "{}")))
        origin = read_json_object(str(arrays.get("origin", "{}")))
    except ValueError:
        raise UserError(f"{path}: recipe or origin is not an object in JSON; train it again") from None
    if origin and not _is_origin(origin):
        raise UserError(f"{path}: origin is not of a teacher that was asked; run train_teacher again")
    return recipe, origin


def _network_and_sweep(path, arrays, dataset):
    """Return the stack and the sweep; the stack fits the features and classes of the dataset."""
    try:
        network = Network.from_arrays(arrays, EXACT)
        sweep = Sweep.from_arrays(arrays)
    except (LookupError, ValueError) as error:
        raise UserError(f"{path}: not a network's weights and sweep ({error}); train it again") from None
    features = dataset.x.shape[1]
    classes = len(dataset.class_names)
    sizes = "-".join(map(str, network.sizes))
    if (network.sizes[0], network.sizes[-1]) != (features, classes) or not np.isfinite(network.parameters).all():
        raise UserError(f"{path}: {sizes} are not finite weights from {features} features to {classes} classes")
    return network, sweep


def _weights_to_deploy(path, arrays, network):
    """Return `Model.weights_to_deploy`, checked; None if the file has none."""
    deployed = arrays.get("deployed")
    shape = network.parameters.shape[1:]
    if deployed is not None and (deployed.dtype != np.float32 or deployed.shape != shape or not all_finite(deployed)):
        raise UserError(f"{path}: deployed is {deployed.dtype} {deployed.shape}, not finite float32 {shape}: run again")
    return deployed
