// Losses of one example in nats, and their gradients by the student's logits: kdlib/learning/losses.py and objectives.py.

import { exp, log } from "./elementary.mjs";
import { sum, unitSum } from "./exact.mjs";

const shifted = (logits, temperature) => {
    const top = Math.max(...logits);
    return Float64Array.from(logits, (z) => (z - top) / temperature);
};

/** exp(z_i / T) / sum_j exp(z_j / T). */
export function softmax(logits, temperature = 1) {
    const powers = shifted(logits, temperature).map(exp);
    const total = unitSum(powers);
    return powers.map((value) => value / total);
}

export function logSoftmax(logits, temperature = 1) {
    const z = shifted(logits, temperature);
    const total = log(unitSum(z.map(exp)));
    return z.map((value) => value - total);
}

/** -sum_i t_i log p_i, where the label is the only i with t_i = 1; 0 of a label that is not known, -1. */
export function crossEntropy(logits, label) {
    const logs = logSoftmax(logits);
    return -sum(logs.map((value, i) => (i === label ? value : 0)));
}

/** KL(teacher_T || student_T). soft: the teacher's softmax at this temperature. */
export function divergence(logits, soft, temperature) {
    const logs = logSoftmax(logits, temperature);
    return sum(logs.map((value, i) => soft[i] * (log(soft[i] > 0 ? soft[i] : 1) - value)));
}

/** (student_T - teacher_T) / T. */
export function softGradient(logits, soft, temperature) {
    return softmax(logits, temperature).map((p, i) => (p - soft[i]) / temperature);
}

/** p - t. */
export function hardGradient(logits, label) {
    return softmax(logits).map((p, i) => p - (i === label ? 1 : 0));
}

/** alpha scale KL + (1 - alpha) CE, scale = T^2 or 1, and alpha = 1 for an example without a label. */
export class Distillation {
    constructor({ loss, temperature, alpha, scaleByT2 }) {
        if (loss !== "kd") {
            throw new Error(`loss: got ${loss}; needs kd`);
        }
        this.temperature = temperature;
        this.alpha = alpha;
        this.scale = scaleByT2 ? temperature * temperature : 1;
    }

    soft(teacher) {
        return softmax(teacher, this.temperature);
    }

    weights(label) {
        const alpha = label < 0 ? 1 : this.alpha;
        return [alpha * this.scale, 1 - alpha];
    }

    value(logits, label, soft) {
        const [weight, hardWeight] = this.weights(label);
        const hard = hardWeight * crossEntropy(logits, label);
        return weight ? weight * divergence(logits, soft, this.temperature) + hard : hard;
    }

    gradient(logits, label, soft) {
        const [weight, hardWeight] = this.weights(label);
        const hard = hardWeight ? hardGradient(logits, label) : null;
        if (!weight) {
            return hard;
        }
        const gradient = softGradient(logits, soft, this.temperature);
        return gradient.map((value, i) => value * weight + (hard ? hard[i] * hardWeight : 0));
    }
}
