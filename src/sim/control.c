/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/control.h"
#include "base/clock.h"
#include "base/error.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_LEAST (2500 * HARDY_MILLISECOND)
#define OPEN_MOST (7500 * HARDY_MILLISECOND)
#define TOKEN ((int32_t)(1 / SIM_BUDGET_RATIO)) /* of what a success gives */
#define TOKENS_EACH (10 * TOKEN)
#define TOKENS_SHARED (100 * TOKEN)
#define THROTTLE_K 2
#define THROTTLE_MEMORY (30 * HARDY_SECOND)

const char *const sim_control_names[SIM_CONTROLS] = {
    "budget",   "shared-budget",   "breaker",  "shared-breaker", "pace",
    "throttle", "shared-throttle", "deadline", "ramp",           "close-rate"};

static bool has(const struct control *c, unsigned controls) {
    return (c->set & controls) != 0;
}

/* Of state that is kept for each client, or once for all. */
static size_t index_of(const struct control *c, unsigned shared, uint32_t client) {
    return has(c, shared) ? 0 : client;
}

static void *states(const struct control *c, unsigned each, unsigned shared, size_t size) {
    size_t count = has(c, shared) ? 1 : c->clients;
    return has(c, each | shared) ? calloc(count, size) : NULL;
}

/* Breaker words keep to cache lines. */
static struct breaker_words *breakers(const struct control *c) {
    size_t count = has(c, SIM_SHARED_BREAKER) ? 1 : c->clients;
    if (!has(c, SIM_BREAKER | SIM_SHARED_BREAKER)) {
        return NULL;
    }
    struct breaker_words *words =
        aligned_alloc(_Alignof(struct breaker_words), count * sizeof *words);
    if (words) {
        memset(words, 0, count * sizeof *words);
    }
    return words;
}

/* For as long as all of them take at that pace, and half as long besides for those who come again.
 */
static void pace_close(struct control *c, const struct sim_settings *settings) {
    c->breaker.close_rate = fmin(fmax(SIM_PACE_SHARE * settings->capacity, 0.001), 1e6);
    double seconds = 1.5 * settings->clients / c->breaker.close_rate;
    int64_t ramp = time_scale(HARDY_SECOND, fmin(seconds, 86400));
    c->breaker.close_ramp = ramp < HARDY_SECOND ? HARDY_SECOND : ramp;
}

hardy_status control_init(struct control *c, const struct sim_settings *settings,
                          hardy_error *error) {
    *c = (struct control){.set = settings->controls, .clients = settings->clients};
    hardy_breaker_config_init(&c->breaker, sizeof c->breaker);
    c->breaker.failure_mode = HARDY_CONSECUTIVE;
    c->breaker.success_threshold = 1;
    c->breaker.half_open_max_calls = 1;
    if (has(c, SIM_CLOSE_RATE)) {
        pace_close(c, settings);
    } else if (!has(c, SIM_RAMP)) {
        c->breaker.close_ramp = 0;
    }
    hardy_rate_config rate;
    hardy_rate_config_init(&rate, sizeof rate);
    rate.events = SIM_PACE_SHARE * settings->capacity;
    rate.burst = 1;
    gcra_init(&c->rate, &rate);
    c->breakers = breakers(c);
    c->budgets = states(c, SIM_BUDGET, SIM_SHARED_BUDGET, sizeof *c->budgets);
    c->throttles = states(c, SIM_THROTTLE, SIM_SHARED_THROTTLE, sizeof *c->throttles);
    if ((has(c, SIM_BREAKER | SIM_SHARED_BREAKER) && !c->breakers) ||
        (has(c, SIM_BUDGET | SIM_SHARED_BUDGET) && !c->budgets) ||
        (has(c, SIM_THROTTLE | SIM_SHARED_THROTTLE) && !c->throttles)) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for the controls of %u clients",
                    c->clients);
    }
    size_t budgets = c->budgets ? has(c, SIM_SHARED_BUDGET) ? 1 : c->clients : 0;
    for (size_t i = 0; i < budgets; i++) {
        c->budgets[i] = has(c, SIM_SHARED_BUDGET) ? TOKENS_SHARED : TOKENS_EACH;
    }
    return HARDY_OK;
}

void control_free(struct control *c) {
    free(c->breakers);
    free(c->budgets);
    free(c->throttles);
    *c = (struct control){0};
}

/* --- throttle ------------------------------------------------------------------------------- */

/* base ^ n by squaring: the same everywhere, as exp() is not. */
static double power(double base, uint64_t n) {
    double result = 1;
    for (; n > 0; n >>= 1, base *= base) {
        if (n & 1) {
            result *= base;
        }
    }
    return result;
}

static struct throttle *throttle_of(struct control *c, uint32_t client, int64_t now) {
    struct throttle *t = &c->throttles[index_of(c, SIM_SHARED_THROTTLE, client)];
    int64_t ms = (now - t->at) / HARDY_MILLISECOND;
    double left = power(1 - (double)HARDY_MILLISECOND / (double)THROTTLE_MEMORY, (uint64_t)ms);
    t->requests *= left;
    t->accepts *= left;
    t->at += ms * HARDY_MILLISECOND;
    return t;
}

static bool throttled(struct control *c, uint32_t client, int64_t now, struct prng *chance) {
    struct throttle *t = throttle_of(c, client, now);
    double excess = (t->requests - THROTTLE_K * t->accepts) / (t->requests + 1);
    t->requests += 1;
    return excess > 0 && prng_unit(chance) < excess;
}

/* --- what the callers ask ------------------------------------------------------------------- */

int64_t control_pace(struct control *c, int64_t now) {
    int64_t at = now;
    if (has(c, SIM_PACE)) {
        gcra_reserve(&c->pace, &c->rate, 1, HARDY_PRIORITY_HIGH, now, HARDY_NEVER, &at, NULL);
    }
    return at;
}

enum control_answer control_admit(struct control *c, uint32_t client, int64_t now,
                                  struct prng *chance, hardy_permit *permit, int64_t *retry_at) {
    if (c->throttles && throttled(c, client, now, chance)) {
        return CONTROL_THROTTLED;
    }
    if (c->breakers && !breaker_acquire(&c->breakers[index_of(c, SIM_SHARED_BREAKER, client)],
                                        &c->breaker, now, 0, permit, retry_at, NULL)) {
        return CONTROL_OPEN;
    }
    return CONTROL_GO;
}

bool control_heard(struct control *c, uint32_t client, bool success, int64_t now,
                   struct prng *chance, hardy_permit *permit) {
    struct breaker_change change = {0};
    if (c->breakers) {
        c->breaker.recovery_timeout = chance_between(chance, OPEN_LEAST, OPEN_MOST);
        breaker_record(&c->breakers[index_of(c, SIM_SHARED_BREAKER, client)], &c->breaker, permit,
                       success ? HARDY_SUCCESS : HARDY_FAILURE, now, &change);
    }
    if (success && c->throttles) {
        throttle_of(c, client, now)->accepts += 1;
    }
    if (success && c->budgets) {
        int32_t most = has(c, SIM_SHARED_BUDGET) ? TOKENS_SHARED : TOKENS_EACH;
        int32_t *tokens = &c->budgets[index_of(c, SIM_SHARED_BUDGET, client)];
        *tokens += *tokens < most;
    }
    return change.from != change.to;
}

bool control_retry(struct control *c, uint32_t client) {
    if (!c->budgets) {
        return true;
    }
    int32_t *tokens = &c->budgets[index_of(c, SIM_SHARED_BUDGET, client)];
    if (*tokens < TOKEN) {
        return false;
    }
    *tokens -= TOKEN;
    return true;
}
