"""Train the networks of one model as the three training stages do: with progress, resumable, and saved at the end."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.backends.context import Context
from kdlib.backends.ranks import SingleRank
from kdlib.backends.threads import Threads
from kdlib.data.dataset import Dataset
from kdlib.io.errors import UserError
from kdlib.learning.augmentation import with_views
from kdlib.learning.checkpoints import Checkpoint
from kdlib.learning.model_file import Model, save_model, split_logits
from kdlib.learning.network import Network
from kdlib.learning.recipe import Recipe
from kdlib.learning.sweeps import Sweep, concat_networks
from kdlib.learning.training import CURVES
from kdlib.pipeline import workers
from kdlib.pipeline.forecast import Forecast
from kdlib.pipeline.objective_specs import DistillationTargets, LabelTargets
from kdlib.pipeline.plan import plan_units, stacks_of
from kdlib.pipeline.schema import Params
from kdlib.pipeline.work_units import FinishedUnit, TrainingSetup, WorkUnit, merge_units, remove_checkpoints, train_unit

BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} epochs [{elapsed}{postfix}]"  # the postfix has the time left


@dataclass(frozen=True)
class TrainingJob:
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
    objective_spec : LabelTargets or DistillationTargets
        Specification of the objective, see `kdlib.pipeline.objective_specs`.
    settings : dict
        {name: (G,)} of a sweep's G settings, `learning_rate` among them. All are trained; each split keeps the networks
        of one.
    replicas : int
        Networks for each split and setting.
    keeps_logits : bool
        Whether the model is saved with its logits of all examples.
    shared_params, teacher_digest : dict, str
        The model's `params` and `teacher`, see `kdlib.learning.model_file.Model`.
    """

    section: str
    path: str
    rows: list
    recipes: list
    objective_spec: LabelTargets | DistillationTargets
    settings: dict
    replicas: int
    keeps_logits: bool = False
    shared_params: dict = field(default_factory=dict)
    teacher_digest: str = ""


def with_augmented_views(section: str, params: Params, dataset: Dataset, context: Context = Context()) -> Dataset:
    """Add the augmented views that `augment` in a section of params.yaml asks for, as further rows.

    Parameters
    ----------
    section : str
        `teacher` or `student`.
    params : Params
    dataset : Dataset
    context : Context
        Its threads share the images.

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
    return with_views(dataset, augment.to_views(), params.seed, Threads(context.threads))


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
    return rows, [recipe.with_equal_steps(len(of), len(own)) for of, own in zip(transfer, rows, strict=True)]


def transfer_sets(params: Params, dataset: Dataset) -> list[np.ndarray]:
    """Return each split's transfer set: indices of the examples that a student is trained on."""
    return [dataset.transfer_set(params.prepare.transfer_classes, split) for split in range(dataset.splits)]


def shared_params(params: Params, dataset: Dataset) -> dict:
    """Return the parameters that students and baselines must share, as {key of params.yaml: value} for their files.

    Together with equal transfer sets, equal values make the baseline a control of the student: equal initial weights,
    and, if every row has a label, equal batches and equally many epochs; otherwise about as many steps, see
    `kdlib.learning.recipe.Recipe.with_equal_steps`. The optimizer and its rates may differ, because T^2 scales the
    gradient of the student only.
    """
    section = {f"student.{key}": getattr(params.student, key) for key in ("hidden", "batch_size", "epochs", "bits")}
    whole = {key: getattr(params, key) for key in ("seed", "arithmetic", "replicas")}
    transfer = sorted(set(params.prepare.transfer_classes or dataset.class_names))
    return section | whole | {"prepare.transfer_classes": transfer}


def train_and_save(
    job: TrainingJob, params: Params, dataset: Dataset, augmented: Dataset, context: Context = Context()
) -> Model:
    """Train all networks of a job, select one setting per split by validation loss, save the model and return it.

    Parameters
    ----------
    job : TrainingJob
    params : Params
    dataset : Dataset
        As it was prepared.
    augmented : Dataset
        With augmented views, see `with_augmented_views`; the rows of `job` are rows of it.
    context : Context
        The kernels, threads and ranks that compute.

    Returns
    -------
    Model

    Raises
    ------
    UserError
        As `kdlib.learning.training.train` and `kdlib.pipeline.plan.plan_units` do.
    """
    setup = TrainingSetup(job, params, augmented)
    setup = workers.with_number_of_workers(setup, stacks_of(setup), context)
    params = setup.params
    ranks = context.ranks
    log = logging.getLogger(job.path)
    files = {
        unit: FinishedUnit(setup, unit, ranks) if params.checkpoint and not unit.whole_stack else None
        for unit in plan_units(setup, ranks)
    }
    found = [(unit, file.result) for unit, file in files.items() if file and file.result]
    missing = [unit for unit, file in files.items() if not file or not file.result]
    if ranks.size > 1:
        log.info("%d ranks share the rows of each batch; NumPy trains", ranks.size)
    disable = None if ranks.first else True  # None: no bar where stderr is no terminal
    total = sum(unit.recipe.epochs for unit in files)  # lint: integer sum
    done = sum(unit.recipe.epochs for unit, _ in found)  # lint: integer sum
    options = {"bar_format": BAR_FORMAT, "disable": disable, "dynamic_ncols": True}
    forecast = Forecast(setup, missing, log, context)
    with logging_redirect_tqdm(), tqdm(total=total, initial=done, desc=job.path, **options) as bar:
        if workers.are_used(params):
            trained = workers.train_in_workers(setup, missing, log, forecast.after_unit)
        else:
            trained = train_serially(setup, missing, bar, log, forecast, context)
        for unit, result in trained:
            found.append((unit, result))
            if files[unit]:
                files[unit].keep(result)
            done += unit.recipe.epochs
            if workers.are_used(params):  # else `Progress` shows it
                bar.set_postfix_str(forecast.time_left(), refresh=False)
            bar.update(done - bar.n)
    model = select_by_validation(setup, dataset, merge_units(setup, found), log, ranks)
    if ranks.first:
        save_model(job.path, model, dataset)
        remove_checkpoints(job.path)
    return model


def train_serially(
    setup: TrainingSetup,
    units: list[WorkUnit],
    bar: tqdm,
    log: logging.Logger,
    forecast: Forecast,
    context: Context,
) -> Iterator[tuple[WorkUnit, dict]]:
    """Train units of work in this process, one after another.

    Yields
    ------
    (WorkUnit, dict)
        Each unit with what `train_unit` returned.
    """
    every = setup.params.checkpoint
    several = context.ranks.size > 1  # ranks compare in `Checkpoint.resume` what they train on
    for unit in units:
        checkpoint = Checkpoint(f"{setup.job.path}{unit.suffix}", every, context.ranks) if every or several else None
        result = train_unit(setup, unit, Progress(bar, log, forecast, unit), checkpoint, context)
        forecast.after_unit(unit)
        yield unit, result


def select_by_validation(
    setup: TrainingSetup, dataset: Dataset, trained: dict[int, dict], log: logging.Logger, ranks: SingleRank
) -> Model:
    """Select one setting per split by validation loss.

    Parameters
    ----------
    setup : TrainingSetup
    dataset : Dataset
        As it was prepared, without views.
    trained : dict
        As `merge_units` returned it; it is emptied.
    log : logging.Logger
    ranks : SingleRank or Ranks
        Only the first one computes the logits that are saved.

    Returns
    -------
    Model
    """
    job = setup.job
    networks = []
    curves = []
    losses = []
    accuracies = []
    for split, recipe in enumerate(job.recipes):
        own = trained.pop(split)
        network = Network(setup.sizes(recipe), len(own["loss"]), ARITHMETICS[setup.params.arithmetic])
        network.parameters[:] = own["parameters"]
        networks.append(network)
        curves.append({name: own[name] for name in CURVES})
        losses.append(own["loss"].reshape(-1, job.replicas))
        accuracies.append(own["accuracy"].reshape(-1, job.replicas))
    sweep = Sweep(job.settings, np.stack(losses), np.stack(accuracies))
    network, curve = concat_networks(networks, curves, sweep.chosen(), job.replicas)
    sizes = "-".join(map(str, network.sizes))
    log.info("%d x %s, %d epochs", sweep.loss.size, sizes, max(recipe.epochs for recipe in job.recipes))
    logits = split_logits(network, dataset) if job.keeps_logits and ranks.first else None
    setting, split, replica = sweep.deployed_network()
    weights = None if job.keeps_logits else networks[split].parameters[setting * job.replicas + replica]
    return Model(network, curve, logits, sweep, job.shared_params, job.teacher_digest, weights_to_deploy=weights)


class Progress:
    """Show the progress of a unit after each epoch: on the bar, and as a line in the log at level DEBUG.

    Once epochs have been measured, the time left is shown too: on the bar, and as one line in the log at level INFO.
    """

    def __init__(self, bar: tqdm, log: logging.Logger, forecast: Forecast, unit: WorkUnit):
        self.bar = bar
        self.log = log
        self.forecast = forecast
        self.unit = unit
        self._before = None

    def __call__(self, epoch: int, loss: float, accuracy: float) -> None:
        if self._before is None:
            self._before = self.bar.n
            self.bar.initial = self._before + epoch  # a checkpoint may have skipped epochs
        self.forecast.after_epoch(self.unit, epoch + 1)
        left = self.forecast.time_left()
        found = f"loss {loss:.4f}, validation accuracy {accuracy:.4f}"
        self.bar.set_postfix_str(f"{found}, {left}" if left else found)
        self.bar.update(self._before + epoch + 1 - self.bar.n)
        self.log.debug("epoch %d: %s", epoch + 1, found)
