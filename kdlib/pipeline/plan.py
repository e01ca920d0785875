"""Plan a training before it begins: which stacks it has, whether they fit in memory, whether outliers spoil them."""

import logging
import math
from pathlib import Path

import numpy as np

from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.backends.ranks import SingleRank
from kdlib.data.dataset import Dataset
from kdlib.learning.budget import estimate
from kdlib.learning.inputs import MAX_OUTLIER_RATIO, find_outlier
from kdlib.pipeline import workers
from kdlib.pipeline.work_units import TrainingSetup, WorkUnit, cut_into_units, has_unit_checkpoints


def stacks_of(setup: TrainingSetup) -> list[WorkUnit]:
    """Group the splits of a training into stacks: those with equal numbers of rows and equal recipes."""
    job = setup.job
    groups = {}
    for split, (own, recipe) in enumerate(zip(job.rows, job.recipes, strict=True)):
        groups.setdefault((len(own), recipe), []).append(split)
    settings = tuple(range(len(job.settings["learning_rate"])))
    replicas = tuple(range(job.replicas))
    return [
        WorkUnit(recipe, tuple(splits), settings, replicas, f".{splits[0]}" if splits[0] else "")
        for (_, recipe), splits in groups.items()
    ]


def plan_units(setup: TrainingSetup, ranks: SingleRank) -> list[WorkUnit]:
    """Plan the units of a training, log what each of its stacks needs, and warn of outliers.

    A stack is cut into smaller units if workers are to train it, or if checkpoints of such units exist.

    Parameters
    ----------
    setup : TrainingSetup
    ranks : SingleRank or Ranks

    Returns
    -------
    list of WorkUnit

    Raises
    ------
    UserError
        If a stack does not fit in memory or would take too long, see `kdlib.learning.budget.estimate`.
    """
    job = setup.job
    params = setup.params
    dataset = setup.dataset
    log = logging.getLogger(job.path)
    units = []
    apart = workers.are_used(params) or (ranks.first and params.checkpoint and has_unit_checkpoints(job.path))
    apart = bool(ranks.broadcast(np.array([bool(apart)]))[0])  # all ranks follow the first, which has the files
    for stack in stacks_of(setup):
        recipe = stack.recipe
        split = stack.splits[0]
        networks = math.prod(stack.shape)  # lint: integer sum
        if apart:
            parts = cut_into_units(setup, stack)
            units += parts
            largest = max(math.prod(unit.shape) for unit in parts)  # lint: integer sum
            networks = min(networks, largest * params.execution.workers)  # at once
        else:
            units.append(stack)
        arithmetic = ARITHMETICS[params.arithmetic]
        examples = len(job.rows[split]) // recipe.views
        log.info(estimate(job.section, recipe, setup.sizes(recipe), networks, examples, arithmetic))
        if params.arithmetic == "exact":
            warn_of_outliers(dataset.scaled(job.rows[split], split), dataset, log)
    if apart and Path(f"{job.path}.checkpoint").exists():
        log.warning("%s.checkpoint is not used: with execution.workers: 1 alone a training goes on from it", job.path)
    return units


def warn_of_outliers(x: np.ndarray, dataset: Dataset, log: logging.Logger) -> None:
    """Warn of a feature with values so large that exact arithmetic rounds the other features of these rows away.

    Parameters
    ----------
    x : (n, features)
        Scaled inputs.
    dataset : Dataset
        Names the feature.
    log : logging.Logger
    """
    if found := find_outlier(x):
        minmax = found[1] <= 1  # standardized inputs have a magnitude above 1
        log.warning(
            "feature %s: its largest scaled value, %g, is over %d times as large as a usual feature's; in such rows the"
            " other features are lost: mend the value, or set prepare.scaling: %s",
            dataset.feature_names[found[0]], found[1], MAX_OUTLIER_RATIO, "standard" if minmax else "minmax",
        )  # fmt: skip
