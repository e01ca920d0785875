"""The tables that scikit-learn brings along, read from its folder: importing it takes ten times as long as reading."""

import csv
import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from kdlib.io.errors import UserError

FILES = {
    "breast_cancer": "breast_cancer.csv",
    "digits": "digits.csv.gz",
    "iris": "iris.csv",
    "wine": "wine_data.csv",
}
_CELLS = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points", "symmetry",
    "fractal dimension",
)  # fmt: skip
FEATURES = {
    "breast_cancer": [form.format(name) for form in ("mean {}", "{} error", "worst {}") for name in _CELLS],
    "digits": [f"pixel_{row}_{column}" for row in range(8) for column in range(8)],
    "iris": ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"],
    "wine": [
        "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
        "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline",
    ],
}  # fmt: skip


def read(name):
    """(x, y, class names, feature names, image shape) of the table `name`, a key of FILES.

    x: (n, features), uint8 of digits, float64 of the others. y: (n,) int64. Raises UserError without scikit-learn.
    """
    package = find_spec("sklearn")
    if package is None:
        raise UserError(f"prepare.dataset: {name} comes with scikit-learn: pip install scikit-learn")
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / FILES[name]
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    digits = name == "digits"  # has no header; the others' is: rows, columns, class names
    names = [str(digit) for digit in range(10)] if digits else rows.pop(0)[2:]
    table = np.array(rows, dtype=np.float64)
    x, y = np.ascontiguousarray(table[:, :-1]), table[:, -1].astype(np.int64)
    return x.astype(np.uint8) if digits else x, y, names, FEATURES[name], (8, 8) if digits else ()
