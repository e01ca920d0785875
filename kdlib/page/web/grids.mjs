// Float32 numbers on grids of powers of two: kdlib/numerics/grids.py, which has the bound. A product of two such numbers,
// and each partial sum of them, is an integer of at most 24 bits in units of the grid: doubles hold it as float32 does.

const SIGNIFICAND_BITS = 24;
const FLOOR = 2 ** -40;
export const SCALED_FLOOR = 2 ** -60;
const LIMIT = 2 ** 56;
export const LONGEST = 1024; // sums of more terms are cut in Python, and not made here

const ceilLog2 = (n) => 32 - Math.clz32(n - 1);

export const bitsBeside = (inner, other = 0) => SIGNIFICAND_BITS - other - ceilLog2(inner);

const float = new Float32Array(1);
const field = new Int32Array(float.buffer);

/** Grids of `bits` bits: the unit is 2^(e - bits), 2^(e - 1) < m <= 2^e, for numbers of a largest magnitude m. */
export class Grid {
    constructor(bits, floor = FLOOR) {
        this.bits = Math.min(bits, SIGNIFICAND_BITS - 2);
        this.floor = floor;
    }

    /** 2^(e - 1): the power of two of the float before m. */
    half(largest) {
        float[0] = largest;
        field[0] = ((field[0] - 1) >> (SIGNIFICAND_BITS - 1)) << (SIGNIFICAND_BITS - 1);
        return largest === 0 ? this.floor / 2 : Math.max(float[0], this.floor / 2);
    }

    unit(largest) {
        return Math.min(this.half(largest), LIMIT) * 2 ** (1 - this.bits);
    }

    /** 1.5 2^(23 + e - bits): x + anchor - anchor, each rounded to float32, is x snapped. Infinite above LIMIT. */
    anchor(largest) {
        const half = this.half(largest);
        return half < LIMIT ? 1.5 * half * 2 ** (SIGNIFICAND_BITS - this.bits) : Infinity;
    }
}

/** x, a float32, on the grid of the anchor, ties to even. */
export const snap = (x, anchor) => Math.fround(Math.fround(x + anchor) - anchor);

/** Largest magnitude of each row, or of each column, of `x` (rows, columns), row after row. */
export function magnitudes(x, columns, byColumn) {
    const rows = x.length / columns;
    const result = new Float32Array(byColumn ? columns : rows);
    for (let i = 0; i < x.length; i++) {
        const place = byColumn ? i % columns : (i / columns) | 0;
        const magnitude = Math.abs(x[i]);
        if (!(magnitude <= result[place])) {
            result[place] = magnitude;
        }
    }
    return result;
}
