/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_PROTOCOL_H
#define GATEWAY_PROTOCOL_H
/*
 * What the gateway knows of each protocol it carries: how a call is recognised, what an event of a
 * stream means, how errors look. Everything else passes as bytes.
 */
#include "gateway/scan.h"
#include "gateway/settings.h"
#include "http/sse.h"

enum protocol {
    PROTOCOL_PLAIN,     /* HTTP, and paths that are none of the calls below */
    PROTOCOL_MESSAGES,  /* Anthropic: POST .../messages */
    PROTOCOL_CHAT,      /* OpenAI: POST .../chat/completions */
    PROTOCOL_RESPONSES, /* OpenAI: POST .../responses */
    PROTOCOL_COUNT
};
/* `path` without its query. */
enum protocol protocol_of(enum upstream_protocol upstream, const char *method, const char *path);
const char *protocol_text(enum protocol p); /* "messages", for logs and labels */

/* What a request says about itself. */
struct request_facts {
    bool stream;
    int64_t max_tokens; /* -1 = not said */
    char model[96];     /* "" = not said */
    char session[96];   /* metadata.user_id */
};
void protocol_read_request(enum protocol p, const char *body, size_t len,
                           struct request_facts *out);

struct usage { /* tokens; -1 = not told */
    int64_t input, output, cache_read, cache_write;
};
void usage_init(struct usage *u);
int64_t usage_input_total(const struct usage *u); /* with what came from the cache; -1 = not told */

/* An error as an upstream tells it, in an answer's body or in an event. */
struct told_error {
    char type[64]; /* "overloaded_error" */
    char code[64]; /* "contract_spend_limit_reached", "insufficient_quota" */
    char message[200];
};
/* False: the body is no error of this protocol. */
bool protocol_read_error(enum upstream_protocol upstream, const char *body, size_t len,
                         struct told_error *out);

enum event_meaning {
    EVENT_LIFECYCLE, /* before any content: may be held back */
    EVENT_CONTENT,
    EVENT_TERMINAL, /* content or not: the stream is complete with it */
    EVENT_ERROR     /* the upstream gives up */
};
/* Follows a stream event by event: reads usage, and an error into `error`. */
struct stream_reader {
    enum protocol protocol;
    struct usage usage;
    int64_t sequence; /* of the last event of PROTOCOL_RESPONSES; -1 = none */
    struct told_error error;
};
void stream_reader_init(struct stream_reader *r, enum protocol p);
enum event_meaning stream_reader_take(struct stream_reader *r, const struct sse_event *event);
/* The usage in the body of an answer that is not streamed. */
void protocol_read_usage(enum protocol p, const char *body, size_t len, struct usage *out);

/* --- errors of ours, in the client's protocol ------------------------------------------------- */
enum trouble {
    TROUBLE_OVERLOADED, /* passing: the same request may succeed later */
    TROUBLE_INVALID,    /* 400 */
    TROUBLE_DENIED,     /* 401, 403 */
    TROUBLE_NOT_FOUND,
    TROUBLE_TOO_LARGE,
    TROUBLE_UPSTREAM /* 502: final, and nobody knows what became of the request */
};
/* The status for passing trouble: 529 where clients know it, else 503. */
int protocol_passing_status(enum upstream_protocol upstream);
/* A body of application/json (problem+json for http); `content_type` is static. */
void protocol_write_error(enum upstream_protocol upstream, enum trouble trouble, int status,
                          const char *message, const char *request_id, struct buf *out,
                          const char **content_type);
/* The event that ends a stream which cannot be completed. */
void protocol_write_error_event(const struct stream_reader *r, const char *message,
                                struct buf *out);
#endif
