"""Stage train_teacher: train the teacher on the labels, or ask another model -> models/teacher.npz, with its logits"""

import json
import logging
import time

from tqdm import tqdm

from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.data.dataset import Dataset
from kdlib.io.artifacts import read_npz
from kdlib.io.errors import UserError
from kdlib.learning.model_file import Model, save_model
from kdlib.pipeline.command_line import PATHS, parser, run, writes
from kdlib.pipeline.jobs import Job, fit, seen
from kdlib.pipeline.objective_specs import Labels

log = logging.getLogger("train_teacher")
SILENCE = 10  # s at most without a line, if no model takes longer


class Fits:
    """Called after each model that is fitted: the bar, and a line in the log if there was none for a while."""

    def __init__(self, bar):
        self._bar, self._fitted, self._told = bar, 0, time.monotonic()

    def __call__(self):
        self._fitted += 1
        self._bar.update()  # a bar that nobody sees does not count
        if time.monotonic() - self._told >= SILENCE:
            self._told = time.monotonic()
            log.info("%d of %d models fitted", self._fitted, self._bar.total)


def plain(options):
    """The options as JSON has them, in which `models/teacher.npz` names them. Raises UserError for others."""
    try:
        return json.loads(json.dumps(options))
    except (TypeError, ValueError) as error:
        raise UserError(f"teacher.options: needs numbers, text, true, false, null, lists and keys: {error}") from None


def fitted_out_of_fold(params, dataset, path):
    """(logits, origin) of a classifier of scikit-learn. path: of the teacher, which the bar names."""
    from kdlib.teachers import classifiers

    name, options = params.teacher.model, plain(params.teacher.options or {})
    folds = params.teacher.folds
    count = classifiers.fits(dataset, folds, params.seed)
    with tqdm(total=count, desc=path, unit="model", disable=None, dynamic_ncols=True) as bar:
        logits, size = classifiers.answers(name, options, dataset, folds, params.seed, Fits(bar))
    return logits, {"model": name, "options": options, "folds": folds, "seed": params.seed, "bytes": size}


def ask(params, dataset, path):
    """`Model` of a teacher that is no network of ours, without weights."""
    from kdlib.teachers import external  # here: a network of ours does not need it

    name = params.teacher.model
    if name.endswith(".npz"):
        logits, origin = external.read(name, dataset)
    else:
        logits, origin = fitted_out_of_fold(params, dataset, path)
    if found := external.seen(logits, dataset):
        log.warning(
            "%s: right on %.1f %% of the training rows and on %.1f %% of the validation rows: it seems to have been"
            " fitted on the rows that it teaches, and says little more than their labels; give out-of-fold answers",
            name, *(100 * share for share in found),
        )  # fmt: skip
    return Model(None, {}, logits, origin=origin)


def refuse_to_replace(path):
    """Raises UserError for a teacher at `path` that no run of this stage wrote."""
    try:
        held = set(read_npz(path))
    except UserError:  # absent or damaged
        return
    if "logits" in held and not held & {"weights_0", "origin"}:
        raise UserError(
            f"{path}: holds logits that this stage did not write, and would replace: move it to data/raw/ and name it"
            " in teacher.model"
        )


@writes("teacher")
def main(params, paths=PATHS):
    refuse_to_replace(paths.teacher)
    dataset, teacher = Dataset.load(paths.dataset), params.teacher
    if teacher.model != "mlp":
        return save_model(paths.teacher, ask(params, dataset, paths.teacher), dataset)
    shown, target = seen("teacher", params, dataset), Labels(ARITHMETICS[params.arithmetic])
    rows = [shown.labeled(split) for split in range(dataset.splits)]
    recipes, settings = [teacher.recipe()] * dataset.splits, {"learning_rate": (teacher.learning_rate,)}
    fit(Job("teacher", paths.teacher, rows, recipes, target, settings, teacher.members, True), params, dataset, shown)


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "teacher").parse_args(), lambda params: params.teacher.model == "mlp")
