/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs of workflows in the simulated world: hardy is killed at any event, shims are lost, commands
 * crash and fail, probes cannot tell, a guard makes steps wait and tries again, steps run at once,
 * sleep, wait for a condition and for a person, are undone when a later one fails or somebody
 * cancels, and the wall clock is set by up to an hour. After every event: no two commands of one
 * step are alive, and no effect was repeated or undone twice that was not declared so.
 *
 *   test_work_sim [SEEDS [BUG]]
 */
#include "../cmocka_all.h"
#include "base/prng.h"
#include "base/str.h"
#include "durable/signal.h"
#include "io/file.h"
#include "io/sim.h"
#include "work/resolve.h"
#include "work/runner.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEPS = 10, MAX_RUNS = 2000 };
static int64_t length = 5 * HARDY_MINUTE;
static uint64_t seed_count = 30;
static bool seeded; /* hardy has a mistake in it, which has to be found */

/* What a run of the workflow does, and which of it may be done again. */
struct deed {
    const char *path;
    bool may_repeat, undone;
};
static const struct plan {
    const char *text;
    struct deed deeds[STEPS];
    size_t count;
} plans[] = {
    {"name: sim\n"
     "steps:\n"
     "  - {name: s1, run: [act, s1], in_doubt: ask}\n"
     "  - {name: s2, run: [act, s2], probe: [find, s2]}\n"
     "  - name: fan\n"
     "    parallel:\n"
     "      - {name: s3, run: [act, s3], in_doubt: rerun, guard: slow}\n"
     "      - name: line\n"
     "        steps:\n"
     "          - {name: s4, run: [act, s4], probe: [find, s4], timeout: 2s, guard: slow}\n"
     "          - {name: nap, sleep: 2s}\n"
     "          - {name: s5, run: [act, '${{ steps.s1.output.id }}'], in_doubt: rerun, timeout: "
     "1s}\n"
     "      - {name: s6, run: [act, s6], guard: slow}\n"
     "  - {name: each, for_each: [x, y, z], max_concurrent: 2, run: [act, '${{ item }}'], probe: "
     "[find]}\n"
     "  - {name: never, when: '${{ steps.each.output[0].id == \"x\" }}', run: [act, never]}\n"
     "  - {name: ready, until: [ready], every: 500ms, timeout: 1m}\n"
     "  - {name: ok, approve: {}}\n"
     "  - {name: s7, run: [act, s7], in_doubt: ask}\n",
     {{"s1", false, false},
      {"s2", false, false},
      {"fan/s3", true, false},
      {"fan/line/s4", false, false},
      {"fan/line/s5", true, false},
      {"fan/s6", false, false},
      {"each[0]", false, false},
      {"each[1]", false, false},
      {"each[2]", false, false},
      {"s7", false, false}},
     10},
    {"name: undone\n"
     "steps:\n"
     "  - {name: c1, run: [act, c1], in_doubt: ask, compensate: [undo, '${{ steps.c1.output.id "
     "}}']}\n"
     "  - {name: c2, run: [act, c2], probe: [find, c2], compensate: [undo, c2]}\n"
     "  - name: both\n"
     "    parallel:\n"
     "      - {name: c3, run: [act, c3], probe: [find, c3], compensate: [undo, c3]}\n"
     "      - {name: c4, run: [act, c4], in_doubt: ask, compensate: [undo, c4]}\n"
     "  - {name: pause, sleep: 3s}\n"
     "  - {name: c5, run: [fails, c5], probe: [find, c5]}\n",
     {{"c1", false, true},
      {"c2", false, true},
      {"both/c3", false, true},
      {"both/c4", false, true},
      {"c5", false, false}},
     5},
};
#define PLANS (sizeof plans / sizeof *plans)

struct tally { /* of one step of one run */
    int effects, undone;
    int alive;          /* pid of the command started last; 0 = none */
    int64_t undo_began; /* monotonic, the first time; 0 = not */
};
extern int seeded_bug; /* see src/durable/seeded.h */
int seeded_bug;

static struct {
    struct loop *loop;
    struct store *store;
    struct workflow *workflows[PLANS];
    struct prng chance;
    char state[96], folder[64];
    struct tally runs[MAX_RUNS][STEPS];
    int run; /* the number of the one at work */
    char id[16];
    struct runner *runner;
    hardy_guard *guard;
    int finished, asked, resumed, undone, cancelled;
    bool resume, doubt, broken;
    char failed[64]; /* key of the step of the run at work that has failed first; "" = none has */
    int begun;       /* steps of it that had begun then */
    char why[200];
} w;

static const struct plan *plan_of(int run) {
    return &plans[(size_t)run % PLANS];
}

static bool one_in(int n) {
    return prng_next(&w.chance) % (uint64_t)n == 0;
}

static int64_t between(int64_t low, int64_t high) {
    return low + (int64_t)(prng_next(&w.chance) % (uint64_t)(high - low + 1));
}

static void wrong(const char *what, const char *step) {
    if (!w.broken) {
        snprintf(w.why, sizeof w.why, "%s, at %s of %s", what, step, w.id);
    }
    w.broken = true;
}

/* What a killed hardy had in memory is gone with it; here it stays, and is no leak of hardy's. */
HARDY_API int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
    return 1;
}

/* --- the world outside ------------------------------------------------------------------------ */

struct acting {
    struct loop_timer timer;
    int pid;
    struct tally *tally;
    bool undo;
};

static struct tally *tally_of(int run, const char *path) {
    const struct plan *plan = plan_of(run);
    for (size_t i = 0; i < plan->count; i++) {
        if (str_eq(plan->deeds[i].path, path)) {
            return &w.runs[run][i];
        }
    }
    wrong("a step that is not to run", path ? path : "?");
    return &w.runs[run][0];
}

static struct tally *whose(struct sim_process *p) {
    const char *id = sim_env(p, "HARDY_RUN_ID");
    return tally_of(id ? (int)strtol(id + 1, NULL, 10) : 0, sim_env(p, "HARDY_STEP"));
}

static void on_effect(struct loop_timer *timer) {
    struct acting *a = timer->ctx;
    if (sim_alive(w.loop, a->pid)) {
        if (a->undo) {
            a->tally->undone++;
        } else {
            a->tally->effects++;
        }
    }
    free(a);
}

/* The command: has its effect at some moment, and ends in one of several ways. */
static void do_it(struct sim_process *p, bool undo, int fails_in) {
    struct tally *t = whose(p);
    char text[64];
    int64_t span = between(HARDY_MILLISECOND, 1500 * HARDY_MILLISECOND);
    if (t->alive && sim_alive(w.loop, t->alive)) {
        wrong("two commands at once", sim_env(p, "HARDY_STEP"));
    }
    t->alive = sim_pid(p);
    t->undo_began = undo && t->undo_began == 0 ? loop_now(w.loop) : t->undo_began;
    if (one_in(fails_in)) { /* fails, having done nothing */
        sim_exit_after(p, span, 3, 0);
        return;
    }
    struct acting *a = calloc(1, sizeof *a);
    *a = (struct acting){.pid = sim_pid(p), .tally = t, .undo = undo};
    loop_timer_init(&a->timer, on_effect, a);
    loop_timer_start(w.loop, &a->timer, loop_now(w.loop) + between(0, span));
    snprintf(text, sizeof text, "{\"id\": \"%.20s-%.20s\"}\n", sim_env(p, "HARDY_STEP"),
             sim_env(p, "HARDY_IDEMPOTENCY_KEY"));
    sim_output(p, 1, text, strlen(text));
    sim_exit_after(p, span + 1, 0, one_in(15) ? 11 : 0);
}

static void act(struct sim_process *p, void *ctx) {
    (void)ctx;
    do_it(p, false, 12);
}

static void fails(struct sim_process *p, void *ctx) {
    (void)ctx;
    do_it(p, false, 2);
}

static void undo(struct sim_process *p, void *ctx) {
    (void)ctx;
    do_it(p, true, 12);
}

/* The probe: sees what there is, or not. */
static void find(struct sim_process *p, void *ctx) {
    const struct tally *t = whose(p);
    (void)ctx;
    if (t->alive && sim_alive(w.loop, t->alive)) {
        wrong("asked while the command is alive", sim_env(p, "HARDY_STEP"));
    }
    sim_output(p, 1, "{\"id\": \"found\"}", 15);
    sim_exit_after(p, between(0, 50 * HARDY_MILLISECOND),
                   one_in(10)               ? 2
                   : t->effects > t->undone ? 0
                                            : 1,
                   0);
}

static void ready(struct sim_process *p, void *ctx) {
    (void)ctx;
    sim_exit_after(p, between(0, 300 * HARDY_MILLISECOND), one_in(3) ? 0 : 1, 0);
}

static bool holds(void *ctx) {
    const struct plan *plan = plan_of(w.run);
    (void)ctx;
    for (size_t s = 0; s < plan->count && !w.broken; s++) {
        const struct tally *t = &w.runs[w.run][s];
        if (t->effects > 1 && !plan->deeds[s].may_repeat) {
            wrong("an effect was repeated", plan->deeds[s].path);
        }
        if (t->undone > t->effects) {
            wrong("undone twice, or never done", plan->deeds[s].path);
        }
    }
    return !w.broken;
}

/* People approve what waits, and cancel now and then. */
static void on_person(struct loop_timer *timer) {
    struct run run;
    loop_timer_start(w.loop, timer, loop_now(w.loop) + between(HARDY_SECOND, 8 * HARDY_SECOND));
    if (one_in(4)) { /* and set the clock */
        sim_set_wall(w.loop, between(-HARDY_HOUR, HARDY_HOUR));
    }
    if (run_load(w.store, w.id, &run, NULL) != HARDY_OK) {
        return;
    }
    for (const struct run_step *s = run.root; s; s = run_step_after(run.root, s)) {
        if (s->record.state == RECORD_WAITING && str_eq(s->name, "ok") && !one_in(3)) {
            const struct signal say = {
                .what = SIGNAL_APPROVE, .who = (char *)"a person", .fence = s->record.fence};
            hardy_status said = signal_send(w.store, s->key, &say, HARDY_NEVER, NULL);
            assert_true(said == HARDY_OK || said == HARDY_E_EXISTS);
        }
    }
    if (run.state == RUN_RUNNING && plan_of(w.run) == &plans[1] && one_in(12) && !run.cancelled) {
        char *key = signal_cancel_key(w.id);
        const struct signal say = {.what = SIGNAL_CANCEL, .who = (char *)"a person"};
        assert_int_equal(signal_send(w.store, key, &say, HARDY_NEVER, NULL), HARDY_OK);
        free(key);
    }
    run_free(&run);
}

/* --- hardy -------------------------------------------------------------------------------------
 */

static void begin(void);

static hardy_status find_guard(void *ctx, const struct workflow_step *step,
                               struct runner_guard *out, hardy_error *error) {
    (void)ctx;
    (void)step;
    (void)error;
    out->guard = w.guard;
    return HARDY_OK;
}

static void make_guard(void) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_rate_config rate;
    hardy_env env = loop_env(w.loop);
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_rate_config_init(&rate, sizeof rate);
    config.name = "slow";
    retry.max_retries = 2;
    retry.base_delay = 100 * HARDY_MILLISECOND;
    rate.events = 30;
    rate.period = HARDY_MINUTE;
    rate.burst = 1;
    config.retry = &retry;
    config.rate = &rate;
    assert_int_equal(hardy_guard_new(&config, &env, &w.guard, NULL), HARDY_OK);
}

static const struct record *record_of(const struct run *run, const char *path, bool undo) {
    struct run_step *step = NULL;
    return run_find_step(run, path, &step, NULL) != HARDY_OK ? NULL
           : undo                                            ? &step->undo
                                                             : &step->record;
}

static void check_done(const struct run *run) {
    const struct plan *plan = plan_of(w.run);
    for (size_t s = 0; s < plan->count; s++) {
        const struct record *r = record_of(run, plan->deeds[s].path, false);
        if (!r || r->state != RECORD_DONE) {
            wrong("a run is done and its step is not", plan->deeds[s].path);
        }
        if (w.runs[w.run][s].effects == 0) {
            wrong("done without an effect", plan->deeds[s].path);
        }
        if (w.runs[w.run][s].undone > 0) {
            wrong("done, and undone", plan->deeds[s].path);
        }
    }
}

/* What was done and can be undone is, unless undoing it failed. */
static void check_undone(const struct run *run) {
    const struct plan *plan = plan_of(w.run);
    for (size_t s = 0; s < plan->count; s++) {
        const struct tally *t = &w.runs[w.run][s];
        const struct record *r = record_of(run, plan->deeds[s].path, false);
        const struct record *u = record_of(run, plan->deeds[s].path, true);
        if (r && r->state == RECORD_IN_DOUBT) {
            wrong("ended in doubt", plan->deeds[s].path);
        }
        if (r && u && r->state == RECORD_DONE && plan->deeds[s].undone) {
            if (u->state != RECORD_DONE && u->state != RECORD_FAILED) {
                wrong("not undone", plan->deeds[s].path);
            }
            if (u->state == RECORD_DONE && t->undone != t->effects) {
                wrong("recorded as undone, and is not", plan->deeds[s].path);
            }
        }
    }
}

/* What began last is undone first. */
static void check_order(const struct run *run) {
    const struct plan *plan = plan_of(w.run);
    for (size_t i = 0; i < plan->count; i++) {
        const struct record *a = record_of(run, plan->deeds[i].path, false);
        for (size_t k = 0; k < plan->count; k++) {
            const struct record *b = record_of(run, plan->deeds[k].path, false);
            int64_t undo_a = w.runs[w.run][i].undo_began, undo_b = w.runs[w.run][k].undo_began;
            if (a && b && a->order < b->order && undo_a && undo_b && undo_a < undo_b) {
                wrong("undone before what began later", plan->deeds[i].path);
            }
        }
    }
}

static int count_begun(const struct run *run) {
    int count = 0;
    for (const struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        count += s->kind == RUN_LEAF && (s->driven || s->record.state != RECORD_PENDING);
    }
    return count;
}

/* Once a step has failed, nothing more has begun. */
static void check_halted(const struct run *run) {
    if (w.failed[0] && count_begun(run) > w.begun) {
        wrong("another step has begun after the failure", w.failed);
    }
}

/* A sleep ends when it was to end as it began, however often hardy was killed meanwhile. */
static void check_sleeps(const struct run *run) {
    static const struct {
        const char *name;
        int64_t span;
    } naps[] = {{"nap", 2 * HARDY_SECOND}, {"pause", 3 * HARDY_SECOND}};
    for (const struct run_step *s = run->root; s; s = run_step_after(run->root, s)) {
        for (size_t i = 0; i < sizeof naps / sizeof *naps; i++) {
            if (str_eq(s->name, naps[i].name) && s->record.created &&
                s->record.until.wall != s->record.created + naps[i].span) {
                wrong("slept anew", s->name);
            }
        }
    }
}

static int settle_one(const struct record *r, const struct tally *t, const char *path, bool undo) {
    if (r->state != RECORD_IN_DOUBT) {
        return 0;
    }
    if (t->alive && sim_alive(w.loop, t->alive)) {
        wrong("in doubt while the command is alive", path);
    }
    bool done = undo ? t->undone > 0 : t->effects > 0;
    const struct resolution as = {.row_kind = r->row_kind,
                                  .key = r->key,
                                  .how = done ? RESOLVE_DONE : RESOLVE_RETRY,
                                  .result = "{\"id\": \"person\"}",
                                  .who = "a person"};
    assert_int_equal(record_resolve(w.loop, w.store, w.state, &as, HARDY_NEVER, NULL), HARDY_OK);
    return 1;
}

/* A person looks at the world, and settles what is in doubt. */
static void settle(void) {
    const struct plan *plan = plan_of(w.run);
    struct run run;
    int settled = 0;
    assert_int_equal(run_load(w.store, w.id, &run, NULL), HARDY_OK);
    for (size_t s = 0; s < plan->count; s++) {
        const char *path = plan->deeds[s].path;
        const struct record *r = record_of(&run, path, false);
        if (r) {
            settled += settle_one(r, &w.runs[w.run][s], path, false);
            settled += settle_one(record_of(&run, path, true), &w.runs[w.run][s], path, true);
        }
    }
    if (settled == 0) {
        wrong("in doubt, and no step is", "?");
    }
    run_free(&run);
    w.asked++;
}

static void on_again(struct loop_timer *timer) {
    (void)timer;
    if (w.doubt) {
        settle();
    }
    w.doubt = false;
    begin();
}

static void on_step_ended(void *ctx, const struct run *run, const struct run_step *step,
                          bool undone, hardy_status status, const hardy_error *error) {
    (void)ctx;
    (void)status;
    (void)error;
    if (!undone && step->record.state == RECORD_FAILED && !w.failed[0]) {
        snprintf(w.failed, sizeof w.failed, "%s", step->key);
        w.begun = count_begun(run);
    }
}

/* Killed before it could write that a step failed: the next one has to find out by itself. */
static void forget_failure(void) {
    struct record r;
    record_init(&r);
    if (w.failed[0] && !(record_load(w.store, "step", w.failed, &r, NULL) == HARDY_OK &&
                         r.state == RECORD_FAILED)) {
        w.failed[0] = '\0';
    }
    record_free(&r);
}

static void on_ended(void *ctx, const struct run *run, hardy_status status,
                     const hardy_error *error, const char *difference) {
    static struct loop_timer again;
    (void)ctx;
    (void)difference;
    w.runner = NULL;
    w.resume = false;
    bool closed = status == HARDY_E_CLOSED; /* resumed, and it has all been undone */
    if (run) {
        check_sleeps(run);
        check_order(run);
    }
    if ((status != HARDY_OK && !closed) || !run) {
        snprintf(w.why, sizeof w.why, "ended with %s: %.100s", hardy_status_name(status),
                 error->message);
        w.broken = true;
        return;
    }
    if (run->state == RUN_DONE) {
        check_done(run);
        w.finished++;
        w.run++;
    } else if (run->state == RUN_IN_DOUBT) {
        w.doubt = true;
    } else if (run->state == RUN_CANCELLED || closed) {
        check_undone(run);
        w.undone += closed;
        w.cancelled += !closed;
        w.run++;
    } else {
        check_undone(run);
        check_halted(run);
        w.resumed++;
        w.resume = true;
    }
    w.failed[0] = '\0';
    hardy_guard_free(w.guard);
    w.guard = NULL;
    loop_timer_init(&again, on_again, NULL);
    loop_timer_start(w.loop, &again, loop_now(w.loop) + between(1, 200 * HARDY_MILLISECOND));
}

static void begin(void) {
    static const struct runner_events events = {.step_ended = on_step_ended, .ended = on_ended};
    assert_true(w.run < MAX_RUNS);
    snprintf(w.id, sizeof w.id, "r%d", w.run);
    make_guard();
    const struct runner_options options = {.loop = w.loop,
                                           .store = w.store,
                                           .state = w.state,
                                           .workflow = w.workflows[(size_t)w.run % PLANS],
                                           .id = w.id,
                                           .retry_failed = w.resume,
                                           .input = "{}",
                                           .guard = find_guard};
    assert_int_equal(runner_start(&options, &events, NULL, &w.runner, NULL), HARDY_OK);
}

/* The kernel frees the locks of the dead. */
static void free_locks(void) {
    DIR *d = opendir("/proc/self/fd");
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        char path[64], to[256];
        snprintf(path, sizeof path, "/proc/self/fd/%.20s", e->d_name);
        ssize_t len = readlink(path, to, sizeof to - 1);
        to[len > 0 ? len : 0] = '\0';
        if (strstr(to, "keys.lock")) {
            close((int)strtol(e->d_name, NULL, 10));
        }
    }
    closedir(d);
}

static void on_killed(void *ctx);

static void kill_soon(void) {
    int64_t span = one_in(3) ? between(0, 20 * HARDY_MILLISECOND) : between(0, 4 * HARDY_SECOND);
    sim_kill_at(w.loop, loop_now(w.loop) + span, on_killed, NULL);
}

static void on_killed(void *ctx) {
    (void)ctx;
    w.runner = NULL;
    w.guard = NULL;
    free_locks();
    forget_failure();
    w.resume = w.doubt = false; /* told again by the run as it is recorded */
    begin();
    kill_soon();
}

static void make_world(uint64_t seed) {
    static struct loop_timer person;
    struct sim_options options;
    struct store_options memory = {.path = NULL};
    sim_options_init(&options);
    options.seed = seed;
    options.end = length;
    options.lose = 0.15;
    w.loop = loop_sim_new(&options, NULL);
    assert_int_equal(store_open(&memory, &w.store, NULL), HARDY_OK);
    prng_seed(&w.chance, seed ^ 0x5eed);
    w.run = 0;
    w.finished = w.asked = w.resumed = w.undone = w.cancelled = 0;
    w.resume = w.doubt = w.broken = false;
    w.failed[0] = '\0';
    w.runner = NULL;
    w.guard = NULL;
    w.why[0] = '\0';
    memset(w.runs, 0, sizeof w.runs);
    sim_outside(w.loop, true);
    sim_program_add(w.loop, "act", act, NULL);
    sim_program_add(w.loop, "find", find, NULL);
    sim_program_add(w.loop, "fails", fails, NULL);
    sim_program_add(w.loop, "undo", undo, NULL);
    sim_program_add(w.loop, "ready", ready, NULL);
    loop_timer_init(&person, on_person, NULL);
    loop_timer_start(w.loop, &person, loop_now(w.loop) + HARDY_SECOND);
    sim_outside(w.loop, false);
    sim_invariant(w.loop, holds, NULL);
}

static struct sim_report live(uint64_t seed) {
    struct sim_report report;
    make_world(seed);
    begin();
    kill_soon();
    loop_run(w.loop);
    sim_report(w.loop, &report);
    w.broken = w.broken || report.broken || report.stuck;
    if (w.broken) {
        print_message("# seed %llu after %.1f s: %s\n", (unsigned long long)seed,
                      (double)report.simulated / 1e9, w.why[0] ? w.why : "stuck");
    }
    free_locks();
    loop_free(w.loop);
    store_close(w.store);
    return report;
}

static void seeds(void **state) {
    int64_t simulated = 0;
    uint64_t killed = 0, lost = 0, events = 0;
    int finished = 0, asked = 0, resumed = 0, undone = 0, cancelled = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= seed_count; seed++) {
        struct sim_report r = live(seed);
        if (w.broken) {
            assert_true(seeded);
            return;
        }
        assert_true(r.killed + r.lost >= 5);
        assert_true(r.simulated >= HARDY_MINUTE);
        simulated += r.simulated;
        killed += r.killed;
        lost += r.lost;
        events += r.events;
        finished += w.finished;
        asked += w.asked;
        resumed += w.resumed;
        undone += w.undone;
        cancelled += w.cancelled;
    }
    print_message("# %llu seeds, %.1f hours simulated, %llu events: hardy killed %llu times, shims "
                  "%llu; %d runs finished, %d questions, %d resumed, %d undone, %d cancelled\n",
                  (unsigned long long)seed_count, (double)simulated / 3.6e12,
                  (unsigned long long)events, (unsigned long long)killed, (unsigned long long)lost,
                  finished, asked, resumed, undone, cancelled);
    assert_false(seeded);
    assert_true(finished > (int)seed_count && asked > 0 && resumed > 0);
    assert_true(undone > 0 && cancelled > 0);
}

static void the_same_seed_is_the_same_run(void **state) {
    (void)state;
    const int64_t all = length;
    length = HARDY_MINUTE;
    struct sim_report a = live(7), b = live(7), c = live(8);
    length = all;
    assert_true(a.hash == b.hash);
    assert_true(a.hash != c.hash);
}

static int setup(void **state) {
    static char folder[] = "/tmp/hardy-sim.XXXXXX";
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    assert_non_null(mkdtemp(folder));
    str_copy(w.folder, sizeof w.folder, folder);
    snprintf(w.state, sizeof w.state, "%s/hardy.db", folder);
    for (size_t i = 0; i < PLANS; i++) {
        char path[96];
        snprintf(path, sizeof path, "%s/plan%zu.yaml", folder, i);
        assert_int_equal(file_write(path, plans[i].text, strlen(plans[i].text), false, NULL),
                         HARDY_OK);
        if (workflow_read(path, &w.workflows[i], &error) != HARDY_OK) {
            fail_msg("%s: %s", error.where, error.message);
        }
        unlink(path);
    }
    return 0;
}

static int teardown(void **state) {
    char name[160];
    (void)state;
    for (size_t i = 0; i < PLANS; i++) {
        workflow_free(w.workflows[i]);
    }
    snprintf(name, sizeof name, "%s-steps/keys.lock", w.state);
    unlink(name);
    snprintf(name, sizeof name, "%s-steps", w.state);
    rmdir(name);
    return rmdir(w.folder);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_is_the_same_run),
        cmocka_unit_test(seeds),
    };
    const struct CMUnitTest found[] = {cmocka_unit_test(seeds)};
    if (argc > 1) {
        seed_count = strtoull(argv[1], NULL, 10);
    }
    seeded = argc > 2;
    if (seeded) {
        seeded_bug = (int)strtol(argv[2], NULL, 10);
        return cmocka_run_group_tests_name("work-sim-seeded", found, setup, teardown);
    }
    return cmocka_run_group_tests_name("work-sim", tests, setup, teardown);
}
