/* Prints nanoseconds for one row, of each of 9 rounds. `subject.h` has `subject(row)` and `rows`. */
#define _POSIX_C_SOURCE 199309L
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "subject.h"

#define TIMES 20000

int main(void) {
    struct timespec start, end;
    volatile int said;
    int round, i;
    for (round = 0; round < 9; round++) {
        clock_gettime(CLOCK_MONOTONIC, &start);
        for (i = 0; i < TIMES; i++) said = subject(rows[i % ROWS]);
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%f\n", ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / TIMES);
    }
    (void)said;
    return 0;
}
