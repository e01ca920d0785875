"""The report: measures of teacher, baseline and student, for details.json; and its headline, for metrics.json."""

from collections.abc import Mapping, Sequence

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.evaluation import collapse, metrics
from kdlib.evaluation.heldout import EVALUATED, NETWORKS, HeldoutLogits
from kdlib.evaluation.intervals import mcnemar_p_value, wilson_interval
from kdlib.evaluation.statistics import corrected_resampled_gain, mean_and_std_over_splits, paired_gain
from kdlib.learning.model_file import Model
from kdlib.learning.network import Network, multiply_adds, parameter_count
from kdlib.numerics import exact

FLOAT32_BYTES = 4


def network_cost(sizes: Sequence[int], members: int = 1) -> dict[str, int]:
    """Count parameters, bytes of the float32 weights, and multiply-adds for one example.

    Parameters
    ----------
    sizes : sequence of int
        Widths of the layers.
    members : int, optional
        Number of such networks that predict together.
    """
    parameters = members * parameter_count(sizes)
    products = members * multiply_adds(sizes)
    return {"parameters": parameters, "bytes": FLOAT32_BYTES * parameters, "multiply_adds": products}


def measure_absent(
    heldout: HeldoutLogits, network: str, absent: np.ndarray
) -> tuple[dict[str, dict[str, list[np.ndarray]]], list[np.ndarray]]:
    """Measure the accuracy on absent classes, as it is and with these classes' biases shifted.

    The shift is the best one on each split's validation rows, see `kdlib.evaluation.metrics.bias_shift`.

    Parameters
    ----------
    heldout : HeldoutLogits
    network : str
    absent : np.ndarray, (classes,) bool
        Classes that the transfer set lacks.

    Returns
    -------
    measures : dict
        {subset: {name: [S arrays (R,)]}}.
    shifts : list of S arrays, (R,)
        In nats.
    """
    shifts = heldout.measure(network, "validation", lambda *pair: metrics.bias_shift(*pair, absent))
    result = {subset: {} for subset in EVALUATED}
    for subset in EVALUATED:
        pairs = list(zip(heldout.logits[network][subset], heldout.labels[subset], strict=True))
        moved = [logits + shift[:, None, None] * absent for (logits, _), shift in zip(pairs, shifts, strict=True)]
        found = {"accuracy_shifted": [metrics.accuracy(m, own) for m, (_, own) in zip(moved, pairs, strict=True)]}
        among = [np.flatnonzero(absent[own]) for _, own in pairs]
        if all(rows.size for rows in among):
            for name, stacks in (("accuracy_absent", [p[0] for p in pairs]), ("accuracy_absent_shifted", moved)):
                found[name] = [
                    metrics.accuracy(stack[:, rows], own[rows])
                    for stack, (_, own), rows in zip(stacks, pairs, among, strict=True)
                ]
        result[subset] = found
    return result, shifts


def gain(
    heldout: HeldoutLogits, subset: str, key: str, train_examples: int, pair: Sequence[str] = ("student", "baseline")
) -> dict[str, float | str]:
    """Compare the first network of a pair with the second: over splits if there are several, else over replicas.

    Parameters
    ----------
    heldout : HeldoutLogits
    subset : str
        `validation` or `test`.
    key : str
        A key of `kdlib.evaluation.metrics.METRICS`.
    train_examples : int
        Number of training examples of one split.
    pair : sequence of two str, optional

    Returns
    -------
    dict
        See `kdlib.evaluation.statistics.paired_gain`.
    """
    first, second = (heldout.measure(name, subset, metrics.METRICS[key].function) for name in pair)
    if heldout.splits == 1:
        return paired_gain(first[0], second[0])
    differences = [exact.mean((one - other)[None], axis=1)[0] for one, other in zip(first, second, strict=True)]
    return corrected_resampled_gain(np.array(differences), train_examples, len(heldout.labels[subset][0]))


def pooled_measures(heldout: HeldoutLogits) -> dict:
    """Measure on the test examples of all splits, each once: accuracy with interval, calibration, McNemar's p."""
    result = {}
    right = {}
    for name in NETWORKS:
        logits, labels = heldout.pooled(name)
        right[name] = metrics.predictions(logits)[0] == labels
        correct = int(np.count_nonzero(right[name]))
        low, high = wilson_interval(correct, len(labels))
        result[name] = {"accuracy": correct / len(labels), "low": low, "high": high}
        result[name]["ece"] = float(metrics.expected_calibration_error(logits, labels)[0])
    only_student = int(np.count_nonzero(right["student"] & ~right["baseline"]))
    only_baseline = int(np.count_nonzero(right["baseline"] & ~right["student"]))
    result["mcnemar_p"] = mcnemar_p_value(only_student, only_baseline)
    return result


def measures_beside(heldout: HeldoutLogits, network: str, source: str) -> dict:
    """Measure a network that was made from the student: its metrics, and its fidelity to the teacher and to its source.

    Parameters
    ----------
    heldout : HeldoutLogits
    network : str
        `calibrated` or `quantized`.
    source : str
        The network that it was made from.
    """
    result = {}
    for subset in EVALUATED:
        values = {key: heldout.measure(network, subset, metric.function) for key, metric in metrics.METRICS.items()}
        for key, measure in metrics.FIDELITY.items():
            stacks = [heldout.logits[name][subset] for name in (network, "teacher", source)]
            values[key] = [measure(ours, teacher[0]) for ours, teacher, _ in zip(*stacks, strict=True)]
            values[f"{key}_student"] = [
                np.concatenate([measure(own[None], of) for own, of in zip(ours, student, strict=True)])
                for ours, _, student in zip(*stacks, strict=True)
            ]
        result[subset] = {key: mean_and_std_over_splits(value) for key, value in values.items()}
    return result


def quantized_measures(
    heldout: HeldoutLogits, quantized: Sequence, train_examples: int, verdict: str = "accuracy"
) -> dict:
    """Measure the quantized student; its source is the calibrated student, if there is one.

    Its gain over the student is in accuracy, and in the measure of the verdict.
    """
    source = "calibrated" if "calibrated" in heldout.logits else "student"
    result = {"bits": quantized[0].bits} | measures_beside(heldout, "quantized", source)
    pair = ("quantized", "student")
    result["gain"] = {
        subset: {key: gain(heldout, subset, key, train_examples, pair) for key in sorted({"accuracy", verdict})}
        for subset in EVALUATED
    }
    size = sum(array.nbytes for array in quantized[0].arrays().values())  # lint: integer sum
    return result | network_cost(quantized[0].sizes) | {"bytes": size}


def network_measures(heldout: HeldoutLogits, network: str, absent: np.ndarray) -> dict:
    """Measure a network on each subset, mean and std over the splits; a student also its fidelity to the teacher.

    Parameters
    ----------
    heldout : HeldoutLogits
    network : str
    absent : np.ndarray, (classes,) bool
        Classes that the transfer set lacks. If there are any, see `measure_absent` for the further measures of all
        networks but the teacher.
    """
    result = {}
    of_absent = {subset: {} for subset in EVALUATED}
    if absent.any() and network != "teacher":
        of_absent, shifts = measure_absent(heldout, network, absent)
        result["bias_shift"] = mean_and_std_over_splits(shifts)
    for subset in EVALUATED:
        values = {key: heldout.measure(network, subset, metric.function) for key, metric in metrics.METRICS.items()}
        if network != "teacher":
            values |= of_absent[subset]
            pairs = list(zip(heldout.logits[network][subset], heldout.logits["teacher"][subset], strict=True))
            values |= {k: [measure(z, v[0]) for z, v in pairs] for k, measure in metrics.FIDELITY.items()}
        result[subset] = {key: mean_and_std_over_splits(value) for key, value in values.items()}
    return result


def recalls(dataset: Dataset, heldout: HeldoutLogits) -> dict[str, dict]:
    """Measure the recall of each class on the test examples.

    Returns
    -------
    dict
        {class: {"examples": n} | {network: mean recall}}. The mean is over the replicas and the splits that test on the
        class, None if there are none; n counts each example once.
    """
    _, labels = heldout.pooled("student")
    counts = np.bincount(labels, minlength=len(dataset.class_names)).tolist()
    result = {name: {"examples": n} for name, n in zip(dataset.class_names, counts, strict=True)}
    for network in heldout.logits:
        by_split = heldout.measure(network, "test", metrics.recall_by_class)
        for k, found in enumerate(result.values()):
            found[network] = mean_and_std_over_splits([own[:, k] for own in by_split])["mean"]
    return result


def _add_verdicts(gains, collapsed):
    """Put gains into words, {measure: gain}, in place; there is no verdict if a student or baseline has collapsed."""
    for key, found in gains.items():
        good, bad = ("higher", "lower") if metrics.METRICS[key].higher_is_better else ("lower", "higher")
        found["verdict"] = {good: "better", bad: "worse"}.get(found["verdict"], found["verdict"])
        if {"baseline", "student"} & collapsed.keys():
            found["verdict"] = "no verdict, a training has collapsed"


def build_report(
    dataset: Dataset,
    models: dict[str, Model],
    heldout: HeldoutLogits,
    linear_network: Network,
    transfer_classes: Sequence[str] | None = None,
    quantized: Sequence = (),
    settings: Mapping | Sequence = (),
    verdict: str = "accuracy",
    temperatures: np.ndarray | None = None,
) -> dict:
    """Compute the content of details.json; its units are fractions, nats and bytes.

    Parameters
    ----------
    dataset : Dataset
    models : dict
        {network: Model}.
    heldout : HeldoutLogits
        The logits of these models.
    linear_network : Network
        As for `kdlib.evaluation.collapse.find_collapsed`.
    transfer_classes, quantized
        As for `kdlib.evaluation.heldout.predict_heldout`.
    settings : dict, optional
        As for `kdlib.evaluation.collapse.advice`.
    verdict : str, optional
        The key of `kdlib.evaluation.metrics.METRICS` by which the report says whether the student is better.
    temperatures : np.ndarray, (R,), optional
        By which the logits of the calibrated student's stack are divided; None: there is none.

    Raises
    ------
    ValueError
        If there is no such verdict.
    """
    if verdict not in metrics.METRICS:
        raise ValueError(f"verdict: got {verdict!r}; allowed are {', '.join(metrics.METRICS)}")
    examples = {"validation": len(heldout.labels["validation"][0]), "test": heldout.test_examples}
    trained_on = int(np.count_nonzero(dataset.y[dataset.rows("train")] >= 0))
    result = {"splits": heldout.splits, "examples": examples, "train_examples": trained_on, "verdict": verdict}
    absent = ~np.isin(dataset.class_names, transfer_classes or dataset.class_names)
    if absent.any():
        result["absent_examples"] = {
            subset: int(np.count_nonzero(absent[heldout.labels[subset][0]])) for subset in EVALUATED
        }
    for name in NETWORKS:
        result[name] = network_measures(heldout, name, absent)
        if models[name].network:
            members = models[name].network.replicas // dataset.splits if name == "teacher" else 1
            result[name] |= network_cost(models[name].network.sizes, members)
    result["teacher"] |= {k: v for k, v in models["teacher"].origin.items() if k in ("model", "one_for_all", "bytes")}
    known = [key for key in ("parameters", "bytes", "multiply_adds") if key in result["teacher"]]
    if known:
        result["compression"] = {key: result["teacher"][key] / result["student"][key] for key in known}
    if temperatures is not None:
        own_temperatures = np.split(temperatures, heldout.splits)
        result["calibrated"] = measures_beside(heldout, "calibrated", "student")
        result["calibrated"] |= {"temperature": mean_and_std_over_splits(own_temperatures)}
        result["calibrated"] |= network_cost(models["student"].network.sizes)
    if quantized:
        result["quantized"] = quantized_measures(heldout, quantized, result["train_examples"], verdict)
    collapsed = collapse.find_collapsed(dataset, models, heldout, linear_network, settings)
    if collapsed:
        result["collapsed"] = collapsed
    result["gain"] = {
        subset: {k: gain(heldout, subset, k, trained_on) for k in sorted({"accuracy", "nll", verdict})}
        for subset in EVALUATED
    }
    quantized_gains = result["quantized"]["gain"].values() if quantized else ()
    for gains in (*result["gain"].values(), *quantized_gains):
        _add_verdicts(gains, collapsed)
    return result | {"recall": recalls(dataset, heldout), "pooled": pooled_measures(heldout)}


def headline(result: dict) -> dict:
    """Select the content of metrics.json from the report: what one looks at first."""
    key = result["verdict"]
    shown = dict.fromkeys(["nll", "balanced_accuracy", "macro_f1", key], NETWORKS[1:])
    of_all = ["accuracy", "roc_auc", "average_precision"] if len(result["recall"]) == 2 else ["accuracy"]
    shown |= dict.fromkeys(of_all, (*NETWORKS, "quantized"))
    head = {
        f"{name}_{measure}": result[name]["test"][measure]["mean"]
        for measure, networks in shown.items()
        for name in networks
        if name in result
    }
    gained = result["gain"]["test"][key]
    head |= {f"{key}_gain": gained["mean"], "verdict": gained["verdict"]}
    head |= {"teacher": result["teacher"]["model"]} if "model" in result["teacher"] else {}
    if "calibrated" in result:
        head["calibrated_nll"] = result["calibrated"]["test"]["nll"]["mean"]
    ratios = result.get("compression", {})
    kept = ["parameters"] if "parameters" in ratios else ratios
    head |= {f"compression_{kind}": ratios[kind] for kind in kept}
    return {name: value for name, value in head.items() if value is not None}
