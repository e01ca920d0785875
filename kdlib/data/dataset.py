"""The artifact that holds each example once, how it is split, and the scaling of each split."""

from dataclasses import dataclass, field

import numpy as np

from kdlib.data.checks import ABSENT, HIDDEN, PARTS, fault
from kdlib.data.mapped_rows import Ends
from kdlib.data.name_checks import check_name
from kdlib.data.scaled import Scaled
from kdlib.io.artifacts import digest, read_npz, write_npz
from kdlib.io.errors import UserError


@dataclass
class Dataset:
    """The content of `data/dataset.npz`: n examples and S splits of all of them into PARTS.

    x: (n, features) as loaded. y: (n,) classes, -1 of a row without one. assignment: (S, n) uint8, the index in PARTS,
    HIDDEN or ABSENT. offset, scale: (S, features) float64, fitted on the training part of each split. encoding: JSON of
    the `Encoding` that made x of a raw table, or "" where x is what the source holds. digest: SHA-256 of all the rest,
    in hex.
    """

    x: np.ndarray
    y: np.ndarray
    assignment: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    class_names: list
    feature_names: list
    image_shape: tuple
    encoding: str = ""
    digest: str = field(default="")

    @property
    def splits(self):
        return len(self.assignment)

    def rows(self, part, split=0):
        """Indices of the examples of a part of the split, ascending."""
        assigned = self.assignment[split]
        hidden = (assigned == HIDDEN) & (part == "train")
        return np.flatnonzero((assigned == PARTS.index(part)) | hidden)

    def present(self, split=0):
        """Indices of the examples that are in a part of the split."""
        return np.flatnonzero(self.assignment[split] != ABSENT)

    def scaled(self, rows, split=0):
        """These rows with the scaling of the split, as `Scaled`, of images if they are."""
        x = self.x.reshape(-1, *self.image_shape) if self.image_shape else self.x
        return Scaled(x, rows, self.offset[split], self.scale[split], self.digest)

    def inputs(self, rows, split=0):
        """These rows of x with the scaling of the split, (n, features) float64."""
        return self.scaled(rows, split).take(np.arange(len(rows)))

    def labels(self, rows, split=0):
        """(n,) classes; -1 where the split hides the label."""
        return np.where(self.assignment[split, rows] == HIDDEN, -1, self.y[rows])

    def one_hot(self, rows, split=0):
        """(n, classes) float64; a zero row where the split hides the label."""
        return (self.labels(rows, split)[:, None] == np.arange(len(self.class_names))).astype(np.float64)

    def labeled(self, split=0):
        """Indices of the training examples whose label is known."""
        return np.flatnonzero(self.assignment[split] == PARTS.index("train"))

    def with_label(self, rows, split=0):
        """Those of the rows whose label is known to train on."""
        known = self.assignment[split, rows] == PARTS.index("train")
        return rows if known.all() else rows[known]

    def transfer_set(self, class_names=None, split=0):
        """Indices of the training examples of these classes, or of all. Raises UserError if there is no such class."""
        rows = self.rows("train", split)
        if class_names is None:
            return rows
        for name in class_names:
            if name not in self.class_names:
                allowed = ", ".join(self.class_names)
                raise UserError(f"prepare.transfer_classes: got {name!r}; the classes are {allowed}")
        return rows[np.isin(self.labels(rows, split), [self.class_names.index(name) for name in class_names])]

    def _arrays(self):
        names = ("x", "y", "assignment", "offset", "scale", "class_names", "feature_names")
        shape = {"image_shape": np.array(self.image_shape, dtype=np.int64)}
        shape |= {"encoding": np.array(self.encoding)} if self.encoding else {}
        return shape | {name: getattr(self, name) if name == "x" else np.asarray(getattr(self, name)) for name in names}

    def seal(self):
        """Give it the digest of its content, in one pass. Returns what is wrong with it, or None."""
        x = Ends(self.x)
        self.digest = digest(self._arrays() | {"x": x})
        return fault(self, x.ends)

    def save(self, path, sealed=False):
        """sealed: nothing has changed since `seal`."""
        if not sealed:
            self.seal()
        write_npz(path, self._arrays() | {"digest": np.array(self.digest)})

    @classmethod
    def load(cls, path):
        """Raises UserError if the file is missing, damaged or not such a dataset.

        The file is read once from end to end, for the digest and for the least and greatest values. What is mapped of
        it (`kdlib.io.npz_reader.MAPPED`) is not held.
        """
        plain = ("x", "y", "assignment", "offset", "scale")
        arrays = read_npz(path, [*plain, "class_names", "feature_names", "image_shape", "digest"], sealed=True)
        try:
            dataset = cls(
                *(arrays[name] for name in plain),
                *([str(name) for name in arrays[key]] for key in ("class_names", "feature_names")),
                tuple(int(n) for n in arrays["image_shape"]),
                str(arrays.get("encoding", "")),
            )
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: not a dataset ({error}); run the stage prepare again") from None
        wrong = dataset.seal()
        if dataset.digest != str(arrays["digest"]):
            raise UserError(f"{path}: its content does not have the digest that it names; run the stage prepare again")
        if wrong:
            raise UserError(f"{path}: not a dataset ({wrong}); run the stage prepare again")
        for name in dataset.class_names:
            check_name(f"{path}: a class", name)
        return dataset
