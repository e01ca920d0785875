"""The file of one network that predicts by itself: what it takes, what it says, and where it comes from."""

import json
import re
import warnings
from dataclasses import asdict, dataclass, field, fields, is_dataclass

import numpy as np

from kdlib.backends.arithmetic import Exact
from kdlib.data.encoding import encodes
from kdlib.data.name_checks import check_name
from kdlib.deployment.features import features, lines
from kdlib.deployment.float_network import FloatNetwork
from kdlib.deployment.integer_network import IntegerNetwork
from kdlib.io.artifacts import read_json, read_npz, write_npz
from kdlib.io.errors import UserError
from kdlib.learning import losses

MOST = 1e240  # a scale times or over 2^208 is finite: see the bounds of `IntegerNetwork`
KINDS = {"float": FloatNetwork, "integers": IntegerNetwork}


def _is_shape(shape, pixels):
    return len(shape) == 2 and all(type(n) is int and n > 0 for n in shape) and shape[0] * shape[1] == pixels


@dataclass(frozen=True)
class About:
    """What a network's file says in JSON. features: names. image_shape: () of a table. encoding: "" or the dataset's.

    dataset, teacher: digests, "" where there is none. recipe: {key of params.yaml: value}. setting: {name: value}, of
    the sweep; {"start", "end"} of a schedule. split, replica: which network it is.
    """

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
        """Raises ValueError for what has no place in the files that others open: anyone can make such a file."""
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
        if not encodes(self.encoding, self.features):
            raise ValueError("the encoding has other features")
        if self.image_shape and not _is_shape(self.image_shape, len(self.features)):
            raise ValueError(f"images {self.image_shape} are not of {len(self.features)} pixels")

    @classmethod
    def of(cls, dataset, model):
        """Of the network that leaves. dataset: a `Dataset`. model: a `Model` with a sweep."""
        setting, split, replica = model.sweep.deployed_network()
        chosen = {name: values[setting] for name, values in model.sweep.settings.items()}
        chosen = {name: asdict(value) if is_dataclass(value) else value for name, value in chosen.items()}
        names = dataset.class_names, dataset.feature_names, list(dataset.image_shape), dataset.encoding
        return cls(*names, dataset.digest, model.teacher, model.recipe, chosen, split, replica)


@dataclass(frozen=True)
class Deployed:
    """network: a `FloatNetwork` or an `IntegerNetwork`. offset, scale: (features,) float64, or (1,) if all are alike.

    Rows are raw: a DataFrame, a dict of columns or a list of dicts, whose names are matched; or an array, of encoded
    rows (n, features) or of images; see `kdlib.deployment.features.features`. Each method raises UserError for rows
    that do not fit, and for numbers that are not finite. The first time that a column has cells which training does not
    know, it warns.
    """

    network: object
    about: About
    offset: np.ndarray
    scale: np.ndarray
    _told: set = field(default_factory=set, init=False, repr=False, compare=False)

    def _warn(self, unknown, rows):
        """Warn of columns that no warning has named yet."""
        new = {name: counts for name, counts in unknown.items() if name not in self._told}
        self._told.update(new)
        if new:
            warnings.warn("; ".join(lines(new, rows)), stacklevel=3)

    def logits(self, rows):
        """(n, classes) float64. A row's logits depend on no other row, bit for bit."""
        x, unknown = features(rows, self.about)
        self._warn(unknown, len(x))
        with np.errstate(over="ignore", invalid="ignore"):  # beyond all ranges is where integers saturate
            logits = self.network.logits((x - self.offset) * self.scale)
        if not np.isfinite(logits).all():
            row = np.argwhere(~np.isfinite(logits))[0, 0]
            raise UserError(f"row {row} has numbers too large for this network: its logits are not finite")
        return logits

    def predict_proba(self, rows):
        """(n, classes) float64, which sum to 1."""
        return losses.softmax(self.logits(rows), Exact)

    def predict(self, rows):
        """(n,) class names: of the largest logit, the first one if several are."""
        return np.array(self.about.classes)[np.argmax(self.logits(rows), axis=-1)]

    def save(self, path):
        settings = self.network.settings() | asdict(self.about)
        arrays = self.network.arrays() | {"offset": self.offset, "scale": self.scale}
        write_npz(path, arrays | {"about": np.array(json.dumps(settings, sort_keys=True).encode())})


def deployed(network, about, dataset):
    """`Deployed` with the scaling of the split that `about` names."""
    scaling = (values[about.split] for values in (dataset.offset, dataset.scale))
    return Deployed(network, about, *(v[:1] if (v == v[0]).all() else v for v in scaling))


def load(path):
    """`Deployed` of a file by the stage quantize. Raises UserError if it is missing, damaged or another file."""
    arrays = read_npz(path)
    if "about" not in arrays:
        raise UserError(f"{path}: no deployed network; name models/deployed.npz, which the stage quantize writes")
    try:
        settings = read_json(arrays["about"].item())
        network = KINDS[settings["kind"]].from_arrays(arrays, settings)
        about = About(**{field.name: settings[field.name] for field in fields(About)})
        scaling = [arrays[name].astype(np.float64, casting="safe") for name in ("offset", "scale")]
        ends, named = (network.sizes[0], network.sizes[-1]), (len(about.features), len(about.classes))
        if ends != named or any(v.shape not in ((1,), ends[:1]) or not np.isfinite(v).all() for v in scaling):
            raise ValueError(f"{ends} inputs and outputs, {named} names, and scaling that is not of them or not finite")
        if not (scaling[1] >= 1 / MOST).all() or not (scaling[1] <= MOST).all():
            raise ValueError(
                f"a scale of {scaling[1].min():g} to {scaling[1].max():g}, not from {1 / MOST:g} to {MOST:g}"
            )
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a deployed network ({error}); write it again with the stage quantize") from None
    return Deployed(network, about, *scaling)
