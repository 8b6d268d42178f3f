/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files and byte locks. */
#include "../cmocka_all.h"

#include "base/clock.h"
#include "base/str.h"
#include "io/file.h"
#include "io/lock.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static int setup(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hardy-file-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static char *path_in(const char *name) {
    static char path[4][128];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void written_and_read(void **state) {
    (void)state;
    struct buf b;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&b, 8);
    for (int sync = 0; sync < 2; sync++) {
        assert_int_equal(file_write(path_in("a"), "12345678", 8, sync, &error), HARDY_OK);
        buf_reset(&b);
        assert_int_equal(file_read(path_in("a"), &b, &error), HARDY_OK);
        assert_string_equal(b.data, "12345678");
    }
    struct stat st;
    assert_int_equal(stat(path_in("a"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(file_write(path_in("a"), "123456789", 9, false, &error), HARDY_OK);
    buf_reset(&b);
    assert_int_equal(file_read(path_in("a"), &b, &error), HARDY_E_TOO_LARGE);
    assert_string_equal(error.where, path_in("a"));
    buf_reset(&b);
    assert_int_equal(file_read_tail(path_in("a"), 4, &b, &error), HARDY_OK);
    assert_string_equal(b.data, "6789");
    buf_reset(&b);
    assert_int_equal(file_read(path_in("none"), &b, &error), HARDY_E_NOT_FOUND);
    assert_int_equal(file_read(dir, &b, &error), HARDY_E_IO);
    buf_free(&b);
}

/* A failed write leaves the old file, and no other. */
static void a_failed_write_changes_nothing(void **state) {
    (void)state;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(file_write(path_in("none/a"), "x", 1, false, &error), HARDY_E_NOT_FOUND);
    assert_int_equal(mkdir(path_in("d"), 0700), 0);
    assert_int_not_equal(file_write(path_in("d"), "x", 1, false, &error), HARDY_OK);
    assert_true(file_exists(path_in("d")));
    char command[128];
    snprintf(command, sizeof command, "test \"$(ls %s)\" = d", dir);
    assert_int_equal(system(command), 0);
}

static void directories_and_removal(void **state) {
    (void)state;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(file_make_dirs(path_in("x//y/z/"), 0700, &error), HARDY_OK);
    assert_int_equal(file_make_dirs(path_in("x/y/z"), 0700, &error), HARDY_OK);
    assert_true(file_exists(path_in("x/y/z")));
    assert_int_equal(file_write(path_in("f"), "", 0, false, &error), HARDY_OK);
    assert_int_equal(file_make_dirs(path_in("f/g"), 0700, &error), HARDY_E_EXISTS);
    assert_string_equal(error.where, path_in("f"));
    assert_int_equal(file_remove(path_in("f"), &error), HARDY_OK);
    assert_int_equal(file_remove(path_in("f"), &error), HARDY_OK);
    assert_false(file_exists(path_in("f")));
}

static void temporary_files_have_no_name(void **state) {
    (void)state;
    int fd = file_temporary(dir, NULL);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    char command[128];
    snprintf(command, sizeof command, "test -z \"$(ls -A %s)\"", dir);
    assert_int_equal(system(command), 0);
    close(fd);
    assert_int_equal(file_temporary("/no/such/directory", NULL), -1);
}

static void places(void **state) {
    (void)state;
    assert_false(file_on_network("/proc/self"));
    assert_false(file_on_network("/proc/no/such/place")); /* judged by what there is */
    char a[37], b[37];
    file_boot_id(a);
    file_boot_id(b);
    assert_int_equal(strlen(a), 36);
    assert_string_equal(a, b);
}

static void locks_exclude_one_another(void **state) {
    (void)state;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int a = lock_open(path_in("lock"), &error);
    int b = lock_open(path_in("lock"), &error);
    assert_true(a >= 0 && b >= 0);
    assert_true(fcntl(a, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(lock_try(a, 0, &error), HARDY_OK);
    assert_int_equal(lock_try(b, 0, &error), HARDY_E_RUNNING);
    assert_string_equal(error.where, path_in("lock"));
    assert_int_equal(lock_try(b, 1, &error), HARDY_OK); /* another byte */
    assert_true(lock_held(b, 0));
    assert_false(lock_held(a, 0)); /* by somebody else */
    int64_t before = clock_now();
    assert_int_equal(lock_wait_for(b, 0, 3 * HARDY_MILLISECOND, &error), HARDY_E_RUNNING);
    assert_true(clock_now() - before >= 3 * HARDY_MILLISECOND);
    lock_release(a, 0);
    assert_int_equal(lock_wait(b, 0, &error), HARDY_OK);
    lock_release(b, 0);
    assert_int_equal(lock_share(a, 0, &error), HARDY_OK);
    assert_int_equal(lock_share(b, 0, &error), HARDY_OK);
    assert_int_equal(lock_try(a, 0, &error), HARDY_E_RUNNING);
    assert_int_equal(lock_open(path_in("none/lock"), &error), -1);
    assert_int_equal(error.status, HARDY_E_NOT_FOUND);
    close(a);
    close(b);
}

/* A child's copy keeps the lock, until its death, whatever kind, lets it go. */
static void a_lock_goes_to_a_child_and_dies_with_it(void **state) {
    (void)state;
    int ends[2];
    int a = lock_open(path_in("lock"), NULL);
    int b = lock_open(path_in("lock"), NULL);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(lock_try(a, 0, NULL), HARDY_OK);
    pid_t child = fork();
    if (child == 0) {
        char c;
        close(ends[1]);
        _exit(read(ends[0], &c, 1) < 0);
    }
    close(a);
    assert_int_equal(lock_try(b, 0, NULL), HARDY_E_RUNNING);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(lock_wait_for(b, 0, 5 * HARDY_SECOND, NULL), HARDY_OK);
    close(b);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(written_and_read),
        T(a_failed_write_changes_nothing),
        T(directories_and_removal),
        T(temporary_files_have_no_name),
        T(places),
        T(locks_exclude_one_another),
        T(a_lock_goes_to_a_child_and_dies_with_it),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
