"""The measures of teacher, baseline and student: as a nested dict, as a table, and as rows to plot."""

import math

import numpy as np

from kdlib import exact, metrics
from kdlib.network import multiply_adds, parameter_count

NETWORKS = ("teacher", "baseline", "student")
EVALUATED = ("validation", "test")
FLOAT32_BYTES = 4


def cost(network, members):
    """Parameters, bytes of the float32 weights and multiply-adds for one example, of `members` networks together."""
    parameters = members * parameter_count(network.sizes)
    products = members * multiply_adds(network.sizes)
    return {"parameters": parameters, "bytes": FLOAT32_BYTES * parameters, "multiply_adds": products}


def logits_of(dataset, models):
    """{network: {split: (R, n, classes)}} for validation and test; the teacher's are those of its artifact."""
    of_teacher = {split: models["teacher"].logits[split][None] for split in EVALUATED}
    inputs = {split: dataset.inputs(split) for split in EVALUATED}
    students = {name: {s: models[name].network.logits(inputs[s]) for s in EVALUATED} for name in NETWORKS[1:]}
    return {"teacher": of_teacher} | students


def measure_absent(dataset, logits, absent):
    """Accuracy on the absent classes, and with their biases shifted by what is best on the validation split.

    logits: {split: (R, n, classes)}. absent: (classes,) bool, those that the transfer set lacks.
    Returns ({split: {name: (R,)}}, shift (R,) in nats).
    """
    shift = metrics.bias_shift(logits["validation"], dataset.y["validation"], absent)
    result = {}
    for split in EVALUATED:
        labels, shifted = dataset.y[split], logits[split] + shift[:, None, None] * absent
        result[split] = {"accuracy_shifted": metrics.accuracy(shifted, labels)}
        of_absent = np.flatnonzero(absent[labels])
        if of_absent.size:
            result[split] |= {
                "accuracy_absent": metrics.accuracy(logits[split][:, of_absent], labels[of_absent]),
                "accuracy_absent_shifted": metrics.accuracy(shifted[:, of_absent], labels[of_absent]),
            }
    return result, shift


def report(dataset, models, logits, transfer_classes=None):
    """The content of metrics.json. models: {network: Model}. Its units: fractions, nats, bytes."""
    result = {"examples": {split: len(dataset.y[split]) for split in EVALUATED}}
    absent = ~np.isin(dataset.class_names, transfer_classes or dataset.class_names)
    if absent.any():
        result["absent_examples"] = {s: int(np.count_nonzero(absent[dataset.y[s]])) for s in EVALUATED}
    for name in NETWORKS:
        result[name] = {}
        partial = absent.any() and name != "teacher"
        if partial:
            of_absent, shift = measure_absent(dataset, logits[name], absent)
            result[name]["bias_shift"] = metrics.mean_and_std(shift)
        for split in EVALUATED:
            values = {key: measure(logits[name][split], dataset.y[split]) for key, measure in metrics.MEASURES.items()}
            if name != "teacher":
                values |= of_absent[split] if partial else {}
                teacher = logits["teacher"][split][0]
                values |= {key: measure(logits[name][split], teacher) for key, measure in metrics.FIDELITY.items()}
            result[name][split] = {key: metrics.mean_and_std(value) for key, value in values.items()}
        if models[name].network:
            members = models[name].network.replicas if name == "teacher" else 1
            result[name] |= cost(models[name].network, members)
    if models["teacher"].network:
        ratios = {
            key: result["teacher"][key] / result["student"][key] for key in ("parameters", "bytes", "multiply_adds")
        }
        result |= {"compression": ratios, "compression_ratio": ratios["parameters"]}
    result["gain"] = {
        split: {
            key: metrics.paired_gain(
                *(metrics.MEASURES[key](logits[n][split], dataset.y[split]) for n in ("student", "baseline"))
            )
            for key in ("accuracy", "nll")
        }
        for split in EVALUATED
    }
    return result


def sampling_error(accuracy, n):
    """Standard error of an accuracy that was measured on n independent examples, sqrt(p (1 - p) / n)."""
    return math.sqrt(accuracy * (1 - accuracy) / n)


def _cell(value, factor=1.0, digits=2):
    spread = f" ± {factor * value['std']:.{digits}f}" if "std" in value else ""
    return f"{factor * value['mean']:.{digits}f}{spread}"


VERDICTS = {
    ("accuracy", "higher"): "the student is better",
    ("accuracy", "lower"): "the student is worse",
    ("nll", "higher"): "the student is worse",
    ("nll", "lower"): "the student is better",
}


def table(result):
    """The result in Markdown, which reads as well on a terminal."""
    head = ("", *NETWORKS)
    rows = []
    for split in EVALUATED:
        for label, key, factor, digits in (
            ("accuracy %", "accuracy", 100, 2),
            ("accuracy on absent classes %", "accuracy_absent", 100, 2),
            ("accuracy, biases shifted %", "accuracy_shifted", 100, 2),
            ("… on absent classes %", "accuracy_absent_shifted", 100, 2),
            ("NLL, nats", "nll", 1, 4),
            ("calibration error %", "ece", 100, 2),
            ("Brier score", "brier", 1, 4),
            ("agrees with teacher %", "agreement", 100, 2),
            ("KL from teacher, nats", "kl", 1, 4),
        ):
            cells = [result[n][split].get(key) for n in NETWORKS]
            if any(cells):
                rows.append((f"{split} {label}", *(_cell(c, factor, digits) if c else "" for c in cells)))
    for label, key in (("parameters", "parameters"), ("bytes", "bytes"), ("multiply-adds", "multiply_adds")):
        rows.append((label, *(f"{result[n][key]:,}" if key in result[n] else "" for n in NETWORKS)))
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [
        "| "
        + " | ".join([row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)])
        + " |"
        for row in (head, rule, *rows)
    ]
    lines.append("")
    for split in EVALUATED:
        for key, name, factor, unit, digits in (
            ("accuracy", "accuracy", 100, " points", 2),
            ("nll", "NLL", 1, " nats", 4),
        ):
            gain = result["gain"][split][key]
            verdict = VERDICTS.get((key, gain["verdict"]), gain["verdict"])
            error = f" ± {factor * gain['standard_error']:.{digits}f}" if "standard_error" in gain else ""
            mean = round(factor * gain["mean"], digits) + 0.0
            lines.append(f"{split} {name}, student - baseline: {mean:+.{digits}f}{error}{unit}: {verdict}")
    if "compression" in result:
        ratios = result["compression"]
        lines.append(
            f"compression: {ratios['parameters']:.1f} x fewer parameters,"
            f" {ratios['multiply_adds']:.1f} x fewer multiply-adds"
        )
    student = result["student"]["test"]["accuracy"]["mean"]
    error = 100 * sampling_error(student, result["examples"]["test"])
    lines.append("± in the table is the std, below it the standard error, over replicas on one split;")
    lines.append(f"{result['examples']['test']} test examples alone leave a standard error of {error:.2f} points")
    return "\n".join(lines)


def spread(curve):
    """(mean, std) over the replicas that still run, each (epochs,). curve: (R, epochs), NaN where one has stopped."""
    columns = [column[np.isfinite(column)] for column in curve.T]
    pairs = [metrics.mean_and_std(column) for column in columns if column.size]
    return np.array([p["mean"] for p in pairs]), np.array([p.get("std", 0.0) for p in pairs])


def curve_rows(models, name):
    """One row an epoch: epoch, and mean and std of each network's curve, empty after its end."""
    spreads = {network: spread(models[network].curve[name]) for network in NETWORKS if name in models[network].curve}
    rows = []
    for epoch in range(max(len(mean) for mean, _ in spreads.values())):
        row = {"epoch": epoch + 1}
        for network, (mean, std) in spreads.items():
            inside = epoch < len(mean)
            row |= {
                network: float(mean[epoch]) if inside else "",
                f"{network}_std": float(std[epoch]) if inside else "",
            }
        rows.append(row)
    return rows


def reliability_rows(dataset, logits):
    """Accuracy against mean confidence by bin, on the test split, all replicas together, without empty bins."""
    rows = []
    for network in NETWORKS:
        sums = metrics.reliability(logits[network]["test"], dataset.y["test"])
        count, confidence, correct = (exact.sum(values.T, axis=1) for values in sums)
        for n, conf, corr in zip(count, confidence, correct, strict=True):
            if n:
                rows.append(
                    {"network": network, "confidence": float(conf / n), "accuracy": float(corr / n), "examples": int(n)}
                )
    return rows


def confusion_rows(dataset, logits):
    """One row for each test example and replica of the student: label and prediction, as class names."""
    names = dataset.class_names
    return [
        {"label": names[label], "predicted": names[predicted]}
        for replica in metrics.predictions(logits["student"]["test"])
        for label, predicted in zip(dataset.y["test"], replica, strict=True)
    ]


def size_rows(result):
    """One row a network: parameters, mean and std of test accuracy."""
    rows = []
    for network in NETWORKS:
        if "parameters" in result[network]:
            value = result[network]["test"]["accuracy"]
            rows.append(
                {
                    "network": network,
                    "parameters": result[network]["parameters"],
                    "accuracy": value["mean"],
                    "std": value.get("std", 0.0),
                }
            )
    return rows
