// Part 1: an example, and what teacher, baseline and student say of it at a temperature.

import { Bars, byId, choice, element, slider } from "./dom.mjs";
import { crossEntropy, divergence, softmax } from "./losses.mjs";
import { paint } from "./model.mjs";

export const NETWORKS = [
    ["teacher", "teacher"],
    ["baseline", "baseline"],
    ["student", "student"],
];
const SHOWN = 10;
const FEATURES = 12;

/** How an example is called. */
export const named = (examples, example) => `example ${example}, class ${examples.classes[examples.label(example)]}`;

function features(content, row) {
    const pairs = content.features
        .slice(0, FEATURES)
        .map((name, i) => [element("dt", {}, name), element("dd", {}, String(row[i]))]);
    return element("dl", { class: "features" }, ...pairs.flat());
}

function picture(content, examples, example) {
    const canvas = element("canvas", { class: "ink", role: "img", "aria-label": named(examples, example) });
    paint(canvas, examples.row(example), content.image, content.highest);
    return canvas;
}

/** The place where an example is looked for and chosen. */
function picker(content, examples, state) {
    const images = content.image.length > 0;
    const classes = content.classes.map((name, i) => [i, name]);
    const large = element("div", { class: images ? "large" : "large rows" });
    const small = element("div", {
        class: images ? "thumbnails" : "thumbnails rows",
        role: "group",
        "aria-label": "Examples",
    });
    state.follow(["label", "other"], () => {
        const found = examples.like(state.get("label"), state.get("other")).slice(0, SHOWN);
        const buttons = found.map((example) => {
            const shown = images ? picture(content, examples, example) : String(example);
            const label = images ? named(examples, example) : null;
            return element(
                "button",
                { type: "button", "data-example": example, "aria-label": label, onclick: () => state.set({ example }) },
                shown,
            );
        });
        small.replaceChildren(...buttons);
    });
    state.follow(["example", "label", "other"], () => {
        const example = state.get("example");
        const [first, second] = examples.guesses(example).map((k) => content.classes[k]);
        const words = element(
            "p",
            {},
            `Example ${example}: its label is ${content.classes[examples.label(example)]}. The teacher says ${first}, then ${second}.`,
        );
        large.replaceChildren(
            ...(images
                ? [picture(content, examples, example), words]
                : [features(content, examples.row(example)), words]),
        );
        for (const button of small.children) {
            button.setAttribute("aria-pressed", String(Number(button.dataset.example) === example));
        }
    });
    const which = choice(state, "label", "Which", classes);
    const like = choice(state, "other", "looks like", [[-1, "anything else"], ...classes]);
    return [large, element("div", { class: "picker controls" }, which, like), small];
}

export function soften(content, examples, state) {
    byId("example").replaceChildren(...picker(content, examples, state));
    byId("soften-controls").replaceChildren(
        slider(state, "T", "Temperature T", [1, 20, 0.5], (T) => T.toFixed(1)),
        slider(state, "alpha", "Weight of the teacher α", [0, 1, 0.05], (alpha) => alpha.toFixed(2)),
    );
    const bars = new Bars(
        byId("bars"),
        content.classes,
        NETWORKS,
        "Probabilities at T; below, KL(teacher ‖ network) in nats",
    );
    const sums = ["teacher", "baseline", "student"].map(() => element("td"));
    bars.foot.replaceChildren(element("tr", {}, element("th", { scope: "row" }, "KL"), ...sums));
    state.follow(["T", "alpha", "example"], () => {
        const [T, alpha, example] = ["T", "alpha", "example"].map((name) => state.get(name));
        const label = examples.label(example);
        const logits = NETWORKS.map(([name]) => examples.said[name][example]);
        const said = logits.map((z) => softmax(z, T));
        const apart = logits.map((z) => divergence(z, said[0], T));
        bars.show(said, label);
        sums.forEach((cell, k) => {
            cell.textContent = k ? apart[k].toFixed(4) : "";
        });
        const hard = crossEntropy(logits[2], label);
        const loss = alpha * (T * T) * apart[2] + (1 - alpha) * hard;
        const numbers = [alpha, T * T, apart[2]].map((value, k) => value.toFixed(k === 2 ? 4 : 2)).join(" · ");
        byId("soften-loss").textContent =
            `The student’s loss: α T² KL + (1 − α) CE = ${numbers} + ${(1 - alpha).toFixed(2)} · ${hard.toFixed(4)} = ${loss.toFixed(4)} nats`;
    });
}
