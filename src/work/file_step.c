/* SPDX-License-Identifier: Apache-2.0 */
#include "work/file_step.h"
#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/str.h"
#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PART_MAX = 100, NAME_SIZE = 2 * PART_MAX + 17, DIGITS = 16, AT_SIZE = NAME_SIZE + 40 };

struct note {
    const char *folder, *content, *prefix, *suffix;
    size_t len;
    char name[NAME_SIZE];
    int dir;          /* the folder */
    char at[AT_SIZE]; /* the file's path through `dir` */
    bool created;
    hardy_error error;
};

/* --- the folder ------------------------------------------------------------------------------- */

/* One part further down; made when it is missing, and synced so that it stays. */
static int enter(int dir, const char *part, bool follow, hardy_error *error) {
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
    int next = openat(dir, part, flags);
    if (next < 0 && errno == ENOENT) {
        if (mkdirat(dir, part, 0777) == 0) {
            if (fsync(dir) != 0) {
                (void)fail_errno(error, errno, NULL, "cannot sync the folder above `%.100s`", part);
                return -1;
            }
        } else if (errno != EEXIST) {
            (void)fail_errno(error, errno, NULL, "cannot make the folder `%.100s`", part);
            return -1;
        }
        next = openat(dir, part, flags);
    }
    if (next < 0) {
        int why = errno;
        struct stat st;
        if (fstatat(dir, part, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode) && !follow) {
            (void)fail(error, HARDY_E_INVALID, NULL,
                       "`%.100s` is a symbolic link, which may lead elsewhere: name the folder "
                       "itself, or give an absolute path",
                       part);
        } else {
            (void)fail_errno(error, why, NULL, "cannot open the folder `%.100s`", part);
        }
    }
    return next;
}

static int open_folder(const char *folder, hardy_error *error) {
    bool absolute = folder[0] == '/';
    char *path = str_dup(folder);
    int dir = path ? open(absolute ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir < 0) {
        (void)fail_errno(error, path ? errno : ENOMEM, NULL, "cannot open the working directory");
    }
    for (char *part = path; dir >= 0 && *part;) {
        size_t len = strcspn(part, "/");
        char *behind = part + len + (part[len] == '/');
        part[len] = '\0';
        int next = dir;
        if (str_eq(part, "..")) {
            (void)fail(error, HARDY_E_INVALID, NULL, "\"..\" has no place in it");
            next = -1;
        } else if (len > 0 && !str_eq(part, ".")) {
            next = enter(dir, part, absolute, error);
        }
        if (next != dir) {
            close(dir);
        }
        dir = next;
        part = behind;
    }
    free(path);
    return dir;
}

/* --- the file --------------------------------------------------------------------------------- */

static hardy_status compare(int fd, const struct note *n, bool *same) {
    char piece[65536];
    size_t at = 0;
    *same = false;
    for (;;) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return HARDY_E_IO;
        }
        if (got == 0) {
            *same = at == n->len;
            return HARDY_OK;
        }
        if ((size_t)got > n->len - at || memcmp(piece, n->content + at, (size_t)got) != 0) {
            return HARDY_OK;
        }
        at += (size_t)got;
    }
}

/* E_NOT_FOUND: there is none of this name. Synced again: who wrote it may have been killed before
 * its name was safe. */
static hardy_status look(struct note *n) {
    int fd = openat(n->dir, n->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    bool same = false;
    if (fd < 0) {
        return errno == ELOOP
                   ? fail(&n->error, HARDY_E_EXISTS, NULL, "%s is a symbolic link", n->name)
                   : fail_errno(&n->error, errno, NULL, "cannot open %s", n->name);
    }
    hardy_status status = HARDY_OK;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        status = fail(&n->error, HARDY_E_EXISTS, NULL, "%s is there, and is no file", n->name);
    } else if (compare(fd, n, &same) != HARDY_OK || (same && fsync(n->dir) != 0)) {
        status = fail_errno(&n->error, errno, NULL, "cannot read %s", n->name);
    } else if (!same) {
        status = fail(&n->error, HARDY_E_EXISTS, NULL,
                      "%s is there with other content: somebody has changed it", n->name);
    }
    close(fd);
    return status;
}

/* In one step and under this name, or not at all. E_UNSUPPORTED: this file system cannot. */
static hardy_status create(struct note *n) {
    int fd = openat(n->dir, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0) {
        return HARDY_E_UNSUPPORTED;
    }
    char path[40];
    hardy_status status = HARDY_OK;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    for (size_t at = 0; at < n->len && status == HARDY_OK;) {
        ssize_t put = write(fd, n->content + at, n->len - at);
        if (put >= 0) {
            at += (size_t)put;
        } else if (errno != EINTR) {
            status = fail_errno(&n->error, errno, NULL, "cannot write %zu bytes", n->len);
        }
    }
    if (status == HARDY_OK && fsync(fd) != 0) {
        status = fail_errno(&n->error, errno, NULL, "cannot sync %s", n->name);
    }
    if (status == HARDY_OK && linkat(AT_FDCWD, path, n->dir, n->name, AT_SYMLINK_FOLLOW) != 0) {
        status = errno == EEXIST ? HARDY_E_EXISTS
                 : errno == ENOSPC || errno == EDQUOT
                     ? fail_errno(&n->error, errno, NULL, "cannot name %s", n->name)
                     : HARDY_E_UNSUPPORTED;
    } else if (status == HARDY_OK && fsync(n->dir) != 0) {
        status = fail_errno(&n->error, errno, NULL, "cannot sync the folder");
    }
    close(fd);
    return status;
}

static hardy_status keep(struct note *n) {
    hardy_status status = look(n);
    if (status != HARDY_E_NOT_FOUND) {
        return status;
    }
    status = create(n);
    if (status == HARDY_E_EXISTS) {
        return look(n); /* another was faster */
    }
    if (status == HARDY_E_UNSUPPORTED) {
        status = file_write(n->at, n->content, n->len, true, &n->error);
    }
    n->created = status == HARDY_OK;
    return status;
}

/* --- request and result ----------------------------------------------------------------------- */

static bool check_part(struct step_answer *a, const char *which, const char *text, bool first) {
    bool good = strlen(text) <= PART_MAX && !strchr(text, '/') && !(first && text[0] == '.');
    for (const char *c = text; *c; c++) {
        good = good && (unsigned char)*c >= ' ' && *c != 0x7f;
    }
    if (!good) {
        step_answer_fail(a, STEP_CODE_FAILED,
                         "file: `%s` is a part of a file's name: without \"/\"%s and control "
                         "characters, at most %d bytes; it is \"%.60s\"",
                         which, first ? ", a dot at its beginning" : "", PART_MAX, text);
    }
    return good;
}

static bool read_request(struct note *n, json_t *request, struct step_answer *a) {
    json_error_t why;
    char hash[65];
    n->prefix = n->suffix = "";
    if (json_unpack_ex(request, &why, 0, "{s:s, s:s%, s?:s, s?:s !}", "folder", &n->folder,
                       "content", &n->content, &n->len, "prefix", &n->prefix, "suffix",
                       &n->suffix) != 0) {
        step_answer_fail(a, STEP_CODE_FAILED, "file: the request: %s", why.text);
        return false;
    }
    if (!n->folder[0]) {
        step_answer_fail(a, STEP_CODE_FAILED, "file: `folder` is empty; \".\" is the step's own");
        return false;
    }
    sha256_hex(n->content, n->len, hash);
    snprintf(n->name, sizeof n->name, "%.100s%.*s%.100s", n->prefix, (int)DIGITS, hash, n->suffix);
    return check_part(a, "prefix", n->prefix, true) && check_part(a, "suffix", n->suffix, false);
}

static void put_result(const struct note *n, struct step_answer *a) {
    struct json_out j;
    size_t len = strlen(n->folder);
    char *path = str_format("%s%s%s", n->folder, n->folder[len - 1] == '/' ? "" : "/", n->name);
    json_out_init(&j, &a->output, 0);
    json_out_object(&j);
    json_out_member_string(&j, "path", path);
    json_out_member_string(&j, "name", n->name);
    json_out_member_count(&j, "bytes", n->len);
    json_out_member_string(&j, "status", n->created ? "created" : "already_exists");
    json_out_object_end(&j);
    buf_putc(&a->output, '\n');
    free(path);
    a->code = STEP_CODE_DONE;
}

void file_step(struct loop *loop, json_t *request, const struct step_given *given,
               struct step_answer *answer) {
    struct note n = {.dir = -1};
    (void)loop;
    (void)given;
    if (!read_request(&n, request, answer)) {
        return;
    }
    hardy_error_init(&n.error, sizeof n.error);
    n.dir = open_folder(n.folder, &n.error);
    snprintf(n.at, sizeof n.at, "/proc/self/fd/%d/%s", n.dir, n.name);
    hardy_status status = n.dir >= 0 ? keep(&n) : n.error.status;
    if (status == HARDY_OK) {
        put_result(&n, answer);
    } else {
        step_answer_fail(answer,
                         hardy_status_class_of(status) == HARDY_CLASS_RETRY ? STEP_CODE_PASSING
                                                                            : STEP_CODE_FAILED,
                         "file: folder %.200s: %s", n.folder, n.error.message);
    }
    if (n.dir >= 0) {
        close(n.dir);
    }
}
