"""Stages over ranks of MPI: the bytes of one process, whatever dies, and however many go on."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from benchmarks.ranks import Run, environments
from tests.conftest import ROOT, quick

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
    line = "error: execution.ranks: got 2, and there is no mpiexec: pip install 'kdlib[mpi]', or set null\n"
    assert (run.returncode, run.stderr) == (1, line)
