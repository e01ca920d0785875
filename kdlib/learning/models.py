"""The artifact of a trained stack: weights, learning curve, digest of its dataset and, of a teacher, logits."""

from dataclasses import dataclass

import numpy as np

from kdlib.artifacts import read_npz, write_npz
from kdlib.data.dataset import SPLITS
from kdlib.errors import UserError
from kdlib.learning import losses
from kdlib.learning.network import Network
from kdlib.learning.training import CURVES
from kdlib.numerics.arithmetic import Exact


@dataclass
class Model:
    """network: a stack in exact arithmetic, or None. curve: {name: (R, epochs)}. logits: {split: (n, classes)}."""

    network: Network
    curve: dict
    logits: dict


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


def save_model(path, network, curve, dataset, logits=None):
    """Write a trained stack. logits: {split: (n, classes)} of a teacher."""
    named = {f"logits_{split}": array for split, array in (logits or {}).items()}
    write_npz(path, network.arrays() | curve | named | {"dataset_digest": np.array(dataset.digest)})


def load_model(path, dataset):
    """`Model` of the file. Any model can be a teacher: of a file without weights, network is None and curve empty.

    Raises UserError if it is missing, damaged, foreign, or of another dataset.
    """
    arrays = read_npz(path, ["dataset_digest"])
    digest = str(arrays["dataset_digest"])
    if digest != dataset.digest:
        raise UserError(
            f"{path}: belongs to the dataset {digest[:12]}, not to this one ({dataset.digest[:12]}); train it again"
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
        network = Network.from_arrays(arrays, Exact)
    except (LookupError, ValueError) as error:
        raise UserError(f"{path}: not a network's weights ({error}); train it again") from None
    ends = dataset.x["train"].shape[1], len(dataset.class_names)
    if (network.sizes[0], network.sizes[-1]) != ends or not np.isfinite(network.parameters).all():
        sizes = "-".join(map(str, network.sizes))
        raise UserError(f"{path}: {sizes} are not finite weights from {ends[0]} features to {ends[1]} classes")
    return Model(network, curve, logits)
