"""Pictures: all that they say is inside them, and no mark is off its value."""

import csv
import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from kdlib.evaluation.heldout import HeldoutLogits
from kdlib.evaluation.intervals import wilson_interval
from kdlib.reporting import csv_tables, plots
from kdlib.reporting.svg_axes import BOTTOM, COLORS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Panel, document

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg):
    """{text: (left, right, top, bottom)} in pixels; a letter is 0.55 of its size wide, as in the mean of Helvetica."""
    found = {}
    for node in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        x, y, size = (float(node.get(key)) for key in ("x", "y", "font-size"))
        width = 0.55 * size * len(node.text or "")
        before = {"start": 0, "middle": width / 2, "end": width}[node.get("text-anchor")]
        turned = "rotate(-90" in node.get("transform", "")
        along = (y + before - width, y + before) if turned else (x - before, x - before + width)
        found[node.text] = (x - size, x, *along) if turned else (*along, y - size, y)
    return found


def inside(svg):
    width, height = (float(value) for value in re.search(r'viewBox="0 0 (\d+) (\d+)"', svg).groups())
    return {
        t
        for t, (left, right, top, bottom) in texts(svg).items()
        if left < 0 or right > width or top < 0 or bottom > height
    } == set()


def dots(svg):
    return [(float(x), float(y)) for x, y in re.findall(r'<circle cx="(\S+)" cy="(\S+)"', svg)]


NAMES = {
    "two": ["no", "yes"],
    "two long ones": ["malignant", "benign"],
    "three": ["setosa", "versicolor", "virginica"],
    "one of 24 letters": ["a class of 24 letters ab", "b", "c"],
    "ten": [str(digit) for digit in range(10)],
    "ten long ones": [f"class number {digit}" for digit in range(10)],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_the_confusion_matrix_holds_its_names_in_full(names):
    svg = plots.confusion(np.eye(len(names), dtype=int).tolist(), names)
    assert inside(svg)
    assert set(names) <= texts(svg).keys()
    columns = [node.text for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert all(columns.count(name) == 2 for name in names)


def test_of_a_thousand_classes_those_with_most_errors_are_shown():
    """Whole it would be 100 MB, in git."""
    counts, names = 10 * np.eye(1000, dtype=int), [f"c{k}" for k in range(1000)]
    worst = range(7, 1000, 25)
    for k in worst:
        counts[k, 0] = 5
    svg = plots.confusion(counts.tolist(), names)
    assert len(svg) < 500_000
    assert {f"c{k}" for k in worst} == texts(svg).keys() & set(names)
    assert "the 40 of 1,000 classes with most errors" in svg
    assert "67" in texts(svg)  # percent, of 15 examples


def test_names_of_columns_do_not_overlap():
    for names in NAMES.values():
        svg = plots.confusion(np.eye(len(names), dtype=int).tolist(), names)
        nodes = [
            n
            for n in ElementTree.fromstring(svg).iter(f"{SVG}text")
            if n.text in names and n.get("text-anchor") != "end"
        ]
        xs = [float(node.get("x")) for node in nodes]
        upright = "transform" in nodes[0].attrib
        room = 11 if upright else max(0.55 * 11 * len(name) for name in names)
        assert min(np.diff(xs)) >= room


def test_a_name_beyond_24_letters_is_cut_and_shows_it():
    assert "an endless name of a cla…" not in texts(
        plots.confusion([[1, 0], [0, 1]], ["an endless name of a class", "b"])
    )
    assert "an endless name of a cl…" in texts(plots.confusion([[1, 0], [0, 1]], ["an endless name of a class", "b"]))


SUMMARY = [
    {"network": "teacher", "accuracy": 0.98, "low": 0.95, "high": 0.99, "parameters": 9610, "bytes": 38440},
    {"network": "baseline", "accuracy": 0.95, "low": 0.91, "high": 0.97, "parameters": 1210, "bytes": 4840},
    {"network": "student", "accuracy": 0.97, "low": 0.94, "high": 0.99, "parameters": 1210, "bytes": 4840},
]
TITLE = "test balanced accuracy, student - baseline"
GAIN = "+2.00 ± 0.43 points (95 % interval +1.03 to +2.97)"
VERDICT = f"{TITLE}: {GAIN}: the student is better"


def test_the_summary_says_it_in_one_look():
    svg = plots.summary(SUMMARY, VERDICT)
    assert inside(svg)
    expected = {"98.00", "95.00", "97.00", "9,610 parameters", "1,210 parameters", "38,440 bytes", "4,840 bytes"}
    assert expected | {TITLE, GAIN, "the student is better", *COLORS} <= texts(svg).keys()


def test_the_summarys_marks_are_at_their_values():
    svg = plots.summary(SUMMARY, VERDICT)
    low, high = 0.91 - 0.1 * 0.08, 0.99 + 0.1 * 0.08
    for k, (row, (x, y)) in enumerate(zip(SUMMARY, dots(svg), strict=True)):
        assert x == pytest.approx(LEFT + (k + 0.5) / 3 * (WIDTH - LEFT - RIGHT), abs=0.06)
        assert (HEIGHT - BOTTOM - y) / (HEIGHT - TOP - BOTTOM) == pytest.approx(
            (row["accuracy"] - low) / (high - low), abs=1e-3
        )


def test_a_teacher_without_weights_has_no_size():
    svg = plots.summary([SUMMARY[0] | {"parameters": "", "bytes": ""}, *SUMMARY[1:]], VERDICT)
    assert "teacher" in texts(svg)
    assert "9,610 parameters" not in texts(svg)


def test_bins_of_few_examples_are_not_drawn():
    row = {"network": "student", "confidence": 0.5, "accuracy": 0.0, "low": 0.0, "high": 0.8, "examples": 4.9}
    svg = plots.reliability([row, row | {"confidence": 0.9, "accuracy": 1.0, "low": 0.6, "high": 1.0, "examples": 5.0}])
    assert dots(svg) == [(pytest.approx(LEFT + 0.9 * (WIDTH - LEFT - RIGHT), abs=0.06), TOP)]
    assert 'stroke="#d55e00"' in svg
    assert inside(svg)


def test_replicas_add_nothing_to_the_examples_of_a_bin_and_splits_do():
    logits = np.log([[[0.9, 0.1], [0.1, 0.9], [0.9, 0.1]]])
    for splits in (1, 2):
        stack = {name: {"test": [np.repeat(logits, 7, axis=0)] * splits} for name in COLORS}
        said = HeldoutLogits(
            stack, {"test": [np.array([0, 1, 1])] * splits}, [None] * splits, [np.ones(3, bool)] * splits
        )
        for row in csv_tables.reliability_rows(said):
            assert (row["examples"], row["confidence"]) == (3 * splits, pytest.approx(0.9))
            assert (row["low"], row["high"]) == pytest.approx(wilson_interval(2 * splits, 3 * splits))


SWEEP = [
    {"network": "baseline", "temperature": "", "alpha": "", "validation_loss": 0.2, "std": "", "chosen": 1},
    *(
        {"network": "student", "temperature": t, "alpha": a, "validation_loss": loss, "std": 0.01, "chosen": 0}
        for t, a, loss in ((1.0, 0.5, 0.18), (4.0, 0.5, 0.15), (1.0, 0.9, 0.17), (4.0, 0.9, ""), (4.0, 0.5, 0.12))
    ),
]


def test_the_sweep_shows_the_best_rate_of_each_temperature_and_alpha_and_leaves_out_what_diverged():
    svg = plots.sweep(SWEEP)
    assert inside(svg)
    assert {"alpha 0.5", "alpha 0.9", "baseline"} <= texts(svg).keys()
    low, high = 0.11 - 0.08 * 0.09, 0.2 + 0.08 * 0.09
    heights = sorted((HEIGHT - BOTTOM - y) / (HEIGHT - TOP - BOTTOM) for _, y in dots(svg))
    assert heights == pytest.approx([(loss - low) / (high - low) for loss in (0.12, 0.17, 0.18)], abs=1e-3)


def table(path):
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


def test_the_loss_of_all_three_is_cross_entropy_on_validation(trained):
    """At the end of training it is the report's NLL."""
    last = table(trained / "metrics/validation_loss.csv")[-1]
    result = json.loads((trained / "metrics/details.json").read_text("utf-8"))
    for name in COLORS:
        assert float(last[name]) == pytest.approx(result[name]["validation"]["nll"]["mean"], rel=1e-4)


def test_the_summary_is_the_reports(trained):
    result = json.loads((trained / "metrics/details.json").read_text("utf-8"))
    for row in table(trained / "metrics/summary.csv"):
        measured = result[row["network"]]
        assert float(row["accuracy"]) == measured["test"]["accuracy"]["mean"]
        assert (int(row["parameters"]), int(row["bytes"])) == (measured["parameters"], measured["bytes"])
        n = result["examples"]["test"]
        interval = wilson_interval(measured["test"]["accuracy"]["mean"] * n, n)
        assert (float(row["low"]), float(row["high"])) == pytest.approx(interval, abs=1e-5)


@pytest.mark.parametrize(("low", "high"), [(0.5, 2), (1, 20), (0.3, 90), (200, 60000), (99, 99999), (1, 99999)])
def test_marks_along_a_logarithmic_axis_are_round_and_apart(low, high):
    svg = document([Panel("", "", "", (low, high), (0, 1), log_x=True)])
    marks = {t: box for t, box in texts(svg).items() if t and box[2] > HEIGHT - BOTTOM}
    numbers = [float(mark.replace(",", "")) for mark in marks]
    assert len(numbers) > 1
    assert all(low <= number <= high and f"{number:e}"[:2] in ("1.", "2.", "5.") for number in numbers)
    edges = [edge for left, right, *_ in sorted(marks.values()) for edge in (left, right)]
    assert edges == sorted(edges)
