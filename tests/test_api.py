"""The public names of kdlib, and that they are imported when they are used."""

import subprocess
import sys

import numpy as np
import pytest

import kdlib

# What `import kdlib` may have loaded: a stage depends on what it imports, and starts quickly.
LOADED = (
    "import sys, kdlib; print(sorted(name for name in sys.modules if name.startswith('kdlib.') or name == 'numpy'))"
)


@pytest.mark.parametrize("name", kdlib.__all__)
def test_a_name_is_there(name):
    assert getattr(kdlib, name) is not None
    assert name in dir(kdlib)


def test_another_name_is_an_error():
    with pytest.raises(AttributeError, match="'kdlib' has no attribute 'tarin'"):
        kdlib.tarin  # noqa: B018


def test_an_import_of_kdlib_loads_nothing():
    output = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout
    assert output == "[]\n"


def test_a_teacher_and_a_student_in_five_lines():
    x = np.random.default_rng(0).normal(size=(300, 6))
    y = np.argmax(x[:, :3], axis=1)
    teacher, _ = kdlib.train(x[:200], kdlib.CrossEntropy(y[:200]), kdlib.Recipe(hidden=(16,)))
    objective = kdlib.Distillation(y[:200], teacher.logits(x[:200]), temperature=4.0)
    student, _ = kdlib.train(x[:200], objective, kdlib.Recipe(hidden=(4,)))
    assert kdlib.metrics.accuracy(student.logits(x[200:]), y[200:])[0] > 0.8
