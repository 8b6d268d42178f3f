/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQLite store: one thread that alone writes. It waits for the writer lease, applies everything
 * that has been submitted by then in one transaction (each batch in a savepoint), commits once,
 * gives the lease back, and only then tells the submitters. So a commit's sync is shared by all who
 * wait, and nobody waits for a lock but this thread.
 *
 * What the thread cannot promise to end (a lease held by a stopped process, a disk that hangs) is
 * not waited for without limit: opening and closing leave the thread behind, and it frees the store
 * when it gets through.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "io/condition.h"
#include "store/sqlite_internal.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define OPEN_WITHIN (10 * HARDY_SECOND)
#define CLOSE_WITHIN (5 * HARDY_SECOND)
#define GROUP_BATCHES 4096 /* in one transaction */
#define GROUP_BYTES ((size_t)32 << 20)
#define QUEUE_BYTES ((size_t)256 << 20)
/* Retention when nothing else is to be written: soon after the opening but not in the way of a
 * process that writes one batch and goes, then now and then. */
#define IDLE_SOON (200 * HARDY_MILLISECOND)
#define IDLE_LATER HARDY_MINUTE
#define SHRINK_AGAIN (10 * HARDY_MILLISECOND) /* as long as there are free pages to give back */
/* Between two tries on a full disk: doubles. */
#define FULL_PAUSE_MIN (20 * HARDY_MILLISECOND)
#define FULL_PAUSE_MAX (2 * HARDY_SECOND)

enum phase { PHASE_OPENING, PHASE_IDLE, PHASE_LEASE, PHASE_WRITING, PHASE_PAUSED };

struct queue {
    struct batch *first, **last;
};

struct sqlite {
    struct store base;
    struct place place;
    char purpose[64];
    bool create;
    size_t log_max;
    int64_t pause_on_full;
    struct readers readers;

    pthread_mutex_t mutex;
    struct condition work;    /* for the thread: something is queued, or it shall end */
    struct condition changed; /* for the opener and the closer */
    enum phase phase;
    struct queue queue;
    size_t queued;       /* bytes */
    struct queue flight; /* taken by the thread, not yet told */
    bool full;           /* the last group found no room */
    bool opened, closing, ended, abandoned;
    hardy_status open_status;
    hardy_error open_error;

    /* The thread's own. */
    pthread_t thread;
    bool threaded;
    struct lease lease;
    struct writer writer;
    int64_t purge_at;   /* wall: when expired rows are looked for again */
    bool purge_soon;    /* also when there is nothing to write */
    int64_t full_pause; /* before a full disk is tried again */
    hardy_status failed;
    hardy_error failure;
};

static void queue_init(struct queue *q) {
    q->first = NULL;
    q->last = &q->first;
}

static void queue_add(struct queue *q, struct batch *batch) {
    batch->next = NULL;
    *q->last = batch;
    q->last = &batch->next;
}

static struct batch *queue_take(struct queue *q) {
    struct batch *batch = q->first;
    if (batch) {
        q->first = batch->next;
        if (!q->first) {
            q->last = &q->first;
        }
    }
    return batch;
}

static void set_phase(struct sqlite *s, enum phase phase) {
    pthread_mutex_lock(&s->mutex);
    s->phase = phase;
    pthread_mutex_unlock(&s->mutex);
}

static void destroy(struct sqlite *s) {
    readers_free(&s->readers);
    lease_close(&s->lease);
    condition_free(&s->work);
    condition_free(&s->changed);
    pthread_mutex_destroy(&s->mutex);
    store_end(&s->base);
    free(s);
}

/* --- the store thread --------------------------------------------------------------------------
 */

/* True: there is something to do (batches, or expired rows to look for); false: the end. */
static bool wait_for_work(struct sqlite *s) {
    int64_t idle = s->writer.shrinking ? SHRINK_AGAIN : s->purge_soon ? IDLE_SOON : IDLE_LATER;
    int64_t until = time_add(clock_now(), idle);
    bool in_time = true;
    pthread_mutex_lock(&s->mutex);
    s->phase = PHASE_IDLE;
    while (!s->queue.first && !s->closing && in_time) {
        in_time = condition_wait(&s->work, &s->mutex, until);
    }
    bool more = s->queue.first || !s->closing;
    pthread_mutex_unlock(&s->mutex);
    return more;
}

/* All that waits, up to what one transaction may hold. */
static struct batch *take_group(struct sqlite *s) {
    size_t bytes = 0;
    pthread_mutex_lock(&s->mutex);
    s->phase = PHASE_WRITING;
    for (int i = 0; i < GROUP_BATCHES && s->queue.first && bytes < GROUP_BYTES; i++) {
        struct batch *batch = queue_take(&s->queue);
        bytes += batch->bytes;
        queue_add(&s->flight, batch);
    }
    s->queued -= bytes;
    struct batch *group = s->flight.first;
    pthread_mutex_unlock(&s->mutex);
    return group;
}

static void finish_group(struct sqlite *s, hardy_status status, const hardy_error *error) {
    for (;;) {
        pthread_mutex_lock(&s->mutex);
        struct batch *batch = queue_take(&s->flight);
        pthread_mutex_unlock(&s->mutex);
        if (!batch) {
            return;
        }
        if (status != HARDY_OK) {
            batch->status = status;
            batch->failed = -1;
        }
        batch_finish(&s->base, batch, status != HARDY_OK ? error : NULL);
    }
}

/* Nothing more is written: what the disk said once is not to be forgotten by asking again. */
static void give_up(struct sqlite *s, hardy_status status, const hardy_error *error) {
    hardy_error ignored;
    s->failed = status;
    s->failure = *error;
    store_set_health(&s->base, error);
    writer_stop(&s->writer);
    if (status == HARDY_E_IO) {
        hardy_status marked = lease_mark_unsynced(&s->lease, true, &ignored);
        (void)marked;
    }
}

/* --- a full disk ------------------------------------------------------------------------------ */

/* What was refused for want of room goes back to the front of the queue, in its order. The time of
 * the first that ends its wait. */
static int64_t put_back(struct sqlite *s) {
    int64_t until = HARDY_NEVER;
    pthread_mutex_lock(&s->mutex);
    for (struct batch *b = s->flight.first; b; b = b->next) {
        b->status = HARDY_OK;
        b->failed = -1;
        b->found = 0;
        s->queued += b->bytes;
        until = b->until < until ? b->until : until;
    }
    if (s->flight.first) {
        *s->flight.last = s->queue.first;
        s->queue.last = s->queue.first ? s->queue.last : s->flight.last;
        s->queue.first = s->flight.first;
        queue_init(&s->flight);
    }
    pthread_mutex_unlock(&s->mutex);
    return until;
}

/* Tells those of the flight that have waited long enough; the others stay in it. */
static void tell_full(struct sqlite *s, const hardy_error *error) {
    int64_t now = clock_now();
    struct queue late;
    queue_init(&late);
    pthread_mutex_lock(&s->mutex);
    struct batch *all = s->flight.first;
    queue_init(&s->flight);
    while (all) {
        struct batch *batch = all;
        all = batch->next;
        queue_add(s->closing || batch->until <= now ? &late : &s->flight, batch);
    }
    pthread_mutex_unlock(&s->mutex);
    for (struct batch *batch; (batch = queue_take(&late));) {
        batch->status = error->status;
        batch->failed = -1;
        batch_finish(&s->base, batch, error);
    }
}

/* Until there may be room again. Others' batches may be small enough, and the lease is free
 * meanwhile, so that somebody can remove rows. */
static void pause_on_full(struct sqlite *s, const hardy_error *error) {
    tell_full(s, error);
    int64_t until = put_back(s), again = time_add(clock_now(), s->full_pause);
    bool in_time = true;
    s->full_pause = s->full_pause < FULL_PAUSE_MAX ? 2 * s->full_pause : s->full_pause;
    until = until < again ? until : again;
    pthread_mutex_lock(&s->mutex);
    s->phase = PHASE_PAUSED;
    while (!s->closing && s->queue.first && in_time) {
        in_time = condition_wait(&s->work, &s->mutex, until);
    }
    pthread_mutex_unlock(&s->mutex);
}

/* One transaction, inside the lease. */
static hardy_status write_group(struct sqlite *s, hardy_error *error) {
    struct writer *w = &s->writer;
    int64_t wall = store_wall(&s->base);
    bool more = false;
    hardy_status status = writer_begin(w, error);
    struct batch *batch = take_group(s);
    for (; batch && status == HARDY_OK; batch = batch->next) {
        status = writer_apply(w, batch, wall, error);
    }
    if (STORE_BUG == 2) {
        finish_group(s, status, error);
    }
    bool purges = wall >= s->purge_at;
    if (status == HARDY_OK && purges) {
        status = writer_purge(w, wall, &more, error);
    }
    /* With what frees pages, and when there is nothing else to do: it costs no sync of its own. */
    if (status == HARDY_OK && (w->removed || !s->flight.first)) {
        status = writer_shrink(w, error);
    }
    if (status == HARDY_OK) {
        status = writer_commit(w, error);
    }
    if (status != HARDY_OK) {
        writer_rollback(w);
    } else if (purges) {
        s->purge_at = more ? wall : time_add(wall, PURGE_EVERY);
        s->purge_soon = more;
    }
    return status;
}

static void tell_health(struct sqlite *s, hardy_status status, const hardy_error *error) {
    if (status == HARDY_E_NOSPACE) {
        store_set_health(&s->base, error);
    } else if (status == HARDY_OK) {
        s->full_pause = FULL_PAUSE_MIN;
        store_set_health(&s->base, NULL);
    } else {
        return;
    }
    pthread_mutex_lock(&s->mutex);
    s->full = status == HARDY_E_NOSPACE;
    pthread_mutex_unlock(&s->mutex);
}

static void cycle(struct sqlite *s) {
    hardy_error error, later;
    hardy_error_init(&error, sizeof error);
    hardy_error_init(&later, sizeof later);
    if (s->failed != HARDY_OK) {
        take_group(s);
        finish_group(s, s->failed, &s->failure);
        return;
    }
    set_phase(s, PHASE_LEASE);
    hardy_status status = lease_take(&s->lease, &error);
    if (status != HARDY_OK) {
        take_group(s);
        finish_group(s, status, &error);
        return;
    }
    status = write_group(s, &error);
    hardy_status after = status == HARDY_OK ? writer_checkpoint(&s->writer, &later) : HARDY_OK;
    if (s->writer.failed) {
        give_up(s, after != HARDY_OK ? after : status, after != HARDY_OK ? &later : &error);
    }
    lease_give(&s->lease);
    if (!s->failed) {
        tell_health(s, status, &error);
    }
    if (status == HARDY_E_NOSPACE && s->pause_on_full > 0 && !s->failed) {
        pause_on_full(s, &error);
    } else {
        finish_group(s, status, &error);
    }
}

/* Looks before it takes the lease: a process that has nothing to write disturbs nobody. */
static bool nothing_to_write(struct sqlite *s) {
    pthread_mutex_lock(&s->mutex);
    bool batches = s->queue.first != NULL;
    pthread_mutex_unlock(&s->mutex);
    if (batches) {
        return false;
    }
    int64_t wall = store_wall(&s->base);
    bool due = wall >= s->purge_at;
    if (due && (writer_expired(&s->writer, wall) || writer_has_free(&s->writer))) {
        return false;
    }
    if (s->writer.shrinking) {
        return false;
    }
    s->purge_at = due ? time_add(wall, PURGE_EVERY) : s->purge_at;
    s->purge_soon = false;
    return true;
}

static void open_waits(void *ctx) {
    set_phase(ctx, PHASE_LEASE);
}

static hardy_status start(struct sqlite *s, hardy_error *error) {
    sqlite3 *db = NULL;
    hardy_status status = connection_open_writer(&s->place, s->create, s->purpose, &s->lease,
                                                 open_waits, s, &db, error);
    if (status == HARDY_OK) {
        status = writer_start(&s->writer, &s->place, &s->lease, db, s->log_max, error);
    }
    return status;
}

static void *store_thread(void *arg) {
    struct sqlite *s = arg;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = start(s, &error);
    pthread_mutex_lock(&s->mutex);
    s->opened = true;
    s->open_status = status;
    s->open_error = error;
    condition_wake_all(&s->changed);
    pthread_mutex_unlock(&s->mutex);

    while (status == HARDY_OK && wait_for_work(s)) {
        if (s->failed != HARDY_OK || !nothing_to_write(s)) {
            cycle(s);
        }
    }
    writer_stop(&s->writer);
    pthread_mutex_lock(&s->mutex);
    s->ended = true;
    bool mine = s->abandoned;
    condition_wake_all(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    if (mine) {
        destroy(s);
    }
    return NULL;
}

/* --- the store's methods -----------------------------------------------------------------------
 */

static hardy_status sqlite_submit(struct store *store, struct batch *batch, hardy_error *error) {
    struct sqlite *s = (struct sqlite *)store;
    if (!s->threaded) {
        return fail(error, HARDY_E_READONLY, store->where, "opened for reading only");
    }
    hardy_status status = HARDY_OK;
    bool wake = false;
    pthread_mutex_lock(&s->mutex);
    if (s->closing) {
        status = HARDY_E_CLOSED;
    } else if (s->queued + batch->bytes > QUEUE_BYTES) {
        status = HARDY_E_FULL;
    } else {
        batch->until = time_add(clock_now(), s->pause_on_full);
        queue_add(&s->queue, batch);
        s->queued += batch->bytes;
        wake = s->phase == PHASE_IDLE;
    }
    pthread_mutex_unlock(&s->mutex);
    if (wake) { /* without the mutex, which the thread would only wait for */
        condition_wake(&s->work);
    }
    if (status == HARDY_E_CLOSED) {
        return fail(error, status, store->where, "the store is being closed");
    }
    return status == HARDY_OK
               ? status
               : fail(error, status, store->where, "%zu MiB wait to be written: try again later",
                      QUEUE_BYTES >> 20);
}

static void sqlite_delay(struct store *store, char *out, size_t size) {
    struct sqlite *s = (struct sqlite *)store;
    pthread_mutex_lock(&s->mutex);
    enum phase phase = s->phase;
    bool full = s->full;
    pthread_mutex_unlock(&s->mutex);
    if (full) { /* while it is tried again, too */
        snprintf(out, size, "no space is left on the file system of the state");
    } else if (phase == PHASE_LEASE) {
        char holder[128];
        lease_holder(&s->lease, holder, sizeof holder);
        bool free = str_eq(holder, "nobody");
        snprintf(out, size, "the writer lease %s%s", free ? "was just given on" : "is held by ",
                 free ? "" : holder);
    } else if (phase == PHASE_OPENING) {
        snprintf(out, size, "the file is still being opened");
    } else {
        snprintf(out, size, "this process (pid %ld) holds the writer lease and its write is slow",
                 (long)getpid());
    }
}

static bool sqlite_holder(struct store *store, char *out, size_t size) {
    struct sqlite *s = (struct sqlite *)store;
    pthread_mutex_lock(&s->mutex);
    bool waits = s->phase == PHASE_LEASE;
    pthread_mutex_unlock(&s->mutex);
    if (waits) {
        lease_holder(&s->lease, out, size);
    }
    return waits && !str_eq(out, "nobody");
}

static hardy_status sqlite_get(struct store *store, const char *kind, const char *key,
                               struct store_row *out, hardy_error *error) {
    return readers_get(&((struct sqlite *)store)->readers, kind, key, out, error);
}

static hardy_status sqlite_scan(struct store *store, const char *kind, const char *prefix,
                                const char *after, size_t limit, bool values, struct rows *out,
                                hardy_error *error) {
    return readers_scan(&((struct sqlite *)store)->readers, kind, prefix, after, limit, values, out,
                        error);
}

static hardy_status sqlite_describe(struct store *store, bool check, struct buf *out,
                                    hardy_error *error) {
    struct sqlite *s = (struct sqlite *)store;
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_key(&j, "implementation");
    json_out_string(&j, "sqlite");
    json_out_key(&j, "path");
    json_out_string(&j, s->place.path);
    json_out_key(&j, "sqlite");
    json_out_string(&j, sqlite3_libversion());
    json_out_key(&j, "synchronous"); /* read back when the writing connection was made */
    if (s->threaded) {
        json_out_string(&j, STORE_SYNCHRONOUS == 2 ? "full" : "normal");
    } else {
        json_out_null(&j);
    }
    hardy_status status = readers_describe(&s->readers, check, &j, error);
    json_out_object_end(&j);
    return status == HARDY_OK && out->failed
               ? fail(error, HARDY_E_NOMEM, store->where, "no room for the description")
               : status;
}

/* The outcome of every batch that the thread has not got through. Its batches in flight stay the
 * thread's, which may be reading them; they are only cut off from their submitters. */
static void tell_closed(struct sqlite *s) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    fail(&error, HARDY_E_CLOSED, s->base.where,
         "closed before the write was through: it may be stored or not");
    for (;;) {
        store_done done = NULL;
        void *ctx = NULL;
        pthread_mutex_lock(&s->mutex);
        struct batch *waiting = queue_take(&s->queue);
        for (struct batch *b = s->flight.first; b && !waiting && !done; b = b->next) {
            done = b->done;
            ctx = b->ctx;
            b->done = NULL;
        }
        pthread_mutex_unlock(&s->mutex);
        if (waiting) {
            waiting->status = HARDY_E_CLOSED;
            batch_finish(&s->base, waiting, &error);
        } else if (done) {
            done(ctx, HARDY_E_CLOSED, -1, &error);
        } else {
            return;
        }
    }
}

/* Ends the thread and frees the store; what the thread does not end in time it frees itself. */
static void sqlite_end(struct sqlite *s, int64_t until) {
    pthread_mutex_lock(&s->mutex);
    s->closing = true;
    condition_wake(&s->work);
    while (!s->ended && condition_wait(&s->changed, &s->mutex, until)) {
    }
    bool ended = s->ended;
    pthread_mutex_unlock(&s->mutex);
    if (!ended) {
        tell_closed(s);
        pthread_mutex_lock(&s->mutex);
        ended = s->ended;
        s->abandoned = !ended;
        if (!ended) {
            pthread_detach(s->thread);
        }
        pthread_mutex_unlock(&s->mutex);
    }
    if (ended) {
        pthread_join(s->thread, NULL);
        destroy(s);
    }
}

static void sqlite_close(struct store *store) {
    struct sqlite *s = (struct sqlite *)store;
    if (s->threaded) {
        sqlite_end(s, time_add(clock_now(), CLOSE_WITHIN));
    } else {
        destroy(s);
    }
}

static const struct store_methods methods = {.submit = sqlite_submit,
                                             .delay = sqlite_delay,
                                             .holder = sqlite_holder,
                                             .get = sqlite_get,
                                             .scan = sqlite_scan,
                                             .describe = sqlite_describe,
                                             .close = sqlite_close};

/* --- opening -----------------------------------------------------------------------------------
 */

/* Signals are for the program's own threads. */
static int thread_start(struct sqlite *s) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&s->thread, NULL, store_thread, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    s->threaded = failed == 0;
    return failed;
}

static hardy_status open_writing(struct sqlite *s, hardy_error *error) {
    int failed = thread_start(s);
    if (failed) {
        fail_errno(error, failed, s->base.where, "cannot start the store thread");
        destroy(s);
        return HARDY_E_NOMEM;
    }
    int64_t until = time_add(clock_now(), OPEN_WITHIN);
    pthread_mutex_lock(&s->mutex);
    while (!s->opened && condition_wait(&s->changed, &s->mutex, until)) {
    }
    bool opened = s->opened;
    hardy_status status = opened ? s->open_status : HARDY_E_DEADLINE;
    if (opened && status != HARDY_OK && error) {
        size_t size = error->size;
        *error = s->open_error;
        error->size = size;
    }
    pthread_mutex_unlock(&s->mutex);
    if (!opened) {
        char why[200];
        sqlite_delay(&s->base, why, sizeof why);
        fail(error, status, s->base.where, "not opened within ten seconds: %s", why);
    }
    if (status != HARDY_OK) {
        sqlite_end(s, opened ? HARDY_NEVER : 0);
    }
    return status;
}

static hardy_status open_reading(struct sqlite *s, hardy_error *error) {
    enum place_state state;
    hardy_status status = place_look(&s->place, &state, error);
    if (status == HARDY_OK && state == PLACE_EMPTY) {
        status = fail(error, HARDY_E_NOT_FOUND, s->base.where, "there is no state here");
    }
    if (status == HARDY_OK) {
        status = readers_try(&s->readers, error);
    }
    if (status != HARDY_OK) {
        destroy(s);
    }
    return status;
}

hardy_status sqlite_open(const struct store_options *options, struct store **out,
                         hardy_error *error) {
    struct sqlite *s = calloc(1, sizeof *s);
    if (!s) {
        return fail(error, HARDY_E_NOMEM, options->path, "no memory for a store");
    }
    hardy_status status = place_find(options, &s->place, error);
    if (status != HARDY_OK) {
        free(s);
        return status;
    }
    store_init(&s->base, &methods, options, s->place.path);
    s->base.path = s->place.path;
    s->pause_on_full = options->pause_on_full;
    s->full_pause = FULL_PAUSE_MIN;
    str_copy(s->purpose, sizeof s->purpose, options->purpose);
    s->create = options->create;
    s->log_max = options->log_max;
    s->lease.fd = -1;
    s->purge_soon = true;
    pthread_mutex_init(&s->mutex, NULL);
    condition_init(&s->work);
    condition_init(&s->changed);
    queue_init(&s->queue);
    queue_init(&s->flight);
    readers_init(&s->readers, &s->place);
    status = options->read_only ? open_reading(s, error) : open_writing(s, error);
    if (status == HARDY_OK) {
        *out = &s->base;
    }
    return status;
}
