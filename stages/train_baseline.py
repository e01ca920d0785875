"""Stage train_baseline: train the student's network on the labels alone, as the control -> models/baseline.npz"""

from kdlib.data.dataset import Dataset
from kdlib.learning.objectives import CrossEntropy
from kdlib.numerics.arithmetic import ARITHMETICS
from stages import PATHS, parser, run
from stages.fit import Job, fit, labeled_only, named


def main(params, paths=PATHS):
    dataset = Dataset.load(paths.dataset)
    transfer = dataset.transfer_set(params.prepare.transfer_classes)
    rows, recipe = labeled_only(dataset, transfer, params.student.recipe())
    objective = CrossEntropy(dataset.one_hot("train")[rows], ARITHMETICS[params.arithmetic])
    names = named(params, dataset)
    fit(Job("student", rows, objective, recipe, params.replicas, paths.baseline, named=names), params, dataset)


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "baseline").parse_args())
