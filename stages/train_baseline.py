"""Stage train_baseline: train the student's network on the labels only, as the control -> models/baseline.npz"""

from kdlib.backends.arithmetic import ARITHMETICS
from kdlib.backends.context import Context
from kdlib.data.dataset import Dataset
from kdlib.learning.sweeps import grid
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.jobs import (
    TrainingJob,
    labeled_only,
    shared_params,
    train_and_save,
    transfer_sets,
    with_augmented_views,
)
from kdlib.pipeline.objective_specs import LabelTargets
from kdlib.pipeline.schema import Params, recipe_of


@locks_outputs("baseline")
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> None:
    """Run the stage. Raises UserError as `with_augmented_views` and `train_and_save` do."""
    dataset = Dataset.load(paths.dataset)
    augmented = with_augmented_views("student", params, dataset, context)
    rows, recipes = labeled_only(
        augmented, transfer_sets(params, augmented), recipe_of(params, "student", dataset.image_shape)
    )
    objective_spec = LabelTargets(ARITHMETICS[params.arithmetic])
    shared = shared_params(params, dataset)
    settings = grid(learning_rate=params.student.learning_rate)
    # The same name gives the same random streams as the student's: the same initial weights and, if every row has a
    # label, the same batches.
    job = TrainingJob(
        "student", paths.baseline, rows, recipes, objective_spec, settings, params.replicas, shared_params=shared
    )
    train_and_save(job, params, dataset, augmented, context)


if __name__ == "__main__":
    run_stage(main, stage_parser(__doc__, "dataset", "baseline").parse_args(), lambda params: True)
