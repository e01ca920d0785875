"""Training as the three training stages do it: with progress, resumable, and saved at the end."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from tqdm import tqdm

from kdlib.errors import UserError
from kdlib.learning.checkpoints import Checkpoint
from kdlib.learning.inputs import CROWDING, outlying
from kdlib.learning.models import Model, joined, save_model, split_logits
from kdlib.learning.sweeps import Sweep
from kdlib.learning.training import train, validate
from kdlib.numerics.streams import REPLICAS, Streams


@dataclass(frozen=True)
class Job:
    """One training. section: of params.yaml, `teacher` or `student`; it names the random streams and the messages.

    rows, recipes: of each split, the indices of its examples and a `Recipe`. objective: function of a list of splits to
    theirs, whose targets are (splits, rows, ...). settings: {name: (G,)}, with `learning_rate` among them; all are
    trained, and each split keeps the networks of one. path: of the model. teaches: whether it is saved with its logits
    on all examples. named, teacher: the model's `recipe` and `teacher`.
    """

    section: str
    path: str
    rows: list
    recipes: list
    objective: Callable
    settings: dict
    replicas: int
    teaches: bool = False
    named: dict = field(default_factory=dict)
    teacher: str = ""


def labeled_only(dataset, transfer, recipe):
    """(rows, recipes) of networks that hear the labels of the `transfer` sets alone, for as many steps as a student."""
    rows = [np.intersect1d(of, dataset.labeled(split)) for split, of in enumerate(transfer)]
    return rows, [recipe.lengthened(len(of), len(own)) for of, own in zip(transfer, rows, strict=True)]


def transfer_sets(params, dataset):
    return [dataset.transfer_set(params.prepare.transfer_classes, split) for split in range(dataset.splits)]


def one_hot(dataset, rows, splits):
    """(splits, rows, classes) of the labels that these splits know."""
    return np.stack([dataset.one_hot(rows[split], split) for split in splits])


def named(params, dataset):
    """What students and baselines name in their files, by key of params.yaml.

    But for the transfer set it is what makes the one the control of the other: equal initial weights, equal batches,
    as many epochs. The optimizer and its rates may differ, as T^2 scales the gradient of the student alone.
    """
    section = {f"student.{key}": getattr(params.student, key) for key in ("hidden", "batch_size", "epochs")}
    whole = {key: getattr(params, key) for key in ("seed", "arithmetic", "replicas")}
    transfer = sorted(set(params.prepare.transfer_classes or dataset.class_names))
    return section | whole | {"prepare.transfer_classes": transfer}


def warn_of_outliers(x, dataset, log):
    if found := outlying(x):
        log.warning(
            "feature %s: its largest scaled value, %g, is over %d times as large as a usual feature's; in such rows the"
            " other features are lost: mend the value, or set prepare.scaling to minmax or standard",
            dataset.feature_names[found[0]], found[1], CROWDING,
        )  # fmt: skip


def fit(job, params, dataset):
    """Train, choose, write the model, return it. Splits of as many rows are one stack."""
    stacks = {}
    for split, (rows, recipe) in enumerate(zip(job.rows, job.recipes, strict=True)):
        stacks.setdefault((len(rows), recipe), []).append(split)
    if job.recipes[0].shift and not dataset.image_shape:
        raise UserError(f"{job.section}.augment: got shift, but the dataset has no images; set null")
    log, checkpoints, parts = logging.getLogger(job.path), [], {}
    # disable=None: no bar where stderr is no terminal
    total = sum(recipe.epochs for _, recipe in stacks)  # integers
    with tqdm(total=total, desc=job.path, unit="epoch", disable=None, dynamic_ncols=True) as bar:
        for (_, recipe), splits in stacks.items():
            path = f"{job.path}.{splits[0]}" if splits[0] else job.path
            checkpoints.append(Checkpoint(path, params.checkpoint) if params.checkpoint else None)
            parts |= _fit_stack(job, params, dataset, splits, recipe, checkpoints[-1], Progress(bar, log))
    networks, curves, losses, accuracies = zip(*(parts[split] for split in range(dataset.splits)), strict=True)
    sweep = Sweep(job.settings, np.stack(losses), np.stack(accuracies))
    network, curve = joined(networks, curves, sweep.chosen(), job.replicas)
    sizes = "-".join(map(str, network.sizes))
    log.info("%d x %s, %d epochs", sweep.loss.size, sizes, max(recipe.epochs for recipe in job.recipes))
    logits = split_logits(network, dataset) if job.teaches else None
    model = Model(network, curve, logits, sweep, job.named, job.teacher)
    save_model(job.path, model, dataset)
    for checkpoint in filter(None, checkpoints):
        checkpoint.remove()
    return model


def _fit_stack(job, params, dataset, splits, recipe, checkpoint, progress):
    """{split: (network, curve, loss, accuracy)} of its networks, settings by replicas; loss and accuracy are (G, R)."""
    settings, rates = len(job.settings["learning_rate"]), job.settings["learning_rate"]
    x = [dataset.scaled(job.rows[split], split) for split in splits]
    if params.arithmetic == "exact":
        warn_of_outliers(x[0], dataset, progress.log)
    held_out = [dataset.rows("validation", split) for split in splits]
    validation = [(dataset.inputs(r, s), dataset.one_hot(r, s)) for r, s in zip(held_out, splits, strict=True)]
    replicas = [split * REPLICAS + k for split in splits for _ in range(settings) for k in range(job.replicas)]
    recipe = replace(recipe, learning_rate=rates * len(splits) if settings > 1 else rates[0])
    streams = Streams(params.seed, job.section, tuple(replicas))
    objective = job.objective(splits)
    network, curve = train(x, objective, validation, recipe, streams, progress, checkpoint, survive=settings > 1)
    with np.errstate(all="ignore"):
        loss, accuracy = (v.reshape(len(splits), settings, job.replicas) for v in validate(network, validation))
    result, size = {}, settings * job.replicas
    for k, split in enumerate(splits):
        own = slice(k * size, (k + 1) * size)
        result[split] = network.part(own), {n: v[own] for n, v in curve.items()}, loss[k], accuracy[k]
    return result


class Progress:
    """Called after each epoch of a stack: the bar, and a line for each epoch in the log."""

    def __init__(self, bar, log):
        self.bar, self.log, self._before = bar, log, None

    def __call__(self, epoch, loss, accuracy):
        if self._before is None:
            self._before = self.bar.n
            self.bar.initial = self._before + epoch  # where a checkpoint let it go on
        self.bar.set_postfix_str(f"loss {loss:.4f}, validation accuracy {accuracy:.4f}")
        self.bar.update(self._before + epoch + 1 - self.bar.n)
        self.log.debug("epoch %d: loss %.4f, validation accuracy %.4f", epoch + 1, loss, accuracy)
