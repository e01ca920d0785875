// Part 4: the student, or its baseline, is trained in a worker, from the weights and by the batches that Python had.

import { byId, choice, element, slider } from "./dom.mjs";
import { temperatures } from "./lesson.mjs";
import { curves, digests, paintWeights, words } from "./progress.mjs";
import { Trainer } from "./trainer.mjs";

const RATES = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
const WHO = [
    ["student", "the student"],
    ["baseline", "the baseline"],
];

function lead({ recipe, rows, all, split }) {
    const numbers = rows.shape[0] < all ? [rows.shape[0], all] : [all];
    const count = numbers.map((n) => n.toLocaleString("en")).join(" of the ");
    const kept = recipe.keep === "best" ? " Of all epochs the one with the lowest validation loss is kept." : "";
    return `A network ${recipe.sizes.join("-")} on ${count} examples of split ${split}, by stochastic gradient descent with momentum ${recipe.momentum}, from the same weights and through the same batches as in Python.${kept}`;
}

function controls(lesson, state) {
    const rates = [...new Set([...RATES, lesson.student.rate, lesson.baseline.rate])].sort((a, b) => a - b);
    const count = lesson.replicas.length;
    byId("train-controls").replaceChildren(
        choice(state, "who", "Train", WHO),
        slider(state, "heat", "Temperature T", temperatures(lesson), (T) =>
            Number.isInteger(10 * T) ? T.toFixed(1) : String(T),
        ),
        slider(state, "weight", "Weight of the teacher α", [0, 1, 0.05], (alpha) => alpha.toFixed(2)),
        choice(
            state,
            "rate",
            "Learning rate",
            rates.map((rate) => [rate, String(rate)]),
        ),
        choice(
            state,
            "network",
            "Network",
            lesson.replicas.map((_, k) => [k, `${k + 1} of ${count}`]),
        ),
    );
}

function buttons(lesson, state, trainer) {
    const button = (id, text, onclick, kind = "") =>
        element("button", { type: "button", id, class: kind, onclick }, text);
    const asPython = () => {
        const { temperature, alpha } = lesson.recipe;
        state.set({ heat: temperature, weight: alpha, rate: lesson[state.get("who")].rate });
    };
    byId("train-buttons").replaceChildren(
        button("train-run", "Train", () => (trainer().running ? trainer().pause() : trainer().run()), "main"),
        button("train-step", "One step", () => trainer().one()),
        button("train-rewind", "Rewind", () => trainer().rewind()),
        button("train-default", "As Python did", asPython),
    );
}

export function train(content, examples, state, kernel) {
    const { lesson } = content;
    if (!lesson) {
        byId("train-lead").textContent = content.untrained;
        byId("train-body").hidden = true;
        return;
    }
    byId("train-lead").textContent = lead(lesson);
    controls(lesson, state);
    buttons(lesson, state, () => trainer);
    byId("train-weights-figure").hidden = !content.image.length;
    const show = () => {
        const { last, live, running } = trainer;
        byId("train-state").textContent = words(last, live);
        byId("train-run").textContent = running ? "Pause" : "Train";
        byId("train-run").disabled = last.done;
        byId("train-step").disabled = last.done;
        curves(lesson, state, last, live);
        if (content.image.length) {
            paintWeights(byId("train-weights"), last.parameters, lesson.recipe.sizes[1], content.image);
        }
        byId("train-digest").replaceChildren(...digests(lesson, state, last, content.deployed));
    };
    const trainer = new Trainer(content, examples, state, kernel, show);
    state.listeners.push((changes) => {
        if ("who" in changes && !("rate" in changes)) {
            state.set({ rate: lesson[state.get("who")].rate });
        } else if (["who", "heat", "weight", "rate", "network"].some((name) => name in changes)) {
            trainer.begin(0);
        } else if ("width" in changes && trainer.last) {
            show();
        }
    });
}
