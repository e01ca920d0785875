"""Stage distill: train the student on the teacher's softened outputs and on the labels -> models/student.npz"""

import logging

import numpy as np
from tqdm import tqdm

from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.backends.context import Context
from kdlib.data.dataset import Dataset
from kdlib.io.errors import UserError
from kdlib.learning.losses import LOSSES
from kdlib.learning.model_file import Model, load_model, split_logits
from kdlib.learning.objectives import SETTING_CONSTRAINTS
from kdlib.learning.sweeps import grid
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.jobs import (
    TrainingJob,
    labeled_only,
    shared_params,
    train_and_save,
    transfer_sets,
    with_augmented_views,
)
from kdlib.pipeline.objective_specs import DistillationTargets, LabelTargets
from kdlib.pipeline.schema import Params, recipe_of

log = logging.getLogger("distill")


def teacher_logits_for(teacher: Model, dataset: Dataset, augmented: Dataset) -> np.ndarray:
    """Return the teacher's logits of all rows of `augmented`.

    Parameters
    ----------
    teacher : Model
    dataset : Dataset
        The rows for which the teacher's file holds logits.
    augmented : Dataset
        `dataset` itself, or `dataset` with augmented views; the teacher's network computes the logits of views.

    Returns
    -------
    np.ndarray, (S, n, classes)

    Raises
    ------
    UserError
        If there are views, and the teacher is not a network.
    """
    if augmented is dataset:
        return teacher.logits
    if teacher.network is None:
        raise UserError(
            "student.augment: the teacher has logits of the images alone, and is no network to be asked about their"
            " views; set null, or teacher.model: mlp"
        )
    log.info("asking the teacher about %d views of images", len(augmented.y))
    views = sum(len(augmented.present(split)) for split in range(augmented.splits))  # lint: integer sum
    options = {"unit": "view", "unit_scale": True, "disable": None, "dynamic_ncols": True}
    with tqdm(total=views, desc="the teacher's logits", **options) as bar:
        return split_logits(teacher.network, augmented, bar.update)


@locks_outputs("student")
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> None:
    """Run the stage.

    Raises
    ------
    UserError
        If `dkd` is to train on rows without a label, or as `teacher_logits_for`, `with_augmented_views` and
        `train_and_save` do.
    """
    dataset = Dataset.load(paths.dataset)
    teacher = load_model(paths.teacher, dataset, needs_logits=params.distill.loss != "ls")
    arithmetic = ARITHMETICS[params.arithmetic]
    rates = params.student.learning_rate
    options = params.distill.model_dump(exclude={"smoothing", *SETTING_CONSTRAINTS})
    augmented = with_augmented_views("student", params, dataset, context)
    rows = transfer_sets(params, augmented)
    recipes = [recipe_of(params, "student", dataset.image_shape)] * dataset.splits
    labeled, baseline_recipes = labeled_only(augmented, rows, recipes[0])
    if params.distill.loss == "ls":  # label smoothing needs no teacher
        rows = labeled
        recipes = baseline_recipes
        teacher_digest = ""
        settings = grid(learning_rate=rates)
        objective_spec = LabelTargets(arithmetic, params.distill.smoothing)
    else:
        unlabeled = any(len(known) < len(own) for known, own in zip(labeled, rows, strict=True))
        if unlabeled and LOSSES[params.distill.loss].needs_labels:
            raise UserError(
                f"distill.loss: {params.distill.loss} needs every label; set prepare.labeled_fraction to 1 and"
                " prepare.transfer to null, or choose another loss, such as kd"
            )
        teacher_digest = teacher.digest()
        settings = grid(**params.distill.values_to_try(), learning_rate=rates)
        objective_spec = DistillationTargets(
            arithmetic, teacher_logits_for(teacher, dataset, augmented), rows, teacher_digest, options
        )
    job = TrainingJob(
        "student", paths.student, rows, recipes, objective_spec, settings, params.replicas,
        shared_params=shared_params(params, dataset), teacher_digest=teacher_digest,
    )  # fmt: skip
    parameters = train_and_save(job, params, dataset, augmented, context).network.parameters.shape[1]
    if teacher.network and parameters * dataset.splits >= teacher.network.parameters.size:
        log.warning(
            "the student has %d parameters, not fewer than the teacher's %d; to compress, lower student.hidden",
            parameters,
            teacher.network.parameters.size // dataset.splits,
        )


if __name__ == "__main__":
    run_stage(main, stage_parser(__doc__, "dataset", "teacher", "student").parse_args(), lambda params: True)
