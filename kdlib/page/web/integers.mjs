// The student of integers, as kdlib/deployment/integer_network.py and models/deployed/student.h have it.

import { mean } from "./exact.mjs";
import { log } from "./elementary.mjs";
import { power, rint } from "./floats.mjs";
import { softmax } from "./losses.mjs";
import { scaledRow, unpacked, unpackedRows } from "./model.mjs";
import { sha256 } from "./sha256.mjs";
import { Network } from "./network.mjs";

const HIGHEST = 255;

/** x 2^exponent to the nearest integer, ties to even, between low and high. */
const rounded = (x, exponent, low, high) => Math.min(Math.max(rint(x * power(exponent)), low), high);

export class IntegerNetwork {
    constructor(content) {
        this.content = content;
        this.layers = content.layers.map(([weights, biases]) => [unpacked(weights), unpacked(biases)]);
        this.shifts = content.shifts.map(unpacked);
        this.scaling = { offset: unpacked(content.offset), scale: unpacked(content.scale) };
    }

    /** The SHA-256 of weights, biases and shifts as integers of 32 bits. */
    digest() {
        const values = [...this.layers.flat(), ...this.shifts].flatMap((array) => Array.from(array));
        return sha256(new Uint8Array(Int32Array.from(values).buffer));
    }

    /** The integer logits of a raw row. */
    sums(row) {
        const { input_exponent: exponent, zero_point: zero } = this.content;
        let a = scaledRow(row, this.scaling).map((x) => rounded(x, exponent, -zero, HIGHEST - zero) + zero);
        let sums = a;
        this.layers.forEach(([weights, biases], k) => {
            sums = Float64Array.from(biases);
            a.forEach((value, i) => {
                for (let j = 0; j < sums.length; j++) {
                    sums[j] += value * weights[i * sums.length + j];
                }
            });
            a = sums.map((s, j) => (this.shifts[k] ? rounded(s, -this.shifts[k][j], 0, HIGHEST) : s));
        });
        return sums;
    }

    probabilities(sums) {
        return softmax(sums.map((value) => value * power(-this.content.logit_exponent)));
    }
}

const TINY = 2 ** -126;

/** The teacher's members, which speak by the mean of their probabilities: kdlib/learning/model_file.py. */
export class Ensemble {
    constructor({ sizes, parameters }) {
        this.members = unpackedRows(parameters).map((own) => new Network(own, sizes));
    }

    /** row: scaled -> logits, float32. */
    logits(row) {
        const all = this.members.map((member) => member.logits(row));
        if (all.length === 1) {
            return Float32Array.from(all[0]);
        }
        const said = all.map((logits) => softmax(logits));
        return Float32Array.from(said[0], (_, i) => log(Math.max(mean(said.map((p) => p[i])), TINY)));
    }
}
