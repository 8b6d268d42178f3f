/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random guards in random outages. Whatever happens:
 *
 *   - an operation makes at most max_retries + 1 attempts, and ends once;
 *   - no attempt runs past its operation's deadline, or past its time-out;
 *   - never more than max_concurrent attempts at once;
 *   - at most rate * t + burst attempts in all;
 *   - the server takes on what its capacity allows, and no operation ends well without that;
 *   - who waits for a slot has it as soon as one is free;
 *   - the same seed has the same result.
 *
 *     explore_fleet [--seeds N] [--first SEED] [--must-find NAME]   (a bug was put in: it is found)
 */
#include "base/clock.h"
#include "sim/fleet.h"
#include "sim/measure.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world_of_one_seed { /* what is tried, and what was seen of it */
    hardy_guard_config guard;
    hardy_retry_config retry;
    hardy_budget_config budget;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_bulkhead_config bulkhead;
    struct scenario scenario;
    struct scenario_phase phases[4];
    uint64_t calls, reports, begun, ended;
    char wrong[300]; /* the first; "" = none */
};

static void wrong(struct world_of_one_seed *w, const char *format, ...) HARDY_PRINTF(2, 3);
static void wrong(struct world_of_one_seed *w, const char *format, ...) {
    if (!w->wrong[0]) {
        va_list args;
        va_start(args, format);
        vsnprintf(w->wrong, sizeof w->wrong, format, args);
        va_end(args);
    }
}

static double seconds(int64_t span) {
    return (double)span / (double)HARDY_SECOND;
}

/* --- what must hold ------------------------------------------------------------------------- */

static void look(void *ctx, const struct fleet_moment *m) {
    struct world_of_one_seed *w = ctx;
    const hardy_guard_config *g = &w->guard;
    int64_t deadline = time_add(m->began, g->deadline);
    uint32_t most = 1 + (g->retry ? g->retry->max_retries : 0);
    switch (m->kind) {
    case FLEET_BEGIN:
        w->begun++;
        break;
    case FLEET_CALL:
        w->calls++;
        if (m->attempt > most) {
            wrong(w, "attempt %u of an operation that may have %u", m->attempt, most);
        }
        if (m->now >= deadline || m->deadline > deadline) {
            wrong(w, "an attempt at %.3f s, until %.3f s; the deadline is %.3f s", seconds(m->now),
                  seconds(m->deadline), seconds(deadline));
        }
        if (g->bulkhead && m->running > g->bulkhead->max_concurrent) {
            wrong(w, "%u attempts at once, max_concurrent is %u", m->running,
                  g->bulkhead->max_concurrent);
        }
        if (g->rate &&
            (double)w->calls > g->rate->events * seconds(m->now) / seconds(g->rate->period) +
                                   g->rate->burst + 1e-6) {
            wrong(w, "%llu attempts after %.3f s", (unsigned long long)w->calls, seconds(m->now));
        }
        break;
    case FLEET_REPORT:
        w->reports++;
        if (m->now > deadline) {
            wrong(w, "an attempt ran until %.3f s; the deadline was %.3f s", seconds(m->now),
                  seconds(deadline));
        }
        break;
    case FLEET_END:
        w->ended++;
        if (m->now > deadline || m->attempt > most) {
            wrong(w, "an operation ended at %.3f s after %u attempts; the deadline was %.3f s",
                  seconds(m->now), m->attempt, seconds(deadline));
        }
        break;
    }
}

static void look_at_end(struct world_of_one_seed *w, const struct fleet_result *r) {
    const struct scenario_server *server = &w->scenario.server;
    double capacity = scenario_per_second(server->capacity);
    uint64_t ended = 0, calls = 0;
    for (int i = 0; i < FLEET_PARTS; i++) {
        const struct fleet_figures *p = &r->parts[i];
        ended += p->operations;
        calls += p->calls;
        if (p->good + p->failed + p->refused != p->operations) {
            wrong(w, "part %d: %llu operations, and ends of another number", i,
                  (unsigned long long)p->operations);
        }
    }
    if (w->begun != w->ended + r->unfinished || ended != w->ended) {
        wrong(w, "%llu operations began, %llu ended, %llu did not", (unsigned long long)w->begun,
              (unsigned long long)w->ended, (unsigned long long)r->unfinished);
    }
    if (calls > w->calls || w->reports > w->calls) {
        wrong(w, "%llu attempts, %llu reports", (unsigned long long)w->calls,
              (unsigned long long)w->reports);
    }
    /* What is answered in a second may be more: slow answers arrive among those that came after. */
    for (int64_t at = 0; at + HARDY_SECOND <= r->duration; at += SERIES_WIDTH) {
        uint64_t turns = series_sum(&r->turns, at, at + HARDY_SECOND);
        if ((double)turns > capacity + 1) {
            wrong(w, "%llu calls taken on in the second at %.1f s, capacity %.1f",
                  (unsigned long long)turns, seconds(at), capacity);
        }
    }
    if (series_sum(&r->good, 0, HARDY_DAY) > series_sum(&r->turns, 0, HARDY_DAY)) {
        wrong(w, "more operations ended well than calls were taken on");
    }
    hardy_guard_stats s = r->stats;
    if (r->unfinished == 0 && (s.running > 0 || s.waiting > 0)) {
        wrong(w, "%u slots and %u waiting when nobody is left", s.running, s.waiting);
    }
    if (w->guard.bulkhead && s.running != w->calls - w->reports) {
        wrong(w, "%u slots are taken, %llu attempts run", s.running,
              (unsigned long long)(w->calls - w->reports));
    }
    if (w->guard.bulkhead && s.waiting > 0 && s.running < w->guard.bulkhead->max_concurrent) {
        wrong(w, "%u wait though only %u of %u slots are taken", s.waiting, s.running,
              w->guard.bulkhead->max_concurrent);
    }
}

/* --- what is tried -------------------------------------------------------------------------- */

static int64_t between(struct prng *p, int64_t low, int64_t high) {
    return prng_range(prng_next(p), low, high);
}

static void choose_guard(struct world_of_one_seed *w, struct prng *p) {
    hardy_guard_config *g = &w->guard;
    hardy_guard_config_init(g, sizeof *g);
    g->name = "explored";
    g->budget = NULL;
    g->deadline = prng_below(p, 4) ? between(p, HARDY_SECOND, HARDY_MINUTE) : HARDY_NEVER;
    g->timeout = between(p, HARDY_SECOND / 4, 20 * HARDY_SECOND);
    if (prng_below(p, 3)) {
        g->timeout_first_content = between(p, HARDY_SECOND / 4, 20 * HARDY_SECOND);
    }
    if (prng_below(p, 5)) {
        hardy_retry_config_init(&w->retry, sizeof w->retry);
        w->retry.max_retries = (uint32_t)prng_below(p, 8);
        w->retry.base_delay = between(p, 0, 2 * HARDY_SECOND);
        w->retry.max_delay = w->retry.base_delay + between(p, 0, 10 * HARDY_SECOND);
        w->retry.jitter = (hardy_jitter)prng_below(p, 5);
        w->retry.repeatable = prng_below(p, 2);
        g->retry = &w->retry;
    }
    if (g->retry && prng_below(p, 2)) {
        hardy_budget_config_init(&w->budget, sizeof w->budget);
        g->budget = &w->budget;
    }
    if (prng_below(p, 2)) {
        hardy_breaker_config_init(&w->breaker, sizeof w->breaker);
        w->breaker.recovery_timeout = between(p, HARDY_SECOND, 20 * HARDY_SECOND);
        w->breaker.counts_attempts = prng_below(p, 2);
        g->breaker = &w->breaker;
        g->wait_when_open = prng_below(p, 2);
    }
    if (prng_below(p, 3) == 0) {
        hardy_rate_config_init(&w->rate, sizeof w->rate);
        w->rate.events = (double)between(p, 1, 30);
        w->rate.burst = (double)between(p, 1, 20);
        w->rate.reject = prng_below(p, 2);
        g->rate = &w->rate;
    }
    if (prng_below(p, 2)) {
        hardy_bulkhead_config_init(&w->bulkhead, sizeof w->bulkhead);
        w->bulkhead.max_concurrent = (uint32_t)between(p, 1, 12);
        w->bulkhead.max_queue = (uint32_t)between(p, 0, 30);
        g->bulkhead = &w->bulkhead;
    }
}

static void choose_scenario(struct world_of_one_seed *w, struct prng *p) {
    struct scenario *s = &w->scenario;
    s->duration = 3 * HARDY_MINUTE;
    s->clients.count = (uint32_t)between(p, 1, 60);
    s->clients.think = between(p, HARDY_SECOND / 2, 10 * HARDY_SECOND);
    s->clients.given_rate = prng_below(p, 3) == 0;
    s->clients.rate = (struct rate){(double)between(p, 1, 20), 20 * HARDY_SECOND};
    s->server.capacity = (struct rate){(double)between(p, 5, 60), HARDY_SECOND};
    s->server.service_time = between(p, 0, HARDY_SECOND);
    s->server.queue = between(p, 0, 20 * HARDY_SECOND);
    s->server.when_full = (int)prng_below(p, 2);
    s->server.retry_after = between(p, 0, 5 * HARDY_SECOND);
    s->server.abandoned = (int)prng_below(p, 2);
    s->phases.items = w->phases;
    s->phases.count = 1 + prng_below(p, 4);
    for (size_t i = 0; i < s->phases.count; i++) {
        w->phases[i] = (struct scenario_phase){
            .from = between(p, 0, HARDY_MINUTE),
            .span = between(p, HARDY_SECOND, HARDY_MINUTE),
            .fail = (int)prng_below(p, SCENARIO_SLOW_FIRST + 2) - 1,
            .share = prng_below(p, 2) ? 1 : prng_unit(p),
            .capacity = prng_below(p, 2) ? 1 : prng_unit(p),
            .status = 502,
            .retry_after = between(p, 0, 5 * HARDY_SECOND),
            .delay = between(p, HARDY_SECOND, 20 * HARDY_SECOND),
            .given_delay = prng_below(p, 2),
            .given_retry_after = prng_below(p, 2),
        };
    }
}

static uint64_t digest(const struct fleet_result *r) {
    const struct series *all[] = {&r->sent, &r->turns, &r->good, &r->bad};
    uint64_t h = prng_mix(r->events);
    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 0; i < all[k]->count; i++) {
            h = prng_mix(h ^ all[k]->bins[i]);
        }
    }
    return h;
}

/* False: something was wrong, and is told. */
static bool try_seed(uint64_t seed, bool quiet, uint64_t *events) {
    static struct world_of_one_seed w;
    static struct fleet_result result;
    uint64_t digests[2] = {0};
    for (int i = 0; i < 2 && !w.wrong[0]; i++) {
        struct prng p;
        prng_seed(&p, seed);
        w = (struct world_of_one_seed){0};
        choose_guard(&w, &p);
        choose_scenario(&w, &p);
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        const struct fleet_options options = {.scenario = &w.scenario,
                                              .guard = &w.guard,
                                              .repeatable = seed % 2,
                                              .look = look,
                                              .ctx = &w,
                                              .seed = seed};
        if (fleet_run(&options, &result, &error) != HARDY_OK) {
            wrong(&w, "%s", error.message);
        }
        look_at_end(&w, &result);
        digests[i] = digest(&result);
        *events += result.events;
        fleet_result_free(&result);
        if (seed % 8) { /* twice now and then */
            digests[1] = digests[0];
            break;
        }
    }
    if (digests[0] != digests[1]) {
        wrong(&w, "the same seed, and another result");
    }
    bool good = w.wrong[0] == '\0';
    if (!good && !quiet) {
        printf("# seed %llu: %s\n", (unsigned long long)seed, w.wrong);
    }
    w.wrong[0] = '\0';
    return good;
}

int main(int argc, char **argv) {
    uint64_t seeds = 200, first = 1, bad = 0, events = 0;
    const char *must_find = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seeds") == 0) {
            seeds = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--first") == 0) {
            first = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--must-find") == 0) {
            must_find = argv[i + 1];
        }
    }
    for (uint64_t seed = first; seed < first + seeds && !(must_find && bad); seed++) {
        bad += !try_seed(seed, must_find != NULL && bad, &events);
    }
    printf("# %llu seeds, %llu events\n1..1\n%s 1 - %s\n", (unsigned long long)seeds,
           (unsigned long long)events, (must_find ? bad > 0 : bad == 0) ? "ok" : "not ok",
           must_find ? must_find : "random guards in random outages");
    return (must_find ? bad > 0 : bad == 0) ? 0 : 1;
}
