"""Stage train_baseline: train the student's network on the labels alone, as the control -> models/baseline.npz"""

import numpy as np

from kdlib.arithmetic import ARITHMETICS
from kdlib.datasets import Dataset
from kdlib.objectives import CrossEntropy
from stages import PATHS, parser, run
from stages.fit import fit, with_as_many_steps


def main(params, paths=PATHS):
    dataset = Dataset.load(paths.dataset)
    transfer = dataset.transfer_set(params.prepare.transfer_classes)
    labeled = np.intersect1d(transfer, dataset.labeled())
    x, one_hot = dataset.inputs("train")[labeled], dataset.one_hot("train")[labeled]
    objective = CrossEntropy(one_hot, ARITHMETICS[params.arithmetic])
    recipe = with_as_many_steps(params.student, len(transfer), len(labeled))
    fit("student", params, dataset, x, objective, recipe, params.replicas, paths.baseline)


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "baseline").parse_args())
