// What the page trains, as kdlib/page/browser_training.py has it: a recipe and data for the worker.

import { scaledRow, unpacked, unpackedRows } from "./model.mjs";

/** {recipe, data} of `training.mjs`, by the state. */
export function lessonData(content, examples, state) {
    const { lesson } = content;
    const scaling = { offset: unpacked(content.scaling.offset), scale: unpacked(content.scaling.scale) };
    const [rows, labels, logits] = [unpacked(lesson.rows), unpacked(lesson.labels), unpackedRows(lesson.logits)];
    const baseline = state.get("who") === "baseline";
    const labeled = new Set(unpacked(lesson.labeled));
    const kept = Array.from(rows.keys()).filter((i) => !baseline || labeled.has(rows[i]));
    const held = Array.from(unpacked(lesson.validation));
    const { batch_size: batch, scale_by_t2: scaleByT2, ...plain } = lesson.recipe;
    const recipe = {
        ...plain,
        batch,
        scaleByT2,
        temperature: state.get("heat"),
        alpha: baseline ? 0 : state.get("weight"),
        rate: state.get("rate"),
        epochs: lesson[state.get("who")].epochs,
        seed: lesson.seed,
        replica: lesson.replicas[state.get("network")],
    };
    const scaledOf = (list) => list.map((row) => scaledRow(examples.x[row], scaling));
    const data = {
        x: scaledOf(kept.map((i) => rows[i])),
        labels: kept.map((i) => labels[i]),
        teacher: kept.map((i) => Float64Array.from(logits[i])),
        validation: { x: scaledOf(held), labels: held.map((row) => examples.y[row]) },
    };
    return { recipe, data };
}

/** A curve that Python has written: [[epoch, value], ...] of a network. */
export function curve(lesson, who, name, network) {
    return Array.from(unpackedRows(lesson[who][name])[network], (value, k) => [k + 1, value]);
}

/** [least, most, step] of the temperatures to train at; the recipe's is among them. */
export function temperatures(lesson) {
    const T = lesson?.recipe.temperature ?? 4;
    return [Math.min(1, T), Math.max(20, T), Math.min(0.5, T)];
}

/** Whether Python has trained the very network of this state. */
export function known(lesson, state) {
    const who = state.get("who");
    const { temperature, alpha } = lesson.recipe;
    const soft = state.get("heat") === temperature && state.get("weight") === alpha;
    return state.get("rate") === lesson[who].rate && (who === "baseline" || soft);
}
