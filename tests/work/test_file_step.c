/* SPDX-License-Identifier: Apache-2.0 */
/* A step that keeps a text, on disks that fail: each call that could fails in turn. */
#include "../cmocka_all.h"
#include "base/str.h"
#include "io/file.h"
#include "work/file_step.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* Which call fails, the how manyeth of it, and how. */
static struct {
    const char *call;
    int nth, why;
} fault;

static bool fails(const char *call) {
    if (!fault.call || strcmp(fault.call, call) != 0 || --fault.nth != 0) {
        return false;
    }
    errno = fault.why;
    return true;
}

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...) {
    bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    if (fails(unnamed ? "tmpfile" : "openat")) {
        return -1;
    }
    return __real_openat(dir, path, flags, 0600);
}

int __real_linkat(int from, const char *path, int to, const char *name, int flags);
int __wrap_linkat(int from, const char *path, int to, const char *name, int flags);
int __wrap_linkat(int from, const char *path, int to, const char *name, int flags) {
    return fails("linkat") ? -1 : __real_linkat(from, path, to, name, flags);
}

int __real_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_mkdirat(int dir, const char *name, mode_t mode);
int __wrap_mkdirat(int dir, const char *name, mode_t mode) {
    if (fails("mkdirat lost")) { /* somebody makes it just before */
        __real_mkdirat(dir, name, mode);
        return -1;
    }
    return fails("mkdirat") ? -1 : __real_mkdirat(dir, name, mode);
}

ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len) {
    if (fails("write short")) {
        return __real_write(fd, data, len / 2);
    }
    return fails("write") ? -1 : __real_write(fd, data, len);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    return fails("fsync") ? -1 : __real_fsync(fd);
}

static char folder[] = "/tmp/hardy-file-step.XXXXXX";

static size_t files(const char *path, bool remove) {
    DIR *dir = opendir(path);
    size_t count = 0;
    for (struct dirent *d; dir && (d = readdir(dir));) {
        if (d->d_name[0] != '.') {
            count++;
            if (remove) {
                (void)unlinkat(dirfd(dir), d->d_name, 0);
            }
        }
    }
    if (dir) {
        closedir(dir);
    }
    return count;
}

static void keep(struct step_answer *got) {
    char *request = str_format("{\"folder\":\"%s/notes\",\"content\":\"some content\","
                               "\"prefix\":\"n-\"}",
                               folder);
    struct step_given given = {.request = request};
    step_answer_init(got);
    step_program_run(NULL, file_step, &given, got);
    free(request);
}

static int set_up(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state) {
    (void)state;
    return rmdir(folder);
}

/* Whatever fails, there is the whole file or none, and the next time it is there. */
static void faults(void **state) {
    static const struct {
        const char *call;
        int nth, why, code;
        size_t left;
        const char *message;
    } rows[] = {
        {NULL, 0, 0, 0, 1, ""},
        {"mkdirat", 1, EACCES, 1, 0, "cannot make the folder `notes`: Permission denied"},
        {"mkdirat", 1, ENOSPC, 75, 0, "cannot make the folder `notes`: No space left on device"},
        {"mkdirat lost", 1, EEXIST, 0, 1, ""},
        {"fsync", 1, EIO, 1, 0, "cannot sync the folder above `notes`"}, /* the folder's own */
        {"write", 1, ENOSPC, 75, 0, "cannot write 12 bytes: No space left on device"},
        {"write", 1, EDQUOT, 75, 0, "cannot write 12 bytes"},
        {"write", 1, EINTR, 0, 1, ""},
        {"write short", 1, 0, 0, 1, ""},
        {"write", 1, EIO, 1, 0, "cannot write 12 bytes"},
        {"fsync", 2, EIO, 1, 0, "cannot sync n-"},         /* the file's */
        {"fsync", 3, EIO, 1, 1, "cannot sync the folder"}, /* its name's */
        {"linkat", 1, ENOSPC, 75, 0, "cannot name n-"},
        /* a file system that cannot do it in one step */
        {"tmpfile", 1, EOPNOTSUPP, 0, 1, ""},
        {"linkat", 1, EPERM, 0, 1, ""},
    };
    (void)state;
    char *notes = str_format("%s/notes", folder);
    char *path = str_format("%s/n-290f493c44f5d63d", notes);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct step_answer got;
        fault.call = rows[i].call;
        fault.nth = rows[i].nth;
        fault.why = rows[i].why;
        keep(&got);
        fault.call = NULL;
        if (got.code != rows[i].code || !strstr(got.message, rows[i].message) ||
            files(notes, false) != rows[i].left) {
            fail_msg("row %zu: %d, %zu files: %s", i, got.code, files(notes, false), got.message);
        }
        step_answer_free(&got);
        keep(&got);
        assert_int_equal(got.code, STEP_CODE_DONE);
        assert_int_equal(strstr(got.output.data, "\"already_exists\"") != NULL, rows[i].left == 1);
        step_answer_free(&got);
        struct buf content;
        buf_init(&content, 100);
        assert_int_equal(file_read(path, &content, NULL), HARDY_OK);
        assert_string_equal(content.data, "some content");
        buf_free(&content);
        assert_int_equal(files(notes, true), 1);
        assert_int_equal(rmdir(notes), 0);
    }
    free(path);
    free(notes);
}

/* Found, but its folder cannot be synced: it is not said to be kept. */
static void found_and_not_safe(void **state) {
    struct step_answer got;
    (void)state;
    keep(&got);
    step_answer_free(&got);
    fault.call = "fsync";
    fault.nth = 1;
    fault.why = EIO;
    keep(&got);
    fault.call = NULL;
    assert_int_equal(got.code, STEP_CODE_FAILED);
    step_answer_free(&got);
    char *notes = str_format("%s/notes", folder);
    assert_int_equal(files(notes, true), 1);
    assert_int_equal(rmdir(notes), 0);
    free(notes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(faults),
        cmocka_unit_test(found_and_not_safe),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
