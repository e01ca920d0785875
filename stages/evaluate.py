"""Stage evaluate: measure teacher, baseline and student -> metrics/metrics.json, CSV, SVG; data/predictions.npz"""

import logging

from kdlib.artifacts import write_csv, write_json, write_npz, write_text
from kdlib.data.dataset import Dataset
from kdlib.errors import UserError
from kdlib.evaluation import answers, metrics, pictures, report, rows
from kdlib.evaluation.table import gain_line, table
from kdlib.learning.models import load_model
from stages import PATHS, parser, run

log = logging.getLogger("evaluate")


def refuse_mixed(models, params, paths, dataset):
    """Raises UserError for a student of another teacher or transfer set, or a baseline that is no control of it."""
    for name in ("baseline", "student"):
        if not models[name].network or not models[name].recipe:
            raise UserError(f"{getattr(paths, name)}: lacks weights_0 or recipe; train it again")
    student, baseline = models["student"], models["baseline"]
    teacher = models["teacher"].digest()
    if student.teacher not in ("", teacher):
        raise UserError(
            f"{paths.student}: its teacher has the logits {student.teacher[:12]}, {paths.teacher} has {teacher[:12]};"
            " run distill again with this teacher"
        )
    transfer, own = sorted(set(params.prepare.transfer_classes or dataset.class_names)), dict(student.recipe)
    classes = own.pop("prepare.transfer_classes", None)
    if classes != transfer:
        raise UserError(
            f"prepare.transfer_classes: got {', '.join(transfer)}, but {paths.student} was trained on {classes}; set"
            " them to these, or run distill again"
        )
    for key, value in own.items():
        if baseline.recipe.get(key) != value:
            raise UserError(
                f"{paths.student} has {key}: {value}, {paths.baseline} {baseline.recipe.get(key)}: train both again"
                " with one value"
            )


def main(params, paths=PATHS):
    dataset = Dataset.load(paths.dataset)
    models = {name: load_model(getattr(paths, name), dataset) for name in answers.NETWORKS}
    if models["teacher"].logits is None:
        raise UserError(f"{paths.teacher}: lacks logits; a teacher needs its logits on every example")
    refuse_mixed(models, params, paths, dataset)
    said = answers.answers(dataset, models, params.prepare.transfer_classes)
    result = report.report(dataset, models, said, params.prepare.transfer_classes)
    losses, accuracies = (rows.curve_rows(models, name) for name in ("validation_loss", "validation_accuracy"))
    reliability, summary, sweep = rows.reliability_rows(said), rows.summary_rows(result), rows.sweep_rows(models)
    write_csv(f"{paths.metrics}/validation_loss.csv", losses)
    write_csv(f"{paths.metrics}/validation_accuracy.csv", accuracies)
    write_csv(f"{paths.metrics}/reliability.csv", reliability)
    write_csv(f"{paths.metrics}/confusion.csv", rows.confusion_rows(dataset, said))
    write_csv(f"{paths.metrics}/summary.csv", summary)
    write_csv(f"{paths.metrics}/sweep.csv", sweep)
    charts = [("validation loss", "nats", losses), ("validation accuracy", "fraction", accuracies)]
    write_text(f"{paths.metrics}/learning_curves.svg", pictures.curves(charts))
    write_text(f"{paths.metrics}/reliability.svg", pictures.reliability(reliability))
    write_text(f"{paths.metrics}/summary.svg", pictures.summary(summary, gain_line(result, "test", "accuracy")))
    counts = metrics.confusion(*said.pooled("student"))[0].tolist()
    write_text(f"{paths.metrics}/confusion.svg", pictures.confusion(counts, dataset.class_names))
    write_text(f"{paths.metrics}/sweep.svg", pictures.sweep(sweep))
    stacks = {f"{name}_{part}": of for name, parts in said.logits.items() for part, of in parts.items()}
    named = {f"{key}_{split}": stack for key, of in stacks.items() for split, stack in enumerate(of)}
    write_npz(paths.predictions, {name: array.astype("float32") for name, array in named.items()})
    write_json(f"{paths.metrics}/details.json", result)
    write_json(f"{paths.metrics}/metrics.json", report.headline(result))
    for name, found in result.get("collapsed", {}).items():
        log.warning("the %s %s; %s", name, found["reason"], found["advice"])
    print(table(result))
    return result


if __name__ == "__main__":
    run(main, parser(__doc__, "dataset", *answers.NETWORKS, "predictions", "metrics").parse_args())
