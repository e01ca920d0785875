"""Plots of the stage evaluate, as SVG text."""

import math
from collections.abc import Sequence
from itertools import cycle

from kdlib.learning.schedules import LinearSchedule
from kdlib.reporting.svg_axes import COLORS, HEIGHT, WIDTH, Panel, document, svg, text

MIN_BIN_EXAMPLES = 5  # bins with fewer are not drawn
MAX_NAME_LENGTH = 24  # characters of a class name that are drawn
MAX_CLASSES = 40  # in a confusion matrix: a picture of 1,000 classes has 100 MB


def curves(title_rows: Sequence[tuple[str, str, list[dict]]]) -> str:
    """Draw learning curves with their standard deviations over replicas.

    Parameters
    ----------
    title_rows : sequence of (str, str, list of dict)
        For each panel the title, the label of the y axis, and rows of `csv_tables.curve_rows`.

    Returns
    -------
    str
        Text of an SVG file.
    """
    panels = []
    for title, label, rows in title_rows:
        series = {name: [row for row in rows if row.get(name, "") != ""] for name in COLORS}
        lows = [row[name] - row[f"{name}_std"] for name, kept in series.items() for row in kept]
        highs = [row[name] + row[f"{name}_std"] for name, kept in series.items() for row in kept]
        margin = 0.05 * (max(highs) - min(lows)) or 0.05
        panel = Panel(title, "epoch", label, (0.5, len(rows) + 0.5), (min(lows) - margin, max(highs) + margin))
        for name, kept in series.items():
            if kept:
                epochs = [row["epoch"] for row in kept]
                mean = [row[name] for row in kept]
                std = [row[f"{name}_std"] for row in kept]
                lower = [m - s for m, s in zip(mean, std, strict=True)]
                upper = [m + s for m, s in zip(mean, std, strict=True)]
                panel.band(epochs, lower, upper, COLORS[name])
                panel.line(epochs, mean, COLORS[name], name)
        panels.append(panel)
    return document(panels)


def reliability(rows: list[dict]) -> str:
    """Draw the reliability diagram, without bins of fewer than MIN_BIN_EXAMPLES examples.

    Parameters
    ----------
    rows : list of dict
        From `csv_tables.reliability_rows`.

    Returns
    -------
    str
        Text of an SVG file.
    """
    title = f"reliability, test split: bins of {MIN_BIN_EXAMPLES} examples or more"
    panel = Panel(title, "mean confidence of the bin", "accuracy in the bin, 95 % interval", (0, 1), (0, 1))
    panel.line([0, 1], [0, 1], "#222", dashed=True)
    for name, color in COLORS.items():
        kept = [row for row in rows if row["network"] == name and row["examples"] >= MIN_BIN_EXAMPLES]
        xs = [row["confidence"] for row in kept]
        ys = [row["accuracy"] for row in kept]
        panel.line(xs, ys, color)
        for row in kept:
            panel.bar(row["confidence"], row["low"], row["high"], color)
        panel.points(xs, ys, color, name)
    return document([panel])


def summary(rows: list[dict], verdict: str) -> str:
    """Draw the accuracy of each network, with the verdict below.

    Parameters
    ----------
    rows : list of dict
        From `csv_tables.summary_rows`.
    verdict : str
        From `table.gain_line`. It is split at ": " into lines.

    Returns
    -------
    str
        Text of an SVG file.
    """
    low = min(row["low"] for row in rows)
    high = max(row["high"] for row in rows)
    margin = 0.1 * (high - low) or 0.05
    names = [
        [row["network"], *(f"{row[key]:,} {key}" for key in ("parameters", "bytes") if row[key] != "")] for row in rows
    ]
    label = "accuracy %, 95 % interval of the examples"
    y_range = 100 * (low - margin), 100 * (high + margin)
    panel = Panel("accuracy on the test split", "", label, (-0.5, len(rows) - 0.5), y_range, names=names)
    for at, row in enumerate(rows):
        color = COLORS[row["network"]]
        panel.bar(at, 100 * row["low"], 100 * row["high"], color)
        panel.points([at], [100 * row["accuracy"]], color, radii=[6])
        panel.label(at, 100 * row["accuracy"], f"{100 * row['accuracy']:.2f}")
    lines = [text(WIDTH / 2, HEIGHT + 26 + 18 * k, line) for k, line in enumerate(verdict.split(": "))]
    return svg(WIDTH, HEIGHT + 72, [panel.svg(), *lines])


def _shortened(name):
    return name if len(name) <= MAX_NAME_LENGTH else f"{name[: MAX_NAME_LENGTH - 1]}…"


def _pixels(name):
    """Bound the width of a name in letters of size 11."""
    return 7 * len(name) + 4 * len([letter for letter in name if not (letter.islower() or letter.isdigit())])


def confusion(counts: list[list[int]], names: Sequence) -> str:
    """Draw the confusion matrix, in percent of each label's examples.

    If there are more than MAX_CLASSES classes, only those with the most errors are drawn.

    Parameters
    ----------
    counts : list of lists of int, (classes, classes)
        By label and prediction.
    names : sequence
        Names of the classes.

    Returns
    -------
    str
        Text of an SVG file.
    """
    totals = [sum(row) for row in counts]  # lint: integer sum
    note = ""
    if len(names) > MAX_CLASSES:
        note = f"; the {MAX_CLASSES} of {len(names):,} classes with most errors"
        kept = sorted(sorted(range(len(names)), key=lambda k: counts[k][k] - totals[k])[:MAX_CLASSES])
        names = [names[k] for k in kept]
        totals = [totals[k] for k in kept]
        counts = [[counts[i][j] for j in kept] for i in kept]
    names = [_shortened(str(name)) for name in names]
    side = max(34, 160 // len(names))
    name_width = max(map(_pixels, names))
    upright = name_width > side
    left = 40 + name_width
    top = 56 + (name_width if upright else 12)
    size = side * len(names)
    width = max(left + size + 20, 300)
    parts = [
        text(width / 2, 20, "student's confusion matrix, test split", size=14),
        text(left + size / 2, 42, "predicted"),
        text(18, top + size / 2, "label", extra=f' transform="rotate(-90 18 {top + size / 2:.1f})"'),
    ]
    for i, name in enumerate(names):
        x = left + side * (i + 0.5)
        y = top - 6
        turn = f' transform="rotate(-90 {x + 4:.1f} {y})"' if upright else ""
        parts.append(text(x + 4 if upright else x, y, name, "start" if upright else "middle", 11, turn))
        parts.append(text(left - 6, top + side * (i + 0.5) + 4, name, "end", size=11))
        for j, count in enumerate(counts[i]):
            share = count / totals[i] if totals[i] else 0.0
            cell = f'x="{left + side * j}" y="{top + side * i}" width="{side}" height="{side}"'
            parts.append(f'<rect {cell} fill="#0072b2" fill-opacity="{math.sqrt(share):.3f}" stroke="#ddd"/>')
            if count:
                color = ' fill="white"' if share > 0.3 else ""
                percent = f"{100 * share:.0f}" if share >= 0.01 else f"{100 * share:.1f}"
                parts.append(text(left + side * (j + 0.5), top + side * (i + 0.5) + 4, percent, size=11, extra=color))
    parts.append(text(width / 2, top + size + 20, f"percent of the label's examples, all replicas{note}", size=11))
    return svg(width, top + size + 34, parts)


# Colours of Okabe and Ito, which colour-blind people can distinguish.
LINE_COLORS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")


def sweep(rows: list[dict]) -> str:
    """Draw the student's validation loss against the temperature, one line for each alpha.

    With several learning rates each point shows the best one. What has no single temperature is a dashed line: the
    baseline, and a temperature that follows a schedule.

    Parameters
    ----------
    rows : list of dict
        From `csv_tables.sweep_rows`.

    Returns
    -------
    str
        Text of an SVG file.
    """
    baseline = min(row["validation_loss"] for row in rows if row["network"] == "baseline" and row["chosen"])
    best = {}
    for row in rows:
        if row["network"] == "student" and row["validation_loss"] != "":
            key = row["alpha"] or 0.0, row["temperature"] or 1.0
            best[key] = min(best.get(key, row), row, key=lambda r: r["validation_loss"])
    low = min(*[row["validation_loss"] - (row["std"] or 0.0) for row in best.values()], baseline)
    high = max(*[row["validation_loss"] + (row["std"] or 0.0) for row in best.values()], baseline)
    margin = 0.08 * (high - low) or 0.05
    temperatures_and_schedules = sorted({t for _, t in best}, key=_start_and_end)
    temperatures = [t for t in temperatures_and_schedules if not isinstance(t, LinearSchedule)]
    shown = temperatures or [value for t in temperatures_and_schedules for value in (t.start, t.end)]
    ends = min(shown) / 1.3, max(shown) * 1.3
    panel = Panel(
        "validation loss by temperature", "temperature", "nats", ends, (low - margin, high + margin), log_x=True
    )
    panel.line(ends, [baseline] * 2, COLORS["baseline"], "baseline", dashed=True)
    for color, alpha in zip(cycle(LINE_COLORS), sorted({alpha for alpha, _ in best}, key=_start_and_end)):
        points = [(t, best[alpha, t]) for t in temperatures if (alpha, t) in best]
        xs = [t for t, _ in points]
        ys = [row["validation_loss"] for _, row in points]
        errors = [row["std"] or 0.0 for _, row in points]
        name = f"alpha {alpha}" if isinstance(alpha, LinearSchedule) else f"alpha {alpha:g}"
        if points:
            panel.line(xs, ys, color)
            panel.points(xs, ys, color, name, errors)
        for t in temperatures_and_schedules:
            if isinstance(t, LinearSchedule) and (alpha, t) in best:
                panel.line(ends, [best[alpha, t]["validation_loss"]] * 2, color, f"{name}, T {t}", dashed=True)
    return document([panel])


def _start_and_end(value):
    """Return start and end of a number or schedule, as a key to sort by."""
    return (value.start, value.end) if isinstance(value, LinearSchedule) else (value, value)
