// Part 3: a pad whose strokes become an image like those of the dataset, and the student of integers answers.

import { Bars, byId } from "./dom.mjs";
import { Ensemble, IntegerNetwork } from "./integers.mjs";
import { softmax } from "./losses.mjs";
import { scaledRow, unpacked } from "./model.mjs";
import { Pad } from "./pad.mjs";
import { usualBox } from "./strokes.mjs";

const best = (values) => values.indexOf(Math.max(...values));

export function draw(content, examples, state) {
    if (!content.image.length || !content.integers) {
        byId("draw").hidden = true;
        document.querySelector('a[href="#draw"]').hidden = true;
        return;
    }
    const student = new IntegerNetwork(content.integers);
    const teacher = content.teacher ? new Ensemble(content.teacher) : null;
    const scaling = { offset: unpacked(content.scaling.offset), scale: unpacked(content.scaling.scale) };
    const networks = [
        ["student", "student"],
        ["plain", "integers"],
        ["teacher", "teacher"],
    ];
    const bars = new Bars(
        byId("draw-bars"),
        content.classes,
        networks.filter((_, k) => k < 2 || teacher),
        "Probabilities at T = 1; integers: the student’s logits",
    );
    const changed = (row) => {
        const sums = student.sums(row);
        const own = student.probabilities(sums);
        const said = teacher ? softmax(teacher.logits(scaledRow(row, scaling))) : null;
        const numbers = (of) => Array.from(of, (p) => p.toFixed(4));
        const none = sums.map(() => 0);
        bars.show([own, none, ...(said ? [said] : [])], -1, [
            numbers(own),
            Array.from(sums, String),
            ...(said ? [numbers(said)] : []),
        ]);
        const sure = (p) => `${content.classes[best(p)]}, with ${(100 * Math.max(...p)).toFixed(1)} %`;
        const blank = row.every((value) => value === 0);
        byId("draw-answer").textContent = blank
            ? "Nothing is drawn yet: an empty image has the answers below."
            : `The student says ${sure(own)}.${said ? ` The teacher says ${sure(said)}.` : ""}`;
        byId("draw").dataset.row = row.join(" ");
    };
    byId("draw-lead").textContent =
        `The student as integers of ${content.integers.bits} bits answers, by the integers of models/deployed/student.h: the same in C, in ONNX and here. ` +
        (teacher ? "" : "The teacher is not here: it is too large for this page, or no network. ") +
        "The drawing is moved and enlarged as the dataset’s images are, then reduced to their size.";
    const own = examples.x.slice(0, 500);
    const pad = new Pad(byId("pad"), content, usualBox(own, content.image, content.highest), changed);
    byId("pad-clear").addEventListener("click", () => pad.clear());
    byId("pad-copy").addEventListener("click", () => pad.copy(examples.row(state.get("example"))));
    byId("pad").addEventListener("focus", () => pad.show());
    byId("pad").setAttribute("aria-label", "A pad to draw on");
    const digest = student.digest();
    const same =
        digest === content.integers.sha256
            ? "as in models/deployed/int.npz"
            : `but models/deployed/int.npz has ${content.integers.sha256}`;
    byId("draw-digest").textContent = `SHA-256 of these integers: ${digest}, ${same}.`;
}
