/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fail-over in virtual time: candidates that live and die, a command at each switch, a state that
 * takes nothing, other hardys, people's pauses, and kills of hardy at any moment.
 *
 *   test_fail_over [SEEDS [BUG]]
 */
#include "../cmocka_all.h"
#include "base/prng.h"
#include "base/str.h"
#include "durable/pause.h"
#include "http/client.h"
#include "io/sim.h"
#include "store/internal.h"
#include "supervise/fail_over.h"
#include "supervise/fail_over_record.h"
#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What a killed hardy had in memory is gone with it; here it stays, and is no leak of hardy's. */
HARDY_API int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
    return 1;
}

enum { CANDIDATES = 3, MAX_RUNS = 4000 };
static unsigned seed_count = 8;
extern int seeded_bug, seeded_calls; /* see src/supervise/fail_over_seeded.h */
int seeded_bug, seeded_calls;

struct run { /* of the command of a switch */
    char key[70], to[16];
};
struct switched { /* as it was told */
    int64_t at;   /* virtual */
    char to[16];
};
/* A server that says its name to whoever connects. */
struct server {
    struct listener *listener;
    char name[16];
};
static struct world {
    struct loop *loop;
    struct store *store, *inner; /* what programs use: the spy; and memory, for looking */
    struct config *config;
    struct schema_list checks, targets, fail_overs;
    char state[64];
    int automation;

    bool up[CANDIDATES], hangs[CANDIDATES];
    int64_t changed[CANDIDATES]; /* when that became so */
    struct server servers[CANDIDATES];
    int64_t run_takes;
    int run_code;
    struct run runs[MAX_RUNS];
    size_t run_count;
    bool refuse;           /* batches */
    bool refuse_at_switch; /* from the moment when one is told */

    struct http_client *client;
    struct health *health;
    struct fail_over *f;
    bool gone;
    struct buf told;
    struct switched switches[MAX_RUNS];
    size_t switch_count, paged, urgent;
    char answers[400]; /* of `switched` */
} w;

/* --- the store: refuses when it is told to ---------------------------------------------------- */

static hardy_status spy_submit(struct store *s, struct batch *batch, hardy_error *error) {
    if (w.refuse) {
        batch->status = HARDY_E_NOSPACE;
        batch->failed = -1;
        batch_finish(s, batch, NULL);
        return HARDY_OK;
    }
    return w.inner->methods->submit(w.inner, batch, error);
}

static hardy_status spy_get(struct store *s, const char *kind, const char *key,
                            struct store_row *out, hardy_error *error) {
    (void)s;
    return w.inner->methods->get(w.inner, kind, key, out, error);
}

static hardy_status spy_scan(struct store *s, const char *kind, const char *prefix,
                             const char *after, size_t limit, bool values, struct rows *out,
                             hardy_error *error) {
    (void)s;
    return w.inner->methods->scan(w.inner, kind, prefix, after, limit, values, out, error);
}

static int64_t sim_wall(void *ctx) {
    (void)ctx;
    return loop_wall(w.loop);
}

/* --- programs --------------------------------------------------------------------------------- */

static void ask(struct sim_process *p, void *ctx) {
    size_t n = (size_t)(sim_argv(p)[1][0] - 'a');
    (void)ctx;
    if (!w.hangs[n])
        sim_exit_after(p, 10 * HARDY_MILLISECOND, w.up[n] ? 0 : 1, 0);
}

/* The shell that joins both outputs, and becomes the command behind it. */
static void shell(struct sim_process *p, void *ctx) {
    (void)ctx;
    assert_string_equal(sim_argv(p)[4], "promote");
    assert_string_equal(sim_env(p, "HARDY_FAIL_OVER"), "db");
    assert_non_null(sim_env(p, "HARDY_FROM"));
    assert_int_equal(strncmp(sim_env(p, "HARDY_ADDRESS"), "127.0.0.1:700", 13), 0);
    assert_true(w.run_count < MAX_RUNS);
    struct run *run = &w.runs[w.run_count++];
    str_copy(run->key, sizeof run->key, sim_env(p, "HARDY_IDEMPOTENCY_KEY"));
    str_copy(run->to, sizeof run->to, sim_env(p, "HARDY_TO"));
    sim_output(p, 1, "promoting\n", 10);
    sim_exit_after(p, w.run_takes, w.run_code, 0);
}

static void on_server_data(void *ctx, struct stream *s, const char *data, size_t len) {
    (void)ctx;
    (void)s;
    (void)data;
    (void)len;
}

static void on_server_closed(void *ctx, struct stream *s, enum close_reason reason,
                             const char *detail) {
    (void)ctx;
    (void)s;
    (void)reason;
    (void)detail;
}

static void on_accepted(void *ctx, struct stream *s) {
    static const struct stream_events events = {.data = on_server_data, .closed = on_server_closed};
    const struct server *server = ctx;
    stream_set_events(s, &events, NULL);
    stream_write(s, server->name, strlen(server->name));
}

/* --- the world -------------------------------------------------------------------------------- */

static const char frame[] =
    "checks:\n"
    "  - {name: a, command: [ask, a], interval: 1s, timeout: 500ms, failure_threshold: 2, "
    "success_threshold: 2, grace: 0s}\n"
    "  - {name: b, command: [ask, b], interval: 1s, timeout: 500ms, failure_threshold: 2, "
    "success_threshold: 2, grace: 0s}\n"
    "  - {name: c, command: [ask, c], interval: 1s, timeout: 500ms, failure_threshold: 2, "
    "success_threshold: 2, grace: 0s}\n"
    "notify: {pager: {type: stderr}}\n"
    "fail_over:\n"
    "  db:\n"
    "    candidates:\n"
    "      - {name: a, address: 127.0.0.1:7001, check: a}\n"
    "      - {name: b, address: 127.0.0.1:7002, check: b}\n"
    "      - {name: c, address: 127.0.0.1:7003, check: c}\n"
    "    after: 5s\n"
    "    dwell: 60s\n"
    "    passes: 5\n"
    "    listen: 127.0.0.1:7000\n"
    "    escalate: [pager]\n"
    "%s";
static const int64_t after = 5 * HARDY_SECOND, dwell = HARDY_MINUTE;
#define RUN "    run: [promote]\n    timeout: 10s\n"

static void world_begin_with(const char *more, uint64_t seed, double lose) {
    static const struct store_methods methods = {
        .submit = spy_submit, .get = spy_get, .scan = spy_scan};
    static const struct listener_events listens = {on_accepted};
    struct sim_options options;
    struct store_options memory = {.wall = sim_wall};
    char yaml[4000];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    memset(&w, 0, sizeof w);
    sim_options_init(&options);
    options.seed = seed;
    options.lose = lose;
    options.end = HARDY_NEVER;
    w.loop = loop_sim_new(&options, &error);
    assert_int_equal(store_open(&memory, &w.inner, &error), HARDY_OK);
    w.store = calloc(1, sizeof *w.store);
    *w.store = (struct store){.methods = &methods, .wall = sim_wall};
    snprintf(yaml, sizeof yaml, frame, more);
    hardy_status status = config_load_bytes("t.yaml", yaml, strlen(yaml), &w.config, &error);
    if (status == HARDY_OK)
        status = checks_read(w.config, &w.checks, &error);
    if (status == HARDY_OK)
        status = notify_read(w.config, &w.targets, &error);
    if (status == HARDY_OK)
        status = fail_over_read(w.config, &w.fail_overs, &error);
    if (status != HARDY_OK)
        fail_msg("%s: %s", error.where, error.message);
    str_copy(w.state, sizeof w.state, "/tmp/hardy-fail-over.XXXXXX");
    assert_non_null(mkdtemp(w.state));
    snprintf(w.state + strlen(w.state), 3, "/s");
    buf_init(&w.told, 16 << 20);
    buf_puts(&w.told, "");
    w.automation = AUTOMATION_ACT;
    w.run_takes = 2 * HARDY_SECOND;
    sim_program_add(w.loop, "ask", ask, NULL);
    sim_program_add(w.loop, "/bin/sh", shell, NULL);
    sim_outside(w.loop, true);
    for (size_t n = 0; n < CANDIDATES; n++) {
        w.up[n] = true;
        snprintf(w.servers[n].name, sizeof w.servers[n].name, "%c", (char)('a' + n));
        w.servers[n].listener = listener_open(w.loop, "127.0.0.1", (uint16_t)(7001 + n), &listens,
                                              &w.servers[n], &error);
        assert_non_null(w.servers[n].listener);
    }
    sim_outside(w.loop, false);
}

static void world_begin(const char *more, uint64_t seed) {
    world_begin_with(more, seed, 0);
}

static void on_time(struct loop_timer *timer) {
    loop_stop(timer->ctx);
}

static void pass(int64_t span) {
    struct loop_timer timer;
    loop_timer_init(&timer, on_time, w.loop);
    sim_outside(w.loop, true);
    loop_timer_start(w.loop, &timer, loop_now(w.loop) + span);
    sim_outside(w.loop, false);
    loop_run(w.loop);
}

/* Descriptors of locks that a killed program held: the kernel would have closed them. */
static void close_locks(void) {
    DIR *fds = opendir("/proc/self/fd");
    struct dirent *entry;
    while (fds && (entry = readdir(fds))) {
        char path[300], target[400];
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t len = readlink(path, target, sizeof target - 1);
        if (len <= 0)
            continue;
        target[len] = '\0';
        if (strncmp(target, w.state, strlen(w.state)) == 0)
            close((int)strtol(entry->d_name, NULL, 10));
    }
    if (fds)
        closedir(fds);
}

static void on_told(void *ctx, const char *name, int64_t wall, const char *what,
                    const char *detail) {
    (void)ctx;
    assert_string_equal(name, "db");
    assert_true(wall > 0);
    buf_printf(&w.told, "%s: %s\n", what, detail);
    w.refuse |= w.refuse_at_switch && strcmp(what, "switching") == 0;
    if (strcmp(what, "switching") == 0 && w.switch_count < MAX_RUNS) {
        struct switched *s = &w.switches[w.switch_count++];
        const char *to = strstr(detail, " to ");
        s->at = loop_now(w.loop);
        snprintf(s->to, sizeof s->to, "%.1s", to ? to + 4 : "?");
    }
}

static void on_paged(void *ctx) {
    (void)ctx;
    w.paged++;
}

static void on_urgent(void *ctx, const struct notify_target *target, const struct notice *notice) {
    (void)ctx;
    assert_string_equal(target->name, "pager");
    assert_string_equal(notice->dedup_key, "fail_over/db");
    w.urgent++;
}

static void on_switched(void *ctx, const char *name, const char *key, hardy_status status,
                        const char *detail) {
    (void)ctx;
    (void)name;
    (void)detail;
    size_t len = strlen(w.answers);
    snprintf(w.answers + len, sizeof w.answers - len, "%s=%d ", key, status);
}

static void on_result(void *ctx, const struct check_settings *c, const struct check_state *s,
                      bool changed) {
    (void)ctx;
    (void)changed;
    if (w.f)
        fail_over_checked(w.f, c, s);
}

static void live(void) {
    static const struct fail_over_events events = {
        .told = on_told, .paged = on_paged, .urgent = on_urgent, .switched = on_switched};
    static const struct health_events health = {on_result};
    const struct fail_over_world world = {.loop = w.loop,
                                          .store = w.store,
                                          .state = w.state,
                                          .self = "hardy test",
                                          .checks = &w.checks,
                                          .targets = &w.targets,
                                          .automation = w.automation};
    struct http_client_options client;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    http_client_options_init(&client);
    w.client = http_client_new(w.loop, &client, &error);
    if (fail_over_start(&world, &w.fail_overs, &events, NULL, &w.f, &error) != HARDY_OK)
        fail_msg("%s", error.message);
    w.health = health_start(w.loop, w.client, &w.checks, &health, NULL, &error);
    assert_non_null(w.health);
}

static void on_gone(void *ctx) {
    (void)ctx;
    w.gone = true;
}

static void die(void) {
    health_stop(w.health);
    fail_over_stop(w.f, on_gone, NULL);
    w.f = NULL;
    w.gone = false;
    for (int n = 0; n < 100 && !w.gone; n++)
        pass(100 * HARDY_MILLISECOND);
    assert_true(w.gone);
    http_client_free(w.client);
}

/* The program's memory is left where it is. */
static void next_life(void *ctx) {
    (void)ctx;
    close_locks();
    w.f = NULL;
    live();
}

static void kill_after(int64_t span) {
    sim_kill_at(w.loop, loop_now(w.loop) + span, next_life, NULL);
}

static void world_end(void) {
    char path[128];
    die();
    for (size_t n = 0; n < CANDIDATES; n++)
        listener_close(w.servers[n].listener);
    pass(HARDY_MINUTE);
    close_locks();
    snprintf(path, sizeof path, "%s-steps/keys.lock", w.state);
    unlink(path);
    snprintf(path, sizeof path, "%s-steps", w.state);
    rmdir(path);
    w.state[strlen(w.state) - 2] = '\0';
    rmdir(w.state);
    store_close(w.inner);
    free(w.store);
    fail_over_free(&w.fail_overs);
    notify_free(&w.targets);
    checks_free(&w.checks);
    config_free(w.config);
    buf_free(&w.told);
    loop_free(w.loop);
}

static void set(size_t n, bool up, bool hangs) {
    w.up[n] = up;
    w.hangs[n] = hangs;
    w.changed[n] = loop_now(w.loop);
}

static size_t told(const char *text) {
    size_t count = 0;
    for (const char *at = w.told.data; (at = strstr(at, text)); at += strlen(text))
        count++;
    return count;
}

static void wait_told(const char *text) {
    for (int n = 0; n < 36000 && !told(text); n++)
        pass(100 * HARDY_MILLISECOND);
    if (!told(text))
        fail_msg("never told \"%s\":\n%s", text, w.told.data);
}

static struct fail_over_record row(void) {
    struct fail_over_record r;
    assert_int_equal(fail_over_record_load(w.inner, "db", &r, NULL), HARDY_OK);
    return r;
}

static bool active_is(const char *name) {
    struct fail_over_record r = row();
    bool is = str_eq(r.active, name);
    fail_over_record_free(&r);
    return is;
}

/* --- a client of `listen` --------------------------------------------------------------------- */

static char heard[16];
static bool hung_up;

static void on_heard(void *ctx, struct stream *s, const char *data, size_t len) {
    (void)ctx;
    (void)s;
    snprintf(heard, sizeof heard, "%.*s", (int)len, data);
}

static void on_hung_up(void *ctx, struct stream *s, enum close_reason reason, const char *detail) {
    (void)ctx;
    (void)s;
    (void)reason;
    (void)detail;
    hung_up = true;
}

static struct stream *dial(void) {
    static const struct stream_events events = {.data = on_heard, .closed = on_hung_up};
    heard[0] = '\0';
    hung_up = false;
    sim_outside(w.loop, true);
    struct stream *s = stream_connect(w.loop, "127.0.0.1", 7000, &events, NULL);
    sim_outside(w.loop, false);
    return s;
}

/* Who answers through the relay now. */
static const char *answers(void) {
    struct stream *s = dial();
    for (int n = 0; n < 100 && !heard[0] && !hung_up; n++)
        pass(10 * HARDY_MILLISECOND);
    if (!hung_up)
        stream_close(s, CLOSE_LOCAL);
    pass(50 * HARDY_MILLISECOND);
    return heard;
}

/* --- one thing at a time ---------------------------------------------------------------------- */

static void there_and_back(void **state) {
    (void)state;
    world_begin(RUN, 1);
    live();
    pass(10 * HARDY_SECOND);
    assert_string_equal(answers(), "a");
    assert_int_equal(w.run_count, 0);
    struct stream *open = dial();
    pass(100 * HARDY_MILLISECOND);
    assert_string_equal(heard, "a");
    set(0, false, false);
    int64_t died = loop_now(w.loop);
    wait_told("switching: from a to b");
    assert_in_range(loop_now(w.loop) - died, after + HARDY_SECOND, after + 3 * HARDY_SECOND);
    assert_true(active_is("b")); /* recorded, and then the command */
    assert_true(hung_up);        /* the connection to the former one */
    (void)open;
    struct stream *meanwhile = dial();
    pass(HARDY_SECOND);
    assert_string_equal(heard, ""); /* waits for the command */
    wait_told("switched: to b, 127.0.0.1:7002");
    pass(100 * HARDY_MILLISECOND);
    assert_string_equal(heard, "b");
    stream_close(meanwhile, CLOSE_LOCAL);
    assert_int_equal(w.run_count, 1);
    assert_string_equal(w.runs[0].to, "b");
    set(0, true, false);
    int64_t switched = w.switches[0].at;
    pass(30 * HARDY_SECOND); /* well for long, but not before the dwell */
    assert_int_equal(w.switch_count, 1);
    wait_told("switching: from b to a: a is well again: its check has passed");
    assert_in_range(w.switches[1].at - switched, dwell, dwell + 2 * HARDY_SECOND);
    wait_told("switched: to a");
    assert_string_equal(answers(), "a");
    assert_int_equal(w.run_count, 2);
    assert_int_equal(w.paged, 0); /* nobody had to do anything */
    world_end();
}

/* Whatever the moment of the kill: one switch, one run of its command, the same active one. */
static void killed_at_any_moment(void **state) {
    (void)state;
    for (int64_t at = 0; at < 4 * HARDY_SECOND; at += 37 * HARDY_MILLISECOND) {
        world_begin(RUN, 1 + (uint64_t)at);
        live();
        pass(10 * HARDY_SECOND);
        set(0, false, false);
        kill_after(after + at);
        pass(40 * HARDY_SECOND);
        assert_int_equal(w.run_count, 1);
        assert_string_equal(w.runs[0].to, "b");
        assert_true(active_is("b"));
        assert_string_equal(answers(), "b");
        struct fail_over_record r = row();
        assert_int_equal(r.number, 1);
        assert_true(r.carried);
        fail_over_record_free(&r);
        world_end();
    }
}

static void a_restart_forgets_nothing(void **state) {
    (void)state;
    world_begin("", 1);
    live();
    pass(10 * HARDY_SECOND);
    set(0, false, false);
    wait_told("switched: to b");
    set(0, true, false);
    int64_t switched = w.switches[0].at;
    for (int n = 0; n < 5; n++) {
        pass(8 * HARDY_SECOND);
        die();
        sim_set_wall(w.loop, n % 2 ? HARDY_HOUR : -HARDY_HOUR); /* nor is it led astray */
        live();
    }
    pass(3 * HARDY_SECOND);
    assert_string_equal(answers(), "b");
    wait_told("switching: from b to a");
    assert_in_range(w.switches[1].at - switched, dwell, dwell + 10 * HARDY_SECOND);
    world_end();
}

static void a_state_that_takes_nothing(void **state) {
    (void)state;
    world_begin(RUN, 1);
    live();
    pass(10 * HARDY_SECOND);
    w.refuse = true;
    set(0, false, false);
    wait_told("held up: ");
    pass(20 * HARDY_SECOND);
    assert_int_equal(told("held up"), 1);
    assert_int_equal(w.urgent, 1); /* people hear of it all the same */
    assert_int_equal(w.run_count, 0);
    assert_string_equal(answers(), "a"); /* not switched: it is not recorded */
    w.refuse = false;
    wait_told("switched: to b");
    assert_int_equal(w.run_count, 1);
    world_end();
}

static void a_state_that_does_not_take_the_start(void **state) {
    (void)state;
    world_begin(RUN, 1);
    w.refuse_at_switch = true;
    live();
    pass(10 * HARDY_SECOND);
    set(0, false, false);
    wait_told("held up: ");
    pass(20 * HARDY_SECOND);
    assert_int_equal(told("held up"), 1);
    assert_int_equal(w.urgent, 1);
    assert_int_equal(w.run_count, 0);
    w.refuse = w.refuse_at_switch = false;
    wait_told("switched: to b");
    assert_int_equal(w.run_count, 1);
    assert_string_equal(answers(), "b");
    world_end();
}

/* When the state takes it at last, it is not right any more. */
static void a_switch_that_was_not_taken_is_decided_anew(void **state) {
    (void)state;
    world_begin(RUN, 1);
    live();
    pass(10 * HARDY_SECOND);
    w.refuse = true;
    set(0, false, false);
    wait_told("held up: ");
    set(0, true, false);
    pass(2 * HARDY_MINUTE);
    assert_int_equal(told("held up"), 1);
    assert_int_equal(w.urgent, 1);
    w.refuse = false;
    wait_told("resolved: a is up"); /* for people had heard of it */
    pass(HARDY_MINUTE);
    assert_int_equal(w.run_count, 0);
    assert_true(active_is("a"));
    world_end();
}

/* Not even the first record: connections do not wait for it. */
static void a_full_disk_at_the_start(void **state) {
    (void)state;
    world_begin("", 1);
    w.refuse = true;
    live();
    pass(20 * HARDY_SECOND);
    assert_int_equal(told("held up"), 1);
    assert_string_equal(answers(), "a");
    w.refuse = false;
    pass(20 * HARDY_SECOND);
    assert_true(active_is("a"));
    world_end();
}

/* In a world where the lock is not seen. */
static void another_host_writes(void **state) {
    (void)state;
    world_begin("", 1);
    live();
    pass(10 * HARDY_SECOND);
    struct fail_over_record r = row();
    struct buf value;
    struct store_op op;
    buf_init(&value, 1 << 16);
    free(r.active);
    r.active = str_dup("c");
    fail_over_record_op(&r, "db", &value, &op);
    assert_int_equal(store_apply(w.inner, &op, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    buf_free(&value);
    fail_over_record_free(&r);
    set(0, false, false); /* it wants to leave a */
    wait_told("another hardy has written its record");
    pass(10 * HARDY_SECOND);
    assert_string_equal(answers(), "c");
    assert_true(active_is("c"));
    world_end();
}

static void hands_off_it(void **state) {
    (void)state;
    struct pause pause = {.target = (char *)(uintptr_t) "db", .who = (char *)(uintptr_t) "root"};
    world_begin("", 1);
    live();
    pass(10 * HARDY_SECOND);
    pause.at = loop_wall(w.loop);
    assert_int_equal(pause_set(w.inner, &pause, HARDY_NEVER, NULL), HARDY_OK);
    set(0, false, false);
    wait_told("proposed: a is down, for 5s now; would switch to b, but hands off: paused by root");
    pass(5 * HARDY_MINUTE);
    assert_int_equal(told("proposed"), 1);
    assert_int_equal(w.switch_count, 0);
    assert_int_equal(w.paged, 0);
    assert_int_equal(pause_clear(w.inner, "db", "root", loop_wall(w.loop), HARDY_NEVER, NULL),
                     HARDY_OK);
    wait_told("switched: to b");
    world_end();
}

static void only_observed(void **state) {
    (void)state;
    world_begin(RUN, 1);
    w.automation = AUTOMATION_OBSERVE;
    live();
    pass(10 * HARDY_SECOND);
    for (int n = 0; n < 2; n++) {
        set(0, false, false);
        pass(5 * HARDY_MINUTE);
        set(0, true, false);
        pass(5 * HARDY_MINUTE);
    }
    assert_int_equal(told("proposed: a is down"), 2);
    assert_int_equal(told("escalated: a is down"), 2);
    assert_int_equal(told("resolved: a is up"), 2);
    assert_int_equal(w.run_count + w.switch_count, 0);
    struct fail_over_record r = row();
    assert_int_equal(r.proposed, 2);
    fail_over_record_free(&r);
    world_end();
}

static void nobody_is_left(void **state) {
    (void)state;
    world_begin("", 1);
    live();
    pass(10 * HARDY_SECOND);
    for (size_t n = 0; n < CANDIDATES; n++)
        set(n, false, n == 2);
    wait_told("escalated: a is down, for 5s now; no other one is up: b is down, c is down");
    pass(HARDY_HOUR);
    assert_int_equal(w.paged, 1);
    assert_int_equal(w.switch_count, 0);
    set(2, true, false);
    wait_told("switching: from a to c");
    pass(HARDY_MINUTE);
    set(2, false, false); /* and down again: a new outage */
    set(1, true, false);
    wait_told("switching: from c to b");
    pass(2 * HARDY_MINUTE);
    set(1, false, false);
    pass(HARDY_MINUTE);
    assert_int_equal(told("escalated"), 2);
    for (size_t n = 0; n < CANDIDATES; n++)
        set(n, true, false);
    wait_told("resolved: a is up");
    assert_int_equal(w.paged, 3);
    world_end();
}

static void its_command_fails(void **state) {
    (void)state;
    world_begin(RUN, 1);
    w.run_code = 3;
    live();
    pass(10 * HARDY_SECOND);
    set(0, false, false);
    wait_told("failed: the command of the switch to b failed: exit code 3: promoting");
    pass(HARDY_SECOND);
    assert_int_equal(w.paged, 1);
    assert_string_equal(answers(), "b");
    pass(30 * HARDY_SECOND);
    assert_int_equal(w.run_count, 1);
    world_end();
}

static void asked_under_a_key(void **state) {
    (void)state;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    world_begin(RUN, 1);
    live();
    assert_int_equal(fail_over_switch(w.f, "db", "r1", &error), HARDY_E_RUNNING);
    pass(10 * HARDY_SECOND);
    assert_int_equal(fail_over_switch(w.f, "dd", "r1", &error), HARDY_E_NOT_FOUND);
    assert_int_equal(fail_over_switch(w.f, "db", "r1", &error), HARDY_OK);
    assert_int_equal(fail_over_switch(w.f, "db", "r1", &error), HARDY_OK); /* the same */
    assert_int_equal(fail_over_switch(w.f, "db", "r2", &error), HARDY_E_RUNNING);
    kill_after(HARDY_SECOND);
    pass(20 * HARDY_SECOND);
    assert_string_equal(w.answers, "r1=0 ");
    assert_int_equal(fail_over_switch(w.f, "db", "r1", &error), HARDY_OK); /* after the kill */
    pass(HARDY_SECOND);
    assert_string_equal(w.answers, "r1=0 r1=0 ");
    assert_int_equal(w.run_count, 1);
    assert_true(active_is("b"));
    assert_int_equal(fail_over_switch(w.f, "db", "r2", &error), HARDY_E_REFUSED);
    assert_non_null(strstr(error.message, "db: asked to leave b; switched not long ago"));
    world_end();
}

static void as_json(void **state) {
    struct buf text;
    struct json_out j;
    (void)state;
    world_begin(RUN, 1);
    live();
    pass(10 * HARDY_SECOND);
    set(0, false, false);
    wait_told("switched: to b");
    pass(HARDY_SECOND);
    buf_init(&text, 1 << 16);
    json_out_init(&j, &text, 0);
    fail_over_to_json(w.f, &j);
    json_t *o = json_loads(text.data, JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(json_array_size(o), 1);
    const json_t *db = json_array_get(o, 0);
    assert_string_equal(json_string_value(json_object_get(db, "name")), "db");
    assert_string_equal(json_string_value(json_object_get(db, "state")), "degraded");
    assert_string_equal(json_string_value(json_object_get(db, "active")), "b");
    assert_string_equal(json_string_value(json_object_get(db, "from")), "a");
    assert_string_equal(json_string_value(json_object_get(db, "address")), "127.0.0.1:7002");
    assert_string_equal(json_string_value(json_object_get(db, "reason")), "a is down, for 5s now");
    assert_int_equal(json_integer_value(json_object_get(db, "switches")), 1);
    assert_int_equal(json_array_size(json_object_get(db, "candidates")), CANDIDATES);
    assert_true(json_is_object(json_object_get(db, "connections")));
    json_decref(o);
    buf_free(&text);
    assert_int_equal(fail_over_port(w.f, "db"), 7000);
    world_end();
}

/* --- hours of it ------------------------------------------------------------------------------ */

/* A rule is broken: the test fails, or the mistake that was put in is found. */
static void wrong(uint64_t seed, const char *format, ...) HARDY_PRINTF(2, 3);
static void wrong(uint64_t seed, const char *format, ...) {
    char text[4000];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!seeded_bug)
        fail_msg("seed %llu: %s", (unsigned long long)seed, text);
    printf("1..1\nok 1 - found by seed %llu: %.200s\n", (unsigned long long)seed, text);
    exit(0);
}

static void look_at_switches(uint64_t seed) {
    struct fail_over_record r = row();
    for (size_t n = 1; n < w.switch_count; n++)
        if (w.switches[n].at - w.switches[n - 1].at < dwell)
            wrong(seed, "two switches within %lld ms",
                  (long long)((w.switches[n].at - w.switches[n - 1].at) / HARDY_MILLISECOND));
    for (size_t n = 0; n < w.run_count; n++)
        for (size_t k = 0; k < n; k++)
            if (str_eq(w.runs[n].key, w.runs[k].key))
                wrong(seed, "the command of one switch ran twice");
    if (w.run_count < w.switch_count || w.run_count > r.number)
        wrong(seed, "%zu switches were told of and %llu recorded, and their command ran %zu times",
              w.switch_count, (unsigned long long)r.number, w.run_count);
    fail_over_record_free(&r);
}

/* The answers of a check may be so old. */
static const int64_t lag = 2500 * HARDY_MILLISECOND;

static void look_at_latest(uint64_t seed, size_t before) {
    for (size_t n = before; n < w.switch_count; n++) {
        size_t to = (size_t)(w.switches[n].to[0] - 'a');
        bool up = (w.up[to] && !w.hangs[to]) || loop_now(w.loop) - w.changed[to] < lag;
        if (!up)
            wrong(seed, "switched to %s, which was down", w.switches[n].to);
    }
}

/* A switch that was recorded comes to its end, which takes its command's ten seconds at most. */
static void look_at_end(uint64_t seed, int64_t *open_since) {
    struct fail_over_record r = row();
    bool open = r.number > 0 && !r.carried && !r.doubt;
    fail_over_record_free(&r);
    if (!open)
        *open_since = HARDY_NEVER;
    else if (*open_since == HARDY_NEVER)
        *open_since = loop_now(w.loop);
    else if (loop_now(w.loop) - *open_since > 40 * HARDY_SECOND)
        wrong(seed, "a switch does not end:\n%s",
              w.told.data + (w.told.len > 2000 ? w.told.len - 2000 : 0));
}

/* When nothing changes any more, and some are up, it has found one of them. */
static void look_at_rest(uint64_t seed) {
    bool any = false;
    for (size_t n = 0; n < CANDIDATES; n++)
        any |= w.up[n] && !w.hangs[n];
    pass(10 * HARDY_MINUTE); /* flapping is forgotten, the dwell is over */
    look_at_switches(seed);
    struct fail_over_record r = row();
    size_t active = (size_t)(r.active[0] - 'a');
    bool good = w.up[active] && !w.hangs[active];
    fail_over_record_free(&r);
    if (any && !good)
        wrong(seed, "it stays with a dead one:\n%s",
              w.told.data + (w.told.len > 2000 ? w.told.len - 2000 : 0));
    if (any && answers()[0] != (char)('a' + active))
        wrong(seed, "connections go to \"%s\" instead of %c", heard, (char)('a' + active));
}

static void trouble(struct prng *p, size_t *kills) {
    size_t who = (size_t)prng_below(p, CANDIDATES);
    switch (prng_below(p, 6)) {
    case 0:
    case 1:
        set(who, !w.up[who], false);
        break;
    case 2:
        set(who, w.up[who], !w.hangs[who]);
        break;
    case 3:
        kill_after((int64_t)prng_below(p, 9000) * HARDY_MILLISECOND);
        ++*kills;
        break;
    case 4:
        sim_set_wall(w.loop, ((int64_t)prng_below(p, 7200) - 3600) * HARDY_SECOND);
        break;
    default:
        w.run_takes = (int64_t)prng_below(p, 12000) * HARDY_MILLISECOND;
        break;
    }
}

static void hours_of_trouble(void **state) {
    size_t switches = 0, kills = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= seed_count; seed++) {
        struct prng p;
        int64_t open_since = HARDY_NEVER;
        prng_seed(&p, seed);
        world_begin_with(RUN, seed, seed % 3 ? 0 : 0.2);
        live();
        for (int n = 0; n < 400; n++) {
            size_t before = w.switch_count;
            trouble(&p, &kills);
            for (unsigned turns = 1 + (unsigned)prng_below(&p, 40); turns > 0; turns--) {
                pass(HARDY_SECOND);
                look_at_latest(seed, before);
                look_at_end(seed, &open_since);
                before = w.switch_count;
            }
        }
        look_at_rest(seed);
        switches += w.switch_count;
        world_end();
    }
    print_message("# %u times 2 hours: %zu switches, %zu kills\n", seed_count, switches, kills);
    assert_true(switches > 4 * seed_count && kills > 20 * seed_count);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(killed_at_any_moment),
        cmocka_unit_test(a_restart_forgets_nothing),
        cmocka_unit_test(a_state_that_takes_nothing),
        cmocka_unit_test(a_state_that_does_not_take_the_start),
        cmocka_unit_test(a_switch_that_was_not_taken_is_decided_anew),
        cmocka_unit_test(a_full_disk_at_the_start),
        cmocka_unit_test(another_host_writes),
        cmocka_unit_test(hands_off_it),
        cmocka_unit_test(only_observed),
        cmocka_unit_test(nobody_is_left),
        cmocka_unit_test(its_command_fails),
        cmocka_unit_test(asked_under_a_key),
        cmocka_unit_test(as_json),
        cmocka_unit_test(hours_of_trouble),
    };
    if (argc > 1)
        seed_count = (unsigned)strtoul(argv[1], NULL, 10);
    seeded_bug = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;
    if (seeded_bug) {
        hours_of_trouble(NULL);
        printf("1..1\nnot ok 1 - bug %d is not found\n", seeded_bug);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
