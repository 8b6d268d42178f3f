/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gatherings in virtual time: sources that answer, fail, hang and recover, and impatient clients
 * who ask at the same time, demand fresh data and leave. Whatever is told is compared with what
 * happened: no answer is better than the truth, none is worse than its parts allow, and each comes
 * in time.
 *
 *     test_sim [SEEDS [--must-find]]    a mistake was put in: to be found by one of the seeds
 */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/prng.h"
#include "base/str.h"
#include "degrade/gatherer.h"
#include "guard/lru.h"
#include "io/sim.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS HARDY_MILLISECOND
#define DEADLINE (400 * MS)
#define SLACK (DEADLINE + 350 * MS) /* between a source's word and an answer that holds it */
#define LONG (2 * HARDY_MINUTE)
enum { SOURCES = 7, CLIENTS = 4, MAX_ALIVE = 512 };

static const char yaml[] =
    "guards: {g: {retry: {max_retries: 1, base_delay: 10ms}, breaker: off}}\n"
    "degrade:\n"
    "  gatherings:\n"
    "    all:\n"
    "      deadline: 400ms\n"
    "      components:\n"
    "        kept:  {command: [s0], guard: g, timeout: 300ms, cache: 10s, weight: 2}\n"
    "        fixed: {command: [s1], timeout: 150ms, cache: 0s, static: '0',\n"
    "                alternates: [{command: [s2], timeout: 300ms}]}\n"
    "        exact: {command: [s3], timeout: 300ms, fresh_only: true}\n"
    "        quick: {command: [s4], timeout: 300ms, refresh: 500ms, cache: 5s}\n"
    "    fast:\n"
    "      deadline: 400ms\n"
    "      components:\n"
    "        vital: {command: [s5], timeout: 300ms, strategy: fail_fast}\n"
    "        other: {command: [s6], timeout: 300ms, cache: 1h}\n";

enum mode { GOOD, FAILS, HANGS };
struct source {
    enum mode mode;
    int64_t since; /* in this mode */
    int pids[MAX_ALIVE];
    size_t count; /* of runs */
};
struct client {
    struct world *world;
    struct loop_timer timer, leave;
    struct gatherer_ask ask;
    bool asking, fast, fresh;
    int64_t asked;
};
struct world {
    struct loop *loop;
    struct prng random;
    struct gatherer *gatherer;
    hardy_lru *lru;
    hardy_cache inner, cache;
    struct source sources[SOURCES];
    struct client clients[CLIENTS];
    struct loop_timer change, close;
    int64_t kept[2]; /* when an answer of `kept` and `quick` was kept last; 0 = never */
    size_t answers, by_state[8], by_level[LEVELS], fresh_runs;
    char broken[300];
};

static void broken(struct world *w, const char *format, ...) HARDY_PRINTF(2, 3);
static void broken(struct world *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (!w->broken[0])
        vsnprintf(w->broken, sizeof w->broken, format, args);
    va_end(args);
    loop_stop(w->loop);
}

static int64_t below(struct world *w, int64_t limit) {
    return (int64_t)prng_below(&w->random, (uint64_t)limit);
}

/* --- the world -------------------------------------------------------------------------------- */

static void run_source(struct sim_process *p, void *ctx) {
    struct world *w = ctx;
    struct source *s = &w->sources[sim_argv(p)[0][1] - '0'];
    char text[40];
    s->pids[s->count++ % MAX_ALIVE] = sim_pid(p);
    if (s->mode == HANGS)
        return;
    int len = snprintf(text, sizeof text, "%lld", (long long)loop_now(w->loop));
    if (s->mode == GOOD)
        sim_output(p, 1, text, (size_t)len);
    sim_exit_after(p, 1 * MS + below(w, 100 * MS), s->mode == GOOD ? 0 : 1, 0);
}

static size_t alive(struct world *w, size_t source) {
    const struct source *s = &w->sources[source];
    size_t count = s->count < MAX_ALIVE ? s->count : MAX_ALIVE, living = 0;
    for (size_t i = 0; i < count; i++)
        living += sim_alive(w->loop, s->pids[i]);
    return living;
}

static void on_change(struct loop_timer *timer) {
    struct world *w = timer->ctx;
    struct source *s = &w->sources[below(w, SOURCES)];
    int64_t dice = below(w, 10);
    s->mode = dice < 5 ? GOOD : dice < 8 ? FAILS : HANGS;
    s->since = loop_now(w->loop);
    loop_timer_start(w->loop, timer, loop_now(w->loop) + below(w, 2 * HARDY_SECOND));
}

static char *cache_get(void *ctx, const char *key, size_t *len, int64_t *age) {
    struct world *w = ctx;
    return w->inner.get(w->inner.ctx, key, len, age);
}

static void cache_put(void *ctx, const char *key, const void *data, size_t len) {
    struct world *w = ctx;
    if (str_eq(key, "all/kept"))
        w->kept[0] = loop_now(w->loop);
    if (str_eq(key, "all/quick"))
        w->kept[1] = loop_now(w->loop);
    w->inner.put(w->inner.ctx, key, data, len);
}

/* --- what is told, and what is true ----------------------------------------------------------- */

static bool good_for(const struct world *w, size_t source, int64_t span) {
    const struct source *s = &w->sources[source];
    return s->mode == GOOD && s->since <= loop_now(w->loop) - span;
}

static void check_age(struct world *w, const struct client *c, const hardy_component *p,
                      int64_t ttl, int64_t refresh) {
    if (p->state == HARDY_COMPONENT_STATIC || !p->data)
        return;
    int64_t said = strtoll(p->data, NULL, 10), age = loop_now(w->loop) - said;
    if (p->state == HARDY_COMPONENT_FRESH && p->age == 0 && age > SLACK)
        broken(w, "%s is told to be fresh, and is %lld ms old", p->name, (long long)(age / MS));
    if (p->state == HARDY_COMPONENT_FRESH && c->fresh && said < c->asked)
        broken(w, "%s had to be fresh, and is from before it was asked for", p->name);
    if (p->state == HARDY_COMPONENT_FRESH && p->age > refresh)
        broken(w, "%s is fresh, though older than its refresh", p->name);
    if (p->age > 0 && (p->age > age || p->age < age - SLACK))
        broken(w, "%s is told to be %lld ms old, and is %lld", p->name, (long long)(p->age / MS),
               (long long)(age / MS));
    if (p->state == HARDY_COMPONENT_CACHED && (age > ttl + SLACK || c->fresh))
        broken(w, "%s is cached, and %lld ms old%s", p->name, (long long)(age / MS),
               c->fresh ? "; fresh was demanded" : "");
}

/* A source that was good all the time has answered; an answer that was kept stands in. */
static void check_not_worse(struct world *w, const struct client *c, const hardy_component *p,
                            size_t source, int64_t kept, int64_t ttl) {
    bool fresh = p->state == HARDY_COMPONENT_FRESH;
    if (!fresh && good_for(w, source, SLACK))
        broken(w, "%s is %s, though its source is well: %s", p->name,
               hardy_component_state_text(p->state), p->error);
    if (!fresh && p->state != HARDY_COMPONENT_CACHED && !c->fresh && kept > 0 &&
        loop_now(w->loop) - kept > SLACK && loop_now(w->loop) - kept < ttl - SLACK)
        broken(w, "%s is %s, though an answer was kept", p->name,
               hardy_component_state_text(p->state));
}

/* The rule once more, in whole numbers: `all` has a component of weight 2 and three of 1. */
static hardy_level level_by_hand(const struct gathered *g) {
    int with = 0, stale = 0, fresh = 0, total = 0;
    for (size_t i = 0; i < g->count; i++) {
        const hardy_component *p = &g->components[i];
        int weight = (int)p->weight;
        total += weight;
        with += p->data ? weight : 0;
        fresh += p->state == HARDY_COMPONENT_FRESH ? weight : 0;
        stale += p->data && p->state != HARDY_COMPONENT_FRESH ? weight : 0;
        if (p->critical && !p->data)
            return HARDY_LEVEL_FAILED;
    }
    return fresh == total                                     ? HARDY_LEVEL_FULL
           : 10 * with >= 8 * total && 10 * stale < 3 * total ? HARDY_LEVEL_SLIGHT
           : 10 * with >= 6 * total                           ? HARDY_LEVEL_MODERATE
           : 10 * with >= 3 * total                           ? HARDY_LEVEL_MINIMAL
                                                              : HARDY_LEVEL_FAILED;
}

static void check_all(struct world *w, const struct client *c, const hardy_component *p) {
    check_age(w, c, &p[0], 10 * HARDY_SECOND, 0);
    check_age(w, c, &p[1], 0, 0);
    check_age(w, c, &p[2], 0, 0);
    check_age(w, c, &p[3], 5 * HARDY_SECOND, 500 * MS);
    check_not_worse(w, c, &p[0], 0, w->kept[0], 10 * HARDY_SECOND);
    check_not_worse(w, c, &p[3], 4, w->kept[1], 5 * HARDY_SECOND);
    check_not_worse(w, c, &p[1], 1, 0, 0);
    check_not_worse(w, c, &p[1], 2, 0, 0); /* the alternate would have answered, too */
    check_not_worse(w, c, &p[2], 3, 0, 0);
    if (p[1].state == HARDY_COMPONENT_MISSING && !c->fresh)
        broken(w, "fixed is missing, though there is a static answer");
    if (p[2].state == HARDY_COMPONENT_CACHED || p[2].state == HARDY_COMPONENT_STATIC)
        broken(w, "exact is %s", hardy_component_state_text(p[2].state));
}

static void check_fast(struct world *w, const struct client *c, const struct gathered *g) {
    const hardy_component *p = g->components;
    bool failed = p[0].state == HARDY_COMPONENT_MISSING;
    check_age(w, c, &p[1], HARDY_HOUR, 0);
    check_not_worse(w, c, &p[0], 5, 0, 0);
    if (failed && g->level != HARDY_LEVEL_FAILED)
        broken(w, "what fails fast has failed, and the level is %s", hardy_level_text(g->level));
    if (failed && p[1].state == HARDY_COMPONENT_FRESH && p[1].took > p[0].took)
        broken(w, "the sibling of what had failed has gone on");
}

/* Nothing goes on for a gathering that is over. */
static void check_stopped(struct world *w) {
    for (size_t i = 0; i < SOURCES; i++) {
        size_t living = alive(w, i), may = 0;
        for (size_t n = 0; n < CLIENTS; n++)
            may += w->clients[n].asking && w->clients[n].fast == (i >= 5);
        if (living > may)
            broken(w, "source %zu runs %zu times for %zu who wait", i, living, may);
    }
}

static void check_answered(struct world *w) {
    for (size_t n = 0; n < CLIENTS; n++)
        if (w->clients[n].asking && loop_now(w->loop) > w->clients[n].asked + DEADLINE)
            broken(w, "no answer came within the deadline");
}

/* Those who do not demand fresh data share one run. */
static void check_shared(struct world *w) {
    for (size_t i = 0; i < SOURCES; i++) {
        size_t living = alive(w, i), may = 0;
        bool shared = false;
        for (size_t n = 0; n < CLIENTS; n++) {
            const struct client *c = &w->clients[n];
            if (!c->asking || c->fast != (i >= 5))
                continue;
            may += c->fresh || !shared;
            shared = shared || !c->fresh;
        }
        if (living > may)
            broken(w, "source %zu runs %zu times, where %zu would do", i, living, may);
    }
}

static void on_gathered(void *ctx, const struct gathered *g) {
    struct client *c = ctx;
    struct world *w = c->world;
    int64_t now = loop_now(w->loop);
    c->asking = false;
    loop_timer_stop(w->loop, &c->leave);
    loop_timer_start(w->loop, &c->timer, now + below(w, 300 * MS));
    if (!g)
        return;
    if (now > c->asked + DEADLINE)
        broken(w, "an answer after %lld ms", (long long)((now - c->asked) / MS));
    if (c->fast)
        check_fast(w, c, g);
    else
        check_all(w, c, g->components);
    if (g->level != level_by_hand(g))
        broken(w, "the level is %s, and by hand %s", hardy_level_text(g->level),
               hardy_level_text(level_by_hand(g)));
    w->answers++;
    w->by_level[g->level]++;
    for (size_t i = 0; i < g->count; i++)
        w->by_state[g->components[i].state]++;
}

static void on_leave(struct loop_timer *timer) {
    struct client *c = timer->ctx;
    gatherer_ask_cancel(&c->ask);
    c->asking = false;
    loop_timer_start(c->world->loop, &c->timer,
                     loop_now(c->world->loop) + below(c->world, 300 * MS));
}

static void on_ask(struct loop_timer *timer) {
    struct client *c = timer->ctx;
    struct world *w = c->world;
    hardy_error error;
    check_answered(w);
    check_stopped(w);
    check_shared(w);
    c->fast = below(w, 4) == 0;
    c->fresh = below(w, 5) == 0;
    c->asked = loop_now(w->loop);
    c->asking = true;
    w->fresh_runs += c->fresh;
    c->ask = (struct gatherer_ask){.done = on_gathered, .ctx = c};
    if (gatherer_ask(w->gatherer, c->fast ? "fast" : "all", c->fresh ? "*" : NULL, &c->ask,
                     &error) != HARDY_OK)
        broken(w, "%s", error.message);
    if (below(w, 10) == 0)
        loop_timer_start(w->loop, &c->leave, c->asked + below(w, DEADLINE));
}

/* --- a run ------------------------------------------------------------------------------------ */

static void on_close(struct loop_timer *timer) {
    loop_stop(timer->ctx);
}

static struct gatherer *open_gatherer(struct world *w, const char *text) {
    const struct gatherer_world world = {.loop = w->loop, .cache = &w->cache};
    struct gatherer *g = NULL;
    struct config *config;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(config_load_bytes("c.yaml", text, strlen(text), &config, &error), HARDY_OK);
    if (gatherer_open(&world, config, &g, &error) != HARDY_OK)
        fail_msg("%s: %s", error.where, error.message);
    config_free(config);
    return g;
}

static void begin_with(struct world *w, uint64_t seed, const char *text) {
    struct sim_options options;
    hardy_error error;
    memset(w, 0, sizeof *w);
    hardy_error_init(&error, sizeof error);
    sim_options_init(&options);
    options.seed = seed;
    options.end = LONG + HARDY_MINUTE;
    w->loop = loop_sim_new(&options, &error);
    prng_seed(&w->random, seed);
    hardy_env env = loop_env(w->loop);
    assert_int_equal(hardy_lru_new(100, 100000, &env, &w->lru, &error), HARDY_OK);
    w->inner = hardy_lru_cache(w->lru);
    w->cache = (hardy_cache){w, cache_get, cache_put};
    for (size_t i = 0; i < SOURCES; i++) {
        char name[3] = {'s', (char)('0' + i), '\0'};
        sim_program_add(w->loop, name, run_source, w);
        w->sources[i].since = loop_now(w->loop);
    }
    w->gatherer = open_gatherer(w, text);
}

static void begin(struct world *w, uint64_t seed) {
    begin_with(w, seed, yaml);
    for (size_t n = 0; n < CLIENTS; n++) {
        struct client *c = &w->clients[n];
        c->world = w;
        loop_timer_init(&c->timer, on_ask, c);
        loop_timer_init(&c->leave, on_leave, c);
        loop_timer_start(w->loop, &c->timer, loop_now(w->loop) + below(w, 300 * MS));
    }
    loop_timer_init(&w->close, on_close, w->loop);
    loop_timer_start(w->loop, &w->close, loop_now(w->loop) + LONG);
    loop_timer_init(&w->change, on_change, w);
    loop_timer_start(w->loop, &w->change, loop_now(w->loop));
}

static void end(struct world *w) {
    gatherer_close(w->gatherer);
    for (size_t n = 0; n < CLIENTS; n++) {
        loop_timer_stop(w->loop, &w->clients[n].timer);
        loop_timer_stop(w->loop, &w->clients[n].leave);
    }
    loop_timer_stop(w->loop, &w->change);
    loop_timer_stop(w->loop, &w->close);
    loop_run(w->loop); /* what was under way ends by itself */
    loop_free(w->loop);
    hardy_lru_free(w->lru);
}

static uint64_t seeds = 20;

static void what_is_told_is_true(void **state) {
    static struct world w;
    size_t states[8] = {0}, levels[LEVELS] = {0}, shared = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        begin(&w, seed);
        loop_run(w.loop);
        if (w.broken[0])
            fail_msg("seed %llu: %s", (unsigned long long)seed, w.broken);
        for (size_t i = 0; i < 8; i++)
            states[i] += w.by_state[i];
        for (size_t i = 0; i < LEVELS; i++)
            levels[i] += w.by_level[i];
        for (size_t i = 0; i < gatherer_count(w.gatherer); i++) {
            struct gatherer_figures f;
            gatherer_look(w.gatherer, i, &f);
            shared += f.shared;
        }
        end(&w);
    }
    /* All of it has happened. */
    for (size_t i = HARDY_COMPONENT_FRESH; i <= HARDY_COMPONENT_MISSING; i++)
        assert_true(states[i] > seeds);
    for (size_t i = 0; i < LEVELS; i++)
        assert_true(levels[i] > 0);
    assert_true(shared > seeds);
    print_message("# %llu seeds: full %zu, slight %zu, moderate %zu, minimal %zu, failed %zu\n",
                  (unsigned long long)seeds, levels[0], levels[1], levels[2], levels[3], levels[4]);
}

/* --- a guard learns what a source has done, and not what its clients have -----------------------
 */

static const char one_yaml[] =
    "guards: {g: {retry: off, breaker: {failure_threshold: 1, recovery_timeout: 1h}}}\n"
    "degrade: {gatherings: {all: {deadline: 400ms, components: {a: {command: [s0], guard: g}}}}}\n";

static void note_error(void *ctx, const struct gathered *g) {
    struct client *c = ctx;
    str_copy(c->world->broken, sizeof c->world->broken, g->components[0].error);
    loop_stop(c->world->loop);
}

static void on_leave_and_stop(struct loop_timer *timer) {
    struct client *c = timer->ctx;
    gatherer_ask_cancel(&c->ask);
    loop_timer_start(c->world->loop, &c->timer, loop_now(c->world->loop) + HARDY_SECOND);
}

static void on_stop(struct loop_timer *timer) {
    struct client *c = timer->ctx;
    loop_stop(c->world->loop);
}

/* Asks, and waits for the answer or leaves before it. */
static void ask_one(struct world *w, bool leaves) {
    struct client *c = &w->clients[0];
    hardy_error error;
    *c = (struct client){.world = w, .ask = {.done = note_error, .ctx = c}};
    loop_timer_init(&c->timer, on_stop, c);
    loop_timer_init(&c->leave, on_leave_and_stop, c);
    assert_int_equal(gatherer_ask(w->gatherer, "all", NULL, &c->ask, &error), HARDY_OK);
    if (leaves)
        loop_timer_start(w->loop, &c->leave, loop_now(w->loop) + 100 * MS);
    loop_run(w->loop);
}

static void only_what_retry_on_names(void **state) {
    static struct world w;
    static const struct {
        const char *list;
        enum mode mode;
        size_t asked;
    } cases[] = {{"[1, 500-599]", FAILS, 3},
                 {"[2-75, 500-599]", FAILS, 1},
                 {"[124]", HANGS, 3},
                 {"[1-123]", HANGS, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[400];
        snprintf(text, sizeof text,
                 "guards: {g: {timeout: 200ms, breaker: off, retry: {max_retries: 2, base_delay: "
                 "1ms, repeatable: true, retry_on: %s}}}\n"
                 "degrade: {gatherings: {all: {deadline: 9s, components: "
                 "{a: {command: [s0], guard: g}}}}}\n",
                 cases[i].list);
        begin_with(&w, 1, text);
        w.sources[0].mode = cases[i].mode;
        ask_one(&w, false);
        assert_int_equal(w.sources[0].count, cases[i].asked);
        end(&w);
    }
}

static void a_guard_learns_of_its_source_only(void **state) {
    static struct world w;
    (void)state;
    begin_with(&w, 1, one_yaml);
    w.sources[0].mode = HANGS;
    ask_one(&w, true);
    ask_one(&w, true);
    assert_int_equal(w.sources[0].count, 2); /* who leaves opens no breaker */
    ask_one(&w, false);
    assert_string_equal(w.broken, "no answer within 400ms, the time for all together");
    ask_one(&w, false);
    assert_string_equal(w.broken, "guard g: circuit breaker is open");
    assert_int_equal(w.sources[0].count, 3);
    loop_timer_start(w.loop, &w.clients[0].timer, loop_now(w.loop) + HARDY_SECOND);
    loop_run(w.loop);
    assert_int_equal(alive(&w, 0), 0);
    end(&w);
}

/* The breaker stays open, and what is still under way goes on, though the file was read again. */
static void a_guard_outlasts_a_reading(void **state) {
    static const char again[] =
        "guards: {g: {retry: off, breaker: {failure_threshold: 3, recovery_timeout: 2h}}}\n"
        "degrade: {gatherings: {all: {deadline: 400ms, components: {a: {command: [s0], guard: "
        "g}}}}}"
        "\n";
    static struct world w;
    (void)state;
    begin_with(&w, 1, one_yaml);
    w.sources[0].mode = FAILS;
    ask_one(&w, false);
    assert_int_equal(w.sources[0].count, 1);
    for (int i = 0; i < 2; i++) {
        struct gatherer *next = open_gatherer(&w, again);
        gatherer_take_over(next, w.gatherer);
        gatherer_retire(w.gatherer);
        w.gatherer = next;
        ask_one(&w, false);
        assert_string_equal(w.broken, "guard g: circuit breaker is open");
    }
    assert_int_equal(w.sources[0].count, 1);
    end(&w);
}

static int must_find(void) {
    static struct world w;
    uint64_t seed = 0;
    while (!w.broken[0] && seed < seeds) {
        begin(&w, ++seed);
        loop_run(w.loop); /* what a mistake leaves behind is left */
    }
    printf("1..1\n%s 1 - seed %llu: %s\n", w.broken[0] ? "ok" : "not ok", (unsigned long long)seed,
           w.broken[0] ? w.broken : "nothing was found");
    return w.broken[0] ? 0 : 1;
}

int main(int argc, char **argv) {
    log_configure(HARDY_LOG_ERROR, false, 2);
    if (argc > 1)
        seeds = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        return must_find();
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_told_is_true),
                                       cmocka_unit_test(only_what_retry_on_names),
                                       cmocka_unit_test(a_guard_learns_of_its_source_only),
                                       cmocka_unit_test(a_guard_outlasts_a_reading)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
