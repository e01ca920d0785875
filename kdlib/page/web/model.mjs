// The page's content as arrays.

import { softmax } from "./losses.mjs";

const TYPES = {
    uint8: Uint8Array,
    int8: Int8Array,
    int32: Int32Array,
    float32: Float32Array,
    float64: Float64Array,
};

/** The numbers of {type, shape, data}. */
export function unpacked({ type, data }) {
    const text = atob(data);
    return new TYPES[type](Uint8Array.from({ length: text.length }, (_, i) => text.charCodeAt(i)).buffer);
}

/** The rows of {type, shape, data}, of two dimensions. */
export function unpackedRows(packed) {
    const values = unpacked(packed);
    const width = packed.shape[1];
    return Array.from({ length: packed.shape[0] }, (_, i) => values.subarray(i * width, (i + 1) * width));
}

/** (row - offset) * scale, doubles; both are of each feature, or one for all. */
export function scaledRow(row, { offset, scale }) {
    return Float64Array.from(
        row,
        (value, i) => (value - offset[offset.length > 1 ? i : 0]) * scale[scale.length > 1 ? i : 0],
    );
}

export class Examples {
    constructor(content) {
        this.classes = content.classes;
        this.x = unpackedRows(content.x);
        this.y = unpacked(content.y);
        const { rows, ...said } = content.shown;
        this.rows = unpacked(rows);
        this.said = Object.fromEntries(Object.entries(said).map(([name, logits]) => [name, unpackedRows(logits)]));
        this.sure = this.said.teacher.map((logits) => softmax(logits));
    }

    label(example) {
        return this.y[this.rows[example]];
    }

    row(example) {
        return this.x[this.rows[example]];
    }

    /** The classes, those first that the teacher holds most likely. */
    guesses(example) {
        const sure = this.sure[example];
        return Array.from(sure.keys()).sort((a, b) => sure[b] - sure[a] || a - b);
    }

    /**
     * Examples of class `label`: those first whose second guess is `other`, in the order of how likely the teacher holds
     * it; where `other` is -1, in the order of how little it believes in `label`.
     */
    like(label, other) {
        const doubt = (i) =>
            other < 0 ? 1 - this.sure[i][label] : this.sure[i][other] + (this.guesses(i)[1] === other);
        const own = Array.from(this.rows.keys()).filter((i) => this.label(i) === label);
        return own.sort((a, b) => doubt(b) - doubt(a) || a - b);
    }
}

/** A picture of an example, a canvas pixel for each of its own: the larger, the darker. */
export function paint(canvas, row, [height, width], highest) {
    [canvas.width, canvas.height] = [width, height];
    const image = new ImageData(width, height);
    row.forEach((value, i) => {
        image.data[4 * i + 3] = Math.round((255 * Math.max(value, 0)) / (highest || 1));
    });
    canvas.getContext("2d").putImageData(image, 0, 0);
}
