// How a training is shown: its state in words, curves, the units' weights, and the digest beside Python's.

import { lineChart } from "./charts.mjs";
import { byId, element } from "./dom.mjs";
import { curve, known } from "./lesson.mjs";

const COMMAND =
    "python -c \"import hashlib, numpy; print(hashlib.sha256(numpy.load('models/student.npz')['deployed']).hexdigest())\"";

const whole = (n) => n.toLocaleString("en");

export function words({ step, steps, stepsOfEpoch }, live) {
    const at = `Step ${whole(step)} of ${whole(steps)}, epoch ${Math.floor(step / stepsOfEpoch)} of ${steps / stepsOfEpoch}`;
    if (!live.length) {
        return at;
    }
    const { validationLoss, accuracy } = live[live.length - 1];
    if (!Number.isFinite(validationLoss)) {
        return `${at}: it has diverged; lower the learning rate, or T`;
    }
    return `${at}, validation loss ${validationLoss.toFixed(4)} nats, accuracy ${(100 * accuracy).toFixed(2)} %`;
}

function chart(place, label, series, epochs, log) {
    const finite = ([, value]) => Number.isFinite(value) && (value > 0 || !log);
    const values = series.flatMap(({ points }) => points.filter(finite).map(([, value]) => value));
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const margin = (high - low) * 0.05 || 0.05;
    const y = log ? { low: low / 1.1, high: high * 1.1, log } : { low: low - margin, high: high + margin };
    lineChart(place, { label, series, x: { low: 0, high: epochs, label: "epoch" }, y });
}

/** lesson: of the content. live: rows of `Training.next`. */
export function curves(lesson, state, { steps, stepsOfEpoch }, live) {
    const [who, network] = [state.get("who"), state.get("network")];
    const epochs = Math.max(steps / stepsOfEpoch, lesson.student.epochs);
    const draw = (id, label, written, key, factor) => {
        const scaled = (points) => points.map(([epoch, value]) => [epoch, factor * value]);
        const of = (name) => scaled(curve(lesson, name, written, network));
        const here = scaled(live.map((row) => [row.epoch, row[key]]));
        const series = [
            { name: "baseline, by Python", kind: "baseline dashed", points: of("baseline") },
            { name: "student, by Python", kind: "student dashed faint", points: of("student") },
            { name: "here", kind: who, points: here },
        ];
        chart(byId(id), label, series, epochs, factor === 1);
    };
    draw("train-loss", "Validation loss against the epoch", "validation_loss", "validationLoss", 1);
    draw("train-accuracy", "Validation accuracy against the epoch", "validation_accuracy", "accuracy", 100);
}

/** The weights of the first layer's units as images, one beside another. */
export function paintWeights(canvas, parameters, units, [height, width]) {
    const across = Math.min(units, canvas.clientWidth < 600 ? 8 : 16);
    const [high, wide] = [Math.ceil(units / across) * (height + 1), across * (width + 1)];
    [canvas.width, canvas.height] = [wide, high];
    const image = new ImageData(wide, high);
    for (let j = 0; j < units; j++) {
        const own = Array.from({ length: height * width }, (_, k) => parameters[k * units + j]);
        const most = Math.max(...own.map(Math.abs)) || 1;
        own.forEach((value, k) => {
            const y = Math.floor(j / across) * (height + 1) + Math.floor(k / width);
            const at = 4 * (y * wide + (j % across) * (width + 1) + (k % width));
            image.data.set(value > 0 ? [0, 114, 178] : [213, 94, 0], at);
            image.data[at + 3] = Math.round((255 * Math.abs(value)) / most);
        });
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
}

/** Paragraphs. deployed: the SHA-256 of the student that leaves. */
export function digests(lesson, state, { digest, done, step }, deployed) {
    const line = (text, code) => element("p", {}, text, element("code", {}, code));
    if (!digest) {
        return [element("p", {}, "SHA-256 of the weights: when it pauses.")];
    }
    const here = line(`SHA-256 of the weights after step ${whole(step)}, here: `, digest);
    if (!known(lesson, state)) {
        return [
            here,
            element("p", {}, "Python has not trained with these values; “As Python did” sets those that it has."),
        ];
    }
    const python = lesson[state.get("who")].sha256[state.get("network")];
    const lines = [here, line("by Python, after the last step: ", python)];
    if (done && digest !== python) {
        lines.push(element("p", {}, "Different: that is a bug in kdlib, please report it."));
    } else if (done) {
        lines.push(element("p", { class: "equal" }, "Equal: the same bytes."));
    }
    if (done && digest === python && digest === deployed) {
        lines.push(line("They are the student that is deployed: ", COMMAND));
    }
    return lines;
}
