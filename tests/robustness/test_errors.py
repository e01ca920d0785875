"""Each mistake ends in one line on stderr that begins with `error: `, in exit code 1, and changes no file."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from kdlib.__main__ import latency
from kdlib.data.dataset import Dataset
from kdlib.io.artifacts import read_npz, write_npz
from kdlib.io.errors import UserError
from kdlib.learning.model_file import load_model
from kdlib.pipeline import command_line
from kdlib.pipeline.params import load_params
from kdlib.pipeline.schema import Params
from tests.conftest import MAINS, ROOT, after, between, downstream, files, quick, readers

READERS = {
    "data/dataset.npz": ["train_teacher", "train_baseline", "distill", "evaluate"],
    "models/teacher.npz": ["distill", "evaluate"],
    "models/baseline.npz": ["evaluate"],
    "models/student.npz": ["evaluate"],
}
READ = pytest.mark.parametrize(("path", "stage"), [(path, stage) for path in READERS for stage in READERS[path]])


@pytest.fixture
def experiment(trained, tmp_path, monkeypatch):
    """A folder in which all stages have run; it is the working directory."""
    folder = shutil.copytree(trained, tmp_path / "experiment")
    monkeypatch.chdir(folder)
    return folder


def configure(**changes):
    Path("params.yaml").write_text(yaml.safe_dump(quick(**changes)), "utf-8")


def run(stage, *arguments):
    command_line.run_stage(MAINS[stage], command_line.stage_parser("", *vars(command_line.PATHS)).parse_args(arguments))


def run_each(stages):
    for stage in stages:
        run(stage)


@pytest.fixture
def error(experiment, capsys):
    """error(stage): the line with which it ends."""

    def error(stage, *arguments):
        before = files(experiment)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stopped:
            run(stage, *arguments)
        printed = capsys.readouterr()
        assert stopped.value.code == 1
        assert printed.out == ""
        assert printed.err.startswith("error: ")
        assert printed.err.endswith("\n")
        assert printed.err.count("\n") == 1
        assert files(experiment) == before
        return printed.err

    return error


class TestParams:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"distill": {"temprature": 2.0}}, ["distill.temprature", "unknown", "temperature", "alpha"]),
            ({"teacher": {"temperature": 2.0}}, ["teacher.temperature", "unknown", "members", "learning_rate"]),
            ({"studnet": {}}, ["studnet", "unknown", "student", "replicas"]),
            ({"teacher": {"epochs": "ten"}}, ["teacher.epochs", "'ten'", "integer"]),
            ({"teacher": {"epochs": 2.5}}, ["teacher.epochs", "2.5", "integer"]),
            ({"teacher": {"epochs": 0}}, ["teacher.epochs", "0", "1"]),
            ({"student": {"learning_rate": "fast"}}, ["student.learning_rate: got 'fast'", "number"]),
            ({"student": {"hidden": 32}}, ["student.hidden", "32", "list"]),
            ({"student": {"hidden": [32, 0]}}, ["student.hidden.1", "0"]),
            ({"student": {"momentum": 1.0}}, ["student.momentum", "1.0", "less than 1"]),
            ({"student": {"optimizer": "sdg"}}, ["student.optimizer", "'sdg'", "'sgd'", "'adamw'"]),
            ({"distill": {"alpha": True}}, ["distill.alpha", "True", "number"]),
            ({"distill": {"alpha": 1.5}}, ["distill.alpha", "1.5", "1"]),
            ({"distill": {"alpha": -0.5}}, ["distill.alpha", "-0.5", "0"]),
            ({"distill": {"temperature": 0}}, ["distill.temperature", "got 0;", "greater than or equal to"]),
            ({"distill": {"temperature": -1}}, ["distill.temperature", "-1", "greater than or equal to"]),
            ({"distill": {"temperature": 1e100}}, ["distill.temperature", "1e+100", "less than or equal to 1000000"]),
            ({"distill": {"beta": 1e7}}, ["distill.beta", "10000000.0", "less than or equal to 1000000"]),
            ({"distill": {"temperature": [1.0] * 1001}}, ["distill", "1001 settings", "at most 1000"]),
            ({"teacher": {"members": 1001}}, ["teacher.members", "1001", "1000"]),
            *(
                ({"logging": {"file": path}}, ["logging.file", path, "logs/app.log"])
                for path in ("params.yaml", "logs", "logs/../params.yaml", "/tmp/logs/a", "a/logs/b")
            ),
            ({"distill": {"temperature": {"start": 1}}}, ["distill.temperature.end: missing"]),
            ({"distill": {"temperature": {"start": 1, "stop": 2}}}, ["distill.temperature.end: missing"]),
            (
                {"distill": {"temperature": [1, {"start": 1, "end": 2, "by": 1}]}},
                ["distill.temperature.by: unknown key; allowed are start, end"],
            ),
            ({"distill": {"temperature": {"start": 1, "end": 0}}}, ["distill.temperature.end: got 0;", "greater than"]),
            ({"distill": {"alpha": {"start": "x", "end": 0}}}, ["distill.alpha.start: got 'x';", "number"]),
            (
                {"distill": {"alpha": [{"start": 0, "end": 2}]}},
                ["distill.alpha.end: got 2;", "less than or equal to 1"],
            ),
            ({"student": {"learning_rate": {"start": 1, "end": 2}}}, ["student.learning_rate: got {", "number"]),
            ({"distill": {"temperature": float("nan")}}, ["distill.temperature", "nan"]),
            ({"distill": {"temperature": float("inf")}}, ["distill.temperature", "inf", "finite"]),
            (
                {"prepare": {"train_ratio": 0.75, "val_ratio": 0.25}},
                ["prepare", "train_ratio", "val_ratio", "test split"],
            ),
            *(
                ({"prepare": {"dataset": path, "target": "y"}}, ["prepare.dataset", path, remedy])
                for path, remedy in (
                    ("my.npz", "copy it to data/raw/my.npz"),
                    ("data/my.csv", "copy it to data/raw/my.csv"),
                    ("/data/raw/my.npz", "copy it to data/raw/my.npz"),
                    ("data/raw/../my.npz", "copy it to data/raw/my.npz"),
                    ("../data/raw/my.csv", "copy it to data/raw/my.csv"),
                    ("data/rawer/my.csv", "copy it to data/raw/my.csv"),
                    ("my.parquet", "copy it to data/raw/my.parquet"),
                )
            ),
            ({"prepare": {"dataset": "data/raw/my.parquet"}}, ["prepare", "target must name the column"]),
            ({"prepare": {"drop": ["id"]}}, ["prepare", "drop, categories and missing are of a table", "iris"]),
            ({"prepare": {"categories": [3]}}, ["prepare", "drop, categories", "iris"]),
            ({"prepare": {"missing": ["-"]}}, ["prepare", "drop, categories and missing", "iris"]),
            ({"prepare": {"encodings": {"a": "number"}}}, ["prepare", "encodings are of a table", "iris"]),
            ({"prepare": {"encodings": {"a": "mean"}}}, ["prepare.encodings.a: got 'mean'", "category, number"]),
            ({"prepare": {"encodings": ["a"]}}, ["prepare.encodings: got ['a']"]),
            ({"prepare": {"missing": [None]}}, ["prepare.missing.0", "None", "string"]),
            ({"prepare": {"drop": "id"}}, ["prepare.drop", "'id'", "list"]),
            ({"prepare": {"labeled_fraction": 0}}, ["prepare.labeled_fraction", "0", "greater than 0"]),
            ({"prepare": {"transfer_classes": []}}, ["prepare.transfer_classes", "[]", "at least 1"]),
            ({"prepare": {"transfer_classes": [1.5]}}, ["prepare.transfer_classes.0", "1.5", "string"]),
            (
                {"prepare": {"transfer_classes": [1], "labeled_fraction": 0.5}},
                ["prepare", "transfer_classes", "labeled_fraction: 1.0"],
            ),
            ({"teacher": {"augment": {"shift": 0}}}, ["teacher.augment", "shift or elastic", "affine", "null"]),
            ({"teacher": {"augment": {"zoom": 1, "shift": 1}}}, ["teacher.augment.zoom", "unknown", "shift"]),
            ({"teacher": {"augment": {"shift": 1, "views": 9}}}, ["teacher.augment", "views", "affine or elastic"]),
            ({"teacher": {"augment": {"affine": 1.5}}}, ["teacher.augment.affine", "1.5", "1"]),
            ({"teacher": {"augment": 2}}, ["teacher.augment", "2", "shift"]),
            (
                {"teacher": {"augment": {"shift": 1}}, "prepare": {"scaling": "standard"}},
                ["teacher.augment", "prepare.scaling", "minmax", "none"],
            ),
            ({"teacher": {"max_norm": 0}}, ["teacher.max_norm", "0", "greater than 0"]),
            ({"checkpoint": 0}, ["checkpoint", "0", "1"]),
            ({"teacher": 3}, ["teacher", "3", "hidden"]),
            ({"seed": -1}, ["seed", "-1", "0"]),
            ({"arithmetic": "float16"}, ["arithmetic", "'float16'", "'exact'", "'fast'"]),
            ({"deploy": {"bits": 3}}, ["deploy.bits", "3", "8, 4 or 2"]),
            ({"student": {"bits": 4}}, ["deploy.bits", "8", "student.bits 4"]),
            ({"logging": {"level": "LOUD"}}, ["logging.level", "'LOUD'", "'INFO'"]),
        ],
        ids=str,
    )
    def test_a_wrong_value_is_named_with_what_is_allowed(self, error, changes, words):
        configure(**changes)
        message = error("distill")
        assert "params.yaml" in message
        assert [word for word in words if word not in message] == []

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("student.epochs=0", ["params.yaml", "student.epochs", "0", "1"]),
            ("student.schedule=curve", ["params.yaml: student.schedule: got 'curve'", "linear"]),
            ("student.epoch=1", ["params.yaml", "student.epoch", "unknown", "epochs"]),
            ("studnet.epochs=1", ["--set studnet.epochs=1", "KEY=VALUE"]),
            ("seed.epochs=1", ["--set seed.epochs=1", "KEY=VALUE"]),
            ("student.epochs", ["--set student.epochs", "KEY=VALUE"]),
            ("student.hidden=[", ["--set student.hidden=[", "'['", "not YAML"]),
        ],
    )
    def test_a_wrong_value_in_place_of_the_files_is_named(self, error, change, words):
        message = error("distill", "--set", change)
        assert [word for word in words if word not in message] == []

    def test_a_transfer_class_that_the_data_lack(self, error):
        configure(prepare={"transfer_classes": ["setosa", "rose"]})
        message = error("prepare")
        assert "prepare.transfer_classes" in message
        assert "'rose'" in message
        assert "setosa, versicolor, virginica" in message

    def test_a_shift_of_what_is_no_image(self, error):
        configure(teacher={"augment": {"shift": 2}})
        message = error("train_teacher")
        assert "teacher.augment" in message
        assert "no images" in message

    @pytest.mark.parametrize("key", ["seed", "distill", "teacher.epochs", "distill.temperature", "logging.file"])
    def test_a_missing_key_has_its_default(self, tmp_path, key):
        content = quick()
        *section, name = key.split(".")
        (content[section[0]] if section else content).pop(name, None)
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(content), "utf-8")
        found, default = load_params(path), Params()
        for part in key.split("."):
            found, default = getattr(found, part), getattr(default, part)
        assert found == default

    def test_a_missing_end_of_a_schedule_is_named(self, error):
        configure(distill={"temperature": {"start": 1}})
        assert "params.yaml: distill.temperature.end: missing" in error("distill")

    @pytest.mark.parametrize(
        ("content", "word"),
        [
            (b"", "NoneType"),
            (b"# nothing\n", "NoneType"),
            (b"- seed\n- replicas\n", "list"),
            (b"seed", "str"),
            (b"seed: [0\n", "not YAML"),
            (b"seed:\t0\n\tx", "not YAML"),
            (b"a: 1\n---\nb: 2\n", "not YAML"),
            (b"\x80\x81", "not YAML"),
            (b"seed: \x00", "not YAML"),
        ],
    )
    def test_a_file_that_holds_no_keys(self, error, content, word):
        Path("params.yaml").write_bytes(content)
        message = error("distill")
        assert "params.yaml" in message
        assert word in message

    def test_a_missing_file(self, error):
        Path("params.yaml").unlink()
        assert "params.yaml: not found" in error("distill")

    def test_another_file_is_named_as_it_was_given(self, error):
        assert "error: other.yaml: not found" in error("distill", "--config", "other.yaml")

    def test_a_folder(self, error):
        Path("folder.yaml").mkdir()
        assert "error: folder.yaml: " in error("distill", "--config", "folder.yaml")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
    def test_a_pipe_does_not_block(self, experiment):
        os.mkfifo("pipe.yaml")
        process = python("-m", "stages.distill", "--config", "pipe.yaml", timeout=60)
        assert (process.returncode, process.stderr) == (1, "error: pipe.yaml: not a regular file\n")

    def test_a_value_of_megabytes_is_a_short_line(self, error):
        configure(distill={"loss": "k" * 50_000})
        assert len(error("distill")) < 300

    def test_further_mistakes_are_counted(self, error):
        configure(seed=-1, distill={"alpha": 2, "temperature": 0})
        assert "(and 2 more)" in error("distill")


class TestPaths:
    @pytest.mark.parametrize(
        ("stage", "option", "path", "words"),
        [
            ("evaluate", "predictions", "data/dataset.npz", ["--predictions: got 'data/dataset.npz'", "--dataset"]),
            ("evaluate", "predictions", "data/../models/student.npz", ["--predictions", "--student"]),
            ("evaluate", "predictions", "params.yaml", ["--predictions: got 'params.yaml'", ".npz"]),
            ("evaluate", "baseline", "models/student.npz", ["--student", "--baseline"]),
            ("distill", "student", "models/teacher.npz", ["--student", "--teacher"]),
            ("train_teacher", "teacher", "data/dataset.npz", ["--teacher", "--dataset"]),
            ("prepare", "dataset", "notes.txt", ["--dataset: got 'notes.txt'", ".npz"]),
            ("evaluate", "predictions", "models/deployed/int.npz", ["--predictions: got", "int.npz of --deployed"]),
            ("deploy", "deployed", "models", ["models: holds baseline.npz, which would be lost"]),
            ("deploy", "deployed", "", ["--deployed: got ''; needs a path"]),
            ("evaluate", "metrics", "", ["--metrics: got ''; needs a path"]),
            ("deploy", "deployed", "models/student.npz", ["--student", "--deployed"]),
            ("page", "deployed", "", ["/int.npz: not found"]),
        ],
    )
    def test_no_input_is_an_output(self, error, stage, option, path, words):
        message = error(stage, f"--{option}", path)
        assert [word for word in words if word not in message] == []

    def test_a_students_file_is_no_baselines(self, error):
        shutil.copy("models/student.npz", "models/copy.npz")
        assert "models/copy.npz: names a teacher" in error("evaluate", "--baseline", "models/copy.npz")

    def test_the_results_are_no_other_file(self, experiment):
        process = python("-m", "stages", "--output", "params.yaml")
        assert process.returncode == 1
        assert process.stderr == "error: --output: got 'params.yaml'; needs the path of a .json\n"


class TestData:
    def test_too_few_examples_to_stratify(self, error):
        configure(prepare={"max_samples": 5})
        message = error("prepare")
        assert "too few" in message
        assert "max_samples" in message

    def test_too_few_labels_to_stratify(self, error):
        configure(prepare={"labeled_fraction": 0.01})
        message = error("prepare")
        assert "too few" in message
        assert "labeled_fraction" in message

    def test_a_test_split_too_small_to_stratify(self, error):
        configure(prepare={"train_ratio": 0.9, "val_ratio": 0.09})
        assert "too few" in error("prepare")

    @pytest.mark.parametrize("changes", [{"max_samples": 149}, {"labeled_fraction": 0.99}], ids=str)
    def test_what_is_left_out_needs_no_class(self, experiment, changes):
        configure(prepare=changes)
        run("prepare")
        dataset = Dataset.load("data/dataset.npz")
        assert len(dataset.y) == changes.get("max_samples", 150)
        assert len(dataset.labeled()) < 120

    @pytest.mark.parametrize("path", ["data/raw/own.npz", "./data/raw/deep/own.npz"])
    def test_a_file_in_data_raw_is_taken(self, experiment, path):
        Path(path).parent.mkdir(parents=True)
        np.savez(path, x=np.arange(90.0).reshape(-1, 2), y=np.arange(45) % 3)
        configure(prepare={"dataset": path})
        run("prepare")
        assert Dataset.load("data/dataset.npz").class_names == ["0", "1", "2"]

    def test_standardized_logits_of_two_classes(self, error):
        configure(prepare={"dataset": "breast_cancer"}, distill={"standardize_logits": True})
        run("prepare")
        run("train_teacher")
        message = error("distill")
        assert "distill.standardize_logits: got true" in message
        assert "three classes or more, or false" in message

    def test_dkd_without_every_label(self, error):
        configure(prepare={"labeled_fraction": 0.5}, distill={"loss": "dkd"})
        run("prepare")
        run("train_teacher")
        message = error("distill")
        assert "dkd" in message
        assert "labeled_fraction" in message


def put(path, content):
    Path(path).write_bytes(content)


DAMAGES = {
    "missing": lambda path: Path(path).unlink(),
    "empty": lambda path: put(path, b""),
    "truncated": lambda path: put(path, Path(path).read_bytes()[:-100]),
    "text": lambda path: put(path, b"weights\n"),
    "foreign": lambda path: np.savez(path, images=np.zeros((3, 4))),
    "pickled": lambda path: np.savez(path, **read_npz(path), extra=np.array([{}], dtype=object)),
    "folder": lambda path: (Path(path).unlink(), Path(path).mkdir()),
    "flipped": lambda path: put(path, Path(path).read_bytes().replace(b"NUMPY", b"NUMPX", 1)),
}


def spoilt(value):
    def fault(logits):
        logits = logits.copy()
        logits[-1, -1] = value
        return logits

    return fault


FAULTS = {
    "a row less": lambda logits: logits[:-1],
    "a class less": lambda logits: logits[:, :-1],
    "an axis more": lambda logits: logits[None],
    "integers": lambda logits: logits.astype(np.int64),
    "complex": lambda logits: logits + 0j,
    "text": lambda logits: logits.astype(str),
    "nan": spoilt(np.nan),
    "inf": spoilt(np.inf),
}


class TestArtifacts:
    @READ
    @pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
    def test_a_damaged_file_is_named(self, error, path, stage, damage):
        damage(path)
        assert path in error(stage)

    @READ
    def test_a_file_with_the_names_alone(self, error, path, stage):
        arrays = read_npz(path)
        write_npz(path, {name: arrays[name] if name == "dataset_digest" else np.zeros(()) for name in arrays})
        assert path in error(stage)

    @pytest.mark.parametrize("path", ["data/dataset.npz", "models/teacher.npz"])
    def test_a_flipped_bit_is_refused_or_changes_nothing(self, experiment, path):
        dataset, good = Dataset.load("data/dataset.npz"), Path(path).read_bytes()
        original = {name: array.tobytes() for name, array in read_npz(path).items()}
        for position in range(0, len(good), 31):
            damaged = bytearray(good)
            damaged[position] ^= 1 << position % 8
            put(path, damaged)
            try:
                Dataset.load(path) if path.startswith("data") else load_model(path, dataset)
            except UserError:
                continue
            assert {name: array.tobytes() for name, array in read_npz(path).items()} == original, position

    def test_a_recipe_that_is_nested_too_deep(self, experiment):
        deep = '{"a":' * 600 + "1" + "}" * 600
        write_npz("models/student.npz", read_npz("models/student.npz") | {"recipe": np.array(deep)})
        with pytest.raises(UserError, match=r"models/student\.npz: recipe or origin is not an object in JSON"):
            load_model("models/student.npz", Dataset.load("data/dataset.npz"))

    @pytest.mark.parametrize("shape", [(), (0, 150, 3), (150, 3), (4, 150, 3)])
    def test_latency_of_logits_of_no_splits(self, experiment, shape):
        write_npz("models/teacher.npz", read_npz("models/teacher.npz") | {"logits": np.zeros(shape)})
        with pytest.raises(UserError, match=r"models/teacher\.npz: \d+ networks are not of the splits of logits \("):
            latency("models/teacher.npz", 2, "data/dataset.npz")

    def test_a_dataset_that_was_edited(self, error):
        arrays = read_npz("data/dataset.npz")
        arrays["y"][0] += 1
        write_npz("data/dataset.npz", arrays)
        message = error("train_teacher")
        assert "data/dataset.npz" in message
        assert "digest" in message

    @pytest.mark.parametrize(("path", "stage"), [("models/teacher.npz", "distill"), ("models/student.npz", "evaluate")])
    def test_a_model_of_another_dataset(self, error, path, stage):
        configure(seed=1)
        run("prepare")
        for other in READERS:
            if other not in ("data/dataset.npz", path):
                arrays = read_npz(other)
                digest = np.array(Dataset.load("data/dataset.npz").digest)
                write_npz(other, arrays | {"dataset_digest": digest})
        message = error(stage)
        assert path in message
        assert "belongs to the dataset" in message

    @pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
    def test_logits_that_are_not_the_datasets(self, error, fault):
        arrays = read_npz("models/teacher.npz")
        write_npz("models/teacher.npz", arrays | {"logits": fault(arrays["logits"])})
        message = error("distill")
        assert "models/teacher.npz: logits are" in message

    @pytest.mark.parametrize("stage", ["distill", "evaluate", "page"])
    def test_a_teacher_without_logits(self, error, stage):
        arrays = read_npz("models/teacher.npz")
        del arrays["logits"]
        write_npz("models/teacher.npz", arrays)
        message = error(stage)
        assert "models/teacher.npz: lacks logits" in message

    def test_a_digest_that_is_none(self, error):
        arrays = read_npz("models/student.npz")
        write_npz("models/student.npz", arrays | {"teacher_digest": np.array("no hex")})
        assert "models/student.npz: teacher_digest is not in hex" in error(readers("models/student.npz")[0])

    @pytest.mark.parametrize("name", ["sweep_loss", "sweep_accuracy"])
    def test_a_model_without_its_sweep(self, error, name):
        arrays = read_npz("models/student.npz")
        del arrays[name]
        write_npz("models/student.npz", arrays)
        assert "models/student.npz: not a network's weights and sweep" in error("evaluate")

    def test_a_teacher_may_have_logits_alone(self, experiment):
        arrays = read_npz("models/teacher.npz")
        np.savez("models/teacher.npz", **{n: a for n, a in arrays.items() if n.startswith("logits") or "digest" in n})
        run_each(downstream("distill"))

    @pytest.mark.parametrize("path", ["models/baseline.npz", "models/student.npz"])
    @pytest.mark.parametrize(
        "change",
        [
            lambda arrays: arrays.pop("weights_0"),
            lambda arrays: arrays.update(weights_0=arrays["weights_0"][0]),
            lambda arrays: arrays.update(weights_0=arrays["weights_0"][:, 1:]),
            lambda arrays: arrays.update(weights_1=arrays["weights_1"] * np.nan),
            lambda arrays: arrays.update(biases_1=arrays["biases_1"][:, :, 1:]),
            lambda arrays: arrays.update(training_loss=arrays["training_loss"][0]),
        ],
        ids=["no weights", "no replicas", "a feature less", "not a number", "a bias less", "a flat curve"],
    )
    def test_weights_that_are_not_a_networks(self, error, path, change):
        arrays = read_npz(path)
        change(arrays)
        write_npz(path, arrays)
        assert path in error("evaluate")


class TestMixed:
    """Files of different runs, put together by hand."""

    def test_a_student_of_another_teacher(self, experiment, error):
        configure(teacher={"epochs": 4})
        run("train_teacher")
        message = error("evaluate")
        assert [
            word for word in ("models/student.npz", "models/teacher.npz", "distill again") if word not in message
        ] == []
        run_each(downstream("distill"))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"student": {"hidden": [9, 5]}}, ["student.hidden: [9, 5]", "[8]"]),
            ({"student": {"epochs": 4}}, ["student.epochs: 4", "3"]),
            ({"student": {"batch_size": 16}}, ["student.batch_size: 16", "32"]),
            ({"seed": 1}, ["seed: 1", "0"]),
            ({"arithmetic": "fast"}, ["arithmetic: fast", "exact"]),
        ],
        ids=str,
    )
    def test_a_student_without_its_control(self, experiment, error, changes, words):
        configure(**changes)
        run("distill")
        message = error("evaluate")
        expected = ["models/student.npz has", "models/baseline.npz", "train both again", *words]
        assert [word for word in expected if word not in message] == []
        run_each(downstream("train_baseline", "distill"))

    @pytest.mark.parametrize(
        "changes", [{"optimizer": "adam"}, {"learning_rate": 0.01}, {"weight_decay": 0.1}], ids=str
    )
    def test_a_control_may_have_an_optimizer_of_its_own(self, experiment, changes):
        configure(student=changes)
        run_each(downstream("train_baseline"))

    def test_a_student_of_another_transfer_set(self, experiment, error):
        configure(prepare={"transfer_classes": ["setosa", "virginica"]})
        message = error("evaluate")
        assert "prepare.transfer_classes: got setosa, virginica" in message
        assert "models/student.npz" in message
        run_each(downstream("distill"))

    def test_integers_of_another_student(self, experiment, error):
        configure(student={"learning_rate": 0.1})
        run_each(between("distill", "deploy")[:-1])
        assert (
            error("evaluate")
            == "error: models/deployed/stack.npz: made of another student; run the stage deploy again\n"
        )

    @pytest.mark.parametrize("kept", [0, 1])
    def test_integers_of_fewer_networks(self, experiment, error, kept):
        arrays = read_npz("models/deployed/stack.npz")
        fewer = {name: array[:kept] for name, array in arrays.items() if name != "about"}
        write_npz("models/deployed/stack.npz", arrays | fewer)
        assert "models/deployed/stack.npz: " in error("evaluate")

    def test_label_smoothing_has_no_teacher(self, experiment):
        configure(teacher={"epochs": 4}, distill={"loss": "ls"})
        run("distill")
        run("train_teacher")
        run_each(after("distill"))

    @pytest.mark.parametrize("path", ["models/baseline.npz", "models/student.npz"])
    @pytest.mark.parametrize("recipe", [None, "[]", "{}", "3", "SGD"])
    def test_a_model_that_names_no_recipe(self, error, path, recipe):
        arrays = read_npz(path)
        del arrays["recipe"]
        write_npz(path, arrays if recipe is None else arrays | {"recipe": np.array(recipe)})
        message = error("evaluate")
        assert path in message
        assert "recipe" in message


class TestTraining:
    def test_stacks_of_unequal_size_are_not_compared(self, experiment, error):
        configure(replicas=3)
        run("distill")
        message = error("evaluate")
        assert "models/student.npz has replicas: 3, models/baseline.npz 2" in message

    @pytest.mark.parametrize("stage", ["train_teacher", "train_baseline", "distill"])
    def test_a_loss_that_is_no_number(self, error, stage):
        section = "teacher" if stage == "train_teacher" else "student"
        configure(**{section: {"learning_rate": 1e200}})
        message = error(stage)
        assert "nan" in message
        assert "epoch 1" in message
        assert "lower learning_rate" in message

    @pytest.mark.parametrize(("hidden", "warns"), [(15, False), (16, True), (17, True)])
    def test_a_student_that_is_not_smaller_is_warned_of(self, experiment, capsys, hidden, warns):
        configure(student={"hidden": [hidden]})
        run("distill")
        err = capsys.readouterr().err
        assert ("WARNING" in err) is warns
        assert ("student.hidden" in err) is warns

    def test_it_need_not_be_smaller_than_one_member_of_an_ensemble(self, experiment, capsys):
        configure(teacher={"members": 2}, student={"hidden": [16]})
        run("train_teacher")
        run("distill")
        assert "WARNING" not in capsys.readouterr().err


class TestFullDisk:
    @pytest.mark.parametrize(
        ("stage", "path"),
        [("prepare", "dataset.npz"), ("train_teacher", "teacher.npz"), ("distill", "student.npz"), ("evaluate", "csv")],
    )
    def test_the_file_is_named(self, error, monkeypatch, stage, path):
        def full(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        message = error(stage)
        assert path in message
        assert os.strerror(errno.ENOSPC) in message


def python(*arguments, **options):
    """A process of its own, with this project first in its path."""
    options = {"env": os.environ | {"PYTHONPATH": str(ROOT)}, "capture_output": True, "text": True} | options
    return subprocess.run([sys.executable, *arguments], **options)


LIMITED = """
import resource, runpy
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
runpy.run_module("stages.distill", run_name="__main__")
"""


CLOSED = """
import os, runpy, sys
os.close(2)
os.execv(sys.executable, [sys.executable, "-m", sys.argv[1]])
"""

LITTLE = """
import numpy as np
import stages.distill
from kdlib.pipeline import command_line, work_units

def huge(*_, **__):
    np.ones(1 << 50)

work_units.train = huge
parser = command_line.stage_parser("", "dataset", "teacher", "student")
command_line.run_stage(stages.distill.main, parser.parse_args([]))
"""


class TestProcess:
    """The same in a process of its own: what a shell and DVC see."""

    def assert_fails(self, process, *words):
        assert process.returncode == 1
        assert process.stdout == ""
        assert process.stderr.startswith("error: ")
        assert process.stderr.count("\n") == 1
        assert [word for word in words if word not in process.stderr] == []

    @pytest.mark.parametrize("module", ["stages", "stages.distill"])
    def test_a_wrong_value(self, experiment, module):
        configure(distill={"temperature": -1})
        before = files(experiment)
        self.assert_fails(python("-m", module), "distill.temperature")
        assert files(experiment) == before

    def test_a_file_that_grows_too_large(self, experiment):
        pytest.importorskip("resource")
        before = files(experiment)
        self.assert_fails(python("-c", LIMITED), "models/student.npz", os.strerror(errno.EFBIG))
        assert files(experiment) == before

    @pytest.mark.skipif(os.name == "nt", reason="a shell's 2>&-")
    @pytest.mark.parametrize("module", ["stages", "stages.distill"])
    def test_without_an_error_stream_the_bytes_are_the_same(self, experiment, module):
        before = files(experiment)
        Path("models/student.npz").unlink()
        assert python("-c", CLOSED, module).returncode == 0
        assert files(experiment) == before

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe")
    def test_a_reader_of_the_table_that_went_away(self, experiment):
        reading, writing = os.pipe()
        os.close(reading)
        arguments = ("-m", "stages.evaluate", "--set", "logging.level=ERROR")
        process = python(*arguments, stdout=writing, stderr=subprocess.PIPE, capture_output=False)
        os.close(writing)
        assert (process.returncode, process.stderr) == (1, f"error: a file: {os.strerror(errno.EPIPE)}\n")

    def test_out_of_memory_is_one_line(self, experiment):
        self.assert_fails(python("-c", LITTLE), "out of memory: Unable to allocate", "lower widths")

    def test_latency_of_a_missing_file(self, experiment):
        self.assert_fails(python("-m", "kdlib", "latency", "models/none.npz"), "models/none.npz")

    def test_a_warning_is_no_failure(self, experiment):
        configure(student={"hidden": [16]})
        process = python("-m", "stages.distill")
        assert process.returncode == 0
        assert "WARNING" in process.stderr
