"""Stage evaluate: measure teacher, baseline and student -> metrics/metrics.json, CSV, SVG; data/predictions.npz"""

import logging
import os

import numpy as np

from kdlib.backends.context import Context
from kdlib.data.dataset import Dataset
from kdlib.deployment.integer_stack import load_stack
from kdlib.deployment.model_file import ModelCard, load
from kdlib.evaluation import metrics
from kdlib.evaluation.heldout import NETWORKS, predict_heldout
from kdlib.io.artifacts import rounded, write_csv, write_json, write_npz, write_text
from kdlib.io.chunks import LazyAstype
from kdlib.io.errors import UserError
from kdlib.learning.calibration import with_temperatures
from kdlib.learning.model_file import Model, load_model
from kdlib.pipeline.command_line import PATHS, Paths, locks_outputs, run_stage, stage_parser
from kdlib.pipeline.linear_control import train_linear_control
from kdlib.pipeline.schema import Params
from kdlib.reporting import csv_tables, plots
from kdlib.reporting.report import build_report, headline
from kdlib.reporting.table import format_report, gain_line

log = logging.getLogger("evaluate")


def refuse_mixed(models: dict[str, Model], params: Params, paths: Paths, dataset: Dataset) -> None:
    """Refuse models that do not belong together.

    Parameters
    ----------
    models : dict
        {network: Model} of teacher, baseline and student.
    params : Params
    paths : Paths
        Where they were read from, for the message.
    dataset : Dataset

    Raises
    ------
    UserError
        If the student had another teacher or another transfer set, or if the baseline is not a control of the student.
    """
    for name in ("baseline", "student"):
        if not models[name].network or not models[name].params:
            raise UserError(f"{getattr(paths, name)}: lacks weights_0 or recipe; train it again")
    student = models["student"]
    baseline = models["baseline"]
    teacher = models["teacher"].digest()
    if baseline.teacher:
        raise UserError(f"{paths.baseline}: names a teacher, as a student does; a baseline has heard none")
    if student.teacher not in ("", teacher):
        raise UserError(
            f"{paths.student}: its teacher has the logits {student.teacher[:12]}, {paths.teacher} has {teacher[:12]};"
            " run distill again with this teacher"
        )
    transfer = sorted(set(params.prepare.transfer_classes or dataset.class_names))
    own = dict(student.params)
    classes = own.pop("prepare.transfer_classes", None)
    if classes != transfer:
        raise UserError(
            f"prepare.transfer_classes: got {', '.join(transfer)}, but {paths.student} was trained on {classes}; set"
            " them to these, or run distill again"
        )
    for key, value in own.items():
        if baseline.params.get(key) != value:
            raise UserError(
                f"{paths.student} has {key}: {value}, {paths.baseline} {baseline.params.get(key)}: train both again"
                " with one value"
            )


def advice_settings(params: Params, dataset: Dataset) -> dict:
    """Return the parameters that `kdlib.evaluation.collapse.advice` looks at, {key of params.yaml: value}."""
    scaling = params.prepare.scaling
    scaling = "standard" if scaling == "auto" and not dataset.image_shape else scaling
    return {
        "prepare.scaling": scaling,
        "student.warmup": params.student.warmup,
    }


@locks_outputs("predictions", "metrics")
def main(params: Params, paths: Paths = PATHS, context: Context = Context()) -> dict:
    """Run the stage and return the report, which it also writes.

    Raises
    ------
    UserError
        If models or exported files do not belong together.
    """
    dataset = Dataset.load(paths.dataset)
    models = {name: load_model(getattr(paths, name), dataset, name == "teacher") for name in NETWORKS}
    refuse_mixed(models, params, paths, dataset)
    student = models["student"].network
    stack_path = f"{paths.deployed}/stack.npz"
    quantized, temperatures = load_stack(stack_path, student) if paths.deployed else ([], None)
    calibrated = None if temperatures is None else with_temperatures(student, temperatures)
    transfer = params.prepare.transfer_classes
    heldout = predict_heldout(dataset, models, transfer, quantized, calibrated)
    linear_network = train_linear_control(dataset, heldout, context)
    result = build_report(
        dataset, models, heldout, linear_network, transfer, quantized, advice_settings(params, dataset),
        params.evaluate.verdict, temperatures,
    )  # fmt: skip
    if quantized:
        for name, file in (("student", "float.npz"), ("quantized", "int.npz")):
            path = f"{paths.deployed}/{file}"
            if load(path).card != ModelCard.of(dataset, models["student"]):
                raise UserError(f"{path}: not of this student; run the stage deploy again")
            result[name]["bytes_on_disk"] = os.path.getsize(path)
    losses = csv_tables.curve_rows(models, "validation_loss")
    accuracies = csv_tables.curve_rows(models, "validation_accuracy")
    reliability = csv_tables.reliability_rows(heldout)
    summary = csv_tables.summary_rows(result)
    sweep = csv_tables.sweep_rows(models)
    tables = {
        "validation_loss": losses, "validation_accuracy": accuracies, "reliability": reliability,
        "confusion": csv_tables.confusion_rows(dataset, heldout), "summary": summary, "sweep": sweep,
    }  # fmt: skip
    counts = metrics.confusion(*heldout.pooled("student"))[0].tolist()
    charts = [("validation loss", "nats", losses), ("validation accuracy", "fraction", accuracies)]
    drawn = {
        "learning_curves": plots.curves(charts),
        "reliability": plots.reliability(reliability),
        "summary": plots.summary(summary, gain_line(result, "test", params.evaluate.verdict)),
        "confusion": plots.confusion(counts, dataset.class_names),
        "sweep": plots.sweep(sweep),
    }
    predictions = {
        f"{name}_{subset}_{split}": LazyAstype(logits, np.float32)
        for name, subsets in heldout.logits.items()
        for subset, of_splits in subsets.items()
        for split, logits in enumerate(of_splits)
    }
    printed = format_report(rounded(result))  # the numbers as details.json has them
    # Everything is computed before anything is written, so that an error leaves the old files as they are.
    for name, own in tables.items():
        write_csv(f"{paths.metrics}/{name}.csv", own)
    for name, text in drawn.items():
        write_text(f"{paths.metrics}/{name}.svg", text)
    write_npz(paths.predictions, predictions)
    write_json(f"{paths.metrics}/details.json", result)
    write_json(f"{paths.metrics}/metrics.json", headline(result))
    for name, found in result.get("collapsed", {}).items():
        log.warning("the %s %s; %s", name, found["reason"], found["advice"])
    print(printed)
    return result


if __name__ == "__main__":
    run_stage(main, stage_parser(__doc__, "dataset", *NETWORKS, "deployed", "predictions", "metrics").parse_args())
