/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/learned.h"
#include "base/clock.h"
#include "base/number.h"
#include "policy/retry_after.h"
#include <math.h>
#include <string.h>

#define BYTES_A_TOKEN 4
/* Providers count what is really written; most answers are far below their max_tokens. */
#define USUAL_OUTPUT 1024
/* After a refusal, when the provider has not told its rate. */
#define PACE_A_SECOND 5
/* After so many doublings it is no limit any more. */
#define PACE_DOUBLINGS 20
#define DAY_SECONDS 86400
/* Larger ones are a way to say that there is none. */
#define LIMIT_MOST 1e10

/* How the providers name what they tell: Anthropic, OpenAI; NULL = it has no such header. */
#define PROVIDERS 2
static const struct {
    const char *limit[PROVIDERS], *left[PROVIDERS], *reset[PROVIDERS];
} learned_headers[LEARNED_COUNT] = {
    [LEARNED_REQUESTS] = {{"anthropic-ratelimit-requests-limit", "x-ratelimit-limit-requests"},
                          {"anthropic-ratelimit-requests-remaining",
                           "x-ratelimit-remaining-requests"},
                          {"anthropic-ratelimit-requests-reset", "x-ratelimit-reset-requests"}},
    [LEARNED_TOKENS] = {{"anthropic-ratelimit-tokens-limit", "x-ratelimit-limit-tokens"},
                        {"anthropic-ratelimit-tokens-remaining", "x-ratelimit-remaining-tokens"},
                        {"anthropic-ratelimit-tokens-reset", "x-ratelimit-reset-tokens"}},
    [LEARNED_INPUT] = {{"anthropic-ratelimit-input-tokens-limit", NULL},
                       {"anthropic-ratelimit-input-tokens-remaining", NULL},
                       {"anthropic-ratelimit-input-tokens-reset", NULL}},
    [LEARNED_OUTPUT] = {{"anthropic-ratelimit-output-tokens-limit", NULL},
                        {"anthropic-ratelimit-output-tokens-remaining", NULL},
                        {"anthropic-ratelimit-output-tokens-reset", NULL}},
};

const char *learned_kind_text(enum learned_kind kind) {
    static const char *const texts[LEARNED_COUNT] = {"requests", "tokens", "input_tokens",
                                                     "output_tokens"};
    return texts[kind];
}

void learned_estimate(size_t body_len, int64_t max_tokens, struct learned_cost *out) {
    double input = ceil((double)body_len / BYTES_A_TOKEN);
    double output =
        max_tokens >= 0 && max_tokens < USUAL_OUTPUT ? (double)max_tokens : USUAL_OUTPUT;
    out->of[LEARNED_REQUESTS] = 1;
    out->of[LEARNED_TOKENS] = input + output;
    out->of[LEARNED_INPUT] = input;
    out->of[LEARNED_OUTPUT] = output;
}

static void set_rate(struct gcra *rate, double per_second, double burst) {
    hardy_rate_config c;
    hardy_rate_config_init(&c, sizeof c);
    c.events = per_second;
    c.burst = burst;
    gcra_init(rate, &c);
}

void learned_init(struct learned *l, uint64_t credential) {
    memset(l, 0, sizeof *l);
    l->credential = credential;
    l->first_pace = PACE_A_SECOND;
    set_rate(&l->pace, l->first_pace, 1);
}

/* A request goes when anything is left; what it costs beyond that is a debt, for which those after
 * it wait. So one request that is larger than the bucket is not refused for ever. */
static bool reserve_all(struct learned *l, const struct learned_cost *cost, bool low, int64_t now,
                        int64_t latest, int64_t *at) {
    uint64_t marks[LEARNED_COUNT] = {0};
    hardy_priority priority = low ? HARDY_PRIORITY_LOW : HARDY_PRIORITY_HIGH;
    *at = now;
    for (size_t i = 0; i < LEARNED_COUNT; i++) {
        struct learned_limit *limit = &l->limits[i];
        int64_t slot = now;
        if (!limit->known || cost->of[i] <= 0 ||
            gcra_reserve(&limit->words, &limit->rate, 1, priority, now, latest, &slot, &marks[i]) ==
                HARDY_OK) {
            *at = slot > *at ? slot : *at;
            continue;
        }
        *at = slot;
        while (i-- > 0) {
            gcra_return(&l->limits[i].words, &l->limits[i].rate, 1, marks[i]);
        }
        return false;
    }
    return true;
}

/* For who is the next in the queue. */
static void set_pace(struct learned *l) {
    int64_t behind = (int64_t)word_load(&l->hold.arrival) - l->paced_from;
    double doublings = fmin(fmax(floor((double)behind / HARDY_SECOND), 0), PACE_DOUBLINGS);
    set_rate(&l->pace, ldexp(l->first_pace, (int)doublings), 1);
}

bool learned_reserve(struct learned *l, const struct learned_cost *cost, bool low, int64_t now,
                     int64_t latest, int64_t *at) {
    int64_t held = now;
    uint64_t mark = 0;
    l->used = now;
    /* A hold of the past has let all through who waited for it once its pace has caught up. */
    bool holds = (int64_t)word_load(&l->hold.arrival) > now;
    set_pace(l);
    if (holds && gcra_reserve(&l->hold, &l->pace, 1, HARDY_PRIORITY_HIGH, now, latest, &held,
                              &mark) != HARDY_OK) {
        *at = held;
        return false;
    }
    if (!reserve_all(l, cost, low, now, latest, at)) {
        gcra_return(&l->hold, &l->pace, 1, mark);
        return false;
    }
    for (size_t i = 0; i < LEARNED_COUNT; i++) {
        struct learned_limit *limit = &l->limits[i];
        limit->unanswered += cost->of[i];
        if (limit->known && cost->of[i] > 1) {
            gcra_settle(&limit->words, &limit->rate, 1, cost->of[i], now);
        }
    }
    *at = held > *at ? held : *at;
    return true;
}

void learned_forget(struct learned *l, const struct learned_cost *cost) {
    for (size_t i = 0; i < LEARNED_COUNT; i++) {
        struct learned_limit *limit = &l->limits[i];
        limit->unanswered = fmax(limit->unanswered - cost->of[i], 0);
        if (limit->known && cost->of[i] > 0) {
            gcra_credit(&limit->words, &limit->rate, fmax(cost->of[i], 1));
        }
    }
}

static bool read_count(const struct http_headers *headers, const char *const names[PROVIDERS],
                       double *out) {
    for (size_t i = 0; i < PROVIDERS; i++) {
        const char *text = names[i] ? http_headers_get(headers, names[i]) : NULL;
        size_t len = text ? strlen(text) : 0;
        if (len > 0 && *text != '-' && number_scan(text, len, true) == len) {
            *out = number_value(text, len);
            return true;
        }
    }
    return false;
}

static int64_t read_reset(const struct http_headers *headers, const char *const names[PROVIDERS],
                          int64_t wall) {
    for (size_t i = 0; i < PROVIDERS; i++) {
        const char *text = names[i] ? http_headers_get(headers, names[i]) : NULL;
        if (text) {
            return retry_after_reset(text, wall);
        }
    }
    return 0;
}

/* How fast it fills up again: by what is used and when it will be full; else the whole in a minute,
 * as providers count. */
static double events_a_second(double limit, double left, int64_t reset) {
    double used = limit - left;
    if (used <= 0 || reset <= 0) {
        return limit / 60;
    }
    double rate = used * (double)HARDY_SECOND / (double)reset;
    return fmin(fmax(rate, limit / DAY_SECONDS), limit);
}

void learned_update(struct learned *l, const struct learned_cost *cost,
                    const struct http_headers *headers, int64_t now, int64_t wall) {
    learned_forget(l, cost);
    for (size_t i = 0; i < LEARNED_COUNT; i++) {
        struct learned_limit *limit = &l->limits[i];
        double most, left;
        if (!read_count(headers, learned_headers[i].limit, &most)) {
            continue;
        }
        /* Some answers hold 0 for "no limit of this kind". */
        if (most < 1 || most > LIMIT_MOST) {
            limit->known = false;
            continue;
        }
        if (!read_count(headers, learned_headers[i].left, &left)) {
            continue;
        }
        limit->known = true;
        limit->per_second =
            events_a_second(most, left, read_reset(headers, learned_headers[i].reset, wall));
        set_rate(&limit->rate, limit->per_second, most);
        gcra_set_left(&limit->words, &limit->rate, left - limit->unanswered, now);
    }
}

void learned_hold(struct learned *l, int64_t now, int64_t until) {
    const struct learned_limit *requests = &l->limits[LEARNED_REQUESTS];
    /* The rate of requests is the pace only where they are what is used up: a day's limit of them
     * is slow, and says nothing of when tokens come back. */
    bool used_up = requests->known && learned_left(l, LEARNED_REQUESTS, now) < 1;
    l->first_pace = used_up ? fmin(requests->per_second, PACE_A_SECOND) : PACE_A_SECOND;
    l->held_until = until > l->held_until ? until : l->held_until;
    gcra_hold(&l->hold, &l->pace, HARDY_PRIORITY_HIGH, until);
    l->paced_from = (int64_t)word_load(&l->hold.arrival);
}

double learned_left(const struct learned *l, enum learned_kind kind, int64_t now) {
    const struct learned_limit *limit = &l->limits[kind];
    return limit->known ? gcra_available(&limit->words, &limit->rate, HARDY_PRIORITY_HIGH, now)
                        : -1;
}
