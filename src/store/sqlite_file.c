/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The database file: where it lies, whose it is, how it is made, and the settings of every
 * connection to it.
 *
 * It is made in two transactions with a rollback journal: first all of the schema together with
 * application_id and user_version, then the change to WAL. So a file is empty, or it is begun (a
 * journal beside it), or it is recognised by its first hundred bytes.
 */
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

#define APPLICATION_ID 0x68726479 /* "hrdy" */
#define BUSY_MS 5000
#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

/* The value is last: what lies before it is read without the pages that a long one needs. With
 * auto_vacuum free pages can be given back, a portion at a time; it is set before anything is
 * written, but writes itself, so it is the transaction's first statement and that begins with a
 * plain BEGIN. */
static const char schema[] =
    "BEGIN;"
    "PRAGMA auto_vacuum=INCREMENTAL;"
    "CREATE TABLE rows("
    " kind TEXT NOT NULL,"
    " key TEXT NOT NULL,"
    " fence INTEGER NOT NULL,"
    " changed INTEGER NOT NULL,"
    " expires INTEGER NOT NULL,"
    " value BLOB NOT NULL,"
    " PRIMARY KEY(kind, key)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX rows_by_expiry ON rows(expires) WHERE expires > 0;"
    "PRAGMA application_id=" TEXT(APPLICATION_ID) ";"
                                                  "PRAGMA user_version=" TEXT(
                                                      SCHEMA_VERSION) ";"
                                                                      "COMMIT;";

/* --- where it lies -----------------------------------------------------------------------------
 */

/* The lock and the log of one database must not depend on the name it is called by. */
static hardy_status resolve(const char *path, char out[4096], hardy_error *error) {
    char *full = realpath(path, NULL);
    if (full) {
        bool fits = str_copy(out, 4096, full);
        free(full);
        return fits ? HARDY_OK : fail(error, HARDY_E_INVALID, path, "the path is too long");
    }
    struct stat st;
    if (errno != ENOENT) {
        return fail_errno(error, errno, path, "cannot look for the state");
    }
    /* What is there and no link has been made by another process since. */
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        return fail(error, HARDY_E_NOT_FOUND, path, "a symbolic link to nothing");
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    char *directory = slash ? str_ndup(path, (size_t)(slash - path) + 1) : str_dup(".");
    full = directory ? realpath(directory, NULL) : NULL;
    free(directory);
    if (!full) {
        return fail_errno(error, errno, path, "its directory cannot be used");
    }
    int len = name[0] ? snprintf(out, 4096, "%s/%s", strcmp(full, "/") == 0 ? "" : full, name) : -1;
    free(full);
    return len > 0 && len < 4096
               ? HARDY_OK
               : fail(error, HARDY_E_INVALID, path, "not the path of a file, or too long");
}

hardy_status place_find(const struct store_options *options, struct place *place,
                        hardy_error *error) {
    *place = (struct place){0};
    if (options->vfs) {
        return str_copy(place->path, sizeof place->path, options->path) &&
                       str_copy(place->vfs, sizeof place->vfs, options->vfs)
                   ? HARDY_OK
                   : fail(error, HARDY_E_INVALID, options->path, "path or VFS name too long");
    }
    hardy_status status = resolve(options->path, place->path, error);
    if (status != HARDY_OK) {
        return status;
    }
    struct stat st;
    if (stat(place->path, &st) == 0 && !S_ISREG(st.st_mode)) {
        return fail(error, HARDY_E_CORRUPT, place->path,
                    "not a file: the state is one SQLite database");
    }
    if (file_on_network(place->path)) {
        return fail(error, HARDY_E_UNSUPPORTED, place->path,
                    "on a network file system, where locks cannot be trusted: "
                    "put the state on a local disk, or use postgresql://");
    }
    return HARDY_OK;
}

/* --- whose it is -------------------------------------------------------------------------------
 */

#define HEADER 100

static uint32_t big_endian(const unsigned char *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int read_header(sqlite3_vfs *vfs, const char *path, unsigned char header[HEADER],
                       sqlite3_int64 *size) {
    sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
    sqlite3_filename name = sqlite3_create_filename(path, "", "", 0, NULL);
    int rc = SQLITE_NOMEM;
    memset(header, 0, HEADER);
    if (file && name) {
        int flags = 0;
        rc = vfs->xOpen(vfs, name, file, SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB, &flags);
        if (rc == SQLITE_OK) {
            rc = file->pMethods->xFileSize(file, size);
        }
        if (rc == SQLITE_OK) {
            rc = file->pMethods->xRead(file, header, HEADER, 0);
            rc = rc == SQLITE_IOERR_SHORT_READ ? SQLITE_OK : rc;
        }
        if (file->pMethods) { /* also where xOpen failed half-way */
            file->pMethods->xClose(file);
        }
    }
    sqlite3_free_filename(name);
    free(file);
    return rc;
}

static hardy_status wrong_version(const struct place *place, int64_t version, hardy_error *error) {
    return version > SCHEMA_VERSION
               ? fail(error, HARDY_E_NEWER, place->path,
                      "schema %lld, this hardy knows up to %d: use the newer hardy",
                      (long long)version, SCHEMA_VERSION)
               : fail(error, HARDY_E_CORRUPT, place->path, "schema %lld, which never existed",
                      (long long)version);
}

/* What the header says of the file's size holds where no log or journal has more to say. */
static hardy_status judge_size(const struct place *place, const unsigned char *header,
                               sqlite3_int64 size, hardy_error *error) {
    uint32_t page = (uint32_t)header[16] << 8 | header[17];
    sqlite3_int64 due = (sqlite3_int64)(page == 1 ? 65536 : page) * big_endian(header + 28);
    bool valid = memcmp(header + 24, header + 92, 4) == 0;
    return valid && due > size
               ? fail(error, HARDY_E_CORRUPT, place->path, "cut off: %lld of %lld bytes are there",
                      (long long)size, (long long)due)
               : HARDY_OK;
}

static hardy_status judge_header(const struct place *place, const unsigned char *header,
                                 sqlite3_int64 size, bool journal, enum place_state *state,
                                 hardy_error *error) {
    bool database = memcmp(header, "SQLite format 3", 16) == 0;
    *state = journal ? PLACE_BEGUN : PLACE_READY;
    if (journal && !database) {
        return HARDY_OK; /* the journal knows better than the file; looked at again after it */
    }
    if (memcmp(header, PLACE_REPLACED, sizeof PLACE_REPLACED - 1) == 0) {
        return fail(error, HARDY_E_CORRUPT, place->path,
                    "its replacement by a backup was cut off: hardy state restore the backup "
                    "again; the file's text says where the state of before is");
    }
    if (!database) {
        return fail(error, HARDY_E_CORRUPT, place->path, "not a SQLite database");
    }
    if (size < HEADER) {
        return fail(error, HARDY_E_CORRUPT, place->path, "cut off after %lld bytes",
                    (long long)size);
    }
    if (big_endian(header + 68) != APPLICATION_ID) {
        return fail(error, HARDY_E_CORRUPT, place->path,
                    "a SQLite database of another program (application id %lu)",
                    (unsigned long)big_endian(header + 68));
    }
    uint32_t version = big_endian(header + 60);
    return version == SCHEMA_VERSION ? HARDY_OK : wrong_version(place, version, error);
}

static int beside(sqlite3_vfs *vfs, const struct place *place, const char *suffix, int *there) {
    char path[sizeof place->path + 16];
    snprintf(path, sizeof path, "%s%s", place->path, suffix);
    return vfs->xAccess(vfs, path, SQLITE_ACCESS_EXISTS, there); /* there, and not empty */
}

static hardy_status vfs_fail(sqlite3_vfs *vfs, const struct place *place, int rc,
                             hardy_error *error) {
    int errnum = vfs->xGetLastError ? vfs->xGetLastError(vfs, 0, NULL) : 0;
    if (rc == SQLITE_FULL) {
        errnum = ENOSPC;
    }
    return rc == SQLITE_NOMEM
               ? fail(error, HARDY_E_NOMEM, place->path, "no memory to look at the state")
               : fail_errno(error, errnum ? errnum : EIO, place->path, "cannot look at the state");
}

hardy_status place_look(const struct place *place, enum place_state *state, hardy_error *error) {
    sqlite3_vfs *vfs = sqlite3_vfs_find(place->vfs[0] ? place->vfs : NULL);
    if (!vfs) {
        return fail(error, HARDY_E_INVALID, place->path, "no SQLite VFS is called \"%s\"",
                    place->vfs);
    }
    int there = 0, journal = 0, log = 0;
    int rc = beside(vfs, place, "", &there);
    rc = rc == SQLITE_OK ? beside(vfs, place, "-journal", &journal) : rc;
    rc = rc == SQLITE_OK ? beside(vfs, place, "-wal", &log) : rc;
    if (rc != SQLITE_OK) {
        return vfs_fail(vfs, place, rc, error);
    }
    *state = PLACE_EMPTY;
    if (!there) {
        /* SQLite would throw the log away, and what was acknowledged with it. */
        return log ? fail(error, HARDY_E_CORRUPT, place->path,
                          "missing or empty, but its log (%s-wal) is not: restore both, or remove "
                          "both to start anew",
                          place->path)
                   : HARDY_OK;
    }
    unsigned char header[HEADER];
    sqlite3_int64 size = 0;
    rc = read_header(vfs, place->path, header, &size);
    if (rc != SQLITE_OK) {
        return vfs_fail(vfs, place, rc, error);
    }
    hardy_status status = judge_header(place, header, size, journal != 0, state, error);
    /* Asked again: another process may have begun to write back while the file was looked at. */
    if (status == HARDY_OK && !journal && !log && beside(vfs, place, "-wal", &log) == SQLITE_OK &&
        !log) {
        status = judge_size(place, header, size, error);
    }
    return status;
}

/* --- errors -------------------------------------------------------------------------------------
 */

static hardy_status status_of(sqlite3 *db, int rc) {
    int errnum = db ? sqlite3_system_errno(db) : 0;
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return HARDY_E_NOSPACE;
    case SQLITE_NOMEM:
        return HARDY_E_NOMEM;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return HARDY_E_TIMEOUT;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return HARDY_E_CORRUPT;
    case SQLITE_TOOBIG:
        return HARDY_E_TOO_LARGE;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return HARDY_E_READONLY;
    case SQLITE_CANTOPEN:
        if (errnum == EACCES || errnum == EPERM || errnum == EROFS) {
            return HARDY_E_READONLY;
        }
        return errnum == ENOSPC || errnum == EDQUOT ? HARDY_E_NOSPACE : HARDY_E_IO;
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM) {
            return HARDY_E_NOMEM;
        }
        /* Not where a sync ran out of space: what it left behind is not known. */
        return (errnum == ENOSPC || errnum == EDQUOT) && rc != SQLITE_IOERR_FSYNC ? HARDY_E_NOSPACE
                                                                                  : HARDY_E_IO;
    default:
        return HARDY_E_IO;
    }
}

hardy_status sql_fail(sqlite3 *db, const struct place *place, int rc, const char *what,
                      hardy_error *error) {
    hardy_status status = status_of(db, rc);
    if (status == HARDY_E_TIMEOUT) {
        return fail(error, status, place->path,
                    "cannot %s: another program keeps the database locked", what);
    }
    if (status == HARDY_E_NOSPACE) {
        return fail(error, status, place->path,
                    "cannot %s: no space is left on the file system of the state; make room there",
                    what);
    }
    if (status == HARDY_E_CORRUPT) {
        return fail(error, status, place->path,
                    "the database is damaged (%s, found when trying to %s): restore a backup",
                    sqlite3_errstr(rc), what);
    }
    int errnum = db && status == HARDY_E_IO ? sqlite3_system_errno(db) : 0;
    if (!errnum) {
        return fail(error, status, place->path, "cannot %s: %s", what, sqlite3_errstr(rc));
    }
    fail_errno(error, errnum, place->path, "cannot %s: %s", what, sqlite3_errstr(rc));
    if (error) {
        error->status = status;
    }
    return status;
}

/* --- connections --------------------------------------------------------------------------------
 */

hardy_status sql_text(sqlite3 *db, const struct place *place, const char *sql, char *out,
                      size_t size, hardy_error *error) {
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    out[0] = '\0';
    if (rc == SQLITE_OK) {
        rc = sqlite3_step(statement);
        const unsigned char *text = rc == SQLITE_ROW ? sqlite3_column_text(statement, 0) : NULL;
        str_copy(out, size, text ? (const char *)text : "");
    }
    if (rc == SQLITE_ROW) {
        rc = sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
    return rc == SQLITE_OK || rc == SQLITE_DONE ? HARDY_OK : sql_fail(db, place, rc, sql, error);
}

hardy_status sql_number(sqlite3 *db, const struct place *place, const char *sql, int64_t *out,
                        hardy_error *error) {
    char text[32];
    hardy_status status = sql_text(db, place, sql, text, sizeof text, error);
    *out = strtoll(text, NULL, 10);
    return status;
}

static hardy_status run(sqlite3 *db, const struct place *place, const char *sql, const char *what,
                        hardy_error *error) {
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? HARDY_OK : sql_fail(db, place, rc, what, error);
}

hardy_status connection_open(const struct place *place, int flags, sqlite3 **out,
                             hardy_error *error) {
    sqlite3 *db = NULL;
    *out = NULL;
    int rc = sqlite3_open_v2(place->path, &db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                             place->vfs[0] ? place->vfs : NULL);
    hardy_status status = HARDY_OK;
    if (rc != SQLITE_OK) {
        status = sql_fail(db, place, rc, "open the state", error);
    } else {
        sqlite3_busy_timeout(db, BUSY_MS);
        /* The last one to leave must not write back: that is for the holder of the lease. */
        sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_wal_autocheckpoint(db, 0);
        status = run(db, place,
                     "PRAGMA trusted_schema=OFF;"
                     "PRAGMA cell_size_check=ON;"
                     "PRAGMA mmap_size=0;"
                     "PRAGMA temp_store=MEMORY;",
                     "set up a connection", error);
    }
    if (status != HARDY_OK) {
        sqlite3_close(db);
        return status;
    }
    *out = db;
    return HARDY_OK;
}

hardy_status connection_check(sqlite3 *db, const struct place *place, hardy_error *error) {
    int64_t id = 0, version = 0;
    hardy_status status = sql_number(db, place, "PRAGMA application_id", &id, error);
    if (status == HARDY_OK && id != APPLICATION_ID) {
        status = fail(error, HARDY_E_CORRUPT, place->path,
                      "a SQLite database of another program (application id %lld)", (long long)id);
    }
    if (status == HARDY_OK) {
        status = sql_number(db, place, "PRAGMA user_version", &version, error);
    }
    if (status == HARDY_OK && version != SCHEMA_VERSION) {
        status = wrong_version(place, version, error);
    }
    if (status == HARDY_OK) {
        status =
            sql_number(db, place, "SELECT count(*) FROM (SELECT 1 FROM rows LIMIT 1)", &id, error);
    }
    return status;
}

/* 0600 whatever the umask says; SQLite gives its own files the same mode. */
static hardy_status make_file(const struct place *place, hardy_error *error) {
    int fd = open(place->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return errno == EEXIST ? HARDY_OK
                               : fail_errno(error, errno, place->path, "cannot make the state");
    }
    int failed = fchmod(fd, 0600) != 0 ? errno : 0;
    close(fd);
    return failed ? fail_errno(error, failed, place->path, "cannot make the state private")
                  : HARDY_OK;
}

/* --- the writing connection ------------------------------------------------------------------- */

struct opening {
    const struct place *place;
    struct lease *lease;
    bool held;
    void (*waits)(void *ctx);
    void *ctx;
};

static hardy_status hold(struct opening *o, hardy_error *error) {
    if (o->held) {
        return HARDY_OK;
    }
    o->waits(o->ctx);
    hardy_status status = lease_take(o->lease, error);
    o->held = status == HARDY_OK;
    return status;
}

static hardy_status make_schema(struct opening *o, sqlite3 *db, hardy_error *error) {
    int64_t pages = 0;
    hardy_status status = sql_number(db, o->place, "PRAGMA page_count", &pages, error);
    if (status != HARDY_OK || pages > 0) {
        return status;
    }
    status = hold(o, error);
    if (status == HARDY_OK) { /* somebody may have been faster */
        status = sql_number(db, o->place, "PRAGMA page_count", &pages, error);
    }
    return status != HARDY_OK || pages > 0
               ? status
               : run(db, o->place, schema, "make the tables of the state", error);
}

static hardy_status use_log(struct opening *o, sqlite3 *db, hardy_error *error) {
    char mode[16];
    hardy_status status = sql_text(db, o->place, "PRAGMA journal_mode", mode, sizeof mode, error);
    if (status == HARDY_OK && strcmp(mode, "wal") != 0) {
        status = hold(o, error);
        if (status == HARDY_OK) {
            status = sql_text(db, o->place, "PRAGMA journal_mode=WAL", mode, sizeof mode, error);
        }
        if (status == HARDY_OK && strcmp(mode, "wal") != 0) {
            status = fail(error, HARDY_E_UNSUPPORTED, o->place->path,
                          "SQLite cannot keep a write-ahead log here (journal mode %s)", mode);
        }
    }
    return status;
}

static hardy_status set_synchronous(sqlite3 *db, const struct place *place, hardy_error *error) {
    char sql[96];
    int64_t level = -1;
    snprintf(sql, sizeof sql, "PRAGMA synchronous=%d; PRAGMA journal_size_limit=67108864",
             STORE_SYNCHRONOUS);
    hardy_status status = run(db, place, sql, "have commits synced", error);
    if (status == HARDY_OK) {
        status = sql_number(db, place, "PRAGMA synchronous", &level, error);
    }
    if (status == HARDY_OK && level != STORE_SYNCHRONOUS) {
        status = fail(error, HARDY_E_UNSUPPORTED, place->path,
                      "this SQLite does not sync commits (synchronous is %lld, must be 2)",
                      (long long)level);
    }
    return status;
}

static hardy_status connect_writer(struct opening *o, sqlite3 **out, hardy_error *error) {
    const struct place *place = o->place;
    int create = place->vfs[0] ? SQLITE_OPEN_CREATE : 0; /* a real file is there by now */
    hardy_status status = connection_open(place, SQLITE_OPEN_READWRITE | create, out, error);
    if (status == HARDY_OK && sqlite3_db_readonly(*out, "main") == 1) {
        status = fail(error, HARDY_E_READONLY, place->path, "the state cannot be written");
    }
    if (status == HARDY_OK) {
        status = set_synchronous(*out, place, error);
    }
    if (status == HARDY_OK) {
        status = make_schema(o, *out, error);
    }
    if (status == HARDY_OK) {
        status = connection_check(*out, place, error);
    }
    if (status == HARDY_OK) {
        status = use_log(o, *out, error);
    }
    if (status != HARDY_OK) {
        sqlite3_close(*out);
        *out = NULL;
    }
    return status;
}

hardy_status connection_open_writer(const struct place *place, bool create, const char *purpose,
                                    struct lease *lease, void (*waits)(void *ctx), void *ctx,
                                    sqlite3 **out, hardy_error *error) {
    struct opening o = {.place = place, .lease = lease, .waits = waits, .ctx = ctx};
    enum place_state state;
    *out = NULL;
    hardy_status status = place_look(place, &state, error);
    if (status == HARDY_OK && state == PLACE_EMPTY && !create) {
        status = fail(error, HARDY_E_NOT_FOUND, place->path, "there is no state here");
    }
    if (status == HARDY_OK) {
        status = lease_open(lease, place->path, purpose, error);
    }
    if (status == HARDY_OK && state != PLACE_READY) {
        status = hold(&o, error);
        status = status == HARDY_OK ? place_look(place, &state, error) : status;
    }
    if (status == HARDY_OK && state == PLACE_EMPTY && !place->vfs[0]) {
        status = make_file(place, error);
    }
    if (status == HARDY_OK) {
        status = connect_writer(&o, out, error);
    }
    if (o.held) {
        lease_give(lease);
    }
    return status;
}
