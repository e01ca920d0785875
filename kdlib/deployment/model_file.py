"""The file of one network that predicts by itself, with its metadata and the scaling of its inputs."""

import json
import re
import warnings
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.data.checks import is_encoding_of
from kdlib.data.name_checks import check_name
from kdlib.deployment.features import features, lines
from kdlib.deployment.float_network import FloatNetwork
from kdlib.deployment.integer_network import IntegerNetwork
from kdlib.io.artifacts import read_json_object, read_npz, write_npz
from kdlib.io.errors import UserError
from kdlib.learning import losses
from kdlib.learning.schedules import LinearSchedule

if TYPE_CHECKING:
    from kdlib.data.dataset import Dataset
    from kdlib.learning.model_file import Model

MAX_SCALE = 1e240  # a scale times or over 2^208 is finite: see the bounds of `IntegerNetwork`
NETWORK_KINDS = {"float": FloatNetwork, "integers": IntegerNetwork}


def _is_shape(shape, pixels):
    return len(shape) == 2 and all(type(n) is int and n > 0 for n in shape) and shape[0] * shape[1] == pixels


@dataclass(frozen=True)
class ModelCard:
    """Metadata of a deployed network, which its file stores as JSON.

    Parameters
    ----------
    classes : list of str
        Names of the classes.
    features : list of str
        Names of the features.
    image_shape : list of int
        [height, width]; [] for a table.
    encoding : str
        JSON of the dataset's encoding; "" if it has none.
    dataset, teacher : str
        Digests in hex; "" if there is none.
    recipe : dict
        {key of params.yaml: value}.
    setting : dict
        {name: value} of the sweep's setting that was chosen. The value of a schedule is {"start", "end"}.
    split, replica : int
        Which network of the stack this is.
    licence : str

    Raises
    ------
    ValueError
        If a value has another type, or must not be written to the files that other programs open (ONNX, C). The check
        is strict because anyone can make such a model file.
    """

    # `__post_init__` compares each value's type with its annotation: these must be plain classes.
    classes: list
    features: list
    image_shape: list
    encoding: str
    dataset: str
    teacher: str
    recipe: dict
    setting: dict
    split: int
    replica: int
    licence: str = "MIT"

    def __post_init__(self):
        if any(type(getattr(self, field.name)) is not field.type for field in fields(self)):
            raise ValueError("what it says of itself is of other types")
        if any(type(name) is not str for name in (*self.classes, *self.features)):
            raise ValueError("names are texts")
        for name in self.classes:
            check_name("a class", name)
        for kind, names in (("classes", self.classes), ("columns", [] if self.encoding else self.features)):
            if len(set(names)) < len(names):
                raise ValueError(f"two {kind} are named {next(n for n in names if names.count(n) > 1)!a}")
        if not all(re.fullmatch("[0-9a-f]*", digest) for digest in (self.dataset, self.teacher)):
            raise ValueError("a digest is not in hex")
        if not re.fullmatch(r"[\w .-]*", self.licence, re.ASCII):
            raise ValueError(f"the licence {self.licence!a}")
        if not is_encoding_of(self.encoding, self.features):
            raise ValueError("the encoding has other features")
        if self.image_shape and not _is_shape(self.image_shape, len(self.features)):
            raise ValueError(f"images {self.image_shape} are not of {len(self.features)} pixels")

    @classmethod
    def of(cls, dataset: "Dataset", model: "Model") -> "ModelCard":
        """Return the metadata of the network that is deployed from a model with a sweep.

        Raises
        ------
        ValueError
            If the model has no sweep.
        """
        if model.sweep is None:
            raise ValueError("model: it has no sweep, which names the network to deploy")
        setting, split, replica = model.sweep.deployed_network()
        chosen = {name: values[setting] for name, values in model.sweep.settings.items()}
        chosen = {name: asdict(v) if isinstance(v, LinearSchedule) else v for name, v in chosen.items()}
        names = dataset.class_names, dataset.feature_names, list(dataset.image_shape), dataset.encoding
        return cls(*names, dataset.digest, model.teacher, model.params, chosen, split, replica)


@dataclass(frozen=True)
class DeployedModel:
    """A network that predicts the classes of raw rows.

    Rows are a DataFrame, a dict of columns or a list of dicts, whose columns are matched by name; or an array of
    encoded rows (n, features) or of images. See `kdlib.deployment.features.features`. The methods warn of each column
    once, when it first has cells that are missing or were not seen in training.

    Parameters
    ----------
    network : FloatNetwork or IntegerNetwork
    card : ModelCard
        Metadata.
    offset, scale : np.ndarray
        (features,) float64, or (1,) if all are equal. The network sees (x - offset) * scale.

    Raises
    ------
    UserError
        If a scale is so small or so large that the files for other programs could not hold it. By each method that
        takes rows: if they do not fit, or have numbers that are not finite.
    """

    network: FloatNetwork | IntegerNetwork
    card: ModelCard
    offset: np.ndarray
    scale: np.ndarray
    _warned_columns: set[str] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self):
        low = np.min(self.scale)
        high = np.max(self.scale)
        if not (low >= 1 / MAX_SCALE and high <= MAX_SCALE):
            raise UserError(f"a scale of {low:g} to {high:g}, not from {1 / MAX_SCALE:g} to {MAX_SCALE:g}")

    @classmethod
    def of(cls, network: FloatNetwork | IntegerNetwork, card: ModelCard, dataset: "Dataset") -> "DeployedModel":
        """Return the model of a network, with the scaling of the split that `card` names."""
        scaling = (values[card.split] for values in (dataset.offset, dataset.scale))
        return cls(network, card, *(v[:1] if (v == v[0]).all() else v for v in scaling))

    def _warn(self, unknown, rows):
        """Warn of columns that no warning has named yet."""
        new = {name: counts for name, counts in unknown.items() if name not in self._warned_columns}
        self._warned_columns.update(new)
        if new:
            warnings.warn("; ".join(lines(new, rows)), stacklevel=3)

    def logits(self, rows: object) -> np.ndarray:
        """Return the logits, (n, classes) float64.

        The logits of a row do not depend on the other rows, bit for bit.
        """
        x, unknown = features(rows, self.card)
        self._warn(unknown, len(x))
        with np.errstate(over="ignore", invalid="ignore"):  # beyond all ranges, integers saturate
            logits = self.network.logits((x - self.offset) * self.scale)
        if not np.isfinite(logits).all():
            row = np.argwhere(~np.isfinite(logits))[0, 0]
            raise UserError(f"row {row} has numbers too large for this network: its logits are not finite")
        return logits

    def predict_proba(self, rows: object) -> np.ndarray:
        """Return the probabilities, (n, classes) float64. Each row sums to 1."""
        return losses.softmax(self.logits(rows), EXACT)

    def predict(self, rows: object) -> np.ndarray:
        """Return the class names (n,) of the largest logits. If several are equal, the first class is taken."""
        return np.array(self.card.classes)[np.argmax(self.logits(rows), axis=-1)]

    def save(self, path: Path | str) -> None:
        """Write the file that `load` reads."""
        metadata = self.network.metadata() | asdict(self.card)
        arrays = self.network.arrays() | {"offset": self.offset, "scale": self.scale}
        write_npz(path, arrays | {"about": np.array(json.dumps(metadata, sort_keys=True).encode())})


def load(path: Path | str) -> DeployedModel:
    """Read a deployed network from a file that the stage deploy wrote.

    Raises
    ------
    UserError
        If the file is missing, is damaged, or holds something else.
    """
    arrays = read_npz(path)
    if "about" not in arrays:
        raise UserError(f"{path}: no deployed network; name models/deployed/float.npz, which the stage deploy writes")
    try:
        metadata = read_json_object(arrays["about"].item())
        network = NETWORK_KINDS[metadata["kind"]].from_arrays(arrays, metadata)
        card = ModelCard(**{field.name: metadata[field.name] for field in fields(ModelCard)})
        scaling = [arrays[name].astype(np.float64, casting="safe") for name in ("offset", "scale")]
        ends = (network.sizes[0], network.sizes[-1])
        named = (len(card.features), len(card.classes))
        if ends != named or any(v.shape not in ((1,), ends[:1]) or not np.isfinite(v).all() for v in scaling):
            raise ValueError(f"{ends} inputs and outputs, {named} names, and scaling that is not of them or not finite")
        return DeployedModel(network, card, *scaling)
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a deployed network ({error}); write it again with the stage deploy") from None
