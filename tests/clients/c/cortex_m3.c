/* What a Cortex-M3 finds at address 0: where its stack ends, in the memory of an MPS2 board, and where to begin. */
extern void _start(void);
__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {(void (*)(void))0x20400000, _start};
