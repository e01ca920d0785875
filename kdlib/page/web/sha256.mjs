// SHA-256 (FIPS 180-4) of bytes, in hex. A browser has its own only for pages that came safely, not for one from http.

/** The first 32 binary places of the root of degree `degree` of the first `count` primes. */
function roots(count, degree) {
    const result = [];
    for (let n = 2; result.length < count; n++) {
        if (Array.from({ length: n - 2 }, (_, k) => k + 2).every((k) => n % k !== 0)) {
            const value = BigInt(n) << BigInt(32 * degree);
            let root = 0n;
            for (let bit = 1n << 36n; bit > 0n; bit >>= 1n) {
                root += (root + bit) ** BigInt(degree) <= value ? bit : 0n;
            }
            result.push(Number(BigInt.asUintN(32, root)));
        }
    }
    return result;
}

const START = roots(8, 2);
const ROUNDS = roots(64, 3);
const turned = (x, by) => (x >>> by) | (x << (32 - by));

function padded(bytes) {
    const result = new Uint8Array(((bytes.length + 72) >> 6) << 6);
    result.set(bytes);
    result[bytes.length] = 128;
    new DataView(result.buffer).setBigUint64(result.length - 8, BigInt(bytes.length) * 8n);
    return result;
}

export function sha256(bytes) {
    const data = new DataView(padded(bytes).buffer);
    const state = Uint32Array.from(START);
    const w = new Uint32Array(64);
    for (let start = 0; start < data.byteLength; start += 64) {
        for (let t = 0; t < 64; t++) {
            if (t < 16) {
                w[t] = data.getUint32(start + 4 * t);
                continue;
            }
            const s0 = turned(w[t - 15], 7) ^ turned(w[t - 15], 18) ^ (w[t - 15] >>> 3);
            const s1 = turned(w[t - 2], 17) ^ turned(w[t - 2], 19) ^ (w[t - 2] >>> 10);
            w[t] = w[t - 16] + s0 + w[t - 7] + s1;
        }
        let [a, b, c, d, e, f, g, h] = state;
        for (let t = 0; t < 64; t++) {
            const s1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
            const one = h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[t] + w[t];
            const s0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22);
            const two = s0 + ((a & b) ^ (a & c) ^ (b & c));
            [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
        }
        [a, b, c, d, e, f, g, h].forEach((value, k) => {
            state[k] += value;
        });
    }
    return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}
