"""The artifact that holds the examples, split, with their scaling."""

from dataclasses import dataclass, field

import numpy as np

from kdlib.artifacts import digest, read_npz, write_npz
from kdlib.errors import UserError

SPLITS = ("train", "validation", "test")


@dataclass
class Dataset:
    """The content of `data/dataset.npz`: x as loaded, with the scaling beside it; `inputs` gives it scaled.

    x, y: by split. y is -1 for training examples whose label is hidden. digest: SHA-256 of all the rest, in hex.
    """

    x: dict
    y: dict
    offset: np.ndarray
    scale: np.ndarray
    class_names: list
    feature_names: list
    image_shape: tuple
    digest: str = field(default="")

    def _arrays(self):
        arrays = {f"x_{split}": self.x[split] for split in SPLITS} | {f"y_{split}": self.y[split] for split in SPLITS}
        names = {"class_names": np.array(self.class_names), "feature_names": np.array(self.feature_names)}
        shape = np.array(self.image_shape, dtype=np.int64)
        return arrays | names | {"offset": self.offset, "scale": self.scale, "image_shape": shape}

    def _digest(self):
        return digest(self._arrays())

    def inputs(self, split):
        """Scaled x, (n, features) float64."""
        return (self.x[split] - self.offset) * self.scale

    def one_hot(self, split):
        """(n, classes) float64; a zero row where the label is hidden."""
        return (self.y[split][:, None] == np.arange(len(self.class_names))).astype(np.float64)

    def labeled(self):
        """Indices of the training examples whose label is known."""
        return np.flatnonzero(self.y["train"] >= 0)

    def transfer_set(self, class_names=None):
        """Indices of the training examples of these classes, or of all. Raises UserError if there is no such class."""
        if class_names is None:
            return np.arange(len(self.y["train"]))
        for name in class_names:
            if name not in self.class_names:
                allowed = ", ".join(self.class_names)
                raise UserError(f"prepare.transfer_classes: got {name!r}; the classes are {allowed}")
        return np.flatnonzero(np.isin(self.y["train"], [self.class_names.index(name) for name in class_names]))

    def save(self, path):
        write_npz(path, self._arrays() | {"digest": np.array(self._digest())})

    @classmethod
    def load(cls, path):
        """Raises UserError if the file is missing, damaged or not such a dataset."""
        names = [f"{kind}_{split}" for kind in "xy" for split in SPLITS]
        names += ["offset", "scale", "class_names", "feature_names", "image_shape", "digest"]
        arrays = read_npz(path, names)
        try:
            dataset = cls(
                {split: arrays[f"x_{split}"] for split in SPLITS},
                {split: arrays[f"y_{split}"] for split in SPLITS},
                *(arrays[name] for name in ("offset", "scale")),
                *([str(name) for name in arrays[key]] for key in ("class_names", "feature_names")),
                tuple(int(n) for n in arrays["image_shape"]),
                str(arrays["digest"]),
            )
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: not a dataset ({error}); run the stage prepare again") from None
        if dataset.digest != dataset._digest():
            raise UserError(f"{path}: its content does not have the digest that it names; run the stage prepare again")
        return dataset
