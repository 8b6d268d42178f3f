/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GUARD_EXPLAIN_H
#define GUARD_EXPLAIN_H
/* What a guard with these settings will do: as text, as JSON, and what cannot hold together one by
 * one. `c` has been checked; `o` may be NULL. */
#include "base/json.h"
#include "base/parse.h"
#include <hardy/guard.h>
#include <string.h>

/* What is set beside a guard, by those who drive it; all zero: nothing. */
struct explain_more {
    int64_t connect;                 /* the time-out of a connection; 0 or HARDY_NEVER: none */
    const hardy_rate_config *tokens; /* of a model; NULL: none */
    const char *retry_on;            /* "75, 500-599"; NULL: all that can pass */
    bool by_request; /* what may be repeated is decided by each request, whatever the guard says */
};

/* A warning is of settings that cannot hold; else it is a note of what follows from them. `more`
 * may be NULL in all of these. */
typedef void explain_fn(void *ctx, bool warning, const char *text);
void explain_problems(const hardy_guard_config *c, const struct explain_more *more,
                      const hardy_explain_options *o, explain_fn *tell, void *ctx);
void explain_text(const hardy_guard_config *c, const struct explain_more *more,
                  const hardy_explain_options *o, struct buf *to);
/* One object. */
void explain_json(const hardy_guard_config *c, const struct explain_more *more,
                  const hardy_explain_options *o, struct json_out *j);

/* All attempts up to their time-out and all waits at their longest; HARDY_NEVER: no end. */
int64_t explain_worst_case(const hardy_guard_config *c);
/* Retries whose waits `max_total_wait` has room for: however they are drawn, and at best. */
struct explain_fit {
    uint32_t surely, possibly;
    int64_t shortest; /* the waits up to the first that never fits, each at its shortest */
};
struct explain_fit explain_fit(const hardy_retry_config *r);
const char *explain_jitter(hardy_jitter jitter);

struct span_text {
    char text[48];
};

static inline struct span_text span_text_of(int64_t ns) {
    struct span_text t;
    if (ns == HARDY_NEVER) {
        memcpy(t.text, "none", sizeof "none");
    } else {
        format_duration(ns, t.text);
    }
    return t;
}

/* The array of a returned structure lives until the end of the full expression. */
#define SPAN(ns) (span_text_of(ns).text)
#endif
