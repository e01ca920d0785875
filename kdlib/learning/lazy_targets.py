"""Targets that are computed for the requested rows only, where an array of all of them would not fit into memory.

In the pipeline, labels or a teacher's logits with more than MAX_ARRAY_ELEMENTS elements are `LazyTargets`, in place of
an array (G, n, classes). For G and *entry* see `kdlib.learning.stack`. `select_rows(entries, order)` returns what
`array[entries[:, None], order]` would. `LazyRows` slices the rows of one entry. `identity` is hashed into the
fingerprint of a checkpoint.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from kdlib.data.dataset import Dataset

MAX_ARRAY_ELEMENTS = 1 << 20  # elements up to which targets become an array
CHUNK_ROWS = 1 << 16  # rows that are computed at once where all are needed


class LazyTargets:
    """Compute targets on request.

    Parameters
    ----------
    shape : tuple (G, n, classes)
        The shape of the array that this object replaces.
    make : callable
        `make(g, rows)` returns the targets (m, classes) of entry g for m row indices.
    identity : object
        What the targets depend on, see `kdlib.learning.checkpoints.run_fingerprint`.
    """

    def __init__(
        self, shape: tuple[int, int, int], make: Callable[[int, np.ndarray], np.ndarray], identity: Any
    ) -> None:
        self.shape = shape
        self.identity = identity
        self._make = make

    def __len__(self):
        return self.shape[0]

    def to_array(self) -> np.ndarray:
        """Compute all targets, (G, n, classes)."""
        return np.stack([self._make(g, np.arange(self.shape[1])) for g in range(len(self))])

    def select_rows(self, entries: Sequence[int] | np.ndarray, order: np.ndarray) -> np.ndarray:
        """Compute rows of the targets for each network.

        Parameters
        ----------
        entries : sequence or array of R ints
            The entry of each network.
        order : array (R, m)
            Row indices for each network.

        Returns
        -------
        array (R, m, classes)
        """
        return np.stack([self._make(g, rows) for g, rows in zip(entries, order, strict=True)])

    def mapped(
        self,
        function: Callable[[int, np.ndarray], np.ndarray],
        identity: Any,
        entries: int | None = None,
        width: int | None = None,
    ) -> "LazyTargets":
        """Return targets that apply a function to these.

        Parameters
        ----------
        function : callable
            `function(g, values)` returns rows (m, width) of entry g of the result. The values (m, classes) are rows of
            the source entry that belongs to g.
        identity : object
            What the function depends on.
        entries : int, optional
            Number of entries of the result; default: G. With k G entries, each entry is used for k neighbouring
            results.
        width : int, optional
            Number of columns of the result; default: classes.
        """
        entries = len(self) if entries is None else entries
        width = self.shape[2] if width is None else width

        def make(g, rows):
            return function(g, self._make(g * len(self) // entries, rows))

        return LazyTargets((entries, self.shape[1], width), make, [self.identity, identity])


class LazyRows:
    """A (n, classes) view of targets with G = 1; supports slices only, as validation reads them.

    Parameters
    ----------
    targets : LazyTargets
        Targets with G = 1.
    """

    def __init__(self, targets: LazyTargets):
        self.shape = targets.shape[1:]
        self.identity = targets.identity
        self._targets = targets

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key: slice) -> np.ndarray:
        rows = np.arange(*key.indices(len(self)))
        return self._targets.select_rows([0], rows[None])[0]


def array_if_small(targets: np.ndarray | LazyTargets) -> np.ndarray | LazyTargets:
    """Return the targets as an array if they have at most MAX_ARRAY_ELEMENTS elements, else as they are."""
    if isinstance(targets, np.ndarray) or math.prod(targets.shape) > MAX_ARRAY_ELEMENTS:  # lint: integer sum
        return targets
    return targets.to_array()


def map_rows(
    targets: np.ndarray | LazyTargets,
    function: Callable[[np.ndarray], np.ndarray],
    identity: Any,
    width: int | None = None,
) -> np.ndarray | LazyTargets:
    """Apply a function to the targets.

    Parameters
    ----------
    targets : array (G, n, classes) or LazyTargets
        The targets.
    function : callable
        It takes (..., classes) and returns (..., width), and computes each row from that row only.
    identity : object
        What the function depends on.
    width : int, optional
        Number of columns that the function returns; default: classes.

    Returns
    -------
    array (G, n, width) or LazyTargets
    """
    if isinstance(targets, np.ndarray):
        return function(targets)
    return targets.mapped(lambda g, values: function(values), identity, width=width)


def any_true(targets: np.ndarray | LazyTargets) -> bool:
    """Return whether any element is true."""
    if isinstance(targets, np.ndarray):
        return bool(targets.any())
    n = targets.shape[1]
    for g in range(len(targets)):
        for start in range(0, n, CHUNK_ROWS):
            rows = np.arange(start, min(start + CHUNK_ROWS, n))
            if targets.select_rows([g], rows[None]).any():
                return True
    return False


def one_hot_of_split(dataset: "Dataset", rows: np.ndarray, split: int) -> np.ndarray | LazyRows:
    """Return the one-hot labels of rows of one split, (n, classes), as `train` takes them for validation."""
    targets = one_hot(dataset, {split: rows}, [split])
    return targets[0] if isinstance(targets, np.ndarray) else LazyRows(targets)


def one_hot(
    dataset: "Dataset", rows: Mapping[int, np.ndarray] | Sequence[np.ndarray], splits: Sequence[int]
) -> np.ndarray | LazyTargets:
    """Return the one-hot labels of rows in several splits.

    Parameters
    ----------
    dataset : Dataset
        The labels.
    rows : mapping or sequence of arrays (n,)
        Row indices; `rows[split]` are those of a split. All of `splits` have the same n.
    splits : sequence of int
        The splits.

    Returns
    -------
    array (splits, n, classes) or LazyTargets
        float64. A row is zero where the split hides the label. An array if it has at most MAX_ARRAY_ELEMENTS elements.
    """
    shape = (len(splits), len(rows[splits[0]]), len(dataset.class_names))

    def make(g, indices):
        split = splits[g]
        return dataset.one_hot(rows[split][indices], split)

    return array_if_small(LazyTargets(shape, make, [dataset.digest, splits, [rows[split] for split in splits]]))


def example_weights(
    dataset: "Dataset", rows: Mapping[int, np.ndarray] | Sequence[np.ndarray], splits: Sequence[int]
) -> np.ndarray | LazyTargets | None:
    """Return the weights of rows in several splits, (splits, n, 1), as `one_hot` returns labels; None without any."""
    if dataset.class_factors is None:
        return None

    def make(g, indices):
        split = splits[g]
        return np.asarray(dataset.row_weights(rows[split][indices], split))[:, None]

    identity = ["weights", dataset.digest, splits, [rows[split] for split in splits]]
    return array_if_small(LazyTargets((len(splits), len(rows[splits[0]]), 1), make, identity))


def teacher_targets(
    logits: np.ndarray, rows: Mapping[int, np.ndarray] | Sequence[np.ndarray], splits: Sequence[int], digest: str
) -> np.ndarray | LazyTargets:
    """Return the teacher's logits for rows in several splits.

    Parameters
    ----------
    logits : array (S, N, classes)
        The teacher's logits of all examples in every split.
    rows : mapping or sequence of arrays (n,)
        Row indices; `rows[split]` are those of a split. All of `splits` have the same n.
    splits : sequence of int
        The splits.
    digest : str
        SHA-256 of `logits`.

    Returns
    -------
    array (splits, n, classes) or LazyTargets
        An array if it has at most MAX_ARRAY_ELEMENTS elements.
    """
    shape = (len(splits), len(rows[splits[0]]), logits.shape[-1])

    def make(g, indices):
        split = splits[g]
        return logits[split, rows[split][indices]]

    return array_if_small(LazyTargets(shape, make, [digest, splits, [rows[split] for split in splits]]))
