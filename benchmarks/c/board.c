/* On a Cortex-M3 of an MPS2 board by QEMU, where an instruction takes a nanosecond and a tick of SysTick 40: prints
 * instructions for one row and bytes of stack. `subject.h` has `subject(row)`, and `rows` in a section of their own. */
#include <stdint.h>

#include "subject.h"

#define TICK 40u
#define PAINTED 16384
#define PAINT 0xA5

static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010;

static int semihosting(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void print(uint32_t value) {
    char text[12], *at = text + 11;
    *at = 0;
    *--at = '\n';
    do {
        *--at = (char)('0' + value % 10);
    } while (value /= 10);
    semihosting(4, at);
}

__attribute__((noinline)) static uint32_t painted(void) {
    volatile uint8_t area[PAINTED];
    uint32_t i, left = 0;
    for (i = 0; i < PAINTED && area[i] == PAINT; i++) left++;
    return left;
}

__attribute__((noinline)) static void paint(void) {
    volatile uint8_t area[PAINTED];
    uint32_t i;
    for (i = 0; i < PAINTED; i++) area[i] = PAINT;
}

__attribute__((noreturn)) void reset(void) {
    uint32_t i, before, after, whole;
    volatile int said;
    paint();
    whole = painted();
    said = subject(rows[0]);
    whole -= painted();
    systick[1] = 0xFFFFFF;
    systick[2] = 0;
    systick[0] = 5;
    before = systick[2];
    for (i = 0; i < ROWS; i++) said = subject(rows[i]);
    after = systick[2];
    (void)said;
    print((before - after) * TICK / ROWS);
    print(whole);
    semihosting(0x18, (const void *)0x20026);
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) void (*const vectors[])(void) = {(void (*)(void))0x20400000, reset};
