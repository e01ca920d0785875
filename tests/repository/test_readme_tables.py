"""What docs/evidence.md says of when distillation helps is what was measured."""

import re

import pytest

from benchmarks import worth
from docs.generate import DOCS

ROWS = [line.strip("| \n").split(" | ") for line in worth.OUTPUT.read_text("utf-8").splitlines()[2:]]
SAID = re.search(r"<!-- end of worth -->\n(.*?)\n\n#", (DOCS / "evidence.md").read_text("utf-8"), re.DOTALL).group(1)


def test_every_case_was_measured():
    assert [row[0] for row in ROWS] == list(worth.CASES)


@pytest.mark.parametrize("number", re.findall(r"[+-]?\d+\.\d{2,3}(?= |\n|;|,)", SAID))
def test_every_figure_is_in_the_table(number):
    assert any(number in cell.replace("*", "").split() for row in ROWS for cell in row[1:] + row[:1])


@pytest.mark.slow
def test_a_row_is_made_again():
    title = "wine"
    assert worth.row(title, *worth.CASES[title]) == ROWS[list(worth.CASES).index(title)]
