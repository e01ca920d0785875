"""Stage table: errors of all rows, from the metrics of the stage evaluate -> metrics.json, temperature.svg"""

import json
from pathlib import Path

import yaml

from kdlib.artifacts import write_json, write_text
from kdlib.evaluation.panel import COLORS, Panel, document


def errors(accuracy, examples):
    """Number of errors, as accuracy is given: {"mean", "std"}, std only of several replicas."""
    return {"mean": examples * (1 - accuracy["mean"])} | {k: examples * accuracy[k] for k in accuracy if k == "std"}


def collect(folder, rows):
    """{row: {measure: {"mean", "std"}}} from metrics/ in `folder`, in errors, and the bias `shift` in nats.

    rows: the content of rows.yaml. A row whose transfer set lacks classes has errors on `absent` classes and `shifted`
    biases as well.
    """
    result, controls = {}, {row["units"]: name for name, row in rows["baselines"].items()}
    for name, row in rows["students"].items():
        metrics = json.loads((folder / "metrics" / name / "details.json").read_text("utf-8"))
        for network, key in (("teacher", "teacher"), ("baseline", controls[row["units"]]), ("student", name)):
            result[key] = {s: errors(metrics[network][s]["accuracy"], n) for s, n in metrics["examples"].items()}
        student, absent = metrics["student"], metrics.get("absent_examples")
        if absent:
            result[name] |= {
                "absent": errors(student["test"]["accuracy_absent"], absent["test"]),
                "shifted": errors(student["test"]["accuracy_shifted"], metrics["examples"]["test"]),
                "absent_shifted": errors(student["test"]["accuracy_absent_shifted"], absent["test"]),
                "shift": student["bias_shift"],
            }
    return result


def sweeps(rows):
    """{units: [(temperature, row), ...]} of the students that saw all classes, where there are several temperatures."""
    found = {}
    for name, row in rows["students"].items():
        if row["classes"] == "null":
            found.setdefault(row["units"], []).append((row["temperature"], name))
    return {units: sorted(points) for units, points in found.items() if len(points) > 1}


def picture(result, rows):
    """Test errors against temperature, mean and std over the replicas, with those of the same network on labels."""
    panels, controls = [], {row["units"]: name for name, row in rows["baselines"].items()}
    for units, points in sweeps(rows).items():
        xs = [temperature for temperature, _ in points]
        means, stds = zip(*((result[r]["test"]["mean"], result[r]["test"]["std"]) for _, r in points), strict=True)
        control = result[controls[units]]["test"]
        lower, upper = (control["mean"] + sign * control["std"] for sign in (-1, 1))
        low = min(lower, *(mean - std for mean, std in zip(means, stds, strict=True)))
        high = max(upper, *(mean + std for mean, std in zip(means, stds, strict=True)))
        margin, ends = 0.1 * (high - low) or 1.0, (xs[0] / 1.2, xs[-1] * 1.2)
        title, label = f"two hidden layers of {units} units", "errors on the test split"
        panel = Panel(title, "temperature", label, ends, (low - margin, high + margin), log_x=True)
        panel.band(ends, [lower] * 2, [upper] * 2, COLORS["baseline"])
        panel.line(ends, [control["mean"]] * 2, COLORS["baseline"], "labels")
        panel.line(xs, means, COLORS["student"])
        panel.points(xs, means, COLORS["student"], "distilled", stds)
        panels.append(panel)
    return document(panels)


def _cell(value, digits=0, factor=1.0):
    spread = f" ± {factor * value['std']:.{digits + 1}f}" if "std" in value else ""
    return f"{factor * value['mean']:.{digits + bool(spread)}f}{spread}"


def markdown(result, rows):
    """The table of section 3, the paper's numbers beside those of metrics.json, and the errors by temperature."""
    student, without, few = (result[name] for name in ("800_t20", "800_t20_without_3", "800_t20_7_and_8"))
    percent = {"digits": 1, "factor": 100 / 10_000}
    lines = [
        ("errors on the 10,000 test images", "paper", "here"),
        ("---", "---:", "---:"),
        ("teacher 784-1200-1200-10, dropout, weight constraints, shifts", "67", _cell(result["teacher"]["test"])),
        ("student 784-800-800-10 on labels alone", "146", _cell(result["800_labels"]["test"])),
        ("the same student on the teacher's outputs at T = 20", "74", _cell(student["test"])),
        ("… from a transfer set without any 3", "206", _cell(without["test"])),
        ("… of them on the 1,010 test 3s", "133", _cell(without["absent"])),
        ("… with the bias of class 3 raised", "109", _cell(without["shifted"])),
        ("… of them on the 1,010 test 3s", "14", _cell(without["absent_shifted"])),
        ("… the bias raised by, nats", "3.5", _cell(without["shift"], 1)),
        ("… from a transfer set of 7s and 8s alone", "47.3 %", f"{_cell(few['test'], **percent)} %"),
        ("… with the biases of 7 and 8 lowered", "13.2 %", f"{_cell(few['shifted'], **percent)} %"),
        ("… the biases lowered by, nats", "7.6", _cell(few["shift"], 1)),
        (),
        ("errors by temperature", "labels", *(f"T = {t:g}" for t, _ in next(iter(sweeps(rows).values())))),
    ]
    lines.append(("---", *["---:"] * (len(lines[-1]) - 1)))
    controls = {row["units"]: name for name, row in rows["baselines"].items()}
    for units, points in sweeps(rows).items():
        cells = [_cell(result[name]["test"]) for name in (controls[units], *(name for _, name in points))]
        lines.append((f"784-{units}-{units}-10", *cells))
    return "\n".join(f"| {' | '.join(line)} |" if line else "" for line in lines)


if __name__ == "__main__":
    rows = yaml.safe_load(Path("rows.yaml").read_text("utf-8"))
    result = collect(Path(), rows)
    write_json("metrics.json", result)
    write_text("temperature.svg", picture(result, rows))
