"""Train the networks of one model as the three training stages do: with progress, resumable, and saved at the end."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm

from kdlib.backends import ranks
from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.data.dataset import Dataset
from kdlib.io.errors import UserError
from kdlib.learning.augmentation import extended
from kdlib.learning.checkpoints import Checkpoint
from kdlib.learning.model_file import Model, save_model, split_logits
from kdlib.learning.network import Network
from kdlib.learning.recipe import Recipe
from kdlib.learning.sweeps import Sweep, joined
from kdlib.learning.training import CURVES
from kdlib.pipeline import workers
from kdlib.pipeline.objective_specs import Labels, Taught
from kdlib.pipeline.plan import plan
from kdlib.pipeline.schema import Params
from kdlib.pipeline.work_units import Finished, Part, Work, put_together, remove_checkpoints, train_part


@dataclass(frozen=True)
class Job:
    """One training.

    Parameters
    ----------
    section : str
        Section of params.yaml, `teacher` or `student`; it names the random streams and the messages.
    path : str
        File of the model.
    rows : list of S integer arrays
        Indices of the examples that the networks of each split are trained on.
    recipes : list of S Recipe
    target : Labels or Taught
        Specification of the objective, see `kdlib.pipeline.objective_specs`.
    settings : dict
        {name: (G,)} of a sweep's G settings, `learning_rate` among them. All are trained; each split keeps the networks
        of one.
    replicas : int
        Networks for each split and setting.
    teaches : bool
        Whether the model is saved with its logits of all examples.
    named, teacher : dict, str
        The model's `recipe` and `teacher`, see `kdlib.learning.model_file.Model`.
    """

    section: str
    path: str
    rows: list
    recipes: list
    target: Labels | Taught
    settings: dict
    replicas: int
    teaches: bool = False
    named: dict = field(default_factory=dict)
    teacher: str = ""


def seen(section: str, params: Params, dataset: Dataset) -> Dataset:
    """Add the augmented views that `augment` in a section of params.yaml asks for, as further rows.

    Parameters
    ----------
    section : str
        `teacher` or `student`.
    params : Params
    dataset : Dataset

    Returns
    -------
    Dataset
        `dataset` itself if no views are asked for.

    Raises
    ------
    UserError
        If the dataset has no images, or images that are not larger than `shift` and `elastic`.
    """
    augment = getattr(params, section).augment
    shape = dataset.image_shape
    if augment is None:
        return dataset
    if not shape:
        raise UserError(f"{section}.augment: got {augment}, but the dataset has no images; set null")
    if max(augment.shift, augment.elastic) >= min(shape):
        raise UserError(f"{section}.augment: got {augment}, but the images are {shape}; lower it, or set null")
    return extended(dataset, augment.numbered(), params.seed)


def labeled_only(dataset: Dataset, transfer: list[np.ndarray], recipe: Recipe) -> tuple[list[np.ndarray], list[Recipe]]:
    """Keep the labelled rows of each split's transfer set, and give the recipes as many steps as a student takes.

    Parameters
    ----------
    dataset : Dataset
    transfer : list of S integer arrays
        As `transfer_sets` returns them.
    recipe : Recipe
        The student's.

    Returns
    -------
    rows : list of S integer arrays
    recipes : list of S Recipe
    """
    rows = [dataset.with_label(of, split) for split, of in enumerate(transfer)]
    return rows, [recipe.lengthened(len(of), len(own)) for of, own in zip(transfer, rows, strict=True)]


def transfer_sets(params: Params, dataset: Dataset) -> list[np.ndarray]:
    """Return each split's transfer set: indices of the examples that a student is trained on."""
    return [dataset.transfer_set(params.prepare.transfer_classes, split) for split in range(dataset.splits)]


def named(params: Params, dataset: Dataset) -> dict:
    """Return the parameters that students and baselines must share, as {key of params.yaml: value} for their files.

    Together with equal transfer sets, equal values make the baseline a control of the student: equal initial weights,
    equal batches, equally many epochs. The optimizer and its rates may differ, because T^2 scales the gradient of the
    student only.
    """
    section = {f"student.{key}": getattr(params.student, key) for key in ("hidden", "batch_size", "epochs", "bits")}
    whole = {key: getattr(params, key) for key in ("seed", "arithmetic", "replicas")}
    transfer = sorted(set(params.prepare.transfer_classes or dataset.class_names))
    return section | whole | {"prepare.transfer_classes": transfer}


def fit(job: Job, params: Params, dataset: Dataset, shown: Dataset) -> Model:
    """Train all networks of a job, select one setting per split by validation loss, save the model and return it.

    Parameters
    ----------
    job : Job
    params : Params
    dataset : Dataset
        As it was prepared.
    shown : Dataset
        With augmented views, see `seen`; the rows of `job` are rows of it.

    Returns
    -------
    Model

    Raises
    ------
    UserError
        As `kdlib.learning.training.train` and `kdlib.pipeline.plan.plan` do.
    """
    work = Work(job, params, shown)
    log = logging.getLogger(job.path)
    files = {part: Finished(work, part) if params.checkpoint and not part.whole else None for part in plan(work)}
    found = [(part, file.result) for part, file in files.items() if file and file.result]
    missing = [part for part, file in files.items() if not file or not file.result]
    if ranks.current.size > 1:
        log.info("%d ranks share the rows of each batch; NumPy trains", ranks.current.size)
    disable = None if ranks.current.first else True  # None: no bar where stderr is no terminal
    total = sum(part.recipe.epochs for part in files)  # integers
    done = sum(part.recipe.epochs for part, _ in found)  # integers
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
        remove_checkpoints(job.path)
    return model


def here(work: Work, parts: list[Part], bar: tqdm, log: logging.Logger) -> Iterator[tuple[Part, dict]]:
    """Train units of work in this process, one after another.

    Yields
    ------
    (Part, dict)
        Each unit with what `train_part` returned.
    """
    every = work.params.checkpoint
    several = ranks.current.size > 1  # ranks compare in `Checkpoint.resume` what they train on
    for part in parts:
        checkpoint = Checkpoint(f"{work.job.path}{part.file}", every) if every or several else None
        yield part, train_part(work, part, Progress(bar, log), checkpoint)


def chosen(work: Work, dataset: Dataset, trained: dict[int, dict], log: logging.Logger) -> Model:
    """Select one setting per split by validation loss.

    Parameters
    ----------
    work : Work
    dataset : Dataset
        As it was prepared, without views.
    trained : dict
        As `put_together` returned it; it is emptied.
    log : logging.Logger

    Returns
    -------
    Model
    """
    job = work.job
    networks = []
    curves = []
    losses = []
    accuracies = []
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
    weights = None if job.teaches else networks[split].parameters[setting * job.replicas + replica]
    return Model(network, curve, logits, sweep, job.named, job.teacher, weights_to_deploy=weights)


class Progress:
    """Show the progress of a stack after each epoch: on the bar, and as a line in the log at level DEBUG."""

    def __init__(self, bar: tqdm, log: logging.Logger):
        self.bar = bar
        self.log = log
        self._before = None

    def __call__(self, epoch: int, loss: float, accuracy: float) -> None:
        if self._before is None:
            self._before = self.bar.n
            self.bar.initial = self._before + epoch  # a checkpoint may have skipped epochs
        self.bar.set_postfix_str(f"loss {loss:.4f}, validation accuracy {accuracy:.4f}")
        self.bar.update(self._before + epoch + 1 - self.bar.n)
        self.log.debug("epoch %d: loss %.4f, validation accuracy %.4f", epoch + 1, loss, accuracy)
