"""What a training is going to be, checked before it begins."""

import logging
from pathlib import Path

import numpy as np

from kdlib.backends import ranks
from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.learning.budget import estimate
from kdlib.learning.inputs import CROWDING, outlying
from kdlib.pipeline import workers
from kdlib.pipeline.work_units import Part, begun, cut


def plan(work):
    """The `Part`s of a `work_units.Work`: splits of as many rows are one stack, in parts for workers, or if so begun.

    Tells what each stack needs. Raises UserError for one that does not fit.
    """
    job, params, dataset, stacks, log = work.job, work.params, work.dataset, {}, logging.getLogger(work.job.path)
    for split, (own, recipe) in enumerate(zip(job.rows, job.recipes, strict=True)):
        stacks.setdefault((len(own), recipe), []).append(split)
    parts, apart = [], workers.wanted(params) or (ranks.current.first and params.checkpoint and begun(job.path))
    apart = bool(ranks.current.told(np.array([bool(apart)]))[0])
    for (rows, recipe), splits in stacks.items():
        settings, replicas = range(len(job.settings["learning_rate"])), range(job.replicas)
        stack = Part(recipe, tuple(splits), tuple(settings), tuple(replicas), f".{splits[0]}" if splits[0] else "")
        networks = len(splits) * len(settings) * len(replicas)
        if apart:
            parts += cut(work, stack)
            networks = min(networks, len(parts[-1].replicas) * params.execution.workers)  # at once
        else:
            parts.append(stack)
        arithmetic = ARITHMETICS[params.arithmetic]
        log.info(estimate(job.section, recipe, work.sizes(recipe), networks, rows // recipe.views, arithmetic))
        if params.arithmetic == "exact":
            warn_of_outliers(dataset.scaled(job.rows[splits[0]], splits[0]), dataset, params.prepare.scaling, log)
    if apart and Path(f"{job.path}.checkpoint").exists():
        log.warning("%s.checkpoint is not used: with execution.workers: 1 alone a training goes on from it", job.path)
    return parts


def warn_of_outliers(x, dataset, scaling, log):
    if found := outlying(x):
        minmax = scaling == "minmax" or (scaling == "auto" and dataset.image_shape)
        log.warning(
            "feature %s: its largest scaled value, %g, is over %d times as large as a usual feature's; in such rows the"
            " other features are lost: mend the value, or set prepare.scaling: %s",
            dataset.feature_names[found[0]], found[1], CROWDING, "standard" if minmax else "minmax",
        )  # fmt: skip
