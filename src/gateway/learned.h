/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_LEARNED_H
#define GATEWAY_LEARNED_H
/*
 * What a provider's headers say of its limits, per credential: requests and tokens a minute, how
 * much is left, when it is full again. From that, callers are let through at the pace the provider
 * will take, so that many agents at once queue here in place of running into 429 together. Limits
 * that the configuration gives (`rate:` of the guard) work besides, in the guard.
 *
 * Pure: time is an argument. A request above the limit waits for a full bucket and runs into debt;
 * it is never refused for ever.
 */
#include "http/message.h"
#include "policy/gcra.h"

enum learned_kind {
    LEARNED_REQUESTS,
    LEARNED_TOKENS,
    LEARNED_INPUT,
    LEARNED_OUTPUT,
    LEARNED_COUNT
};

struct learned_limit {
    bool known;
    double per_second; /* events; the burst is the limit */
    struct gcra rate;
    struct gcra_words words;
    double unanswered; /* events of requests whose answers have not told what is left yet */
};
struct learned {
    uint64_t credential; /* whose; hash */
    int64_t used;        /* last time, to find the oldest */
    struct learned_limit limits[LEARNED_COUNT];
    /* After a 429: nobody before that, and then one by one, at a pace that doubles each second, so
     * that those who come do not make the queue longer for ever. */
    struct gcra pace;
    double first_pace;  /* events a second */
    int64_t paced_from; /* where that pace begins: behind those who queued already */
    struct gcra_words hold;
    int64_t held_until;
};
struct learned_cost {
    double of[LEARNED_COUNT];
};
/* An estimate before the call: a token is four bytes, and of max_tokens no more come than usual. */
void learned_estimate(size_t body_len, int64_t max_tokens, struct learned_cost *out);

void learned_init(struct learned *l, uint64_t credential);
/* Takes `cost` when it may be used, at *at (now or later); false, and nothing taken, when that
 * would be after `latest`; *at says when. `low`: leaves half of the burst to others, and reserves
 * nothing ahead: false with an *at that may be before `latest`, to be asked for again then. */
bool learned_reserve(struct learned *l, const struct learned_cost *cost, bool low, int64_t now,
                     int64_t latest, int64_t *at);
/* An answer's headers; `cost` is that of its request, which they include. What they do not tell of
 * is as if the request had not been. */
void learned_update(struct learned *l, const struct learned_cost *cost,
                    const struct http_headers *headers, int64_t now, int64_t wall);
/* The request ended without such an answer, or before it was sent: it is given back, for a provider
 * in trouble does not count, and one that did will say so. */
void learned_forget(struct learned *l, const struct learned_cost *cost);
/* The provider refused for lack of quota, and said how long. */
void learned_hold(struct learned *l, int64_t now, int64_t until);
/* Requests that could go now; -1 = nothing is known. */
double learned_left(const struct learned *l, enum learned_kind kind, int64_t now);
const char *learned_kind_text(enum learned_kind kind);
#endif
