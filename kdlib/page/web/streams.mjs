// Named streams of random numbers, as kdlib/numerics/streams.py: NumPy's SeedSequence and PCG64.
// References: O'Neill, "PCG: A Family of Simple Fast Space-Efficient ... Generators" (2014); "Developing a seed_seq
// Alternative" (2015), on https://www.pcg-random.org.

/** Four integers of 64 bits from a list of integers of 32 bits. */
function seedWords(entropy) {
    let hash = 0x43b0d7e5;
    const hashed = (value) => {
        const mixed = value ^ hash;
        hash = Math.imul(hash, 0x931e8875);
        const product = Math.imul(mixed, hash);
        return product ^ (product >>> 16);
    };
    const mixed = (x, y) => {
        const result = Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715);
        return result ^ (result >>> 16);
    };
    const pool = [0, 1, 2, 3].map((k) => hashed(entropy[k] ?? 0));
    for (let source = 0; source < 4; source++) {
        for (let target = 0; target < 4; target++) {
            if (source !== target) {
                pool[target] = mixed(pool[target], hashed(pool[source]));
            }
        }
    }
    for (const word of entropy.slice(4)) {
        for (let target = 0; target < 4; target++) {
            pool[target] = mixed(pool[target], hashed(word));
        }
    }
    hash = 0x8b51f9dd;
    const halves = Array.from({ length: 8 }, (_, k) => {
        const value = pool[k % 4] ^ hash;
        hash = Math.imul(hash, 0x58f38ded);
        const product = Math.imul(value, hash);
        return BigInt((product ^ (product >>> 16)) >>> 0);
    });
    return [0, 2, 4, 6].map((k) => halves[k] | (halves[k + 1] << 32n));
}

const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;

/** PCG64 of 128 bits of state, with the output function XSL-RR. */
class PCG64 {
    constructor(words) {
        const [high, low, streamHigh, streamLow] = words;
        this.increment = BigInt.asUintN(128, (((streamHigh << 64n) | streamLow) << 1n) | 1n);
        this.state = this.increment + ((high << 64n) | low);
        this.step();
    }

    step() {
        this.state = BigInt.asUintN(128, this.state * MULTIPLIER + this.increment);
    }

    /** Uniform in [0, 1), a multiple of 2^-53. */
    random() {
        this.step();
        const folded = BigInt.asUintN(64, (this.state >> 64n) ^ this.state);
        const turn = this.state >> 122n;
        const turned = BigInt.asUintN(64, (folded >> turn) | (folded << (64n - turn)));
        return Number(turned >> 11n) * 2 ** -53;
    }
}

export function stream(seed, purpose, replica) {
    return new PCG64(seedWords([seed, replica, ...new TextEncoder().encode(purpose)]));
}

/** Random order of 0 to n - 1: the stable argsort of n uniform draws. */
export function permutation(generator, n) {
    const draws = Float64Array.from({ length: n }, () => generator.random());
    return Int32Array.from({ length: n }, (_, k) => k).sort((a, b) => draws[a] - draws[b]);
}
