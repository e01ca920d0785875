"""What is plotted, as rows for CSV: learning curves, reliability, confusion, accuracy and size."""

import numpy as np

from kdlib.evaluation import metrics
from kdlib.evaluation.heldout import NETWORKS
from kdlib.evaluation.intervals import wilson_interval
from kdlib.evaluation.statistics import mean_and_std, over_splits
from kdlib.numerics import exact

SWEPT = ("temperature", "alpha", "learning_rate")


def spread(curve):
    """(mean, std) over the replicas that still run, each (epochs,). curve: (R, epochs), NaN where one has stopped."""
    columns = [column[np.isfinite(column)] for column in curve.T]
    pairs = [mean_and_std(column) for column in columns if column.size]
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


def reliability_rows(answers):
    """Accuracy against mean confidence by bin, over all splits' test rows, without empty bins.

    low, high: of the accuracy, Wilson's 95 % interval. Replicas answer the same examples: they add nothing to its n.
    """
    rows = []
    for network in NETWORKS:
        found = [
            tuple(exact.mean(v.T, axis=1) for v in s) for s in answers.measured(network, "test", metrics.reliability)
        ]
        count, confidence, correct = (exact.sum(np.stack(values), axis=0) for values in zip(*found, strict=True))
        for n, conf, corr in zip(count, confidence, correct, strict=True):
            if n:
                low, high = wilson_interval(float(corr), float(n))
                measures = {"confidence": float(conf / n), "accuracy": float(corr / n), "low": low, "high": high}
                rows.append({"network": network, **measures, "examples": float(n)})
    return rows


def confusion_rows(dataset, answers):
    """A row for each example that a split tests on: label, and prediction of a student, as class names; an iterator."""
    names, (logits, labels) = dataset.class_names, answers.pooled("student")
    pairs = zip(labels, metrics.predictions(logits)[0], strict=True)
    return ({"label": names[label], "predicted": names[predicted]} for label, predicted in pairs)


def summary_rows(result):
    """One row a network: test accuracy with Wilson's 95 % interval, parameters and bytes, empty if it has no weights.

    result: of `report.report`.
    """
    rows, n = [], result["examples"]["test"]
    for network in NETWORKS:
        accuracy = result[network]["test"]["accuracy"]["mean"]
        low, high = wilson_interval(accuracy * n, n)
        row = {"network": network, "accuracy": accuracy, "low": low, "high": high}
        rows.append(row | {key: result[network].get(key, "") for key in ("parameters", "bytes")})
    return rows


def sweep_rows(models):
    """One row a setting of baseline and student: validation loss and accuracy, and how many splits chose it.

    Means, and the std over splits, or over the replicas of one; empty of a setting that has diverged. The deployed
    setting has the least mean loss.
    """
    rows = []
    for network in NETWORKS[1:]:
        sweep = models[network].sweep
        chosen, deployed, diverged = sweep.chosen(), sweep.deployed(), sweep.diverged()
        for setting in range(sweep.loss.shape[1]):
            row = {"network": network}
            row |= {key: sweep.settings[key][setting] if key in sweep.settings else "" for key in SWEPT}
            loss, accuracy = sweep.loss[:, setting], sweep.accuracy[:, setting]
            spread = {} if diverged[setting] else over_splits(list(loss))
            row |= {"validation_loss": spread.get("mean", ""), "std": spread.get("std", "")}
            row["validation_accuracy"] = "" if diverged[setting] else over_splits(list(accuracy))["mean"]
            row |= {"chosen": int(np.count_nonzero(chosen == setting)), "deployed": int(setting == deployed)}
            rows.append(row | {"diverged": int(diverged[setting])})
    return rows
