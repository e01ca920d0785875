"""The artifact of a trained stack: weights, learning curve, the dataset that it belongs to and, of a teacher, logits."""

from dataclasses import dataclass

import numpy as np

from kdlib import losses
from kdlib.arithmetic import Exact
from kdlib.artifacts import read_npz, write_npz
from kdlib.datasets import SPLITS
from kdlib.errors import UserError
from kdlib.network import Network

CURVES = ("training_loss", "validation_loss", "validation_accuracy")


@dataclass
class Model:
    """network: a stack in exact arithmetic, or None. curve: {name: (R, epochs)}. logits: {split: (n, classes)}, or empty."""

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
    if "weights_0" not in arrays:
        return Model(None, curve, logits)
    try:
        return Model(Network.from_arrays(arrays, Exact), curve, logits)
    except (KeyError, ValueError) as error:
        raise UserError(f"{path}: not a network's weights ({error}); train it again") from None
