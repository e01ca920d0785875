"""A chart with axes as SVG text: deterministic, and visible without a connection or a plotting library."""

import math
from collections.abc import Sequence
from html import escape

from kdlib.io.errors import printable
from kdlib.numerics import elementary

COLORS = {"teacher": "#0072b2", "baseline": "#7f7f7f", "student": "#d55e00"}  # colour-blind people distinguish them
# Size of a panel and its margins, in pixels.
WIDTH = 420
HEIGHT = 300
LEFT = 62
RIGHT = 14
TOP = 34
BOTTOM = 46


def text(x: float, y: float, content: object, anchor: str = "middle", size: int = 12, extra: str = "") -> str:
    """Return a label as an SVG element.

    Parameters
    ----------
    x, y : float
        In pixels.
    content : object
        Its `str` is shown.
    anchor : {"start", "middle", "end"}
        The part of the text that is at x.
    size : int
        Of the font, in pixels.
    extra : str
        Further attributes, each with a space before it.
    """
    shown = escape(printable(str(content)))  # XML allows no control characters, not even escaped ones
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{extra}>{shown}</text>'


def _log10(x):
    return float(elementary.log(x) / elementary.log(10.0))


def _power_of_ten(exponent):
    return float(f"1e{exponent}")


def _ticks(low, high):
    """Return about five round numbers from low to high."""
    step = _power_of_ten(math.floor(_log10((high - low) / 4)))
    step *= next(m for m in (1, 2, 2.5, 5, 10) if step * m * 5 >= high - low)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


class Panel:
    """A chart with axes.

    Parameters
    ----------
    title, x_label, y_label : str
    x_range, y_range : (low, high)
    log_x : bool, optional
        Whether the x axis is logarithmic.
    names : sequence of lists of str, optional
        Lines of text below x = 0, 1, ..., in place of numbers.
    """

    def __init__(
        self,
        title: str,
        x_label: str,
        y_label: str,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        log_x: bool = False,
        names: Sequence[list[str]] = (),
    ):
        self.title = title
        self.x_label = x_label
        self.y_label = y_label
        self.log_x = log_x
        self.names = names
        self.x_range = tuple(map(_log10, x_range)) if log_x else x_range
        self.y_range = y_range
        self.marks = []
        self.legend = []

    def _x(self, x):
        low, high = self.x_range
        return LEFT + ((_log10(x) if self.log_x else x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def _y(self, y):
        low, high = self.y_range
        return HEIGHT - BOTTOM - (min(max(y, low), high) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def _points(self, xs, ys):
        return " ".join(f"{self._x(x):.1f},{self._y(y):.1f}" for x, y in zip(xs, ys, strict=True))

    def band(self, xs: Sequence[float], lower: Sequence[float], upper: Sequence[float], color: str) -> None:
        """Fill the area between two curves, translucent."""
        around = self._points([*xs, *reversed(xs)], [*upper, *reversed(lower)])
        self.marks.append(f'<polygon points="{around}" fill="{color}" opacity="0.2"/>')

    def line(
        self, xs: Sequence[float], ys: Sequence[float], color: str, label: str | None = None, dashed: bool = False
    ) -> None:
        """Draw a curve through the points; the legend shows its label, if it has one."""
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        self.marks.append(
            f'<polyline points="{self._points(xs, ys)}" fill="none" stroke="{color}" stroke-width="2"{dash}/>'
        )
        if label:
            self.legend.append((label, color))

    def points(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        color: str,
        label: str | None = None,
        errors: Sequence[float] = (),
        radii: Sequence[float] = (),
    ) -> None:
        """Draw dots.

        Parameters
        ----------
        xs, ys : sequences of float
        color : str
        label : str, optional
            For the legend.
        errors : sequence of float, optional
            Half the length of a vertical bar at each dot, in units of y.
        radii : sequence of float, optional
            In pixels, 4 by default.
        """
        for x, y, error, radius in zip(xs, ys, errors or [None] * len(xs), radii or [4] * len(xs), strict=True):
            if error is not None:
                self.bar(x, y - error, y + error, color)
            at = f'cx="{self._x(x):.1f}" cy="{self._y(y):.1f}"'
            self.marks.append(f'<circle {at} r="{radius:.1f}" fill="{color}"/>')
        if label:
            self.legend.append((label, color))

    def bar(self, x: float, low: float, high: float, color: str) -> None:
        """Draw a vertical line from low to high at x."""
        path = f"M{self._x(x):.1f} {self._y(low):.1f}V{self._y(high):.1f}"
        self.marks.append(f'<path d="{path}" stroke="{color}" stroke-width="2"/>')

    def label(self, x: float, y: float, content: object) -> None:
        """Write text to the right of a dot."""
        self.marks.append(text(self._x(x) + 10, self._y(y) + 4, content, "start"))

    def _x_ticks(self):
        """Return each tick with the lines of text below it."""
        if self.names:
            return list(enumerate(self.names))
        if not self.log_x:
            return [(tick, [f"{tick:.6g}"]) for tick in _ticks(*self.x_range)]
        low, high = self.x_range
        digits = (1, 2, 5) if high - low < 2.5 else (1,)  # numbers of five digits fit into a third of a decade
        ticks = [digit * _power_of_ten(k) for k in range(math.floor(low), math.ceil(high) + 1) for digit in digits]
        return [(t, [f"{t:,.6g}"]) for t in ticks if low <= _log10(t) <= high]

    def svg(self, x_offset: int = 0) -> str:
        """Return the chart as an SVG group, shifted by x_offset pixels to the right."""
        parts = [f'<g transform="translate({x_offset} 0)">', text(WIDTH / 2, 20, self.title, size=14)]
        for tick, lines in self._x_ticks():
            parts.append(f'<path d="M{self._x(tick):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e5e5e5"/>')
            for k, line in enumerate(lines):
                parts.append(text(self._x(tick), HEIGHT - BOTTOM + 16 * (k + 1), line))
        for tick in _ticks(*self.y_range):
            parts.append(f'<path d="M{LEFT} {self._y(tick):.1f}H{WIDTH - RIGHT}" stroke="#e5e5e5"/>')
            parts.append(text(LEFT - 6, self._y(tick) + 4, f"{tick:.6g}", "end"))
        parts += self.marks
        frame = f'x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
        parts.append(f'<rect {frame} fill="none" stroke="#444"/>')
        parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, self.x_label))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(text(16, middle, self.y_label, extra=f' transform="rotate(-90 16 {middle:.1f})"'))
        return "\n".join([*parts, "</g>"])

    def svg_legend(self, x_offset: int, top: int) -> str:
        """Return the legend as SVG elements, with its upper left corner at x_offset and top, in pixels."""
        return "\n".join(
            f'<rect x="{x_offset}" y="{top + 18 * k - 9}" width="12" height="10" fill="{color}"/>'
            + text(x_offset + 18, top + 18 * k, label, "start")
            for k, (label, color) in enumerate(self.legend)
        )


def document(panels: Sequence[Panel]) -> str:
    """Return the text of an SVG file with panels side by side, and the last one's legend at the right."""
    width = WIDTH * len(panels) + 90
    parts = [panel.svg(k * WIDTH) for k, panel in enumerate(panels)]
    parts.append(panels[-1].svg_legend(WIDTH * len(panels) + 4, 50))
    return svg(width, HEIGHT, parts)


def svg(width: float, height: float, parts: Sequence[str]) -> str:
    """Return the text of an SVG file of this size in pixels, with the elements on white."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    style = ' font-family="Helvetica, Arial, sans-serif" fill="#222">'
    return "\n".join([head + style, f'<rect width="{width}" height="{height}" fill="white"/>', *parts, "</svg>"]) + "\n"
