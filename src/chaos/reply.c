/* SPDX-License-Identifier: Apache-2.0 */
#include "chaos/reply.h"
#include "base/prng.h"
#include <stdio.h>
#include <string.h>

void reply_id(const char *prefix, uint64_t unique, char out[REPLY_ID_SIZE]) {
    snprintf(out, REPLY_ID_SIZE, "%s%016llx%08llx", prefix, (unsigned long long)prng_mix(unique),
             (unsigned long long)(prng_mix(~unique) >> 32));
}

bool reply_init(struct reply *r, const struct format *format, const struct ask *ask, uint32_t words,
                const char *request_id, uint64_t unique, int64_t wall) {
    *r = (struct reply){.format = format,
                        .ask = ask,
                        .request_id = request_id,
                        .created = wall / HARDY_SECOND,
                        .lead = ask->tool ? format->lead_tool : format->lead_text,
                        .tail = ask->tool ? format->tail_tool : format->tail_text};
    if (format->shape == ASK_CHAT && ask->include_usage) {
        r->tail++;
    }
    reply_id(format->id, unique, r->id);
    reply_id(ask->tool ? format->tool_item : format->item, unique + 1, r->item);
    reply_id(format->call, unique + 2, r->call);
    bool good = ask->tool ? pieces_split(&r->pieces, ask->arguments, strlen(ask->arguments),
                                         format->empty_piece)
                          : pieces_answer(&r->pieces, &ask->said, words);
    r->output_tokens = r->pieces.count;
    return good;
}

void reply_free(struct reply *r) {
    pieces_free(&r->pieces);
}

uint32_t reply_events(const struct reply *r) {
    return r->lead + r->pieces.count + r->tail;
}

void reply_put_event(const struct reply *r, uint32_t i, struct buf *out) {
    if (i < r->lead) {
        r->format->put_lead(r, i, out);
    } else if (i < r->lead + r->pieces.count) {
        r->format->put_piece(r, i - r->lead, out);
    } else {
        r->format->put_tail(r, i - r->lead - r->pieces.count, out);
    }
}

void header_number(struct http_headers *h, const char *name, uint64_t value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    (void)http_headers_add(h, name, text);
}

void event_begin(struct json_out *j, const char *name, struct buf *out) {
    if (name) {
        buf_printf(out, "event: %s\n", name);
    }
    buf_puts(out, "data: ");
    json_out_init(j, out, 0);
    json_out_object(j);
}

void event_end(struct json_out *j) {
    json_out_object_end(j);
    buf_puts(j->to, "\n\n");
}

void event_spoil(struct buf *out, size_t start) {
    const char *data = out->data ? strstr(out->data + start, "data: ") : NULL;
    if (data) {
        size_t json = (size_t)(data - out->data) + strlen("data: ");
        size_t len = out->len - strlen("\n\n") - json;
        out->len = json + len / 2;
        buf_puts(out, "\n\n");
    }
}
