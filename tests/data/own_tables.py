"""Tables as a user brings them, what they become, and how they are refused."""

import numpy as np
import pytest

from kdlib.data.readers import read_table
from kdlib.io.errors import UserError
from kdlib.preparation import columns, sources
from kdlib.preparation.column_options import ColumnOptions


def rows(count=40, **makers):
    """The text of a CSV with a column y of three classes, and a column for each function of the row's number."""
    lines = [",".join([*makers, "y"])]
    lines += [",".join([*(str(make(k)) for make in makers.values()), "abc"[k % 3]]) for k in range(count)]
    return "\n".join(lines) + "\n"


def encoded(path, target="y", **options):
    """{feature: its column as a list}."""
    raw = read_table(path)
    encoding = columns.fit_encoding(raw, target, ColumnOptions(**options))
    x = encoding.encode(raw)
    assert x.dtype == np.float64
    assert np.isfinite(x).all()
    return dict(zip(encoding.feature_names, x.T.tolist(), strict=True))


def told(path, target="y", **options):
    with pytest.raises(UserError) as found:
        sources.load_examples(path, target, ColumnOptions(**options))
    line = str(found.value).replace(path, "PATH")
    assert "\n" not in line
    assert len(line) < 300
    return line
