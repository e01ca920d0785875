// The multilayer perceptron, as kdlib/learning/network.py has it.

import { Right } from "./exact.mjs";

/** Views of the layers in flat parameters: [[weights, biases], ...]. */
export function layerViews(flat, sizes) {
    let start = 0;
    return sizes.slice(1).map((width, k) => {
        const middle = start + sizes[k] * width;
        const layer = [flat.subarray(start, middle), flat.subarray(middle, middle + width)];
        start = middle + width;
        return layer;
    });
}

/** A network of doubles or float32, each layer's weights snapped once: its logits are those of kdlib. */
export class Network {
    constructor(parameters, sizes) {
        this.layers = layerViews(parameters, sizes).map(([weights, biases]) => [
            new Right(weights, biases.length),
            biases,
        ]);
    }

    /** row: (features,), scaled -> (classes,) doubles. */
    logits(row) {
        return this.layers.reduce((x, [weights, biases], k) => {
            const z = weights.product(k ? x.map((value) => Math.max(value, 0)) : x);
            return z.map((value, j) => value + biases[j]);
        }, row);
    }
}
