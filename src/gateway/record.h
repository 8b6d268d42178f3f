/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_RECORD_H
#define GATEWAY_RECORD_H
/*
 * What became of each request, and where its time went: one record a request, the last ones kept.
 * No prompt, no answer, no credential is in it.
 */
#include "base/json.h"
#include "gateway/judge.h"

/* How requests end, by whose doing. */
#define REQUEST_OUTCOMES(X)                                                                        \
    X(OK, "ok")                                                                                    \
    X(CALLER, "caller")       /* the request's own fault: the upstream's 4xx, or ours */           \
    X(POLICY, "policy")       /* refused here: breaker, limit, queue, deadline, shutdown */        \
    X(PROVIDER, "provider")   /* the upstream failed, as often as it was tried */                  \
    X(CUT, "cut")             /* a stream that had begun was ended with an error */                \
    X(CANCELLED, "cancelled") /* the client left */                                                \
    X(GATEWAY, "gateway")     /* memory, or a mistake of ours */
enum request_outcome {
#define X(name, text) REQUEST_##name,
    REQUEST_OUTCOMES(X)
#undef X
        REQUEST_OUTCOME_COUNT
};
const char *request_outcome_text(enum request_outcome o);

struct attempt_record {
    int64_t started, connected, first_byte, ended; /* loop's time; 0 = not reached */
    int status;                                    /* 0 = no answer */
    enum attempt_result result;
    int64_t retry_after; /* as told */
    char why[120];
};
#define RECORD_ATTEMPTS 8 /* of a request that is tried oftener, the last ones are kept */
struct request_record {
    char id[20];
    char upstream[64], guard[64], client[64];
    char method[24], path[96];
    char model[96], session[96];
    enum protocol protocol;
    enum upstream_protocol speaks;
    bool stream;
    int64_t wall;                           /* when it had come whole */
    int64_t arrived, begun, content, ended; /* loop's time; 0 = not reached */
    int64_t waited;                         /* for limits, breaker, slots, between attempts */
    int64_t overhead;                       /* hardy's own work before the answer's first byte */
    int status;                             /* as the client saw it; 0 = nothing was sent */
    enum request_outcome outcome;
    char reason[200];
    const char *phase; /* of one that is not over: "calling", "waiting for the circuit breaker" */
    uint64_t bytes_in, bytes_out;
    struct usage usage;
    uint32_t attempts;
    struct attempt_record tries[RECORD_ATTEMPTS];
};
struct attempt_record *record_attempt(struct request_record *r, uint32_t attempt);

/* The last ones that ended. */
struct records {
    struct request_record **ring;
    size_t max, count, next;
    struct record_follower *followers;
};
bool records_init(struct records *r, size_t max);
void records_free(struct records *r);
void records_resize(struct records *r, size_t max); /* without memory it stays as it was */
void records_add(struct records *r, struct request_record *record); /* taken; tells followers */
/* From the newest (0); NULL behind the last. */
const struct request_record *records_at(const struct records *r, size_t i);
const struct request_record *records_find(const struct records *r, const char *id);

/* Hears of each request when it has ended; caller-owned until it unfollows. */
struct record_follower {
    void (*fn)(void *ctx, const struct request_record *record);
    void *ctx;
    struct record_follower *next;
};
void records_follow(struct records *r, struct record_follower *follower);
void records_unfollow(struct records *r, struct record_follower *follower);

/* One object. `details`: with its attempts. `now`: for those that are not over. */
void request_record_to_json(const struct request_record *r, bool details, int64_t now,
                            struct json_out *j);
/* One line through the log. */
void record_log(const struct request_record *r);
#endif
