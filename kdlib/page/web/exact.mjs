// Sums and products in doubles that do not round: kdlib/numerics/exact.py, which has the bound.

import { exponent, power, rint, scaled } from "./floats.mjs";

const ceilLog2 = (n) => 32 - Math.clz32(n - 1);

const largest = (x) => x.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** The sum of an array's terms, on a grid of its own. */
export function sum(x) {
    const shift = exponent(largest(x)) - (53 - ceilLog2(Math.max(1, x.length)));
    let total = 0;
    for (const value of x) {
        total += rint(scaled(value, -shift));
    }
    return scaled(total, shift);
}

export const mean = (x) => sum(x) / x.length;

/** A sum of terms in [0, 1], on a grid of 2^-50 or coarser. */
export function unitSum(x) {
    const anchor = 1.5 * power(52 - Math.min(50, 53 - ceilLog2(x.length)));
    let total = 0;
    for (const value of x) {
        total += value + anchor - anchor;
    }
    return total;
}

/** A right operand (inner, width) of `product`, row after row, each column snapped once. */
export class Right {
    constructor(values, width) {
        this.width = width;
        this.inner = values.length / width;
        this.bits = (53 - ceilLog2(this.inner)) >> 1;
        this.units = new Float64Array(width);
        this.integers = new Float64Array(values.length);
        for (let j = 0; j < width; j++) {
            const column = Float64Array.from({ length: this.inner }, (_, k) => values[k * width + j]);
            const shift = exponent(largest(column)) - this.bits;
            column.forEach((value, k) => {
                this.integers[k * width + j] = rint(scaled(value, -shift));
            });
            this.units[j] = power(shift);
        }
    }

    /** a: (inner,), one row -> (width,). */
    product(a) {
        const shift = exponent(largest(a)) - this.bits;
        const total = new Float64Array(this.width);
        for (let k = 0; k < this.inner; k++) {
            const integer = rint(scaled(a[k], -shift));
            if (integer !== 0) {
                for (let j = 0; j < this.width; j++) {
                    total[j] += integer * this.integers[k * this.width + j];
                }
            }
        }
        const unit = power(shift);
        return total.map((value, j) => value * unit * this.units[j]);
    }
}
