"""Training as the three training stages do it: with progress, resumable, and saved at the end."""

import logging
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from kdlib.data.dataset import SPLITS
from kdlib.errors import UserError
from kdlib.learning.checkpoints import Checkpoint
from kdlib.learning.models import Model, ensemble_logits, save_model
from kdlib.learning.recipe import Recipe
from kdlib.learning.training import train
from kdlib.numerics.streams import Streams


@dataclass(frozen=True)
class Job:
    """One training. section: of params.yaml, `teacher` or `student`; it names the random streams and the messages.

    rows: of the training split. path: of the model. teaches: whether it is saved with its logits on all splits.
    named, teacher: the model's `recipe` and `teacher`, see `kdlib.learning.models.Model`.
    """

    section: str
    rows: np.ndarray
    objective: object
    recipe: Recipe
    replicas: int
    path: str
    teaches: bool = False
    named: dict = field(default_factory=dict)
    teacher: str = ""


def labeled_only(dataset, transfer, recipe):
    """(rows, recipe) of a network that hears the labels of the `transfer` set alone, for as many steps as a student."""
    rows = np.intersect1d(transfer, dataset.labeled())
    return rows, recipe.lengthened(len(transfer), len(rows))


def named(params, dataset):
    """What students and baselines name in their files, by key of params.yaml.

    But for the transfer set it is what makes the one the control of the other: equal initial weights, equal batches,
    as many epochs. The optimizer and its rates may differ, as T^2 scales the gradient of the student alone.
    """
    section = {f"student.{key}": getattr(params.student, key) for key in ("hidden", "batch_size", "epochs")}
    whole = {key: getattr(params, key) for key in ("seed", "arithmetic", "replicas")}
    transfer = sorted(set(params.prepare.transfer_classes or dataset.class_names))
    return section | whole | {"prepare.transfer_classes": transfer}


def fit(job, params, dataset):
    """Train, write the model, return the network."""
    recipe, path = job.recipe, job.path
    x = dataset.inputs("train")[job.rows]
    if recipe.shift:
        if not dataset.image_shape:
            raise UserError(
                f"{job.section}.augment: got shift: {recipe.shift}, but the dataset has no images; set null"
            )
        x = x.reshape(-1, *dataset.image_shape)
    checkpoint = Checkpoint(path, params.checkpoint) if params.checkpoint else None
    validation = dataset.inputs("validation"), dataset.one_hot("validation")
    streams = Streams(params.seed, job.section, tuple(range(job.replicas)))
    log = logging.getLogger(path)
    # disable=None: no bar where stderr is no terminal
    with tqdm(total=recipe.epochs, desc=path, unit="epoch", disable=None, dynamic_ncols=True) as bar:

        def progress(epoch, loss, accuracy):
            if bar.n == 0:
                bar.n = bar.initial = epoch  # where a checkpoint let it go on
            bar.set_postfix_str(f"loss {loss:.4f}, validation accuracy {accuracy:.4f}")
            bar.update()
            log.debug("epoch %d: loss %.4f, validation accuracy %.4f", epoch + 1, loss, accuracy)

        network, curve = train(x, job.objective, validation, recipe, streams, progress, checkpoint)
    log.info("%d x %s, %d epochs", job.replicas, "-".join(map(str, network.sizes)), recipe.epochs)
    splits = SPLITS if job.teaches else ()
    logits = {split: ensemble_logits(network.logits(dataset.inputs(split))) for split in splits}
    save_model(path, Model(network, curve, logits, job.named, job.teacher), dataset)
    if checkpoint:
        checkpoint.remove()
    return network
