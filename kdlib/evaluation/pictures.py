"""The charts of the stage evaluate, as SVG text."""

import math

from kdlib.evaluation.panel import COLORS, Panel, document, svg, text


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
    """Reliability diagram: rows of `rows.reliability_rows`."""
    panel = Panel(
        "reliability, test split; area: examples", "mean confidence of the bin", "accuracy in the bin", (0, 1), (0, 1)
    )
    panel.line([0, 1], [0, 1], "#222", dashed=True)
    for name, color in COLORS.items():
        kept = [r for r in rows if r["network"] == name]
        xs, ys = [r["confidence"] for r in kept], [r["accuracy"] for r in kept]
        panel.line(xs, ys, color)
        most = max((r["examples"] for r in kept), default=1)
        panel.points(xs, ys, color, name, radii=[2 + 4 * math.sqrt(r["examples"] / most) for r in kept])
    return document([panel])


def sizes(rows):
    """Test accuracy against parameters: rows of `rows.size_rows`."""
    lows, highs = [r["accuracy"] - r["std"] for r in rows], [r["accuracy"] + r["std"] for r in rows]
    margin = 0.15 * (max(highs) - min(lows)) or 0.05
    counts = [r["parameters"] for r in rows]
    label = "accuracy, mean ± std over replicas"
    y_range = (min(lows) - margin, max(highs) + margin)
    panel = Panel("test accuracy by size", "parameters", label, (min(counts) / 2, 2 * max(counts)), y_range, True)
    for k, row in enumerate(rows):
        dodge = 8 * counts[:k].count(row["parameters"])
        color, name = COLORS[row["network"]], row["network"]
        panel.points([row["parameters"]], [row["accuracy"]], color, name, [row["std"]], dodge=dodge)
    return document([panel])


def confusion(counts, names):
    """Confusion matrix with the share of each label's examples. counts: (classes, classes) by label and prediction."""
    side, left, top = 34, 90, 60
    size = side * len(names)
    parts = [
        text(left + size / 2, 20, "student's confusion matrix, test split", size=14),
        text(left + size / 2, 38, "predicted"),
    ]
    parts.append(text(14, top + size / 2, "label", extra=f' transform="rotate(-90 14 {top + size / 2:.1f})"'))
    for i, name in enumerate(names):
        parts.append(text(left + side * (i + 0.5), top - 6, str(name)[:5], size=11))
        parts.append(text(left - 6, top + side * (i + 0.5) + 4, str(name)[:10], "end", size=11))
        total = sum(counts[i])  # integers
        for j, count in enumerate(counts[i]):
            share = count / total if total else 0.0
            cell = f'x="{left + side * j}" y="{top + side * i}" width="{side}" height="{side}"'
            parts.append(f'<rect {cell} fill="#0072b2" fill-opacity="{math.sqrt(share):.3f}" stroke="#ddd"/>')
            if count:
                color = ' fill="white"' if share > 0.3 else ""
                percent = f"{100 * share:.0f}" if share >= 0.01 else f"{100 * share:.1f}"
                parts.append(text(left + side * (j + 0.5), top + side * (i + 0.5) + 4, percent, size=11, extra=color))
    parts.append(text(left + size / 2, top + size + 20, "percent of the label's examples, all replicas", size=11))
    return svg(left + size + 20, top + size + 34, parts)
