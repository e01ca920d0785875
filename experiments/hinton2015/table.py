"""Stage table: errors of all rows, from the metrics of the stage evaluate -> metrics.json, temperature.svg"""

import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from errors import cell, errors, markdown, read  # beside this folder

from kdlib.io.artifacts import write_json, write_text
from kdlib.reporting.svg_axes import COLORS, Panel, document


def collect(folder, rows):
    """{row: {measure: {"mean", "std"}}} from metrics/ in `folder`, in errors, and the bias `shift` in nats.

    rows: the content of rows.yaml. A student has its `agreement` with its teacher, a fraction of the test images; one
    whose transfer set lacks classes has errors on `absent` classes and `shifted` biases as well.
    """
    result, controls = {}, {row["units"]: name for name, row in rows["baselines"].items()}
    for name, row in rows["students"].items():
        metrics = read(folder, name)
        for network, key in (("teacher", row["teacher"]), ("baseline", controls[row["units"]]), ("student", name)):
            result[key] = {s: errors(metrics[network][s]["accuracy"], n) for s, n in metrics["examples"].items()}
        student, absent = metrics["student"], metrics.get("absent_examples")
        result[name]["agreement"] = student["test"]["agreement"]
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
        if row["classes"] == "null" and row["teacher"] == next(iter(rows["teachers"])):
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


def table(result, rows):
    """The table of section 3, the paper's numbers beside those of metrics.json, and the errors by temperature."""
    teachers, percent = list(rows["teachers"]), {"digits": 1, "factor": 100 / 10_000}

    def line(text, paper, name, measure, agrees=False, unit="", **form):
        """Of a row of rows.yaml, under each teacher; name "" is the teachers' own row, one of a control is the same."""
        cells = []
        for k, teacher in enumerate(teachers):
            own = result[teacher if not name else f"{name}_{teacher}" if k and name in rows["students"] else name]
            agreement = [cell(own["agreement"], 1, 100) if agrees else ""]
            cells += [cell(own[measure], **form) + unit, *agreement]
        return (text, paper, *cells)

    student, without, few = "800_t20", "800_t20_without_3", "800_t20_7_and_8"
    heads = [f"teacher of seed {rows['teachers'][name]['seed']}" for name in teachers]
    lines = [
        ("errors on the 10,000 test images", "paper", *(text for head in heads for text in (head, "agrees, %"))),
        ("---", "---:", *["---:"] * 2 * len(teachers)),
        line("teacher 784-1200-1200-10, dropout, weight constraints, shifts", "67", "", "test"),
        line("student 784-800-800-10 on labels alone", "146", "800_labels", "test"),
        line("the same student on the teacher's outputs at T = 20", "74", student, "test", True),
        line("… from a transfer set without any 3", "206", without, "test", True),
        line("… of them on the 1,010 test 3s", "133", without, "absent"),
        line("… with the bias of class 3 raised", "109", without, "shifted"),
        line("… of them on the 1,010 test 3s", "14", without, "absent_shifted"),
        line("… the bias raised by, nats", "3.5", without, "shift", digits=1),
        line("… from a transfer set of 7s and 8s alone", "47.3 %", few, "test", True, " %", **percent),
        line("… with the biases of 7 and 8 lowered", "13.2 %", few, "shifted", False, " %", **percent),
        line("… the biases lowered by, nats", "7.6", few, "shift", digits=1),
        (),
        ("errors by temperature", "labels", *(f"T = {t:g}" for t, _ in next(iter(sweeps(rows).values())))),
    ]
    lines.append(("---", *["---:"] * (len(lines[-1]) - 1)))
    controls = {row["units"]: name for name, row in rows["baselines"].items()}
    for units, points in sweeps(rows).items():
        cells = [cell(result[name]["test"]) for name in (controls[units], *(name for _, name in points))]
        lines.append((f"784-{units}-{units}-10", *cells))
    return markdown(lines)


if __name__ == "__main__":
    rows = yaml.safe_load(Path("rows.yaml").read_text("utf-8"))
    result = collect(Path(), rows)
    write_json("metrics.json", result)
    write_text("temperature.svg", picture(result, rows))
