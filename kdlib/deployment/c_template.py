"""The C99 template of an integer network, with @NAMES@ as placeholders, and C literals of values."""

import numpy as np

WIDTH = 120  # characters of a line

HEAD = """\
/* A student network of integers: @SIZES@, weights of @BITS@ bits. One C99 file without a library, made by kdlib.
 *
 *     int student_predict(const double *row, int32_t *logits)   the class of a row of @FEATURES@ raw numbers, or -1
 *     int student_self_test(void)                               0 if this machine gives the same integers
 *     student_names[class]                                      its name
 *
 * Constants: @FLASH@ bytes of flash with pointers of 32 bits; the vectors of the self-test come to a program that calls
 * it. Buffers: @RAM@ bytes of stack; the caller has @ROW@ for a row, @LOGITS@ for the logits.
 * The scaling is in double; all after it is in integers, rounded to the nearest, ties to even.
 * Dataset: @DATASET@
 * Network: replica @REPLICA@ of split @SPLIT@, @SETTING@
 * Recipe: @RECIPE@
 * Licence: @LICENCE@ */
#ifndef KDLIB_STUDENT_H
#define KDLIB_STUDENT_H

#include <float.h>
#include <stdint.h>

#if FLT_EVAL_METHOD == 2 || defined(__FAST_MATH__)
#error "the scaling needs plain IEEE 754 doubles: no -ffast-math, and -msse2 -mfpmath=sse on 32-bit x86"
#endif

#define STUDENT_FEATURES @FEATURES@
#define STUDENT_CLASSES @CLASSES@
#define STUDENT_LOGIT_EXPONENT @EXPONENT@
#define STUDENT_LOW (@LOW@)

@CONSTANTS@"""
FUNCTIONS = """\
static inline uint8_t student_input(double scaled) {
    int32_t q;
    if (scaled <= STUDENT_LOW) {
        return 0;
    }
    if (scaled >= STUDENT_LOW + 255) {
        return 255;
    }
    q = (int32_t)scaled; /* Toward zero. Comparisons with exact numbers round it, and leave nothing to contract. */
    if (scaled > q + 0.5 || (scaled == q + 0.5 && (q & 1))) {
        q++;
    } else if (scaled < q - 0.5 || (scaled == q - 0.5 && (q & 1))) {
        q--;
    }
    return (uint8_t)(q - STUDENT_LOW);
}

/* sum + a W, where W begins at the index `at` of two's complements of @BITS@ bits, the first in the lowest bits. */
static inline int32_t student_sum(const uint8_t *a, int32_t inputs, const uint8_t *weights, int32_t at, int32_t sum) {
    int32_t i;
    for (i = 0; i < inputs; i++, at++) {
        int32_t field = (weights[at / @PACKED@] >> (at % @PACKED@ * @BITS@)) & @MASK@;
        sum += a[i] * ((field ^ @SIGN@) - @SIGN@);
    }
    return sum;
}

static inline uint8_t student_activation(int32_t sum, uint8_t shift) {
    uint32_t s = sum > 0 ? (uint32_t)sum : 0;
    if (shift > 0) {
        s = (s + (1u << (shift - 1)) - 1 + ((s >> shift) & 1)) >> shift;
    }
    return (uint8_t)(s > 255 ? 255 : s);
}

/* The index of the class, and the logits times 2^@EXPONENT@; -1, and no logits, if a number is NaN or infinite. */
static inline int student_predict(const double *row, int32_t *logits) {
    @BUFFERS@
    int32_t i, best = 0;
    for (i = 0; i < STUDENT_FEATURES; i++) {
        if (!(row[i] - row[i] == 0)) {
            return -1;
        }
        a0[i] = student_input((row[i] - student_offset[@OFFSET@]) * student_scale[@SCALE@]);
    }
@LAYERS@    for (i = 1; i < STUDENT_CLASSES; i++) {
        if (logits[i] > logits[best]) {
            best = i;
        }
    }
    return (int)best;
}

/* 0, or the number of the first of @VECTORS@ vectors whose logits differ. */
static inline int student_self_test(void) {
    static const float rows[@VECTORS@][STUDENT_FEATURES] = {
@ROWS@    };
    static const int32_t expected[@VECTORS@][STUDENT_CLASSES] = {
@EXPECTED@    };
    double row[STUDENT_FEATURES];
    int32_t i, k, logits[STUDENT_CLASSES];
    for (k = 0; k < @VECTORS@; k++) {
        for (i = 0; i < STUDENT_FEATURES; i++) {
            row[i] = rows[k][i];
        }
        if (student_predict(row, logits) < 0) {
            return (int)(k + 1);
        }
        for (i = 0; i < STUDENT_CLASSES; i++) {
            if (logits[i] != expected[k][i]) {
                return (int)(k + 1);
            }
        }
    }
    return 0;
}

#endif
"""
LAYER = """\
    for (i = 0; i < @OUT@; i++) {
        @RESULT@;
    }
"""


def string(text: str) -> str:
    """Return a C string literal of the text's UTF-8.

    Bytes other than plain ASCII are octal escapes of three digits, so a digit that follows is not part of the escape.
    """
    plain = set(range(32, 127)) - set(b'"\\?')
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def integers(array: np.ndarray) -> list[str]:
    """Return C literals of whole numbers, in flat order."""
    return [str(value) for value in np.ravel(array).astype(np.int64).tolist()]


def doubles(array: np.ndarray) -> list[str]:
    """Return C literals of doubles, in flat order: hexadecimal, because compilers may round decimals differently."""
    return [float(value).hex() for value in np.ravel(array)]
