"""Maxima and sums of rows and columns are NumPy's, for every length."""

import numpy as np
import pytest

from kdlib.numerics.reductions import column_maxima, row_maxima, row_sums


@pytest.mark.parametrize("width", [1, 2, 15, 16, 17, 18, 31, 32, 33, 47, 63, 64, 65, 200])
def test_maxima_and_sums_are_numpys(width):
    x = np.random.default_rng(width).integers(-(2**40), 2**40, (3, 50, width)).astype(np.float64)
    assert (row_maxima(x) == x.max(axis=-1, keepdims=True)).all()
    assert (row_sums(x) == x.sum(axis=-1, keepdims=True)).all()


@pytest.mark.parametrize("rows", [1, 2, 8, 9, 10, 31, 64, 127])
@pytest.mark.parametrize("width", [1, 10, 63, 64])
def test_maxima_of_columns_are_numpys(rows, width):
    x = np.random.default_rng(rows).normal(size=(40, rows, width))
    assert (column_maxima(x) == x.max(axis=1, keepdims=True)).all()
    x[7, rows // 2, 0] = np.nan
    assert np.argwhere(np.isnan(column_maxima(x))).tolist() == [[7, 0, 0]]


@pytest.mark.parametrize("width", [1, 17, 33, 64, 65])
def test_a_nan_anywhere_in_a_row_is_its_maximum(width):
    x = np.where(np.eye(width, dtype=bool), np.nan, np.inf)
    assert np.isnan(row_maxima(x)).all()
    assert (row_maxima(np.full((1, width), -np.inf)) == -np.inf).all()


def test_an_empty_row_sums_to_zero():
    assert (row_sums(np.empty((2, 0))) == np.zeros((2, 1))).all()
