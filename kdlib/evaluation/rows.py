"""What is plotted, as rows for CSV: learning curves, reliability, confusion, accuracy and size."""

import numpy as np

from kdlib.evaluation import metrics
from kdlib.evaluation.intervals import wilson_interval
from kdlib.evaluation.report import NETWORKS
from kdlib.evaluation.statistics import mean_and_std
from kdlib.numerics import exact


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


def reliability_rows(dataset, logits):
    """Accuracy against mean confidence by bin, on the test split, all replicas together, without empty bins.

    low, high: of the accuracy, Wilson's 95 % interval. Replicas answer the same examples: they add nothing to its n.
    """
    rows = []
    for network in NETWORKS:
        replicas = len(logits[network]["test"])
        sums = metrics.reliability(logits[network]["test"], dataset.y["test"])
        count, confidence, correct = (exact.sum(values.T, axis=1) / replicas for values in sums)
        for n, conf, corr in zip(count, confidence, correct, strict=True):
            if n:
                low, high = wilson_interval(float(corr), float(n))
                measures = {"confidence": float(conf / n), "accuracy": float(corr / n), "low": low, "high": high}
                rows.append({"network": network, **measures, "examples": float(n)})
    return rows


def confusion_rows(dataset, logits):
    """One row for each test example and replica of the student: label and prediction, as class names."""
    names = dataset.class_names
    return [
        {"label": names[label], "predicted": names[predicted]}
        for replica in metrics.predictions(logits["student"]["test"])
        for label, predicted in zip(dataset.y["test"], replica, strict=True)
    ]


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
