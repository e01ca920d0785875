// The page as it opens: its content is read, its parts begin.

import { byId } from "./dom.mjs";
import { draw } from "./draw.mjs";
import { gradients } from "./gradients.mjs";
import { temperatures } from "./lesson.mjs";
import { Examples } from "./model.mjs";
import { soften } from "./soften.mjs";
import { State } from "./state.mjs";
import { train } from "./train.mjs";
import { worth } from "./worth.mjs";

/** Values within what the content has, whatever the address says. */
function valid(state, content, examples) {
    const within = (name, low, high) => Math.min(Math.max(state.get(name), low), high);
    const whole = (name, low, high) => Math.round(within(name, low, high));
    const one = (name, known) => (known.includes(state.get(name)) ? state.get(name) : state.defaults[name]);
    const last = content.classes.length - 1;
    const [coolest, hottest] = temperatures(content.lesson);
    Object.assign(state.values, {
        T: within("T", 1, 20),
        alpha: within("alpha", 0, 1),
        heat: within("heat", coolest, hottest),
        weight: within("weight", 0, 1),
        example: whole("example", 0, examples.rows.length - 1),
        label: whole("label", 0, last),
        other: whole("other", -1, last),
        network: whole("network", 0, (content.lesson?.replicas.length ?? 1) - 1),
        step: whole("step", 0, 1e9),
        rate: state.get("rate") > 0 ? state.get("rate") : state.defaults.rate,
        who: one("who", ["student", "baseline"]),
        from: one("from", ["nothing", "student", "baseline"]),
    });
}

function main() {
    const content = JSON.parse(byId("content").textContent);
    const examples = new Examples(content);
    const { lesson } = content;
    const [label, other] = [Math.min(7, content.classes.length - 1), Math.min(2, content.classes.length - 2)];
    const state = new State({
        T: 4,
        alpha: lesson?.recipe.alpha ?? 0.9,
        label,
        other,
        example: examples.like(label, other)[0] ?? 0,
        from: "nothing",
        who: "student",
        heat: lesson?.recipe.temperature ?? 4,
        weight: lesson?.recipe.alpha ?? 0.9,
        rate: lesson?.student.rate ?? 0.1,
        network: lesson?.replica ?? 0,
        step: 0,
    });
    valid(state, content, examples);
    byId("dataset").textContent = `the dataset ${content.dataset.slice(0, 12)}`;
    soften(content, examples, state);
    gradients(content, examples, state);
    draw(content, examples, state);
    train(content, examples, state, byId("kernel").textContent);
    worth(content);
    addEventListener("resize", () => state.tell({ width: true }));
    addEventListener("hashchange", () => {
        const part = location.hash.slice(1);
        if (byId(part)) {
            state.part = part;
            state.set({});
        }
    });
    byId(state.part)?.scrollIntoView({ behavior: "instant" });
}

main();
