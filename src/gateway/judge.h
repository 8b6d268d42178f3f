/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_JUDGE_H
#define GATEWAY_JUDGE_H
/*
 * What an attempt's end means: for the guard (an outcome), for figures and logs (a result of a
 * closed set). The upstream's own word comes first: `x-should-retry`, then the error's code, then
 * the status.
 */
#include "gateway/protocol.h"
#include "http/client.h"
#include "settings/guards.h"
#include <hardy/outcome.h>

/* How attempts end. */
#define ATTEMPT_RESULTS(X)                                                                         \
    X(OK, "ok")                                                                                    \
    X(REJECTED, "rejected") /* the request's own fault: 400, 401, 404 ... */                       \
    X(QUOTA, "quota")       /* a limit that waiting does not lift: spend, subscription */          \
    X(THROTTLED, "throttled")                                                                      \
    X(OVERLOADED, "overloaded")                                                                    \
    X(ERROR, "error")         /* 5xx, or an error inside a 200 */                                  \
    X(CONNECT, "connect")     /* no connection: refused, unreachable, name, TLS */                 \
    X(RESET, "reset")         /* the connection broke before or inside the answer */               \
    X(TRUNCATED, "truncated") /* it ended properly, without the end its protocol demands */        \
    X(MALFORMED, "malformed")                                                                      \
    X(TIMEOUT, "timeout")                                                                          \
    X(CANCELLED, "cancelled") /* by the client's leaving, or our shutdown */                       \
    X(INTERNAL, "internal")
enum attempt_result {
#define X(name, text) ATTEMPT_##name,
    ATTEMPT_RESULTS(X)
#undef X
        ATTEMPT_COUNT
};
const char *attempt_result_text(enum attempt_result r);

struct verdict {
    hardy_outcome outcome;
    enum attempt_result result;
    bool untouched; /* the client must see this answer itself, whatever its status */
};

/* A whole answer. `body` may be "" when it could not be read as text. `wall`: now. */
struct verdict judge_answer(enum upstream_protocol upstream, int status,
                            const struct http_headers *headers, const char *body, size_t len,
                            int64_t wall);
/* An error inside of a 200: an event of a stream, or the whole answer. */
struct verdict judge_event(const struct told_error *error);
/* By the user's `retry_on`: an answer that it does not name is not tried again, but handed on. */
void judge_by_codes(struct verdict *v, const struct guard_settings *guard);
/* No whole answer came. */
struct verdict judge_failure(const struct http_failure *failure);
/* The answer came whole as HTTP, and is not what the protocol demands. */
struct verdict judge_broken(enum attempt_result result);
#endif
