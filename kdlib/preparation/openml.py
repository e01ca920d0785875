"""Read tables of openml.org with scikit-learn's loader and its cache."""

import warnings
from array import array
from functools import partial

from kdlib.data.table import Table, column_names
from kdlib.io.errors import UserError

PREFIX = "openml:"
CACHE = "data/raw"  # DVC tracks it


def read_openml(source: str, target: str | None) -> tuple[Table, str]:
    """Read a table of openml.org from the cache, or download it into the cache.

    Parameters
    ----------
    source : str
        `openml:` and the number of the dataset, such as `openml:61`.
    target : str or None
        Label column. None selects the one that openml.org names.

    Returns
    -------
    table : Table
        Rows in openml.org's order.
    target : str
        Name of the label column.

    Raises
    ------
    UserError
        If the table is not in the cache and cannot be downloaded, is sparse or has not exactly one label column, or if
        scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import fetch_openml
    except ImportError:
        raise UserError(f"prepare.dataset: {source} is fetched by scikit-learn: pip install 'kdlib[sklearn]'") from None
    options = {"target_column": target or "default-target", "as_frame": False, "parser": "liac-arff"}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            bunch = fetch_openml(data_id=int(source.removeprefix(PREFIX)), data_home=CACHE, **options)
    except MemoryError:
        raise
    except Exception as error:  # of the network, of its cache, of a name that is no column
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise UserError(f"prepare.dataset: {source} is not to be had ({reason}); its cache is {CACHE}/openml") from None
    if len(bunch.target_names) != 1 or not hasattr(bunch.data, "tolist"):
        raise UserError(f"prepare.dataset: {source} is sparse, or has not one target; name one in prepare.target")
    values = {name: bunch.data[:, k] for k, name in enumerate(bunch.feature_names)}
    values[bunch.target_names[0]] = bunch.target
    names = column_names(source, list(values))
    columns = {
        name: partial(_texts, cells, bunch.categories.get(key))
        for name, (key, cells) in zip(names, values.items(), strict=True)
    }
    declared = frozenset(name for name, key in zip(names, values, strict=True) if key in bunch.categories)
    notes = tuple(" ".join(str(warning.message).split()) for warning in caught)
    numeric = frozenset(columns) - declared if bunch.data.dtype.kind == "f" else frozenset()
    rows = array("q", range(1, len(bunch.data) + 1))
    return Table(source, columns, rows, declared, notes, numeric_columns=numeric - {names[-1]}), names[-1]


def _texts(cells, categories):
    """Return the cells as texts. categories: the category of each code; None if the cells are numbers or texts."""
    if cells.dtype.kind != "f":
        return [str(cell).strip() for cell in cells]
    to_text = (lambda value: categories[int(value)].strip()) if categories else repr
    return ["" if value != value else to_text(value) for value in cells.tolist()]
