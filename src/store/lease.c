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
#define DOOR 2
#define USER ((int64_t)1 << 32) /* and the pid */
#define USER_END (USER + ((int64_t)1 << 31))
#define SHUT_FOR (5 * HARDY_SECOND) /* no restore keeps the door shut for longer */

/* What the file says: the holder's text, padded with NUL, then one byte. */
struct note {
    char holder[96];
    char unsynced;
};

/* Through the door, which stands open but while a state is being replaced. */
static hardy_status enter(struct lease *l, hardy_error *error) {
    hardy_status status = lock_wait_for(l->fd, DOOR, SHUT_FOR, error);
    if (status == HARDY_OK) {
        status = lock_share(l->fd, USER + getpid(), error);
        lock_release(l->fd, DOOR);
    }
    return status == HARDY_E_RUNNING
               ? fail(error, status, l->path, "the state is just being replaced: try again later")
               : status;
}

hardy_status lease_open(struct lease *l, const char *database, const char *purpose,
                        hardy_error *error) {
    *l = (struct lease){.fd = -1};
    if ((size_t)snprintf(l->path, sizeof l->path, "%s-lock", database) >= sizeof l->path) {
        return fail(error, HARDY_E_INVALID, database, "the path has more than %zu bytes",
                    sizeof l->path - sizeof "-lock");
    }
    snprintf(l->holder, sizeof l->holder, "pid %ld (%.64s)", (long)getpid(), purpose);
    l->fd = lock_open(l->path, error);
    if (l->fd < 0) {
        return error ? error->status : HARDY_E_IO;
    }
    hardy_status status = enter(l, error);
    if (status != HARDY_OK) {
        lease_close(l);
    }
    return status;
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

static void taken(struct lease *l) {
    struct note note;
    note_read(l, &note);
    l->unsynced = note.unsynced != '\0';
    /* Written only when it changes: one process alone leaves the file as it is. That it cannot be
     * written (a full disk) is no reason not to work: the text is for people. */
    if (memcmp(note.holder, l->holder, sizeof l->holder) != 0) {
        ssize_t written = pwrite(l->fd, l->holder, sizeof l->holder, 0);
        (void)written;
    }
}

hardy_status lease_take(struct lease *l, hardy_error *error) {
    hardy_status status = lock_wait(l->fd, QUEUE, error);
    if (status != HARDY_OK) {
        return status;
    }
    status = lock_wait(l->fd, LEASE, error);
    lock_release(l->fd, QUEUE);
    if (status == HARDY_OK) {
        taken(l);
    }
    return status;
}

hardy_status lease_take_within(struct lease *l, int64_t span, hardy_error *error) {
    hardy_status status = lock_wait_for(l->fd, LEASE, span, error);
    if (status == HARDY_E_RUNNING) {
        char holder[128];
        lease_holder(l, holder, sizeof holder);
        return fail(error, HARDY_E_DEADLINE, l->path, "the writer lease is held by %s", holder);
    }
    if (status == HARDY_OK) {
        taken(l);
    }
    return status;
}

void lease_give(struct lease *l) {
    lock_release(l->fd, LEASE);
}

size_t lease_users(const struct lease *l, pid_t *pids, size_t max) {
    size_t count = 0;
    for (int64_t at = USER; (at = lock_first_held(l->fd, at, USER_END)) >= 0; at++) {
        if (count < max) {
            pids[count] = (pid_t)(at - USER);
        }
        count++;
    }
    return count;
}

hardy_status lease_shut(struct lease *l, hardy_error *error) {
    pid_t pids[8];
    hardy_status status = lock_wait_for(l->fd, DOOR, SHUT_FOR, error);
    if (status == HARDY_E_RUNNING) {
        return fail(error, status, l->path, "the state is just being replaced by another process");
    }
    size_t count = status == HARDY_OK ? lease_users(l, pids, sizeof pids / sizeof *pids) : 0;
    if (count > 0) {
        char names[160] = "";
        for (size_t i = 0, at = 0; i < count && i < sizeof pids / sizeof *pids; i++) {
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%ld", i ? ", " : "",
                                   (long)pids[i]);
        }
        lock_release(l->fd, DOOR);
        return fail(error, HARDY_E_RUNNING, l->path,
                    "%zu process%s the state open (pid %s): end %s first", count,
                    count > 1 ? "es have" : " has", names, count > 1 ? "them" : "it");
    }
    return status;
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
