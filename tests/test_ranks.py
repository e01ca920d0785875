"""One network over ranks: the bytes of one process, whatever dies, and however many go on."""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import ROOT, quick
from ranked import over

from benchmarks.ranks import Run, environments
from kdlib.backends.arithmetic import EXACT, FAST
from kdlib.backends.context import Context
from kdlib.backends.ranks import SINGLE_RANK, Ranks, SingleRank
from kdlib.io.errors import UserError
from kdlib.learning.checkpoints import Checkpoint, check_same_on_all_ranks
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.training import train
from kdlib.numerics.grids import MAX_TERMS
from kdlib.numerics.streams import Streams

RANDOM = np.random.default_rng(0)
# Rows of very different sizes: whoever knows some of them alone would choose another grid.
X = RANDOM.normal(size=(75, 36)) * np.ldexp(1.0, RANDOM.integers(-8, 8, (75, 1)))
LABELS = np.eye(3)[RANDOM.integers(0, 3, 75)]
MANY = RANDOM.normal(size=(3 * MAX_TERMS, 5)), np.eye(3)[RANDOM.integers(0, 3, 3 * MAX_TERMS)]
COUNTS = 1, 2, 3, 5, 8, 20

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no process")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def fit(
    n=50,
    shape=(36,),
    arithmetic=EXACT,
    taught=None,
    replicas=(0, 1),
    checkpoint=None,
    progress=None,
    ranks=SINGLE_RANK,
    **options,
):
    """Hash of a network that is trained on n rows, the last of which are a batch of two, and of its curve."""
    x, labels = (MANY if n > 75 else (X, LABELS))[0][:n].reshape(n, *shape), (MANY[1] if n > 75 else LABELS)[:n]
    objective = CrossEntropy(labels, arithmetic)
    if taught:
        objective = Distillation(labels, 3 * x.reshape(n, -1)[:, :3], arithmetic, **taught)
    recipe = Recipe((8, 7), **{"epochs": 4, "batch_size": 16} | options)
    held_out = (x[:25], labels[:25]) if n > 50 else (X[50:], LABELS[50:])
    allow_divergence = isinstance(recipe.learning_rate, tuple)
    streams = Streams(0, "test", replicas)
    network, curve = train(
        x, objective, recipe, held_out, streams, progress, checkpoint, allow_divergence, Context(ranks=ranks)
    )
    return hashlib.sha256(network.parameters.tobytes() + b"".join(v.tobytes() for v in curve.values())).hexdigest()


FEATURES = {
    "plain": {},
    "dropout, views, max_norm": {
        "dropout": 0.2, "input_dropout": 0.1, "nesterov": True, "max_norm": 1.0, "views": 2, "shape": (6, 6),
    },
    "adamw, patience": {"optimizer": "adamw", "weight_decay": 0.1, "learning_rate": 0.05, "patience": 1},
    "a network that diverges beside others": {
        "learning_rate": (0.1, 1e30), "replicas": (0, 1, 0, 1), "taught": {"temperature": (1, 4), "alpha": (0.5, 1)},
    },
    "schedules": {"taught": {"temperature": LinearSchedule(1, 4), "alpha": LinearSchedule(0.9, 0.5)}},
    "bits": {"bits": 4},
    "a batch of several exact sums": {"n": 3 * MAX_TERMS, "shape": (5,), "batch_size": 2 * MAX_TERMS + 8, "epochs": 2},
}  # fmt: skip


@forks
@pytest.mark.parametrize(
    "name", ["plain", *(pytest.param(n, marks=pytest.mark.slow) for n in FEATURES if n != "plain")]
)
def test_any_number_of_ranks_has_the_bits_of_one_process(name):
    alone = fit(**FEATURES[name])
    assert {count: set(over(count, lambda ranks: fit(ranks=ranks, **FEATURES[name]))) for count in COUNTS} == {
        k: {alone} for k in COUNTS
    }


@forks
def test_the_splits_of_a_stack_too():
    def trained(ranks=SINGLE_RANK):
        splits, labels = [X[:50], X[25:]], np.stack([LABELS[:50], LABELS[25:]])
        validation, streams = [(X[50:], LABELS[50:]), (X[:9], LABELS[:9])], Streams(0, "test", (0, 1, 1000, 1001))
        recipe = Recipe((8,), epochs=3)
        context = Context(ranks=ranks)
        network, _ = train(splits, CrossEntropy(labels), recipe, validation, streams, context=context)
        return network.parameters.tobytes()

    assert set(over(3, trained)) == {trained()}


@forks
@pytest.mark.parametrize("what", ["allreduce_max", "allreduce_sum"])
def test_bits_differ_where_ranks_do_not_agree(what, monkeypatch):
    monkeypatch.setattr(Ranks, what, getattr(SingleRank, what))
    assert set(over(2, lambda ranks: fit(ranks=ranks))) != {fit()}


@forks
@pytest.mark.parametrize("name", list(FEATURES)[:3])
def test_others_go_on_from_what_the_first_rank_wrote(name, tmp_path):
    def killed(epoch, *_):
        if epoch == count - 2:
            raise KeyboardInterrupt

    def resumed(ranks=SINGLE_RANK):
        epochs = []
        checkpoint = Checkpoint(path, 1, ranks)
        progress = lambda epoch, *_: epochs.append(epoch)  # noqa: E731
        found = fit(checkpoint=checkpoint, progress=progress, ranks=ranks, **FEATURES[name])
        return found, epochs[:1]

    path, alone = tmp_path / "out.npz", fit(**FEATURES[name])
    for count in (2, 3):  # at the end of the first epoch, and of the second
        with pytest.raises(AssertionError, match="KeyboardInterrupt"):
            over(
                count,
                lambda ranks: fit(
                    checkpoint=Checkpoint(path, 1, ranks), progress=killed, ranks=ranks, **FEATURES[name]
                ),
            )
    assert over(5, resumed) == [(alone, [1])] * 5
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.npz.checkpoint"]
    assert resumed() == (alone, [])


@forks
def test_ranks_of_different_data_do_not_begin(tmp_path):
    def started(ranks):
        if ranks.rank == 2:
            X[0, 0] += 1
        fit(checkpoint=Checkpoint(tmp_path / "out.npz", None, ranks), ranks=ranks)

    with pytest.raises(AssertionError, match="digests of parameters, data and code differ"):
        over(3, started)


@forks
def test_ranks_of_different_versions_do_not_begin():
    with pytest.raises(AssertionError, match="versions differ: rank 0 has NumPy 0, rank 1 NumPy 1"):
        over(2, lambda ranks: check_same_on_all_ranks(ranks, "versions", f"NumPy {ranks.rank}"))


def test_fast_is_refused():
    with pytest.raises(UserError, match="arithmetic: got fast"):
        fit(arithmetic=FAST, ranks=Ranks(0, 2, None))


@pytest.mark.parametrize("n", [1, 3, 16, 50])
def test_the_shares_of_all_ranks_are_the_batches(n):
    shares = [Ranks(rank, 5, None).batches(n, 16) for rank in range(5)]
    own = [np.arange(n)[own] for own, _ in shares]
    assert sorted(np.concatenate(own)) == list(range(n))
    for k, start in enumerate(range(0, n, 16)):
        parts = [mine[batches[k][2]] for mine, (_, batches) in zip(own, shares, strict=True)]
        assert np.concatenate(parts).tolist() == list(range(start, min(start + 16, n)))
        assert [batches[k][0] for _, batches in shares] == [min(16, n - start)] * 5


MPIS = environments()
CONTENT = quick(
    checkpoint=1, prepare={"dataset": "digits", "splits": 2},
    teacher={"members": 2, "dropout": 0.2, "max_norm": 2.0, "augment": {"shift": 1}, "patience": 9, "epochs": 4},
)  # fmt: skip


@pytest.fixture(scope="module", params=MPIS.values() or [None], ids=MPIS or ["none"])
def mpi(request):
    if request.param is None:
        pytest.skip("no mpi4py and mpiexec (pip install mpi4py mpich)")
    return request.param


@pytest.fixture
def folder(tmp_path, prepared):
    shutil.copytree(prepared[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """(folder with a dataset, bytes of the teacher that one process trains, of 4 epochs and of 60)."""
    folder, teachers = tmp_path_factory.mktemp("prepared"), []
    (folder / "params.yaml").write_text(yaml.safe_dump(CONTENT), "utf-8")
    options = {"cwd": folder, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "check": True}
    subprocess.run([sys.executable, "-m", "stages.prepare"], **options)
    for epochs in (4, 60):
        change = f"--set=teacher.epochs={epochs}"
        subprocess.run([sys.executable, "-m", "stages.train_teacher", change], **options)
        teachers.append((folder / "models/teacher.npz").read_bytes())
    shutil.rmtree(folder / "models")
    return folder, *teachers


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_a_stage_over_ranks_writes_the_bytes_of_one_process(mpi, folder, prepared, count):
    code, told = Run(mpi, folder, f"execution.ranks={count}", "logging.level=INFO").ended()
    assert code == 0, told
    assert (folder / "models/teacher.npz").read_bytes() == prepared[1]
    assert [path.name for path in (folder / "models").iterdir()] == ["teacher.npz"]
    assert len(re.findall("ranks share the rows of each batch; NumPy trains", told)) == (count > 1)
    assert len(re.findall("networks of .* parameters", told)) == 1


@pytest.mark.slow
def test_killed_at_random_steps_any_number_of_ranks_goes_on_to_the_same_bytes(mpi, folder, prepared):
    chance, output, kills = random.Random(0), folder / "models/teacher.npz", 0
    for count in (4, 2, 3, 5):
        run = Run(mpi, folder, "teacher.epochs=60", f"execution.ranks={count if kills < 3 else 2}")
        if kills < 3 and run.after_a_checkpoint():
            time.sleep(chance.uniform(0, 0.1))
            os.kill(run.rank(chance.randrange(count)), signal.SIGKILL)
            kills += 1
            code, told = run.ended()
            assert code == 1
            assert re.fullmatch(r"error: execution.ranks: a rank is lost; .* goes on from its checkpoint, .*\n", told)
            assert Path(f"{output}.checkpoint").exists()
        else:
            assert run.ended() == (0, "")
    assert kills == 3
    assert output.read_bytes() == prepared[2]


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_rank_that_stands_still_ends_the_run_in_a_line(mpi, folder, number):
    run = Run(mpi, folder, "teacher.epochs=5000", "execution.ranks=3", "execution.wait=2", "teacher.patience=null")
    assert run.after_a_checkpoint()
    stopped = run.rank(number)
    os.kill(stopped, signal.SIGSTOP)
    code, told = run.ended()
    line = f"error: execution.wait: no answer from rank {number} for 2 s; .* it goes on from its checkpoint\n"
    assert re.fullmatch(line, told), told
    assert code == 1
    assert (folder / "models/teacher.npz.checkpoint").exists()
    assert not (folder / "models/teacher.npz").exists()


WRONG = {
    "arithmetic=fast": "arithmetic: got fast, whose sums depend on how many ranks there are; set exact",
    "teacher.learning_rate=1.0e+30": "training diverged: .* lower learning_rate .*",
    "prepare.scaling=1": "params.yaml: prepare.scaling: got 1; .*",
}


@pytest.mark.slow
@pytest.mark.parametrize("change", WRONG)
def test_what_is_wrong_on_all_ranks_is_told_once(mpi, folder, change):
    code, told = Run(mpi, folder, change, "execution.ranks=3").ended()
    assert re.fullmatch(f"error: {WRONG[change]}\n", told), told
    assert code == 1


@pytest.mark.slow
def test_another_version_on_a_rank_is_told_at_the_start(mpi, folder):
    program = (
        "import numpy, runpy; numpy.__version__ = '0.1'; runpy.run_module('stages.train_teacher', None, '__main__')"
    )
    command = "mpiexec", "-n", "1", "python", "-m", "stages.train_teacher", ":", "-n", "1", "python", "-c", program
    code, told = Run(mpi, folder, command=command).ended()
    assert code != 0
    assert len(re.findall("error: the ranks' versions differ: rank 0 has NumPy .*, rank 1 NumPy 0.1,", told)) == 1


@pytest.mark.slow
def test_dvc_trains_over_ranks_to_the_same_lock(mpi, project, tmp_path):
    clone = project.copy(tmp_path / "clone")
    clone.environment = clone.environment | {"PATH": f"{mpi}{os.pathsep}{clone.environment['PATH']}"}
    clone.environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    clone.configure(execution={"ranks": 3}, logging={"level": "INFO"})
    assert clone.ran("repro") == []
    told = clone.dvc("repro", "--force", "--single-item", "train_teacher", "train_baseline", "distill").stderr
    assert len(re.findall("3 ranks share", told)) == 3
    assert clone.is_as_committed("dvc.lock")


@pytest.mark.slow
def test_without_ranks_nothing_of_it_is_imported(folder):
    program = "import runpy, sys; runpy.run_module('stages.train_baseline', None, '__main__'); print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True,
        capture_output=True, text=True,
    ).stdout.split()  # fmt: skip
    assert "kdlib.learning.training" in found
    assert not {"mpi4py", "kdlib.pipeline.mpi_ranks", "kdlib.pipeline.mpi_launcher"} & set(found)


@pytest.mark.slow
def test_without_mpiexec_a_line_says_what_to_install(folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": str(folder)}
    program = f"import sys; sys.executable = {str(folder / 'python')!r}; import runpy;"
    program += "sys.argv[1:] = ['--set=execution.ranks=2']; runpy.run_module('stages.train_teacher', None, '__main__')"
    run = subprocess.run([sys.executable, "-c", program], cwd=folder, env=environment, capture_output=True, text=True)
    line = "error: execution.ranks: got 2, and there is no mpiexec: pip install -r requirements-mpi.txt, or set null\n"
    assert (run.returncode, run.stderr) == (1, line)
