"""Stage page: show what was trained, and train it again in a browser -> metrics/page.html, one file"""

import logging
from dataclasses import replace

from kdlib.backends.context import Context
from kdlib.data.dataset import Dataset
from kdlib.deployment import model_file
from kdlib.evaluation.heldout import NETWORKS
from kdlib.io import npz_reader
from kdlib.io.artifacts import read_json, read_npz, write_text
from kdlib.io.errors import UserError
from kdlib.learning.model_file import load_model
from kdlib.page.browser_training import plan_browser_training, why_untrained
from kdlib.page.build import build_page
from kdlib.page.page_data import max_examples, page_data, results_section
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.schema import Params, recipe_of
from kdlib.reporting import csv_tables, plots
from kdlib.reporting.table import format_report

log = logging.getLogger("page")


def read_written_text(path: str) -> str:
    """Read a text that the stage evaluate wrote. Raises UserError if there is none, or if it is not UTF-8."""
    try:
        with npz_reader.open_regular_file(path) as file:
            return file.read().decode()
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run the stage evaluate, or `dvc repro`") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; run the stage evaluate again") from None


def read_report(path: str) -> dict:
    """Read the report that the stage evaluate wrote. Raises UserError if it cannot be shown as a table."""
    text = read_written_text(path)
    try:
        details = read_json(text)
        format_report(details)
    except (AttributeError, LookupError, TypeError, ValueError):
        raise UserError(f"{path}: not the stage evaluate's report; run it again") from None
    return details


@locks_outputs("page")
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> None:
    """Run the stage.

    Raises
    ------
    UserError
        If files of earlier stages are missing or do not belong together.
    """
    dataset = Dataset.load(paths.dataset)
    models = {name: load_model(getattr(paths, name), dataset, name == "teacher") for name in NETWORKS}
    path = f"{paths.deployed}/int.npz"
    integers = model_file.load(path)
    predictions = read_npz(paths.predictions)
    for name, model in models.items():
        if model.sweep is None and name != "teacher":
            raise UserError(f"{getattr(paths, name)}: lacks weights_0; train it again")
    student = models["student"]
    if student.weights_to_deploy is None or integers.card != model_file.ModelCard.of(dataset, student):
        raise UserError(f"{path}: not of {paths.student}; run the stages distill and deploy again")
    details = read_report(f"{paths.metrics}/details.json")
    pictures = {"summary.svg": read_written_text(f"{paths.metrics}/summary.svg")}
    tried = models["student"].sweep.settings
    if max(len(set(tried.get(name, ()))) for name in ("temperature", "alpha")) > 1:  # else it is one point
        pictures["sweep.svg"] = plots.sweep(csv_tables.sweep_rows(models))
    recipe = recipe_of(params, "student", dataset.image_shape)
    distill = params.distill.model_dump() | params.distill.values_to_try()
    limit = max_examples(dataset)
    training = None
    reason = why_untrained(dataset, models, recipe, distill, limit)
    if reason:
        log.info("%s: %s", paths.page, reason)
    else:
        options = params.seed, params.replicas, params.prepare.transfer_classes
        training = plan_browser_training(dataset, models, recipe, distill, limit, *options)
        training = replace(training, context=context)
    data = page_data(dataset, models, integers, predictions, training, reason)
    text = build_page(data | {"worth": results_section(details, pictures)})
    write_text(paths.page, text)
    log.info("%s: %d bytes, to be opened in a browser", paths.page, len(text.encode()))


if __name__ == "__main__":
    run_stage(
        main, stage_parser(__doc__, "dataset", *NETWORKS, "deployed", "predictions", "metrics", "page").parse_args()
    )
