"""The measures of teacher, baseline and student: the content of details.json, and of metrics.json its head."""

import numpy as np

from kdlib.evaluation import collapse, metrics
from kdlib.evaluation.heldout import EVALUATED, NETWORKS
from kdlib.evaluation.intervals import mcnemar, wilson_interval
from kdlib.evaluation.statistics import corrected_resampled_gain, over_splits, paired_gain
from kdlib.learning.network import multiply_adds, parameter_count
from kdlib.numerics import exact

FLOAT32_BYTES = 4
BETTER = {("accuracy", "higher"): "better", ("accuracy", "lower"): "worse"}
BETTER |= {("nll", "higher"): "worse", ("nll", "lower"): "better"}


def cost(sizes, members=1):
    """Parameters, bytes of the float32 weights and multiply-adds for one example, of `members` networks together."""
    parameters = members * parameter_count(sizes)
    products = members * multiply_adds(sizes)
    return {"parameters": parameters, "bytes": FLOAT32_BYTES * parameters, "multiply_adds": products}


def measure_absent(answers, network, absent):
    """Accuracy on the absent classes, and with their biases shifted by what is best on each split's validation rows.

    absent: (classes,) bool, those that the transfer set lacks.
    Returns ({part: {name: [(R,) of each split]}}, shifts [(R,) in nats]).
    """
    shifts = answers.measured(network, "validation", lambda *pair: metrics.bias_shift(*pair, absent))
    result = {part: {} for part in EVALUATED}
    for part in EVALUATED:
        pairs = list(zip(answers.logits[network][part], answers.labels[part], strict=True))
        moved = [logits + shift[:, None, None] * absent for (logits, _), shift in zip(pairs, shifts, strict=True)]
        found = {"accuracy_shifted": [metrics.accuracy(m, own) for m, (_, own) in zip(moved, pairs, strict=True)]}
        among = [np.flatnonzero(absent[own]) for _, own in pairs]
        if all(rows.size for rows in among):
            for name, stacks in (("accuracy_absent", [p[0] for p in pairs]), ("accuracy_absent_shifted", moved)):
                found[name] = [
                    metrics.accuracy(stack[:, rows], own[rows])
                    for stack, (_, own), rows in zip(stacks, pairs, among, strict=True)
                ]
        result[part] = found
    return result, shifts


def gain(answers, part, key, train_examples, pair=("student", "baseline")):
    """Of the first of a pair over the second: over splits if there are several, over replicas of one otherwise."""
    ours, theirs = (answers.measured(name, part, metrics.MEASURES[key]) for name in pair)
    if answers.splits == 1:
        return paired_gain(ours[0], theirs[0])
    differences = [exact.mean((s - b)[None], axis=1)[0] for s, b in zip(ours, theirs, strict=True)]
    return corrected_resampled_gain(np.array(differences), train_examples, len(answers.labels[part][0]))


def pooled(answers):
    """Over the test examples of all splits, each once: accuracy with Wilson's interval, calibration, McNemar's p."""
    result, right = {}, {}
    for name in NETWORKS:
        logits, labels = answers.pooled(name)
        right[name] = metrics.predictions(logits)[0] == labels
        correct = int(np.count_nonzero(right[name]))
        low, high = wilson_interval(correct, len(labels))
        result[name] = {"accuracy": correct / len(labels), "low": low, "high": high}
        result[name]["ece"] = float(metrics.expected_calibration_error(logits, labels)[0])
    ours, theirs = right["student"], right["baseline"]
    result["mcnemar_p"] = mcnemar(int(np.count_nonzero(ours & ~theirs)), int(np.count_nonzero(theirs & ~ours)))
    return result


def of_quantized(answers, quantized, train_examples):
    """Measures of the student's networks as integers, fidelity to the teacher and to the networks that they round."""
    logits, result = answers.logits, {"bits": quantized[0].bits}
    for part in EVALUATED:
        values = {key: answers.measured("quantized", part, measure) for key, measure in metrics.MEASURES.items()}
        for key, measure in metrics.FIDELITY.items():
            stacks = [logits[name][part] for name in ("quantized", "teacher", "student")]
            values[key] = [measure(ours, teacher[0]) for ours, teacher, _ in zip(*stacks, strict=True)]
            values[f"{key}_student"] = [
                np.concatenate([measure(own[None], of) for own, of in zip(ours, student, strict=True)])
                for ours, _, student in zip(*stacks, strict=True)
            ]
        result[part] = {key: over_splits(value) for key, value in values.items()}
    pair = ("quantized", "student")
    result["gain"] = {p: {"accuracy": gain(answers, p, "accuracy", train_examples, pair)} for p in EVALUATED}
    size = sum(array.nbytes for array in quantized[0].arrays().values())  # integers
    return result | cost(quantized[0].sizes) | {"bytes": size}


def report(dataset, models, answers, transfer_classes=None, quantized=(), settings=()):
    """The content of details.json. models: {network: Model}. quantized: as for `answers`. settings: as for
    `kdlib.evaluation.collapse.advice`.

    Its units: fractions, nats, bytes.
    """
    examples = {"validation": len(answers.labels["validation"][0]), "test": answers.test_examples}
    trained_on = int(np.count_nonzero(dataset.y[dataset.rows("train")] >= 0))
    result = {"splits": answers.splits, "examples": examples, "train_examples": trained_on}
    absent = ~np.isin(dataset.class_names, transfer_classes or dataset.class_names)
    if absent.any():
        result["absent_examples"] = {p: int(np.count_nonzero(absent[answers.labels[p][0]])) for p in EVALUATED}
    for name in NETWORKS:
        result[name] = {}
        partial = absent.any() and name != "teacher"
        if partial:
            of_absent, shifts = measure_absent(answers, name, absent)
            result[name]["bias_shift"] = over_splits(shifts)
        for part in EVALUATED:
            values = {key: answers.measured(name, part, measure) for key, measure in metrics.MEASURES.items()}
            if name != "teacher":
                values |= of_absent[part] if partial else {}
                pairs = list(zip(answers.logits[name][part], answers.logits["teacher"][part], strict=True))
                values |= {k: [measure(z, v[0]) for z, v in pairs] for k, measure in metrics.FIDELITY.items()}
            result[name][part] = {key: over_splits(value) for key, value in values.items()}
        if models[name].network:
            members = models[name].network.replicas // dataset.splits if name == "teacher" else 1
            result[name] |= cost(models[name].network.sizes, members)
    result["teacher"] |= {k: v for k, v in models["teacher"].origin.items() if k in ("model", "one_for_all", "bytes")}
    known = [key for key in ("parameters", "bytes", "multiply_adds") if key in result["teacher"]]
    if known:
        result["compression"] = {key: result["teacher"][key] / result["student"][key] for key in known}
    if quantized:
        result["quantized"] = of_quantized(answers, quantized, result["train_examples"])
    collapsed = collapse.examine(dataset, models, answers, settings)
    if collapsed:
        result["collapsed"] = collapsed
    result["gain"] = {
        p: {k: gain(answers, p, k, result["train_examples"]) for k in ("accuracy", "nll")} for p in EVALUATED
    }
    of_rounding = result["quantized"]["gain"].values() if quantized else ()
    for gains in (*result["gain"].values(), *of_rounding):
        for key, found in gains.items():
            found["verdict"] = BETTER.get((key, found["verdict"]), found["verdict"])
            if {"baseline", "student"} & collapsed.keys():
                found["verdict"] = "no verdict, a training has collapsed"
    return result | {"pooled": pooled(answers)}


def headline(result):
    """The content of metrics.json, of `report`'s: what one looks at first."""
    test, gained = {name: result[name]["test"] for name in NETWORKS}, result["gain"]["test"]["accuracy"]
    head = {f"{name}_accuracy": test[name]["accuracy"]["mean"] for name in NETWORKS}
    head |= {f"{name}_nll": test[name]["nll"]["mean"] for name in NETWORKS[1:]}
    head |= {"gain": gained["mean"], "verdict": gained["verdict"]}
    head |= {"teacher": result["teacher"]["model"]} if "model" in result["teacher"] else {}
    if "quantized" in result:
        head["quantized_accuracy"] = result["quantized"]["test"]["accuracy"]["mean"]
    ratios = result.get("compression", {})
    if "parameters" in ratios:
        return head | {"compression": ratios["parameters"]}
    return head | {f"compression_{key}": value for key, value in ratios.items()}
