/* SPDX-License-Identifier: Apache-2.0 */
#include "store/lease.h"
#include "base/error.h"
#include "base/str.h"
#include "io/lock.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LEASE 0 /* the bytes that are locked */
#define QUEUE 1

/* What the file says: the holder's text, padded with NUL, then one byte. */
struct note {
    char holder[96];
    char unsynced;
};

hardy_status lease_open(struct lease *l, const char *database, const char *purpose,
                        hardy_error *error) {
    *l = (struct lease){.fd = -1};
    if ((size_t)snprintf(l->path, sizeof l->path, "%s-lock", database) >= sizeof l->path) {
        return fail(error, HARDY_E_INVALID, database, "the path has more than %zu bytes",
                    sizeof l->path - sizeof "-lock");
    }
    snprintf(l->holder, sizeof l->holder, "pid %ld (%.64s)", (long)getpid(), purpose);
    l->fd = lock_open(l->path, error);
    return l->fd >= 0 ? HARDY_OK : error ? error->status : HARDY_E_IO;
}

void lease_close(struct lease *l) {
    if (l->fd >= 0) {
        close(l->fd);
        l->fd = -1;
    }
}

static void note_read(const struct lease *l, struct note *note) {
    *note = (struct note){0};
    if (pread(l->fd, note, sizeof *note, 0) < 0) {
        *note = (struct note){0};
    }
    note->holder[sizeof note->holder - 1] = '\0';
}

hardy_status lease_take(struct lease *l, hardy_error *error) {
    hardy_status status = lock_wait(l->fd, QUEUE, error);
    if (status != HARDY_OK) {
        return status;
    }
    status = lock_wait(l->fd, LEASE, error);
    lock_release(l->fd, QUEUE);
    if (status != HARDY_OK) {
        return status;
    }
    struct note note;
    note_read(l, &note);
    l->unsynced = note.unsynced != '\0';
    /* Written only when it changes: one process alone leaves the file as it is. That it cannot be
     * written (a full disk) is no reason not to work: the text is for people. */
    if (memcmp(note.holder, l->holder, sizeof l->holder) != 0) {
        ssize_t written = pwrite(l->fd, l->holder, sizeof l->holder, 0);
        (void)written;
    }
    return HARDY_OK;
}

void lease_give(struct lease *l) {
    lock_release(l->fd, LEASE);
}

void lease_holder(const struct lease *l, char *out, size_t size) {
    struct note note;
    if (!lock_held(l->fd, LEASE)) {
        str_copy(out, size, "nobody");
        return;
    }
    note_read(l, &note);
    str_copy(out, size, note.holder[0] ? note.holder : "a process that has not said its name");
}

hardy_status lease_mark_unsynced(struct lease *l, bool unsynced, hardy_error *error) {
    const char mark = unsynced ? '!' : '\0';
    if (pwrite(l->fd, &mark, 1, offsetof(struct note, unsynced)) != 1) {
        return fail_errno(error, errno, l->path, "cannot write the mark of a failed sync");
    }
    l->unsynced = unsynced;
    return HARDY_OK;
}
