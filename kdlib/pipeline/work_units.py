"""Units of work: parts of a stack of networks, which are trained separately and merged. No bit depends on the cut."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.backends.context import Context
from kdlib.backends.ranks import SINGLE_RANK, SingleRank
from kdlib.data.dataset import Dataset
from kdlib.io.atomic import file_lock
from kdlib.learning.checkpoints import Checkpoint, run_fingerprint
from kdlib.learning.lazy_targets import example_weights, one_hot, one_hot_of_split
from kdlib.learning.network import Network, multiply_adds
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import CURVES, train
from kdlib.learning.validation import validate
from kdlib.learning.weighting import Weighted
from kdlib.numerics.streams import REPLICAS_PER_SPLIT, Streams
from kdlib.pipeline.schema import Params

STEP_PRODUCTS = 1 << 21  # products in a step; with more, networks side by side are hardly faster than one by one


@dataclass(frozen=True)
class WorkUnit:
    """Some networks of a stack, as one unit of work.

    Parameters
    ----------
    recipe : Recipe
        How all of them are trained.
    splits, settings, replicas : tuple of int
        Numbers of their splits, settings and replicas; every combination is one network.
    suffix : str
        Suffix of the checkpoints' names, behind the path of the output.
    whole_stack : bool
        Whether this is a stack that was not cut.
    """

    recipe: Recipe
    splits: tuple
    settings: tuple
    replicas: tuple
    suffix: str = field(default="", compare=False)
    whole_stack: bool = field(default=True, compare=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of splits, settings and replicas."""
        return len(self.splits), len(self.settings), len(self.replicas)


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """What all units of a training share.

    Parameters
    ----------
    job : kdlib.pipeline.jobs.TrainingJob
    params : kdlib.pipeline.schema.Params
    dataset : Dataset
        With augmented views, if there are any.
    """

    job: object
    params: Params
    dataset: Dataset

    def sizes(self, recipe: Recipe) -> tuple[int, ...]:
        """Return the widths of a network's layers, from the features to the classes."""
        return self.dataset.x.shape[1], *recipe.hidden, len(self.dataset.class_names)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of everything that decides the bytes of the result, and of the code."""
        job = self.job
        params = self.params
        of_job = [job.section, job.rows, job.objective_spec, type(job.objective_spec).__name__, job.settings]
        return run_fingerprint([of_job, params.seed, params.arithmetic, self.dataset.digest])


def cut_into_units(setup: TrainingSetup, stack: WorkUnit) -> list[WorkUnit]:
    """Cut a stack into units of work: some replicas of one setting in one split, or several whole settings.

    A unit has as many networks as make a step of STEP_PRODUCTS products, at least one. The cut does not depend on the
    number of workers, so a restarted run finds its checkpoints even with another number, or on another machine.

    Parameters
    ----------
    setup : TrainingSetup
    stack : WorkUnit

    Returns
    -------
    list of WorkUnit
    """
    products = stack.recipe.batch_size * multiply_adds(setup.sizes(stack.recipe))
    size = max(1, STEP_PRODUCTS // products)
    side_by_side = max(1, size // len(stack.replicas))  # settings
    units = []
    for split in stack.splits:
        for first in range(0, len(stack.settings), side_by_side):
            for start in range(0, len(stack.replicas), size):
                settings = stack.settings[first : first + side_by_side]
                replicas = stack.replicas[start : start + size]
                suffix = f".{split}-{settings[0]}-{replicas[0]}"
                units.append(WorkUnit(stack.recipe, (split,), settings, replicas, suffix, whole_stack=False))
    return units


def train_unit(
    setup: TrainingSetup,
    unit: WorkUnit,
    progress: Callable | None = None,
    checkpoint: Checkpoint | None = None,
    context: Context = Context(),
) -> dict[str, np.ndarray]:
    """Train the networks of one unit of work, and validate them at the end.

    Parameters
    ----------
    setup : TrainingSetup
    unit : WorkUnit
    progress, checkpoint, context
        See `kdlib.learning.training.train`.

    Returns
    -------
    dict
        {name: (networks, ...)} in the order of a stack: `parameters`, the curves, and `loss` and `accuracy` on the
        validation rows.

    Raises
    ------
    UserError
        As `kdlib.learning.training.train` does.
    """
    job = setup.job
    params = setup.params
    dataset = setup.dataset
    splits = unit.splits
    x = [dataset.scaled(job.rows[split], split) for split in splits]
    validation = [_validation(dataset, split) for split in splits]
    settings = {name: tuple(values[k] for k in unit.settings) for name, values in job.settings.items()}
    rates = settings["learning_rate"]
    recipe = replace(unit.recipe, learning_rate=rates * len(splits) if len(rates) > 1 else rates[0])
    replicas = [split * REPLICAS_PER_SPLIT + k for split in splits for _ in unit.settings for k in unit.replicas]
    objective = job.objective_spec.objective(one_hot(dataset, job.rows, splits), splits, settings)
    weights = example_weights(dataset, job.rows, splits)
    objective = objective if weights is None else Weighted(objective, weights)
    streams = Streams(params.seed, job.section, tuple(replicas))
    allow_divergence = len(job.settings["learning_rate"]) > 1  # a sweep goes on when some of its settings diverge
    network, curve = train(x, objective, recipe, validation, streams, progress, checkpoint, allow_divergence, context)
    with np.errstate(all="ignore"):
        loss, accuracy = validate(network, validation, context.ranks)
    return {"parameters": network.parameters, "loss": loss, "accuracy": accuracy, **curve}


def _validation(dataset, split):
    """Return the validation rows of a split with their labels, and with their weights if the dataset has such."""
    rows = dataset.rows("validation", split)
    weights = dataset.row_weights(rows, split)
    validation = dataset.scaled(rows, split), one_hot_of_split(dataset, rows, split)
    return validation if weights is None else (*validation, weights)


def merge_units(setup: TrainingSetup, results: Iterable[tuple[WorkUnit, dict]]) -> dict[int, dict[str, np.ndarray]]:
    """Merge the results of all units of work.

    Parameters
    ----------
    setup : TrainingSetup
    results : iterable of (WorkUnit, dict)
        Each unit with what `train_unit` returned, in any order.

    Returns
    -------
    dict
        {split: {name: (settings * replicas, ...)}}.
    """
    size = len(setup.job.settings["learning_rate"]), setup.job.replicas
    whole = {}
    for unit, result in results:
        networks = np.ix_(unit.settings, unit.replicas)
        for name, values in result.items():
            values = values.reshape(*unit.shape, *values.shape[1:])
            for k, split in enumerate(unit.splits):
                made = whole.setdefault(split, {})
                if name not in made:
                    made[name] = np.empty((*size, *values.shape[3:]), values.dtype)
                made[name][networks] = values[k]
    return {split: {n: v.reshape(-1, *v.shape[2:]) for n, v in made.items()} for split, made in whole.items()}


class FinishedUnit:
    """Temporary result file of one finished unit of work; deleted once all units are merged.

    Attributes
    ----------
    result : dict or None
        What `train_unit` returned when the unit was trained; None if there is no such file.
    """

    def __init__(self, setup: TrainingSetup, unit: WorkUnit, ranks: SingleRank = SINGLE_RANK):
        path = f"{setup.job.path}{unit.suffix}"
        self._epochs = unit.recipe.epochs
        self._file = Checkpoint(f"{path}.trained", 1, ranks)
        self._training = Checkpoint(path, 1, ranks)
        networks = math.prod(unit.shape)  # lint: integer sum
        stack = Network(setup.sizes(unit.recipe), networks, ARITHMETICS[setup.params.arithmetic])
        result = {"parameters": stack.parameters, "loss": np.empty(networks), "accuracy": np.empty(networks)}
        result |= {name: np.empty((networks, self._epochs)) for name in CURVES}
        self.result = result if self._file.resume([setup.fingerprint, unit], result, []) else None

    def keep(self, result: dict[str, np.ndarray]) -> None:
        """Write the result, then remove the checkpoint of the training."""
        self._file.after_epoch(self._epochs, result, [])
        self._training.remove()


def _checkpoint_names(path):
    """Find the names of the output's checkpoints, of any cut, including half-written ones."""
    path = Path(path)
    name = re.compile(rf"\.?({re.escape(path.name)}(\.[\w.-]+)?\.checkpoint)(\.lock|\.\w+\.tmp)?")
    return {match[1] for file in path.parent.iterdir() if (match := name.fullmatch(file.name))}


def has_unit_checkpoints(path: Path | str) -> bool:
    """Return whether there are checkpoints of units of work for the output `path`."""
    return any(re.search(r"\.\d+-\d+-\d+\.", name) for name in _checkpoint_names(path))


def remove_checkpoints(path: Path | str) -> None:
    """Remove all checkpoints of the output `path`, including those that a killed process left half-written."""
    for name in _checkpoint_names(path):
        file = Path(path).parent / name
        with file_lock(file):
            file.unlink(missing_ok=True)
