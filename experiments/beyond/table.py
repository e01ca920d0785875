"""Stage table: errors of all rows, from the metrics of the stage evaluate -> metrics.json, transfer.svg"""

import sys
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from errors import cell, errors, markdown, read  # beside this folder

from kdlib.io.artifacts import write_json, write_text
from kdlib.reporting.svg_axes import COLORS, Panel, document

NETWORKS = ("teacher", "baseline", "student", "quantized")
SHOWN = {"teacher": "teacher", "baseline": "labels", "student": "distilled"}


def collect(folder, rows):
    """{row: {network: {"errors", "agreement"}}} on the test images, of NETWORKS; rows: the content of rows.yaml.

    agreement: with the row's teacher, a fraction. Of the transfer sets the rows are few_200, ...
    """
    result = {}
    for name in (*rows["students"], *(f"few_{images}" for images in rows["few"])):
        metrics = read(folder, name)
        result[name] = {
            network: {"errors": errors(metrics[network]["test"]["accuracy"], metrics["examples"]["test"])}
            | {key: of for key, of in metrics[network]["test"].items() if key == "agreement"}
            for network in NETWORKS
            if network in metrics
        }
    return result


def picture(result, rows):
    """Agreement with the teacher, in percent, and errors, against the size of the transfer set."""
    sizes = [200 + row["images"] for row in rows["few"].values()]
    found, panels = [result[f"few_{images}"] for images in rows["few"]], []
    for measure, title, y, factor in (
        ("agreement", "agreement with the teacher", "%, on the test split", 100),
        ("errors", "errors", "on the test split", 1),
    ):
        drawn = {
            name: [(factor * of[name][measure]["mean"], factor * of[name][measure].get("std", 0.0)) for of in found]
            for name in SHOWN
            if measure in found[0][name]
        }
        ends = [mean + sign * std for points in drawn.values() for mean, std in points for sign in (-1, 1)]
        low, high = min(ends), max(ends)
        margin, xs = 0.1 * (high - low) or 1.0, (sizes[0] / 1.3, sizes[-1] * 1.3)
        panel = Panel(title, "images in the transfer set", y, xs, (low - margin, high + margin), log_x=True)
        for name, points in drawn.items():
            means, stds = zip(*points, strict=True)
            panel.line(sizes, means, COLORS[name])
            panel.points(sizes, means, COLORS[name], SHOWN[name], stds)
        panels.append(panel)
    return document(panels)


def line(text, of):
    """A row of the table: a network's errors and, of a student, its agreement with its teacher."""
    return text, cell(of["errors"]), cell(of["agreement"], 1, 100) if "agreement" in of else ""


def table(result, rows):
    """The table in Markdown."""
    plain, shifted, bent = (result[name] for name in ("plain", "shifted", "bent"))
    few, student = result[f"few_{list(rows['few'])[-1]}"], "784-800-800-10"
    epochs = {name: f"{row['epochs']} epochs" for name, row in rows["students"].items()}
    return markdown(
        [
            ("errors on the 10,000 test images", "here", "agrees, %"),
            ("---", "---:", "---:"),
            line("five teachers 784-1200-1200-10, affine and elastic views, as one", plain["teacher"]),
            line(f"student {student} on the images as they are, {epochs['plain']}", plain["student"]),
            line(f"… on 25 shifted views, {epochs['shifted']}: patient and consistent", shifted["student"]),
            line("… of it, in integers of 8 bits", shifted["quantized"]),
            line(f"… on its teacher's views, {epochs['bent']}", bent["student"]),
            line("… of it, in integers of 8 bits", bent["quantized"]),
            line(f"{student} on labels alone, images as they are, {epochs['plain']}", plain["baseline"]),
            line(f"… shifted views, {epochs['shifted']}", shifted["baseline"]),
            line(f"… affine and elastic views, {epochs['bent']}", bent["baseline"]),
            line("784-300-300-10 on 200 labels", few["teacher"]),
            line("… for as many steps as the next", few["baseline"]),
            line(f"the same on what it says of {int(list(rows['few'])[-1]):,} images", few["student"]),
        ]
    )


if __name__ == "__main__":
    rows = yaml.safe_load(Path("rows.yaml").read_text("utf-8"))
    result = collect(Path(), rows)
    write_json("metrics.json", result)
    write_text("transfer.svg", picture(result, rows))
