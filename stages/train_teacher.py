"""Stage train_teacher: train the teacher on the labels, or ask another model -> models/teacher.npz, with its logits"""

import json
import logging
import time

import numpy as np
from tqdm import tqdm

from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.backends.context import Context
from kdlib.backends.threads import Threads
from kdlib.data.dataset import Dataset
from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError
from kdlib.learning.model_file import Model, save_model
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.jobs import TrainingJob, train_and_save, with_augmented_views
from kdlib.pipeline.objective_specs import LabelTargets
from kdlib.pipeline.schema import Params, recipe_of

log = logging.getLogger("train_teacher")
LOG_INTERVAL = 10  # s after which the next fitted model is logged


class FitProgress:
    """Count fitted models: move the bar after each, and write a line to the log every LOG_INTERVAL seconds at most."""

    def __init__(self, bar: tqdm):
        self._bar = bar
        self._fitted = 0  # a disabled bar does not count
        self._logged = time.monotonic()

    def __call__(self) -> None:
        self._fitted += 1
        self._bar.update()
        if time.monotonic() - self._logged >= LOG_INTERVAL:
            self._logged = time.monotonic()
            log.info("%d of %d models fitted", self._fitted, self._bar.total)


def json_options(options: dict) -> dict:
    """Convert the options to what JSON can hold, because `models/teacher.npz` names them in JSON.

    Raises
    ------
    UserError
        If JSON cannot hold them.
    """
    try:
        return json.loads(json.dumps(options))
    except (TypeError, ValueError) as error:
        raise UserError(f"teacher.options: needs numbers, text, true, false, null, lists and keys: {error}") from None


def fitted_out_of_fold(params: Params, dataset: Dataset, path: str, threads: Threads) -> tuple[np.ndarray, dict]:
    """Fit a classifier out of fold.

    Parameters
    ----------
    params : Params
    dataset : Dataset
    path : str
        Of the teacher's file; the progress bar shows it.
    threads : Threads
        For the libraries that fit.

    Returns
    -------
    logits : np.ndarray, (S, n, classes)
    origin : dict
        Description of the model for the teacher's file: name, options, folds, seed, bytes, and inputs if they are raw.
    """
    from kdlib.teachers import classifiers

    name = params.teacher.model
    options = json_options(params.teacher.options or {})
    folds = params.teacher.folds
    count = classifiers.count_fits(dataset, folds, params.seed)
    with tqdm(total=count, desc=path, unit="model", disable=None, dynamic_ncols=True) as bar:
        logits, size = classifiers.fit_and_predict(
            name, options, dataset, folds, params.seed, FitProgress(bar), threads, params.teacher.inputs
        )
    origin = {"model": name, "options": options, "folds": folds, "seed": params.seed, "bytes": size}
    return logits, origin | ({"inputs": "raw"} if params.teacher.inputs == "raw" else {})


def external_teacher(params: Params, dataset: Dataset, path: str, threads: Threads) -> Model:
    """Get the logits of a teacher that is not one of our networks; warn if it was fitted on the rows that it teaches.

    Parameters
    ----------
    params : Params
    dataset : Dataset
    path : str
        Of the teacher's file.
    threads : Threads
        For the libraries that fit.

    Returns
    -------
    Model
        Without weights.
    """
    from kdlib.teachers import external  # here: a teacher that is our network does not need it

    name = params.teacher.model
    if name.endswith(".npz"):
        logits, origin = external.read_logits(name, dataset)
    else:
        logits, origin = fitted_out_of_fold(params, dataset, path, threads)
    if found := external.train_accuracy_gap(logits, dataset):
        log.warning(
            "%s: right on %.1f %% of the training rows and on %.1f %% of the validation rows: it seems to have been"
            " fitted on the rows that it teaches, and says little more than their labels; give out-of-fold answers",
            name, *(100 * share for share in found),
        )  # fmt: skip
    return Model(None, {}, logits, origin=origin)


def refuse_to_replace(path: str) -> None:
    """Refuse to overwrite a teacher that no run of this stage wrote.

    Raises
    ------
    UserError
        If the file at `path` holds logits without weights and without an origin.
    """
    try:
        held = set(read_npz(path))
    except UserError:  # absent or damaged
        return
    if "logits" in held and not held & {"weights_0", "origin"}:
        raise UserError(
            f"{path}: holds logits that this stage did not write, and would replace: move it to data/raw/ and name it"
            " in teacher.model"
        )


@locks_outputs("teacher")
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> None:
    """Run the stage.

    Raises
    ------
    UserError
        As `refuse_to_replace`, `external_teacher`, `with_augmented_views` and `train_and_save` do.
    """
    refuse_to_replace(paths.teacher)
    dataset = Dataset.load(paths.dataset)
    teacher = params.teacher
    if teacher.model != "mlp":
        return save_model(
            paths.teacher, external_teacher(params, dataset, paths.teacher, Threads(context.threads)), dataset
        )
    augmented = with_augmented_views("teacher", params, dataset, context)
    objective_spec = LabelTargets(ARITHMETICS[params.arithmetic])
    rows = [augmented.labeled(split) for split in range(dataset.splits)]
    recipes = [recipe_of(params, "teacher", dataset.image_shape)] * dataset.splits
    settings = {"learning_rate": (teacher.learning_rate,)}
    job = TrainingJob("teacher", paths.teacher, rows, recipes, objective_spec, settings, teacher.members, True)
    train_and_save(job, params, dataset, augmented, context)


if __name__ == "__main__":
    run_stage(
        main, stage_parser(__doc__, "dataset", "teacher").parse_args(), lambda params: params.teacher.model == "mlp"
    )
