"""The training that the page repeats in the browser: a student and its control on one split."""

from dataclasses import dataclass, replace

import numpy as np

from kdlib.backends.arithmetic import Exact
from kdlib.learning.network import multiply_adds
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.training import train
from kdlib.numerics.grids import PART
from kdlib.numerics.streams import REPLICAS, Streams

# What the page's JavaScript trains by. A student of another recipe has a plainer one here.
PLAIN = {
    "optimizer": "sgd", "weight_decay": 0.0, "input_dropout": 0.0, "dropout": 0.0, "max_norm": None, "views": 1,
    "patience": None, "bits": None,
}  # fmt: skip
OBJECTIVE = {"loss": "kd", "standardize_logits": False}
RATE, MOMENTUM, BATCH, HIDDEN = 0.1, 0.9, 64, (32,)  # in place of what suits another optimizer, or is too large
LARGEST = 2**16  # multiply-adds of an example
NETWORKS = 4  # replicas at most


@dataclass(frozen=True)
class Lesson:
    """rows: (n,) indices of the examples, as are `validation` and `labeled`, those that the control hears.

    recipe, control: a `Recipe` each. setting: `temperature`, `alpha` and `scale_by_t2` of the student's objective; in
    place of a schedule the number at its end.
    split, streams: of its networks. changed: the keys of params.yaml in whose place something plainer is.
    """

    rows: np.ndarray
    labeled: np.ndarray
    validation: np.ndarray
    recipe: Recipe
    control: Recipe
    setting: dict
    split: int
    streams: Streams
    changed: tuple

    def _train(self, dataset, rows, objective, recipe):
        held_out = dataset.inputs(self.validation, self.split), dataset.one_hot(self.validation, self.split)
        return train(dataset.scaled(rows, self.split), objective, held_out, recipe, self.streams, survive=True)

    def student(self, dataset, logits):
        """(network, curve), as of `train`. logits: the teacher's, (n, classes) of all examples."""
        one_hot = dataset.one_hot(self.rows, self.split)
        objective = Distillation(one_hot, logits[self.rows], Exact, **self.setting)
        return self._train(dataset, self.rows, objective, self.recipe)

    def baseline(self, dataset):
        """(network, curve) of the control, which hears the labels alone."""
        objective = CrossEntropy(dataset.one_hot(self.labeled, self.split), Exact)
        return self._train(dataset, self.labeled, objective, self.control)


def plain(recipe, features, classes):
    """(recipe, names of what has changed): by SGD alone, not too large, and with sums of at most PART terms."""
    changes = {name: value for name, value in PLAIN.items() if getattr(recipe, name) != value}
    if "optimizer" in changes:
        changes |= {"learning_rate": RATE, "momentum": MOMENTUM, "nesterov": False}
    sizes = features, *recipe.hidden, classes
    if multiply_adds(sizes) > LARGEST or max(sizes) > PART:
        changes["hidden"] = HIDDEN
    if recipe.batch_size > PART:
        changes["batch_size"] = BATCH
    return replace(recipe, **changes), {name for name, value in changes.items() if getattr(recipe, name) != value}


def lesson(dataset, models, recipe, asked, room):
    """`Lesson` on the split, and by the setting, of the network that is deployed; None for more features than PART.

    recipe: of the student. asked: {key of params.yaml without its section: value}. room: for how many examples.
    """
    features, classes = dataset.x.shape[1], len(dataset.class_names)
    if max(features, classes) > PART or room < 2:
        return None
    student, baseline = models["student"].sweep, models["baseline"].sweep
    setting, split, _ = student.deployed_network()
    chosen = {name: values[setting] for name, values in student.settings.items()}
    rates = chosen["learning_rate"], baseline.settings["learning_rate"][baseline.chosen()[split]]
    recipe, changed = plain(recipe, features, classes)
    recipe, control = (recipe if "optimizer" in changed else replace(recipe, learning_rate=rate) for rate in rates)
    objective = {name: chosen.get(name, asked[name][0]) for name in ("temperature", "alpha")}
    scheduled = {name: value for name, value in objective.items() if isinstance(value, LinearSchedule)}
    objective |= {name: value.end for name, value in scheduled.items()} | {"scale_by_t2": asked["scale_by_t2"]}
    rows, labeled, validation = _thinned(dataset, split, asked["transfer_classes"], room)
    numbers = tuple(split * REPLICAS + k for k in range(min(asked["replicas"], NETWORKS)))
    return Lesson(
        rows, labeled, validation, recipe, control.lengthened(len(rows), len(labeled)),
        objective, split, Streams(asked["seed"], "student", numbers), _keys(changed, scheduled, asked),
    )  # fmt: skip


def _thinned(dataset, split, transfer_classes, room):
    """(rows, those with a label, validation rows), evenly from all of the split: as many as there is room for."""
    train, validation = dataset.transfer_set(transfer_classes, split), dataset.rows("validation", split)
    step = -(-(len(train) + len(validation)) // room)
    known = np.isin(train, dataset.labeled(split))
    labeled = train[known][::step]
    return np.sort(np.concatenate([labeled, train[~known][::step]])), labeled, validation[::step]


def _keys(changed, scheduled, asked):
    """The keys of params.yaml of what has changed, and of what the objective leaves out."""
    student = {f"student.{'augment' if name == 'views' else name}" for name in changed}
    left_out = {name for name, value in OBJECTIVE.items() if asked[name] != value}
    distill = {f"distill.{name}" for name in (*left_out, *scheduled)}
    return tuple(sorted(student | distill))
