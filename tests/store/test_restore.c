/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state is replaced by a backup, and the process is ended before each call that changes names on
 * the disk, the first, the second, and so on. What is found afterwards is the old state, the new
 * one, or a file that is refused and can be replaced again; never an empty state, and never the new
 * file with the old log.
 */
#include "../cmocka_all.h"
#include "base/clock.h"
#include "store/upkeep.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], path[96], backup[96];
static hardy_error error;
static int calls_left = -1; /* -1: any number */

static void count_call(void) {
    if (calls_left == 0) {
        _exit(42);
    }
    calls_left -= calls_left > 0;
}

int __real_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to);
int __wrap_link(const char *from, const char *to) {
    count_call();
    return __real_link(from, to);
}
int __real_unlink(const char *name);
int __wrap_unlink(const char *name);
int __wrap_unlink(const char *name) {
    count_call();
    return __real_unlink(name);
}
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to) {
    count_call();
    return __real_rename(from, to);
}
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    count_call();
    return __real_fsync(fd);
}

static void clear(void) {
    char name[400];
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    while ((entry = readdir(dir))) {
        snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
        __real_unlink(name);
    }
    closedir(dir);
}

static hardy_status open_state(bool create, struct store **out) {
    const struct store_options options = {.path = path, .create = create, .purpose = "test"};
    hardy_error_init(&error, sizeof error);
    return store_open(&options, out, &error);
}

/* Rows under keys 0, 1, ... that all say which state they are of. */
static void put(const char *word, int count) {
    struct store *store;
    assert_int_equal(open_state(true, &store), HARDY_OK);
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        const struct store_op op = {
            .kind = STORE_PUT, .row_kind = "row", .key = key, .value = word, .len = strlen(word)};
        assert_int_equal(store_apply(store, &op, 1, clock_now() + 30 * HARDY_SECOND, NULL, &error),
                         HARDY_OK);
    }
    store_close(store);
}

struct seen {
    int rows, old;
};

static bool see(void *ctx, const struct store_row *row) {
    struct seen *s = ctx;
    s->rows++;
    s->old += strcmp(row->value, "old") == 0;
    return true;
}

static struct seen look(struct store *store) {
    struct seen s = {0};
    assert_int_equal(store_scan(store, "row", "", NULL, SIZE_MAX, see, &s, &error), HARDY_OK);
    return s;
}

/* The process ends at the n-th call; 42 = it did. */
static int restore_ending_at(int n) {
    pid_t child = fork();
    if (child == 0) {
        char kept[200];
        calls_left = n;
        _exit(store_restore(backup, path, kept, sizeof kept, &error) == HARDY_OK ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_ended_anywhere(void **state) {
    (void)state;
    int code = 42, old = 0, fresh = 0, refused = 0;
    for (int n = 0; code == 42; n++) {
        clear();
        put("new", 5);
        assert_int_equal(store_backup(path, backup, false, &error), HARDY_OK);
        put("old", 9); /* in the log, for the most part */
        code = restore_ending_at(n);
        assert_true(code == 0 || code == 42);

        struct store *store;
        hardy_status status = open_state(true, &store);
        if (status == HARDY_OK) {
            struct seen seen = look(store);
            store_close(store);
            bool is_old = seen.rows == 9 && seen.old == 9, is_new = seen.rows == 5 && !seen.old;
            if (!is_old && !is_new) {
                fail_msg("ended at call %d: %d rows, %d of them old", n, seen.rows, seen.old);
            }
            old += is_old;
            fresh += is_new;
        } else {
            assert_int_equal(status, HARDY_E_CORRUPT);
            assert_non_null(strstr(error.message, "restore the backup again"));
            refused++;
        }
        assert_int_equal(store_verify(backup, &error), HARDY_OK);
        assert_int_equal(restore_ending_at(-1), 0);
        assert_int_equal(open_state(false, &store), HARDY_OK);
        assert_int_equal(look(store).rows, 5);
        store_close(store);
    }
    printf("# ended with the old state %d times, with the new one %d times, refused %d times\n",
           old, fresh, refused);
    assert_true(old > 2 && fresh > 1 && refused > 1);
}

static void test_backup_ended_anywhere(void **state) {
    (void)state;
    int code = 42, n;
    clear();
    put("new", 5);
    for (n = 0; code == 42; n++) {
        pid_t child = fork();
        if (child == 0) {
            calls_left = n;
            _exit(store_backup(path, backup, true, &error) == HARDY_OK ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        code = WEXITSTATUS(status);
        /* Under its name there is a whole one or none. */
        hardy_status found = store_verify(backup, &error);
        assert_true(found == HARDY_OK || (found == HARDY_E_NOT_FOUND && code == 42));
    }
    assert_true(n > 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ended_anywhere),
        cmocka_unit_test(test_backup_ended_anywhere),
    };
    hardy_error_init(&error, sizeof error);
    snprintf(folder, sizeof folder, "/tmp/hardy-restore.XXXXXX");
    if (!mkdtemp(folder)) {
        return 1;
    }
    snprintf(path, sizeof path, "%s/hardy.db", folder);
    snprintf(backup, sizeof backup, "%s/backup.db", folder);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    clear();
    rmdir(folder);
    return failed;
}
