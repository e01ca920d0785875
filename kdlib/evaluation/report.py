"""The measures of teacher, baseline and student, the content of metrics.json."""

import numpy as np

from kdlib.evaluation import health, metrics, statistics
from kdlib.learning.network import multiply_adds, parameter_count

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
    """The content of metrics.json. models: {network: Model}. Its units: fractions, nats, bytes.

    Where a training has collapsed (`kdlib.evaluation.health`) it says which and why, and has no verdict.
    """
    result = {"examples": {split: len(dataset.y[split]) for split in EVALUATED}}
    absent = ~np.isin(dataset.class_names, transfer_classes or dataset.class_names)
    if absent.any():
        result["absent_examples"] = {s: int(np.count_nonzero(absent[dataset.y[s]])) for s in EVALUATED}
    for name in NETWORKS:
        result[name] = {}
        partial = absent.any() and name != "teacher"
        if partial:
            of_absent, shift = measure_absent(dataset, logits[name], absent)
            result[name]["bias_shift"] = statistics.mean_and_std(shift)
        for split in EVALUATED:
            values = {key: measure(logits[name][split], dataset.y[split]) for key, measure in metrics.MEASURES.items()}
            if name != "teacher":
                values |= of_absent[split] if partial else {}
                teacher = logits["teacher"][split][0]
                values |= {key: measure(logits[name][split], teacher) for key, measure in metrics.FIDELITY.items()}
            result[name][split] = {key: statistics.mean_and_std(value) for key, value in values.items()}
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
            key: statistics.paired_gain(
                *(metrics.MEASURES[key](logits[n][split], dataset.y[split]) for n in ("student", "baseline"))
            )
            for key in ("accuracy", "nll")
        }
        for split in EVALUATED
    }
    collapsed = health.examine(dataset, models, logits, transfer_classes)
    if collapsed:
        result["collapsed"] = collapsed
    if {"baseline", "student"} & collapsed.keys():
        for gains in result["gain"].values():
            for gain in gains.values():
                gain["verdict"] = "no verdict, a training has collapsed"
    return result
