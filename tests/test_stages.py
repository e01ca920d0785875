"""What the stages hand to the library."""

import numpy as np
import pytest
from conftest import ROOT, quick_params

from kdlib.artifacts import read_npz
from kdlib.params import load_params
from stages import BASELINE, STUDENT, distill, prepare, train_baseline, train_teacher
from stages.fit import with_as_many_steps


@pytest.mark.parametrize("labeled", [1437, 719, 144, 32, 7])
def test_a_network_of_the_labelled_takes_as_many_steps(labeled):
    student = quick_params(student={"epochs": 10, "batch_size": 32, "patience": 2}).student
    longer = with_as_many_steps(student, 1437, labeled)
    steps = longer.epochs * -(-labeled // 32)
    assert abs(steps - 10 * 45) <= -(-labeled // 32) / 2
    assert longer.patience == round(2 * longer.epochs / 10)
    assert longer.hidden == student.hidden


def test_with_every_label_the_recipe_is_the_students():
    student = quick_params().student
    assert with_as_many_steps(student, 120, 120) == student


def test_the_control_without_a_teacher_is_as_long_as_the_baseline(tmp_path, monkeypatch):
    """Label smoothing by 0 is the baseline, bit for bit, also where some labels are hidden."""
    monkeypatch.chdir(tmp_path)
    params = quick_params(prepare={"labeled_fraction": 0.5}, distill={"loss": "ls", "smoothing": 0.0})
    for stage in (prepare, train_teacher, train_baseline, distill):
        stage.main(params)
    baseline, student = read_npz(BASELINE), read_npz(STUDENT)
    assert baseline["training_loss"].shape == (2, 6)
    for name, array in baseline.items():
        assert np.array_equal(array, student[name]), name


def test_the_matrix_of_environments_has_valid_parameters():
    assert load_params(ROOT / "tests/reproducibility/params.yaml").arithmetic == "exact"
