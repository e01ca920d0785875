"""Stage distill: train the student on the teacher's softened outputs and on the labels -> models/student.npz"""

import logging

import numpy as np

from kdlib.arithmetic import ARITHMETICS
from kdlib.datasets import Dataset
from kdlib.errors import UserError
from kdlib.losses import smooth_labels
from kdlib.models import load_model
from kdlib.objectives import CrossEntropy, Distillation
from stages import PATHS, parser, run
from stages.fit import fit, with_as_many_steps

log = logging.getLogger("distill")


def main(params, paths=PATHS):
    dataset = Dataset.load(paths.dataset)
    teacher = load_model(paths.teacher, dataset)
    arithmetic = ARITHMETICS[params.arithmetic]
    options = params.distill.model_dump()
    loss, smoothing = options["loss"], options.pop("smoothing")
    transfer = dataset.transfer_set(params.prepare.transfer_classes)
    labeled = np.intersect1d(transfer, dataset.labeled())
    if loss == "dkd" and len(labeled) < len(transfer):
        raise UserError("distill.loss: dkd needs every label; set prepare.labeled_fraction to 1, or choose kd or mse")
    recipe = params.student
    if loss == "ls":
        recipe = with_as_many_steps(recipe, len(transfer), len(labeled))
        transfer = labeled
    x, one_hot = dataset.inputs("train")[transfer], dataset.one_hot("train")[transfer]
    if loss == "ls":
        objective = CrossEntropy(smooth_labels(one_hot, smoothing), arithmetic)
    elif "train" not in teacher.logits:
        raise UserError(f"{paths.teacher}: lacks logits_train; a teacher needs its logits on every split")
    else:
        objective = Distillation(one_hot, teacher.logits["train"][transfer], arithmetic, **options)
    network = fit("student", params, dataset, x, objective, recipe, params.replicas, paths.student)
    if teacher.network and network.parameters.shape[1] >= teacher.network.parameters.size:
        log.warning(
            "the student has %d parameters, not fewer than the teacher's %d; to compress, lower student.hidden",
            network.parameters.shape[1],
            teacher.network.parameters.size,
        )


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "teacher", "student").parse_args())
