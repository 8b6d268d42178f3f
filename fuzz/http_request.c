/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message parser on arbitrary bytes. The first byte of the input chooses: requests or
 * responses, and how the rest is cut. However it is cut, the same must be read; anything else stops
 * the run.
 */
#include "../tests/http/reader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf whole, cut;
    if (size < 2) {
        return 0;
    }
    bool response = data[0] & 1, to_head = data[0] & 2, eof = data[0] & 4;
    size_t step = (data[0] >> 3) + 1U;
    const char *bytes = (const char *)data + 1;
    size--;
    buf_init(&whole, 64 * size + 4096);
    buf_init(&cut, 64 * size + 4096);
    read_messages(response, to_head, bytes, size, size, size, eof, &whole);
    read_messages(response, to_head, bytes, size, step, step, eof, &cut);
    if (whole.len != cut.len || (whole.len > 0 && memcmp(whole.data, cut.data, whole.len) != 0)) {
        fprintf(stderr, "read whole: %s\nread in steps of %zu: %s\n", whole.len ? whole.data : "",
                step, cut.len ? cut.data : "");
        abort();
    }
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
