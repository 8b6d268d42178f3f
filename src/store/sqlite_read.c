/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads. Each is one statement on a connection that is kept for the next one: no transaction stays
 * open between two reads, for an open one keeps the log from being begun anew. A statement that
 * starts now sees all commits that were acknowledged.
 */
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "store/sqlite_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 4 /* connections */

/* Lengths of blobs are read without the blobs. */
enum { GET, FROM, AFTER, KEYS_FROM, KEYS_AFTER, STATEMENTS };
static const char *const sql[STATEMENTS] = {
    [GET] = "SELECT key, fence, changed, expires, value FROM rows WHERE kind=?1 AND key=?2",
    [FROM] = "SELECT key, fence, changed, expires, value FROM rows"
             " WHERE kind=?1 AND key>=?2 ORDER BY key LIMIT ?3",
    [AFTER] = "SELECT key, fence, changed, expires, value FROM rows"
              " WHERE kind=?1 AND key>?2 ORDER BY key LIMIT ?3",
    [KEYS_FROM] = "SELECT key, fence, changed, expires, '', length(value) FROM rows"
                  " WHERE kind=?1 AND key>=?2 ORDER BY key LIMIT ?3",
    [KEYS_AFTER] = "SELECT key, fence, changed, expires, '', length(value) FROM rows"
                   " WHERE kind=?1 AND key>?2 ORDER BY key LIMIT ?3",
};

struct reader {
    struct reader *next;
    sqlite3 *db;
    sqlite3_stmt *statement[STATEMENTS]; /* NULL: not prepared yet */
};

void readers_init(struct readers *r, const struct place *place) {
    *r = (struct readers){.place = place};
    pthread_mutex_init(&r->mutex, NULL);
}

static void reader_close(struct reader *reader) {
    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(reader->statement[i]);
    }
    sqlite3_close(reader->db);
    free(reader);
}

void readers_free(struct readers *r) {
    while (r->idle) {
        struct reader *next = r->idle->next;
        reader_close(r->idle);
        r->idle = next;
    }
    pthread_mutex_destroy(&r->mutex);
}

static hardy_status reader_open(struct readers *r, struct reader **out, hardy_error *error) {
    struct reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        return fail(error, HARDY_E_NOMEM, r->place->path, "no memory for a connection");
    }
    hardy_status status = connection_open(r->place, SQLITE_OPEN_READONLY, &reader->db, error);
    if (status != HARDY_OK) {
        reader_close(reader);
        return status;
    }
    *out = reader;
    return HARDY_OK;
}

static hardy_status take(struct readers *r, struct reader **out, hardy_error *error) {
    pthread_mutex_lock(&r->mutex);
    struct reader *reader = r->idle;
    if (reader) {
        r->idle = reader->next;
        r->count--;
    }
    pthread_mutex_unlock(&r->mutex);
    *out = reader;
    return reader ? HARDY_OK : reader_open(r, out, error);
}

/* One on which something failed is not used again. */
static void give(struct readers *r, struct reader *reader, bool good) {
    pthread_mutex_lock(&r->mutex);
    bool keep = good && r->count < KEPT;
    if (keep) {
        reader->next = r->idle;
        r->idle = reader;
        r->count++;
    }
    pthread_mutex_unlock(&r->mutex);
    if (!keep) {
        reader_close(reader);
    }
}

static int prepare(struct reader *reader, int which, sqlite3_stmt **out) {
    sqlite3_stmt **statement = &reader->statement[which];
    int rc = *statement ? SQLITE_OK
                        : sqlite3_prepare_v3(reader->db, sql[which], -1, SQLITE_PREPARE_PERSISTENT,
                                             statement, NULL);
    *out = *statement;
    return rc;
}

static void fill_numbers(struct store_row *row, sqlite3_stmt *statement) {
    row->fence = sqlite3_column_int64(statement, 1);
    row->changed = sqlite3_column_int64(statement, 2);
    row->expires = sqlite3_column_int64(statement, 3);
}

static int bind_text(sqlite3_stmt *statement, int at, const char *text) {
    return sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);
}

hardy_status readers_get(struct readers *r, const char *kind, const char *key,
                         struct store_row *out, hardy_error *error) {
    struct reader *reader;
    hardy_status status = take(r, &reader, error);
    if (status != HARDY_OK) {
        return status;
    }
    sqlite3_stmt *get;
    int rc = prepare(reader, GET, &get);
    rc = rc == SQLITE_OK ? bind_text(get, 1, kind) : rc;
    rc = rc == SQLITE_OK ? bind_text(get, 2, key) : rc;
    rc = rc == SQLITE_OK ? sqlite3_step(get) : rc;
    if (rc == SQLITE_ROW) {
        const void *value = sqlite3_column_blob(get, 4);
        size_t len = (size_t)sqlite3_column_bytes(get, 4);
        bool copied = (value || len == 0) && row_set(out, kind, key, strlen(key), value, len);
        if (copied) {
            fill_numbers(out, get);
        }
        int reset = sqlite3_reset(get);
        rc = !copied && reset == SQLITE_OK ? SQLITE_NOMEM : reset;
        if (copied && rc != SQLITE_OK) {
            store_row_free(out);
        }
    } else if (rc == SQLITE_DONE) {
        sqlite3_reset(get);
        status = fail(error, HARDY_E_NOT_FOUND, r->place->path, "%s %s: there is no such row", kind,
                      key);
        rc = SQLITE_OK;
    }
    if (rc != SQLITE_OK) {
        status = sql_fail(reader->db, r->place, rc, "read a row", error);
    }
    give(r, reader, rc == SQLITE_OK);
    return status;
}

/* Copies the row the statement stands on; `done`: it is past the prefix, or enough for one read. */
static int collect(sqlite3_stmt *scan, const char *kind, const char *prefix, size_t limit,
                   bool values, struct rows *out, bool *done) {
    const char *key = (const char *)sqlite3_column_text(scan, 0);
    size_t key_len = (size_t)sqlite3_column_bytes(scan, 0);
    if (!key) {
        return SQLITE_NOMEM;
    }
    if (!str_starts(key, prefix)) {
        *done = true;
        return SQLITE_ROW;
    }
    const void *value = sqlite3_column_blob(scan, 4);
    size_t len = (size_t)sqlite3_column_bytes(scan, 4);
    struct store_row *row =
        value || len == 0 ? rows_add(out, kind, key, key_len, value, len) : NULL;
    if (!row) {
        return SQLITE_NOMEM;
    }
    fill_numbers(row, scan);
    row->len = values ? len : (size_t)sqlite3_column_int64(scan, 5);
    out->more = out->bytes > ROWS_BYTES_MAX && out->count < limit;
    *done = out->more;
    return SQLITE_ROW;
}

hardy_status readers_scan(struct readers *r, const char *kind, const char *prefix,
                          const char *after, size_t limit, bool values, struct rows *out,
                          hardy_error *error) {
    struct reader *reader;
    hardy_status status = take(r, &reader, error);
    if (status != HARDY_OK) {
        return status;
    }
    /* The keys with one prefix follow one another, so only the start is left to SQL. */
    bool from_prefix = !after || strcmp(after, prefix) < 0, done = false;
    sqlite3_stmt *scan;
    int which = values ? (from_prefix ? FROM : AFTER) : (from_prefix ? KEYS_FROM : KEYS_AFTER);
    int rc = prepare(reader, which, &scan);
    rc = rc == SQLITE_OK ? bind_text(scan, 1, kind) : rc;
    rc = rc == SQLITE_OK ? bind_text(scan, 2, from_prefix ? prefix : after) : rc;
    rc = rc == SQLITE_OK
             ? sqlite3_bind_int64(scan, 3, limit < INT64_MAX ? (int64_t)limit : INT64_MAX)
             : rc;
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(scan);
        rc = rc == SQLITE_ROW ? collect(scan, kind, prefix, limit, values, out, &done) : rc;
        if (done) {
            rc = SQLITE_DONE;
        }
    }
    int reset = sqlite3_reset(scan);
    rc = rc == SQLITE_DONE ? reset : rc;
    if (rc != SQLITE_OK) {
        status = sql_fail(reader->db, r->place, rc, "read rows", error);
        rows_free(out);
    }
    give(r, reader, rc == SQLITE_OK);
    return status;
}

hardy_status readers_try(struct readers *r, hardy_error *error) {
    struct reader *reader;
    sqlite3 *db = NULL;
    /* Looked at before a statement is prepared, which fails on a foreign database. */
    hardy_status status = connection_open(r->place, SQLITE_OPEN_READONLY, &db, error);
    if (status == HARDY_OK) {
        status = connection_check(db, r->place, error);
        sqlite3_close(db);
    }
    if (status == HARDY_OK) {
        status = take(r, &reader, error);
    }
    if (status == HARDY_OK) {
        give(r, reader, true);
    }
    return status;
}

/* --- description --------------------------------------------------------------------------------
 */

static void file_size(struct json_out *j, const char *name, sqlite3 *db, int which) {
    sqlite3_file *file = NULL;
    sqlite3_int64 size = 0;
    if (sqlite3_file_control(db, "main", which, &file) == SQLITE_OK && file && file->pMethods &&
        file->pMethods->xFileSize(file, &size) == SQLITE_OK) {
        json_out_key(j, name);
        json_out_int(j, size);
    }
}

#define KINDS_BYTES ((size_t)1 << 20)

/* One pass over the rows for both members. */
static hardy_status count_rows(struct readers *r, sqlite3 *db, struct json_out *j,
                               hardy_error *error) {
    sqlite3_stmt *count = NULL;
    struct buf kinds;
    struct json_out k;
    buf_init(&kinds, KINDS_BYTES);
    json_out_init(&k, &kinds, 0);
    json_out_object(&k);
    int rc = sqlite3_prepare_v2(db,
                                "SELECT kind, count(*), sum(length(value)), min(changed),"
                                " max(changed) FROM rows GROUP BY kind ORDER BY kind",
                                -1, &count, NULL);
    json_out_key(j, "rows");
    json_out_object(j);
    while (rc == SQLITE_OK && (rc = sqlite3_step(count)) == SQLITE_ROW) {
        const char *kind = (const char *)sqlite3_column_text(count, 0);
        const struct kind_figures figures = {
            sqlite3_column_int64(count, 1), sqlite3_column_int64(count, 2),
            sqlite3_column_int64(count, 3), sqlite3_column_int64(count, 4)};
        json_out_key(j, kind ? kind : "");
        json_out_int(j, figures.rows);
        kind_to_json(kind ? kind : "", &figures, &k);
        rc = SQLITE_OK;
    }
    json_out_object_end(j);
    json_out_object_end(&k);
    json_out_key(j, "kinds");
    json_out_raw(j, kinds.data && !kinds.failed ? kinds.data : "{}");
    buf_free(&kinds);
    sqlite3_finalize(count);
    return rc == SQLITE_DONE ? HARDY_OK : sql_fail(db, r->place, rc, "count the rows", error);
}

/* What the file is made of: pages, and those of them that nothing is in. */
static hardy_status count_pages(struct readers *r, sqlite3 *db, struct json_out *j,
                                hardy_error *error) {
    static const char *const names[] = {"page_size", "page_count", "freelist_count", "auto_vacuum"};
    static const char *const told[] = {"page_bytes", "pages", "free_pages", "gives_back"};
    hardy_status status = HARDY_OK;
    for (size_t i = 0; i < sizeof names / sizeof *names && status == HARDY_OK; i++) {
        char text[40];
        int64_t number = 0;
        snprintf(text, sizeof text, "PRAGMA %s", names[i]);
        status = sql_number(db, r->place, text, &number, error);
        json_out_key(j, told[i]);
        if (i == 3) {
            json_out_bool(j, number == AUTO_VACUUM_INCREMENTAL);
        } else {
            json_out_int(j, number);
        }
    }
    return status;
}

hardy_status readers_describe(struct readers *r, bool check, struct json_out *j,
                              hardy_error *error) {
    struct reader *reader;
    char text[400];
    int64_t version = 0;
    hardy_status status = take(r, &reader, error);
    if (status != HARDY_OK) {
        return status;
    }
    status = sql_number(reader->db, r->place, "PRAGMA user_version", &version, error);
    json_out_key(j, "schema");
    json_out_int(j, version);
    if (status == HARDY_OK) {
        status = sql_text(reader->db, r->place, "PRAGMA journal_mode", text, sizeof text, error);
        json_out_key(j, "journal_mode");
        json_out_string(j, text);
    }
    file_size(j, "file_bytes", reader->db, SQLITE_FCNTL_FILE_POINTER);
    file_size(j, "log_bytes", reader->db, SQLITE_FCNTL_JOURNAL_POINTER);
    if (status == HARDY_OK) {
        status = count_pages(r, reader->db, j, error);
    }
    if (status == HARDY_OK) {
        status = count_rows(r, reader->db, j, error);
    }
    if (status == HARDY_OK && check) {
        status =
            sql_text(reader->db, r->place, "PRAGMA integrity_check(1)", text, sizeof text, error);
        json_out_key(j, "integrity");
        json_out_string(j, text);
    }
    give(r, reader, status == HARDY_OK);
    return status;
}
