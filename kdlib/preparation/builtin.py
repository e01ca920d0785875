"""Read the tables that scikit-learn bundles, directly from its folder.

Importing scikit-learn takes ten times as long as reading a table.
"""

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


def read(name: str) -> tuple[np.ndarray, np.ndarray, list[str], list[str], tuple[int, ...]]:
    """Read a bundled table.

    Parameters
    ----------
    name : str
        Key of `FILES`.

    Returns
    -------
    x : array, shape (n, features)
        uint8 for digits, float64 for the others.
    y : int64, shape (n,)
        Index of each example's class.
    class_names, feature_names : list of str
    image_shape : tuple
        (8, 8) for digits, else ().

    Raises
    ------
    UserError
        If scikit-learn is not installed.
    """
    package = find_spec("sklearn")
    if package is None:
        raise UserError(f"prepare.dataset: {name} comes with scikit-learn: pip install 'kdlib[sklearn]'")
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / FILES[name]
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    is_digits = name == "digits"
    # Only digits has no header. The header of the others is: rows, columns, class names.
    class_names = [str(digit) for digit in range(10)] if is_digits else rows.pop(0)[2:]
    table = np.array(rows, dtype=np.float64)
    x = np.ascontiguousarray(table[:, :-1])
    y = table[:, -1].astype(np.int64)
    image_shape = (8, 8) if is_digits else ()
    return x.astype(np.uint8) if is_digits else x, y, class_names, FEATURES[name], image_shape
