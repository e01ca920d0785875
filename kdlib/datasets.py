"""How examples are split and scaled, and the artifact that holds them."""

import hashlib
from dataclasses import dataclass, field

import numpy as np

from kdlib import exact
from kdlib.artifacts import read_npz, write_npz
from kdlib.errors import UserError
from kdlib.streams import permutation, stream

SPLITS = ("train", "validation", "test")


def apportion(total, shares):
    """Integers that sum to `total`, as proportional to `shares` as integers can be (largest remainders)."""
    quotas = np.asarray(shares, dtype=np.float64) / float(exact.sum(np.asarray(shares, np.float64)[None], 1)[0]) * total
    counts = np.floor(quotas).astype(np.int64)
    largest = np.argsort(counts - quotas, kind="stable")
    counts[largest[: total - int(counts.sum())]] += 1  # integers
    return counts


def stratified_split(y, ratios, seed, purpose, remedy="raise the smallest ratio", spare=0):
    """Indices of the parts in which each class has its share, (n_i,) int64 ascending, one array for each ratio.

    y: (n,) classes. ratios: shares of all examples, summing to 1. Raises UserError with the `remedy` if a part would
    lack a class; the last `spare` parts may.
    """
    classes, counts = np.unique(y, return_counts=True)
    sizes = apportion(len(y), ratios)
    # The parts' totals are met by giving each class's leftovers to the parts that are furthest below their size.
    quotas = counts[:, None] * (sizes / len(y))
    table = np.floor(quotas).astype(np.int64)
    for row, count in zip(table, counts, strict=True):
        for _ in range(int(count - row.sum())):  # integers
            row[np.argmax(sizes - table.sum(axis=0))] += 1  # integers
    if (table[:, : len(ratios) - spare] == 0).any():
        raise UserError(
            f"too few examples for a stratified split: {' + '.join(map(str, sizes))} of {len(y)} leave a part without"
            f" one of the {len(classes)} classes, of which the smallest has {counts.min()} examples; {remedy}"
        )
    parts = [[] for _ in ratios]
    for index, (label, row) in enumerate(zip(classes, table, strict=True)):
        members = np.flatnonzero(y == label)
        members = members[permutation(stream(seed, purpose, index), len(members))]
        for part, piece in zip(parts, np.split(members, np.cumsum(row)[:-1]), strict=True):  # integers
            part.append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]


def fit_scaling(x, kind, image):
    """(offset, scale), each (features,) float64; `Dataset` gives (x - offset) * scale.

    minmax: to [0, 1] by the least and greatest value of the feature, of all pixels together if `image`.
    standard: to mean 0 and std 1. A constant feature keeps the scale 1.
    """
    x = x.astype(np.float64)
    if kind == "none":
        return np.zeros(x.shape[1]), np.ones(x.shape[1])
    if kind == "minmax":
        axis = (0, 1) if image else 0
        offset = np.broadcast_to(x.min(axis=axis), x.shape[1:]).copy()
        spread = np.broadcast_to(x.max(axis=axis), x.shape[1:]) - offset
    else:
        columns = x.T  # one scale of the exact sum for each feature
        offset = exact.mean(columns, axis=1)
        centred = columns - offset[:, None]
        spread = np.sqrt(exact.mean(centred * centred, axis=1))
    return offset, 1 / np.where(spread > 0, spread, 1)


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
        digest = hashlib.sha256()
        for name, array in sorted(self._arrays().items()):
            array = array.astype(array.dtype.newbyteorder("<"))
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
        return digest.hexdigest()

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


def prepare(examples, seed, train_ratio, val_ratio, max_samples, scaling, labeled_fraction):
    """Split, scale and hide labels: `kdlib.sources.Examples` -> `Dataset`. All draws follow from `seed`.

    Where a test set is given it is the test split, and the rest is divided as train_ratio : val_ratio.
    Raises UserError if there are too few examples of a class for the splits.
    """
    x, y, tested = examples.x, examples.y, examples.tested
    tested = np.zeros(len(y), dtype=bool) if tested is None else tested
    if max_samples is not None and max_samples < len(y):
        ratios = max_samples / len(y), 1 - max_samples / len(y)
        strata = 2 * y + tested
        kept, _ = stratified_split(strata, ratios, seed, "prepare/sample", "raise prepare.max_samples", spare=1)
        x, y, tested = x[kept], y[kept], tested[kept]
    ratios = train_ratio, val_ratio, 1 - train_ratio - val_ratio
    remedy = "raise prepare.max_samples, or the smallest of train_ratio, val_ratio and the test split's rest"
    if tested.any():
        ratios = train_ratio / (train_ratio + val_ratio), val_ratio / (train_ratio + val_ratio)
    free = np.flatnonzero(~tested)
    parts = [free[part] for part in stratified_split(y[free], ratios, seed, "prepare/split", remedy)]
    parts += [np.flatnonzero(tested)] if tested.any() else []
    inputs, labels = ({s: values[part] for s, part in zip(SPLITS, parts, strict=True)} for values in (x, y))
    offset, scale = fit_scaling(inputs["train"], scaling, bool(examples.image_shape))
    if labeled_fraction < 1:
        train = labels["train"]
        ratios = labeled_fraction, 1 - labeled_fraction
        remedy = "raise prepare.labeled_fraction"
        _, hidden = stratified_split(train, ratios, seed, "prepare/labels", remedy, spare=1)
        train[hidden] = -1
    names = examples.class_names, examples.feature_names, examples.image_shape
    dataset = Dataset(inputs, labels, offset, scale, *names)
    dataset.digest = dataset._digest()
    return dataset
