"""What is plotted, as rows for CSV: learning curves, reliability, confusion, accuracy by size."""

import numpy as np

from kdlib.evaluation import metrics
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
