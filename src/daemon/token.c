/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/token.h"
#include "base/error.h"
#include "base/log.h"
#include "base/prng.h"
#include "base/str.h"
#include "io/file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET 32 /* bytes */
#define LEAST 32  /* characters of one that somebody else has put there */
#define MOST 512
#define TRIES 3 /* another daemon may make or remove it at the same moment */

hardy_status token_read(const char *path, char **out, hardy_error *error) {
    char text[MOST];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return fail_errno(error, errno, path, "cannot read the token");
    }
    ssize_t len = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, text, sizeof text - 1) : -1;
    close(fd);
    if (len < 0) {
        return fail(error, HARDY_E_IO, path, "the token cannot be read from it: not a plain file");
    }
    if (st.st_uid != geteuid()) {
        return fail(error, HARDY_E_READONLY, path,
                    "the token's file belongs to user %u, and we are %u; remove it, or be that "
                    "user",
                    (unsigned)st.st_uid, (unsigned)geteuid());
    }
    text[len] = '\0';
    text[strcspn(text, " \t\r\n")] = '\0';
    if ((st.st_mode & 077) != 0 || strlen(text) < LEAST) {
        return fail(error, HARDY_E_MISMATCH, path,
                    "is no token that only its owner knows (mode 0600, %d characters or more)",
                    LEAST);
    }
    *out = str_dup(text);
    return *out ? HARDY_OK : fail(error, HARDY_E_NOMEM, path, "no memory");
}

/* Whole or not at all, and never over one that is there: a second daemon must find the first one's.
 */
static hardy_status make(const char *path, hardy_error *error) {
    unsigned char secret[SECRET];
    char text[2 * SECRET + 2];
    if (!prng_secret(secret, sizeof secret)) {
        return fail(error, HARDY_E_IO, path, "the kernel gives no random bytes for a token");
    }
    str_hex(secret, sizeof secret, text);
    text[2 * SECRET] = '\n';
    text[2 * SECRET + 1] = '\0';
    char *fresh = str_format("%s.%ld", path, (long)getpid());
    if (!fresh) {
        return fail(error, HARDY_E_NOMEM, path, "no memory");
    }
    hardy_status status = file_write(fresh, text, 2 * SECRET + 1, false, error);
    if (status == HARDY_OK && link(fresh, path) != 0 && errno != EEXIST &&
        rename(fresh, path) != 0) { /* a file system without links */
        status = fail_errno(error, errno, path, "cannot make the token");
    }
    (void)file_remove(fresh, NULL);
    free(fresh);
    return status;
}

hardy_status token_take(const char *path, char **out, hardy_error *error) {
    hardy_status status = HARDY_E_IO;
    for (int i = 0; i < TRIES; i++) {
        status = token_read(path, out, error);
        if (status == HARDY_E_MISMATCH) {
            log_event(HARDY_LOG_WARNING, "the token is made anew", "file", path, "why",
                      error ? error->message : "", NULL);
            status = file_remove(path, error);
            status = status == HARDY_OK ? HARDY_E_NOT_FOUND : status;
        }
        if (status != HARDY_E_NOT_FOUND) {
            break;
        }
        status = file_make_parent(path, error);
        status = status == HARDY_OK ? make(path, error) : status;
        if (status != HARDY_OK) {
            break;
        }
    }
    return status;
}
