// exp and log as kdlib/numerics/elementary.py has them, which says why they are within 1 ulp, from the same constants:
// these are rounded from integers of 256 binary places.

import { exponent, power, rint } from "./floats.mjs";

const PLACES = 256n;
const ONE = 1n << PLACES;
const STEPS = 1024;
const CELLS = 128;

/** The double nearest to `fixed` 2^-256. */
const toNumber = (fixed) => Number(fixed) * power(-256);

/** 2 atanh(p / q) as an integer of 256 places: the logarithm of (q + p) / (q - p). */
function logOfRatio(p, q) {
    let [sum, term] = [0n, (ONE * p) / q];
    for (let k = 1n; term !== 0n; k += 2n) {
        sum += term / k;
        term = (term * p * p) / (q * q);
    }
    return 2n * sum;
}

/** `fixed` rounded to a multiple of 2^-bits, and what remains, both as doubles. */
function short(fixed, bits) {
    const unit = 1n << (PLACES - bits);
    const half = fixed < 0n ? -unit / 2n : unit / 2n;
    const high = ((fixed + half) / unit) * unit;
    return [toNumber(high), toNumber(fixed - high)];
}

function powers(ratio) {
    const result = new Float64Array(STEPS);
    for (let k = 0, fixed = ONE; k < STEPS; k++, fixed = (fixed * ratio) / ONE) {
        result[k] = toNumber(fixed);
    }
    return result;
}

/** e^x of 256 places, for small x of as many. */
function exponential(x) {
    let [sum, term] = [0n, ONE];
    for (let k = 1n; term !== 0n; k++) {
        sum += term;
        term = (term * x) / (ONE * k);
    }
    return sum;
}

const LN2 = logOfRatio(1n, 3n);
const [LN2_HIGH, LN2_LOW] = short(LN2, 42n);
const [STEP_HIGH, STEP_LOW] = short(LN2 / BigInt(STEPS), 41n);
const STEPS_PER_UNIT = toNumber((BigInt(STEPS) * ONE * ONE) / LN2);
const POWERS = powers(exponential(LN2 / BigInt(STEPS)));
const LOGS = Array.from({ length: 92 }, (_, k) =>
    short(logOfRatio(BigInt(k + 90 - CELLS), BigInt(k + 90 + CELLS)), 42n),
);

export function exp(value) {
    const x = Math.min(Math.max(value, -746), 710);
    const k = rint(x * STEPS_PER_UNIT);
    const r = x - k * STEP_HIGH - k * STEP_LOW;
    const p = (((r * (1 / 24) + 1 / 6) * r + 0.5) * r * r + r) * POWERS[k & (STEPS - 1)] + POWERS[k & (STEPS - 1)];
    const half = k >> 11;
    return p * power(half) * power((k >> 10) - half);
}

const SERIES = [1 / 7, -1 / 6, 1 / 5, -1 / 4, 1 / 3, -1 / 2];

export function log(x) {
    if (!(x > 0 && x < Infinity)) {
        return x === 0 ? -Infinity : x === Infinity ? x : NaN;
    }
    let e = exponent(x);
    let m = x * power(-(e >> 1)) * power((e >> 1) - e);
    if (m < Math.SQRT1_2) {
        [m, e] = [m + m, e - 1];
    }
    const cell = rint(m * CELLS);
    const c = cell * (1 / CELLS);
    const t = (m - c) / c;
    const series = SERIES.reduce((sum, coefficient) => coefficient + t * sum, 0);
    const [high, low] = LOGS[cell - 90];
    return e * LN2_HIGH + high + (t + (t * t * series + (e * LN2_LOW + low)));
}
