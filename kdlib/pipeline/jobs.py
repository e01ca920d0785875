"""Training as the three training stages do it: with progress, resumable, and saved at the end."""

import logging
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from kdlib.backends import ranks
from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.io.errors import UserError
from kdlib.learning.augmentation import extended
from kdlib.learning.checkpoints import Checkpoint
from kdlib.learning.model_file import Model, save_model, split_logits
from kdlib.learning.network import Network
from kdlib.learning.sweeps import Sweep, joined
from kdlib.learning.training import CURVES
from kdlib.pipeline import workers
from kdlib.pipeline.plan import plan
from kdlib.pipeline.work_units import Finished, Work, put_together, sweep, train_part


@dataclass(frozen=True)
class Job:
    """One training. section: of params.yaml, `teacher` or `student`; it names the random streams and the messages.

    rows, recipes: of each split, the indices of its examples and a `Recipe`. target: of `objective_specs`. settings:
    {name: (G,)}, with `learning_rate` among them; all are trained, and each split keeps the networks of one. path: of
    the model. teaches: whether it is saved with its logits on all examples. named, teacher: the model's `recipe` and
    `teacher`.
    """

    section: str
    path: str
    rows: list
    recipes: list
    target: object
    settings: dict
    replicas: int
    teaches: bool = False
    named: dict = field(default_factory=dict)
    teacher: str = ""


def seen(section, params, dataset):
    """The dataset with the views that `augment` in this section names, as further rows; itself where there are none.

    Raises UserError where the dataset has no images, or smaller ones than `shift`.
    """
    augment, shape = getattr(params, section).augment, dataset.image_shape
    if augment is None:
        return dataset
    if not shape:
        raise UserError(f"{section}.augment: got {augment}, but the dataset has no images; set null")
    if max(augment.shift, augment.elastic) >= min(shape):
        raise UserError(f"{section}.augment: got {augment}, but the images are {shape}; lower it, or set null")
    return extended(dataset, augment.numbered(), params.seed)


def labeled_only(dataset, transfer, recipe):
    """(rows, recipes) of networks that hear the labels of the `transfer` sets alone, for as many steps as a student."""
    rows = [dataset.with_label(of, split) for split, of in enumerate(transfer)]
    return rows, [recipe.lengthened(len(of), len(own)) for of, own in zip(transfer, rows, strict=True)]


def transfer_sets(params, dataset):
    return [dataset.transfer_set(params.prepare.transfer_classes, split) for split in range(dataset.splits)]


def named(params, dataset):
    """What students and baselines name in their files, by key of params.yaml.

    But for the transfer set it is what makes the one the control of the other: equal initial weights, equal batches,
    as many epochs. The optimizer and its rates may differ, as T^2 scales the gradient of the student alone.
    """
    section = {f"student.{key}": getattr(params.student, key) for key in ("hidden", "batch_size", "epochs", "bits")}
    whole = {key: getattr(params, key) for key in ("seed", "arithmetic", "replicas")}
    transfer = sorted(set(params.prepare.transfer_classes or dataset.class_names))
    return section | whole | {"prepare.transfer_classes": transfer}


def fit(job, params, dataset, shown):
    """Train on rows of what is `shown`, see `seen`, of the dataset; choose, write the model, return it."""
    work, log = Work(job, params, shown), logging.getLogger(job.path)
    files = {part: Finished(work, part) if params.checkpoint and not part.whole else None for part in plan(work)}
    found = [(part, file.result) for part, file in files.items() if file and file.result]
    missing = [part for part, file in files.items() if not file or not file.result]
    if ranks.current.size > 1:
        log.info("%d ranks share the rows of each batch; NumPy trains", ranks.current.size)
    disable = None if ranks.current.first else True  # None: no bar where stderr is no terminal
    total, done = (sum(part.recipe.epochs for part in some) for some in (files, dict(found)))  # integers
    with tqdm(total=total, initial=done, desc=job.path, unit="epoch", disable=disable, dynamic_ncols=True) as bar:
        trained = workers.spread(work, missing, log) if workers.wanted(params) else here(work, missing, bar, log)
        for part, result in trained:
            found.append((part, result))
            if files[part]:
                files[part].keep(result)
            done += part.recipe.epochs
            bar.update(done - bar.n)
    model = chosen(work, dataset, put_together(work, found), log)
    if ranks.current.first:
        save_model(job.path, model, dataset)
        sweep(job.path)
    return model


def here(work, parts, bar, log):
    """Yields (part, what `train_part` gives), trained in this process."""
    every, several = work.params.checkpoint, ranks.current.size > 1  # which compare what they train on there
    for part in parts:
        checkpoint = Checkpoint(f"{work.job.path}{part.file}", every) if every or several else None
        yield part, train_part(work, part, Progress(bar, log), checkpoint)


def chosen(work, dataset, trained, log):
    """The `Model` of what `put_together` gave."""
    job = work.job
    networks, curves, losses, accuracies = [], [], [], []
    for split, recipe in enumerate(job.recipes):
        own = trained.pop(split)
        network = Network(work.sizes(recipe), len(own["loss"]), ARITHMETICS[work.params.arithmetic])
        network.parameters[:] = own["parameters"]
        networks.append(network)
        curves.append({name: own[name] for name in CURVES})
        losses.append(own["loss"].reshape(-1, job.replicas))
        accuracies.append(own["accuracy"].reshape(-1, job.replicas))
    sweep = Sweep(job.settings, np.stack(losses), np.stack(accuracies))
    network, curve = joined(networks, curves, sweep.chosen(), job.replicas)
    sizes = "-".join(map(str, network.sizes))
    log.info("%d x %s, %d epochs", sweep.loss.size, sizes, max(recipe.epochs for recipe in job.recipes))
    logits = split_logits(network, dataset) if job.teaches and ranks.current.first else None
    setting, split, replica = sweep.deployed_network()
    deployed = None if job.teaches else networks[split].parameters[setting * job.replicas + replica]
    return Model(network, curve, logits, sweep, job.named, job.teacher, deployed=deployed)


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
