/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What durability costs: a run of n steps on SQLite waits for the disk n + 1 times, a single action
 * twice. Counted where SQLite asks the kernel: this program's fdatasync() stands before libc's. It
 * is also the shim of its steps.
 */
#include "../cmocka_all.h"
#include "base/atomic.h"
#include "base/str.h"
#include "io/file.h"
#include "io/shim.h"
#include "work/runner.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_word syncs;

int fdatasync(int fd);
int fdatasync(int fd) {
    word_add(&syncs, 1);
    return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd);
int fsync(int fd) {
    word_add(&syncs, 1);
    return (int)syscall(SYS_fsync, fd);
}

static char folder[64], state_path[96];
static struct loop *loop;
static struct store *store;

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hardy-syncs.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(state_path, sizeof state_path, "%s/hardy.db", folder);
    const struct store_options options = {.path = state_path, .create = true};
    assert_int_equal(store_open(&options, &store, NULL), HARDY_OK);
    loop = loop_uv_new(NULL);
    assert_non_null(loop);
    return 0;
}

static int teardown(void **state) {
    char line[96];
    (void)state;
    store_close(store);
    loop_free(loop);
    snprintf(line, sizeof line, "rm -rf %s", folder);
    return system(line);
}

/* --- a run -------------------------------------------------------------------------------------
 */

static enum run_state became;
static int held_up_at; /* steps recorded as done when a later one had to wait */
static hardy_guard *guard;

static void on_step_ended(void *ctx, const struct run *run, const struct run_step *step, bool undo,
                          hardy_status status, const hardy_error *error) {
    (void)ctx;
    (void)run;
    (void)step;
    (void)undo;
    (void)error;
    assert_int_equal(status, HARDY_OK);
}

static void on_ended(void *ctx, const struct run *run, hardy_status status,
                     const hardy_error *error, const char *difference) {
    (void)ctx;
    (void)difference;
    if (status != HARDY_OK) {
        fail_msg("%s", error->message);
    }
    became = run->state;
}

/* While a step waits for its guard, what was done before is in the state. */
static void on_note(void *ctx, const struct run *run, const struct run_step *step,
                    enum runner_note note, const char *detail) {
    (void)ctx;
    (void)detail;
    if (note != NOTE_RETRY) {
        return;
    }
    struct run recorded;
    int done = 0;
    for (int i = 0; i < 1000 && done < (int)step->place; i++) { /* it is on its way */
        assert_int_equal(run_load(store, run->id, &recorded, NULL), HARDY_OK);
        done = 0;
        for (size_t s = 0; s < recorded.root->count; s++) {
            done += recorded.root->children[s]->record.state == RECORD_DONE;
        }
        run_free(&recorded);
        usleep(1000);
    }
    held_up_at = done;
}

static hardy_status find_guard(void *ctx, const struct workflow_step *step,
                               struct runner_guard *out, hardy_error *error) {
    (void)ctx;
    (void)step;
    (void)error;
    out->guard = guard;
    return HARDY_OK;
}

static struct workflow *workflow_of(int steps, bool guarded) {
    struct buf text;
    char path[128];
    struct workflow *w = NULL;
    buf_init(&text, 1 << 16);
    buf_printf(&text, "name: w\nsteps:\n");
    for (int i = 1; i <= steps; i++) {
        buf_printf(&text, "  - {name: s%d, run: [echo, '${{ env.N }}']%s}\n", i,
                   guarded ? ", guard: slow" : "");
    }
    snprintf(path, sizeof path, "%s/w%d.yaml", folder, steps);
    assert_int_equal(file_write(path, text.data, text.len, false, NULL), HARDY_OK);
    assert_int_equal(workflow_read(path, &w, NULL), HARDY_OK);
    buf_free(&text);
    return w;
}

static int syncs_of_run(int steps, bool guarded) {
    static const struct runner_events events = {
        .note = on_note, .step_ended = on_step_ended, .ended = on_ended};
    static const char *const env[] = {"PATH=/usr/bin:/bin", "N=1", NULL};
    struct workflow *w = workflow_of(steps, guarded);
    struct runner *runner;
    const struct runner_options options = {.loop = loop,
                                           .store = store,
                                           .state = state_path,
                                           .workflow = w,
                                           .fresh = true,
                                           .input = "{}",
                                           .env = env,
                                           .guard = find_guard};
    word_store(&syncs, 0);
    became = RUN_RUNNING;
    assert_int_equal(runner_start(&options, &events, NULL, &runner, NULL), HARDY_OK);
    loop_run(loop);
    assert_int_equal(became, RUN_DONE);
    workflow_free(w);
    return (int)word_load(&syncs);
}

static void a_run_of_n_steps_waits_n_and_one_times(void **state) {
    (void)state;
    (void)syncs_of_run(1, false); /* the first one also makes the log */
    assert_int_equal(syncs_of_run(1, false), 2);
    assert_int_equal(syncs_of_run(2, false), 3);
    assert_int_equal(syncs_of_run(9, false), 10);
}

/* A step that has to wait does not keep what is known from the disk. */
static void a_step_that_waits_lets_the_others_be_written(void **state) {
    hardy_guard_config config;
    hardy_rate_config rate;
    hardy_env env = loop_env(loop);
    (void)state;
    hardy_guard_config_init(&config, sizeof config);
    hardy_rate_config_init(&rate, sizeof rate);
    config.name = "slow";
    rate.events = 1;
    rate.period = 100 * HARDY_MILLISECOND;
    rate.burst = 1;
    config.rate = &rate;
    assert_int_equal(hardy_guard_new(&config, &env, &guard, NULL), HARDY_OK);
    (void)syncs_of_run(1, true);
    int count = syncs_of_run(2, true);
    assert_int_equal(held_up_at, 1);
    assert_true(count >= 4 && count <= 5); /* the first step may have to wait, too */
    hardy_guard_free(guard);
}

/* --- an action ---------------------------------------------------------------------------------
 */

static hardy_status action_status;

static void on_command_ended(void *ctx, const struct command_result *result) {
    (void)ctx;
    action_status = result->status;
    assert_null(command_take(result).base);
}

static int syncs_of_action(const char *key, const char *const *argv) {
    static const struct command_events events = {.ended = on_command_ended};
    struct command *c;
    const struct command_spec spec = {.row_kind = "action",
                                      .key = key,
                                      .name = argv[0],
                                      .scope = "exec",
                                      .argv = argv,
                                      .env = (const char *const[]){"PATH=/usr/bin:/bin", NULL},
                                      .timeout = HARDY_NEVER,
                                      .deadline = HARDY_NEVER,
                                      .ttl = HARDY_NEVER,
                                      .max_output = 1000,
                                      .rerun_failed = true};
    word_store(&syncs, 0);
    assert_int_equal(command_start(loop, store, state_path, &spec, &events, NULL, &c, NULL),
                     HARDY_OK);
    loop_run(loop);
    return (int)word_load(&syncs);
}

static void an_action_waits_twice_and_its_replay_never(void **state) {
    static const char *const good[] = {"true", NULL}, *const bad[] = {"false", NULL};
    (void)state;
    (void)syncs_of_action("first", good);
    assert_int_equal(syncs_of_action("a", good), 2);
    assert_int_equal(action_status, HARDY_OK);
    assert_int_equal(syncs_of_action("a", good), 0);
    assert_int_equal(syncs_of_action("b", bad), 2);
    assert_int_equal(action_status, HARDY_E_FAILED);
}

int main(int argc, char **argv) {
    if (argc > 1 && str_eq(argv[1], "__step")) {
        return shim_main(argc, argv);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_run_of_n_steps_waits_n_and_one_times, setup, teardown),
        cmocka_unit_test_setup_teardown(a_step_that_waits_lets_the_others_be_written, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_action_waits_twice_and_its_replay_never, setup,
                                        teardown),
    };
    return cmocka_run_group_tests_name("work-syncs", tests, NULL, NULL);
}
