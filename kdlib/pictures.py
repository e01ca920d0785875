"""Charts as SVG text: deterministic, and readable without a network or a plotting library."""

import math
from html import escape

from kdlib import exact

COLORS = {"teacher": "#0072b2", "baseline": "#7f7f7f", "student": "#d55e00"}  # told apart by the colour-blind too
WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 34, 46


def _text(x, y, content, anchor="middle", size=12, extra=""):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{extra}>{escape(str(content))}</text>'
    )


def _log10(x):
    return float(exact.log(x) / exact.log(10.0))


def _power_of_ten(exponent):
    return float(f"1e{exponent}")


def _ticks(low, high):
    """About five round numbers from low to high."""
    step = _power_of_ten(math.floor(_log10((high - low) / 4)))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if step * m * 5 >= high - low)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


class Panel:
    """A chart with axes. x_range, y_range: (low, high). log_x: powers of ten along x."""

    def __init__(self, title, x_label, y_label, x_range, y_range, log_x=False):
        self.title, self.x_label, self.y_label, self.log_x = title, x_label, y_label, log_x
        self.x_range = tuple(map(_log10, x_range)) if log_x else x_range
        self.y_range = y_range
        self.marks, self.legend = [], []

    def _x(self, x):
        low, high = self.x_range
        return LEFT + ((_log10(x) if self.log_x else x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def _y(self, y):
        low, high = self.y_range
        return HEIGHT - BOTTOM - (min(max(y, low), high) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def _points(self, xs, ys):
        return " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in zip(xs, ys, strict=True))

    def band(self, xs, lower, upper, color):
        around = self._points([*xs, *reversed(xs)], [*upper, *reversed(lower)])
        self.marks.append(f'<polygon points="{around}" fill="{color}" opacity="0.2"/>')

    def line(self, xs, ys, color, label=None, dashed=False):
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        self.marks.append(
            f'<polyline points="{self._points(xs, ys)}" fill="none" stroke="{color}" stroke-width="2"{dash}/>'
        )
        if label:
            self.legend.append((label, color))

    def points(self, xs, ys, color, label=None, errors=(), radii=(), dodge=0):
        """Dots with error bars. radii: in pixels, 4 by default; dodge: pixels to the right, to keep two dots apart."""
        marks = zip(xs, ys, errors or [0] * len(xs), radii or [4] * len(xs), strict=True)
        for x, y, error, radius in marks:
            at = f"{self._x(x) + dodge:.1f}"
            bar = f"M{at} {self._y(y - error):.1f}V{self._y(y + error):.1f}"
            self.marks.append(f'<path d="{bar}" stroke="{color}" stroke-width="2"/>')
            self.marks.append(f'<circle cx="{at}" cy="{self._y(y):.1f}" r="{radius:.1f}" fill="{color}"/>')
        if label:
            self.legend.append((label, color))

    def svg(self, x_offset=0):
        parts = [f'<g transform="translate({x_offset} 0)">', _text(WIDTH / 2, 20, self.title, size=14)]
        if self.log_x:
            powers = range(math.floor(self.x_range[0]), math.ceil(self.x_range[1]) + 1)
            ticks = [int(digit * _power_of_ten(k)) for k in powers for digit in (1, 2, 5)]
            ticks = [t for t in ticks if self.x_range[0] <= _log10(t) <= self.x_range[1]]
        else:
            ticks = _ticks(*self.x_range)
        for tick in ticks:
            parts.append(f'<path d="M{self._x(tick):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e5e5e5"/>')
            parts.append(_text(self._x(tick), HEIGHT - BOTTOM + 16, f"{tick:,}" if self.log_x else f"{tick:.6g}"))
        for tick in _ticks(*self.y_range):
            parts.append(f'<path d="M{LEFT} {self._y(tick):.1f}H{WIDTH - RIGHT}" stroke="#e5e5e5"/>')
            parts.append(_text(LEFT - 6, self._y(tick) + 4, f"{tick:.6g}", "end"))
        parts += self.marks
        frame = f'x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
        parts.append(f'<rect {frame} fill="none" stroke="#444"/>')
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, self.x_label))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(_text(16, middle, self.y_label, extra=f' transform="rotate(-90 16 {middle:.1f})"'))
        return "\n".join([*parts, "</g>"])

    def svg_legend(self, x_offset, top):
        return "\n".join(
            f'<rect x="{x_offset}" y="{top + 18 * k - 9}" width="12" height="10" fill="{color}"/>'
            + _text(x_offset + 18, top + 18 * k, label, "start")
            for k, (label, color) in enumerate(self.legend)
        )


def document(panels, body=""):
    """Panels side by side, the last one's legend at the right. Returns the SVG file's text."""
    width = WIDTH * len(panels) + 90
    parts = [panel.svg(k * WIDTH) for k, panel in enumerate(panels)]
    parts.append(panels[-1].svg_legend(WIDTH * len(panels) + 4, 50))
    return _svg(width, HEIGHT, parts)


def _svg(width, height, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    style = ' font-family="Helvetica, Arial, sans-serif" fill="#222">'
    return "\n".join([head + style, f'<rect width="{width}" height="{height}" fill="white"/>', *parts, "</svg>"]) + "\n"


def curves(title_rows):
    """Learning curves with the spread over replicas. title_rows: (title, y label, rows of `report.curve_rows`) each."""
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
    """Reliability diagram: rows of `report.reliability_rows`."""
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
    """Test accuracy against parameters: rows of `report.size_rows`."""
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
        _text(left + size / 2, 20, "student's confusion matrix, test split", size=14),
        _text(left + size / 2, 38, "predicted"),
    ]
    parts.append(_text(14, top + size / 2, "label", extra=f' transform="rotate(-90 14 {top + size / 2:.1f})"'))
    for i, name in enumerate(names):
        parts.append(_text(left + side * (i + 0.5), top - 6, str(name)[:5], size=11))
        parts.append(_text(left - 6, top + side * (i + 0.5) + 4, str(name)[:10], "end", size=11))
        total = sum(counts[i])  # integers
        for j, count in enumerate(counts[i]):
            share = count / total if total else 0.0
            cell = f'x="{left + side * j}" y="{top + side * i}" width="{side}" height="{side}"'
            parts.append(f'<rect {cell} fill="#0072b2" fill-opacity="{math.sqrt(share):.3f}" stroke="#ddd"/>')
            if count:
                color = ' fill="white"' if share > 0.3 else ""
                percent = f"{100 * share:.0f}" if share >= 0.01 else f"{100 * share:.1f}"
                parts.append(_text(left + side * (j + 0.5), top + side * (i + 0.5) + 4, percent, size=11, extra=color))
    parts.append(_text(left + size / 2, top + size + 20, "percent of the label's examples, all replicas", size=11))
    return _svg(left + size + 20, top + size + 34, parts)
