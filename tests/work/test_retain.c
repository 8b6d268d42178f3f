/* SPDX-License-Identifier: Apache-2.0 */
/* `retention:` as configured, and a sweep with the files that lie beside the database. */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "base/str.h"
#include "durable/blob.h"
#include "io/file.h"
#include "io/lock.h"
#include "io/loop_uv.h"
#include "work/place.h"
#include "work/retain.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[96];
static hardy_error error;
static struct retain_world world;

static int setup(void **state) {
    (void)state;
    hardy_error_init(&error, sizeof error);
    snprintf(folder, sizeof folder, "/tmp/hardy-retain.XXXXXX");
    snprintf(path, sizeof path, "%s/hardy.db", mkdtemp(folder) ? folder : "");
    const struct store_options options = {.path = path, .create = true};
    world = (struct retain_world){.loop = loop_uv_new(&error), .state = path};
    return store_open(&options, &world.store, &error) == HARDY_OK && world.loop ? 0 : -1;
}

static int teardown(void **state) {
    char command[128];
    (void)state;
    store_close(world.store);
    loop_free(world.loop);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* --- settings ----------------------------------------------------------------------------------
 */

static hardy_status read_settings(const char *yaml, struct retain_settings *out) {
    struct config *config = NULL;
    hardy_error_init(&error, sizeof error);
    hardy_status status = config_load_bytes("t.yaml", yaml, strlen(yaml), &config, &error);
    if (status == HARDY_OK) {
        status = retain_settings_read(config, out, &error);
    }
    config_free(config);
    return status;
}

static void test_settings(void **state) {
    (void)state;
    struct retain_settings s;
    assert_int_equal(retain_settings_read(NULL, &s, &error), HARDY_OK);
    assert_true(!s.off && s.age == 30 * HARDY_DAY && s.count == 10000 && s.bytes == 1 << 30);
    assert_int_equal(read_settings("retention: {age: 2h, count: 5, bytes: 2MiB}", &s), HARDY_OK);
    struct retention_policy p = retain_policy(&s);
    assert_true(p.age == 2 * HARDY_HOUR && p.count == 5 && p.bytes == 2 << 20);
    assert_int_equal(read_settings("retention: {age: never}", &s), HARDY_OK);
    assert_true(retain_policy(&s).age == HARDY_NEVER && retain_policy(&s).count == 10000);
    assert_int_equal(read_settings("retention: off", &s), HARDY_OK);
    p = retain_policy(&s);
    assert_true(p.age == HARDY_NEVER && p.count == UINT64_MAX && p.bytes == UINT64_MAX);
    assert_int_equal(read_settings("retention: {count: 0}", &s), HARDY_E_SYNTAX);
    assert_int_equal(read_settings("retention: {ages: 3d}", &s), HARDY_E_SYNTAX);
    assert_non_null(strstr(error.message, "did you mean `age`"));
}

/* --- the sweep ---------------------------------------------------------------------------------
 */

static void put_row(const char *kind, const char *key, int64_t fence, const char *value) {
    const struct store_op op = {.kind = STORE_PUT,
                                .row_kind = kind,
                                .key = key,
                                .fence = fence,
                                .value = value,
                                .len = strlen(value)};
    assert_int_equal(
        store_apply(world.store, &op, 1, clock_now() + 30 * HARDY_SECOND, NULL, &error), HARDY_OK);
}

static void put_run(const char *id, int64_t ended) {
    char value[80], key[40];
    snprintf(value, sizeof value, "{\"state\":\"done\",\"ended\":\"%lld\"}", (long long)ended);
    put_row("run", id, 1, value);
    snprintf(key, sizeof key, "%s/0001.a", id);
    put_row("step", key, 2, "{}");
}

static bool there(const char *kind, const char *key) {
    struct store_row row;
    hardy_status status = store_get(world.store, kind, key, &row, &error);
    store_row_free(&row);
    return status == HARDY_OK;
}

/* The files that a run of the record leaves, written so long ago. */
static char *make_files(const char *kind, const char *key, int64_t fence, int64_t age) {
    static const char *const endings[] = {"lock", "begun", "result"};
    struct step_place place;
    int64_t then = clock_wall() - age;
    const struct timespec times[2] = {{then / HARDY_SECOND, 0}, {then / HARDY_SECOND, 0}};
    assert_int_equal(step_place_find(path, kind, key, &place, &error), HARDY_OK);
    char *base = step_place_run(&place, fence);
    for (size_t i = 0; i < 3; i++) {
        char *name = str_format("%s.%s", base, endings[i]);
        close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        assert_int_equal(utimensat(AT_FDCWD, name, times, 0), 0);
        free(name);
    }
    step_place_free(&place);
    return base;
}

/* Which of the three files are there: 3, 0, or something is wrong. */
static int files_of(char *base) {
    static const char *const endings[] = {"lock", "begun", "result"};
    int count = 0;
    for (size_t i = 0; i < 3; i++) {
        char *name = str_format("%s.%s", base, endings[i]);
        count += file_exists(name);
        free(name);
    }
    return count;
}

static void test_prune(void **state) {
    (void)state;
    struct retain_settings settings;
    struct retain_report report;
    char blob[BLOB_NAME_SIZE], named[BLOB_NAME_SIZE], *file, mention[120];
    int64_t wall = clock_wall(), day = 24 * HARDY_HOUR;
    assert_int_equal(retain_settings_read(NULL, &settings, &error), HARDY_OK);
    put_run("old", wall - 40 * day);
    put_run("week", wall - 7 * day);
    put_run("today", wall - HARDY_MINUTE);
    put_row("action", "kept", 3, "{}");
    assert_int_equal(blob_put(path, "x", 1, blob, &error), HARDY_OK);
    assert_int_equal(blob_put(path, "y", 1, named, &error), HARDY_OK);
    snprintf(mention, sizeof mention, "{\"output_blob\":\"%s\"}", named);
    put_row("step", "today/0002.b", 1, mention);

    char *of_old = make_files("step", "old/0001.a", 2, 2 * HARDY_HOUR);
    char *of_week = make_files("step", "week/0001.a", 2, 2 * HARDY_HOUR);
    char *nobodys = make_files("action", "gone", 1, 2 * HARDY_HOUR);
    char *fresh = make_files("action", "about to be recorded", 1, HARDY_MINUTE);
    char *former = make_files("action", "kept", 2, 2 * HARDY_HOUR);
    char *present = make_files("action", "kept", 3, 2 * HARDY_HOUR);
    char *running = make_files("action", "runs, and its record is gone", 1, 2 * HARDY_HOUR);
    char *locked = str_format("%s.lock", running);
    int held = lock_open(locked, &error);
    assert_int_equal(lock_try(held, 0, &error), HARDY_OK);
    struct step_place place;
    char *decided = make_files("action", "somebody decides", 1, 2 * HARDY_HOUR);
    assert_int_equal(step_place_find(path, "action", "somebody decides", &place, &error), 0);
    int deciding;
    assert_int_equal(step_place_lock(&place, &deciding, &error), HARDY_OK);

    const struct retain_prune asked = {.older_than = HARDY_NEVER, .keep = -1};
    assert_int_equal(retain_prune(&world, &settings, &asked, &report, &error), HARDY_OK);
    assert_int_equal(report.rows.runs, 1);
    assert_int_equal(report.rows.kept, 2);
    assert_false(there("run", "old") || there("step", "old/0001.a"));
    assert_true(there("run", "week") && there("step", "week/0001.a") && there("run", "today"));
    assert_int_equal(files_of(of_old), 0);
    assert_int_equal(files_of(nobodys), 0);
    assert_int_equal(files_of(former), 0);
    assert_int_equal(report.files, 3);
    assert_int_equal(files_of(of_week), 3);
    assert_int_equal(files_of(fresh), 3);
    assert_int_equal(files_of(present), 3);
    assert_int_equal(files_of(running), 3);
    assert_int_equal(files_of(decided), 3);
    close(held);
    close(deciding);

    /* Results: none is old enough yet; in two hours one is. */
    assert_int_equal(report.blobs, 0);
    assert_int_equal(leftovers_blobs(&world, wall + 2 * HARDY_HOUR, &report, &error), HARDY_OK);
    assert_int_equal(report.blobs, 1);
    file = str_format("%s-blobs/%.2s/%s", path, named + 7, named + 7);
    assert_true(file_exists(file));
    free(file);

    /* What a person asks for. */
    struct retain_prune by_hand = {.older_than = 3 * day, .keep = -1, .dry_run = true};
    assert_int_equal(retain_prune(&world, &settings, &by_hand, &report, &error), HARDY_OK);
    assert_true(report.rows.runs == 1 && there("run", "week"));
    by_hand.dry_run = false;
    assert_int_equal(retain_prune(&world, &settings, &by_hand, &report, &error), HARDY_OK);
    assert_true(report.rows.runs == 1 && !there("run", "week") && there("run", "today"));
    by_hand = (struct retain_prune){.older_than = HARDY_NEVER, .keep = 0};
    assert_int_equal(retain_prune(&world, &settings, &by_hand, &report, &error), HARDY_OK);
    assert_false(there("run", "today"));
    char *all[] = {of_old, of_week, nobodys, fresh, former, present, running, locked, decided};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        free(all[i]);
    }
    step_place_free(&place);
}

static void test_at_end(void **state) {
    (void)state;
    struct retain_settings settings;
    struct retain_report report;
    bool swept;
    assert_int_equal(retain_settings_read(NULL, &settings, &error), HARDY_OK);
    put_run("old", 1);
    /* A short command does nothing, not even look. */
    assert_int_equal(
        retain_at_end(&world, &settings, clock_now() - HARDY_SECOND, &swept, &report, &error),
        HARDY_OK);
    assert_true(!swept && there("run", "old") && !there("upkeep", "retention"));
    int64_t begun = clock_now() - HARDY_MINUTE;
    assert_int_equal(retain_at_end(&world, &settings, begun, &swept, &report, &error), HARDY_OK);
    assert_true(swept && !there("run", "old"));
    put_run("old", 1);
    assert_int_equal(retain_at_end(&world, &settings, begun, &swept, &report, &error), HARDY_OK);
    assert_true(!swept && there("run", "old"));
}

static void test_stops(void **state) {
    (void)state;
    struct retain_settings settings;
    assert_int_equal(retain_settings_read(NULL, &settings, &error), HARDY_OK);
    int64_t begun = clock_now();
    struct retainer *r = retain_start(world.store, path, &settings, &error);
    assert_non_null(r);
    retain_stop(r);
    retain_stop(NULL);
    assert_true(clock_now() - begun < 5 * HARDY_SECOND);
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings),
        IN_FOLDER(test_prune),
        IN_FOLDER(test_at_end),
        IN_FOLDER(test_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
