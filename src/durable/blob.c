/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/blob.h"
#include "base/error.h"
#include "base/sha256.h"
#include "base/str.h"
#include "io/file.h"
#include "io/lock.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "sha256:"
#define DIGITS 64
#define LOCK_WAIT (10 * HARDY_SECOND) /* held for one look at one file */

/* Beside the database itself, whatever link it is called by. malloc'd; NULL = no memory. */
static char *folder_of(const char *state) {
    char *real = realpath(state, NULL);
    char *folder = str_format("%s-blobs", real ? real : state);
    free(real);
    return folder;
}

static char *path_in(const char *folder, const char *digits) {
    return str_format("%s/%.2s/%s", folder, digits, digits);
}

static bool are_digits(const char *text) {
    return strspn(text, "0123456789abcdef") == DIGITS && text[DIGITS] == '\0';
}

/* Between looking at a file and removing it nobody may find it and rely on it. */
static hardy_status lock_folder(const char *folder, int *fd, hardy_error *error) {
    char *path = str_format("%s/lock", folder);
    *fd = path ? lock_open(path, error) : -1;
    free(path);
    hardy_status status = *fd >= 0 ? lock_wait_for(*fd, 0, LOCK_WAIT, error)
                          : error  ? error->status
                                   : HARDY_E_IO;
    if (status != HARDY_OK && *fd >= 0) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

/* --- writing, reading --------------------------------------------------------------------------
 */

/* Whether it is there, of the right length; then it counts as written now. */
static hardy_status find(const char *folder, const char *path, size_t len, bool *there,
                         hardy_error *error) {
    struct stat st;
    int fd;
    *there = false;
    hardy_status status = lock_folder(folder, &fd, error);
    if (status == HARDY_OK) {
        *there = stat(path, &st) == 0 && st.st_size == (off_t)len &&
                 utimensat(AT_FDCWD, path, NULL, 0) == 0;
        close(fd);
    }
    return status;
}

hardy_status blob_put(const char *state, const void *data, size_t len, char name[BLOB_NAME_SIZE],
                      hardy_error *error) {
    char digits[DIGITS + 1];
    bool there = false;
    if (len > BLOB_MAX) {
        return fail(error, HARDY_E_TOO_LARGE, state, "a result of %zu bytes, at most %zu are kept",
                    len, BLOB_MAX);
    }
    sha256_hex(data, len, digits);
    char *folder = folder_of(state);
    char *path = folder ? path_in(folder, digits) : NULL;
    char *shelf = path ? str_ndup(path, strlen(path) - DIGITS - 1) : NULL;
    hardy_status status = shelf ? file_make_dirs(shelf, 0700, error)
                                : fail(error, HARDY_E_NOMEM, state, "no memory for a result");
    if (status == HARDY_OK) {
        status = find(folder, path, len, &there, error);
    }
    if (status == HARDY_OK && !there) {
        status = file_write(path, data, len, true, error);
    } else if (status == HARDY_OK) { /* whoever wrote it may not have come to this yet */
        status = file_sync_name(path, error);
    }
    /* The folders' own names: they too may be new, whoever made them. */
    if (status == HARDY_OK) {
        status = file_sync_name(shelf, error);
    }
    if (status == HARDY_OK) {
        status = file_sync_name(folder, error);
    }
    snprintf(name, BLOB_NAME_SIZE, PREFIX "%s", digits);
    free(folder);
    free(path);
    free(shelf);
    return status;
}

hardy_status blob_get(const char *state, const char *name, struct buf *out, hardy_error *error) {
    const char *digits = str_starts(name, PREFIX) ? name + strlen(PREFIX) : "";
    char found[DIGITS + 1];
    if (!are_digits(digits)) {
        return fail(error, HARDY_E_INVALID, state, "\"%.80s\" is not the name of a result", name);
    }
    char *folder = folder_of(state);
    char *path = folder ? path_in(folder, digits) : NULL;
    size_t before = out->len;
    hardy_status status = path ? file_read(path, out, error)
                               : fail(error, HARDY_E_NOMEM, state, "no memory for a result");
    if (status == HARDY_OK) {
        sha256_hex(out->data ? out->data + before : "", out->len - before, found);
        if (!str_eq(found, digits)) {
            out->len = before;
            status = fail(error, HARDY_E_CORRUPT, path,
                          "the file is not what its name says: it was changed or damaged");
        }
    }
    free(folder);
    free(path);
    return status;
}

/* --- all of them --------------------------------------------------------------------------------
 */

/* `fn` for each file of the folder: STATE-blobs/SHELF/FILE. */
typedef hardy_status (*each_file)(void *ctx, const char *shelf, const char *file,
                                  hardy_error *error);

static hardy_status each_of_shelf(const char *folder, const char *shelf, each_file fn, void *ctx,
                                  hardy_error *error) {
    char *path = str_format("%s/%s", folder, shelf);
    DIR *dir = path ? opendir(path) : NULL;
    hardy_status status = HARDY_OK;
    const struct dirent *entry;
    while (dir && status == HARDY_OK && (entry = readdir(dir))) {
        if (entry->d_name[0] != '.') {
            status = fn(ctx, shelf, entry->d_name, error);
        }
    }
    if (dir) {
        closedir(dir);
    }
    free(path);
    return status;
}

static hardy_status each_blob(const char *folder, each_file fn, void *ctx, hardy_error *error) {
    DIR *dir = opendir(folder);
    hardy_status status = HARDY_OK;
    if (!dir && errno != ENOENT) {
        return fail_errno(error, errno, folder, "cannot look for results");
    }
    const struct dirent *entry;
    while (dir && status == HARDY_OK && (entry = readdir(dir))) {
        if (strlen(entry->d_name) == 2 && entry->d_name[0] != '.') {
            status = each_of_shelf(folder, entry->d_name, fn, ctx, error);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return status;
}

struct copying {
    const char *from, *to, *folder; /* `folder`: of `to` */
    uint64_t *copied;
};

static hardy_status copy_one(void *ctx, const char *shelf, const char *file, hardy_error *error) {
    const struct copying *c = ctx;
    char name[BLOB_NAME_SIZE];
    struct buf bytes;
    (void)shelf;
    if (!are_digits(file)) {
        return HARDY_OK;
    }
    snprintf(name, sizeof name, PREFIX "%.64s", file);
    char *there = path_in(c->folder, file);
    bool known = there && file_exists(there);
    free(there);
    buf_init(&bytes, BLOB_MAX);
    hardy_status status = known ? HARDY_OK : blob_get(c->from, name, &bytes, error);
    if (status == HARDY_E_NOT_FOUND) { /* swept meanwhile: nobody wants it */
        known = true;
        status = HARDY_OK;
    }
    if (status == HARDY_OK && !known) {
        status = blob_put(c->to, bytes.data ? bytes.data : "", bytes.len, name, error);
        *c->copied += status == HARDY_OK;
    }
    buf_free(&bytes);
    return status;
}

hardy_status blob_copy_all(const char *from, const char *to, uint64_t *copied, hardy_error *error) {
    char *source = folder_of(from), *target = folder_of(to);
    struct copying c = {from, to, target, copied};
    hardy_status status = source && target
                              ? each_blob(source, copy_one, &c, error)
                              : fail(error, HARDY_E_NOMEM, from, "no memory to copy results");
    free(source);
    free(target);
    return status;
}

/* --- the sweep ---------------------------------------------------------------------------------
 */

struct sweeping {
    const char *folder;
    int64_t before; /* wall */
    bool (*named)(void *ctx, const char *name);
    void *ctx;
    struct blob_swept *out;
};

static int64_t written(const struct stat *st) {
    return (int64_t)st->st_mtim.tv_sec * HARDY_SECOND + st->st_mtim.tv_nsec;
}

static hardy_status sweep_file(void *ctx, const char *shelf, const char *file, hardy_error *error) {
    const struct sweeping *s = ctx;
    char name[BLOB_NAME_SIZE];
    struct stat st;
    int fd;
    snprintf(name, sizeof name, PREFIX "%.64s", file);
    if (are_digits(file) && s->named(s->ctx, name)) {
        s->out->kept++;
        return HARDY_OK;
    }
    char *path = str_format("%s/%s/%s", s->folder, shelf, file);
    hardy_status status =
        path ? lock_folder(s->folder, &fd, error) : fail(error, HARDY_E_NOMEM, NULL, "no memory");
    if (status == HARDY_OK) {
        bool old = stat(path, &st) == 0 && written(&st) < s->before;
        if (old && unlink(path) == 0) {
            s->out->removed++;
            s->out->bytes += (uint64_t)st.st_size;
        } else {
            s->out->kept++;
        }
        close(fd);
    }
    free(path);
    return status;
}

hardy_status blob_sweep(const char *state, int64_t wall, bool (*named)(void *ctx, const char *name),
                        void *ctx, struct blob_swept *out, hardy_error *error) {
    *out = (struct blob_swept){0};
    char *folder = folder_of(state);
    struct sweeping s = {folder, wall - BLOB_GRACE, named, ctx, out};
    hardy_status status = folder
                              ? each_blob(folder, sweep_file, &s, error)
                              : fail(error, HARDY_E_NOMEM, state, "no memory to look for results");
    free(folder);
    return status;
}
