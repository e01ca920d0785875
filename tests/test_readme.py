"""The README says what this tree does."""

import re

import numpy as np
import pytest
from readme import PARTS, README, filled

from kdlib import exact


@pytest.mark.parametrize("path", PARTS, ids=lambda path: path.parent.name)
def test_every_generated_part_is_current(path):
    assert path.read_text(encoding="utf-8") == filled(path), "run: python tests/readme.py"


def test_the_library_example_runs():
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL).group(1)
    scope = {}
    exec(code.replace("print(", "result = ("), scope)
    assert scope["result"].shape == (5,)
    assert exact.mean(scope["result"][None], axis=1)[0] > 0.6
    assert np.isfinite(scope["result"]).all()
