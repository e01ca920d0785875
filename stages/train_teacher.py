"""Stage train_teacher: train the teacher on the labels -> models/teacher.npz, weights and logits on every split"""

from kdlib.data.dataset import Dataset
from kdlib.learning.objectives import CrossEntropy
from kdlib.numerics.arithmetic import ARITHMETICS
from stages import PATHS, parser, run
from stages.fit import Job, fit


def main(params, paths=PATHS):
    dataset = Dataset.load(paths.dataset)
    rows = dataset.labeled()
    objective = CrossEntropy(dataset.one_hot("train")[rows], ARITHMETICS[params.arithmetic])
    teacher = params.teacher
    fit(
        Job("teacher", rows, objective, teacher.recipe(), teacher.members, paths.teacher, teaches=True), params, dataset
    )


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "teacher").parse_args())
