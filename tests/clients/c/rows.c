/* rows.bin, rows of doubles -> sums.bin, of each row the class and the logits, int32. */
#include <stdio.h>

#include "student.h"

int main(void) {
    static double row[STUDENT_FEATURES];
    static int32_t said[1 + STUDENT_CLASSES];
    FILE *in = fopen("rows.bin", "rb"), *out = fopen("sums.bin", "wb");
    if (!in || !out || student_self_test()) {
        return 1;
    }
    while (fread(row, sizeof row, 1, in) == 1) {
        said[0] = student_predict(row, said + 1);
        fwrite(said, sizeof said, 1, out);
    }
    return fclose(out);
}
