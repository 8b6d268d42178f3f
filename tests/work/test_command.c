/* SPDX-License-Identifier: Apache-2.0 */
/* One durable command on the simulated loop: refused writes, takeovers, letting go, waiting. */
#include "../cmocka_all.h"
#include "base/error.h"
#include "base/str.h"
#include "durable/action.h"
#include "guard/guard.h"
#include "io/file.h"
#include "io/sim.h"
#include "work/command.h"
#include "work/resolve.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS HARDY_MILLISECOND

static char folder[64], state_path[96];
static struct loop *loop;
static struct store *store;

/* What the command of this world does. */
static int effects;
static int64_t span;
static int code, signal_of;

static int refuse_at; /* the batch that is refused, counted from 1; 0 = none */
static int batches;
static hardy_status refuse_with;
static void (*at_submit)(int batch);

void __real_store_submit(struct store *s, const struct store_op *ops, size_t count, store_done done,
                         void *ctx);
void __wrap_store_submit(struct store *s, const struct store_op *ops, size_t count, store_done done,
                         void *ctx);
void __wrap_store_submit(struct store *s, const struct store_op *ops, size_t count, store_done done,
                         void *ctx) {
    hardy_error error;
    batches++;
    if (at_submit) {
        at_submit(batches);
    }
    if (batches == refuse_at) {
        hardy_error_init(&error, sizeof error);
        done(ctx, fail(&error, refuse_with, "disk", "refused"), -1, &error);
        return;
    }
    __real_store_submit(s, ops, count, done, ctx);
}

static void act(struct sim_process *p, void *ctx) {
    (void)ctx;
    effects++;
    sim_output(p, 1, "receipt\n", 8);
    sim_exit_after(p, span, code, signal_of);
}

static int setup(void **state) {
    struct sim_options options;
    const struct store_options memory = {.path = NULL};
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hardy-command.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(state_path, sizeof state_path, "%s/hardy.db", folder);
    sim_options_init(&options);
    options.end = HARDY_DAY;
    loop = loop_sim_new(&options, NULL);
    assert_int_equal(store_open(&memory, &store, NULL), HARDY_OK);
    sim_outside(loop, true);
    sim_program_add(loop, "act", act, NULL);
    sim_outside(loop, false);
    effects = code = signal_of = refuse_at = batches = 0;
    span = 100 * MS;
    at_submit = NULL;
    return 0;
}

static int teardown(void **state) {
    char name[128];
    (void)state;
    store_close(store);
    loop_free(loop);
    snprintf(name, sizeof name, "%s-steps/keys.lock", state_path);
    unlink(name);
    snprintf(name, sizeof name, "%s-steps", state_path);
    rmdir(name);
    return rmdir(folder);
}

/* --- one call ----------------------------------------------------------------------------------
 */

struct call {
    struct command_spec spec;
    struct command *command;
    hardy_status status;
    char message[200], output[64];
    bool ended, replayed, had_record;
    uint32_t attempt;
    int started, recorded, held_up, attached, collected, retries;
};

static void on_event(void *ctx, enum command_event what, const struct record *record,
                     const char *detail) {
    struct call *c = ctx;
    (void)record;
    (void)detail;
    c->started += what == COMMAND_STARTED;
    c->attached += what == COMMAND_ATTACHED;
    c->collected += what == COMMAND_COLLECTED;
    c->retries += what == COMMAND_RETRY;
}

static void on_ended(void *ctx, const struct command_result *result) {
    struct call *c = ctx;
    assert_false(c->ended);
    c->ended = true;
    c->command = NULL;
    c->status = result->status;
    c->replayed = result->replayed;
    c->had_record = result->record != NULL;
    str_copy(c->message, sizeof c->message, result->error->message);
    if (result->record) {
        c->attempt = result->record->attempt;
        str_copy(c->output, sizeof c->output, result->record->output ? result->record->output : "");
    }
}

static void on_recorded(void *ctx) {
    ((struct call *)ctx)->recorded++;
}

static void on_held_up(void *ctx) {
    ((struct call *)ctx)->held_up++;
}

static struct call *begin(struct call *c, const char *key) {
    static const struct command_events events = {on_event, on_ended, on_recorded, on_held_up};
    static const char *const argv[] = {"act", "5", NULL}, *const env[] = {"A=1", NULL};
    struct command_spec spec = c->spec;
    *c = (struct call){.spec = spec};
    c->spec.row_kind = "action";
    c->spec.key = key;
    c->spec.name = "act";
    c->spec.scope = "exec";
    c->spec.argv = c->spec.argv ? c->spec.argv : argv;
    c->spec.env = env;
    c->spec.timeout = c->spec.timeout ? c->spec.timeout : HARDY_NEVER;
    c->spec.deadline = c->spec.deadline ? c->spec.deadline : HARDY_NEVER;
    c->spec.ttl = c->spec.ttl ? c->spec.ttl : HARDY_NEVER;
    c->spec.max_output = 1000;
    c->spec.rerun_failed = true;
    assert_int_equal(
        command_start(loop, store, state_path, &c->spec, &events, c, &c->command, NULL), HARDY_OK);
    return c;
}

static hardy_status run(struct call *c, const char *key) {
    begin(c, key);
    loop_run(loop);
    assert_true(c->ended);
    return c->status;
}

static enum record_state state_of(const char *key) {
    struct record r;
    if (record_load(store, "action", key, &r, NULL) != HARDY_OK) {
        return RECORD_PENDING;
    }
    enum record_state is = r.state;
    record_free(&r);
    return is;
}

/* Runs `fn` at a virtual time from now, as the program. */
static void (*later_fn)(void);
static void on_later(struct loop_timer *timer) {
    (void)timer;
    later_fn();
}
static void later(int64_t in, void (*fn)(void)) {
    static struct loop_timer timer;
    later_fn = fn;
    loop_timer_init(&timer, on_later, NULL);
    loop_timer_start(loop, &timer, loop_now(loop) + in);
}

/* --- refused writes -----------------------------------------------------------------------------
 */

static void a_start_that_cannot_be_recorded_does_not_happen(void **state) {
    static const hardy_status ways[] = {HARDY_E_NOSPACE, HARDY_E_IO, HARDY_E_FENCED,
                                        HARDY_E_TIMEOUT};
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct call c = {0};
        batches = effects = 0;
        refuse_at = 1;
        refuse_with = ways[i];
        assert_int_equal(run(&c, "k"), ways[i]);
        assert_string_equal(c.message, "refused");
        assert_false(c.had_record);
        assert_int_equal(effects, 0);
        assert_int_equal(c.started + c.recorded, 0);
    }
    struct call c = {0};
    assert_int_equal(run(&c, "k"), HARDY_OK); /* nothing stands in the way of another try */
    assert_int_equal(effects, 1);
}

static void a_result_that_cannot_be_recorded_is_not_lost(void **state) {
    struct call c = {0};
    (void)state;
    refuse_at = 2;
    refuse_with = HARDY_E_NOSPACE;
    assert_int_equal(run(&c, "k"), HARDY_E_NOSPACE);
    assert_int_equal(effects, 1);
    assert_int_equal(state_of("k"), RECORD_STARTED);
    assert_int_equal(run(&c, "k"), HARDY_OK); /* from the run's files */
    assert_int_equal(c.collected, 1);
    assert_string_equal(c.output, "receipt\n");
    assert_int_equal(effects, 1);
    assert_int_equal(run(&c, "k"), HARDY_OK);
    assert_true(c.replayed);
    assert_int_equal(effects, 1);
}

static void who_was_taken_over_starts_nothing(void **state) {
    struct call c = {0};
    const struct store_op owner = {.kind = STORE_INSERT, .row_kind = "run", .key = "r", .fence = 4};
    const struct store_op mine = {
        .kind = STORE_REQUIRE, .row_kind = "run", .key = "r", .if_fence = 3};
    (void)state;
    assert_int_equal(store_apply(store, &owner, 1, HARDY_NEVER, NULL, NULL), HARDY_OK);
    c.spec.with_start = &mine;
    c.spec.with_start_count = 1;
    assert_int_equal(run(&c, "k"), HARDY_E_FENCED);
    assert_int_equal(effects, 0);
    assert_int_equal(state_of("k"), RECORD_PENDING);
}

/* --- letting go and being cancelled -------------------------------------------------------------
 */

static struct call first, second;

static void leave_first(void) {
    if (first.ended) {
        return;
    }
    command_leave(first.command);
    memset(&first.spec, 0xee, sizeof first.spec); /* it was borrowed until now only */
}

static void cancel_first(void) {
    command_cancel(first.command);
}

static void what_was_left_is_attached_to(void **state) {
    (void)state;
    first = second = (struct call){0};
    begin(&first, "k");
    later(50 * MS, leave_first);
    loop_run(loop);
    assert_false(first.ended);
    assert_int_equal(state_of("k"), RECORD_STARTED);
    assert_int_equal(run(&second, "k"), HARDY_OK);
    assert_int_equal(effects, 1);
    assert_string_equal(second.output, "receipt\n");
}

/* Left at any moment, it is left whole: the next one gets its result, and one effect. */
static void left_at_any_moment(void **state) {
    (void)state;
    for (int64_t at = 0; at <= 104 * MS; at += at < 5 * MS ? MS / 20 : MS) {
        char key[32];
        snprintf(key, sizeof key, "k%lld", (long long)at);
        first = second = (struct call){0};
        effects = 0;
        begin(&first, key);
        later(at, leave_first);
        loop_run(loop);
        if (first.ended) {
            break; /* it was faster */
        }
        second.spec.attach = true;
        assert_int_equal(run(&second, key), HARDY_OK);
        assert_int_equal(effects, 1);
        assert_string_equal(second.output, "receipt\n");
    }
}

static void cancelled_while_it_runs(void **state) {
    (void)state;
    first = (struct call){0};
    begin(&first, "k");
    later(50 * MS, cancel_first);
    loop_run(loop);
    assert_int_equal(first.status, HARDY_E_IN_DOUBT);
    assert_int_equal(state_of("k"), RECORD_IN_DOUBT);
    first = (struct call){.spec = {.in_doubt = IN_DOUBT_RERUN}};
    begin(&first, "safe");
    later(50 * MS, cancel_first);
    loop_run(loop);
    assert_int_equal(first.status, HARDY_E_CANCELLED);
    assert_int_equal(state_of("safe"), RECORD_FAILED);
}

static void cancel_at_first_batch(int batch) {
    if (batch == 1) {
        command_cancel(first.command);
    }
}

static void cancelled_before_it_begins(void **state) {
    (void)state;
    first = (struct call){0};
    begin(&first, "k");
    command_cancel(first.command);
    loop_run(loop);
    assert_int_equal(first.status, HARDY_E_CANCELLED);
    assert_int_equal(effects, 0);
    assert_int_equal(batches, 0);
    first = (struct call){0};
    at_submit = cancel_at_first_batch; /* while its start is being recorded */
    begin(&first, "k");
    loop_run(loop);
    assert_int_equal(effects, 0);
    assert_int_equal(state_of("k"), RECORD_PENDING); /* the key is free */
    at_submit = NULL;
    assert_int_equal(run(&first, "k"), HARDY_OK);
    assert_int_equal(effects, 1);
}

/* --- waiting for another one --------------------------------------------------------------------
 */

static void begin_second(void) {
    begin(&second, "k");
}

static void second_while_first_runs(bool attach, int64_t deadline) {
    first = second = (struct call){0};
    second.spec.attach = attach;
    second.spec.deadline = deadline;
    begin(&first, "k");
    later(20 * MS, begin_second);
    loop_run(loop);
    assert_true(first.ended && second.ended);
}

static void two_of_one_key(void **state) {
    (void)state;
    second_while_first_runs(false, 0);
    assert_int_equal(first.status, HARDY_OK);
    assert_int_equal(second.status, HARDY_E_RUNNING);
    assert_int_equal(effects, 1);
}

static void the_second_takes_the_result(void **state) {
    (void)state;
    second_while_first_runs(true, 0);
    assert_int_equal(second.status, HARDY_OK);
    assert_int_equal(second.attached, 1);
    assert_true(second.replayed);
    assert_int_equal(effects, 1);
}

static void the_second_takes_the_failure_too(void **state) {
    (void)state;
    code = 3;
    second_while_first_runs(true, 0);
    assert_int_equal(first.status, HARDY_E_FAILED);
    assert_int_equal(second.status, HARDY_E_FAILED);
    assert_true(second.replayed);
    assert_int_equal(effects, 1);
    /* Asked for later, it runs again. */
    code = 0;
    assert_int_equal(run(&second, "k"), HARDY_OK);
    assert_int_equal(effects, 2);
}

static void the_second_waits_no_longer_than_it_may(void **state) {
    (void)state;
    second_while_first_runs(true, loop_now(loop) + 60 * MS);
    assert_int_equal(second.status, HARDY_E_DEADLINE);
    assert_int_equal(first.status, HARDY_OK);
}

/* --- guards -------------------------------------------------------------------------------------
 */

static hardy_guard *guard_of(uint32_t retries, double per_second, uint32_t failures) {
    hardy_guard_config config;
    hardy_retry_config retry;
    hardy_rate_config rate;
    hardy_breaker_config breaker;
    hardy_env env = loop_env(loop);
    hardy_guard *guard;
    hardy_guard_config_init(&config, sizeof config);
    hardy_retry_config_init(&retry, sizeof retry);
    hardy_rate_config_init(&rate, sizeof rate);
    hardy_breaker_config_init(&breaker, sizeof breaker);
    config.name = "g";
    retry.max_retries = retries;
    retry.base_delay = HARDY_SECOND;
    retry.jitter = HARDY_JITTER_NONE;
    rate.events = per_second;
    rate.burst = 1;
    breaker.failure_threshold = failures;
    config.retry = &retry;
    config.rate = per_second > 0 ? &rate : NULL;
    config.breaker = failures > 0 ? &breaker : NULL;
    env.log = NULL;
    assert_int_equal(hardy_guard_new(&config, &env, &guard, NULL), HARDY_OK);
    return guard;
}

static void a_guard_that_has_to_wait_says_so_first(void **state) {
    struct call c = {0};
    (void)state;
    c.spec.guard = guard_of(0, 1, 0);
    assert_int_equal(run(&c, "a"), HARDY_OK);
    assert_int_equal(c.held_up, 0);
    assert_int_equal(run(&c, "b"), HARDY_OK);
    assert_int_equal(c.held_up, 1);
    hardy_guard_free(c.spec.guard);
}

static void only_clean_failures_are_tried_again(void **state) {
    struct call c = {0};
    (void)state;
    c.spec.guard = guard_of(2, 0, 0);
    code = 7;
    assert_int_equal(run(&c, "clean"), HARDY_E_EXHAUSTED);
    assert_int_equal(effects, 3);
    assert_int_equal(c.attempt, 3);
    assert_int_equal(c.recorded, 3);
    effects = 0;
    signal_of = 11;
    assert_int_equal(run(&c, "crash"), HARDY_E_IN_DOUBT);
    assert_int_equal(effects, 1);
    effects = 0;
    c.spec.in_doubt = IN_DOUBT_RERUN;
    assert_int_equal(run(&c, "safe"), HARDY_E_EXHAUSTED);
    assert_int_equal(effects, 3);
    effects = 0;
    c.spec.in_doubt = IN_DOUBT_ASK;
    signal_of = 0;
    code = 127; /* about this machine */
    assert_int_equal(run(&c, "missing"), HARDY_E_FAILED);
    assert_int_equal(effects, 1);
    hardy_guard_free(c.spec.guard);
}

/* A guard that calls everything repeatable does not make an effect so. */
static void a_guard_cannot_declare_an_effect_safe(void **state) {
    struct call c = {0};
    hardy_guard *guard = guard_of(3, 0, 0);
    hardy_guard_config config = *guard_config(guard);
    hardy_retry_config retry = *config.retry;
    hardy_env env = loop_env(loop);
    (void)state;
    retry.repeatable = true;
    config.retry = &retry;
    assert_int_equal(hardy_guard_new(&config, &env, &c.spec.guard, NULL), HARDY_OK);
    signal_of = 9;
    assert_int_equal(run(&c, "k"), HARDY_E_IN_DOUBT);
    assert_int_equal(effects, 1);
    hardy_guard_free(c.spec.guard);
    hardy_guard_free(guard);
}

static void a_refusal_leaves_no_record(void **state) {
    struct call c = {0};
    (void)state;
    c.spec.guard = guard_of(0, 0, 1);
    code = 1;
    assert_int_equal(run(&c, "a"), HARDY_E_FAILED);
    effects = 0;
    assert_int_equal(run(&c, "b"), HARDY_E_OPEN);
    assert_int_equal(effects, 0);
    assert_false(c.had_record);
    assert_int_equal(state_of("b"), RECORD_PENDING);
    assert_int_equal(run(&c, "a"), HARDY_E_OPEN);
    assert_int_equal(state_of("a"), RECORD_FAILED); /* as it was */
    hardy_guard_free(c.spec.guard);
}

/* --- time ---------------------------------------------------------------------------------------
 */

static void too_late(void **state) {
    struct call c = {.spec = {.timeout = 30 * MS}};
    (void)state;
    assert_int_equal(run(&c, "k"), HARDY_E_IN_DOUBT);
    assert_non_null(strstr(c.message, "stopped at its deadline"));
    c = (struct call){.spec = {.timeout = 30 * MS, .in_doubt = IN_DOUBT_FAIL}};
    assert_int_equal(run(&c, "f"), HARDY_E_TIMEOUT);
    assert_int_equal(state_of("f"), RECORD_FAILED);
    c = (struct call){.spec = {.deadline = loop_now(loop) + 30 * MS}};
    assert_int_equal(run(&c, "d"), HARDY_E_IN_DOUBT);
}

static void a_record_is_kept_for_as_long_as_was_said(void **state) {
    static const char *const other[] = {"act", "6", NULL};
    struct call c = {.spec = {.ttl = HARDY_HOUR}};
    (void)state;
    assert_int_equal(run(&c, "k"), HARDY_OK);
    c.spec.argv = other;
    assert_int_equal(run(&c, "k"), HARDY_E_MISMATCH);
    span = HARDY_HOUR; /* another key's, to let the time pass */
    c.spec.ttl = HARDY_NEVER;
    assert_int_equal(run(&c, "clock"), HARDY_OK);
    span = MS;
    assert_int_equal(run(&c, "k"), HARDY_OK);
    assert_false(c.replayed);
    assert_int_equal(c.attempt, 1);
    assert_int_equal(effects, 3);
}

/* --- what a person settles ----------------------------------------------------------------------
 */

static hardy_status resolve(const char *key, enum resolve_how how) {
    const struct resolution as = {
        .row_kind = "action", .key = key, .how = how, .result = "by hand", .who = "me"};
    return record_resolve(loop, store, state_path, &as, HARDY_NEVER, NULL);
}

static void resolve_while_it_runs(void) {
    assert_int_equal(resolve("k", RESOLVE_RETRY), HARDY_E_RUNNING);
    command_leave(first.command);
    assert_int_equal(resolve("k", RESOLVE_RETRY),
                     HARDY_E_RUNNING); /* nor when only its shim does */
}

static void only_what_is_in_doubt_is_settled(void **state) {
    struct call c = {0};
    (void)state;
    first = (struct call){0};
    begin(&first, "k");
    later(50 * MS, resolve_while_it_runs);
    loop_run(loop);
    assert_int_equal(resolve("k", RESOLVE_FAIL), HARDY_E_CLOSED); /* its result is there */
    assert_int_equal(run(&c, "k"), HARDY_OK);
    assert_int_equal(resolve("k", RESOLVE_FAIL), HARDY_E_CLOSED);
    assert_int_equal(resolve("nobody", RESOLVE_DONE), HARDY_E_NOT_FOUND);
    signal_of = 9;
    assert_int_equal(run(&c, "doubt"), HARDY_E_IN_DOUBT);
    assert_int_equal(resolve("doubt", RESOLVE_DONE), HARDY_OK);
    assert_int_equal(run(&c, "doubt"), HARDY_OK);
    assert_string_equal(c.output, "by hand");
}

/* --- a program of its own has the key, under a lease --------------------------------------------
 */

static struct moment present(void) {
    struct moment now = {.monotonic = loop_now(loop), .wall = loop_wall(loop)};
    file_boot_id(now.boot);
    return now;
}

/* What the very same command would be, begun by a program that is not hardy's. */
static hardy_status owner(enum action_verb verb, int64_t *fence) {
    struct action a;
    const struct action_request q = {.verb = verb,
                                     .key = "k",
                                     .now = present(),
                                     .scope = "exec",
                                     .name = "act",
                                     .params = "[\"act\",\"5\"]",
                                     .owner = "agent.py",
                                     .lease = 10 * HARDY_SECOND,
                                     .ttl = HARDY_NEVER,
                                     .fence = *fence};
    const struct change change = {ACTION_ROW, "k", action_decide, &a};
    assert_int_equal(action_init(&a, &q, NULL), HARDY_OK);
    hardy_status status = change_apply(&change, store, HARDY_NEVER, NULL);
    *fence = verb == ACTION_BEGIN ? a.record.fence : *fence;
    action_free(&a);
    return status;
}

static void a_key_that_is_leased_is_left_alone(void **state) {
    struct call c = {0};
    int64_t fence = 0;
    (void)state;
    assert_int_equal(owner(ACTION_BEGIN, &fence), HARDY_OK);
    for (int policy = IN_DOUBT_ASK; policy <= IN_DOUBT_FAIL; policy++) {
        c.spec.in_doubt = (enum in_doubt_policy)policy;
        assert_int_equal(run(&c, "k"), HARDY_E_RUNNING);
    }
    assert_int_equal(resolve("k", RESOLVE_RETRY), HARDY_E_RUNNING);
    c.spec.in_doubt = IN_DOUBT_ASK;
    c.spec.attach = true;
    assert_int_equal(run(&c, "k"), HARDY_E_IN_DOUBT); /* when the lease has run out */
    assert_true(loop_now(loop) >= 10 * HARDY_SECOND);
    assert_int_equal(effects, 0);
    assert_int_equal(owner(ACTION_RENEW, &fence), HARDY_OK); /* late, but it is there */
    c.spec.in_doubt = IN_DOUBT_RERUN;
    assert_int_equal(run(&c, "k"), HARDY_OK);
    assert_int_equal(effects, 1);
    assert_int_equal(c.attempt, 2);
    assert_int_equal(owner(ACTION_COMPLETE, &fence), HARDY_E_FENCED);
    assert_int_equal(state_of("k"), RECORD_DONE);
}

static void complete_in_time(void) {
    int64_t fence = (int64_t)(uintptr_t)first.spec.passing_ctx;
    assert_int_equal(owner(ACTION_COMPLETE, &fence), HARDY_OK);
}

static void its_result_is_taken(void **state) {
    int64_t fence = 0;
    (void)state;
    first = (struct call){.spec = {.attach = true}};
    assert_int_equal(owner(ACTION_BEGIN, &fence), HARDY_OK);
    first.spec.passing_ctx = (void *)(uintptr_t)fence;
    later(HARDY_SECOND, complete_in_time);
    assert_int_equal(run(&first, "k"), HARDY_OK);
    assert_true(first.replayed);
    assert_int_equal(effects, 0);
}

static void a_lost_one_is_settled(void **state) {
    struct call c = {.spec = {.attach = true}};
    int64_t fence = 0;
    (void)state;
    assert_int_equal(owner(ACTION_BEGIN, &fence), HARDY_OK);
    assert_int_equal(run(&c, "k"), HARDY_E_IN_DOUBT);
    assert_int_equal(resolve("k", RESOLVE_RETRY), HARDY_OK);
    assert_int_equal(owner(ACTION_COMPLETE, &fence), HARDY_E_FENCED);
    assert_int_equal(run(&c, "k"), HARDY_OK);
    assert_int_equal(effects, 1);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_start_that_cannot_be_recorded_does_not_happen),
        T(a_result_that_cannot_be_recorded_is_not_lost),
        T(who_was_taken_over_starts_nothing),
        T(what_was_left_is_attached_to),
        T(left_at_any_moment),
        T(cancelled_while_it_runs),
        T(cancelled_before_it_begins),
        T(two_of_one_key),
        T(the_second_takes_the_result),
        T(the_second_takes_the_failure_too),
        T(the_second_waits_no_longer_than_it_may),
        T(a_guard_that_has_to_wait_says_so_first),
        T(only_clean_failures_are_tried_again),
        T(a_guard_cannot_declare_an_effect_safe),
        T(a_refusal_leaves_no_record),
        T(too_late),
        T(a_record_is_kept_for_as_long_as_was_said),
        T(only_what_is_in_doubt_is_settled),
        T(a_key_that_is_leased_is_left_alone),
        T(its_result_is_taken),
        T(a_lost_one_is_settled),
    };
    return cmocka_run_group_tests_name("work-command", tests, NULL, NULL);
}
