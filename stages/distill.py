"""Stage distill: train the student on the teacher's softened outputs and on the labels -> models/student.npz"""

import logging

from kdlib.data.dataset import Dataset
from kdlib.errors import UserError
from kdlib.learning.losses import smooth_labels
from kdlib.learning.models import load_model
from kdlib.learning.objectives import CrossEntropy, Distillation
from kdlib.numerics.arithmetic import ARITHMETICS
from stages import PATHS, parser, run
from stages.fit import Job, fit, labeled_only, named

log = logging.getLogger("distill")


def main(params, paths=PATHS):
    dataset = Dataset.load(paths.dataset)
    teacher = load_model(paths.teacher, dataset)
    arithmetic, one_hot = ARITHMETICS[params.arithmetic], dataset.one_hot("train")
    options = params.distill.model_dump()
    smoothing = options.pop("smoothing")
    rows, recipe = dataset.transfer_set(params.prepare.transfer_classes), params.student.recipe()
    labeled, control = labeled_only(dataset, rows, recipe)
    names, heard = named(params, dataset), ""
    if params.distill.loss == "ls":
        rows, recipe = labeled, control
        objective = CrossEntropy(smooth_labels(one_hot[rows], smoothing), arithmetic)
    else:
        if params.distill.loss == "dkd" and len(labeled) < len(rows):
            raise UserError(
                "distill.loss: dkd needs every label; set prepare.labeled_fraction to 1, or choose kd or mse"
            )
        if "train" not in teacher.logits:
            raise UserError(f"{paths.teacher}: lacks logits_train; a teacher needs its logits on every split")
        objective = Distillation(one_hot[rows], teacher.logits["train"][rows], arithmetic, **options)
        heard = teacher.digest()
    job = Job("student", rows, objective, recipe, params.replicas, paths.student, named=names, teacher=heard)
    network = fit(job, params, dataset)
    if teacher.network and network.parameters.shape[1] >= teacher.network.parameters.size:
        log.warning(
            "the student has %d parameters, not fewer than the teacher's %d; to compress, lower student.hidden",
            network.parameters.shape[1],
            teacher.network.parameters.size,
        )


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "teacher", "student").parse_args())
