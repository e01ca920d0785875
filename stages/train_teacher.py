"""Stage train_teacher: train the teacher on the labels, or ask another model -> models/teacher.npz, with its logits"""

import logging

from kdlib.artifacts import read_npz
from kdlib.data.dataset import Dataset
from kdlib.errors import UserError
from kdlib.learning.models import Model, save_model
from kdlib.numerics.arithmetic import ARITHMETICS
from stages import PATHS, parser, run, writes
from stages.fit import Job, fit, seen
from stages.targets import Labels

log = logging.getLogger("train_teacher")


def ask(params, dataset):
    """`Model` of a teacher that is no network of ours, without weights."""
    from kdlib.teachers import classifiers, foreign  # here: a network of ours needs neither, nor scikit-learn

    name, options, folds = params.teacher.model, params.teacher.options or {}, params.teacher.folds
    if name.endswith(".npz"):
        logits, origin = foreign.read(name, dataset)
    else:
        logits, size = classifiers.answers(name, options, dataset, folds, params.seed)
        origin = {"model": name, "options": options, "folds": folds, "seed": params.seed, "bytes": size}
    if found := foreign.seen(logits, dataset):
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
        return save_model(paths.teacher, ask(params, dataset), dataset)
    shown, target = seen("teacher", params, dataset), Labels(ARITHMETICS[params.arithmetic])
    rows = [shown.labeled(split) for split in range(dataset.splits)]
    recipes, settings = [teacher.recipe()] * dataset.splits, {"learning_rate": (teacher.learning_rate,)}
    fit(Job("teacher", paths.teacher, rows, recipes, target, settings, teacher.members, True), params, dataset, shown)


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "teacher").parse_args(), lambda params: params.teacher.model == "mlp")
