"""The charts of the stage evaluate, as SVG text."""

import math
from itertools import cycle

from kdlib.learning.schedules import LinearSchedule
from kdlib.reporting.svg_axes import COLORS, HEIGHT, WIDTH, Panel, document, svg, text

FEWEST = 5  # examples of a bin that is drawn
LONGEST = 24  # letters of a class name
MOST = 40  # classes in a confusion matrix: a picture of 1,000 has 100 MB


def curves(title_rows):
    """Learning curves with the spread over replicas. title_rows: (title, y label, rows of `rows.curve_rows`) each."""
    panels = []
    for title, label, rows in title_rows:
        series = {name: [r for r in rows if r.get(name, "") != ""] for name in COLORS}
        lows = [r[n] - r[f"{n}_std"] for n, kept in series.items() for r in kept]
        highs = [r[n] + r[f"{n}_std"] for n, kept in series.items() for r in kept]
        margin = 0.05 * (max(highs) - min(lows)) or 0.05
        panel = Panel(title, "epoch", label, (0.5, len(rows) + 0.5), (min(lows) - margin, max(highs) + margin))
        for name, kept in series.items():
            if kept:
                epochs, mean = [r["epoch"] for r in kept], [r[name] for r in kept]
                std = [r[f"{name}_std"] for r in kept]
                lower, upper = ([m + sign * s for m, s in zip(mean, std, strict=True)] for sign in (-1, 1))
                panel.band(epochs, lower, upper, COLORS[name])
                panel.line(epochs, mean, COLORS[name], name)
        panels.append(panel)
    return document(panels)


def reliability(rows):
    """Reliability diagram: rows of `rows.reliability_rows`, those that are of enough examples to say something."""
    title = f"reliability, test split: bins of {FEWEST} examples or more"
    panel = Panel(title, "mean confidence of the bin", "accuracy in the bin, 95 % interval", (0, 1), (0, 1))
    panel.line([0, 1], [0, 1], "#222", dashed=True)
    for name, color in COLORS.items():
        kept = [r for r in rows if r["network"] == name and r["examples"] >= FEWEST]
        xs, ys = [r["confidence"] for r in kept], [r["accuracy"] for r in kept]
        panel.line(xs, ys, color)
        for row in kept:
            panel.bar(row["confidence"], row["low"], row["high"], color)
        panel.points(xs, ys, color, name)
    return document([panel])


def summary(rows, verdict):
    """What came of it: rows of `rows.summary_rows`, and below them `verdict`, a line for each side of ": "."""
    low, high = min(r["low"] for r in rows), max(r["high"] for r in rows)
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
    lines = [text(WIDTH / 2, HEIGHT + 26 + 18 * k, line) for k, line in enumerate(verdict.rsplit(": ", 1))]
    return svg(WIDTH, HEIGHT + 54, [panel.svg(), *lines])


def _shortened(name):
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _pixels(name):
    """At most so wide is a name in letters of size 11."""
    return 7 * len(name) + 4 * len([letter for letter in name if not (letter.islower() or letter.isdigit())])


def confusion(counts, names):
    """Confusion matrix with the share of each label's examples. counts: (classes, classes) by label and prediction.

    Of more than MOST classes it has those that are most often not recognised.
    """
    totals, note = [sum(row) for row in counts], ""  # integers
    if len(names) > MOST:
        note = f"; the {MOST} of {len(names):,} classes with most errors"
        kept = sorted(sorted(range(len(names)), key=lambda k: counts[k][k] - totals[k])[:MOST])
        names, totals, counts = (
            [names[k] for k in kept],
            [totals[k] for k in kept],
            [[counts[i][j] for j in kept] for i in kept],
        )
    names = [_shortened(str(name)) for name in names]
    side, around = max(34, 160 // len(names)), max(map(_pixels, names))
    upright = around > side
    left, top = 40 + around, 56 + (around if upright else 12)
    size = side * len(names)
    width = max(left + size + 20, 300)
    parts = [
        text(width / 2, 20, "student's confusion matrix, test split", size=14),
        text(left + size / 2, 42, "predicted"),
        text(18, top + size / 2, "label", extra=f' transform="rotate(-90 18 {top + size / 2:.1f})"'),
    ]
    for i, name in enumerate(names):
        x, y = left + side * (i + 0.5), top - 6
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


LINES = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")  # Okabe and Ito's


def sweep(rows):
    """Validation loss of the student against temperature, a line for each alpha: rows of `rows.sweep_rows`.

    Of several learning rates each point has the best one. What has no single temperature is a dashed line: the control,
    and a temperature that follows a schedule.
    """
    best, control = {}, min(r["validation_loss"] for r in rows if r["network"] == "baseline" and r["chosen"])
    for row in rows:
        if row["network"] == "student" and row["validation_loss"] != "":
            key = row["alpha"] or 0.0, row["temperature"] or 1.0
            best[key] = min(best.get(key, row), row, key=lambda r: r["validation_loss"])
    lows, highs = ([r["validation_loss"] + sign * (r["std"] or 0.0) for r in best.values()] for sign in (-1, 1))
    low, high = min(*lows, control), max(*highs, control)
    margin, found = 0.08 * (high - low) or 0.05, sorted({t for _, t in best}, key=_from)
    temperatures = [t for t in found if not isinstance(t, LinearSchedule)]
    shown = temperatures or [value for t in found for value in (t.start, t.end)]
    ends = min(shown) / 1.3, max(shown) * 1.3
    panel = Panel(
        "validation loss by temperature", "temperature", "nats", ends, (low - margin, high + margin), log_x=True
    )
    panel.line(ends, [control] * 2, COLORS["baseline"], "baseline", dashed=True)
    for color, alpha in zip(cycle(LINES), sorted({a for a, _ in best}, key=_from)):
        points = [(t, best[alpha, t]) for t in temperatures if (alpha, t) in best]
        xs, kept = [t for t, _ in points], [r for _, r in points]
        ys, errors = [r["validation_loss"] for r in kept], [r["std"] or 0.0 for r in kept]
        name = f"alpha {alpha}" if isinstance(alpha, LinearSchedule) else f"alpha {alpha:g}"
        if points:
            panel.line(xs, ys, color)
            panel.points(xs, ys, color, name, errors)
        for t in found:
            if isinstance(t, LinearSchedule) and (alpha, t) in best:
                panel.line(ends, [best[alpha, t]["validation_loss"]] * 2, color, f"{name}, T {t}", dashed=True)
    return document([panel])


def _from(value):
    """Where a setting starts and ends, by which its kind is sorted."""
    return (value.start, value.end) if isinstance(value, LinearSchedule) else (value, value)
