/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated world: it repeats exactly, its faults happen, and what outlives a kill outlives it.
 */
#include "../cmocka_all.h"

#include "base/buf.h"
#include "base/str.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/shim.h"
#include "io/sim.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS HARDY_MILLISECOND

static struct loop *loop;
static struct sim_options options;

static int setup(void **state) {
    (void)state;
    sim_options_init(&options);
    loop = loop_sim_new(&options, NULL);
    return loop ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    loop_free(loop);
    return 0;
}

static void restart(void) {
    loop_free(loop);
    loop = loop_sim_new(&options, NULL);
    assert_non_null(loop);
}

static struct sim_report report(void) {
    struct sim_report r;
    sim_report(loop, &r);
    return r;
}

/* --- time --- */

static int ticks;
static void tick(struct loop_timer *t) {
    ticks++;
    loop_timer_start(loop, t, loop_now(loop) + HARDY_MINUTE);
}

static void an_hour_passes_in_no_time_and_ends(void **state) {
    (void)state;
    static struct loop_timer t; /* it is still set when the loop ends */
    ticks = 0;
    int64_t before = loop_now(loop), wall = loop_wall(loop);
    loop_timer_init(&t, tick, NULL);
    loop_timer_start(loop, &t, before + HARDY_MINUTE);
    loop_run(loop);
    assert_int_equal(ticks, 60);
    assert_int_equal(report().simulated, HARDY_HOUR);
    assert_int_equal(loop_now(loop) - before, HARDY_HOUR);
    assert_int_equal(loop_wall(loop) - wall, HARDY_HOUR);
    hardy_env env = loop_env(loop);
    assert_int_equal(env.now(env.ctx), loop_now(loop));
    assert_int_equal(loop_clock(loop), loop_now(loop)); /* nothing takes time but waiting */
    loop_run(loop);                                     /* the end stays the end */
    assert_int_equal(ticks, 60);
}

static bool three_ticks_at_most(void *ctx) {
    (void)ctx;
    return ticks < 3;
}

static void a_broken_invariant_stops_the_run(void **state) {
    (void)state;
    static struct loop_timer t;
    ticks = 0;
    loop_timer_init(&t, tick, NULL);
    loop_timer_start(loop, &t, loop_now(loop));
    sim_invariant(loop, three_ticks_at_most, NULL);
    loop_run(loop);
    assert_true(report().broken);
    assert_int_equal(ticks, 3);
}

static void what_would_hang_is_told(void **state) {
    (void)state;
    loop_run(loop);
    assert_false(report().stuck);
    loop_hold(loop);
    loop_run(loop); /* nobody is there who could post */
    assert_true(report().stuck);
    loop_release(loop);
}

static char order[32];
static void note(const char *what) {
    size_t len = strlen(order);
    snprintf(order + len, sizeof order - len, "%s", what);
}
static void note_post(struct loop_post *p) {
    note(p->ctx);
}
static void note_timer(struct loop_timer *t) {
    note(t->ctx);
}
static void note_work(struct loop_work *w) {
    note(w->ctx);
}
static void note_signal(void *ctx, int signum) {
    (void)ctx;
    note(signum == SIGHUP ? "s" : "?");
}

static void posts_timers_work_and_signals(void **state) {
    (void)state;
    struct loop_timer t;
    struct loop_post p = {.fn = note_post, .ctx = (void *)(uintptr_t) "p"};
    struct loop_work w = {.fn = note_work, .done = note_work, .ctx = (void *)(uintptr_t) "w"};
    struct loop_signal *s = loop_signal_start(loop, SIGHUP, note_signal, NULL);
    order[0] = '\0';
    loop_timer_init(&t, note_timer, (void *)(uintptr_t) "t");
    loop_timer_start(loop, &t, loop_now(loop) + 5 * MS);
    assert_int_equal(loop_work(loop, &w), HARDY_OK);
    loop_post(loop, &p);
    sim_raise(loop, SIGHUP);
    sim_raise(loop, SIGUSR1);
    loop_run(loop);
    assert_string_equal(order, "pswwt");
    loop_signal_stop(s);
}

/* --- a busy network: clients that connect, talk and reconnect, an echo server outside --- */

struct client {
    struct stream *stream;
    struct loop_timer timer;
    int messages;
};
static struct client clients[8];
static uint64_t echoed, ended[CLOSE_ERROR + 1];

static void again(struct client *c) {
    loop_timer_start(loop, &c->timer,
                     loop_now(loop) + 50 * MS + (int64_t)(loop_random(loop) % 1000000));
}

static void client_connected(void *ctx, struct stream *s) {
    (void)ctx;
    stream_write(s, "some words to be echoed", 23);
}

static void client_data(void *ctx, struct stream *s, const char *data, size_t len) {
    struct client *c = ctx;
    echoed += len;
    if (++c->messages < 20) {
        stream_write(s, data, len);
    } else {
        stream_close(s, CLOSE_LOCAL);
    }
}

static void client_closed(void *ctx, struct stream *s, enum close_reason reason,
                          const char *detail) {
    struct client *c = ctx;
    (void)s;
    assert_true(detail[0] != '\0');
    ended[reason]++;
    c->stream = NULL;
    c->messages = 0;
    again(c);
}

static const struct stream_events client_events = {
    .connected = client_connected, .data = client_data, .closed = client_closed};

static void client_start(struct loop_timer *t) {
    struct client *c = t->ctx;
    if (c->stream) { /* it has had its time */
        stream_close(c->stream, CLOSE_TIMEOUT);
        return;
    }
    c->stream = stream_connect(loop, "localhost", 80, &client_events, c);
    loop_timer_start(loop, t, loop_now(loop) + 10 * HARDY_SECOND);
}

static void server_data(void *ctx, struct stream *s, const char *data, size_t len) {
    (void)ctx;
    stream_write(s, data, len);
}
static void server_closed(void *ctx, struct stream *s, enum close_reason reason,
                          const char *detail) {
    (void)ctx;
    (void)s;
    (void)reason;
    (void)detail;
}
static const struct stream_events server_events = {.data = server_data, .closed = server_closed};
static void accepted(void *ctx, struct stream *s) {
    stream_set_events(s, &server_events, ctx);
}
static const struct listener_events listens = {accepted};

static void start_clients(void) {
    memset(clients, 0, sizeof clients);
    for (size_t i = 0; i < sizeof clients / sizeof clients[0]; i++) {
        loop_timer_init(&clients[i].timer, client_start, &clients[i]);
        loop_timer_start(loop, &clients[i].timer, loop_now(loop));
    }
}

static struct sim_report busy(uint64_t seed, double faults) {
    sim_options_init(&options);
    options.seed = seed;
    options.latency_max = 20 * MS;
    options.refuse = options.reset = options.stall = options.split = faults;
    options.end = 2 * HARDY_MINUTE;
    restart();
    echoed = 0;
    memset(ended, 0, sizeof ended);
    sim_outside(loop, true);
    assert_non_null(listener_open(loop, "127.0.0.1", 80, &listens, NULL, NULL));
    sim_outside(loop, false);
    start_clients();
    loop_run(loop);
    return report();
}

static void the_same_seed_the_same_hash(void **state) {
    (void)state;
    struct sim_report first = busy(7, 0.01);
    uint64_t so_much = echoed;
    struct sim_report second = busy(7, 0.01);
    assert_int_equal(first.hash, second.hash);
    assert_int_equal(first.events, second.events);
    assert_int_equal(so_much, echoed);
    struct sim_report other = busy(8, 0.01);
    assert_true(first.hash != other.hash);
}

static void faults_happen_as_often_as_asked(void **state) {
    (void)state;
    struct sim_report calm = busy(3, 0);
    assert_int_equal(calm.refused + calm.reset + calm.stalled + calm.split, 0);
    assert_true(ended[CLOSE_LOCAL] > 100);
    assert_int_equal(ended[CLOSE_RESET] + ended[CLOSE_REFUSED] + ended[CLOSE_TIMEOUT], 0);
    struct sim_report rough = busy(3, 0.02);
    assert_true(rough.refused > 5 && rough.reset > 20 && rough.stalled > 20 && rough.split > 20);
    assert_int_equal(ended[CLOSE_REFUSED], rough.refused);
    assert_true(ended[CLOSE_RESET] > 20 && ended[CLOSE_RESET] <= rough.reset);
    assert_true(ended[CLOSE_TIMEOUT] > 5); /* stalled for longer than ten seconds */
    assert_int_equal(ended[CLOSE_EOF], 0);
}

/* --- programs --- */

static struct buf output;
static int exits, code, signum;

static void on_output(void *ctx, struct process *p, int fd, const char *data, size_t len) {
    (void)ctx;
    (void)p;
    assert_int_equal(fd, 1);
    buf_append(&output, data, len);
}
static void on_exited(void *ctx, struct process *p, int c, int s) {
    (void)ctx;
    exits++;
    code = c;
    signum = s;
    process_free(p);
}
static const struct process_events process_events = {on_output, on_exited};

static void greet(struct sim_process *p, void *ctx) {
    sim_output(p, 1, ctx, strlen(ctx));
    sim_output(p, 1, sim_argv(p)[1], strlen(sim_argv(p)[1]));
    const char *name = sim_env(p, "NAME");
    sim_output(p, 1, name ? name : "-", name ? strlen(name) : 1);
    sim_output(p, 2, "not captured", 12);
    sim_exit_after(p, HARDY_SECOND, 3, 0);
}

static void stubborn_signal(struct sim_process *p, void *ctx, int s) {
    (void)ctx;
    assert_int_equal(s, SIGTERM);
    sim_output(p, 1, "no", 2);
}
static void stubborn(struct sim_process *p, void *ctx) {
    (void)ctx;
    sim_on_signal(p, stubborn_signal, NULL);
}

static void endless(struct sim_process *p, void *ctx) {
    (void)p;
    (void)ctx;
}

static struct process *start_program(const char *name, hardy_status expected) {
    const char *const argv[] = {name, "you ", NULL};
    const char *const env[] = {"NAME=too", NULL};
    struct process_options o;
    struct process *p = NULL;
    process_options_init(&o);
    o.argv = argv;
    o.env = env;
    o.capture_stdout = true;
    assert_int_equal(process_start(loop, &o, &process_events, NULL, &p, NULL), expected);
    return p;
}

static void signal_it(struct loop_timer *t) {
    process_signal(t->ctx, SIGTERM);
}
static void kill_it(struct loop_timer *t) {
    process_signal(t->ctx, SIGKILL);
}

static void programs_run(void **state) {
    (void)state;
    buf_init(&output, 1000);
    sim_program_add(loop, "greet", greet, (void *)(uintptr_t) "hello ");
    sim_program_add(loop, "stubborn", stubborn, NULL);
    sim_program_add(loop, "endless", endless, NULL);
    start_program("no-such-program", HARDY_E_NOT_FOUND);
    struct process *p = start_program("greet", HARDY_OK);
    process_pause_output(p, true);
    loop_run(loop);
    assert_int_equal(exits, 0);
    process_pause_output(p, false);
    loop_run(loop);
    assert_string_equal(output.data, "hello you too");
    assert_int_equal(exits, 1);
    assert_int_equal(code, 3);
    struct loop_timer term, kill;
    buf_reset(&output);
    p = start_program("stubborn", HARDY_OK);
    loop_timer_init(&term, signal_it, p);
    loop_timer_init(&kill, kill_it, p);
    loop_timer_start(loop, &term, loop_now(loop) + HARDY_SECOND);
    loop_timer_start(loop, &kill, loop_now(loop) + 2 * HARDY_SECOND);
    loop_run(loop);
    assert_int_equal(exits, 2);
    assert_int_equal(signum, SIGKILL);
    assert_string_equal(output.data, "no");
    p = start_program("endless", HARDY_OK);
    process_signal(p, SIGTERM);
    loop_run(loop);
    assert_int_equal(signum, SIGTERM);
    process_free(start_program("greet", HARDY_OK)); /* forgotten */
    loop_run(loop);
    assert_int_equal(exits, 3);
    buf_free(&output);
}

/* --- steps, and kill -9 of the program --- */

static const struct shim_options step = {
    .base = "/steps/1", .deadline = HARDY_NEVER, .kill_after = HARDY_SECOND, .max_output = 9};
static int told;

static void on_ended(void *ctx, struct shim *s) {
    (void)ctx;
    told++;
    shim_free(s);
}
static const struct shim_events shim_events = {on_ended};

static struct shim *start_step(struct shim_options o, const char *name) {
    const char *const argv[] = {name, "you ", NULL};
    struct shim *s = NULL;
    o.argv = argv;
    assert_int_equal(shim_lock(loop, o.base, &o.lock_fd, NULL), HARDY_OK);
    assert_int_equal(shim_start(loop, &o, &shim_events, NULL, &s, NULL), HARDY_OK);
    shim_unlock(loop, o.lock_fd);
    return s;
}

static enum shim_state look(struct shim_result *result) {
    char boot[37];
    enum shim_state now = SHIM_LOST;
    file_boot_id(boot);
    assert_int_equal(shim_look(loop, step.base, boot, &now, result, NULL), HARDY_OK);
    return now;
}

static void steps_end_in_every_way(void **state) {
    (void)state;
    struct shim_result r;
    told = 0;
    sim_program_add(loop, "greet", greet, (void *)(uintptr_t) "hello ");
    sim_program_add(loop, "stubborn", stubborn, NULL);
    assert_int_equal(look(&r), SHIM_LOST); /* nothing at all */
    start_step(step, "greet");
    assert_int_equal(look(&r), SHIM_RUNNING);
    int fd;
    assert_int_equal(shim_lock(loop, step.base, &fd, NULL), HARDY_E_RUNNING);
    loop_run(loop);
    assert_int_equal(told, 1);
    assert_int_equal(look(&r), SHIM_ENDED);
    assert_int_equal(r.code, 3);
    assert_true(r.truncated);
    assert_memory_equal(r.output.data, "hello you", 9);
    assert_true(r.ended - r.started >= HARDY_SECOND);
    shim_result_free(&r);

    start_step(step, "no-such-program");
    loop_run(loop);
    assert_int_equal(look(&r), SHIM_ENDED);
    assert_int_equal(r.not_started, ENOENT);
    assert_int_equal(r.code, 127);
    shim_result_free(&r);

    struct shim_options late = step;
    late.deadline = loop_now(loop) + HARDY_SECOND;
    start_step(late, "stubborn");
    loop_run(loop);
    assert_int_equal(look(&r), SHIM_ENDED);
    assert_true(r.timed_out && !r.cancelled);
    assert_int_equal(r.signal, SIGKILL);
    assert_int_equal(r.ended - r.started, 2 * HARDY_SECOND);
    shim_result_free(&r);

    shim_cancel(start_step(step, "greet"));
    loop_run(loop);
    assert_int_equal(look(&r), SHIM_ENDED);
    assert_true(r.cancelled && !r.timed_out);
    assert_int_equal(r.signal, SIGTERM);
    shim_result_free(&r);
    assert_int_equal(told, 4);

    shim_forget(loop, step.base);
    assert_int_equal(look(&r), SHIM_LOST);
    sim_options_init(&options);
    options.lose = 1;
    restart();
    sim_program_add(loop, "stubborn", stubborn, NULL);
    start_step(step, "stubborn");
    loop_run(loop);
    assert_int_equal(told, 5);
    assert_int_equal(look(&r), SHIM_LOST);
    assert_int_equal(report().lost, 1);
}

static int lives;
static uint64_t server_saw_the_end;

static void kill_server_closed(void *ctx, struct stream *s, enum close_reason reason,
                               const char *detail) {
    (void)ctx;
    (void)s;
    (void)detail;
    server_saw_the_end += reason == CLOSE_EOF || reason == CLOSE_RESET;
}
static const struct stream_events kill_server_events = {.data = server_data,
                                                        .closed = kill_server_closed};
static void kill_accepted(void *ctx, struct stream *s) {
    stream_set_events(s, &kill_server_events, ctx);
}
static const struct listener_events kill_listens = {kill_accepted};

static void never_timer(struct loop_timer *t) {
    (void)t;
    fail_msg("a dead program's timer");
}
static void never_work(struct loop_work *w) {
    (void)w;
    fail_msg("a dead program's work");
}
static void never_ended(void *ctx, struct shim *s) {
    (void)ctx;
    (void)s;
    fail_msg("a dead program's step");
}
static void never_closed(void *ctx, struct stream *s, enum close_reason reason,
                         const char *detail) {
    (void)ctx;
    (void)s;
    (void)reason;
    (void)detail;
    fail_msg("a dead program's stream");
}

static void new_life(void *ctx) {
    struct shim *s;
    struct shim_result r;
    (void)ctx;
    lives++;
    assert_int_equal(look(&r), SHIM_RUNNING);
    assert_int_equal(shim_attach(loop, step.base, &shim_events, NULL, &s, NULL), HARDY_OK);
    /* The lock that was only taken, and never handed on, is free. */
    int fd;
    assert_int_equal(shim_lock(loop, "/steps/2", &fd, NULL), HARDY_OK);
    shim_unlock(loop, fd);
    /* The port is free again. */
    struct listener *l = listener_open(loop, "127.0.0.1", 8080, &listens, NULL, NULL);
    assert_non_null(l);
    listener_close(l);
}

static void die(struct loop_timer *t) {
    static struct loop_work work = {.fn = never_work, .done = never_work};
    (void)t;
    assert_int_equal(loop_work(loop, &work), HARDY_OK);
    sim_kill_at(loop, loop_now(loop), new_life, NULL);
}

static void what_outlives_a_kill(void **state) {
    (void)state;
    static const struct shim_events never = {never_ended};
    static const struct stream_events mine = {.closed = never_closed};
    static const struct process_events process_never = {NULL, NULL};
    struct shim_result r;
    struct loop_timer dying, timer;
    lives = told = 0;
    server_saw_the_end = 0;
    sim_program_add(loop, "greet", greet, (void *)(uintptr_t) "hi ");
    sim_outside(loop, true);
    assert_non_null(listener_open(loop, "10.0.0.1", 80, &kill_listens, NULL, NULL));
    sim_outside(loop, false);

    const char *const argv[] = {"greet", "you", NULL};
    struct shim_options o = step;
    struct shim *s;
    o.argv = argv;
    assert_int_equal(shim_lock(loop, o.base, &o.lock_fd, NULL), HARDY_OK);
    assert_int_equal(shim_start(loop, &o, &never, NULL, &s, NULL), HARDY_OK);
    int fd;
    assert_int_equal(shim_lock(loop, "/steps/2", &fd, NULL), HARDY_OK);
    struct process_options p;
    struct process *process;
    process_options_init(&p);
    p.argv = argv;
    assert_int_equal(process_start(loop, &p, &process_never, NULL, &process, NULL), HARDY_OK);
    assert_non_null(stream_connect(loop, "10.0.0.1", 80, &mine, NULL));
    assert_non_null(listener_open(loop, "127.0.0.1", 8080, &listens, NULL, NULL));
    assert_non_null(loop_signal_start(loop, SIGTERM, note_signal, NULL));
    loop_hold(loop);
    loop_timer_init(&timer, never_timer, NULL);
    loop_timer_start(loop, &timer, loop_now(loop) + 600 * MS);
    loop_timer_init(&dying, die, NULL);
    loop_timer_start(loop, &dying, loop_now(loop) + 500 * MS);

    loop_run(loop);
    assert_int_equal(lives, 1);
    assert_int_equal(report().killed, 1);
    assert_int_equal(server_saw_the_end, 1);
    assert_int_equal(told, 1); /* the new life attached and was told */
    assert_false(report().stuck);
    assert_int_equal(look(&r), SHIM_ENDED);
    assert_int_equal(r.code, 3);
    shim_result_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(an_hour_passes_in_no_time_and_ends),
        T(a_broken_invariant_stops_the_run),
        T(what_would_hang_is_told),
        T(posts_timers_work_and_signals),
        T(the_same_seed_the_same_hash),
        T(faults_happen_as_often_as_asked),
        T(programs_run),
        T(steps_end_in_every_way),
        T(what_outlives_a_kill),
    };
    return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
