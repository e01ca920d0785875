"""The default rates train what they meet: within 2 points of scikit-learn's network of their size."""

import re

import pytest

from benchmarks import defaults

POINTS = 0.02
ROWS = re.findall(
    r"^\| (.+?) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", defaults.OUTPUT.read_text("utf-8"), re.M
)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_table_shows_it(row):
    ours_baseline, theirs_baseline, ours_teacher, theirs_teacher = (float(cell) / 100 for cell in row[1:])
    assert ours_baseline > theirs_baseline - POINTS
    assert ours_teacher > theirs_teacher - POINTS


def test_the_table_has_every_case():
    assert [row[0] for row in ROWS] == list(defaults.CASES)


@pytest.mark.slow
@pytest.mark.parametrize("title", defaults.CASES)
def test_here_too(title):
    pairs = defaults.measured(title)
    if pairs is None:
        pytest.skip("no MNIST: no mnist.npz in ../shared/data")
    assert all(ours > theirs - POINTS for ours, theirs in pairs)
