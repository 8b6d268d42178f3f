/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CHAOS_REPLY_H
#define CHAOS_REPLY_H
/*
 * One answer in one of the APIs: as a document, or as the events of a stream, which are written one
 * at a time and are never held together. A stream has `lead` events before its first content, an
 * event for each piece, and `tail` events of which the last one says that the answer is complete.
 */
#include "base/json.h"
#include "chaos/ask.h"
#include "http/message.h"

struct meter {           /* what is left of the limits that the headers tell of */
    int64_t wall, reset; /* now, and when all is there again */
    uint64_t requests_limit, requests_left;
    uint64_t input_limit, input_left;
    uint64_t output_limit, output_left;
};
struct failure { /* NULL = what belongs to the status */
    int status;
    const char *type, *code, *param, *message;
};

/* What the APIs of one provider have in common. */
struct dialect {
    int overloaded; /* the status of a provider that has no capacity */
    void (*put_error)(const struct failure *f, const char *request_id, struct buf *out);
    /* request_id, limits and the like; `took` = nanoseconds of work. */
    void (*put_headers)(const struct meter *m, const char *request_id, int64_t took,
                        struct http_headers *out);
    void (*put_models)(struct buf *out);
    const char *(*error_type)(int status);
};
extern const struct dialect anthropic_dialect, openai_dialect;

#define REPLY_ID_SIZE 48
struct reply {
    const struct format *format;
    const struct ask *ask; /* borrowed */
    char id[REPLY_ID_SIZE], item[REPLY_ID_SIZE], call[REPLY_ID_SIZE];
    const char *request_id; /* borrowed */
    int64_t created;        /* seconds since the epoch */
    uint64_t output_tokens;
    struct pieces pieces;
    uint32_t lead, tail;
};

/* One API. */
struct format {
    const struct dialect *dialect;
    enum ask_shape shape;
    const char *id, *item, *tool_item, *call; /* what identifiers begin with */
    bool empty_piece;                         /* a tool's arguments begin with an empty piece */
    uint32_t lead_text, tail_text, lead_tool, tail_tool;
    void (*put_lead)(const struct reply *r, uint32_t i, struct buf *out);
    void (*put_piece)(const struct reply *r, uint32_t i, struct buf *out);
    void (*put_tail)(const struct reply *r, uint32_t i, struct buf *out);
    /* An error inside a stream; `i` = how many events came before. */
    void (*put_error)(const struct reply *r, const struct failure *f, uint32_t i, struct buf *out);
    void (*put_document)(const struct reply *r, struct buf *out);
};
extern const struct format messages_format, chat_format, responses_format;

/* `unique` is what the identifiers are made of. False without memory; reply_free() also then. */
bool reply_init(struct reply *r, const struct format *format, const struct ask *ask, uint32_t words,
                const char *request_id, uint64_t unique, int64_t wall);
void reply_free(struct reply *r);
uint32_t reply_events(const struct reply *r);
void reply_put_event(const struct reply *r, uint32_t i, struct buf *out);
void reply_id(const char *prefix, uint64_t unique, char out[REPLY_ID_SIZE]);

void header_number(struct http_headers *h, const char *name, uint64_t value);

/* An event of a stream: "event: NAME", unless NULL, and the JSON that is written in between. */
void event_begin(struct json_out *j, const char *name, struct buf *out);
void event_end(struct json_out *j);
/* Takes the JSON of the event just written (from `start` on) apart. */
void event_spoil(struct buf *out, size_t start);
#endif
