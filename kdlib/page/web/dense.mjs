// The three products of a dense layer in training: kdlib/backends/dense.py. Arrays are matrices, row after row.

import { bitsBeside, Grid, magnitudes, SCALED_FLOOR, snap } from "./grids.mjs";

/** Snaps `x` (rows, columns), each row or each column on its grid, in place. */
function snapAll(x, columns, grid, byColumn) {
    const anchors = Array.from(magnitudes(x, columns, byColumn), (largest) => grid.anchor(largest));
    for (let i = 0; i < x.length; i++) {
        x[i] = snap(x[i], anchors[byColumn ? i % columns : (i / columns) | 0]);
    }
    return x;
}

/** a (rows, inner) times b (inner, columns); neither rounds, nor do their sums. */
function product(a, inner, b, columns) {
    const rows = a.length / inner;
    const result = new Float32Array(rows * columns);
    for (let i = 0; i < rows; i++) {
        for (let k = 0; k < inner; k++) {
            const factor = a[i * inner + k];
            if (factor !== 0) {
                for (let j = 0; j < columns; j++) {
                    result[i * columns + j] += factor * b[k * columns + j];
                }
            }
        }
    }
    return result;
}

function transposed(x, columns) {
    const rows = x.length / columns;
    return x.map((_, i) => x[(i % rows) * columns + ((i / rows) | 0)]);
}

export class Dense {
    /** weights (inner, width), biases (width,): views of the parameters. rows: of the largest batch. */
    constructor(weights, biases, rows) {
        [this.weights, this.biases, this.width, this.inner] = [
            weights,
            biases,
            biases.length,
            weights.length / biases.length,
        ];
        const inputBits = Math.min((bitsBeside(this.inner) + 1) >> 1, bitsBeside(rows) >> 1);
        const weightBits = Math.min(bitsBeside(this.inner, inputBits), bitsBeside(this.width) >> 1);
        this.forInputs = new Grid(inputBits);
        this.forWeights = new Grid(weightBits);
        this.forErrorsByColumn = new Grid(bitsBeside(rows, inputBits), SCALED_FLOOR);
        this.forErrorsByRow = new Grid(bitsBeside(this.width, weightBits), SCALED_FLOOR);
        this.forBiases = new Grid(bitsBeside(rows), SCALED_FLOOR);
        this.mirror();
    }

    /** The weights as the products see them; to be called when they have changed. */
    mirror() {
        this.units = magnitudes(this.weights, this.width, true).map((largest) => this.forWeights.unit(largest));
        this.values = snapAll(this.weights.slice(), this.width, this.forWeights, true);
    }

    /** x (rows, inner) float32, which is changed -> the operand of the products. */
    operand(x) {
        const units = magnitudes(x, this.inner, false).map((largest) => this.forInputs.unit(largest));
        return { values: snapAll(x, this.inner, this.forInputs, false), units };
    }

    /** a W + b, float32. */
    forward(operand) {
        const z = product(operand.values, this.inner, this.values, this.width);
        return z.map((value, i) => value + this.biases[i % this.width]);
    }

    /** The gradients by weights and biases. delta: by the result of `forward`, float32. */
    gradients(operand, delta) {
        const [width, units] = [this.width, operand.units];
        const scaled = delta.map((value, i) => value * units[(i / width) | 0]);
        snapAll(scaled, width, this.forErrorsByColumn, true);
        const integers = scaled.map((value, i) => value / units[(i / width) | 0]);
        const biases = new Float32Array(width);
        snapAll(delta.slice(), width, this.forBiases, true).forEach((value, i) => {
            biases[i % width] += value;
        });
        const rows = units.length;
        return [product(transposed(operand.values, this.inner), rows, integers, width), biases];
    }

    /** The gradient by the layer's inputs. */
    backward(delta) {
        const scaled = delta.map((value, i) => value * this.units[i % this.width]);
        snapAll(scaled, this.width, this.forErrorsByRow, false);
        const integers = scaled.map((value, i) => value / this.units[i % this.width]);
        return product(integers, this.width, transposed(this.values, this.width), this.inner);
    }
}
