"""Stage prepare: load the dataset, split it, fit the scaling on the training rows -> data/dataset.npz"""

import logging
from hashlib import sha256
from pathlib import Path

from kdlib.backends.context import Context
from kdlib.data.checks import SUBSETS
from kdlib.data.dataset import Dataset
from kdlib.io import npz_reader
from kdlib.io.artifacts import write_text
from kdlib.io.errors import UserError
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.schema import Params
from kdlib.preparation import sources
from kdlib.preparation.build import build_dataset
from kdlib.preparation.transfer import read_unlabeled, with_transfer_rows
from kdlib.preparation.weights import with_class_weights

log = logging.getLogger("prepare")


def digest_of_answers(model: str) -> str:
    """Hash the file that `teacher.model` may name.

    The stage train_teacher depends on this hash. In dvc.yaml it could depend only on the whole folder of that file, and
    would run again for any other file in the folder.

    Parameters
    ----------
    model : str
        A path, or the name of a teacher that answers by itself.

    Returns
    -------
    str
        SHA-256 in hex; empty if there is no such file.
    """
    if not model.endswith(".npz") or not Path(model).is_file():
        return ""
    result = sha256()
    with npz_reader.open_regular_file(model) as file:
        while block := file.read(npz_reader.CHUNK_BYTES):
            result.update(block)
    return result.hexdigest()


@locks_outputs("dataset", "answers")
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> Dataset:
    """Run the stage and return the dataset.

    Raises
    ------
    UserError
        If the dataset cannot be read or used.
    """
    column_options = params.prepare.column_options()
    examples = sources.load_examples(params.prepare.dataset, params.prepare.target, column_options)
    elsewhere = {"dataset", "target", "transfer_classes", "transfer", "class_weight", *vars(column_options)}
    options = params.prepare.model_dump(exclude=elsewhere)
    dataset = with_class_weights(build_dataset(examples, params.seed, **options), params.prepare.class_weight)
    more = params.prepare.transfer
    if more:
        rows, weights = read_unlabeled(more.rows, examples, params.prepare.weight) if more.rows else (None, None)
        dataset = with_transfer_rows(dataset, rows, more.synthesis, more.times, params.seed, weights)
    try:
        dataset.validate()
    except UserError as error:
        raise UserError(f"{params.prepare.dataset}: {error}") from None
    transfer = dataset.transfer_set(params.prepare.transfer_classes)
    dataset.save(paths.dataset, validated=True)
    write_text(paths.answers, f"{digest_of_answers(params.teacher.model)}\n")
    sizes = ", ".join(f"{len(dataset.rows(subset))} {subset}" for subset in SUBSETS)
    sizes += f", {dataset.splits} splits" if dataset.splits > 1 else ""
    of_them = f" ({len(transfer)} in the transfer set)" if params.prepare.transfer_classes else ""
    log.info("%s: %s%s; digest %s", params.prepare.dataset, sizes, of_them, dataset.digest[:12])
    return dataset


if __name__ == "__main__":
    options = stage_parser(__doc__, "dataset", "answers")
    options.add_argument("--export", metavar="FILE", help="write the rows there too, to ask another model: an .npz")
    arguments = options.parse_args()

    def main_and_export(params, paths, context):
        """Run the stage, then write the rows to --export, if it was given."""
        main(params, paths, context)
        if arguments.export:
            from kdlib.teachers.external import export_rows  # here: the stage itself does not depend on kdlib.teachers

            export_rows(arguments.export, Dataset.load(paths.dataset), params.teacher.folds, params.seed)

    run_stage(main_and_export, arguments)
