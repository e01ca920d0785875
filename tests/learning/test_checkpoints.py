"""A training that is killed and started again ends with the bytes of one that was not."""

import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from kdlib.backends.arithmetic import EXACT
from kdlib.io.artifacts import array_digest, read_npz, write_npz
from kdlib.learning.checkpoints import CODE_FOLDERS, Checkpoint, code_fingerprint, run_fingerprint
from kdlib.learning.losses import LOSSES
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams
from tests.conftest import MAINS, ROOT, quick, quick_params

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(60, 6))
ONE_HOT = np.eye(3)[RANDOM.integers(0, 3, 60)]
RECIPES = {
    "sgd": {"nesterov": True, "dropout": 0.2, "input_dropout": 0.1, "max_norm": 1.0, "views": 2},
    "adam": {"optimizer": "adam", "schedule": "linear"},
    "adamw, early stopping": {"optimizer": "adamw", "weight_decay": 0.1, "learning_rate": 0.05, "patience": 1},
}


class KilledError(Exception):
    pass


def fit(checkpoint=None, killed_after=None, seed=0, objective=None, **recipe):
    def progress(epoch, loss, accuracy):
        epochs.append(epoch)
        if epoch == killed_after:
            raise KilledError

    epochs = []
    objective = objective or CrossEntropy(ONE_HOT[:40], EXACT)
    x, streams = X[:40], Streams(seed, "test", recipe.pop("replicas", (0, 1)))
    recipe = Recipe((8,), **{"epochs": 9, "batch_size": 16} | recipe)
    network, curve = train(x, objective, recipe, (X[40:], ONE_HOT[40:]), streams, progress, checkpoint)
    return network, curve, epochs


def same(first, second):
    (network, curve, _), (other, others, _) = first, second
    return np.array_equal(network.parameters, other.parameters) and all(
        np.array_equal(curve[name], others[name], equal_nan=True) for name in curve
    )


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("every", [1, 3])
def test_it_goes_on_from_the_last_checkpoint_to_the_same_bits(name, every, tmp_path):
    whole = fit(**RECIPES[name])
    for last in range(len(whole[2])):
        checkpoint = Checkpoint(tmp_path / "out.npz", every)
        with pytest.raises(KilledError):
            fit(checkpoint, killed_after=last, **RECIPES[name])
        again = fit(checkpoint, **RECIPES[name])
        assert again[2] == whole[2][last // every * every :]
        assert same(again, whole)
        checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("loss", LOSSES)
def test_temperature_and_alpha_go_on_by_their_schedules(loss, tmp_path):
    settings = {"loss": loss, "temperature": LinearSchedule(1, 8), "alpha": LinearSchedule(1, 0.2)}
    objective = Distillation(ONE_HOT[:40], 3 * X[:40, :3], EXACT, **settings)
    whole, checkpoint = fit(objective=objective), Checkpoint(tmp_path / "out.npz", 1)
    with pytest.raises(KilledError):
        fit(checkpoint, killed_after=4, objective=objective)
    again = fit(checkpoint, objective=objective)
    assert again[2] == whole[2][4:]
    assert same(again, whole)


def test_it_survives_more_than_one_kill(tmp_path):
    checkpoint = Checkpoint(tmp_path / "out.npz", 1)
    for last in (1, 2, 5):
        with pytest.raises(KilledError):
            fit(checkpoint, killed_after=last)
    assert same(fit(checkpoint), fit())


OTHERS = {
    "seed": {"seed": 1},
    "recipe": {"learning_rate": 0.06},
    "objective": {"objective": Distillation(ONE_HOT[:40], np.ones((40, 3)), EXACT)},
    "schedule": {
        "objective": Distillation(ONE_HOT[:40], np.ones((40, 3)), EXACT, temperature=LinearSchedule(4, 5)),
    },
    "weight in the loss": {"objective": Distillation(ONE_HOT[:40], np.ones((40, 3)), EXACT, intra_class=2.0)},
    "replicas": {"replicas": (0, 2)},
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_another_training_is_not_used(other, tmp_path, caplog):
    checkpoint = Checkpoint(tmp_path / "out.npz", 1)
    with pytest.raises(KilledError):
        fit(checkpoint, killed_after=4)
    assert same(fit(checkpoint, **OTHERS[other]), fit(**OTHERS[other]))
    assert "belongs to other parameters, data or code" in caplog.text


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the code of which checkpoints are, in place of it."""
    copies = tuple(Path(shutil.copytree(folder, tmp_path / "code" / folder.name)) for folder in CODE_FOLDERS)
    monkeypatch.setattr("kdlib.learning.checkpoints.CODE_FOLDERS", copies)
    code_fingerprint.cache_clear()
    return tmp_path / "code"


@pytest.mark.parametrize(
    "name",
    [
        "kdlib/data/scaled.py",
        "kdlib/io/chunks.py",
        "kdlib/pipeline/work_units.py",
        "kdlib/pipeline/objective_specs.py",
    ],
)
def test_a_checkpoint_of_other_code_is_not_used(name, copied, tmp_path, caplog):
    checkpoint = Checkpoint(tmp_path / "out.npz", 1)
    with pytest.raises(KilledError):
        fit(checkpoint, killed_after=4)
    before = code_fingerprint(CODE_FOLDERS)
    (copied / name).write_text((copied / name).read_text("utf-8").replace(" * ", " * 0.5 * "), "utf-8")
    code_fingerprint.cache_clear()
    assert same(fit(checkpoint), fit())
    assert "belongs to other parameters, data or code" in caplog.text
    assert code_fingerprint(CODE_FOLDERS) == before


def test_of_the_same_code_elsewhere_it_goes_on(copied, tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "out.npz", 1)
    with pytest.raises(KilledError):
        fit(checkpoint, killed_after=4)
    monkeypatch.undo()
    assert fit(checkpoint)[2] == list(range(4, 9))


def test_the_code_of_a_checkpoint_is_all_that_a_training_imports():
    pytest.importorskip("numba")
    code = """import sys, stages.train_teacher, stages.train_baseline, stages.distill
import kdlib.backends.numba_backend.calls, kdlib.pipeline.workers, kdlib.pipeline.mpi_launcher
print(*(module.__file__ for name, module in sys.modules.items() if name.split(".")[0] in ("kdlib", "stages")))"""
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    covered = {str(path) for folder in CODE_FOLDERS for path in folder.rglob("*.py")}
    loaded = set(found.stdout.split())
    some = "kdlib/data/scaled.py", "kdlib/io/chunks.py", "kdlib/pipeline/work_units.py"
    assert {str(ROOT / name) for name in some} <= loaded
    assert loaded <= covered


def test_a_damaged_checkpoint_is_not_used(tmp_path, caplog):
    checkpoint = Checkpoint(tmp_path / "out.npz", 1)
    checkpoint.path.write_bytes(b"PK, but no more")
    assert same(fit(checkpoint), fit())
    assert "not resumed" in caplog.text


CHANGES = {
    "weights": lambda arrays: arrays.update(parameters=arrays["parameters"] + 1),
    "a shape that broadcasts": lambda arrays: arrays.update(parameters=arrays["parameters"][:1]),
    "another shape": lambda arrays: arrays.update(parameters=arrays["parameters"][:, :-1]),
    "text": lambda arrays: arrays.update(parameters=np.array("weights")),
    "epochs": lambda arrays: arrays.update(epochs=np.array(8)),
    "no epochs": lambda arrays: arrays.update(epochs=np.array([1, 2])),
    "a huge epoch": lambda arrays: arrays.update(epochs=np.array(-(2**62))),
    "generators": lambda arrays: arrays.update(generators=np.array("[]")),
    "nested generators": lambda arrays: arrays.update(generators=np.array("[" * 5000)),
    "other generators": lambda arrays: arrays.update(
        generators=np.array(str(arrays["generators"]).replace("PCG64", "MT19937"))
    ),
    "generators beyond 128 bits": lambda arrays: arrays.update(
        generators=np.array(re.sub(r'"inc": \d+', f'"inc": {"9" * 60}', str(arrays["generators"])))
    ),
}


@pytest.mark.parametrize("sealed", [False, True], ids=["as it was", "sealed again"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_checkpoint_is_not_used(tmp_path, caplog, change, sealed):
    """Sealed again, by somebody who knows how, it may lead elsewhere, but never to a traceback."""
    checkpoint = Checkpoint(tmp_path / "out.npz", 1)
    with pytest.raises(KilledError):
        fit(checkpoint, killed_after=4)
    arrays = read_npz(checkpoint.path)
    change(arrays)
    if sealed:
        del arrays["content"]
        arrays["content"] = np.array(array_digest(arrays))
    write_npz(checkpoint.path, arrays)
    again = fit(checkpoint)
    if "not resumed" in caplog.text or not sealed:
        assert same(again, fit())
        assert "not resumed" in caplog.text


def test_the_digest_tells_nested_values_apart():
    values = [[1, 2], [[1], 2], {"a": 1}, {"b": 1}, "1", 1, np.ones(2), np.ones((2, 1)), np.ones(2, np.float32)]
    assert len({run_fingerprint(value) for value in values}) == len(values)


@pytest.mark.slow
def test_killed_at_random_points_a_stage_ends_with_the_same_bytes(tmp_path):
    """By SIGKILL, or what the system has for it, at times that a seed draws, until it comes to its end."""
    content = quick(checkpoint=1, prepare={"dataset": "digits"}, teacher={"epochs": 25, "dropout": 0.1, "members": 2})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    options = {"cwd": tmp_path, "env": environment, "stderr": subprocess.DEVNULL}
    subprocess.run([sys.executable, "-m", "stages.prepare"], check=True, **options)
    command = [sys.executable, "-m", "stages.train_teacher"]
    subprocess.run(command, check=True, **options)
    output, kills, chance = tmp_path / "models/teacher.npz", 0, random.Random(0)
    whole = output.read_bytes()
    output.unlink()
    checkpoint = Path(f"{output}.checkpoint")
    while not output.exists():
        process = subprocess.Popen(command, **options)
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        # Each kill waits for a new checkpoint, so that the loop ends however slow the machine is.
        while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.1))
        if process.poll() is None:
            process.kill()
            kills += 1
        process.wait()
    assert kills > 1
    assert output.read_bytes() == whole
    assert not checkpoint.exists()


def test_no_checkpoint_is_left_and_null_writes_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outputs = []
    for every in (1, None):
        params = quick_params(checkpoint=every)
        for stage in ("prepare", "train_teacher"):
            MAINS[stage](params)
        outputs.append(Path("models/teacher.npz").read_bytes())
        assert [path.name for path in Path("models").iterdir()] == ["teacher.npz"]
    assert outputs[0] == outputs[1]
