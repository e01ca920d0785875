// Charts as SVG, drawn anew at the width that there is.

import { drawn, element } from "./dom.mjs";

const [LEFT, RIGHT, TOP, BOTTOM] = [52, 10, 12, 40];

/** About five round numbers from low to high. */
function ticks(low, high) {
    const rough = (high - low) / 4;
    const ten = 10 ** Math.floor(Math.log10(rough));
    const step = ten * [1, 2, 2.5, 5, 10].find((factor) => ten * factor >= rough * 0.8);
    const first = Math.ceil(low / step - 1e-9);
    const count = Math.floor(high / step + 1e-9) - first + 1;
    return Array.from({ length: count }, (_, k) => (first + k) * step);
}

function logTicks(low, high) {
    const powers = Array.from({ length: 12 }, (_, k) => 10 ** (k - 9));
    const all = powers.flatMap((power) => [power, 2 * power, 5 * power]);
    const inside = (list) => list.filter((value) => value >= low && value <= high);
    return inside(all).length > 6 ? inside(powers) : inside(all);
}

const plain = (value) => String(Number(value.toPrecision(3)));

const text = (x, y, content, anchor = "middle") => drawn("text", { x, y, "text-anchor": anchor }, content);

function frame(width, height, x, y) {
    const right = width - RIGHT;
    const bottom = height - BOTTOM;
    const at = {
        x: (value) => LEFT + ((value - x.low) / (x.high - x.low)) * (right - LEFT),
        y: (value) => {
            const [v, low, high] = y.log ? [value, y.low, y.high].map(Math.log) : [value, y.low, y.high];
            return bottom - ((Math.min(Math.max(v, low), high) - low) / (high - low)) * (bottom - TOP);
        },
    };
    const rows = (y.log ? logTicks(y.low, y.high) : ticks(y.low, y.high)).flatMap((value) => [
        drawn("path", { class: "grid", d: `M${LEFT} ${at.y(value)}H${right}` }),
        text(LEFT - 6, at.y(value) + 4, plain(value), "end"),
    ]);
    return { at, right, bottom, rows };
}

const root = (width, height, label, ...children) =>
    drawn("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": label }, ...children);

/** series: [{name, kind, points: [[x, y], ...]}], kind: classes of the style. x, y: {low, high, label, log}. */
export function lineChart(place, { label, series, x, y, marker, height = 260 }) {
    const width = Math.max(280, place.clientWidth);
    const { at, right, bottom, rows } = frame(width, height, x, y);
    const columns = ticks(x.low, x.high).map((value) => text(at.x(value), bottom + 18, plain(value)));
    const lines = series.map(({ kind, points }) => {
        const path = points
            .filter(([, value]) => Number.isFinite(value))
            .map((point) => `${at.x(point[0]).toFixed(1)},${at.y(point[1]).toFixed(1)}`);
        return drawn("polyline", { class: `mark ${kind}`, points: path.join(" ") });
    });
    const here = marker === undefined ? [] : [drawn("path", { class: "grid", d: `M${at.x(marker)} ${TOP}V${bottom}` })];
    const names = series.map(({ name, kind }) => {
        const sample = drawn(
            "svg",
            { viewBox: "0 0 26 8", height: 8, "aria-hidden": "true" },
            drawn("path", { class: `mark ${kind}`, d: "M0 4H26" }),
        );
        return element("li", {}, sample, name);
    });
    const axis = text((LEFT + right) / 2, height - 4, x.label);
    place.replaceChildren(
        root(width, height, label, ...rows, ...columns, ...here, ...lines, axis),
        element("ul", { class: "legend" }, ...names),
    );
}

/** Bars from zero, side by side for each name. groups: [{name, kind, values}]. */
export function barChart(place, { label, names, groups, height = 260 }) {
    const width = Math.max(280, place.clientWidth);
    const all = groups.flatMap(({ values }) => Array.from(values));
    const most = Math.max(...all.map(Math.abs), 1e-12) * 1.05;
    const y = { low: Math.min(0, ...all) < 0 ? -most : 0, high: most };
    const { at, bottom, rows } = frame(width, height, { low: 0, high: names.length }, y);
    const share = 0.8 / groups.length;
    const bars = groups.flatMap(({ kind, values }, k) =>
        Array.from(values, (value, i) => {
            const [top, end] = [at.y(Math.max(value, 0)), at.y(Math.min(value, 0))];
            const left = at.x(i + 0.1 + k * share);
            return drawn("rect", {
                class: kind,
                x: left,
                y: top,
                width: at.x(share) - at.x(0) - 1,
                height: Math.max(end - top, 0.5),
            });
        }),
    );
    const step = Math.ceil((names.length * 34) / (width - LEFT - RIGHT));
    const shorter = (name) => (name.length > 10 ? `${name.slice(0, 9)}…` : name);
    const below = names.map((name, i) => (i % step ? "" : text(at.x(i + 0.5), bottom + 18, shorter(name))));
    const legend = groups.map(({ name, kind }) => {
        const sample = drawn(
            "svg",
            { viewBox: "0 0 26 10", height: 10, "aria-hidden": "true" },
            drawn("rect", { class: kind, x: 1, y: 1, width: 24, height: 8 }),
        );
        return element("li", {}, sample, name);
    });
    place.replaceChildren(
        root(width, height, label, ...rows, ...bars, ...below),
        element("ul", { class: "legend" }, ...legend),
    );
}
