"""The training that the page repeats in the browser: a student and its control on one split."""

from dataclasses import dataclass, replace

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.data.dataset import Dataset
from kdlib.learning.model_file import Model
from kdlib.learning.network import Network, multiply_adds
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.training import train
from kdlib.numerics.grids import PART
from kdlib.numerics.streams import REPLICAS, Streams

# All that the page's JavaScript implements. A student with another recipe is trained by a plainer one here.
PLAIN = {
    "optimizer": "sgd", "weight_decay": 0.0, "input_dropout": 0.0, "dropout": 0.0, "max_norm": None, "views": 1,
    "patience": None, "bits": None,
}  # fmt: skip
OBJECTIVE = {"loss": "kd", "standardize_logits": False}
# These replace values that suit another optimizer, or are too large.
LEARNING_RATE = 0.1
MOMENTUM = 0.9
BATCH_SIZE = 64
HIDDEN = (32,)
MAX_MULTIPLY_ADDS = 2**16  # of one example
MAX_REPLICAS = 4


@dataclass(frozen=True)
class Lesson:
    """A training that the browser repeats.

    Parameters
    ----------
    rows : np.ndarray, (n,)
        Indices of the examples that the student is trained on.
    labeled : np.ndarray
        Indices of those that the control is trained on.
    validation : np.ndarray
        Indices of the validation examples.
    recipe, control : Recipe
        Of the student and of its control.
    setting : dict
        `temperature`, `alpha` and `scale_by_t2` of the student's objective. A schedule is replaced by its end.
    split : int
    streams : Streams
        Of the networks in this split.
    changed : tuple of str
        Keys of params.yaml whose values were replaced by plainer ones.
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
        return train(dataset.scaled(rows, self.split), objective, recipe, held_out, self.streams, survive=True)

    def student(self, dataset: Dataset, logits: np.ndarray) -> tuple[Network, dict[str, np.ndarray]]:
        """Train the student; return network and curves as `kdlib.learning.training.train` does.

        Parameters
        ----------
        dataset : Dataset
        logits : np.ndarray, (n, classes)
            The teacher's, of all examples of the dataset.
        """
        one_hot = dataset.one_hot(self.rows, self.split)
        objective = Distillation(one_hot, logits[self.rows], EXACT, **self.setting)
        return self._train(dataset, self.rows, objective, self.recipe)

    def baseline(self, dataset: Dataset) -> tuple[Network, dict[str, np.ndarray]]:
        """Train the control, on the labels only; return network and curves."""
        objective = CrossEntropy(dataset.one_hot(self.labeled, self.split), EXACT)
        return self._train(dataset, self.labeled, objective, self.control)


def plain(recipe: Recipe, features: int, classes: int) -> tuple[Recipe, set[str]]:
    """Simplify a recipe: plain SGD, not too large, and sums of at most PART terms.

    Returns
    -------
    recipe : Recipe
    changed : set of str
        Names of the fields that have other values than before.
    """
    changes = {name: value for name, value in PLAIN.items() if getattr(recipe, name) != value}
    if "optimizer" in changes:
        changes |= {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "nesterov": False}
    sizes = features, *recipe.hidden, classes
    if multiply_adds(sizes) > MAX_MULTIPLY_ADDS or max(sizes) > PART:
        changes["hidden"] = HIDDEN
    if recipe.batch_size > PART:
        changes["batch_size"] = BATCH_SIZE
    return replace(recipe, **changes), {name for name, value in changes.items() if getattr(recipe, name) != value}


def lesson(dataset: Dataset, models: dict[str, Model], recipe: Recipe, asked: dict, room: int) -> Lesson | None:
    """Plan the training in the browser, on the split and with the setting of the deployed network.

    Parameters
    ----------
    dataset : Dataset
    models : dict
        {network: Model}.
    recipe : Recipe
        Of the student.
    asked : dict
        {key of params.yaml without its section: value}.
    room : int
        Number of examples, at most.

    Returns
    -------
    Lesson or None
        None if there are more features or classes than PART, or room for fewer than two examples.
    """
    features = dataset.x.shape[1]
    classes = len(dataset.class_names)
    if max(features, classes) > PART or room < 2:
        return None
    student = models["student"].sweep
    baseline = models["baseline"].sweep
    setting, split, _ = student.deployed_network()
    chosen = {name: values[setting] for name, values in student.settings.items()}
    control_rate = baseline.settings["learning_rate"][baseline.chosen()[split]]
    recipe, changed = plain(recipe, features, classes)
    control = recipe
    if "optimizer" not in changed:
        control = replace(recipe, learning_rate=control_rate)
        recipe = replace(recipe, learning_rate=chosen["learning_rate"])
    objective = {name: chosen.get(name, asked[name][0]) for name in ("temperature", "alpha")}
    scheduled = {name: value for name, value in objective.items() if isinstance(value, LinearSchedule)}
    objective |= {name: value.end for name, value in scheduled.items()} | {"scale_by_t2": asked["scale_by_t2"]}
    rows, labeled, validation = _thinned(dataset, split, asked["transfer_classes"], room)
    numbers = tuple(split * REPLICAS + k for k in range(min(asked["replicas"], MAX_REPLICAS)))
    return Lesson(
        rows, labeled, validation, recipe, control.lengthened(len(rows), len(labeled)),
        objective, split, Streams(asked["seed"], "student", numbers), _keys(changed, scheduled, asked),
    )  # fmt: skip


def _thinned(dataset, split, transfer_classes, room):
    """Choose at most about `room` rows evenly from the split: all for training, those with a label, for validation."""
    transfer = dataset.transfer_set(transfer_classes, split)
    validation = dataset.rows("validation", split)
    step = -(-(len(transfer) + len(validation)) // room)
    known = np.isin(transfer, dataset.labeled(split))
    labeled = transfer[known][::step]
    return np.sort(np.concatenate([labeled, transfer[~known][::step]])), labeled, validation[::step]


def _keys(changed, scheduled, asked):
    """List the keys of params.yaml that were changed, or that the objective leaves out."""
    student = {f"student.{'augment' if name == 'views' else name}" for name in changed}
    left_out = {name for name, value in OBJECTIVE.items() if asked[name] != value}
    distill = {f"distill.{name}" for name in (*left_out, *scheduled)}
    return tuple(sorted(student | distill))
