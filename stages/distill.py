"""Stage distill: train the student on the teacher's softened outputs and on the labels -> models/student.npz"""

import logging

from kdlib.arithmetic import ARITHMETICS
from kdlib.datasets import Dataset
from kdlib.errors import UserError
from kdlib.losses import smooth_labels
from kdlib.models import load_model, save_model
from kdlib.objectives import CrossEntropy, Distillation
from stages import DATASET, STUDENT, TEACHER, parser, run
from stages.fit import fit, with_as_many_steps

log = logging.getLogger("distill")


def main(params):
    dataset = Dataset.load(DATASET)
    teacher = load_model(TEACHER, dataset)
    arithmetic = ARITHMETICS[params.arithmetic]
    options = params.distill.model_dump()
    loss, smoothing = options["loss"], options.pop("smoothing")
    labeled = dataset.labeled()
    x, one_hot = dataset.inputs("train"), dataset.one_hot("train")
    if loss == "dkd" and len(labeled) < len(x):
        raise UserError("distill.loss: dkd needs every label; set prepare.labeled_fraction to 1, or choose kd or mse")
    recipe = params.student
    if loss == "ls":
        recipe = with_as_many_steps(recipe, len(x), len(labeled))
        x, one_hot = x[labeled], one_hot[labeled]
        objective = CrossEntropy(smooth_labels(one_hot, smoothing), arithmetic)
    elif "train" not in teacher.logits:
        raise UserError(f"{TEACHER}: lacks logits_train; a teacher needs its logits on every split")
    else:
        objective = Distillation(one_hot, teacher.logits["train"], arithmetic, **options)
    network, curve = fit("distill", params, dataset, x, objective, recipe, "student", params.replicas)
    if teacher.network and network.parameters.shape[1] >= teacher.network.parameters.size:
        log.warning(
            "the student has %d parameters, not fewer than the teacher's %d; to compress, lower student.hidden",
            network.parameters.shape[1],
            teacher.network.parameters.size,
        )
    save_model(STUDENT, network, curve, dataset)


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
