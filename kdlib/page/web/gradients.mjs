// Part 2: the gradient of the soft part by the logits, with and without the factor T^2.

import { barChart, lineChart } from "./charts.mjs";
import { byId, choice, slider } from "./dom.mjs";
import { hardGradient, softGradient, softmax } from "./losses.mjs";

const TEMPERATURES = Array.from({ length: 77 }, (_, k) => 1 + k / 4);
const STARTS = [
    ["nothing", "that knows nothing yet, all logits 0"],
    ["baseline", "of the baseline"],
    ["student", "of the trained student"],
];

const length = (gradient) => Math.sqrt(gradient.reduce((total, value) => total + value * value, 0));

export function gradients(content, examples, state) {
    byId("gradients-controls").replaceChildren(
        slider(state, "T", "Temperature T", [1, 20, 0.5], (T) => T.toFixed(1)),
        choice(state, "from", "At the logits of a student", STARTS),
    );
    const logits = () => {
        const from = state.get("from");
        return from === "nothing"
            ? new Float64Array(content.classes.length)
            : examples.said[from][state.get("example")];
    };
    const draw = () => {
        const [T, example, z] = [state.get("T"), state.get("example"), logits()];
        const teacher = examples.said.teacher[example];
        const soft = softGradient(z, softmax(teacher, T), T);
        const hard = hardGradient(z, examples.label(example));
        barChart(byId("gradients-bars"), {
            label: `The gradients by the logits at T = ${T}`,
            names: content.classes,
            groups: [
                { name: "of the label, CE", kind: "baseline", values: hard },
                { name: "of the teacher, T² KL", kind: "teacher", values: soft.map((value) => value * (T * T)) },
                { name: "of the teacher, KL", kind: "hollow", values: soft },
            ],
        });
        const lengths = TEMPERATURES.map((t) => [t, length(softGradient(z, softmax(teacher, t), t))]);
        const scaled = lengths.map(([t, value]) => [t, value * t * t]);
        const all = [...lengths, ...scaled, [1, length(hard)]].map(([, value]) => value).filter((value) => value > 0);
        lineChart(byId("gradients-lengths"), {
            label: "The lengths of the gradients against the temperature",
            series: [
                { name: "of the label, CE", kind: "baseline", points: [1, 20].map((t) => [t, length(hard)]) },
                { name: "of the teacher, T² KL", kind: "teacher", points: scaled },
                { name: "of the teacher, KL", kind: "teacher dashed", points: lengths },
            ],
            x: { low: 1, high: 20, label: "temperature T" },
            y: { low: Math.max(Math.min(...all), 1e-9) / 1.5, high: Math.max(...all) * 1.5, log: true },
            marker: T,
        });
    };
    state.follow(["T", "from", "example", "width"], draw);
}
