/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H
/*
 * Four models of callers that retry, with the library's own policies in virtual time.
 *
 * A, contention: N clients change one row. Each reads its version, then writes; the write succeeds
 * when the version is still the same, else the client waits and reads again. The server has no
 * limit. It is the model of AWS's article (M. Brooker, "Exponential Backoff and Jitter", 2015).
 *
 * S, recovery of a herd: each client has one operation, begun within 100 ms of the moment a service
 * dies. It refuses everything for the outage, then serves at its capacity, one at a time; who would
 * wait for longer than a second is refused. Nobody gives up.
 *
 * O, open arrivals: operations arrive at random (Poisson, 0.1/s a client) before, during and after
 * such an outage, whether those before them have ended or not.
 *
 * M, metastable failure (Bronson et al., HotOS 2021): open arrivals at 0.7/s a client, a queue of
 * 30 s, callers that give up on a call after 1 s while the server still does its work, four
 * attempts. The trouble is a tenth of the capacity for 10 s, and then is over.
 */
#include "sim/strategy.h"
#include "sim/world.h"

enum sim_model { SIM_A, SIM_S, SIM_O, SIM_M, SIM_MODELS };
/* Bits of sim_settings.controls. */
enum sim_control {
    SIM_BUDGET = 1,         /* retries cost a token; 10 at first, a success gives 0.1 */
    SIM_SHARED_BUDGET = 2,  /* all clients have one; 100 tokens */
    SIM_BREAKER = 4,        /* a circuit breaker each: 5 failures in a row, one trial */
    SIM_SHARED_BREAKER = 8, /* all clients have one */
    SIM_PACE = 16,          /* one rate limit of 0.8 * capacity for all, burst 1 */
    SIM_THROTTLE = 32,      /* client-side throttling as in Google's SRE book, K = 2 */
    SIM_SHARED_THROTTLE = 64,
    SIM_DEADLINE = 128,  /* the server refuses what it could not answer while its caller waits */
    SIM_RAMP = 256,      /* the breakers have hardy's close_ramp, too */
    SIM_CLOSE_RATE = 512 /* the one breaker has a close_rate of 0.8 * capacity */
};
#define SIM_CONTROLS 10
extern const char *const sim_control_names[SIM_CONTROLS]; /* bit 1 << i */

#define SIM_BUDGET_RATIO 0.1 /* that a success gives */
#define SIM_PACE_SHARE 0.8   /* of the capacity */

#define SIM_CLIENTS_MAX 1000000
struct sim_settings {
    enum sim_model model;
    uint32_t clients;  /* 1 to SIM_CLIENTS_MAX */
    double capacity;   /* calls a second */
    int64_t outage;    /* of the trouble; up to a day */
    unsigned controls; /* enum sim_control */
    uint32_t attempts; /* at most, in all; 0: no limit */
    uint64_t seed;
    struct strategy strategy;
};
/* The model's own figures, for that many clients (0: the model's own number). */
void sim_settings_init(struct sim_settings *s, enum sim_model model, uint32_t clients);
/* E_INVALID names what is out of range, or has no meaning in this model, and what would be right.
 */
hardy_status sim_settings_check(const struct sim_settings *s, hardy_error *error);
/* Offered load over capacity while all is well; 0 where there is none (A, S). */
double sim_utilisation(const struct sim_settings *s);

/* What does not happen is below 0 (SIM_NEVER): never, or not in this model. */
#define SIM_NEVER (-1.0)
struct sim_result {
    uint64_t operations, calls;
    double calls_per_operation;
    double done_after_s; /* all operations; S: since the outage ended; A: since the beginning */
    double peak_over_capacity_1s, peak_over_capacity_100ms; /* calls after the trouble ended */
    double goodput_last_minute; /* successes over operations begun; O, M */
    double recovered_after_s;   /* since the trouble ended: goodput is 95 % of before, for 10 s */
    uint64_t events;
    int64_t trouble_from, trouble_until, end;
    double trouble_share; /* of the capacity that is left meanwhile */
    /* Operations when they begin (A, S: none, they begin at once), calls when they arrive (A: the
     * writes), successes when they are heard. */
    struct series operations_over_time, calls_over_time, successes_over_time;
};
/* `settings` checked. E_NOMEM, E_TOO_LARGE; the result is to be freed all the same. */
hardy_status sim_run(const struct sim_settings *settings, struct sim_result *result,
                     hardy_error *error);
void sim_result_free(struct sim_result *result);

const char *sim_model_name(enum sim_model model); /* "A" */
#endif
