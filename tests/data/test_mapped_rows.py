"""Rows that are mapped or in several arrays."""

import numpy as np
import pytest

from kdlib.data.mapped_rows import ConcatenatedRows, equal_rows


@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_of_equal_rows_the_first_is_named_also_of_rows_that_are_read_in_pieces(dtype, monkeypatch):
    x = np.random.default_rng(0).integers(0, 3, (300, 4)).astype(dtype)
    expected = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in x]
    monkeypatch.setattr("kdlib.io.chunks.CHUNK_BYTES", 64)
    assert equal_rows(x).tolist() == expected
    assert equal_rows(ConcatenatedRows([x[:100], x[100:]], dtype)).tolist() == expected
    assert equal_rows(np.unique(x, axis=0)) is None
    assert equal_rows(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -0.0]])).tolist() == [0, 1, 0]
