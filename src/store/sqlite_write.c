/* SPDX-License-Identifier: Apache-2.0 */
/* What the store thread does inside the lease: one transaction of many batches, each in a
 * savepoint; retention; writing the log back. */
#include "base/error.h"
#include "store/sqlite_internal.h"
#include <stdlib.h>
#include <string.h>

#define FRAME (4096 + 24) /* a page and its header in the log */
#define LOG_MAX ((size_t)4 << 20)
#define LOG_LONG 8 /* times log_max: readers keep it from being used anew, so wait for them */
#define READER_WAIT_MS 50
#define BUSY_MS 5000

/* Giving pages back: begun when they are many and a good part of the file, a megabyte at a time.
 * The crash tests build the room with smaller figures, for disks that they can lose often. */
#ifndef SHRINK_PAGES
#define SHRINK_PAGES 256
#define FREE_MANY 512
#define FREE_FEW 64
#endif
#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

static const char *const text[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_SAVEPOINT] = "SAVEPOINT batch",
    [SQL_RELEASE] = "RELEASE batch",
    [SQL_UNDO] = "ROLLBACK TO batch",
    [SQL_VERSION] = "PRAGMA user_version",
    [SQL_FENCE] = "SELECT fence FROM rows WHERE kind=?1 AND key=?2",
    [SQL_INSERT] = "INSERT INTO rows(kind, key, fence, changed, expires, value)"
                   " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
    [SQL_UPDATE] = "UPDATE rows SET fence=?3, changed=?4, expires=?5, value=?6"
                   " WHERE kind=?1 AND key=?2 AND ?7 IN (-1, fence)",
    [SQL_PUT] = "INSERT INTO rows(kind, key, fence, changed, expires, value)"
                " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE"
                " SET fence=?3, changed=?4, expires=?5, value=?6",
    [SQL_DELETE] = "DELETE FROM rows WHERE kind=?1 AND key=?2 AND ?7 IN (-1, fence)",
    [SQL_EXPIRED] = "SELECT kind, key, length(value) FROM rows"
                    " WHERE expires > 0 AND expires <= ?1 ORDER BY expires LIMIT 1",
    [SQL_PAGES] = "PRAGMA page_count",
    [SQL_FREE] = "PRAGMA freelist_count",
    [SQL_SHRINK] = "PRAGMA incremental_vacuum(" TEXT(SHRINK_PAGES) ")",
};

/* Anything but these leaves the connection as it was before the transaction. */
static bool passing(hardy_status status) {
    return status == HARDY_E_NOSPACE || status == HARDY_E_NOMEM || status == HARDY_E_TIMEOUT ||
           status == HARDY_E_TOO_LARGE || status == HARDY_E_READONLY;
}

static hardy_status writer_fail(struct writer *w, int rc, const char *what, hardy_error *error) {
    hardy_status status = sql_fail(w->db, w->place, rc, what, error);
    w->failed = w->failed || !passing(status);
    return status;
}

/* Runs a statement that yields no row, or whose row does not matter. */
static int step(sqlite3_stmt *statement) {
    int rc = sqlite3_step(statement);
    int reset = sqlite3_reset(statement);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? reset : rc;
}

static hardy_status run(struct writer *w, enum write_sql which, const char *what,
                        hardy_error *error) {
    int rc = step(w->sql[which]);
    return rc == SQLITE_OK ? HARDY_OK : writer_fail(w, rc, what, error);
}

/* Runs after every commit. A log that has become shorter was begun anew. */
static int log_grew(void *ctx, sqlite3 *db, const char *name, int frames) {
    struct writer *w = ctx;
    (void)db;
    (void)name;
    if (frames < w->log_frames) {
        w->checkpoint_at = w->log_max;
    }
    w->log_frames = frames;
    return SQLITE_OK;
}

hardy_status writer_start(struct writer *w, const struct place *place, struct lease *lease,
                          sqlite3 *db, size_t log_max, hardy_error *error) {
    log_max = log_max ? log_max : LOG_MAX;
    *w = (struct writer){.place = place, .lease = lease, .db = db};
    w->log_max = log_max > FRAME ? (int)(log_max / FRAME) : 1;
    w->checkpoint_at = w->log_max;
    for (int i = 0; i < SQL_COUNT; i++) {
        int rc = sqlite3_prepare_v3(db, text[i], -1, SQLITE_PREPARE_PERSISTENT, &w->sql[i], NULL);
        if (rc != SQLITE_OK) {
            return writer_fail(w, rc, "prepare a statement", error);
        }
    }
    sqlite3_wal_hook(db, log_grew, w);
    int64_t mode = 0;
    hardy_status status = sql_number(db, place, "PRAGMA auto_vacuum", &mode, error);
    w->gives_back = mode == AUTO_VACUUM_INCREMENTAL;
    return status;
}

void writer_stop(struct writer *w) {
    for (int i = 0; i < SQL_COUNT; i++) {
        sqlite3_finalize(w->sql[i]);
        w->sql[i] = NULL;
    }
    sqlite3_close(w->db);
    w->db = NULL;
}

/*
 * After a sync that failed, here or in another process, the log may hold frames that can be read
 * but are not on the disk, and the kernel counts them as clean. What is committed after them would
 * be lost with them. Writing them once more makes them wait for the next sync again.
 */
static hardy_status rewrite_log(struct writer *w, hardy_error *error) {
    sqlite3_file *log = NULL;
    sqlite3_int64 size = 0;
    unsigned char *piece = malloc(FRAME * 16);
    int rc = piece ? SQLITE_OK : SQLITE_NOMEM;
    if (rc == SQLITE_OK) {
        rc = sqlite3_file_control(w->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    }
    if (rc == SQLITE_OK && log && log->pMethods) {
        rc = log->pMethods->xFileSize(log, &size);
        for (sqlite3_int64 at = 0; at < size && rc == SQLITE_OK; at += FRAME * 16) {
            int len = size - at < FRAME * 16 ? (int)(size - at) : FRAME * 16;
            rc = log->pMethods->xRead(log, piece, len, at);
            rc = rc == SQLITE_OK ? log->pMethods->xWrite(log, piece, len, at) : rc;
        }
        rc = rc == SQLITE_OK ? log->pMethods->xSync(log, SQLITE_SYNC_NORMAL) : rc;
    }
    free(piece);
    if (rc != SQLITE_OK) {
        return writer_fail(w, rc, "repair the log after a failed sync", error);
    }
    return lease_mark_unsynced(w->lease, false, error);
}

static hardy_status check_version(struct writer *w, hardy_error *error) {
    sqlite3_stmt *version = w->sql[SQL_VERSION];
    int rc = sqlite3_step(version);
    int64_t found = rc == SQLITE_ROW ? sqlite3_column_int64(version, 0) : -1;
    int reset = sqlite3_reset(version);
    if (rc != SQLITE_ROW || reset != SQLITE_OK) {
        return writer_fail(w, reset, "read the schema's version", error);
    }
    /* A newer hardy may have changed the schema while this one was running. */
    hardy_status status =
        found == SCHEMA_VERSION ? HARDY_OK : connection_check(w->db, w->place, error);
    w->failed = w->failed || status != HARDY_OK;
    return status;
}

hardy_status writer_begin(struct writer *w, hardy_error *error) {
    int moved = 0;
    if (sqlite3_file_control(w->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved) {
        w->failed = true;
        return fail(error, HARDY_E_IO, w->place->path,
                    "the state was removed or replaced while it was in use");
    }
    hardy_status status = run(w, SQL_BEGIN, "begin to write", error);
    if (status == HARDY_OK) {
        status = check_version(w, error);
    }
    if (status == HARDY_OK && w->lease->unsynced) {
        status = rewrite_log(w, error);
    }
    return status;
}

/* --- one batch ---------------------------------------------------------------------------------
 */

static int bind_name(sqlite3_stmt *statement, const struct store_op *op) {
    int rc = sqlite3_bind_text(statement, 1, op->row_kind, -1, SQLITE_STATIC);
    return rc == SQLITE_OK ? sqlite3_bind_text(statement, 2, op->key, -1, SQLITE_STATIC) : rc;
}

static int bind_row(sqlite3_stmt *statement, const struct store_op *op, int64_t wall) {
    int rc = bind_name(statement, op);
    rc = rc == SQLITE_OK ? sqlite3_bind_int64(statement, 3, op->fence) : rc;
    rc = rc == SQLITE_OK ? sqlite3_bind_int64(statement, 4, op->changed ? op->changed : wall) : rc;
    rc = rc == SQLITE_OK ? sqlite3_bind_int64(statement, 5, op->expires) : rc;
    return rc == SQLITE_OK ? sqlite3_bind_blob(statement, 6, op->value, (int)op->len, SQLITE_STATIC)
                           : rc;
}

/* The row's fence, STORE_MISSING when there is none. */
static int read_fence(struct writer *w, const struct store_op *op, int64_t *fence) {
    sqlite3_stmt *statement = w->sql[SQL_FENCE];
    int rc = bind_name(statement, op);
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        *fence = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : STORE_MISSING;
        int reset = sqlite3_reset(statement);
        rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? reset : rc;
    }
    return rc;
}

/* Runs a change of the row; `changed`: it met its condition. */
static int change(struct writer *w, enum write_sql which, const struct store_op *op, int64_t wall,
                  bool *changed) {
    sqlite3_stmt *statement = w->sql[which];
    int rc = which == SQL_DELETE ? bind_name(statement, op) : bind_row(statement, op, wall);
    if (rc == SQLITE_OK && (which == SQL_DELETE || which == SQL_UPDATE)) {
        rc = sqlite3_bind_int64(statement, 7, op->if_fence);
    }
    rc = rc == SQLITE_OK ? step(statement) : rc;
    *changed = rc == SQLITE_OK && sqlite3_changes(w->db) > 0;
    w->removed = w->removed || (*changed && which == SQL_DELETE);
    return rc;
}

/* A SQLite result; `*refused` is E_EXISTS or E_FENCED where the condition does not hold. */
static int apply_op(struct writer *w, const struct store_op *op, int64_t wall,
                    hardy_status *refused, int64_t *found) {
    static const enum write_sql sql[] = {[STORE_INSERT] = SQL_INSERT,
                                         [STORE_UPDATE] = SQL_UPDATE,
                                         [STORE_PUT] = SQL_PUT,
                                         [STORE_DELETE] = SQL_DELETE};
    int rc = SQLITE_OK;
    bool changed = false;
    *refused = HARDY_OK;
    if (op->kind != STORE_REQUIRE) {
        rc = change(w, sql[op->kind], op, wall, &changed);
    }
    if (rc != SQLITE_OK || changed) {
        return rc;
    }
    rc = read_fence(w, op, found);
    bool there = *found != STORE_MISSING;
    if (op->kind == STORE_INSERT) {
        *refused = HARDY_E_EXISTS;
    } else if (op->kind == STORE_DELETE) {
        *refused = there ? HARDY_E_FENCED : HARDY_OK;
    } else if (op->kind == STORE_UPDATE) {
        *refused = HARDY_E_FENCED;
    } else {
        bool fits = op->if_fence == STORE_ANY_FENCE || op->if_fence == *found;
        *refused = there && fits ? HARDY_OK : HARDY_E_FENCED;
    }
    return rc;
}

hardy_status writer_apply(struct writer *w, struct batch *batch, int64_t wall, hardy_error *error) {
    hardy_status status = run(w, SQL_SAVEPOINT, "begin a batch", error);
    hardy_status refused = HARDY_OK;
    for (size_t i = 0; i < batch->count && status == HARDY_OK && refused == HARDY_OK; i++) {
        int rc = apply_op(w, &batch->ops[i], wall, &refused, &batch->found);
        if (rc != SQLITE_OK) {
            status = writer_fail(w, rc, "change a row", error);
        } else if (refused != HARDY_OK) {
            batch->failed = (int)i;
        }
    }
    batch->status = refused;
    if (status == HARDY_OK && refused != HARDY_OK && STORE_BUG != 3) {
        status = run(w, SQL_UNDO, "undo a batch", error);
    }
    return status == HARDY_OK ? run(w, SQL_RELEASE, "end a batch", error) : status;
}

/* --- retention ---------------------------------------------------------------------------------
 */

/* The row that expired first: SQLITE_ROW with its name and size in `op`, which points into the
 * statement until that is reset. */
static int find_expired(struct writer *w, int64_t wall, struct store_op *op) {
    sqlite3_stmt *statement = w->sql[SQL_EXPIRED];
    int rc = sqlite3_bind_int64(statement, 1, wall);
    rc = rc == SQLITE_OK ? sqlite3_step(statement) : rc;
    if (rc == SQLITE_ROW) {
        op->row_kind = (const char *)sqlite3_column_text(statement, 0);
        op->key = (const char *)sqlite3_column_text(statement, 1);
        op->len = (size_t)sqlite3_column_int64(statement, 2);
        if (!op->row_kind || !op->key) {
            rc = SQLITE_NOMEM;
        }
    }
    return rc;
}

bool writer_expired(struct writer *w, int64_t wall) {
    struct store_op op;
    int rc = find_expired(w, wall, &op);
    sqlite3_reset(w->sql[SQL_EXPIRED]);
    return rc == SQLITE_ROW;
}

hardy_status writer_purge(struct writer *w, int64_t wall, bool *more, hardy_error *error) {
    size_t bytes = 0;
    int rc = SQLITE_ROW;
    for (int i = 0; i < PURGE_ROWS && bytes < PURGE_BYTES && rc == SQLITE_ROW; i++) {
        struct store_op op = {.kind = STORE_DELETE, .if_fence = STORE_ANY_FENCE};
        bool changed;
        rc = find_expired(w, wall, &op);
        if (rc == SQLITE_ROW) {
            bytes += op.len;
            int deleted = change(w, SQL_DELETE, &op, wall, &changed);
            rc = deleted == SQLITE_OK ? rc : deleted;
        }
        sqlite3_reset(w->sql[SQL_EXPIRED]);
    }
    *more = rc == SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? HARDY_OK
                                                 : writer_fail(w, rc, "remove expired rows", error);
}

/* --- giving space back ---------------------------------------------------------------------------
 */

static int number_of(sqlite3_stmt *statement, int64_t *out) {
    int rc = sqlite3_step(statement);
    *out = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    int reset = sqlite3_reset(statement);
    return rc == SQLITE_ROW ? reset : rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Many, or still some when it was begun: not at the edge of one figure, back and forth. */
static int look_at_free(struct writer *w, bool *due) {
    int64_t pages = 0, left = 0;
    int rc = w->gives_back ? number_of(w->sql[SQL_FREE], &left) : SQLITE_OK;
    rc = rc == SQLITE_OK && left > FREE_FEW ? number_of(w->sql[SQL_PAGES], &pages) : rc;
    *due = rc == SQLITE_OK && (w->shrinking ? left > FREE_FEW && left > pages / 16
                                            : left > FREE_MANY && left > pages / 4);
    return rc;
}

bool writer_has_free(struct writer *w) {
    bool due = false;
    return look_at_free(w, &due) == SQLITE_OK && due;
}

hardy_status writer_shrink(struct writer *w, hardy_error *error) {
    bool due = false;
    int rc = look_at_free(w, &due);
    w->removed = false;
    w->shrinking = due;
    if (due) {
        while ((rc = sqlite3_step(w->sql[SQL_SHRINK])) == SQLITE_ROW) {
        }
        int reset = sqlite3_reset(w->sql[SQL_SHRINK]);
        rc = rc == SQLITE_DONE ? reset : rc;
        rc = rc == SQLITE_OK ? look_at_free(w, &w->shrinking) : rc;
        if (!w->shrinking) {
            w->checkpoint_at = 0; /* the file is cut when the log has been written back */
        }
    }
    return rc == SQLITE_OK ? HARDY_OK : writer_fail(w, rc, "give space back", error);
}

/* --- the end of a transaction --------------------------------------------------------------------
 */

hardy_status writer_commit(struct writer *w, hardy_error *error) {
    return run(w, SQL_COMMIT, "commit", error);
}

void writer_rollback(struct writer *w) {
    if (!sqlite3_get_autocommit(w->db)) {
        step(w->sql[SQL_ROLLBACK]);
    }
    if (!sqlite3_get_autocommit(w->db)) {
        w->failed = true;
    }
}

hardy_status writer_checkpoint(struct writer *w, hardy_error *error) {
    if (w->log_frames < w->checkpoint_at) {
        return HARDY_OK;
    }
    /* The log is best used again from its front: overwriting costs half of what appending does. */
    bool wait = w->log_frames / LOG_LONG >= w->log_max;
    int frames = 0, written = 0;
    sqlite3_busy_timeout(w->db, READER_WAIT_MS);
    int rc = sqlite3_wal_checkpoint_v2(
        w->db, "main", wait ? SQLITE_CHECKPOINT_TRUNCATE : SQLITE_CHECKPOINT_PASSIVE, &frames,
        &written);
    sqlite3_busy_timeout(w->db, BUSY_MS);
    /* As long as readers keep the log from being begun anew, not after every commit. */
    w->checkpoint_at = w->log_frames + w->log_max;
    if (rc == SQLITE_OK || (rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_LOCKED) {
        return HARDY_OK;
    }
    hardy_status status = writer_fail(w, rc, "write the log back", error);
    return w->failed ? status : HARDY_OK;
}
