"""Tables of openml.org, by scikit-learn's loader and from its cache."""

import warnings
from array import array
from functools import partial

from kdlib.data.table import Table, column_names
from kdlib.io.errors import UserError

PREFIX = "openml:"
CACHE = "data/raw"  # where DVC sees it


def read_openml(source, target):
    """(`Table`, name of the target) of `openml:61`; of a null target it is the one that openml.org names.

    Rows are in openml.org's order. Raises UserError if it is neither in the cache nor to be had, or no dense table.
    """
    try:
        from sklearn.datasets import fetch_openml
    except ImportError:
        raise UserError(f"prepare.dataset: {source} is fetched by scikit-learn: pip install scikit-learn") from None
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
    return Table(source, columns, rows, declared, notes, numeric=numeric - {names[-1]}), names[-1]


def _texts(cells, known):
    """known: the category of each code, or None where the cells are numbers, or texts already."""
    if cells.dtype.kind != "f":
        return [str(cell).strip() for cell in cells]
    named = (lambda value: known[int(value)].strip()) if known else repr
    return ["" if value != value else named(value) for value in cells.tolist()]
