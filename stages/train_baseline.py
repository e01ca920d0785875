"""Stage train_baseline: train the student's network on the labels alone, as the control -> models/baseline.npz"""

from kdlib.data.dataset import Dataset
from kdlib.learning.objectives import CrossEntropy
from kdlib.learning.sweeps import grid
from kdlib.numerics.arithmetic import ARITHMETICS
from stages import PATHS, parser, run
from stages.fit import Job, fit, labeled_only, named, one_hot, transfer_sets


def main(params, paths=PATHS):
    dataset = Dataset.load(paths.dataset)
    rows, recipes = labeled_only(dataset, transfer_sets(params, dataset), params.student.recipe())

    def objective(splits):
        return CrossEntropy(one_hot(dataset, rows, splits), ARITHMETICS[params.arithmetic])

    settings, names = grid(learning_rate=params.student.learning_rate), named(params, dataset)
    job = Job("student", paths.baseline, rows, recipes, objective, settings, params.replicas, named=names)
    fit(job, params, dataset)


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "baseline").parse_args())
