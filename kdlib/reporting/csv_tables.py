"""Rows of the CSV files that are plotted: learning curves, reliability, confusion, accuracy and size, the sweep."""

from collections.abc import Iterator

import numpy as np

from kdlib.data.dataset import Dataset
from kdlib.evaluation import metrics
from kdlib.evaluation.heldout import NETWORKS, HeldoutLogits
from kdlib.evaluation.intervals import wilson_interval
from kdlib.evaluation.statistics import mean_and_std, mean_and_std_over_splits
from kdlib.learning.model_file import Model
from kdlib.learning.objectives import SETTING_CONSTRAINTS
from kdlib.numerics import exact

SETTING_COLUMNS = (*SETTING_CONSTRAINTS, "learning_rate")  # columns of a setting


def mean_and_std_by_epoch(curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation of each epoch, over the replicas that are still trained.

    Parameters
    ----------
    curve : np.ndarray, (R, epochs)
        NaN where a replica has stopped.

    Returns
    -------
    mean, std : np.ndarray, (epochs,)
        Up to the last epoch that a replica was trained for.
    """
    columns = [column[np.isfinite(column)] for column in curve.T]
    pairs = [mean_and_std(column) for column in columns if column.size]
    return np.array([p["mean"] for p in pairs]), np.array([p.get("std", 0.0) for p in pairs])


def curve_rows(models: dict[str, Model], name: str) -> list[dict]:
    """Return one row an epoch: its number, and mean and std of each network's curve, empty after the curve's end.

    Parameters
    ----------
    models : dict
        {network: Model}.
    name : str
        Name of the curve, such as `validation_loss`.
    """
    by_network = {
        network: mean_and_std_by_epoch(models[network].curve[name])
        for network in NETWORKS
        if name in models[network].curve
    }
    rows = []
    for epoch in range(max(len(mean) for mean, _ in by_network.values())):
        row = {"epoch": epoch + 1}
        for network, (mean, std) in by_network.items():
            inside = epoch < len(mean)
            row |= {
                network: float(mean[epoch]) if inside else "",
                f"{network}_std": float(std[epoch]) if inside else "",
            }
        rows.append(row)
    return rows


def reliability_rows(heldout: HeldoutLogits) -> list[dict]:
    """Return accuracy against mean confidence by bin, over the test rows of all splits, without empty bins.

    `low` and `high` are Wilson's 95 % interval of the accuracy. Replicas predict the same examples: they are averaged
    and add nothing to its n.
    """
    rows = []
    for network in NETWORKS:
        by_split = [
            tuple(exact.mean(sums.T, axis=1) for sums in of_split)
            for of_split in heldout.measure(network, "test", metrics.reliability)
        ]
        counts, confidences, corrects = (exact.sum(np.stack(sums), axis=0) for sums in zip(*by_split, strict=True))
        for n, confidence, correct in zip(counts, confidences, corrects, strict=True):
            if n:
                low, high = wilson_interval(float(correct), float(n))
                measures = {"confidence": float(confidence / n), "accuracy": float(correct / n)}
                rows.append({"network": network, **measures, "low": low, "high": high, "examples": float(n)})
    return rows


def confusion_rows(dataset: Dataset, heldout: HeldoutLogits) -> Iterator[dict]:
    """Yield a row for each pooled test example: label, and prediction of a student, as class names."""
    names = dataset.class_names
    logits, labels = heldout.pooled("student")
    pairs = zip(labels, metrics.predictions(logits)[0], strict=True)
    return ({"label": names[label], "predicted": names[predicted]} for label, predicted in pairs)


def summary_rows(result: dict) -> list[dict]:
    """Return one row a network: test accuracy with Wilson's 95 % interval, parameters, bytes.

    Parameters and bytes are empty for a network without weights.

    Parameters
    ----------
    result : dict
        The report of `kdlib.reporting.report.build_report`.
    """
    rows = []
    n = result["examples"]["test"]
    for network in NETWORKS:
        accuracy = result[network]["test"]["accuracy"]["mean"]
        low, high = wilson_interval(accuracy * n, n)
        row = {"network": network, "accuracy": accuracy, "low": low, "high": high}
        rows.append(row | {key: result[network].get(key, "") for key in ("parameters", "bytes")})
    return rows


def sweep_rows(models: dict[str, Model]) -> list[dict]:
    """Return one row a setting of baseline and student: validation loss and accuracy, and how many splits chose it.

    Loss and accuracy are means. `std` is over splits, or over the replicas of a single split. All three are empty for a
    setting that has diverged. The deployed setting is the one with the least mean loss.
    """
    rows = []
    for network in NETWORKS[1:]:
        sweep = models[network].sweep
        chosen = sweep.chosen()
        deployed = sweep.deploy_setting()
        diverged = sweep.diverged()
        for setting in range(sweep.loss.shape[1]):
            row = {"network": network}
            row |= {key: sweep.settings[key][setting] if key in sweep.settings else "" for key in SETTING_COLUMNS}
            loss = sweep.loss[:, setting]
            accuracy = sweep.accuracy[:, setting]
            over = {} if diverged[setting] else mean_and_std_over_splits(list(loss))
            row |= {"validation_loss": over.get("mean", ""), "std": over.get("std", "")}
            row["validation_accuracy"] = "" if diverged[setting] else mean_and_std_over_splits(list(accuracy))["mean"]
            row |= {"chosen": int(np.count_nonzero(chosen == setting)), "deployed": int(setting == deployed)}
            rows.append(row | {"diverged": int(diverged[setting])})
    return rows
