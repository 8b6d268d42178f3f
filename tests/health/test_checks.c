/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of checks, and their probes against the kernel's sockets, processes and files. */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "health/check.h"
#include "http/client.h"
#include "io/procfs.h"
#include "shared/host.h"
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static hardy_status read_checks(const char *yaml, struct schema_list *list, hardy_error *error) {
    struct config *config = NULL;
    hardy_error_init(error, sizeof *error);
    *list = (struct schema_list){0};
    assert_int_equal(config_load_bytes("t.yaml", yaml, strlen(yaml), &config, error), HARDY_OK);
    hardy_status status = checks_read(config, list, error);
    config_free(config);
    return status;
}

static void refuses(const char *yaml, const char *where, const char *message) {
    struct schema_list list;
    hardy_error error;
    assert_int_not_equal(read_checks(yaml, &list, &error), HARDY_OK);
    if (strcmp(error.where, where) != 0 || !strstr(error.message, message)) {
        fail_msg("%s: %s: %s; expected %s: %s", yaml, error.where, error.message, where, message);
    }
    checks_free(&list);
}

static void bad_checks_are_refused_with_their_place(void **state) {
    (void)state;
    refuses("checks:\n  - {name: a}\n", "t.yaml:2:5", "no kind");
    refuses("checks:\n  - {name: a, tcp: \"h:1\", http: \"http://h/\"}\n", "t.yaml:2:5",
            "several kinds");
    refuses("checks:\n  - {name: a, tcp: \"h:1\"}\n  - {name: a, tcp: \"h:2\"}\n", "t.yaml:3:5",
            "the first is in line 2");
    refuses("checks:\n  - {name: a, tcp: \"h:1\", timeout: 20s}\n", "t.yaml:2:5",
            "timeout 20s is above its interval 10s");
    refuses("checks:\n  - {name: a, tcp: nowhere}\n", "t.yaml:2:20", "is not HOST:PORT");
    refuses("checks:\n  - {name: a, http: \"gopher://x\"}\n", "t.yaml:2:21", "check `a`");
    refuses("checks: 7\n", "t.yaml:1:9", "a list of checks");
    refuses("checks:\n  - {name: a, tcp: \"h:1\", failure_treshold: 2}\n", "t.yaml:2:27",
            "failure_threshold");
    refuses("checks:\n  - {name: a, tcp: \"h:1\", interval: 30}\n", "t.yaml:2:37", "unit");
    refuses("checks:\n  - {name: a, process: {}}\n", "t.yaml:2:24", "one of pid_file and name");
    refuses("checks:\n  - {name: a, process: {name: x, pid_file: y}}\n", "t.yaml:2:24",
            "one of pid_file and name");
    refuses("checks:\n  - {name: a, number: {below: 1}}\n", "t.yaml:2:23", "no source");
    refuses("checks:\n  - {name: a, number: {below: 1, file: f, command: [c]}}\n", "t.yaml:2:23",
            "several sources");
    refuses("checks:\n  - {name: a, number: {file: f}}\n", "t.yaml:2:23", "no bound");
    refuses("checks:\n  - {name: a, number: {file: f, below: 1, above: 1}}\n", "t.yaml:2:40",
            "no number is below 1 and above 1");
    refuses("checks:\n  - {name: a, number: {http: \"nowhere\", above: 1}}\n", "t.yaml:2:30",
            "check `a`");
    refuses("checks:\n  - {name: a, redis: {address: \"h:1\", user: u}}\n", "t.yaml:2:45",
            "the user needs a password_file");
    refuses("checks:\n  - {name: a, redis: nowhere}\n", "t.yaml:2:22", "is not HOST:PORT");
    refuses("checks:\n  - {name: a, postgresql: {address: nowhere}}\n", "t.yaml:2:37",
            "is not HOST:PORT");
    refuses("checks:\n  - {name: a, tcp: \"h:1\", response_below: 1s}\n", "t.yaml:2:43",
            "not less than its timeout 1s");
    refuses("checks:\n  - {name: a, disk: /, response_below: 10ms}\n", "t.yaml:2:40",
            "goes with http, tcp, redis and postgresql");
    refuses("checks:\n  - {name: a, tcp: \"h:1\", failures_in_last: {count: 6, of: 5}}\n",
            "t.yaml:2:45", "6 failures cannot be among 5 results");
    refuses("checks:\n  - {name: a, tcp: \"h:1\", failures_in_last: {of: 65}}\n", "t.yaml:2:50",
            "64");
    refuses("checks:\n  - {name: a, tcp: \"h:1\", flap: {low: 0.5}}\n", "t.yaml:2:33",
            "low 0.5 is not below its high 0.5");
}

static void defaults_are_as_documented(void **state) {
    struct schema_list list;
    hardy_error error;
    (void)state;
    assert_int_equal(read_checks("checks: [{name: a, tcp: \"127.0.0.1:1\"}]", &list, &error),
                     HARDY_OK);
    const struct check_settings *c = list.items;
    assert_int_equal(list.count, 1);
    assert_int_equal(c->interval, 10 * HARDY_SECOND);
    assert_int_equal(c->timeout, HARDY_SECOND);
    assert_int_equal(c->failure_threshold, 3);
    assert_int_equal(c->success_threshold, 2);
    assert_int_equal(c->grace, 30 * HARDY_SECOND);
    assert_int_equal(c->failures_in_last.count, 5);
    assert_int_equal(c->failures_in_last.of, 15);
    assert_true(c->flap.high == 0.5 && c->flap.low == 0.25);
    assert_false(c->critical);
    assert_true(c->disk_free == UINT64_C(1) << 30);
    checks_free(&list);
}

/* --- probes ----------------------------------------------------------------------------------- */

struct answer {
    struct loop *loop;
    int count;
    enum check_result result;
    char message[256];
};

static void on_done(void *ctx, enum check_result result, const char *message, int64_t took) {
    struct answer *a = ctx;
    assert_true(took >= 0);
    a->count++;
    a->result = result;
    snprintf(a->message, sizeof a->message, "%s", message);
}

static void probe(const struct check_settings *c, enum check_result result, const char *message) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    struct loop *loop = loop_uv_new(&error);
    struct http_client_options options;
    http_client_options_init(&options);
    struct http_client *client = http_client_new(loop, &options, &error);
    struct answer a = {.loop = loop};
    assert_non_null(check_probe_start(loop, client, c, on_done, &a));
    assert_int_equal(a.count, 0); /* never from inside the call */
    loop_run(loop);
    http_client_free(client);
    loop_run(loop);
    loop_free(loop);
    assert_int_equal(a.count, 1);
    if (a.result != result || !strstr(a.message, message)) {
        fail_msg("result %d, %s; expected %d, %s", a.result, a.message, result, message);
    }
}

static const struct check_settings base = {
    .name = "c",
    .interval = HARDY_SECOND,
    .timeout = HARDY_SECOND,
    .failures_in_last.off = true,
    .flap.off = true,
};

static void commands_pass_fail_or_cannot_tell(void **state) {
    char *good[] = {"/bin/sh", "-c", "echo fine", NULL};
    char *bad[] = {"/bin/sh", "-c", "echo broken; exit 3", NULL};
    char *missing[] = {"/no/such/command", NULL};
    char *not_found[] = {"/bin/sh", "-c", "exit 127", NULL};
    char *slow[] = {"/bin/sleep", "30", NULL};
    struct check_settings c = base;
    (void)state;
    c.kind = CHECK_COMMAND;
    c.command.argv = good;
    probe(&c, CHECK_PASS, "fine");
    c.command.argv = bad;
    probe(&c, CHECK_FAIL, "exit code 3: broken");
    c.command.argv = missing;
    probe(&c, CHECK_UNKNOWN, "/no/such/command");
    c.command.argv = not_found;
    probe(&c, CHECK_UNKNOWN, "127");
    c.command.argv = slow;
    c.timeout = 30 * HARDY_MILLISECOND;
    probe(&c, CHECK_FAIL, "no answer within 30ms");
}

static void on_accepted(void *ctx, struct stream *s) {
    (void)ctx;
    stream_close(s, CLOSE_LOCAL);
}

static void tcp_connects_or_is_refused(void **state) {
    struct check_settings c = base;
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    struct loop *loop = loop_uv_new(&error);
    static const struct listener_events events = {on_accepted};
    struct listener *l = listener_open(loop, "127.0.0.1", 0, &events, NULL, &error);
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%u", listener_port(l));
    c.kind = CHECK_TCP;
    c.tcp = address;
    probe(&c, CHECK_PASS, "connected"); /* the kernel accepts for a listener that is not served */
    listener_close(l);
    loop_run(loop);
    loop_free(loop);
    probe(&c, CHECK_FAIL, "refused");
}

static void a_server_that_accepts_and_never_answers_fails(void **state) {
    struct check_settings c = base;
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    struct loop *loop = loop_uv_new(&error);
    static const struct listener_events events = {on_accepted};
    struct listener *l = listener_open(loop, "127.0.0.1", 0, &events, NULL, &error);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%u/health", listener_port(l));
    c.http = url;
    c.timeout = 50 * HARDY_MILLISECOND;
    probe(&c, CHECK_FAIL, "no answer within 50ms");
    listener_close(l);
    loop_run(loop);
    loop_free(loop);
}

static void disk_and_memory_are_read(void **state) {
    struct check_settings c = base;
    char here[] = "/", nowhere[] = "/no/such/place";
    (void)state;
    c.kind = CHECK_DISK;
    c.disk = here;
    c.disk_free = 1;
    probe(&c, CHECK_PASS, "MiB free");
    c.disk_free = UINT64_MAX;
    probe(&c, CHECK_FAIL, "MiB free");
    c.disk = nowhere;
    probe(&c, CHECK_UNKNOWN, "/no/such/place"); /* it cannot tell: not a failure */
    c.kind = CHECK_MEMORY;
    c.memory_below = 1;
    probe(&c, CHECK_PASS, "in use");
    c.memory_below = 1e-9;
    probe(&c, CHECK_FAIL, "in use");
}

/* --- processes, numbers, guards ----------------------------------------------------------------
 */

static char folder[] = "/tmp/hardy-checks.XXXXXX";

/* A file in the test's folder. */
static char *write_file(const char *name, const char *text) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

static void wait_for_state(pid_t pid, char wanted) {
    struct procfs_process p = {0};
    for (int i = 0; i < 1000 && p.state != wanted; i++) {
        assert_true(procfs_read(pid, &p));
        usleep(1000);
    }
    assert_int_equal(p.state, wanted);
}

static void a_process_passes_while_it_runs(void **state) {
    struct check_settings c = base;
    char text[32], missing[] = "/no/such/file.pid";
    (void)state;
    c.kind = CHECK_PROCESS;
    pid_t child = fork();
    if (child == 0) {
        execlp("sleep", "hardy-test-sleeper", "30", (char *)NULL);
        _exit(127);
    }
    snprintf(text, sizeof text, "%d\n", (int)child);
    c.process.pid_file = write_file("a.pid", text);
    probe(&c, CHECK_PASS, "runs");
    kill(child, SIGSTOP);
    wait_for_state(child, 'T');
    probe(&c, CHECK_FAIL, "is stopped");
    kill(child, SIGCONT);
    wait_for_state(child, 'S');
    probe(&c, CHECK_PASS, "runs");
    char name[] = "hardy-test-sleeper"; /* longer than what the kernel keeps of a name */
    struct check_settings named = base;
    named.kind = CHECK_PROCESS;
    named.process.name = name;
    probe(&named, CHECK_PASS, "runs");
    kill(child, SIGKILL);
    wait_for_state(child, 'Z');
    probe(&c, CHECK_FAIL, "has ended, and nobody has collected it");
    waitpid(child, NULL, 0);
    probe(&c, CHECK_FAIL, "is gone");
    probe(&named, CHECK_FAIL, "no process is called hardy-test-sleeper");
    c.process.pid_file = missing;
    probe(&c, CHECK_FAIL, "there is no pid file /no/such/file.pid");
    c.process.pid_file = write_file("a.pid", "seven\n");
    probe(&c, CHECK_UNKNOWN, "holds no process id");
}

static void a_number_comes_from_a_file_or_a_command(void **state) {
    char *prints[] = {"/bin/sh", "-c", "echo 12; echo beside the point >&2", NULL};
    char *fails[] = {"/bin/sh", "-c", "echo 12; exit 1", NULL};
    char missing[] = "/no/such/number";
    struct check_settings c = base;
    (void)state;
    c.kind = CHECK_NUMBER;
    c.number.below = 12.5;
    c.number.has_below = true;
    c.number.file = write_file("depth", "12\n");
    probe(&c, CHECK_PASS, "12");
    c.number.file = write_file("depth", "13\n");
    probe(&c, CHECK_FAIL, "13, not below 12.5");
    c.number.file = missing;
    probe(&c, CHECK_UNKNOWN, "/no/such/number");
    c.number.file = NULL;
    c.number.command.argv = prints;
    probe(&c, CHECK_PASS, "12");
    c.number.command.argv = fails; /* whatever it printed */
    probe(&c, CHECK_UNKNOWN, "exit code 1: 12");
}

static void a_guard_fails_while_its_breaker_is_open(void **state) {
    char guard[] = "llm", path[128];
    struct check_settings c = base;
    struct host *host;
    struct host_slot slot;
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    snprintf(path, sizeof path, "%s/state.db", folder);
    c.kind = CHECK_GUARD;
    c.guard = guard;
    probe(&c, CHECK_UNKNOWN, "share no guards here");
    c.state = path;
    probe(&c, CHECK_UNKNOWN, "no guard llm has been used yet");
    assert_int_equal(host_open(path, true, &host, &error), HARDY_OK);
    probe(&c, CHECK_UNKNOWN, "no guard llm has been used yet");
    struct host_policies policies = {.want_breaker = HOST_DEFAULT};
    hardy_breaker_config_init(&policies.breaker, sizeof policies.breaker);
    assert_int_equal(host_attach(host, "llm", &policies, &slot, &error), HARDY_OK);
    probe(&c, CHECK_PASS, "closed");
    int64_t now = clock_now();
    breaker_force(slot.breaker, HARDY_FORCED_OPEN, HARDY_NEVER, now);
    probe(&c, CHECK_FAIL, "forced_open");
    breaker_force(slot.breaker, HARDY_DISABLED, HARDY_NEVER, now);
    probe(&c, CHECK_PASS, "disabled"); /* calls go through */
    host_close(host);
}

/* --- looks that hang -------------------------------------------------------------------------- */

/* Opening a named pipe that nobody writes to hangs as a dead file system does. */
static void what_hangs_holds_up_nothing_but_itself(void **state) {
    enum { PIPES = 6, AGAIN = PIPES, NAMED, BACK, ANSWERS };
    char paths[PIPES][128], address[] = "localhost:1";
    struct check_settings checks[PIPES], named = base;
    struct http_client_options options;
    struct answer a[ANSWERS] = {0};
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    http_client_options_init(&options);
    struct loop *loop = loop_uv_new(&error);
    struct http_client *client = http_client_new(loop, &options, &error);
    for (int i = 0; i < PIPES; i++) { /* more than a pool has threads */
        snprintf(paths[i], sizeof paths[i], "%s/pipe%d", folder, i);
        assert_int_equal(mkfifo(paths[i], 0600), 0);
        checks[i] = base;
        checks[i].kind = CHECK_NUMBER;
        checks[i].timeout = 50 * HARDY_MILLISECOND;
        checks[i].number.above = 0;
        checks[i].number.has_above = true;
        checks[i].number.file = paths[i];
        assert_non_null(check_probe_start(loop, client, &checks[i], on_done, &a[i]));
    }
    loop_run(loop); /* which does not wait for what was left */
    for (int i = 0; i < PIPES; i++) {
        assert_int_equal(a[i].count, 1);
        assert_int_equal(a[i].result, CHECK_UNKNOWN);
        assert_string_equal(a[i].message, "no answer within 50ms");
    }
    /* The next time round: no thread more. And the pool is there for others: a name is looked up.
     */
    named.kind = CHECK_TCP;
    named.tcp = address;
    assert_non_null(check_probe_start(loop, client, &checks[0], on_done, &a[AGAIN]));
    assert_non_null(check_probe_start(loop, client, &named, on_done, &a[NAMED]));
    loop_run(loop);
    assert_string_equal(a[AGAIN].message, "an earlier look at it still hangs");
    assert_string_equal(a[NAMED].message, "connection refused");
    /* One comes back, is looked at again, and the thread that hung is gone. */
    close(open(paths[0], O_WRONLY));
    unlink(paths[0]);
    write_file("pipe0", "7");
    for (int i = 0; i < 1000 && a[BACK].count == 0; i++) {
        usleep(1000);
        assert_non_null(check_probe_start(loop, client, &checks[0], on_done, &a[BACK]));
        loop_run(loop);
        a[BACK].count = strcmp(a[BACK].message, "7") == 0;
    }
    assert_string_equal(a[BACK].message, "7");
    http_client_free(client);
    loop_run(loop);
    loop_free(loop); /* while the others hang */
    for (int i = 1; i < PIPES; i++)
        close(open(paths[i], O_WRONLY));
}

/* --- the report ------------------------------------------------------------------------------- */

struct watching {
    struct loop *loop;
    int results;
    int until;
};

static void on_result(void *ctx, const struct check_settings *c, const struct check_state *s,
                      bool changed) {
    struct watching *w = ctx;
    (void)c;
    (void)s;
    (void)changed;
    if (++w->results == w->until) {
        loop_stop(w->loop);
    }
}

static void ready_only_when_critical_checks_are_up(void **state) {
    char *good[] = {"/bin/true", NULL}, *bad[] = {"/bin/false", NULL};
    struct check_settings checks[2] = {base, base};
    struct schema_list list = {checks, 2};
    static const struct health_events events = {on_result};
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    for (int critical = 0; critical < 2; critical++) {
        checks[0].kind = checks[1].kind = CHECK_COMMAND;
        checks[0].name = "a";
        checks[0].command.argv = good;
        checks[0].critical = true;
        checks[1].name = "b";
        checks[1].command.argv = bad;
        checks[1].critical = critical;
        checks[0].failure_threshold = checks[1].failure_threshold = 1;
        checks[0].success_threshold = checks[1].success_threshold = 1;
        struct loop *loop = loop_uv_new(&error);
        struct watching w = {.loop = loop, .until = 2};
        struct buf out;
        bool ready;
        struct health *h = health_start(loop, NULL, &list, &events, &w, &error);
        buf_init(&out, 1 << 20);
        health_report(h, NULL, true, &out, &ready);
        assert_false(ready); /* nothing is known of a critical one yet */
        loop_run(loop);
        buf_reset(&out);
        health_report(h, NULL, true, &out, &ready);
        assert_int_equal(ready, !critical);
        json_t *report = json_loads(out.data, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(report, "status")),
                            critical ? "fail" : "warn");
        json_t *b = json_array_get(json_object_get(json_object_get(report, "checks"), "b"), 0);
        assert_string_equal(json_string_value(json_object_get(b, "status")),
                            critical ? "fail" : "warn");
        json_decref(report);
        /* Other settings begin with what was known. */
        struct health *next = health_start(loop, NULL, &list, &events, &w, &error);
        health_take_over(next, h);
        health_stop(h);
        health_report(next, NULL, false, &out, &ready);
        assert_int_equal(ready, !critical);
        buf_reset(&out);
        health_report(next, "draining", true, &out, &ready);
        assert_false(ready);
        assert_non_null(strstr(out.data, "\"status\":\"fail\",\"output\":\"draining\""));
        buf_free(&out);
        health_stop(next);
        loop_run(loop);
        loop_free(loop);
    }
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_checks_are_refused_with_their_place),
        cmocka_unit_test(defaults_are_as_documented),
        cmocka_unit_test(commands_pass_fail_or_cannot_tell),
        cmocka_unit_test(tcp_connects_or_is_refused),
        cmocka_unit_test(a_server_that_accepts_and_never_answers_fails),
        cmocka_unit_test(disk_and_memory_are_read),
        cmocka_unit_test(a_process_passes_while_it_runs),
        cmocka_unit_test(a_number_comes_from_a_file_or_a_command),
        cmocka_unit_test(a_guard_fails_while_its_breaker_is_open),
        cmocka_unit_test(what_hangs_holds_up_nothing_but_itself),
        cmocka_unit_test(ready_only_when_critical_checks_are_up),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
