"""What is attacked and how: an entry for each kind of file and of attack. A new kind of file is one entry more."""

import importlib.util
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kdlib.io.artifacts import array_digest
from tests.fuzz import mutations
from tests.fuzz.forks import Fork
from tests.fuzz.ground import OUTPUTS, arrays_of, copy, files, readers, stage
from tests.fuzz.passing import fault_of_attack


@dataclass(frozen=True)
class Entry:
    """attack: function of (folder, ground, random), which changes files there and returns arguments of `stage`.

    exact: whether the result can only be what it was before the attack, or none.
    """

    stage: str
    attack: Callable
    exact: bool = False

    def fault(self, ground, random):
        """(what is wrong or None, the stage's `Ending`) of one attack."""
        with copy(ground.base) as folder:
            arguments = self.attack(folder, ground, random) or ()
            before = files(folder)
            ending = Fork(stage(self.stage, *arguments), folder).end()
            expected = ground.expected[self.stage] if self.exact else None
            new = [path for option, path in pairwise(arguments) if option in OPTIONS]
            outputs = [path for path in OUTPUTS[self.stage] if not new] + [os.path.normpath(path) for path in new]
            return fault_of_attack(ending, before, files(folder), outputs, expected), ending


def on(path, mutate):
    """An attack that replaces the content of the file at `path` by `mutate(content, random)`."""

    def attack(folder, ground, random):
        target = folder / path
        target.write_bytes(mutate(target.read_bytes(), random))

    return attack


def crafted(content, random):
    arrays = arrays_of(content)
    return mutations.packed(mutations.crafted(arrays, random, list(arrays.values())), random)


def own(path, mutate):
    """Of a file in data/raw/, which `prepare` is told to read."""

    def attack(folder, ground, random):
        on(path, mutate)(folder, ground, random)
        return "--set", f"prepare.dataset={path}", "--set", "prepare.splits=1"

    return attack


def sealed_dataset(folder, ground, random):
    """A dataset that somebody made, whose digest the models name."""
    path = folder / "data/dataset.npz"
    arrays = arrays_of(path.read_bytes())
    if random.random() < 0.3:
        plain = {"kind": "number", "fill": 0.0, "missing": False, "categories": [], "rare": []}
        text = json.dumps([plain | {"name": str(name)} for name in arrays["feature_names"]])
        arrays["encoding"] = np.array(random.choice((text, mutations.damaged(text.encode(), random).decode("latin-1"))))
    arrays = mutations.sealed(mutations.crafted(arrays, random), "digest")
    if random.random() < 0.9:
        try:
            order = ("image_shape", "x", "y", "assignment", "offset", "scale", "class_names", "feature_names")
            told = {"encoding": arrays["encoding"]} if "encoding" in arrays else {}
            arrays["digest"] = np.array(array_digest(told | {name: arrays[name] for name in order}))
        except (KeyError, UnicodeError):
            pass
    path.write_bytes(mutations.packed(arrays, random))
    for name in ("teacher", "baseline", "student"):
        model = folder / f"models/{name}.npz"
        content = arrays_of(model.read_bytes()) | {"dataset_digest": arrays["digest"]}
        model.write_bytes(mutations.packed(content, random))


def sealed_teacher(folder, ground, random):
    """A teacher that somebody made, which the student names."""
    path, student = folder / "models/teacher.npz", folder / "models/student.npz"
    arrays = mutations.crafted(arrays_of(path.read_bytes()), random)
    path.write_bytes(mutations.packed(arrays, random))
    if "logits" in arrays:
        content = arrays_of(student.read_bytes())
        named = np.array(array_digest({"logits": arrays["logits"]}))
        student.write_bytes(mutations.packed(content | {"teacher_digest": named}, random))


def both_models(folder, ground, random):
    """Baseline and student of one maker: what one may not differ in they share."""
    seed = random.random()
    for name in ("baseline", "student"):
        on(f"models/{name}.npz", lambda content, _: crafted(content, type(random)(seed)))(folder, ground, random)


def checkpoint(mutate):
    def attack(folder, ground, random):
        (folder / "models/baseline.npz").unlink()
        (folder / "models/baseline.npz.checkpoint").write_bytes(mutate(ground.checkpoint, random))

    return attack


def settings(folder, ground, random):
    """`--set` of a key to what nobody would."""
    line = mutations.valued((folder / "params.yaml").read_bytes(), random).decode(errors="replace")
    changed = [text for text in line.splitlines() if ":" in text and text not in (folder / "params.yaml").read_text()]
    section, key = random.choice((("teacher", "epochs"), ("student", "hidden"), ("prepare", "splits"), ("x", "y")))
    values = [text.split(":", 1)[1].strip().replace("\0", "0") for text in changed[:2]]
    return [part for value in values for part in ("--set", f"{section}.{key}={value}")]


OPTIONS = ("--dataset", "--teacher", "--baseline", "--student", "--predictions", "--output")


def paths(folder, ground, random):
    """An output where another file is, or where no file can be."""
    there = sorted(files(folder))
    path = random.choice(
        (*there, "", ".", "..", "/", "/dev/null", "models", "a" * 300, "a\x1b.npz", "new.npz", "b/c.npz")
    )
    return "--predictions", path.replace("\0", "0")


def pipes(folder, ground, random):
    """A pipe in place of what is read."""
    path = folder / random.choice(("params.yaml", *sorted(p for p in OUTPUTS["stages"] if p.endswith(".npz"))[:5]))
    path.unlink()
    os.mkfifo(path)


def answers(mutate):
    """Of another model, which teaches."""

    def attack(folder, ground, random):
        on("data/raw/answers.npz", mutate)(folder, ground, random)
        return "--set", "teacher.model=data/raw/answers.npz"

    return attack


def predicting(model, rows, path, mutate):
    """Classes for rows by a network that left, one of which is attacked."""

    def attack(folder, ground, random):
        on(path, mutate)(folder, ground, random)
        return model, rows

    return attack


def options(folder, ground, random):
    """`teacher.options` of a classifier, to what nobody would."""
    model, names = random.choice(CLASSIFIERS)
    values = (*mutations.YAML_VALUES, *map(str, mutations.SPECIAL), "1", "2", "balanced", "auto", "{0: 1}")
    value = random.choice(values).replace("\0", "0")
    return "--set", f"teacher.model={model}", "--set", f"teacher.options={{{random.choice(names)}: {value}}}"


CLASSIFIERS = (
    ("DecisionTreeClassifier", ("max_depth", "criterion", "class_weight", "min_samples_leaf", "random_state")),
    ("GaussianNB", ("var_smoothing", "priors", "x")),
    ("LinearSVC", ("C", "loss", "class_weight", "max_iter")),
    ("AdaBoostClassifier", ("estimator", "n_estimators", "learning_rate")),
    ("KNeighborsClassifier", ("n_neighbors", "metric", "metric_params", "n_jobs")),
)


def told(content, random):
    """A deployed network that says other things of itself."""
    arrays = arrays_of(content)
    about = json.loads(arrays["about"].item())
    for _ in range(random.choice((1, 1, 2))):
        key = random.choice(sorted(about))
        values = (None, [], {}, True, "*/ int x; /*", *mutations.TEXTS, *mutations.NUMBERS, *about.values())
        about[key] = random.choice(values)
        if random.random() < 0.3 and isinstance(about.get("classes"), list) and about["classes"]:
            about["classes"] = [*about["classes"][:-1], random.choice(values)]
    arrays["about"] = np.array(json.dumps(about).encode())
    return mutations.packed(arrays, random)


def recoded(content, random):
    """The text rewritten in its own encoding."""
    name = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "cp1252"
    return mutations.rewritten(content.decode(name).encode(), random).decode(errors="replace").encode(name, "replace")


def written(folder, ground, random):
    """A table where another file is, or where no file can be."""
    path = random.choice((*sorted(files(folder)), "", ".", "/", "models", "a" * 300, "a\x1b.csv", "new.csv", "b/c.csv"))
    return *ROWS[:2], "--output", path


ARCHIVES = {  # by path the stages that read it; page has entries of its own below
    path: [stage for stage in readers(path) if stage != "page"] for path in OUTPUTS["stages"] if path.endswith(".npz")
}
ARCHIVES["data/dataset.npz"] = ["train_baseline", "deploy", "evaluate"]  # one of the three that train is enough
WAYS = {"damaged": mutations.damaged, "crafted": crafted, "headers that lie": mutations.headed}
SEALED = ("data/dataset.npz",)  # a crafted one is refused, or it is as it was

ENTRIES = {
    f"{path}: {way}, {stage}": Entry(stage, on(path, mutate), way == "damaged" or (way == "crafted" and path in SEALED))
    for path, stages in ARCHIVES.items()
    for stage in stages
    for way, mutate in WAYS.items()
}
ENTRIES |= {
    "data/dataset.npz: crafted and sealed, train_baseline": Entry("train_baseline", sealed_dataset),
    "data/dataset.npz: crafted and sealed, evaluate": Entry("evaluate", sealed_dataset),
    "models/teacher.npz: crafted and named, evaluate": Entry("evaluate", sealed_teacher),
    "models/student.npz: with the baseline crafted alike, evaluate": Entry("evaluate", both_models),
}
ENTRIES |= {f"a checkpoint: {way}": Entry("train_baseline", checkpoint(mutate), True) for way, mutate in WAYS.items()}
ENTRIES |= {f".npz of one's own: {way}": Entry("prepare", own("data/raw/own.npz", of)) for way, of in WAYS.items()}
ENTRIES |= {f".npz of a teacher's answers: {w}": Entry("train_teacher", answers(of)) for w, of in WAYS.items()}
for _path in ("models/deployed/float.npz", "models/deployed/int.npz"):
    for _way, _mutate in WAYS.items():
        _attack = predicting(_path, "data/raw/rows.npz", _path, _mutate)
        ENTRIES[f"{_path}: {_way}, predict"] = Entry("predict", _attack)
ROWS = "models/deployed/float.npz", "data/raw/rows.csv", "data/raw/rows.csv"
ENTRIES |= {
    ".csv of one's own: damaged": Entry("prepare", own("data/raw/own.csv", mutations.damaged)),
    ".csv of one's own: rewritten": Entry("prepare", own("data/raw/own.csv", mutations.rewritten)),
    ".csv of one's own: damaged, predict": Entry("predict", predicting(*ROWS, mutations.damaged)),
    ".csv of one's own: rewritten, predict": Entry("predict", predicting(*ROWS, mutations.rewritten)),
    **{
        f".csv of one's own: in {name}, {way}": Entry("prepare", own(f"data/raw/{name}.csv", mutate))
        for name in ("latin-1", "utf-16")
        for way, mutate in (("damaged", mutations.damaged), ("rewritten", recoded))
    },
    "models/deployed/int.npz: what it says of itself, page": Entry("page", on("models/deployed/int.npz", told)),
    "options: teacher.options": Entry("train_teacher", options),
    "options: predict --output": Entry("predict", written),
    "params.yaml: damaged, prepare": Entry("prepare", on("params.yaml", mutations.damaged)),
    "params.yaml: rewritten, distill": Entry("distill", on("params.yaml", mutations.rewritten)),
    "params.yaml: other values, prepare": Entry("prepare", on("params.yaml", mutations.valued)),
    "params.yaml: other values, train_teacher": Entry("train_teacher", on("params.yaml", mutations.valued)),
    "params.yaml: other values, distill": Entry("distill", on("params.yaml", mutations.valued)),
    "params.yaml: other values, deploy": Entry("deploy", on("params.yaml", mutations.valued)),
    "metrics/details.json: damaged, page": Entry("page", on("metrics/details.json", mutations.damaged)),
    "data/predictions.npz: damaged, page": Entry("page", on("data/predictions.npz", mutations.damaged), exact=True),
    "data/predictions.npz: crafted, page": Entry("page", on("data/predictions.npz", crafted)),
    "models/teacher.npz: crafted, page": Entry("page", on("models/teacher.npz", crafted)),
    "models/deployed/int.npz: crafted, page": Entry("page", on("models/deployed/int.npz", crafted)),
    "options: --set": Entry("train_baseline", settings),
    "options: --predictions": Entry("evaluate", paths),
    "a pipe in place of a file": Entry("evaluate", pipes),
}
if importlib.util.find_spec("pyarrow"):
    _parquet = "data/raw/own.parquet"
    ENTRIES |= {
        ".parquet of one's own: damaged": Entry("prepare", own(_parquet, mutations.damaged)),
        ".parquet of one's own: damaged, predict": Entry(
            "predict", predicting(ROWS[0], _parquet, _parquet, mutations.damaged)
        ),
    }
