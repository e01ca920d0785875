"""What the stages hand to the library."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from kdlib.data.dataset import Dataset
from kdlib.deployment.c_source import c_source
from kdlib.deployment.model_file import load
from kdlib.deployment.onnx_export import onnx_file
from kdlib.evaluation.metrics import bias_shift
from kdlib.io.artifacts import read_npz, write_npz
from kdlib.pipeline.command_line import DEPLOYED_FILES, PATHS, Paths
from kdlib.pipeline.params import load_params
from kdlib.reporting.table import format_report
from stages import STAGES, distill, evaluate, prepare, train_baseline, train_teacher
from tests.conftest import DVC_YAML, MAINS, ROOT, files, inputs, outputs, quick, quick_params


@pytest.mark.parametrize("labeled", [1437, 719, 144, 32, 7])
def test_a_network_of_the_labelled_takes_as_many_steps(labeled):
    student = quick_params(student={"epochs": 10, "batch_size": 32, "patience": 2}).student.recipe()
    longer = student.with_equal_steps(1437, labeled)
    steps = longer.epochs * -(-labeled // 32)
    assert abs(steps - 10 * 45) <= -(-labeled // 32) / 2
    assert longer.patience == round(2 * longer.epochs / 10)
    assert longer.hidden == student.hidden


def test_with_every_label_the_recipe_is_the_students():
    student = quick_params().student.recipe()
    assert student.with_equal_steps(120, 120) == student


def test_the_control_without_a_teacher_is_as_long_as_the_baseline(tmp_path, monkeypatch):
    """Label smoothing by 0 is the baseline, bit for bit, also where some labels are hidden."""
    monkeypatch.chdir(tmp_path)
    params = quick_params(prepare={"labeled_fraction": 0.5}, distill={"loss": "ls", "smoothing": 0.0})
    for stage in (prepare, train_teacher, train_baseline, distill):
        stage.main(params)
    baseline, student = read_npz(PATHS.baseline), read_npz(PATHS.student)
    assert baseline["training_loss"].shape == (2, 6)
    for name, array in baseline.items():
        assert np.array_equal(array, student[name]), name


def test_the_printed_table_is_what_the_file_of_metrics_tells(tmp_path, monkeypatch, capsys):
    """Also where a mean is so near the middle of two digits that its six decimals round it to the other one."""
    monkeypatch.chdir(tmp_path)
    params = quick_params()
    for main in [main for name, main in MAINS.items() if name not in ("evaluate", "page")]:
        main(params)

    made = evaluate.build_report

    def moved(*given):
        result = made(*given)
        result["student"]["test"]["accuracy"]["std"] = 0.000249999
        result["compression"] = dict(reversed(result["compression"].items()))
        return result

    monkeypatch.setattr(evaluate, "build_report", moved)
    capsys.readouterr()
    evaluate.main(params)
    details = json.loads(Path("metrics/details.json").read_text("utf-8"))
    printed = capsys.readouterr().out
    assert printed == format_report(details) + "\n"
    assert "± 0.03" in printed


def test_the_matrix_of_environments_has_valid_parameters():
    assert load_params(ROOT / "tests/reproducibility/params.yaml").arithmetic == "exact"


@pytest.fixture(scope="module")
def without_ones(tmp_path_factory):
    """(Dataset, Params, folder) in which all stages ran, with a transfer set without the second class."""
    folder, before = tmp_path_factory.mktemp("without"), Path.cwd()
    params = quick_params(
        prepare={"transfer_classes": ["setosa", "virginica"]},
        teacher={"epochs": 30},
        student={"epochs": 60},
        distill={"alpha": 1.0},
    )
    os.chdir(folder)
    try:
        for main in MAINS.values():
            main(params)
    finally:
        os.chdir(before)
    return Dataset.load(folder / PATHS.dataset), params, folder


def test_student_and_baseline_see_the_transfer_set_alone(without_ones, tmp_path, monkeypatch):
    """What the others show, and what the teacher says of them, is no matter."""
    dataset, params, folder = without_ones
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    teacher = read_npz(PATHS.teacher)
    train = dataset.rows("train")
    absent = train[dataset.y[train] == 1]
    dataset.x[absent] = 1e6
    teacher["logits"][:, absent] = 1e6
    dataset.save(PATHS.dataset)
    write_npz(PATHS.teacher, teacher | {"dataset_digest": np.array(Dataset.load(PATHS.dataset).digest)})
    for name, path in (("train_baseline", PATHS.baseline), ("distill", PATHS.student)):
        MAINS[name](params)
        ours, theirs = read_npz(path), read_npz(folder / path)
        for key in ("weights_0", "training_loss", "validation_accuracy"):
            assert np.array_equal(ours[key], theirs[key]), key


def test_the_bias_of_absent_classes_is_chosen_on_validation(without_ones):
    dataset, _, folder = without_ones
    measured = json.loads((folder / "metrics/details.json").read_text("utf-8"))
    predictions = read_npz(folder / PATHS.predictions)
    absent = np.array([False, True, False])
    labels = {part: dataset.y[dataset.rows(part)] for part in ("validation", "test")}
    shift = bias_shift(predictions["student_validation_0"], labels["validation"], absent)
    assert measured["student"]["bias_shift"]["mean"] == pytest.approx(shift.mean(), abs=1e-6)
    assert measured["absent_examples"] == {"test": 5, "validation": 5}
    for split in ("validation", "test"):
        shifted = predictions[f"student_{split}_0"] + shift[:, None, None] * absent
        right = shifted.argmax(axis=-1) == labels[split]
        student = measured["student"][split]
        assert student["accuracy_shifted"]["mean"] == pytest.approx(right.mean(), abs=1e-6)
        assert student["accuracy_absent_shifted"]["mean"] == pytest.approx(right[:, labels[split] == 1].mean())
    student = measured["student"]["validation"]
    assert student["accuracy_shifted"]["mean"] >= student["accuracy"]["mean"]
    assert "bias_shift" not in measured["teacher"]


def test_paths_given_by_hand_are_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params, paths = quick_params(), Paths(dataset="a.npz", baseline="b/c.npz")
    MAINS["prepare"](params, paths)
    MAINS["train_baseline"](params, paths)
    assert sorted(files(tmp_path)) == ["a.npz", "b/c.npz", "data/answers.sha256"]


def test_what_is_deployed_is_one_folder_that_the_next_run_replaces(trained, tmp_path, monkeypatch):
    """The files for ONNX and C are those of the networks in the `.npz`."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    before = files(Path(PATHS.deployed))
    assert sorted(before) == sorted(DEPLOYED_FILES)
    MAINS["deploy"](quick_params(deploy={"bits": 4}))
    after = files(Path(PATHS.deployed))
    floats = {"float.npz", "student.onnx"}
    assert {name for name in DEPLOYED_FILES if after[name] == before[name]} == floats
    floats, integers = load(f"{PATHS.deployed}/float.npz"), load(f"{PATHS.deployed}/int.npz")
    assert after["student.onnx"] == onnx_file(floats)
    assert after["student_int.onnx"] == onnx_file(integers)
    assert after["student.h"] == c_source(integers).encode()
    written = {path for stage in STAGES for path in outputs(stage)}
    assert {path.as_posix() for path in Path("models").iterdir()} == {p for p in written if p.startswith("models/")}


def test_the_list_of_stages_has_those_of_dvc_yaml_each_behind_those_that_it_reads():
    assert list(STAGES) == list(DVC_YAML["stages"])
    for k, stage in enumerate(STAGES):
        made = {path for before in STAGES[:k] for path in outputs(before)}
        assert {path for later in STAGES for path in outputs(later)}.intersection(inputs(stage)) <= made


def test_set_takes_the_place_of_the_files_value(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(quick()), "utf-8")
    params = load_params(path, ["student.hidden=[7, 5]", "teacher.augment={shift: 2}", "seed=3", "student.patience=4"])
    assert (params.student.hidden, params.teacher.augment.shift, params.seed) == ([7, 5], 2, 3)
    assert params.student.patience == 4
    assert load_params(path).student.hidden == [8]
