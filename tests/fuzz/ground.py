"""The experiment that is attacked: small data and networks, trained once, and what each stage makes of it."""

import contextlib
import importlib
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

import yaml

from kdlib.io.artifacts import read_npz, write_npz
from kdlib.learning import budget
from kdlib.pipeline import command_line
from kdlib.teachers import classifiers
from tests.fuzz.forks import Fork

ROOT = Path(__file__).parents[2]
DEPLOYED = [f"{command_line.PATHS.deployed}/{name}" for name in command_line.DEPLOYED_FILES]
DVC_YAML = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
STAGES = {
    name: [
        file
        for kind in ("outs", "metrics", "plots")
        for path in of.get(kind, ())
        for file in (path if isinstance(path, dict) else DEPLOYED if path == command_line.PATHS.deployed else [path])
    ]
    for name, of in DVC_YAML["stages"].items()
}
OUTPUTS = STAGES | {"stages": [path for outputs in STAGES.values() for path in outputs], "predict": ["predictions.csv"]}


def readers(path):
    """The stages that depend on the file or on its folder, in order."""
    covers = {path, Path(path).parent.as_posix()}
    return [name for name, of in DVC_YAML["stages"].items() if covers.intersection(of["deps"])]


def params():
    """The content of params.yaml, of an experiment of a tenth of a second."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    content |= {"replicas": 2, "checkpoint": 1}
    content["prepare"] |= {"dataset": "iris", "splits": 2, "target": "kind"}
    few = {"epochs": 3, "batch_size": 32}
    content["teacher"] |= {"hidden": [6], "members": 1, **few}
    content["student"] |= {"hidden": [4], "learning_rate": [0.1, 0.2], **few}
    content["distill"] |= {"temperature": [1.0, 4.0]}
    content["logging"] |= {"level": "WARNING"}
    return content


def _options():
    """Of all stages: an option for each path."""
    return command_line.stage_parser("", *vars(command_line.PATHS))


def stage(name, *arguments):
    """Function that runs the stage as its command does. It has little memory and no time: see `budget`."""
    if name == "predict":
        main = importlib.import_module("kdlib.__main__").main
        return lambda: sys.argv.__setitem__(slice(1, None), [name, *arguments]) or main()
    main = importlib.import_module("stages.__main__" if name == "stages" else f"stages.{name}").main

    def run():
        budget.available_memory, budget.YEAR = lambda: 1 << 28, 5e-4
        command_line.run_stage(main, _options().parse_args(arguments))

    return run


def files(folder):
    """{path: bytes} of all files below `folder`; pipes and links by their kind."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_dir() or path.is_symlink():
            regular = path.is_file() and not path.is_symlink()
            found[path.relative_to(folder).as_posix()] = path.read_bytes() if regular else b"no regular file"
    return found


def scratch():
    """A new folder, in memory if there is such a file system: thousands of fsyncs wear a disk."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="kdlib-fuzz-", dir=place))


@contextlib.contextmanager
def copy(folder):
    """A copy of `folder`, removed at the end."""
    new = scratch()
    try:
        yield Path(shutil.copytree(folder, new / "experiment"))
    finally:
        shutil.rmtree(new, ignore_errors=True)


def mixed(raw, x, kinds):
    """Rows with a category, dates and missing cells: in two encodings and, if pyarrow is there, as Parquet."""
    columns = {
        "a": [f"{row[0]:g}" for row in x],
        "name": [f"{'é' * (k % 2)}{kind}" for k, kind in enumerate(kinds)],
        "day": [f"2024-01-{k % 28 + 1:02}" for k in range(len(x))],
        "count": [str(k) if k % 3 else "" for k in range(len(x))],
        "kind": [str(kind) for kind in kinds],
    }
    text = "\n".join(map(";".join, [list(columns), *zip(*columns.values(), strict=True)])) + "\n"
    for encoding in ("latin-1", "utf-16"):
        (raw / f"{encoding}.csv").write_bytes(text.encode(encoding))
    with contextlib.suppress(ImportError):
        import pyarrow
        import pyarrow.parquet

        numbers = {name: [float(row[k]) for row in x] for k, name in enumerate("abcd")}
        pyarrow.parquet.write_table(pyarrow.table(columns | numbers), raw / "own.parquet")


class Ground:
    """base: the folder of the experiment. expected: {stage: its outputs}. checkpoint: of train_baseline, half done.

    races: {seed: all files of a whole run in an empty folder}.
    """

    def __init__(self):
        classifiers.build_classifier("GaussianNB", {})  # scikit-learn is imported once, before the forks
        self.base = scratch()
        text = yaml.safe_dump(params(), sort_keys=False)
        (self.base / "params.yaml").write_text(text, "utf-8")
        raw = self.base / "data/raw"
        raw.mkdir(parents=True)
        self.check(Fork(stage("prepare"), self.base).end())
        arrays = read_npz(self.base / "data/dataset.npz")
        x, kinds = arrays["x"][::5], arrays["class_names"][arrays["y"][::5]]
        write_npz(raw / "own.npz", {"x": x, "y": arrays["y"][::5]})
        rows = [",".join([*(f"{value:g}" for value in row), kind]) for row, kind in zip(x, kinds, strict=True)]
        (raw / "own.csv").write_text("\n".join(["a,b,c,d,kind", *rows]) + "\n", "utf-8")
        mixed(raw, x, kinds)
        for name in list(STAGES)[1:]:
            self.check(Fork(stage(name), self.base).end())
        answers = read_npz(self.base / "models/teacher.npz")["logits"]
        write_npz(raw / "answers.npz", {"logits": answers, "class_names": arrays["class_names"]})
        write_npz(raw / "rows.npz", {"x": arrays["x"]})
        shutil.copy(raw / "own.csv", raw / "rows.csv")
        everything = files(self.base)
        self.expected = {name: {path: everything[path] for path in outputs} for name, outputs in STAGES.items()}
        with copy(self.base) as folder:
            self.check(Fork(stage("train_baseline"), folder, _interrupted).end(), 1)
            self.checkpoint = (folder / "models/baseline.npz.checkpoint").read_bytes()
        self.races = {}
        for seed in (1, 2):
            with copy(self.base) as folder:
                for path in OUTPUTS["stages"]:
                    (folder / path).unlink()
                self.check(Fork(stage("stages", "--set", f"seed={seed}"), folder).end())
                self.races[seed] = files(folder)

    @staticmethod
    def check(ending, code=0):
        if ending.code != code:
            raise RuntimeError(f"before any attack: {ending}")

    def remove(self):
        shutil.rmtree(self.base, ignore_errors=True)


def _interrupted():
    """The training stops after its second epoch."""
    from kdlib.pipeline.jobs import Progress

    def interrupt(self, epoch, loss, accuracy):
        if epoch == 2:
            raise KeyboardInterrupt

    Progress.__call__ = interrupt


def arrays_of(content):
    """{name: array} of the bytes of an `.npz` of ours."""
    import numpy as np

    with np.load(io.BytesIO(content)) as archive:
        return {name: archive[name] for name in archive.files}
