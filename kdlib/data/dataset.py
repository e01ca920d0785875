"""The dataset artifact: each example once, its subset in each split, and the scaling of each split."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kdlib.data.checks import ABSENT, SUBSETS, UNLABELED, check_content
from kdlib.data.decoding import decode_table
from kdlib.data.encoding import Encoding
from kdlib.data.mapped_rows import MinMaxRecorder
from kdlib.data.name_checks import check_name
from kdlib.data.scaled import ScaledRows
from kdlib.data.weights import row_weights
from kdlib.io.artifacts import array_digest, read_npz, write_npz
from kdlib.io.errors import UserError

WEIGHTS = ("weights", "class_factors")  # in the file only if examples have weights


@dataclass
class Dataset:
    """Hold the content of `data/dataset.npz`: n examples, and S splits of them into the SUBSETS.

    Parameters
    ----------
    x : array or `kdlib.data.mapped_rows.ConcatenatedRows`, shape (n, features)
        As loaded, not scaled.
    y : int64 array, shape (n,)
        Class of each example; -1 for a row without one.
    assignment : uint8 array, shape (S, n)
        Subset of each example in each split: an index in SUBSETS, UNLABELED (a training row without its label) or
        ABSENT.
    offset, scale : float64 array, shape (S, features)
        Scaling of each split, fitted on its training rows.
    class_names, feature_names : list of str
    image_shape : tuple
        (height, width), or () if the rows are no images.
    encoding : str
        JSON of the `Encoding` that made x from a raw table, or "" if x is as in its source.
    digest : str
        SHA-256 of all other fields, in hex; set by `update_digest`, `validate` and `load`. For a dataset with views it
        is the SHA-256 of the original's digest, the views and the seed.
    weights : float64 array, shape (n,), optional
        Weight of each example in the losses, as given; NaN for a row without a class whose weight is not given. None:
        all have the same.
    class_factors : float64 array, shape (S, classes + 1), optional
        See `kdlib.data.weights.class_factors`; there are such in each dataset in which examples have weights.
    """

    x: np.ndarray
    y: np.ndarray
    assignment: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    class_names: list[str]
    feature_names: list[str]
    image_shape: tuple[int, ...]
    encoding: str = ""
    digest: str = field(default="")
    weights: np.ndarray | None = None
    class_factors: np.ndarray | None = None

    @property
    def splits(self) -> int:
        """Number of splits, S."""
        return len(self.assignment)

    def rows(self, subset: str, split: int = 0) -> np.ndarray:
        """Return the indices of the examples in a subset of the split, ascending.

        Parameters
        ----------
        subset : str
            One of SUBSETS. "train" includes the rows whose label is hidden.
        split : int
        """
        assigned = self.assignment[split]
        unlabeled = (assigned == UNLABELED) & (subset == "train")
        return np.flatnonzero((assigned == SUBSETS.index(subset)) | unlabeled)

    def present(self, split: int = 0) -> np.ndarray:
        """Return the indices of the examples that are in any subset of the split, ascending."""
        return np.flatnonzero(self.assignment[split] != ABSENT)

    def scaled(self, rows: np.ndarray, split: int = 0) -> ScaledRows:
        """Return these rows with the scaling of the split, without a copy; images keep their height and width.

        Parameters
        ----------
        rows : int array, shape (m,)
            Indices of examples.
        split : int
        """
        x = self.x.reshape(-1, *self.image_shape) if self.image_shape else self.x
        return ScaledRows(x, rows, self.offset[split], self.scale[split], self.digest)

    def inputs(self, rows: np.ndarray, split: int = 0) -> np.ndarray:
        """Return these rows of x with the scaling of the split, shape (m, features), float64."""
        return self.scaled(rows, split).take(np.arange(len(rows)))

    def table(self, rows: np.ndarray) -> Any:
        """Return these rows as a DataFrame of numbers and categories, see `kdlib.data.decoding.decode_table`.

        Raises
        ------
        UserError
            If the dataset was no table, or if pandas is not installed.
        """
        if not self.encoding:
            raise UserError("teacher.inputs: got raw, which needs a table (CSV, Parquet or OpenML); set features")
        return decode_table(Encoding.from_json(self.encoding), self.x.take(rows, axis=0))

    def labels(self, rows: np.ndarray, split: int = 0) -> np.ndarray:
        """Return the classes of these rows, shape (m,); -1 where the split hides the label."""
        return np.where(self.assignment[split, rows] == UNLABELED, -1, self.y[rows])

    def one_hot(self, rows: np.ndarray, split: int = 0) -> np.ndarray:
        """Return one-hot labels, shape (m, classes), float64; a row of zeros where the split hides the label."""
        return (self.labels(rows, split)[:, None] == np.arange(len(self.class_names))).astype(np.float64)

    def row_weights(self, rows: np.ndarray, split: int = 0) -> np.ndarray | None:
        """Return the weights of these rows in the losses, shape (m,), float64; None if no weights were asked for.

        Those of the labelled training rows of the split have the mean 1. A hidden label has no influence.
        """
        if self.class_factors is None:
            return None
        own = None if self.weights is None else self.weights[rows]
        return row_weights(self.class_factors[split], self.labels(rows, split), own)

    def labeled(self, split: int = 0) -> np.ndarray:
        """Return the indices of the training examples with a known label, ascending."""
        return np.flatnonzero(self.assignment[split] == SUBSETS.index("train"))

    def with_label(self, rows: np.ndarray, split: int = 0) -> np.ndarray:
        """Return those of `rows` that are training examples with a known label."""
        known = self.assignment[split, rows] == SUBSETS.index("train")
        return rows if known.all() else rows[known]

    def transfer_set(self, class_names: Sequence[str] | None = None, split: int = 0) -> np.ndarray:
        """Return the indices of the training examples of these classes, ascending.

        Parameters
        ----------
        class_names : sequence of str, optional
            None for all training examples, those with a hidden label too.
        split : int

        Raises
        ------
        UserError
            If a class does not exist.
        """
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
        arrays = {"image_shape": np.array(self.image_shape, dtype=np.int64)}
        if self.encoding:
            arrays["encoding"] = np.array(self.encoding)
        names += tuple(name for name in WEIGHTS if getattr(self, name) is not None)
        for name in names:
            value = getattr(self, name)
            arrays[name] = value if name == "x" else np.asarray(value)
        return arrays

    def update_digest(self) -> None:
        """Set `digest` to the digest of the content."""
        self.digest = array_digest(self._arrays())

    def _digest_and_min_max(self):
        """Return the digest of the content and the smallest and largest values of x, in one pass over x."""
        x = MinMaxRecorder(self.x)
        digest = array_digest(self._arrays() | {"x": x})
        return digest, x.min_max

    def validate(self) -> None:
        """Check the content and set `digest`, in one pass over x.

        Raises
        ------
        UserError
            If `kdlib.data.checks.check_content` refuses the content.
        """
        self.digest, min_max = self._digest_and_min_max()
        check_content(self, min_max)

    def save(self, path: Path | str, validated: bool = False) -> None:
        """Write the dataset to an `.npz`.

        Parameters
        ----------
        path : path-like
        validated : bool
            True if nothing has changed since `validate`, which is then not repeated.

        Raises
        ------
        UserError
            As `validate` does.
        """
        if not validated:
            self.validate()
        write_npz(path, self._arrays() | {"digest": np.array(self.digest)})

    @classmethod
    def load(cls, path: Path | str) -> "Dataset":
        """Read a dataset that `save` wrote, and check it.

        The file is read once from end to end, for the digest and for the smallest and largest values. Arrays that are
        mapped (`kdlib.io.npz_reader.MIN_MAPPED_BYTES`) are not held in memory.

        Raises
        ------
        UserError
            If the file is missing, damaged or not such a dataset.
        """
        plain = ("x", "y", "assignment", "offset", "scale")
        arrays = read_npz(path, [*plain, "class_names", "feature_names", "image_shape", "digest"], skip_crc=True)
        try:
            dataset = cls(
                *(arrays[name] for name in plain),
                *([str(name) for name in arrays[key]] for key in ("class_names", "feature_names")),
                tuple(int(n) for n in arrays["image_shape"]),
                str(arrays.get("encoding", "")),
                **{name: arrays[name] for name in WEIGHTS if name in arrays},
            )
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}: not a dataset ({error}); run the stage prepare again") from None
        dataset.digest, min_max = dataset._digest_and_min_max()
        if dataset.digest != str(arrays["digest"]):
            raise UserError(f"{path}: its content does not have the digest that it names; run the stage prepare again")
        try:
            check_content(dataset, min_max)
        except UserError as error:
            raise UserError(f"{path}: not a dataset ({error}); run the stage prepare again") from None
        for name in dataset.class_names:
            check_name(f"{path}: a class", name)
        return dataset
