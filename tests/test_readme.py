"""The README says what this tree does."""

import re

import numpy as np
from readme import README, filled

from kdlib import exact


def test_every_generated_part_is_current():
    text = README.read_text(encoding="utf-8")
    assert text == filled(text), "run: python tests/readme.py"


def test_the_library_example_runs():
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL).group(1)
    scope = {}
    exec(code.replace("print(", "result = ("), scope)
    assert scope["result"].shape == (5,)
    assert exact.mean(scope["result"][None], axis=1)[0] > 0.6
    assert np.isfinite(scope["result"]).all()
