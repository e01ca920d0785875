"""Stage train_teacher: train the teacher on the labels -> models/teacher.npz, weights and logits on every split"""

from kdlib.arithmetic import ARITHMETICS
from kdlib.datasets import Dataset
from kdlib.objectives import CrossEntropy
from stages import PATHS, parser, run
from stages.fit import fit


def main(params, paths=PATHS):
    dataset = Dataset.load(paths.dataset)
    labeled = dataset.labeled()
    x, one_hot = dataset.inputs("train")[labeled], dataset.one_hot("train")[labeled]
    objective = CrossEntropy(one_hot, ARITHMETICS[params.arithmetic])
    recipe = params.teacher
    fit("teacher", params, dataset, x, objective, recipe, recipe.members, paths.teacher, teaches=True)


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "teacher").parse_args())
