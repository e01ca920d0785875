"""Stage table: errors of all rows, from the metrics of the stage evaluate -> metrics.json, temperature.svg"""

import json
from pathlib import Path

import yaml

from kdlib.artifacts import write_json, write_text
from kdlib.pictures import COLORS, Panel, document

PANELS = {300: "two layers of 300 units", 30: "two layers of 30 units"}


def errors(measured, examples, key="accuracy"):
    """{"mean", "std"} of the number of errors. measured: a network's measures on one split of `examples` examples."""
    value = measured[key]
    return {"mean": examples * (1 - value["mean"])} | ({"std": examples * value["std"]} if "std" in value else {})


def collect(folder, rows):
    """{row: {measure: value}} from metrics/ in `folder`. rows: the content of rows.yaml. All but `shift` in errors."""
    result, students = {}, rows["students"]
    for name, row in students.items():
        metrics = json.loads((folder / "metrics" / name / "metrics.json").read_text("utf-8"))
        baseline = f"{row['units']}_labels"
        for network, key in (("teacher", "teacher"), ("baseline", baseline), ("student", name)):
            measured = metrics[network]
            result[key] = {s: errors(measured[s], n) for s, n in metrics["examples"].items()}
        # A student that knew all classes has no absent ones.
        if "bias_shift" in metrics["student"]:
            measured, examples = metrics["student"], metrics["absent_examples"]
            result[name] |= {
                "test_absent": errors(measured["test"], examples["test"], "accuracy_absent"),
                "test_shifted": errors(measured["test"], metrics["examples"]["test"], "accuracy_shifted"),
                "test_absent_shifted": errors(measured["test"], examples["test"], "accuracy_absent_shifted"),
                "shift": measured["bias_shift"],
            }
    return result


def temperatures(rows, units):
    """[(temperature, name of the row), ...] of the students with so many units that saw all classes, ascending."""
    return sorted(
        (row["temperature"], name)
        for name, row in rows["students"].items()
        if row["units"] == units and row["classes"] == "null"
    )


def picture(result, rows):
    """Test errors against temperature, mean and std over the replicas, with those of the same network on labels."""
    panels = []
    for units, title in PANELS.items():
        points = temperatures(rows, units)
        xs = [temperature for temperature, _ in points]
        values = [result[name]["test"] for _, name in points]
        ys, stds = [v["mean"] for v in values], [v.get("std", 0.0) for v in values]
        control = result[f"{units}_labels"]["test"]
        center, std = control["mean"], control.get("std", 0.0)
        low = min([*(y - s for y, s in zip(ys, stds, strict=True)), center - std])
        high = max([*(y + s for y, s in zip(ys, stds, strict=True)), center + std])
        margin = 0.1 * (high - low) or 1.0
        ends = xs[0] / 1.2, xs[-1] * 1.2
        panel = Panel(title, "temperature", "errors of the test split", ends, (low - margin, high + margin), log_x=True)
        panel.band(ends, [center - std] * 2, [center + std] * 2, COLORS["baseline"])
        panel.line(ends, [center] * 2, COLORS["baseline"], "labels alone")
        panel.line(xs, ys, COLORS["student"])
        panel.points(xs, ys, COLORS["student"], "distilled", stds)
        panels.append(panel)
    return document(panels)


if __name__ == "__main__":
    rows = yaml.safe_load(Path("rows.yaml").read_text("utf-8"))
    result = collect(Path(), rows)
    write_json("metrics.json", result)
    write_text("temperature.svg", picture(result, rows))
