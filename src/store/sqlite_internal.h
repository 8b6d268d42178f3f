/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_SQLITE_INTERNAL_H
#define STORE_SQLITE_INTERNAL_H
/*
 * The parts of the SQLite store: the file and its connections (sqlite_file.c), what is written
 * inside the lease (sqlite_write.c), reads (sqlite_read.c); sqlite.c is the thread that puts them
 * together.
 */
#include "store/internal.h"
#include "store/lease.h"
#include <pthread.h>
#include <sqlite3.h>

/*
 * The tests' seam. A build of this room with STORE_BUG set is wrong on purpose, to show that the
 * crash tests notice: 1 does not sync commits, 2 acknowledges before the commit, 3 keeps the
 * operations before the one whose condition failed.
 */
#ifndef STORE_BUG
#define STORE_BUG 0
#endif
#define STORE_SYNCHRONOUS (STORE_BUG == 1 ? 1 : 2) /* NORMAL : FULL */

#define SCHEMA_VERSION 1
#define AUTO_VACUUM_INCREMENTAL 2

/* --- the file (sqlite_file.c) ------------------------------------------------------------------
 */

struct place {
    char path[4096]; /* absolute, without symbolic links: the log and the lock lie beside it */
    char vfs[64];    /* "" = the default, which alone knows real files */
};
hardy_status place_find(const struct store_options *options, struct place *place,
                        hardy_error *error);

enum place_state {
    PLACE_EMPTY, /* not there, or nothing in it */
    PLACE_BEGUN, /* its making was cut off, a rollback is due */
    PLACE_READY  /* a database of hardy's */
};
/* How a file begins that stands in for a state while it is replaced: store_restore(). */
#define PLACE_REPLACED "The state that was here is being replaced"
/* Without changing anything, and through the VFS: closing a descriptor of one's own would drop
 * every lock that this process has on the file. E_CORRUPT, E_NEWER, E_IO, E_READONLY. */
hardy_status place_look(const struct place *place, enum place_state *state, hardy_error *error);

/* Turns a SQLite result into status and text: "cannot `what`: ...". `db` may be NULL. */
hardy_status sql_fail(sqlite3 *db, const struct place *place, int rc, const char *what,
                      hardy_error *error);
/* A connection for reading. */
hardy_status connection_open(const struct place *place, int flags, sqlite3 **out,
                             hardy_error *error);
/* That it is ours, and of this version. */
hardy_status connection_check(sqlite3 *db, const struct place *place, hardy_error *error);
/* The first column of the first row as a number / as text (cut; "" when there is none). */
hardy_status sql_number(sqlite3 *db, const struct place *place, const char *sql, int64_t *out,
                        hardy_error *error);
hardy_status sql_text(sqlite3 *db, const struct place *place, const char *sql, char *out,
                      size_t size, hardy_error *error);
/* A connection for writing, the database made or finished first if need be, inside the lease
 * (opened here). E_NOT_FOUND when there is none and `create` is false. */
hardy_status connection_open_writer(const struct place *place, bool create, const char *purpose,
                                    struct lease *lease, void (*waits)(void *ctx), void *ctx,
                                    sqlite3 **out, hardy_error *error);

/* --- writing (sqlite_write.c): the store thread, inside the lease -------------------------------
 */

enum write_sql {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_SAVEPOINT,
    SQL_RELEASE,
    SQL_UNDO,
    SQL_VERSION,
    SQL_FENCE,
    SQL_INSERT,
    SQL_UPDATE,
    SQL_PUT,
    SQL_DELETE,
    SQL_EXPIRED,
    SQL_PAGES,
    SQL_FREE,
    SQL_SHRINK,
    SQL_COUNT
};
struct writer {
    const struct place *place;
    struct lease *lease;
    sqlite3 *db;
    sqlite3_stmt *sql[SQL_COUNT];
    bool failed;       /* what the disk did makes this connection unusable */
    int log_frames;    /* in the log after the last commit */
    int log_max;       /* frames */
    int checkpoint_at; /* frames */
    bool gives_back;   /* the file can be made shorter, a portion at a time */
    bool removed;      /* rows, since the last look at the free pages */
    bool shrinking;    /* there were many free pages, and there are still some */
};
hardy_status writer_start(struct writer *w, const struct place *place, struct lease *lease,
                          sqlite3 *db, size_t log_max, hardy_error *error); /* takes `db` */
void writer_stop(struct writer *w);
hardy_status writer_begin(struct writer *w, hardy_error *error);
/* Applies one batch or undoes it; its status tells. An error is one of the whole transaction. */
hardy_status writer_apply(struct writer *w, struct batch *batch, int64_t wall, hardy_error *error);
/* Removes expired rows; `more`: there may be others. */
hardy_status writer_purge(struct writer *w, int64_t wall, bool *more, hardy_error *error);
/* Gives a portion of the free pages back, when they have become many; see `shrinking`. */
hardy_status writer_shrink(struct writer *w, hardy_error *error);
hardy_status writer_commit(struct writer *w, hardy_error *error);
void writer_rollback(struct writer *w);
/* Writes the log back when it has become long. */
hardy_status writer_checkpoint(struct writer *w, hardy_error *error);
/* Whether a row has expired, whether there are many free pages; also outside the lease. */
bool writer_expired(struct writer *w, int64_t wall);
bool writer_has_free(struct writer *w);

/* --- reading (sqlite_read.c): any thread ---------------------------------------------------------
 */

struct reader;
struct readers {
    const struct place *place;
    pthread_mutex_t mutex;
    struct reader *idle; /* connections kept for the next read, without a transaction */
    unsigned count;
};
void readers_init(struct readers *r, const struct place *place);
void readers_free(struct readers *r);
hardy_status readers_get(struct readers *r, const char *kind, const char *key,
                         struct store_row *out, hardy_error *error);
hardy_status readers_scan(struct readers *r, const char *kind, const char *prefix,
                          const char *after, size_t limit, bool values, struct rows *out,
                          hardy_error *error);
/* Opens and checks one: for a store without a writer. */
hardy_status readers_try(struct readers *r, hardy_error *error);
struct json_out;
/* Members of the object that is open in `j`. */
hardy_status readers_describe(struct readers *r, bool check, struct json_out *j,
                              hardy_error *error);
#endif
