// A student in training, a step at a time, to the bytes of kdlib/learning/training.py: SGD with momentum.

import { Dense } from "./dense.mjs";
import { mean } from "./exact.mjs";
import { crossEntropy, Distillation } from "./losses.mjs";
import { rateAt, Momentum } from "./momentum.mjs";
import { layerViews, Network } from "./network.mjs";
import { permutation, stream } from "./streams.mjs";

/**
 * recipe: {sizes, epochs, rate, batch, momentum, nesterov, schedule, warmup, keep, loss, temperature, alpha, scaleByT2,
 * seed, replica}. data: {x: rows of scaled doubles, labels, teacher: logits of each row, validation: {x, labels}}.
 */
export class Training {
    constructor(recipe, data) {
        [this.recipe, this.data, this.n, this.step] = [recipe, data, data.x.length, 0];
        this.objective = new Distillation(recipe);
        this.soft = data.teacher.map((logits) => this.objective.soft(logits));
        const { sizes, seed, replica } = recipe;
        this.parameters = new Float32Array(
            sizes.slice(1).reduce((total, width, k) => total + (sizes[k] + 1) * width, 0),
        );
        const weights = stream(seed, "student/weights", replica);
        this.layers = layerViews(this.parameters, sizes).map(([own, biases], k) => {
            const limit = Math.sqrt(6 / sizes[k]);
            own.forEach((_, i) => {
                own[i] = (2 * weights.random() - 1) * limit;
            });
            return new Dense(own, biases, Math.min(recipe.batch, this.n));
        });
        this.order = stream(seed, "student/batches", replica);
        this.update = new Momentum(this.parameters, recipe);
        this.gradient = new Float32Array(this.parameters.length);
        this.gradients = layerViews(this.gradient, sizes);
        this.stepsOfEpoch = Math.ceil(this.n / recipe.batch);
        this.steps = recipe.epochs * this.stepsOfEpoch;
        this.losses = new Float64Array(this.n);
        this.diverged = false;
        this.best = { loss: Number.POSITIVE_INFINITY, parameters: null };
    }

    /** One batch. Returns {epoch, loss, validationLoss, accuracy} after the last one of an epoch, else null. */
    next() {
        const at = this.step % this.stepsOfEpoch;
        if (at === 0) {
            this.indices = permutation(this.order, this.n);
        }
        const batch = this.indices.subarray(at * this.recipe.batch, (at + 1) * this.recipe.batch);
        const { operands, outputs } = this.forward(batch);
        this.backward(operands, outputs, this.delta(batch, outputs[outputs.length - 1], at * this.recipe.batch));
        return ++this.step % this.stepsOfEpoch === 0 ? this.measured() : null;
    }

    forward(batch) {
        const [features] = this.recipe.sizes;
        let x = new Float32Array(batch.length * features);
        batch.forEach((row, i) => {
            x.set(this.data.x[row], i * features);
        });
        const [operands, outputs] = [[], []];
        for (const layer of this.layers) {
            operands.push(layer.operand(x));
            outputs.push(layer.forward(operands[operands.length - 1]));
            x = outputs[outputs.length - 1].map((value) => Math.max(value, 0));
        }
        return { operands, outputs };
    }

    /** The gradient by the logits of a batch, float32; keeps the losses from the place `start`. */
    delta(batch, logits, start) {
        const classes = logits.length / batch.length;
        const delta = new Float32Array(logits.length);
        batch.forEach((row, i) => {
            const own = Float64Array.from(logits.subarray(i * classes, (i + 1) * classes));
            const [label, soft] = [this.data.labels[row], this.soft[row]];
            this.losses[start + i] = this.objective.value(own, label, soft);
            delta.set(
                this.objective.gradient(own, label, soft).map((value) => value / batch.length),
                i * classes,
            );
        });
        return delta;
    }

    backward(operands, outputs, last) {
        let delta = last;
        for (let k = this.layers.length - 1; k >= 0; k--) {
            this.layers[k].gradients(operands[k], delta).forEach((own, i) => {
                this.gradients[k][i].set(own);
            });
            if (k > 0) {
                delta = this.layers[k].backward(delta).map((value, i) => (outputs[k - 1][i] > 0 ? value : 0));
            }
        }
        this.update.step(this.gradient, rateAt(this.recipe, this.step, this.steps));
        for (const layer of this.layers) {
            layer.mirror();
        }
    }

    measured() {
        const network = new Network(this.parameters, this.recipe.sizes);
        const { x, labels } = this.data.validation;
        const logits = x.map((row) => network.logits(row));
        const correct = logits.filter((z, i) => z.indexOf(Math.max(...z)) === labels[i]);
        const loss = mean(this.losses);
        this.diverged ||= !Number.isFinite(loss);
        const validationLoss = mean(Float64Array.from(logits, (z, i) => crossEntropy(z, labels[i])));
        if (this.recipe.keep === "best") {
            this.keep(validationLoss);
        }
        return { epoch: this.step / this.stepsOfEpoch, loss, validationLoss, accuracy: correct.length / x.length };
    }

    /** After an epoch: keep its parameters if its validation loss is the lowest; after the last one restore the best. */
    keep(loss) {
        if (loss < this.best.loss) {
            this.best = { loss, parameters: this.parameters.slice() };
        }
        if (this.done && this.best.parameters) {
            this.parameters.set(this.best.parameters);
        }
    }

    get done() {
        return this.step === this.steps;
    }

    /** The bytes of the parameters: float32, little-endian, without -0; NaN at the end of a training that diverged. */
    bytes() {
        const lost = this.done && (this.diverged || !this.parameters.every(Number.isFinite));
        return new Uint8Array(this.parameters.map((value) => (lost ? NaN : value + 0)).buffer);
    }
}
