/* SPDX-License-Identifier: Apache-2.0 */
/* Evidence from real sources: an HTTP server that answers, hangs, fails or floods; files that are
 * missing, growing, hostile; processes; commands. Everything under one deadline, and nothing that
 * comes makes the record unreadable. */
#include "base/str.h"
#include "degrade/answer.h"
#include "degrade/gathering.h"
#include "degrade/process.h"
#include "http/client.h"
#include "http/server.h"
#include "io/file.h"
#include "support.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct loop *loop;
static struct http_client *client;
static struct http_server *server;
static struct store *store;
static char folder[64];
static uint16_t port;

/* --- the far side ----------------------------------------------------------------------------- */

static struct http_request *hanging[8];
static size_t hanging_count;

static void serve(void *ctx, struct http_request *r) {
    const char *path = http_request_path(r);
    (void)ctx;
    if (strcmp(path, "/json") == 0) {
        http_respond_text(r, 200, "application/json", "{\"load\": 4}");
    } else if (strcmp(path, "/twice") == 0) {
        http_respond_text(r, 200, "application/json", "{\"a\": 1, \"a\": 2}");
    } else if (strcmp(path, "/huge-number") == 0) {
        http_respond_text(r, 200, "application/json", "{\"a\": 1e999}");
    } else if (strcmp(path, "/nul") == 0) {
        http_respond(r, 200, NULL, "text/plain", "a\0b", 3);
    } else if (strcmp(path, "/status") == 0) {
        http_respond_text(r, 200, "text/plain",
                          "Active connections: 2 \nserver accepts handled requests\n 10 11 12 \n"
                          "Reading: 1 Writing: 2 Waiting: 3 \n");
    } else if (strcmp(path, "/500") == 0) {
        http_respond_text(r, 500, "text/plain", "oops");
    } else if (strcmp(path, "/flood") == 0) {
        char *much = malloc(3 << 20);
        memset(much, 'x', 3 << 20);
        http_respond(r, 200, NULL, "text/plain", much, 3 << 20);
        free(much);
    } else { /* /hang */
        hanging[hanging_count++ % 8] = r;
    }
}

static void answer_hanging(void) {
    for (size_t n = 0; n < hanging_count && n < 8; n++)
        http_respond_text(hanging[n], 200, "text/plain", "late");
    hanging_count = 0;
}

/* --- gathering -------------------------------------------------------------------------------- */

static struct settings settings;
static char answer[4 << 20];
static hardy_component got[16];
static size_t got_count;
static bool over;

static void on_done(void *ctx, const hardy_component *components, size_t count) {
    struct buf text;
    (void)ctx;
    assert_false(over);
    over = true;
    buf_init(&text, sizeof answer - 1);
    gathered_to_json(components, count, &text);
    assert_false(text.failed);
    str_copy(answer, sizeof answer, text.data);
    buf_free(&text);
    got_count = count;
    for (size_t n = 0; n < count; n++) {
        got[n] = components[n];
        got[n].data = components[n].data ? strdup(components[n].data) : NULL;
    }
    answer_hanging();
    loop_stop(loop);
}

static void forget(void) {
    for (size_t n = 0; n < got_count; n++)
        free(got[n].data);
    got_count = 0;
    if (settings.config)
        settings_free(&settings);
}

static hardy_status start(const struct gathering_world *world, struct gathering **out) {
    hardy_error error;
    const struct service_settings *web = service_of(&settings, "web");
    const struct gathering_plan plan = {
        .name = web->name, .deadline = web->gather_deadline, .sources = &web->sources};
    return gathering_start(world, &plan, on_done, NULL, out, &error);
}

/* Gathers from the sources, given as lines of YAML; how long it took. */
static int64_t gather(const char *deadline, const char *sources) {
    char yaml[4000];
    struct gathering *g;
    const struct gathering_world world = {
        .loop = loop, .store = store, .client = client, .cwd = folder};
    forget();
    snprintf(yaml, sizeof yaml,
             "checks: [{name: up, tcp: \"127.0.0.1:1\"}]\nincidents:\n  services:\n    web:\n"
             "      check: up\n      gather_deadline: %s\n      sources:\n%s",
             deadline, sources);
    settings_read(&settings, yaml);
    over = false;
    int64_t began = loop_now(loop);
    assert_int_equal(start(&world, &g), HARDY_OK);
    assert_false(over); /* never from inside the call */
    loop_run(loop);
    assert_true(over);
    return loop_now(loop) - began;
}

static const hardy_component *component(const char *name) {
    for (size_t n = 0; n < got_count; n++)
        if (str_eq(got[n].name, name))
            return &got[n];
    fail_msg("no component %s", name);
    return NULL;
}

static void fresh(const char *name, const char *data) {
    const hardy_component *c = component(name);
    if (c->state != HARDY_COMPONENT_FRESH || !str_eq(c->data, data))
        fail_msg("%s: state %d, %s, %s; expected %s", name, (int)c->state, c->data ? c->data : "-",
                 c->error, data);
}

static void missing(const char *name, const char *why) {
    const hardy_component *c = component(name);
    if (c->state != HARDY_COMPONENT_MISSING || c->data || !strstr(c->error, why))
        fail_msg("%s: state %d, %s; expected %s", name, (int)c->state, c->error, why);
}

/* What a rule and a person will read of it. */
static void readable(void) {
    struct incident i = {.evidence = answer}, back;
    struct buf value;
    hardy_error error;
    char id[] = "inc-1", web[] = "web", high[] = "high";
    i.id = id;
    i.service = web;
    i.severity = high;
    buf_init(&value, 16 << 20);
    incident_encode(&i, &value);
    assert_false(value.failed);
    struct store_row row = {.key = id, .value = value.data, .len = value.len};
    assert_int_equal(incident_decode(&row, &back, &error), HARDY_OK);
    assert_non_null(back.evidence);
    incident_free(&back);
    buf_free(&value);
}

static void write_file(const char *name, const void *data, size_t len) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(file_write(path, data, len, false, NULL), HARDY_OK);
}

static void http_answers_fails_or_hangs(void **state) {
    char sources[2000];
    (void)state;
    snprintf(sources, sizeof sources,
             "        json: {http: \"http://127.0.0.1:%u/json\"}\n"
             "        status: {http: \"http://127.0.0.1:%u/status\"}\n"
             "        bad: {http: \"http://127.0.0.1:%u/500\"}\n"
             "        flood: {http: \"http://127.0.0.1:%u/flood\"}\n"
             "        refused: {http: \"http://127.0.0.1:1/\"}\n"
             "        slow: {http: \"http://127.0.0.1:%u/hang\", timeout: 100ms}\n"
             "        slower: {http: \"http://127.0.0.1:%u/hang\"}\n",
             port, port, port, port, port, port);
    int64_t took = gather("300ms", sources);
    /* Everything at once: as long as the slowest may take, not their sum. */
    assert_true(took >= 300 * HARDY_MILLISECOND && took < 2 * HARDY_SECOND);
    fresh("json", "{\"load\":4}");
    fresh("status", "{\"active\":2,\"accepts\":10,\"handled\":11,\"requests\":12,\"reading\":1,"
                    "\"writing\":2,\"waiting\":3}");
    missing("bad", "answered 500 Internal Server Error");
    missing("flood", "more than 1048576 bytes");
    missing("refused", "connection refused");
    missing("slow", "no answer within 100ms");
    missing("slower", "no answer within 300ms, the time for all together");
    assert_true(component("slow")->took < 300 * HARDY_MILLISECOND);
    assert_non_null(strstr(answer, "\"degradation_level\":\"failed\""));
    readable();
}

static void hostile_answers_stay_readable(void **state) {
    char sources[2000];
    (void)state;
    char deep[400];
    memset(deep, '[', 200);
    memset(deep + 200, ']', 200);
    write_file("deep", deep, sizeof deep);
    write_file("hostile", "\xff\xfe \x1b[2J \0 \"}]} \r\n", 18);
    snprintf(sources, sizeof sources,
             "        twice: {http: \"http://127.0.0.1:%u/twice\"}\n"
             "        number: {http: \"http://127.0.0.1:%u/huge-number\"}\n"
             "        nul: {http: \"http://127.0.0.1:%u/nul\"}\n"
             "        hostile: {file: hostile}\n"
             "        deep: {command: [cat, deep]}\n"
             "        escape: {command: [printf, '\"\\\\u0000\"']}\n",
             port, port, port);
    (void)gather("5s", sources);
    fresh("twice", "{\"a\":2}");
    fresh("number", "\"{\\\"a\\\": 1e999}\"");
    fresh("nul", "\"a b\"");
    assert_int_equal(component("hostile")->state, HARDY_COMPONENT_FRESH);
    assert_int_equal(component("deep")->state, HARDY_COMPONENT_FRESH);
    assert_int_equal(component("deep")->data[0], '"'); /* a text, not a structure */
    assert_int_equal(component("escape")->state, HARDY_COMPONENT_FRESH);
    readable();
}

static void files_are_read_from_their_end(void **state) {
    (void)state;
    char *much = malloc(100000);
    memset(much, 'a', 100000);
    memcpy(much + 99995, "tail\n", 5);
    write_file("big.log", much, 100000);
    write_file("empty.log", "", 0);
    free(much);
    (void)gather("5s", "        big: {file: big.log, tail: 10}\n"
                       "        empty: {file: empty.log}\n"
                       "        gone: {file: gone.log}\n"
                       "        secret: {file: /root-only/x}\n"
                       "        folder: {file: /}\n");
    fresh("big", "\"aaaaatail\\n\"");
    fresh("empty", "\"\"");
    missing("gone", "No such file");
    missing("secret", "");
    missing("folder", "");
}

static void a_growing_file_ends(void **state) {
    char path[128];
    (void)state;
    write_file("grow.log", "first\n", 6);
    snprintf(path, sizeof path, "%s/grow.log", folder);
    pid_t writer = fork();
    if (writer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        FILE *f = fopen(path, "a");
        for (int n = 0; f && n < 300; n++) { /* until it is killed, or for a while */
            for (int k = 0; k < 1000; k++)
                fputs("another line of a log that does not end\n", f);
            fflush(f);
            usleep(1000);
        }
        _exit(0);
    }
    int64_t took = gather("5s", "        grow: {file: grow.log, tail: 1KiB}\n");
    kill(writer, SIGKILL);
    waitpid(writer, NULL, 0);
    assert_int_equal(component("grow")->state, HARDY_COMPONENT_FRESH);
    assert_true(strlen(component("grow")->data) < 2000);
    assert_true(took < 4 * HARDY_SECOND);
}

static void a_pipe_instead_of_a_file_costs_its_time_only(void **state) {
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/pipe", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    int64_t took = gather("5s", "        pipe: {file: pipe, timeout: 50ms}\n");
    missing("pipe", "no answer within 50ms");
    assert_true(took < 2 * HARDY_SECOND);
    FILE *end = fopen(path, "w"); /* lets the thread that opens it go */
    assert_non_null(end);
    fclose(end);
}

static void commands_print_fail_hang_or_flood(void **state) {
    (void)state;
    int64_t took = gather("2s", "        json: {command: [echo, '{\"a\": [1, 2]}']}\n"
                                "        text: {command: \"echo two words; echo noise >&2\"}\n"
                                "        here: {command: [pwd]}\n"
                                "        none: {command: [\"true\"]}\n"
                                "        code: {command: \"exit 3\"}\n"
                                "        killed: {command: \"kill -9 $$\"}\n"
                                "        absent: {command: [/no/such/program]}\n"
                                "        slow: {command: [sleep, '30'], timeout: 100ms}\n"
                                "        flood: {command: [cat, /dev/zero], timeout: 1s}\n");
    fresh("json", "{\"a\":[1,2]}");
    fresh("text", "\"two words\\n\"");
    fresh("none", "\"\"");
    assert_non_null(strstr(component("here")->data, folder));
    missing("code", "exit code 3");
    missing("killed", "killed by signal 9");
    missing("absent", "/no/such/program");
    missing("slow", "no answer within 100ms");
    missing("flood", "printed more than 1 MiB");
    assert_true(took < 2 * HARDY_SECOND);
}

static void what_does_not_fit_together_is_left_out(void **state) {
    (void)state;
    char *text = malloc(900 << 10);
    memset(text, 'x', 900 << 10);
    write_file("a", text, 900 << 10);
    write_file("b", text, 800 << 10);
    write_file("c", text, 700 << 10);
    free(text);
    (void)gather("5s", "        a: {file: a, tail: 1MiB}\n"
                       "        b: {file: b, tail: 1MiB}\n"
                       "        c: {file: c, tail: 1MiB}\n"
                       "        d: {command: [echo, small]}\n");
    missing("a", "left out: its 900 KiB and the rest do not fit together");
    assert_int_equal(component("b")->state, HARDY_COMPONENT_FRESH);
    assert_int_equal(component("c")->state, HARDY_COMPONENT_FRESH);
    assert_int_equal(component("d")->state, HARDY_COMPONENT_FRESH);
    readable();
}

/* --- what stands in --------------------------------------------------------------------------- */

static void a_critical_source_that_is_missing_fails_the_whole(void **state) {
    (void)state;
    (void)gather("5s", "        a: {command: [echo, '1']}\n"
                       "        b: {command: [echo, '1']}\n"
                       "        c: {command: [echo, '1']}\n"
                       "        d: {command: [echo, '1'], weight: 2}\n"
                       "        e: {command: [\"false\"]}\n");
    assert_non_null(strstr(answer, "\"degradation_level\":\"slight\""));
    (void)gather("5s", "        a: {command: [echo, '1'], weight: 100}\n"
                       "        e: {command: [\"false\"], critical: true}\n");
    assert_non_null(strstr(answer, "\"degradation_level\":\"failed\""));
}

static void the_last_good_answer_stands_in_while_it_is_young(void **state) {
    (void)state;
    static const char sources[] = "        a: {command: \"cat value\", cache: 1h}\n"
                                  "        b: {command: \"cat value\", cache: 1ms}\n"
                                  "        c: {command: \"cat value\"}\n"
                                  "        d: {command: \"cat value\", static: '{\"s\": 1}'}\n";
    write_file("value", "41", 2);
    (void)gather("5s", sources);
    fresh("a", "41");
    fresh("d", "41");
    char path[128];
    snprintf(path, sizeof path, "%s/value", folder);
    assert_int_equal(file_remove(path, NULL), HARDY_OK);
    (void)gather("5s", sources);
    assert_int_equal(component("a")->state, HARDY_COMPONENT_CACHED);
    assert_string_equal(component("a")->data, "41");
    assert_true(component("a")->age > 0 && component("a")->age < HARDY_MINUTE);
    assert_string_equal(component("a")->error,
                        "exit code 1: cat: value: No such file or directory");
    missing("b", "exit code 1"); /* older than its time */
    missing("c", "exit code 1");
    assert_int_equal(component("d")->state, HARDY_COMPONENT_STATIC);
    assert_string_equal(component("d")->data, "{\"s\": 1}");
    assert_non_null(strstr(answer, "\"cached\":true"));
}

static void nothing_to_gather_is_an_answer_too(void **state) {
    (void)state;
    (void)gather("5s", "        {}\n");
    assert_int_equal(got_count, 0);
    assert_non_null(strstr(answer, "\"degradation_level\":\"full\""));
}

static void one_that_is_cancelled_is_silent(void **state) {
    struct gathering *g;
    char sources[600];
    const struct gathering_world world = {
        .loop = loop, .store = store, .client = client, .cwd = folder};
    (void)state;
    snprintf(sources, sizeof sources,
             "        slow: {http: \"http://127.0.0.1:%u/hang\", timeout: 50ms}\n"
             "        command: {command: [sleep, '30'], timeout: 50ms}\n"
             "        file: {file: value}\n",
             port);
    (void)gather("1s", sources);
    over = false;
    assert_int_equal(start(&world, &g), HARDY_OK);
    gathering_cancel(g);
    assert_false(over);
}

/* --- processes -------------------------------------------------------------------------------- */

static void evidence_of(const char *pid_file, char *out, size_t size) {
    struct buf text;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&text, 1 << 20);
    if (process_evidence(pid_file, &text, &error) != HARDY_OK)
        fail_msg("%s", error.message);
    str_copy(out, size, text.data);
    buf_free(&text);
}

static void a_stopped_child_is_seen(void **state) {
    char path[128], pid[24], text[4096];
    (void)state;
    while (waitpid(-1, NULL, 0) > 0) { /* what the loop has killed and not yet looked at */
    }
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    snprintf(path, sizeof path, "%s/self.pid", folder);
    snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    write_file("self.pid", pid, strlen(pid));
    evidence_of(path, text, sizeof text);
    assert_non_null(strstr(text, "\"running\":true,\"reason\":null"));
    assert_non_null(strstr(text, "\"stopped\":0"));
    kill(child, SIGSTOP);
    int status;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    evidence_of(path, text, sizeof text);
    assert_non_null(strstr(text, "\"running\":true"));
    assert_non_null(strstr(text, "\"stopped\":1,\"zombie\":0"));
    assert_non_null(strstr(text, "\"state\":\"T\""));
    assert_non_null(strstr(text, "\"name\":\"test_incident_g"));
    kill(child, SIGKILL);
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    evidence_of(path, text, sizeof text);
    assert_non_null(strstr(text, "\"zombie\":1"));
    waitpid(child, NULL, 0);
}

static void a_stale_or_missing_pid_file_is_evidence_too(void **state) {
    char path[128], pid[24], text[4096];
    struct buf out;
    hardy_error error;
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
    snprintf(path, sizeof path, "%s/stale.pid", folder);
    snprintf(pid, sizeof pid, "%d", (int)child);
    write_file("stale.pid", pid, strlen(pid));
    evidence_of(path, text, sizeof text);
    assert_non_null(
        strstr(text, "\"running\":false,\"reason\":\"the process of the pid file is gone\""));
    snprintf(path, sizeof path, "%s/none.pid", folder);
    evidence_of(path, text, sizeof text);
    assert_non_null(strstr(text, "\"running\":false,\"reason\":\"there is no pid file\""));
    static const char *const wrong[] = {"", "nginx", "0", "-3", "12x"};
    for (size_t n = 0; n < sizeof wrong / sizeof *wrong; n++) {
        snprintf(path, sizeof path, "%s/wrong.pid", folder);
        write_file("wrong.pid", wrong[n], strlen(wrong[n]));
        hardy_error_init(&error, sizeof error);
        buf_init(&out, 4096);
        assert_int_equal(process_evidence(path, &out, &error), HARDY_E_SYNTAX);
        assert_string_equal(error.where, path);
        buf_free(&out);
    }
}

/* --- the world -------------------------------------------------------------------------------- */

static int setup(void **state) {
    static const struct http_route routes[] = {{.path = "/*", .handle = serve}};
    struct http_client_options options;
    struct http_server_options server_options;
    struct store_options store_options = {.path = NULL};
    hardy_error error;
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    str_copy(folder, sizeof folder, "/tmp/hardy-gathering.XXXXXX");
    assert_non_null(mkdtemp(folder));
    loop = loop_uv_new(&error);
    http_client_options_init(&options);
    client = http_client_new(loop, &options, &error);
    http_server_options_init(&server_options);
    server_options.routes = routes;
    server_options.route_count = 1;
    assert_int_equal(http_server_open(loop, &server_options, &server, &error), HARDY_OK);
    port = http_server_port(server);
    assert_int_equal(store_open(&store_options, &store, &error), HARDY_OK);
    return 0;
}

static void on_drained(void *ctx) {
    loop_stop(ctx);
}

static int teardown(void **state) {
    char command[100];
    (void)state;
    forget();
    http_client_free(client);
    http_server_drain(server, loop_now(loop), on_drained, loop);
    loop_run(loop);
    loop_free(loop);
    store_close(store);
    snprintf(command, sizeof command, "%s", folder);
    char *const argv[] = {(char[]){"rm"}, (char[]){"-rf"}, command, NULL};
    pid_t child = fork();
    if (child == 0) {
        execvp(argv[0], argv);
        _exit(1);
    }
    waitpid(child, NULL, 0);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_answers_fails_or_hangs),
        cmocka_unit_test(hostile_answers_stay_readable),
        cmocka_unit_test(files_are_read_from_their_end),
        cmocka_unit_test(a_growing_file_ends),
        cmocka_unit_test(a_pipe_instead_of_a_file_costs_its_time_only),
        cmocka_unit_test(commands_print_fail_hang_or_flood),
        cmocka_unit_test(what_does_not_fit_together_is_left_out),
        cmocka_unit_test(a_critical_source_that_is_missing_fails_the_whole),
        cmocka_unit_test(the_last_good_answer_stands_in_while_it_is_young),
        cmocka_unit_test(nothing_to_gather_is_an_answer_too),
        cmocka_unit_test(one_that_is_cancelled_is_silent),
        cmocka_unit_test(a_stopped_child_is_seen),
        cmocka_unit_test(a_stale_or_missing_pid_file_is_evidence_too),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
