"""Stage train_baseline: train the student's network on the labels only, as the control -> models/baseline.npz"""

from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.backends.context import Context
from kdlib.data.dataset import Dataset
from kdlib.learning.sweeps import grid
from kdlib.pipeline.command_line import PATHS, Paths, parser, run, writes
from kdlib.pipeline.jobs import Job, fit, labeled_only, named, seen, transfer_sets
from kdlib.pipeline.objective_specs import Labels
from kdlib.pipeline.schema import Params


@writes("baseline")
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> None:
    """Run the stage. Raises UserError as `seen` and `fit` do."""
    dataset = Dataset.load(paths.dataset)
    shown = seen("student", params, dataset, context)
    rows, recipes = labeled_only(shown, transfer_sets(params, shown), params.student.recipe())
    target = Labels(ARITHMETICS[params.arithmetic])
    names = named(params, dataset)
    settings = grid(learning_rate=params.student.learning_rate)
    job = Job("student", paths.baseline, rows, recipes, target, settings, params.replicas, named=names)
    fit(job, params, dataset, shown, context)


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", "baseline").parse_args(), lambda params: True)
