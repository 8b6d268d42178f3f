/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Server-sent events out of arbitrary bytes. The first byte of the input chooses how the rest is
 * cut and how large an event may be. However it is cut, the same must be told; and what is told
 * must be what the standard says, to the letter.
 */
#include "../tests/http/sse_reader.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct buf *a, const struct buf *b) {
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf whole, cut, dispatched, letter;
    if (size < 2) {
        return 0;
    }
    size_t step = (data[0] & 15) + 1U, first = (data[0] >> 4 & 3) + 1U;
    size_t event_max = data[0] & 0x80 ? 16 : size;
    const char *stream = (const char *)data + 1;
    size--;
    buf_init(&whole, 64 * size + 4096);
    buf_init(&cut, 64 * size + 4096);
    buf_init(&dispatched, 64 * size + 4096);
    buf_init(&letter, 64 * size + 4096);
    sse_read(stream, size, size, size, event_max, &whole, &dispatched);
    sse_read(stream, size, first, step, event_max, &cut, NULL);
    if (!same(&whole, &cut)) {
        fprintf(stderr, "whole:\n%sin pieces of %zu, then %zu:\n%s", whole.data, first, step,
                cut.data);
        abort();
    }
    sse_read_by_the_letter(stream, size, &letter);
    if (event_max >= size && !same(&dispatched, &letter)) {
        fprintf(stderr, "by the letter:\n%sread:\n%s", letter.len ? letter.data : "", whole.data);
        abort();
    }
    buf_free(&whole);
    buf_free(&cut);
    buf_free(&dispatched);
    buf_free(&letter);
    return 0;
}
