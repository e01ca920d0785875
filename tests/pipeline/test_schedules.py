"""Temperature and alpha that follow a schedule, from params.yaml to the page."""

import csv
import json

import numpy as np
import pytest

from kdlib.data.dataset import Dataset
from kdlib.deployment.model_file import load
from kdlib.io.artifacts import read_npz
from kdlib.learning.model_file import load_model
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.sweeps import Sweep
from kdlib.pipeline.command_line import PATHS
from kdlib.reporting import plots
from tests.conftest import MAINS, files, quick_params

SETTINGS = {"temperature": [2.0, {"start": 1, "end": 4}], "alpha": {"start": 1.0, "end": 0.5}}
SCHEDULES = LinearSchedule(1.0, 4.0), LinearSchedule(1.0, 0.5)


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory):
    """A folder in which all stages ran with SETTINGS."""
    folder = tmp_path_factory.mktemp("scheduled")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for main in MAINS.values():
            main(quick_params(distill=SETTINGS))
    return folder


def test_the_file_of_the_student_has_its_settings(scheduled):
    sweep = load_model(scheduled / PATHS.student, Dataset.load(scheduled / PATHS.dataset)).sweep
    assert sweep.settings == {
        "temperature": (2.0, SCHEDULES[0]),
        "alpha": SCHEDULES[1:] * 2,
        "learning_rate": (0.15,) * 2,
    }


def test_each_setting_has_the_bytes_that_it_has_alone(scheduled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    together = read_npz(scheduled / PATHS.student)
    for name in ("prepare", "train_teacher"):
        MAINS[name](quick_params())
    losses = []
    for temperature in SETTINGS["temperature"]:
        MAINS["distill"](quick_params(distill=SETTINGS | {"temperature": temperature}))
        losses.append(read_npz(PATHS.student)["sweep_loss"])
    assert np.array_equal(np.concatenate(losses, axis=1), together["sweep_loss"])
    assert losses[0].tolist() != losses[1].tolist()


def test_workers_give_the_same_bytes(scheduled, tmp_path, monkeypatch):
    """Parts go to the workers as pickles."""
    monkeypatch.chdir(tmp_path)
    params = quick_params(distill=SETTINGS, execution={"workers": 2})
    for name in ("prepare", "train_teacher", "distill"):
        MAINS[name](params)
    assert files(tmp_path)[PATHS.student] == (scheduled / PATHS.student).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["wttm", "dist"])
def test_neither_workers_nor_kernels_change_a_byte_of_other_losses(loss, tmp_path, monkeypatch):
    """Half of the rows have no label; two splits, four settings."""
    pytest.importorskip("numba", reason="no numba (pip install numba scipy)")
    found = set()
    for count, kernels in ((1, "numpy"), (2, "numpy"), (1, "numba"), (2, "numba")):
        folder = tmp_path / f"{kernels} {count}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        params = quick_params(
            prepare={"splits": 2, "labeled_fraction": 0.5},
            student={"schedule": "cosine", "warmup": 0.2},
            distill=SETTINGS | {"loss": loss, "alpha": [0.5, SETTINGS["alpha"]], "inter_class": 0.5},
            execution={"workers": count, "kernels": kernels},
        )
        for name in ("prepare", "train_teacher", "distill"):
            MAINS[name](params)
        found.add((folder / PATHS.student).read_bytes())
    assert len(found) == 1


def test_what_comes_out_names_the_schedule(scheduled, tmp_path, monkeypatch):
    with open(scheduled / "metrics/sweep.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["network"] == "student"]
    assert [(row["temperature"], row["alpha"]) for row in rows] == [("2.0", "1.0 to 0.5"), ("1.0 to 4.0", "1.0 to 0.5")]
    svg = (scheduled / "metrics/sweep.svg").read_text("utf-8")
    assert "alpha 1.0 to 0.5, T 1.0 to 4.0" in svg
    setting = load(scheduled / PATHS.deployed / "float.npz").card.setting
    assert setting["alpha"] == {"start": 1.0, "end": 0.5}


def test_the_page_trains_no_student_of_a_schedule_and_says_so(scheduled):
    text = (scheduled / PATHS.page).read_text("utf-8")
    start = text.index('id="content">') + len('id="content">')
    data = json.loads(text[start : text.index("</script>", start)])
    assert data["lesson"] is None
    assert "does not implement distill.alpha: 1.0 to 0.5" in data["untrained"]


def test_a_sweep_of_schedules_alone_is_stored_and_drawn():
    values = {"temperature": (SCHEDULES[0], LinearSchedule(2.0, 2.5)), "alpha": (0.5, 0.9), "learning_rate": (0.1, 0.1)}
    sweep = Sweep(values, np.ones((1, 2, 1)), np.ones((1, 2, 1)))
    assert Sweep.from_arrays(sweep.arrays()).settings == values
    rows = [{"network": "baseline", "chosen": 1, "validation_loss": 0.3}]
    for alpha, temperature in zip(values["alpha"], values["temperature"], strict=True):
        rows.append(
            {"network": "student", "alpha": alpha, "temperature": temperature, "validation_loss": 0.2, "std": ""}
        )
    svg = plots.sweep(rows)
    assert "alpha 0.5, T 1.0 to 4.0" in svg
    assert "alpha 0.9, T 2.0 to 2.5" in svg


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("learning_rate", np.ones((2, 2))),
        ("temperature", np.ones((2, 3))),
        ("temperature", np.array([[1.0, 0.0]] * 2)),
        ("alpha", np.array([[1.0, np.nan]] * 2)),
    ],
)
def test_a_file_of_no_schedules_is_refused(name, array):
    arrays = {f"sweep_{key}": np.ones(2) for key in ("temperature", "alpha", "learning_rate")} | {
        f"sweep_{name}": array
    }
    with pytest.raises(ValueError, match="a sweep"):
        Sweep.from_arrays(arrays | {"sweep_loss": np.ones((1, 2, 1)), "sweep_accuracy": np.ones((1, 2, 1))})
