"""Stage page: show what was trained, and train it again in a browser -> metrics/page.html, one file"""

import logging

from kdlib.data.dataset import Dataset
from kdlib.deployment import model_file
from kdlib.evaluation.heldout import NETWORKS
from kdlib.io import npz_reader
from kdlib.io.artifacts import read_json, read_npz, write_text
from kdlib.io.errors import UserError
from kdlib.learning.model_file import load_model
from kdlib.page.assembly import page
from kdlib.page.browser_training import lesson
from kdlib.page.content import content, room, worth
from kdlib.pipeline.command_line import PATHS, Paths, parser, run, writes
from kdlib.pipeline.schema import Params
from kdlib.reporting import csv_tables, plots
from kdlib.reporting.table import table

log = logging.getLogger("page")


def written(path: str) -> str:
    """Read a text that the stage evaluate wrote. Raises UserError if there is none, or if it is not UTF-8."""
    try:
        with npz_reader.opened(path) as file:
            return file.read().decode()
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run the stage evaluate, or `dvc repro`") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; run the stage evaluate again") from None


def measured(path: str) -> dict:
    """Read the report that the stage evaluate wrote. Raises UserError if it cannot be shown as a table."""
    text = written(path)
    try:
        details = read_json(text)
        table(details)
    except (AttributeError, LookupError, TypeError, ValueError):
        raise UserError(f"{path}: not the stage evaluate's report; run it again") from None
    return details


@writes("page")
def main(params: Params, paths: Paths = PATHS) -> None:
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
    if models["student"].weights_to_deploy is None or integers.card.dataset != dataset.digest:
        raise UserError(f"{path}: not of {paths.student}; run the stages distill and deploy again")
    details = measured(f"{paths.metrics}/details.json")
    pictures = {"summary.svg": written(f"{paths.metrics}/summary.svg")}
    tried = models["student"].sweep.settings
    if max(len(set(tried.get(name, ()))) for name in ("temperature", "alpha")) > 1:  # else it is one point
        pictures["sweep.svg"] = plots.sweep(csv_tables.sweep_rows(models))
    asked = params.distill.model_dump() | params.distill.settings() | {"seed": params.seed, "replicas": params.replicas}
    asked["transfer_classes"] = params.prepare.transfer_classes
    taught = lesson(dataset, models, params.student.recipe(), asked, room(dataset))
    text = page(content(dataset, models, integers, predictions, taught) | {"worth": worth(details, pictures)})
    write_text(paths.page, text)
    log.info("%s: %d bytes, to be opened in a browser", paths.page, len(text.encode()))


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", *NETWORKS, "deployed", "predictions", "metrics", "page").parse_args())
