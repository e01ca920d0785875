// What IEEE 754 says of a number: its exponent, powers of two, and rounding to an integer, in operations that are exact.

const LEAST = -1074;
const POWERS = new Float64Array(1024 - LEAST);
for (let k = 0, value = Number.MIN_VALUE; k < POWERS.length; k++, value *= 2) {
    POWERS[k] = value;
}

/** 2^n for an integer n, of doubles: 0 or Infinity beyond their range. */
export const power = (n) => (n < LEAST ? 0 : n > 1023 ? Infinity : POWERS[n - LEAST]);

const view = new DataView(new ArrayBuffer(8));

/** The e of x = m 2^e with |m| in [1/2, 1), and 0 of zero. x: finite. */
export function exponent(x) {
    view.setFloat64(0, x);
    const field = (view.getUint16(0) >> 4) & 2047;
    return field > 0 ? field - 1022 : x === 0 ? 0 : exponent(x * power(54)) - 54;
}

const ANCHOR = 1.5 * 2 ** 52;

/** The nearest integer, ties to even, without -0. */
export function rint(x) {
    return Math.abs(x) < 2 ** 51 ? x + ANCHOR - ANCHOR : x;
}

/** x 2^shift for |shift| < 3000; integers x are rounded once at most. */
export function scaled(x, shift) {
    const third = Math.floor(shift / 3);
    return x * power(third) * power(third) * power(shift - 2 * third);
}
