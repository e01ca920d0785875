"""The training that the page repeats in the browser: a student and its baseline on one split."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kdlib.backends.arithmetic import EXACT
from kdlib.backends.context import Context
from kdlib.data.dataset import Dataset
from kdlib.learning.model_file import Model
from kdlib.learning.network import Network, multiply_adds
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.learning.recipe import Recipe
from kdlib.learning.schedules import LinearSchedule
from kdlib.learning.training import train
from kdlib.numerics.grids import MAX_TERMS
from kdlib.numerics.streams import REPLICAS_PER_SPLIT, Streams

# All that the page's JavaScript implements, by keys of params.yaml: these with any value, but with no schedule, ...
ANY_VALUE = {
    "student.hidden", "student.epochs", "student.learning_rate", "student.batch_size", "student.momentum",
    "student.nesterov", "student.warmup", "student.keep", "distill.temperature", "distill.alpha", "distill.scale_by_t2",
    "distill.beta", "distill.inter_class", "distill.intra_class", "distill.smoothing",
}  # fmt: skip
# ... and these with one of a few values. A student with anything else is not trained in the browser.
ALLOWED = {
    "student.optimizer": ("sgd",), "student.schedule": ("constant", "linear"), "student.weight_decay": (0.0,),
    "student.input_dropout": (0.0,), "student.dropout": (0.0,), "student.max_norm": (None,), "student.augment": (1,),
    "student.patience": (None,), "student.bits": (None,), "distill.loss": ("kd",),
    "distill.standardize_logits": (False,),
}  # fmt: skip
MAX_MULTIPLY_ADDS = 2**16  # of one example
MAX_REPLICAS = 4


@dataclass(frozen=True)
class BrowserTraining:
    """A training that the browser repeats.

    Parameters
    ----------
    rows : np.ndarray, (n,)
        Indices of the examples that the student is trained on.
    labeled : np.ndarray
        Indices of those that the baseline is trained on.
    validation : np.ndarray
        Indices of the validation examples.
    recipe, baseline_recipe : Recipe
        Recipes of the student and of the baseline.
    objective : dict
        `loss`, `temperature`, `alpha` and `scale_by_t2` of the student.
    split : int
    streams : Streams
        Of the networks in this split.
    context : Context
        What computes the training here.
    """

    rows: np.ndarray
    labeled: np.ndarray
    validation: np.ndarray
    recipe: Recipe
    baseline_recipe: Recipe
    objective: dict
    split: int
    streams: Streams
    context: Context = Context()

    def _train(self, dataset, rows, objective, recipe):
        held_out = dataset.inputs(self.validation, self.split), dataset.one_hot(self.validation, self.split)
        x = dataset.scaled(rows, self.split)
        return train(x, objective, recipe, held_out, self.streams, allow_divergence=True, context=self.context)

    def student(self, dataset: Dataset, logits: np.ndarray) -> tuple[Network, dict[str, np.ndarray]]:
        """Train the student; return network and curves as `kdlib.learning.training.train` does.

        Parameters
        ----------
        dataset : Dataset
        logits : np.ndarray, (n, classes)
            The teacher's, of all examples of the dataset.
        """
        one_hot = dataset.one_hot(self.rows, self.split)
        objective = Distillation(one_hot, logits[self.rows], EXACT, **self.objective)
        return self._train(dataset, self.rows, objective, self.recipe)

    def baseline(self, dataset: Dataset) -> tuple[Network, dict[str, np.ndarray]]:
        """Train the baseline, on the labels only; return network and curves."""
        objective = CrossEntropy(dataset.one_hot(self.labeled, self.split), EXACT)
        return self._train(dataset, self.labeled, objective, self.baseline_recipe)


def _deployed_setting(models):
    """Return the student's setting that is deployed, as {name: value}, and its split."""
    sweep = models["student"].sweep
    setting, split, _ = sweep.deployed_network()
    return {name: values[setting] for name, values in sweep.settings.items()}, split


def _implemented(key, value):
    if key in ANY_VALUE:
        return not isinstance(value, LinearSchedule)
    return value in ALLOWED.get(key, ())


def why_untrained(dataset: Dataset, models: dict[str, Model], recipe: Recipe, distill: dict, max_examples: int) -> str:
    """Return why the browser cannot repeat the student's training, as a sentence; "" if it can.

    Parameters
    ----------
    dataset : Dataset
    models : dict
        {network: Model}.
    recipe : Recipe
        Of the student.
    distill : dict
        {key: value} of section `distill`.
    max_examples : int
        How many examples fit into the page.
    """
    features = dataset.x.shape[1]
    classes = len(dataset.class_names)
    if max(features, classes) > MAX_TERMS or max_examples < 2:
        return "This dataset’s rows are too large for a page to train on."
    used = {f"student.{'augment' if name == 'views' else name}": value for name, value in vars(recipe).items()}
    setting, _ = _deployed_setting(models)
    used |= {f"distill.{name}": setting.get(name, value) for name, value in distill.items()}
    missing = [f"{key}: {used[key]}" for key in sorted(used) if not _implemented(key, used[key])]
    missing += ["prepare.weight and prepare.class_weight"] if dataset.class_factors is not None else []
    if missing:
        return f"This page cannot train the student: its program does not implement {', '.join(missing)}."
    sizes = features, *recipe.hidden, classes
    if multiply_adds(sizes) > MAX_MULTIPLY_ADDS or max(*sizes, recipe.batch_size) > MAX_TERMS:
        return (
            f"This page cannot train the student {'-'.join(map(str, sizes))} in batches of {recipe.batch_size}: it"
            f" allows {MAX_MULTIPLY_ADDS} multiply-adds an example, and layers and batches of {MAX_TERMS}."
        )
    return ""


def plan_browser_training(
    dataset: Dataset,
    models: dict[str, Model],
    recipe: Recipe,
    distill: dict,
    max_examples: int,
    seed: int,
    replicas: int,
    transfer_classes: Sequence[str] | None,
) -> BrowserTraining:
    """Plan the training in the browser, on the split and with the setting of the deployed network.

    Parameters
    ----------
    dataset, models, recipe, distill, max_examples
        As for `why_untrained`, which has to return "" for them.
    seed, replicas : int
    transfer_classes : sequence of str or None
        Of params.yaml.
    """
    setting, split = _deployed_setting(models)
    baseline = models["baseline"].sweep
    baseline_recipe = replace(recipe, learning_rate=baseline.settings["learning_rate"][baseline.chosen()[split]])
    objective = {name: setting[name] for name in ("temperature", "alpha")}
    objective |= {name: distill[name] for name in ("loss", "scale_by_t2")}
    rows, labeled, validation = _thinned(dataset, split, transfer_classes, max_examples)
    numbers = tuple(split * REPLICAS_PER_SPLIT + k for k in range(min(replicas, MAX_REPLICAS)))
    return BrowserTraining(
        rows, labeled, validation, replace(recipe, learning_rate=setting["learning_rate"]),
        baseline_recipe.with_equal_steps(len(rows), len(labeled)), objective, split, Streams(seed, "student", numbers),
    )  # fmt: skip


def _thinned(dataset, split, transfer_classes, max_examples):
    """Choose about `max_examples` rows of the split at most, evenly: all, those with a label, those to validate on."""
    transfer = dataset.transfer_set(transfer_classes, split)
    validation = dataset.rows("validation", split)
    step = -(-(len(transfer) + len(validation)) // max_examples)
    known = np.isin(transfer, dataset.labeled(split))
    labeled = transfer[known][::step]
    return np.sort(np.concatenate([labeled, transfer[~known][::step]])), labeled, validation[::step]
