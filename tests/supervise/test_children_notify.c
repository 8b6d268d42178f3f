/* SPDX-License-Identifier: Apache-2.0 */
/* What a child says of itself, and how it is told to read its configuration again: real processes,
 * with systemd-notify as their client. */
#include "../cmocka_all.h"

#include "base/str.h"
#include "io/file.h"
#include "io/loop.h"
#include "supervise/children.h"
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct world {
    struct loop *loop;
    struct store *store;
    struct config *config;
    struct schema_list list;
    struct children_world world;
    struct children *c;
    struct loop_timer timer;
    struct buf told;
    char boot[37];
    bool gone;
} w;
static char dir[64], folder[80];

static void on_told(void *ctx, const char *name, int64_t wall, const char *what,
                    const char *detail) {
    (void)ctx;
    (void)wall;
    buf_printf(&w.told, "%s %s: %s\n", name, what, detail);
}

static void on_timer(struct loop_timer *timer) {
    (void)timer;
    loop_stop(w.loop);
}

static void pass(void) {
    loop_timer_init(&w.timer, on_timer, NULL);
    loop_timer_start(w.loop, &w.timer, loop_now(w.loop) + 10 * HARDY_MILLISECOND);
    loop_run(w.loop);
}

static void begin(const char *text) {
    static const struct children_events events = {on_told, NULL, NULL};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    w = (struct world){0};
    buf_init(&w.told, 1 << 20);
    file_boot_id(w.boot);
    w.loop = loop_uv_new(&error);
    assert_non_null(w.loop);
    assert_int_equal(store_open(&(struct store_options){0}, &w.store, &error), HARDY_OK);
    assert_int_equal(config_load_bytes("c.yaml", text, strlen(text), &w.config, &error), HARDY_OK);
    if (children_settings_read(w.config, &w.list, &error) != HARDY_OK)
        fail_msg("%s: %s", error.where, error.message);
    w.world = (struct children_world){.loop = w.loop,
                                      .store = w.store,
                                      .folder = folder,
                                      .boot = w.boot,
                                      .env = (const char *const *)environ};
    if (children_start(&w.world, &w.list, &events, NULL, &w.c, &error) != HARDY_OK)
        fail_msg("%s", error.message);
}

static void on_gone(void *ctx) {
    (void)ctx;
    w.gone = true;
}

static void end(void) {
    children_stop(w.c, on_gone, NULL);
    for (int n = 0; n < 2000 && !w.gone; n++)
        pass();
    assert_true(w.gone);
    store_close(w.store);
    children_settings_free(&w.list);
    config_free(w.config);
    buf_free(&w.told);
    loop_free(w.loop);
}

/* The child as it is told to the API: the caller frees it. */
static json_t *as_json(json_t **all) {
    struct buf text;
    struct json_out j;
    buf_init(&text, 1 << 20);
    json_out_init(&j, &text, 0);
    children_to_json(w.c, &j);
    *all = json_loadb(text.data, text.len, 0, NULL);
    buf_free(&text);
    assert_non_null(*all);
    return json_array_get(*all, 0);
}

/* Until that member has that value, written as JSON; ten seconds at most. */
static void wait_for(const char *key, const char *value) {
    char *now = NULL;
    for (int n = 0; n < 1000; n++) {
        json_t *all;
        free(now);
        now = json_dumps(json_object_get(as_json(&all), key), JSON_ENCODE_ANY);
        json_decref(all);
        if (str_eq(now, value)) {
            free(now);
            return;
        }
        pass();
    }
    fail_msg("%s is %s instead of %s; %s", key, now, value, w.told.data);
    free(now);
}

static bool have_client(void) {
    return access("/usr/bin/systemd-notify", X_OK) == 0 || access("/bin/systemd-notify", X_OK) == 0;
}

static void it_says_how_it_is(void **state) {
    (void)state;
    if (!have_client())
        skip();
    begin(
        "supervise: {web: {command: \"trap 'systemd-notify RELOADING=1 STATUS=reading; read x <go; "
        "systemd-notify --ready --status=done' HUP; sleep 0.1; systemd-notify --ready "
        "--status=listening; touch up; while :; do sleep 0.02; done\", "
        "ready: notify, critical: true, reload: HUP, start_timeout: 20s}}");
    wait_for("state", "\"starting\"");
    assert_non_null(children_objection(w.c));
    wait_for("state", "\"ready\"");
    wait_for("ready", "true");
    wait_for("status", "\"listening\"");
    assert_null(children_objection(w.c));
    for (int n = 0; n < 1000 && !file_exists("up"); n++)
        pass();
    assert_int_equal(mkfifo("go", 0600), 0);
    assert_int_equal(children_reload(w.c, "web", NULL), HARDY_OK);
    wait_for("reloading", "true");
    wait_for("status", "\"reading\"");
    int go = open("go", O_RDWR); /* it may be at its barrier yet, which needs the loop to go on */
    assert_int_equal(write(go, "now\n", 4), 4);
    wait_for("reloading", "false");
    wait_for("status", "\"done\"");
    end();
    close(go);
    (void)unlink("go");
    (void)unlink("up");
}

static void it_asks_for_more_time_to_start(void **state) {
    (void)state;
    if (!have_client())
        skip();
    begin("supervise: {web: {command: \"systemd-notify EXTEND_TIMEOUT_USEC=8000000; sleep 1; "
          "systemd-notify --ready; exec sleep 100\", ready: notify, start_timeout: 700ms}}");
    wait_for("state", "\"ready\"");
    wait_for("starts", "1");
    end();
}

static void a_command_reloads_it(void **state) {
    struct child_view v;
    struct buf text;
    char pid[16];
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    buf_init(&text, 100);
    begin("supervise: {web: {command: [sleep, \"100\"], min_uptime: 10ms, "
          "reload: {command: \"echo -n $MAINPID >reloaded\"}}}");
    wait_for("state", "\"ready\"");
    assert_int_equal(children_reload(w.c, "web", &error), HARDY_OK);
    for (int n = 0; n < 1000 && !strstr(w.told.data, "reload: its command exited with 0"); n++)
        pass();
    assert_true(children_find(w.c, "web", &v));
    snprintf(pid, sizeof pid, "%d", v.pid);
    assert_int_equal(file_read("reloaded", &text, &error), HARDY_OK);
    assert_int_equal(text.len, strlen(pid));
    assert_memory_equal(text.data, pid, text.len);
    assert_int_equal(children_reload(w.c, "wbe", &error), HARDY_E_NOT_FOUND);
    buf_free(&text);
    (void)unlink("reloaded");
    end();
}

static void who_has_no_way_to_reload_says_so(void **state) {
    hardy_error error;
    (void)state;
    hardy_error_init(&error, sizeof error);
    begin("supervise: {web: {command: [sleep, \"100\"]}, "
          "gone: {command: [\"true\"], restart: never, reload: HUP}}");
    assert_int_equal(children_reload(w.c, "web", &error), HARDY_E_UNSUPPORTED);
    for (int n = 0; n < 1000 && !strstr(w.told.data, "gone ended"); n++)
        pass();
    assert_int_equal(children_reload(w.c, "gone", &error), HARDY_E_CLOSED);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_how_it_is),
        cmocka_unit_test(it_asks_for_more_time_to_start),
        cmocka_unit_test(a_command_reloads_it),
        cmocka_unit_test(who_has_no_way_to_reload_says_so),
    };
    char command[160];
    snprintf(dir, sizeof dir, "/tmp/hardy-children.XXXXXX");
    if (!mkdtemp(dir) || chdir(dir) != 0)
        return 99;
    snprintf(folder, sizeof folder, "%s/children", dir);
    signal(SIGPIPE, SIG_IGN);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return chdir("/") == 0 && system(command) == 0 ? failed : 99;
}
