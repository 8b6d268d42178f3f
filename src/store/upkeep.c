/* SPDX-License-Identifier: Apache-2.0 */
/* Copies of the SQLite file as a whole, and its replacement by one. */
#include "store/upkeep.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "io/file.h"
#include "store/sqlite_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEASE_WAIT (10 * HARDY_SECOND)

static hardy_status find(const char *path, struct place *place, hardy_error *error) {
    const struct store_options options = {.path = path};
    return place_find(&options, place, error);
}

/* A connection that cannot write, to a state that is there. */
static hardy_status open_source(const char *path, struct place *place, sqlite3 **db,
                                hardy_error *error) {
    enum place_state state;
    *db = NULL;
    hardy_status status = find(path, place, error);
    if (status == HARDY_OK) {
        status = place_look(place, &state, error);
    }
    if (status == HARDY_OK && state == PLACE_EMPTY) {
        status = fail(error, HARDY_E_NOT_FOUND, path, "there is no state here");
    }
    if (status == HARDY_OK) {
        status = connection_open(place, SQLITE_OPEN_READONLY, db, error);
    }
    if (status == HARDY_OK) {
        status = connection_check(*db, place, error);
    }
    return status;
}

hardy_status store_verify(const char *path, hardy_error *error) {
    struct place place;
    sqlite3 *db;
    char text[400];
    hardy_status status = open_source(path, &place, &db, error);
    if (status == HARDY_OK) {
        status = sql_text(db, &place, "PRAGMA quick_check(1)", text, sizeof text, error);
    }
    if (status == HARDY_OK && !str_eq(text, "ok")) {
        status = fail(error, HARDY_E_CORRUPT, path, "the database is damaged: %s", text);
    }
    sqlite3_close(db);
    return status;
}

/* --- a copy -------------------------------------------------------------------------------------
 */

static hardy_status make_private(const char *path, hardy_error *error) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        fail_errno(error, errno, path, "cannot make the file");
    }
    if (fd < 0) {
        return error ? error->status : HARDY_E_IO;
    }
    close(fd);
    return HARDY_OK;
}

static hardy_status sync_file(const char *path, hardy_error *error) {
    int fd = open(path, O_RDWR | O_CLOEXEC);
    hardy_status status =
        fd >= 0 && fsync(fd) == 0 ? HARDY_OK : fail_errno(error, errno, path, "cannot sync it");
    if (fd >= 0) {
        close(fd);
    }
    return status;
}

static hardy_status copy_into(sqlite3 *db, const struct place *place, const char *to,
                              hardy_error *error) {
    sqlite3_stmt *copy = NULL;
    /* Of the copy, where the source is without it; a source that has it refuses to be told. */
    (void)sqlite3_exec(db, "PRAGMA auto_vacuum=INCREMENTAL", NULL, NULL, NULL);
    int rc = sqlite3_prepare_v2(db, "VACUUM INTO ?1", -1, &copy, NULL);
    rc = rc == SQLITE_OK ? sqlite3_bind_text(copy, 1, to, -1, SQLITE_STATIC) : rc;
    rc = rc == SQLITE_OK ? sqlite3_step(copy) : rc;
    hardy_status status = HARDY_OK;
    if ((rc & 0xff) == SQLITE_FULL) {
        status = fail(error, HARDY_E_NOSPACE, to, "no space is left for the copy");
    } else if (rc != SQLITE_DONE) {
        status = sql_fail(db, place, rc, "copy the state", error);
    }
    sqlite3_finalize(copy);
    return status;
}

/* The state at `from` as one whole, synced file at `temporary`; what is there of it after a failure
 * is removed. */
static hardy_status copy_file(const char *from, const char *temporary, hardy_error *error) {
    struct place place;
    sqlite3 *db;
    hardy_status status = open_source(from, &place, &db, error);
    if (status == HARDY_OK) {
        status = make_private(temporary, error);
    }
    if (status == HARDY_OK) {
        status = copy_into(db, &place, temporary, error);
        if (status == HARDY_OK) {
            status = sync_file(temporary, error);
        }
        if (status != HARDY_OK) {
            unlink(temporary);
        }
    }
    sqlite3_close(db);
    return status;
}

static char *temporary_beside(const char *path) {
    return str_format("%s.tmp.%ld", path, (long)getpid());
}

hardy_status store_backup(const char *path, const char *to, bool replace, hardy_error *error) {
    struct stat ours, theirs;
    bool there = stat(to, &theirs) == 0;
    if (there && stat(path, &ours) == 0 && ours.st_dev == theirs.st_dev &&
        ours.st_ino == theirs.st_ino) {
        return fail(error, HARDY_E_INVALID, to, "that is the state itself");
    }
    if (there && !S_ISREG(theirs.st_mode)) {
        return fail(error, HARDY_E_INVALID, to, "not a file: a backup is one file");
    }
    if (there && !replace) {
        return fail(error, HARDY_E_EXISTS, to, "is there already");
    }
    char *temporary = temporary_beside(to);
    hardy_status status =
        temporary ? copy_file(path, temporary, error) : fail(error, HARDY_E_NOMEM, to, "no memory");
    /* Without `replace`, link() refuses what somebody has made there meanwhile. */
    if (status == HARDY_OK && (replace ? rename(temporary, to) : link(temporary, to)) != 0) {
        status = fail_errno(error, errno, to, "cannot give the backup its name");
    }
    if (temporary && (status != HARDY_OK || !replace)) {
        unlink(temporary);
    }
    if (status == HARDY_OK) {
        status = file_sync_name(to, error);
    }
    free(temporary);
    return status;
}

/* --- putting one back ---------------------------------------------------------------------------
 */

static const char *const endings[] = {"", "-wal"}; /* what the state is made of */

static char *beside(const char *path, const char *suffix) {
    return str_format("%s%s", path, suffix);
}

/* Second names for what is there, so that it is kept whatever happens to the first ones. */
static hardy_status keep(const char *path, char *kept, size_t size, hardy_error *error) {
    char when[40];
    size_t length = 0;
    clock_format_wall(clock_wall(), when);
    for (const char *c = when; *c && *c != '.'; c++) { /* 20261123T010203 */
        when[length] = *c;
        length += *c != '-' && *c != ':';
    }
    when[length] = '\0';
    kept[0] = '\0';
    if (!file_exists(path)) {
        return HARDY_OK;
    }
    int n = 0;
    do { /* two in one second */
        char more[16] = "";
        if (n > 0) {
            snprintf(more, sizeof more, "-%d", n + 1);
        }
        if ((size_t)snprintf(kept, size, "%s.before-%s%s", path, when, more) >= size) {
            return fail(error, HARDY_E_INVALID, path, "the path is too long");
        }
    } while (file_exists(kept) && ++n < 1000);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char *from = beside(path, endings[i]), *to = beside(kept, endings[i]);
        bool linked = from && to && (link(from, to) == 0 || (i > 0 && errno == ENOENT));
        int why = errno;
        free(from);
        free(to);
        if (!linked) {
            return fail_errno(error, why, kept, "cannot keep what is there now");
        }
    }
    return HARDY_OK;
}

/* The log belongs to the old file and would be played into the new one, so there has to be a moment
 * with neither of them. In that moment stands what every hardy refuses. */
static hardy_status replace(const char *path, const char *temporary, const char *kept,
                            hardy_error *error) {
    static const char *const old[] = {"-wal", "-shm", "-journal"};
    char text[4600];
    int len = snprintf(text, sizeof text,
                       PLACE_REPLACED
                       " by a backup. If this text stays, "
                       "that was cut off:\nrestore the backup again. What was here before is %s\n",
                       kept);
    hardy_status status = file_write(path, text, (size_t)len, true, error);
    for (size_t i = 0; i < sizeof old / sizeof *old && status == HARDY_OK; i++) {
        char *name = beside(path, old[i]);
        status = name ? file_remove(name, error) : fail(error, HARDY_E_NOMEM, path, "no memory");
        free(name);
    }
    if (status == HARDY_OK) {
        status = file_sync_name(path, error);
    }
    if (status == HARDY_OK && rename(temporary, path) != 0) {
        status = fail_errno(error, errno, path, "cannot put the backup in its place");
    }
    return status == HARDY_OK ? file_sync_name(path, error) : status;
}

hardy_status store_restore(const char *from, const char *path, char *kept, size_t size,
                           hardy_error *error) {
    struct place place;
    struct lease lease = {.fd = -1};
    kept[0] = '\0';
    hardy_status status = find(path, &place, error);
    if (status == HARDY_OK) {
        status = lease_open(&lease, place.path, "state restore", error);
    }
    if (status == HARDY_OK) {
        status = lease_shut(&lease, error);
    }
    if (status == HARDY_OK) {
        status = lease_take_within(&lease, LEASE_WAIT, error);
    }
    char *temporary = status == HARDY_OK ? temporary_beside(place.path) : NULL;
    if (status == HARDY_OK) {
        status = temporary ? copy_file(from, temporary, error)
                           : fail(error, HARDY_E_NOMEM, path, "no memory");
    }
    if (status == HARDY_OK) {
        status = keep(place.path, kept, size, error);
        if (status == HARDY_OK) {
            status = replace(place.path, temporary, kept[0] ? kept : "nothing", error);
        }
        unlink(temporary);
    }
    free(temporary);
    lease_close(&lease);
    return status;
}

hardy_status store_check_unused(const char *path, hardy_error *error) {
    struct place place;
    struct lease lease = {.fd = -1};
    hardy_status status = find(path, &place, error);
    if (status == HARDY_OK) {
        status = lease_open(&lease, place.path, "state", error);
    }
    if (status == HARDY_OK) {
        status = lease_shut(&lease, error);
    }
    lease_close(&lease);
    return status;
}

size_t store_users(const char *path, pid_t *pids, size_t max) {
    struct place place;
    struct lease lease = {.fd = -1};
    size_t count = 0;
    char *name = find(path, &place, NULL) == HARDY_OK ? beside(place.path, "-lock") : NULL;
    if (name && file_exists(name) && lease_open(&lease, place.path, "state", NULL) == HARDY_OK) {
        count = lease_users(&lease, pids, max);
    }
    lease_close(&lease);
    free(name);
    return count;
}

/* --- packing ------------------------------------------------------------------------------------
 */

static void waits(void *ctx) {
    (void)ctx;
}

static hardy_status pack(struct writer *w, hardy_error *error) {
    /* A transaction of its own first: it repairs what a failed sync has left in the log. */
    hardy_status status = writer_begin(w, error);
    if (status == HARDY_OK) {
        status = writer_commit(w, error);
    }
    int rc = SQLITE_OK;
    if (status == HARDY_OK) {
        /* Not in memory: a state may be larger than that. */
        rc = sqlite3_exec(w->db, "PRAGMA temp_store=FILE; PRAGMA auto_vacuum=INCREMENTAL; VACUUM;",
                          NULL, NULL, NULL);
    }
    if (status == HARDY_OK && rc == SQLITE_OK) {
        rc = sqlite3_wal_checkpoint_v2(w->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        rc = (rc & 0xff) == SQLITE_BUSY ? SQLITE_OK : rc; /* a reader; the next one does it */
    }
    return status == HARDY_OK && rc != SQLITE_OK
               ? sql_fail(w->db, w->place, rc, "pack the state", error)
               : status;
}

hardy_status store_compact(const char *path, int64_t wait, hardy_error *error) {
    struct place place;
    struct lease lease = {.fd = -1};
    struct writer writer = {0};
    sqlite3 *db = NULL;
    hardy_status status = find(path, &place, error);
    if (status == HARDY_OK) {
        status =
            connection_open_writer(&place, false, "state compact", &lease, waits, NULL, &db, error);
    }
    if (status == HARDY_OK) {
        status = writer_start(&writer, &place, &lease, db, 0, error);
        if (status == HARDY_OK) {
            status = lease_take_within(&lease, wait, error);
        }
        if (status == HARDY_OK) {
            status = pack(&writer, error);
            if (status == HARDY_E_IO) {
                hardy_error ignored;
                hardy_error_init(&ignored, sizeof ignored);
                (void)lease_mark_unsynced(&lease, true, &ignored);
            }
            writer_rollback(&writer);
            lease_give(&lease);
        }
        writer_stop(&writer);
    }
    lease_close(&lease);
    return status;
}

/* --- who reads ----------------------------------------------------------------------------------
 */

/* SQLite's locks for readers of the log: five bytes of the file that its processes share. */
#define READERS_FROM 123
#define READERS 5

size_t store_log_readers(const char *path, pid_t *pids, size_t max) {
    size_t count = 0;
    struct place place;
    bool found = find(path, &place, NULL) == HARDY_OK;
    char *name = found ? beside(place.path, "-shm") : NULL;
    int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    for (int i = 0; i < READERS && fd >= 0; i++) {
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = READERS_FROM + i, .l_len = 1};
        bool held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
        bool told = false;
        for (size_t k = 0; held && k < count && k < max; k++) {
            told = told || pids[k] == lock.l_pid;
        }
        if (held && !told) {
            if (count < max) {
                pids[count] = lock.l_pid;
            }
            count++;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    free(name);
    return count;
}
