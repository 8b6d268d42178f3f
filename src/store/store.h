/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_STORE_H
#define STORE_STORE_H
/*
 * The store: rows (kind, key) -> fence and value, changed only by batches of conditional row
 * operations. A batch is applied whole or not at all; a failed condition undoes its batch only.
 * When `done` is called with HARDY_OK the batch is on stable storage.
 *
 * Implementations: sqlite.c (one store thread, group commit, under the writer lease of lease.h) and
 * memory.c (the reference).
 *
 * Every row carries a fence: a number its owner knows. Writers name the fence they expect, so that
 * an owner that was taken over cannot write any more.
 *
 * A store belongs to the process that opened it: a forked child must not use it.
 */
#include "base/buf.h"
#include <hardy/env.h>

struct store;

enum store_op_kind {
    STORE_INSERT, /* the row must not exist */
    STORE_UPDATE, /* the row must exist with fence == if_fence; becomes `fence` */
    STORE_PUT,    /* whether it exists or not */
    STORE_DELETE, /* with fence == if_fence; a missing row is fine */
    STORE_REQUIRE /* changes nothing; the row must exist with fence == if_fence */
};
#define STORE_ANY_FENCE (-1) /* as if_fence: whatever the row's fence is */

#define STORE_KIND_MAX 32
#define STORE_KEY_MAX 512
#define STORE_VALUE_MAX ((size_t)16 << 20)

struct store_op {
    enum store_op_kind kind;
    const char *row_kind; /* "action", "run", "step", ...; 1 to 32 bytes; copied by submit */
    const char *key;      /* UTF-8, 1 to 512 bytes; copied */
    int64_t if_fence;
    int64_t fence;     /* the row's new fence, 0 or more */
    const void *value; /* copied; UTF-8 JSON by convention; at most 16 MiB */
    size_t len;
    /* Wall, 0 = never: retention removes the row some time afterwards. Until then it is there like
     * any other; whoever cares looks at `expires`. */
    int64_t expires;
    int64_t changed; /* wall of the write, for copies of rows; 0 = now */
};

struct store_row { /* strings are malloc'd, taken; store_row_free() */
    char *kind, *key;
    int64_t fence;
    char *value; /* NUL-terminated behind len */
    size_t len;
    int64_t changed; /* wall of the last write */
    int64_t expires;
};
void store_row_free(struct store_row *row);

struct store_options {
    const char *path;           /* of the database file, its directory must exist; NULL = memory */
    bool create;                /* make the file (0600) when it is not there */
    bool read_only;             /* no store thread, no write; batches are refused with E_READONLY */
    int64_t (*wall)(void *ctx); /* NULL = the kernel's */
    void *wall_ctx;
    const char *purpose; /* written into the lock file beside the pid: "exec", "run" */
    const char *vfs;     /* SQLite VFS to use, NULL = default (fault injection in tests) */
    size_t log_max;      /* the log is written back when it is larger; 0 = 4 MiB */
    /* For a process that is to outlive a full disk: what finds no room waits for this long, in its
     * order, and is written when there is room again; E_NOSPACE afterwards. 0 = at once, for a
     * command that a person waits for. See store_health(). */
    int64_t pause_on_full;
};

/* E_NOT_FOUND (not there, and create is false), E_CORRUPT (not a database of hardy's, or damaged:
 * the file is left untouched), E_NEWER (schema; untouched too), E_READONLY, E_NOSPACE, E_IO,
 * E_UNSUPPORTED (network file system), E_DEADLINE (another process held the writer lease for ten
 * seconds; named). `error` names the path. */
hardy_status store_open(const struct store_options *options, struct store **out,
                        hardy_error *error);
/* Waits for the batches already submitted, at most five seconds; what is unfinished then gets
 * E_CLOSED (it may be stored or not). Afterwards no `done` is called. Not from inside a `done`. */
void store_close(struct store *store);

/*
 * Called once for each batch, on the store's thread (sqlite) or in submit (memory); for a batch
 * that is refused unread (E_INVALID, E_TOO_LARGE, E_NOMEM, E_READONLY, E_CLOSED, E_FULL: too much
 * waits already) in submit, for one given up by store_close() there. It must not block; it may
 * submit, and what it submits is applied after it has returned.
 *
 * `failed` = the index of the operation whose condition did not hold, -1 = none. E_EXISTS: an
 * insert found its row; E_FENCED: a fence did not match, or the row is missing. E_TIMEOUT (another
 * program keeps the database locked): nothing was stored. E_NOSPACE (after pause_on_full), E_NOMEM:
 * not acknowledged, a later batch may succeed. E_IO, E_CORRUPT, E_NEWER: the store has failed,
 * nothing is acknowledged any more until it is opened again. What was not acknowledged in one of
 * these last ways may be found later all the same, whole: the disk may have got it.
 */
typedef void (*store_done)(void *ctx, hardy_status status, int failed, const hardy_error *error);
/* Copies everything, returns at once; the order of submission is the order of application. */
void store_submit(struct store *store, const struct store_op *ops, size_t count, store_done done,
                  void *ctx);
/* The same, waiting until `deadline` (monotonic): for code that is not on a loop. E_DEADLINE: the
 * batch may still be applied later; the error names who holds the writer lease. E_INVALID from
 * inside a `done`, which would wait for itself. `failed` may be NULL. */
hardy_status store_apply(struct store *store, const struct store_op *ops, size_t count,
                         int64_t deadline, int *failed, hardy_error *error);

/* Of the database file, without links; NULL = in memory. Borrowed. */
const char *store_path(const struct store *store);

/* Whether what was submitted waits for the writer lease of another process, and of which, for an
 * error text: "pid 4711 (run)". Any thread, at once. */
bool store_holder(struct store *store, char *out, size_t size);

/* Reads see everything that was acknowledged before. E_NOT_FOUND. Any thread. */
hardy_status store_get(struct store *store, const char *kind, const char *key,
                       struct store_row *out, hardy_error *error);
/* Rows of a kind whose key starts with `prefix` ("" = all), in byte order of keys, after `after`
 * (NULL = from the start), at most `limit`. `fn` returns false to stop. The row is borrowed. The
 * rows are one state of the store up to 64 MiB of them; they are read before `fn` is called, so it
 * may take its time and use the store. */
hardy_status store_scan(struct store *store, const char *kind, const char *prefix,
                        const char *after, size_t limit,
                        bool (*fn)(void *ctx, const struct store_row *row), void *ctx,
                        hardy_error *error);

/* The same without values: `row->value` is empty, `row->len` is how long it is. For those who count
 * and weigh: rows of any size cost little. */
hardy_status store_scan_keys(struct store *store, const char *kind, const char *prefix,
                             const char *after, size_t limit,
                             bool (*fn)(void *ctx, const struct store_row *row), void *ctx,
                             hardy_error *error);

/* Whether it can be written now, as far as it knows: HARDY_OK; E_NOSPACE, the last write found no
 * room, and what waits is tried again (pause_on_full) or the next batch may succeed; E_IO,
 * E_CORRUPT, E_NEWER: it has failed, acknowledges nothing any more, and can still be read. `error`
 * tells why, and since when. Any thread, at once. */
hardy_status store_health(struct store *store, hardy_error *error);

/* For doctor: path, schema version, bytes of file and log, row count by kind, SQLite version,
 * synchronous as read back, integrity ("ok" or the first complaint). As JSON into `out`.
 *
 * "rows" maps each kind to its number of rows; "kinds" to {"rows", "bytes" of their values,
 * "oldest", "newest" (wall of the last write, decimal strings of nanoseconds)}. */
hardy_status store_describe(struct store *store, bool check, struct buf *out, hardy_error *error);
#endif
