"""Stage train_teacher: train the teacher on the labels -> models/teacher.npz, weights and logits on every split"""

from kdlib.arithmetic import ARITHMETICS
from kdlib.datasets import SPLITS, Dataset
from kdlib.models import ensemble_logits, save_model
from kdlib.objectives import CrossEntropy
from stages import DATASET, TEACHER, parser, run
from stages.fit import fit


def main(params):
    dataset = Dataset.load(DATASET)
    labeled = dataset.labeled()
    x, one_hot = dataset.inputs("train")[labeled], dataset.one_hot("train")[labeled]
    objective = CrossEntropy(one_hot, ARITHMETICS[params.arithmetic])
    recipe = params.teacher
    network, curve = fit("train_teacher", params, dataset, x, objective, recipe, "teacher", recipe.members)
    logits = {split: ensemble_logits(network.logits(dataset.inputs(split))) for split in SPLITS}
    save_model(TEACHER, network, curve, dataset, logits)


if __name__ == "__main__":
    run(main, parser(__doc__).parse_args())
