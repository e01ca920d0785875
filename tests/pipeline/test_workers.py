"""A stack that is cut anywhere and trained anywhere has the bytes of one that is trained whole, here."""

import contextlib
import dataclasses
import importlib.util
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from kdlib.backends.context import Context
from kdlib.backends.ranks import Ranks
from kdlib.backends.threads import Threads
from kdlib.io import chunks
from kdlib.io.errors import UserError
from kdlib.learning.stack import expand_to_networks
from kdlib.pipeline import cluster, plan, work_units, workers
from kdlib.pipeline.command_line import PATHS
from kdlib.pipeline.objective_specs import one_per_run
from kdlib.pipeline.work_units import WorkUnit
from tests.conftest import MAINS, ROOT, quick, quick_params

TRAINED = {"train_teacher": PATHS.teacher, "train_baseline": PATHS.baseline, "distill": PATHS.student}
SMALL = {
    "prepare": {"splits": 2, "labeled_fraction": 0.6},
    "teacher": {"members": 3, "dropout": 0.2},
    "student": {"learning_rate": [0.1, 0.2], "patience": 2, "epochs": 4},
    "distill": {"temperature": [1.0, 3.0, 4.0], "alpha": [0.5, 1.0]},
}
LONG = {  # six units of work, one a split
    "checkpoint": 1,
    "prepare": {"dataset": "digits", "splits": 6, "max_samples": 600},
    "student": {"epochs": 25, "learning_rate": 0.1, "hidden": [96]},
    "distill": {"temperature": [1.0, 4.0]},
}
ALONE = {"execution": {"workers": 1}}
CHILDREN = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc tells which processes are whose")


def main(name, **changes):
    """The bytes of what the stage writes, and nothing left beside it."""
    MAINS[name](quick_params(**changes))
    assert not [
        path.name for path in Path("models").iterdir() if path.name not in map(os.path.basename, TRAINED.values())
    ]
    return Path(TRAINED[name]).read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder, {stage: bytes}) of stacks that were trained whole."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        MAINS["prepare"](quick_params(**SMALL))
        return folder, {name: main(name, **SMALL, **ALONE) for name in TRAINED}


@pytest.fixture
def experiment(whole, tmp_path, monkeypatch):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for path in TRAINED.values():
        if path != PATHS.teacher:
            Path(path).unlink()
    return tmp_path


@pytest.fixture
def small_units(monkeypatch):
    """Cut SMALL into a unit of work for each setting of a student in a split, and for each member of a teacher."""
    monkeypatch.setattr(work_units, "STEP_PRODUCTS", 1 << 12)


# The cut


def divided(chance, numbers):
    """The numbers in two or more, or in one if there is no more, in an order that chance draws."""
    numbers = list(numbers)
    chance.shuffle(numbers)
    at = chance.randint(1, len(numbers) - 1)
    return tuple(sorted(numbers[:at])), tuple(sorted(numbers[at:]))


def anyhow(chance, part):
    """The part in pieces, cut across an axis that chance draws, and these again."""
    axes = [name for name in ("splits", "settings", "replicas") if len(getattr(part, name)) > 1]
    if not axes or chance.random() < 0.15:
        corner = part.splits[0], part.settings[0], part.replicas[0]
        return [WorkUnit(part.recipe, part.splits, part.settings, part.replicas, ".{}-{}-{}".format(*corner), False)]
    axis = chance.choice(axes)
    halves = divided(chance, getattr(part, axis))
    chunks = [p for half in halves for p in anyhow(chance, WorkUnit(**{**vars(part), axis: half}))]
    chance.shuffle(chunks)
    return chunks


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_cut_at_random_and_put_together_in_any_order(seed, whole, experiment, monkeypatch):
    chance, counts = random.Random(seed), []

    def cut_into_units(work, stack):
        chunks = anyhow(chance, stack)
        counts.append(len(chunks))
        return chunks

    def in_turn(work, missing, *_):
        for part in missing:
            yield part, work_units.train_unit(work, part)

    monkeypatch.setattr(plan, "cut_into_units", cut_into_units)
    monkeypatch.setattr(workers, "train_in_workers", in_turn)
    for name, content in whole[1].items():
        assert main(name, execution={"workers": 2}, **SMALL) == content, name
    assert max(counts) > 4


def test_the_cut_has_every_network_once_and_depends_on_no_number_of_workers():
    def networks(part):
        return {(s, g, r) for s in part.splits for g in part.settings for r in part.replicas}

    class TrainingSetup(work_units.TrainingSetup):
        def sizes(self, recipe):
            return 64, *recipe.hidden, 10

    recipe = quick_params(student={"hidden": [128], "batch_size": 32}).student.recipe()
    for replicas, expected in (
        (7, {((k,), own) for k in range(3) for own in ((0, 1, 2, 3, 4, 5), (6,))}),  # 6 x 32 x 9472: below 2^21
        (3, {((0, 1), (0, 1, 2)), ((2,), (0, 1, 2))}),
    ):
        stack = WorkUnit(recipe, (0, 2), (0, 1, 2), tuple(range(replicas)))
        chunks = work_units.cut_into_units(TrainingSetup(None, None, None), stack)
        assert len({piece.suffix for piece in chunks}) == len(chunks)
        assert sum(len(networks(piece)) for piece in chunks) == len(networks(stack))
        assert set().union(*map(networks, chunks)) == networks(stack)
        assert {(piece.settings, piece.replicas) for piece in chunks} == expected


def test_auto_takes_a_process_for_each_core_where_numpy_trains_for_long(experiment, monkeypatch):
    setup, _ = work_of(**SMALL)
    auto = setup.params.execution.model_copy(update={"workers": "auto"})
    setup = dataclasses.replace(setup, params=setup.params.model_copy(update={"execution": auto}))

    def number(context=Context("numpy")):
        return workers.with_number_of_workers(setup, plan.stacks_of(setup), context).params.execution.workers

    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    assert number() == 1
    monkeypatch.setattr(workers, "MIN_WORK", 1)
    assert number() == (1 if os.name == "nt" else 2)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "available_memory", lambda: 3 * workers.WORKER_BYTES // 2)
        assert number() == 1
    assert number(Context("numba")) == (1 if importlib.util.find_spec("numba") else 2)
    assert number(Context("numpy", ranks=Ranks(0, 2, None))) == 1


@pytest.mark.parametrize("values", [(1,), (1, 1), (1, 2), (1, 1, 2, 2), (1, 2, 1, 2), (1, 1, 2, 2, 1, 1), (1, 2, 2, 2)])
def test_the_fewest_values_say_the_same(values):
    found = one_per_run(values)
    assert np.array_equal(np.broadcast_to(expand_to_networks(np.array(found), len(values)), len(values)), values)
    shorter = [n for n in range(1, len(found)) if len(values) % n == 0]
    assert all(not np.array_equal(np.repeat(values[:: len(values) // n], len(values) // n), values) for n in shorter)


# Processes of this machine


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_so_many_workers_write_the_same_bytes(count, whole, experiment, small_units):
    for name, content in whole[1].items():
        assert main(name, execution={"workers": count}, **SMALL) == content, name


@pytest.mark.slow
@pytest.mark.parametrize("model", ["GaussianNB", "data/raw/teacher.npz"])
def test_a_teacher_that_is_no_network_is_asked_as_before(model, experiment):
    if model.endswith("npz"):
        from kdlib.io.artifacts import read_npz, write_npz

        write_npz(model, {"logits": read_npz(PATHS.teacher)["logits"]})
    changes = SMALL | {"teacher": {"model": model}}
    first = [(main("train_teacher", **changes), main("distill", **changes))]
    changes |= {"execution": {"workers": 2}}
    assert [(main("train_teacher", **changes), main("distill", **changes))] == first


@pytest.mark.slow
def test_a_training_that_diverges_is_told_in_the_same_line(experiment):
    lines, diverging = set(), {"student": {"learning_rate": 1e30}, "replicas": 1}
    MAINS["prepare"](quick_params())
    for count in (1, 2):
        with pytest.raises(UserError, match="training diverged: the loss of replica") as told:
            main("train_baseline", **diverging, execution={"workers": count})
        lines.add(str(told.value))
    assert len(lines) == 1


def _which(number, work, part, coordinator):
    """In a worker: its process, the object that it has `work` as, and whether x is a map of a file."""
    time.sleep(0.05)
    below = work.dataset.x
    while isinstance(below, np.ndarray | memoryview):
        below = below.obj if isinstance(below, memoryview) else below.base
    return number, (os.getpid(), id(work.dataset.x), isinstance(below, mmap.mmap)), 0.0, 0


def _ignores(number, work, part, coordinator):
    return number, signal.getsignal(signal.SIGINT) is signal.SIG_IGN, 0.0, 0


def _dies(number, work, part, coordinator):
    os.kill(os.getpid(), signal.SIGTERM)


def work_of(**changes):
    """(`TrainingSetup`, its parts) of a baseline."""
    from kdlib.pipeline import jobs

    caught = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "plan_units", lambda *given: caught.append((given[0], plan.plan_units(*given))) or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            MAINS["train_baseline"](quick_params(**changes))
    return caught[0]


@pytest.mark.slow
def test_the_data_are_mapped_by_processes_here(experiment, small_units, monkeypatch):
    monkeypatch.setattr(workers, "_train", _which)
    found = [told for _, told in workers.train_in_workers(*work_of(**SMALL, execution={"workers": 2}), None)]
    assert len(found) == 4
    assert all(mapped for _, _, mapped in found)
    assert len({(process, place) for process, place, _ in found}) == len({process for process, _, _ in found}) <= 2


@pytest.mark.slow
def test_each_worker_measures_its_epochs_after_the_first(experiment, small_units):
    measured = []
    changes = {"prepare": SMALL["prepare"], "student": {"learning_rate": [0.1, 0.2], "epochs": 4}}
    setup, units = work_of(**changes, execution={"workers": 2, "kernels": "numpy"})
    found = [unit for unit, _ in workers.train_in_workers(setup, units, None, lambda *told: measured.append(told))]
    assert [unit for unit, *_ in measured] == found
    assert {(epochs, processes) for _, _, epochs, processes in measured} == {
        (unit.recipe.epochs - 1, 2) for unit in units
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["Größe", f"{'a' * 200}/{'b' * 200}", os.fsdecode(b"x\xff")], ids=["not ASCII", "long", "not UTF-8"]
)
def test_a_folder_of_any_name(name, whole, tmp_path, monkeypatch):
    folder = tmp_path / name
    try:
        folder.mkdir(parents=True)
    except OSError:
        pytest.skip("this system has no folder of such a name")
    shutil.copytree(whole[0] / "data", folder / "data")
    monkeypatch.chdir(folder)
    assert main("train_baseline", **SMALL, execution={"workers": 2}) == whole[1]["train_baseline"]
    assert sorted(path.name for path in folder.iterdir()) == ["data", "models"]


def test_what_is_in_a_file_without_a_name_reaches_the_workers(tmp_path, monkeypatch):
    """Rows that are views, and what the teacher says of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(chunks, "MIN_FILE_BYTES", 1)
    section = {"augment": {"shift": 1}, "epochs": 2}
    changes = {
        "prepare": {"dataset": "digits", "max_samples": 300, "splits": 2},
        "teacher": section,
        "student": section,
    }
    MAINS["prepare"](quick_params(**changes))
    for name in TRAINED:
        content = main(name, **changes)
        assert main(name, **changes, execution={"workers": 2}) == content, name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "models"]


@pytest.mark.slow
def test_workers_that_always_die_end_in_a_line(experiment, monkeypatch, caplog):
    import logging

    monkeypatch.setattr(workers, "_train", _dies)
    with pytest.raises(UserError, match="workers were killed 3 times in a row"):
        list(workers.train_in_workers(*work_of(**SMALL, execution={"workers": 2}), logging.getLogger("test")))
    assert caplog.text.count("is trained again") == workers.MAX_KILLS - 1


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows hands no ignored interrupt on to a process that is started")
def test_an_interrupt_is_for_the_process_that_started_them(experiment, interruptible, small_units, monkeypatch):
    monkeypatch.setattr(workers, "_train", _ignores)
    assert all(told for _, told in workers.train_in_workers(*work_of(**SMALL, execution={"workers": 4}), None))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_it_is_left_early_without_a_warning(experiment, small_units, monkeypatch, recwarn):
    monkeypatch.setattr(workers, "_train", _which)
    found = workers.train_in_workers(*work_of(**SMALL, execution={"workers": 2}), None)
    next(found)
    found.close()
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.slow
def test_each_worker_has_its_share_of_threads(experiment, monkeypatch):
    monkeypatch.setattr(Threads, "available", lambda self: 7)
    for given, expected in ((None, 3), (5, 5)):
        work, _ = work_of(execution={"workers": 2, "threads": given})
        with workers._pool(work, 10) as (_, coordinator, options, processes):
            assert coordinator.threads == expected
            assert options["n_jobs"] == processes == 2


@pytest.mark.slow
def test_no_more_processes_than_parts(experiment, monkeypatch):
    monkeypatch.setattr(Threads, "available", lambda self: 7)
    work, _ = work_of(execution={"workers": 1000})
    with workers._pool(work, 3) as (_, coordinator, options, processes):
        assert options["n_jobs"] == processes == 3
        assert coordinator.threads == 2


@pytest.mark.slow
def test_what_fits_in_parts_is_not_refused_whole(experiment, monkeypatch):
    from kdlib.learning import budget

    changes = SMALL | {"student": {"hidden": [2000, 2000], "learning_rate": [0.1, 0.2]}}
    monkeypatch.setattr(budget, "available_memory", lambda: 200_000_000)
    with pytest.raises(UserError, match="of memory or more"):
        work_of(**changes, **ALONE)
    assert len(work_of(**changes, execution={"workers": 2})[1]) == 8


def test_memory_is_counted_for_as_many_units_as_there_are_workers(experiment, monkeypatch):
    """Of two settings and of one, by turns."""
    counted = []
    monkeypatch.setattr(plan, "estimate", lambda section, recipe, sizes, networks, *_: counted.append(networks))
    monkeypatch.setattr(work_units, "STEP_PRODUCTS", 1 << 13)
    changes = SMALL | {"student": {"learning_rate": [0.1, 0.2, 0.3]}}
    for count, networks in ((1, 12), (2, 8), (3, 12)):
        _, units = work_of(**changes, execution={"workers": count})
        assert {unit.shape for unit in units} == ({(2, 3, 2)} if count == 1 else {(1, 2, 2), (1, 1, 2)})
        assert counted.pop() == networks


# Kills


@pytest.fixture(scope="module")
def long_run(tmp_path_factory):
    """(folder, bytes of the student) of a distillation of a few seconds, trained whole."""
    folder = tmp_path_factory.mktemp("long")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "params.yaml").write_text(yaml.safe_dump(quick(**LONG)), "utf-8")
        for name in ("prepare", "train_teacher", "distill"):
            MAINS[name](quick_params(**LONG, **ALONE))
        content = Path(PATHS.student).read_bytes()
        Path(PATHS.student).unlink()
    return folder, content


@pytest.fixture
def killable(long_run, tmp_path):
    shutil.copytree(long_run[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def start():
    """Function of a folder and options that starts the stage, in a process group of its own."""
    started = []
    yield lambda folder, *options: started.append(distilling(folder, options)) or started[-1]
    for process in started:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()


def distilling(folder, options):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "stages.distill", *(f"--set={option}" for option in options)]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def until(process, condition):
    """Waits until it holds; fails where the process ends first."""
    while not (found := condition()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    return found


def children(pid):
    """Of a process and of its children: {number: command}."""
    found = {}
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
            with contextlib.suppress(OSError):
                found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().decode()
            found |= children(child)
    return found


def alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
    return False


def checkpoints(folder, pattern="student.npz.*.checkpoint"):
    return list((folder / "models").glob(pattern))


@pytest.mark.slow
@CHILDREN
def test_a_killed_worker_is_replaced(long_run, killable, start):
    process = start(killable, "execution.workers=2", "logging.level=WARNING")
    until(process, lambda: checkpoints(killable))
    workers = [pid for pid, command in children(process.pid).items() if "resource_tracker" not in command]
    os.kill(workers[0], signal.SIGKILL)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 0, error
    assert "a worker was killed; what it trained is trained again" in error
    assert (killable / PATHS.student).read_bytes() == long_run[1]
    assert checkpoints(killable) == []


@pytest.mark.slow
@CHILDREN
@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGINT", "all"])
def test_what_is_killed_leaves_checkpoints_and_no_process(how, interruptible, long_run, killable, start):
    """And goes on with another number of workers, also with one."""
    process = start(killable, "execution.workers=2", "logging.level=WARNING")
    until(process, lambda: checkpoints(killable, "student.npz.*.trained.checkpoint"))
    started = children(process.pid)
    assert len(started) > 1
    if how == "all":
        os.killpg(process.pid, signal.SIGKILL)
    elif how == "SIGINT":  # as a terminal does, to all of them
        os.killpg(process.pid, signal.SIGINT)
    else:
        os.kill(process.pid, getattr(signal, how))
    error = process.communicate(timeout=60)[1]
    assert process.returncode != 0
    if how == "SIGINT":
        assert error == "error: interrupted; no file is half written\n"
    end = time.monotonic() + 60
    while any(map(alive, started)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, started))
    assert not (killable / PATHS.student).exists()
    again = start(killable, f"execution.workers={1 if how == 'SIGTERM' else 3}", "logging.level=INFO")
    error = again.communicate(timeout=120)[1]
    assert again.returncode == 0, error
    assert "resumed after epoch 25 from" in error
    assert (killable / PATHS.student).read_bytes() == long_run[1]
    assert sorted(path.name for path in (killable / "models").iterdir()) == ["student.npz", "teacher.npz"]
    assert sorted(path.name for path in killable.iterdir()) == ["data", "models", "params.yaml"]


# A cluster


DASK = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="no Dask (pip install dask distributed)"
)


def dask(*arguments, folder, path=(ROOT,)):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path))}
    name, *rest = arguments
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{name}", *rest],
        cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


class Cluster:
    """A Dask scheduler on the loopback, and its workers, each of which is one process."""

    def __init__(self, folder):
        self.folder, self.file, self.workers = folder, folder / "scheduler.json", []
        options = "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self.file)
        self.scheduler = dask("dask_scheduler", *options, folder=folder)
        while not self.file.exists() or not self.file.read_text("utf-8").strip().endswith("}"):
            assert self.scheduler.poll() is None
            time.sleep(0.05)
        self.address = json.loads(self.file.read_text("utf-8"))["address"]

    def start(self, count, **options):
        """So many workers are alive then, if not more."""
        from distributed import Client

        self.workers = [worker for worker in self.workers if worker.poll() is None]
        given = "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(self.folder)
        while len(self.workers) < count:
            self.workers.append(dask("dask_worker", self.address, *given, folder=self.folder, **options))
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def kill(self, *processes):
        """By SIGKILL."""
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory):
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    yield found
    found.kill(*found.workers, found.scheduler)


@pytest.mark.slow
@DASK
def test_a_cluster_without_workers(dask_cluster, experiment, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 1)
    with pytest.raises(UserError, match=r"has no workers; start `dask worker tcp://127.0.0.1:\d+`"):
        main("train_baseline", execution={"cluster": dask_cluster.address})


@pytest.mark.slow
@DASK
def test_a_cluster_of_one_thread_trains(dask_cluster, whole, experiment, small_units, monkeypatch):
    dask_cluster.start(1)
    changes = SMALL | {"execution": {"cluster": dask_cluster.address}}
    assert main("train_baseline", **changes) == whole[1]["train_baseline"]
    monkeypatch.setattr(workers, "_train", _which)
    found = [told for _, told in workers.train_in_workers(*work_of(**changes), None)]
    assert {process for process, _, _ in found} == {dask_cluster.workers[0].pid}


@pytest.mark.slow
@DASK
def test_a_cluster_of_three_of_which_one_is_killed(dask_cluster, long_run, killable, start):
    dask_cluster.start(3)
    process = start(killable, f"execution.cluster={dask_cluster.address}", "logging.level=WARNING")
    until(process, lambda: checkpoints(killable))
    dask_cluster.kill(dask_cluster.workers[0])
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 0, error
    assert (killable / PATHS.student).read_bytes() == long_run[1]
    assert checkpoints(killable) == []


@pytest.mark.slow
@DASK
def test_a_cluster_whose_workers_are_all_killed_goes_on_with_new_ones(dask_cluster, long_run, killable, start):
    dask_cluster.start(2)
    process = start(killable, f"execution.cluster={dask_cluster.address}", "logging.level=WARNING")
    until(process, lambda: checkpoints(killable))
    dask_cluster.kill(*dask_cluster.workers)
    dask_cluster.start(2)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 0, error
    assert (killable / PATHS.student).read_bytes() == long_run[1]


@pytest.mark.slow
@DASK
def test_the_data_travel_to_a_worker_once(dask_cluster, experiment, small_units, monkeypatch):
    dask_cluster.start(2)
    monkeypatch.setattr(workers, "_train", _which)
    found = [
        told
        for _, told in workers.train_in_workers(*work_of(**SMALL, execution={"cluster": dask_cluster.address}), None)
    ]
    assert len(found) == 4
    processes = {process for process, _, _ in found}
    assert len({(process, place) for process, place, _ in found}) == len(processes) < len(found)


@pytest.mark.slow
@DASK
def test_a_worker_with_another_version_is_refused(dask_cluster, experiment, monkeypatch):
    dask_cluster.start(2)
    for name, patched in (
        ("NumPy", (np, "__version__", "0.1")),
        ("kdlib", (cluster, "code_fingerprint", lambda: "0.1")),
    ):
        with monkeypatch.context() as patch:
            cluster.versions.cache_clear()
            patch.setattr(*patched)
            with pytest.raises(UserError, match=f"the worker tcp://.* has {name} .*, not 0.1; install the same on all"):
                main("train_baseline", execution={"cluster": dask_cluster.address})
        cluster.versions.cache_clear()


@pytest.mark.slow
@DASK
def test_a_worker_without_kdlib_is_refused(dask_cluster, experiment, tmp_path):
    """A module of the name, which is no package, stands for what is not installed, where it is."""
    dask_cluster.start(1)
    (tmp_path / "kdlib.py").touch()
    dask_cluster.start(len(dask_cluster.workers) + 1, path=[tmp_path])
    with pytest.raises(
        UserError, match=r"the worker tcp://.* lacks kdlib as it is here \(.*kdlib.*\); install the same"
    ):
        main("train_baseline", execution={"cluster": dask_cluster.address})
    dask_cluster.kill(dask_cluster.workers[-1])


def test_a_worker_that_joins_later_with_another_version_is_refused():
    coordinator = workers.Coordinator(cluster.versions() | {"NumPy": "0.1"}, None)
    with pytest.raises(UserError, match=f"has NumPy {np.__version__}, not 0.1"):
        workers._train(0, None, None, coordinator)


@pytest.mark.slow
@DASK
def test_a_cluster_that_does_not_answer(experiment, monkeypatch):
    import socket

    monkeypatch.setattr(cluster, "CONNECT_TIMEOUT", 1)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(UserError, match=f"execution.cluster: {address} does not answer; start `dask scheduler`"):
            main("train_baseline", execution={"cluster": address})


@pytest.mark.slow
def test_without_dask_a_line_tells_what_to_install(experiment, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"needs Dask: pip install 'kdlib\[cluster\]'"):
        main("train_baseline", execution={"cluster": "tcp://127.0.0.1:1"})


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8786", "tcp://a b:1", "tcp://host", "file:///tmp/x", "tcp://host:1\n", ""]
)
def test_an_address_that_is_none(address):
    with pytest.raises(ValueError, match="needs the address of a Dask scheduler"):
        quick_params(execution={"cluster": address})


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:8786", "tls://node-1.example.org:8786", "tcp://[::1]:8786"])
def test_an_address(address):
    assert quick_params(execution={"cluster": address}).execution.cluster == address
    with pytest.raises(ValueError, match="workers: got 2 with a cluster, which has its own"):
        quick_params(execution={"cluster": address, "workers": 2})
