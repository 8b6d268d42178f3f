/* SPDX-License-Identifier: Apache-2.0 */
/* libhardy-durable as a program uses it: against the public headers and the shared libraries. */
#include "../cmocka_all.h"
#include <hardy/durable.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], path[96];
static hardy_durable *durable;
static hardy_error error;

static hardy_durable *open_as(const char *owner) {
    hardy_durable_config config;
    hardy_durable *out = NULL;
    hardy_durable_config_init(&config, sizeof config);
    config.path = path;
    config.owner = owner;
    hardy_error_init(&error, sizeof error);
    if (hardy_durable_open(&config, &out, &error) != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
    return out;
}

static int open_it(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/hardy-library.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/hardy.db", folder);
    durable = open_as("test");
    return 0;
}

static int close_it(void **state) {
    static const char *const endings[] = {"", "-wal", "-shm", "-lock"};
    char name[120];
    (void)state;
    hardy_durable_close(durable);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        snprintf(name, sizeof name, "%s%s", path, endings[i]);
        unlink(name);
    }
    rmdir(folder);
    return 0;
}

static int64_t soon(void) {
    hardy_env env;
    hardy_env_system(&env, sizeof env);
    return env.now(env.ctx) + 20 * HARDY_SECOND;
}

/* Of leases that have to run out in earnest. */
static hardy_action_options short_lease(hardy_in_doubt policy) {
    hardy_action_options o;
    hardy_action_options_init(&o, sizeof o);
    assert_int_equal(o.lease, 30 * HARDY_SECOND);
    o.lease = 100 * HARDY_MILLISECOND;
    o.in_doubt = policy;
    return o;
}

static hardy_action *begin(const char *key, const hardy_action_options *o) {
    hardy_action *a = NULL;
    hardy_error_init(&error, sizeof error);
    if (hardy_action_begin(durable, key, "[1]", o, HARDY_NEVER, &a, &error) != HARDY_OK) {
        fail_msg("%s", error.message);
    }
    return a;
}

static void an_action(void **state) {
    hardy_action *a, *b = NULL;
    (void)state;
    a = begin("order", NULL);
    assert_false(hardy_action_replayed(a));
    assert_int_equal(hardy_action_attempt(a), 1);
    assert_int_equal(strlen(hardy_action_idempotency_key(a)), 32);
    assert_null(hardy_action_result(a));
    assert_int_equal(hardy_action_begin(durable, "order", "[1]", NULL, 0, &b, &error),
                     HARDY_E_RUNNING);
    assert_true(error.retry_after > 0 && error.retry_after <= 30 * HARDY_SECOND);
    assert_non_null(strstr(error.message, "test"));
    assert_int_equal(hardy_action_begin(durable, "order", "[2]", NULL, 0, &b, &error),
                     HARDY_E_MISMATCH);
    assert_int_equal(hardy_action_renew(a, HARDY_NEVER, &error), HARDY_OK);
    assert_int_equal(hardy_action_complete(a, "{", HARDY_NEVER, &error), HARDY_E_SYNTAX);
    assert_int_equal(hardy_action_complete(a, "{\"id\": 7}", HARDY_NEVER, &error), HARDY_OK);
    assert_int_equal(hardy_action_complete(a, "{\"id\": 7}", HARDY_NEVER, &error), HARDY_OK);
    assert_int_equal(hardy_action_renew(a, HARDY_NEVER, &error), HARDY_E_CLOSED);
    b = begin("order", NULL);
    assert_true(hardy_action_replayed(b));
    assert_string_equal(hardy_action_result(b), "{\"id\": 7}");
    assert_int_equal(hardy_action_fence(b), hardy_action_fence(a));
    assert_int_equal(hardy_action_complete(b, "1", HARDY_NEVER, &error), HARDY_E_INVALID);
    hardy_action_free(a);
    hardy_action_free(b);
    a = begin("failing", NULL);
    assert_int_equal(hardy_action_fail(a, "no funds", true, HARDY_NEVER, &error), HARDY_OK);
    hardy_action_free(a);
    a = begin("failing", NULL);
    assert_int_equal(hardy_action_attempt(a), 2);
    hardy_action_free(a);
    hardy_action_free(NULL);
}

static void what_is_in_doubt(void **state) {
    hardy_action_options ask = short_lease(HARDY_IN_DOUBT_ASK);
    hardy_action_options rerun = short_lease(HARDY_IN_DOUBT_RERUN);
    hardy_action *a, *b = NULL;
    (void)state;
    a = begin("lost", &ask);
    assert_int_equal(
        hardy_action_resolve(durable, "lost", HARDY_RESOLVE_RETRY, NULL, HARDY_NEVER, &error),
        HARDY_E_RUNNING);
    usleep(110 * 1000);
    assert_int_equal(hardy_action_begin(durable, "lost", "[1]", &ask, 0, &b, &error),
                     HARDY_E_IN_DOUBT);
    b = begin("lost", &rerun);
    assert_int_equal(hardy_action_attempt(b), 2);
    assert_string_equal(hardy_action_idempotency_key(a), hardy_action_idempotency_key(b));
    assert_false(hardy_action_lost(a));
    assert_int_equal(hardy_action_complete(a, NULL, HARDY_NEVER, &error), HARDY_E_FENCED);
    assert_true(hardy_action_lost(a));
    hardy_action_free(a);
    hardy_action_free(b);
    usleep(110 * 1000);
    assert_int_equal(
        hardy_action_resolve(durable, "lost", HARDY_RESOLVE_DONE, "[7]", HARDY_NEVER, &error),
        HARDY_OK);
    assert_int_equal(
        hardy_action_resolve(durable, "lost", HARDY_RESOLVE_DONE, "[7]", HARDY_NEVER, &error),
        HARDY_E_CLOSED);
    a = begin("lost", &ask);
    assert_string_equal(hardy_action_result(a), "[7]");
    hardy_action_free(a);
}

/* --- steps ------------------------------------------------------------------------------------ */

struct script {
    int runs;
    hardy_status status;
    const char *result, *message;
    useconds_t takes;
    bool lost;
};

static hardy_status play(void *ctx, hardy_action *action, hardy_error *why) {
    struct script *s = ctx;
    s->runs++;
    usleep(s->takes);
    s->lost = hardy_action_lost(action);
    if (s->message) {
        snprintf(why->message, sizeof why->message, "%s", s->message);
    }
    if (s->result) {
        assert_int_equal(hardy_action_set_result(action, s->result, why), HARDY_OK);
    }
    return s->status;
}

static hardy_status step(hardy_durable *d, const char *name, struct script *s,
                         const hardy_action_options *o, int64_t deadline, char **result) {
    hardy_error_init(&error, sizeof error);
    return hardy_durable_step(d, "run", name, "{\"n\":1}", o, play, s, deadline, result, &error);
}

static void steps(void **state) {
    struct script s = {.result = "{\"sum\":3}"};
    char *result = NULL;
    (void)state;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(step(durable, "sum", &s, NULL, soon(), &result), HARDY_OK);
        assert_string_equal(result, "{\"sum\":3}");
        hardy_durable_free(result);
    }
    assert_int_equal(s.runs, 1);
    s = (struct script){.status = HARDY_E_CONNECT, .message = "nobody there"};
    assert_int_equal(step(durable, "ask", &s, NULL, soon(), &result), HARDY_E_CONNECT);
    assert_string_equal(error.message, "nobody there");
    s = (struct script){0};
    assert_int_equal(step(durable, "ask", &s, NULL, soon(), &result), HARDY_OK); /* may run again */
    assert_string_equal(result, "null");
    hardy_durable_free(result);
    /* It does not know: nothing is recorded, and it is in doubt when the lease has run out. */
    hardy_action_options o = short_lease(HARDY_IN_DOUBT_ASK);
    s = (struct script){.status = HARDY_E_IN_DOUBT};
    assert_int_equal(step(durable, "send", &s, &o, soon(), NULL), HARDY_E_IN_DOUBT);
    assert_int_equal(step(durable, "send", &s, &o, 0, NULL), HARDY_E_RUNNING);
    assert_int_equal(step(durable, "send", &s, &o, soon(), NULL), HARDY_E_IN_DOUBT);
    assert_int_equal(s.runs, 1);
}

/* Three times as long as its lease: it is renewed meanwhile, and nobody else begins it. */
static void a_long_step_keeps_its_lease(void **state) {
    hardy_action_options o = short_lease(HARDY_IN_DOUBT_RERUN);
    struct script s = {.takes = 350 * 1000, .result = "1"};
    (void)state;
    assert_int_equal(step(durable, "long", &s, &o, soon(), NULL), HARDY_OK);
    assert_false(s.lost);
    assert_int_equal(step(durable, "long", &s, &o, soon(), NULL), HARDY_OK);
    assert_int_equal(s.runs, 1);
}

struct runner {
    hardy_durable *durable;
    struct script *script;
    hardy_status status;
    char *result;
};

static void *run_it(void *ctx) {
    struct runner *r = ctx;
    hardy_error why;
    hardy_action_options o;
    hardy_action_options_init(&o, sizeof o); /* a lease that no busy machine lets run out */
    hardy_error_init(&why, sizeof why);
    r->status = hardy_durable_step(r->durable, NULL, "crowd", NULL, &o, play, r->script,
                                   HARDY_NEVER, &r->result, &why);
    return NULL;
}

/* Threads of two openings, as of two processes: one runs it, all get its result. */
static void a_crowd(void **state) {
    struct script s = {.takes = 50 * 1000, .result = "{\"once\":true}"};
    struct runner runners[8];
    pthread_t threads[8];
    hardy_durable *second = open_as("second");
    (void)state;
    for (int i = 0; i < 8; i++) {
        runners[i] = (struct runner){.durable = i % 2 ? second : durable, .script = &s};
        assert_int_equal(pthread_create(&threads[i], NULL, run_it, &runners[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(runners[i].status, HARDY_OK);
        assert_string_equal(runners[i].result, "{\"once\":true}");
        hardy_durable_free(runners[i].result);
    }
    assert_int_equal(s.runs, 1);
    hardy_durable_close(second);
}

/* --- checkpoints and the rest ----------------------------------------------------------------- */

static hardy_status put(const char *value, int64_t if_version, int64_t *version) {
    hardy_error_init(&error, sizeof error);
    return hardy_checkpoint_put(durable, "job/1", value, if_version, HARDY_NEVER, HARDY_NEVER,
                                version, &error);
}

static void checkpoints(void **state) {
    int64_t first, second, version;
    char *value;
    (void)state;
    assert_int_equal(hardy_checkpoint_get(durable, "job/1", &value, &version, &error),
                     HARDY_E_NOT_FOUND);
    assert_int_equal(put("[1]", HARDY_CHECKPOINT_NEW, &first), HARDY_OK);
    assert_int_equal(put("[1]", HARDY_CHECKPOINT_NEW, NULL), HARDY_E_EXISTS);
    assert_int_equal(put("[2]", first, &second), HARDY_OK);
    assert_int_equal(put("[3]", first, NULL), HARDY_E_FENCED);
    assert_int_equal(put("[3", second, NULL), HARDY_E_SYNTAX);
    assert_int_equal(put("[3]", -7, NULL), HARDY_E_INVALID);
    assert_int_equal(hardy_checkpoint_get(durable, "job/1", &value, &version, &error), HARDY_OK);
    assert_string_equal(value, "[2]");
    assert_int_equal(version, second);
    hardy_durable_free(value);
    assert_int_equal(hardy_checkpoint_delete(durable, "job/1", first, HARDY_NEVER, &error),
                     HARDY_E_FENCED);
    assert_int_equal(put("[3]", HARDY_CHECKPOINT_ANY, NULL), HARDY_OK);
    assert_int_equal(
        hardy_checkpoint_delete(durable, "job/1", HARDY_CHECKPOINT_ANY, HARDY_NEVER, &error),
        HARDY_OK);
    assert_int_equal(
        hardy_checkpoint_delete(durable, "job/1", HARDY_CHECKPOINT_ANY, HARDY_NEVER, &error),
        HARDY_E_NOT_FOUND);
}

static void mistakes(void **state) {
    hardy_durable_config config;
    hardy_durable *other = NULL;
    hardy_action *a = NULL;
    hardy_action_options o;
    (void)state;
    hardy_durable_config_init(&config, sizeof config);
    assert_int_equal(hardy_durable_open(&config, &other, &error), HARDY_E_INVALID);
    config.path = "/nonexistent/hardy.db";
    assert_int_equal(hardy_durable_open(&config, &other, &error), HARDY_E_NOT_FOUND);
    assert_non_null(strstr(error.where, "/nonexistent"));
    hardy_action_options_init(&o, sizeof o);
    o.lease = 1;
    assert_int_equal(hardy_action_begin(durable, "k", NULL, &o, 0, &a, &error), HARDY_E_INVALID);
    o.lease = HARDY_SECOND;
    o.in_doubt = (hardy_in_doubt)9;
    assert_int_equal(hardy_action_begin(durable, "k", NULL, &o, 0, &a, &error), HARDY_E_INVALID);
    assert_int_equal(hardy_action_begin(durable, "", NULL, NULL, 0, &a, &error), HARDY_E_INVALID);
    hardy_durable_close(NULL);
    hardy_durable_free(NULL);
}

static void a_forked_child_is_refused(void **state) {
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        hardy_action *a = NULL;
        char *value;
        bool good =
            hardy_action_begin(durable, "child", NULL, NULL, 0, &a, &error) == HARDY_E_INVALID &&
            hardy_checkpoint_get(durable, "a", &value, NULL, &error) == HARDY_E_INVALID;
        hardy_durable_close(durable);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    hardy_action_free(begin("parent", NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_action, open_it, close_it),
        cmocka_unit_test_setup_teardown(what_is_in_doubt, open_it, close_it),
        cmocka_unit_test_setup_teardown(steps, open_it, close_it),
        cmocka_unit_test_setup_teardown(a_long_step_keeps_its_lease, open_it, close_it),
        cmocka_unit_test_setup_teardown(a_crowd, open_it, close_it),
        cmocka_unit_test_setup_teardown(checkpoints, open_it, close_it),
        cmocka_unit_test_setup_teardown(mistakes, open_it, close_it),
        cmocka_unit_test_setup_teardown(a_forked_child_is_refused, open_it, close_it),
    };
    return cmocka_run_group_tests_name("library", tests, NULL, NULL);
}
