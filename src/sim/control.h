/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_CONTROL_H
#define SIM_CONTROL_H
/*
 * What keeps callers from making an outage worse: the controls of a model, for all its clients.
 * Breaker and pace are the library's. The budget is not: hardy's lets a few retries a second
 * through whatever happens, and its size follows from that, while the models' is the one of
 * Brooker's article
 * ("Fixing retries with token buckets and circuit breakers", 2022). Client-side throttling (Beyer
 * et al., "Site Reliability Engineering", 2016, chapter 21) hardy does not have.
 */
#include "policy/breaker.h"
#include "policy/gcra.h"
#include "sim/model.h"

struct throttle {
    double requests, accepts; /* of late: both fade, with a time constant of 30 s */
    int64_t at;
};
struct control {
    unsigned set; /* enum sim_control */
    uint32_t clients;
    struct breaker_words *breakers; /* one, or one a client; NULL: none */
    hardy_breaker_config breaker;
    struct gcra_words pace;
    struct gcra rate;
    int32_t *budgets; /* in tenths of a token; likewise */
    struct throttle *throttles;
};

/* E_NOMEM. */
hardy_status control_init(struct control *c, const struct sim_settings *settings,
                          hardy_error *error);
void control_free(struct control *c);

/* When the next call may leave, as far as the pace goes: now or later. */
int64_t control_pace(struct control *c, int64_t now);
enum control_answer {
    CONTROL_GO,
    CONTROL_OPEN,     /* the breaker refuses, until *retry_at */
    CONTROL_THROTTLED /* the client's own throttle refuses */
};
/* Whether a client's call may leave now. */
enum control_answer control_admit(struct control *c, uint32_t client, int64_t now,
                                  struct prng *chance, hardy_permit *permit, int64_t *retry_at);
/* What the client heard of its call. True: the breaker has changed its state. */
bool control_heard(struct control *c, uint32_t client, bool success, int64_t now,
                   struct prng *chance, hardy_permit *permit);
/* Whether the budget pays for a retry, which it then has. */
bool control_retry(struct control *c, uint32_t client);
#endif
