"""Stage train_teacher: train the teacher on the labels -> models/teacher.npz, weights and logits on every example"""

from kdlib.data.dataset import Dataset
from kdlib.learning.objectives import CrossEntropy
from kdlib.numerics.arithmetic import ARITHMETICS
from stages import PATHS, parser, run
from stages.fit import Job, fit, one_hot


def main(params, paths=PATHS):
    dataset, teacher = Dataset.load(paths.dataset), params.teacher
    rows = [dataset.labeled(split) for split in range(dataset.splits)]

    def objective(splits):
        return CrossEntropy(one_hot(dataset, rows, splits), ARITHMETICS[params.arithmetic])

    recipes, settings = [teacher.recipe()] * dataset.splits, {"learning_rate": (teacher.learning_rate,)}
    fit(Job("teacher", paths.teacher, rows, recipes, objective, settings, teacher.members, True), params, dataset)


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "teacher").parse_args())
