/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include <hardy/context.h>
#include <string.h>

/* Where the parts of a traceparent begin, and how long it is at least. */
#define TRACE_ID 3
#define SPAN_ID 36
#define FLAGS 53
#define LENGTH 55

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lower case only, as the recommendation has it. */
static bool read_hex(const char *text, uint8_t *out, size_t len) {
    for (size_t i = 0; i < len; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool any(const uint8_t *bytes, size_t len) {
    uint8_t all = 0;
    for (size_t i = 0; i < len; i++) {
        all |= bytes[i];
    }
    return all != 0;
}

static bool read_trace(const char *text, hardy_trace *out) {
    size_t len = strnlen(text, LENGTH + 1);
    uint8_t version;
    if (len < LENGTH || text[TRACE_ID - 1] != '-' || text[SPAN_ID - 1] != '-' ||
        text[FLAGS - 1] != '-' || !read_hex(text, &version, 1) || version == 0xff) {
        return false;
    }
    /* A later version may say more after another dash. */
    if (len > LENGTH && (version == 0 || text[LENGTH] != '-')) {
        return false;
    }
    return read_hex(text + TRACE_ID, out->trace_id, sizeof out->trace_id) &&
           read_hex(text + SPAN_ID, out->span_id, sizeof out->span_id) &&
           read_hex(text + FLAGS, &out->flags, 1) && any(out->trace_id, sizeof out->trace_id) &&
           any(out->span_id, sizeof out->span_id);
}

bool hardy_trace_parse(const char *text, hardy_trace *out) {
    if (text != NULL && read_trace(text, out)) {
        return true;
    }
    memset(out, 0, sizeof *out);
    return false;
}

void hardy_trace_format(const hardy_trace *trace, char out[HARDY_TRACEPARENT_SIZE]) {
    if (!any(trace->trace_id, sizeof trace->trace_id)) {
        out[0] = '\0';
        return;
    }
    memcpy(out, "00-", TRACE_ID);
    str_hex(trace->trace_id, sizeof trace->trace_id, out + TRACE_ID);
    out[SPAN_ID - 1] = '-';
    str_hex(trace->span_id, sizeof trace->span_id, out + SPAN_ID);
    out[FLAGS - 1] = '-';
    str_hex(&trace->flags, 1, out + FLAGS);
}

void hardy_context_init(hardy_context *context, size_t size) {
    memset(context, 0, size);
    context->size = size;
}
