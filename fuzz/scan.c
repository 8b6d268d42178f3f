/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON scanner on arbitrary bytes. Where a whole parser reads the text as an object, the same
 * values must be found; of any text, nothing may be told that lies outside it.
 */
#include "../tests/gateway/scan_compare.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    /* In memory of just this size: the replayed ones have a NUL behind them. */
    char *text = malloc(size > 0 ? size : 1);
    if (!text) {
        abort();
    }
    if (size > 0) {
        memcpy(text, data, size);
    }
    char *differs = scan_compare(text, size, NULL);
    if (differs) {
        fprintf(stderr, "%s, in: %.*s\n", differs, (int)size, text);
        abort();
    }
    free(text);
    return 0;
}
