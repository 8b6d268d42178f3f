/* SPDX-License-Identifier: Apache-2.0 */
/* Large results as files: what is put is found, damage is seen, a sweep takes only what nobody
 * names. */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "base/str.h"
#include "durable/blob.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], state_path[96];
static hardy_error error;

static int setup(void **state) {
    (void)state;
    hardy_error_init(&error, sizeof error);
    snprintf(folder, sizeof folder, "/tmp/hardy-blob.XXXXXX");
    snprintf(state_path, sizeof state_path, "%s/hardy.db", mkdtemp(folder) ? folder : "");
    return 0;
}

static int teardown(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *path_of(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s-blobs/%.2s/%s", state_path, name + 7, name + 7);
    return path;
}

static void put(const char *text, char name[BLOB_NAME_SIZE]) {
    hardy_status status = blob_put(state_path, text, strlen(text), name, &error);
    if (status != HARDY_OK) {
        fail_msg("%s: %s", error.where, error.message);
    }
}

static hardy_status get(const char *name, const char *expected) {
    struct buf out;
    buf_init(&out, 1 << 20);
    buf_puts(&out, "before ");
    hardy_error_init(&error, sizeof error);
    hardy_status status = blob_get(state_path, name, &out, &error);
    if (status == HARDY_OK) {
        assert_string_equal(out.data + 7, expected);
    } else {
        assert_int_equal(out.len, 7);
    }
    buf_free(&out);
    return status;
}

static void age(const char *path, int64_t span) {
    int64_t then = clock_wall() - span;
    const struct timespec times[2] = {{then / HARDY_SECOND, 0}, {then / HARDY_SECOND, 0}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void test_put_and_get(void **state) {
    (void)state;
    char name[BLOB_NAME_SIZE], same[BLOB_NAME_SIZE], other[BLOB_NAME_SIZE];
    struct stat st;
    assert_int_equal(get("sha256:"
                         "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
                         ""),
                     HARDY_E_NOT_FOUND);
    put("hello", name);
    assert_string_equal(name,
                        "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    assert_int_equal(stat(path_of(name), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    put("hello", same);
    put("other", other);
    assert_string_equal(name, same);
    assert_string_not_equal(name, other);
    assert_int_equal(get(name, "hello"), HARDY_OK);
    assert_int_equal(get(other, "other"), HARDY_OK);
    assert_int_equal(get("sha256:../../../../etc/passwd", ""), HARDY_E_INVALID);
    assert_int_equal(get("md5:12", ""), HARDY_E_INVALID);
    put("", name);
    assert_int_equal(get(name, ""), HARDY_OK);
}

static void test_damage(void **state) {
    (void)state;
    char name[BLOB_NAME_SIZE];
    put("a result", name);
    int fd = open(path_of(name), O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "X", 1, 3), 1);
    close(fd);
    assert_int_equal(get(name, ""), HARDY_E_CORRUPT);
    /* One that was cut off is written again. */
    assert_int_equal(truncate(path_of(name), 2), 0);
    put("a result", name);
    assert_int_equal(get(name, "a result"), HARDY_OK);
}

static void test_copy(void **state) {
    (void)state;
    char one[BLOB_NAME_SIZE], two[BLOB_NAME_SIZE], to[128];
    uint64_t copied = 0;
    struct buf out;
    snprintf(to, sizeof to, "%s/backup.db", folder);
    assert_int_equal(blob_copy_all(state_path, to, &copied, &error), HARDY_OK); /* there is none */
    put("one", one);
    put("two", two);
    assert_int_equal(blob_copy_all(state_path, to, &copied, &error), HARDY_OK);
    assert_int_equal(copied, 2);
    assert_int_equal(blob_copy_all(state_path, to, &copied, &error), HARDY_OK);
    assert_int_equal(copied, 2);
    buf_init(&out, 100);
    assert_int_equal(blob_get(to, two, &out, &error), HARDY_OK);
    assert_string_equal(out.data, "two");
    buf_free(&out);
    /* A damaged one is not carried on silently. */
    assert_int_equal(truncate(path_of(one), 1), 0);
    snprintf(to, sizeof to, "%s/other.db", folder);
    assert_int_equal(blob_copy_all(state_path, to, &copied, &error), HARDY_E_CORRUPT);
}

static bool is_named(void *ctx, const char *name) {
    return str_eq(name, ctx);
}

static void test_sweep(void **state) {
    (void)state;
    char named[BLOB_NAME_SIZE], old[BLOB_NAME_SIZE], fresh[BLOB_NAME_SIZE], again[BLOB_NAME_SIZE];
    char cut_off[300];
    struct blob_swept swept;
    assert_int_equal(blob_sweep(state_path, clock_wall(), is_named, "", &swept, &error), HARDY_OK);
    put("named", named);
    put("nobody names it", old);
    put("about to be named", fresh);
    put("was old, and is wanted again", again);
    snprintf(cut_off, sizeof cut_off, "%s.tmp.1.1", path_of(named));
    close(open(cut_off, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    age(path_of(named), 2 * HARDY_HOUR);
    age(path_of(old), 2 * HARDY_HOUR);
    age(path_of(again), 2 * HARDY_HOUR);
    age(cut_off, 2 * HARDY_HOUR);
    put("was old, and is wanted again", again);
    assert_int_equal(blob_sweep(state_path, clock_wall(), is_named, named, &swept, &error),
                     HARDY_OK);
    assert_int_equal(swept.removed, 2);
    assert_int_equal(swept.kept, 3);
    assert_int_equal(swept.bytes, strlen("nobody names it"));
    assert_int_equal(get(named, "named"), HARDY_OK);
    assert_int_equal(get(fresh, "about to be named"), HARDY_OK);
    assert_int_equal(get(again, "was old, and is wanted again"), HARDY_OK);
    assert_int_equal(get(old, ""), HARDY_E_NOT_FOUND);
    assert_int_equal(access(cut_off, F_OK), -1);
}

#define IN_FOLDER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_put_and_get),
        IN_FOLDER(test_damage),
        IN_FOLDER(test_sweep),
        IN_FOLDER(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
