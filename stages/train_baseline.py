"""Stage train_baseline: train the student's network on the labels alone, as the control -> models/baseline.npz"""

from kdlib.data.dataset import Dataset
from kdlib.learning.sweeps import grid
from kdlib.numerics.arithmetic import ARITHMETICS
from stages import PATHS, parser, run, writes
from stages.fit import Job, fit, labeled_only, named, seen, transfer_sets
from stages.targets import Labels


@writes("baseline")
def main(params, paths=PATHS):
    dataset = Dataset.load(paths.dataset)
    shown = seen("student", params, dataset)
    rows, recipes = labeled_only(shown, transfer_sets(params, shown), params.student.recipe())
    target, names = Labels(ARITHMETICS[params.arithmetic]), named(params, dataset)
    settings = grid(learning_rate=params.student.learning_rate)
    job = Job("student", paths.baseline, rows, recipes, target, settings, params.replicas, named=names)
    fit(job, params, dataset, shown)


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "baseline").parse_args(), lambda params: True)
