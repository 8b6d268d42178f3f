/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durable steps a second: each is one batch that finishes step n and starts step n + 1, waited for
 * until it is on stable storage. Beside it, in turns, the floor: overwriting 4 KiB and fdatasync in
 * the same directory. What counts is the ratio of the two and the number of syncs a step; both are
 * the median of the rounds.
 *
 * "threads" wait in store_apply(), one step each at a time; "chains" submit the next step from the
 * done of the one before, as code on an event loop does.
 *
 * durable [DIRECTORY [ROUNDS]]
 */
#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "store/store.h"
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPAN (400 * HARDY_MILLISECOND)
#define SUBMITTERS_MAX 50
#define ROUNDS_MAX 25

static char directory[400], path[420];

static void die(const char *what, const char *why) {
    fprintf(stderr, "durable: %s: %s\n", what, why);
    exit(1);
}

/* --- a VFS that counts syncs ------------------------------------------------------------------ */

static atomic_word syncs;
static sqlite3_vfs counting;
static int (*real_sync)(sqlite3_file *file, int flags);

static int count_sync(sqlite3_file *file, int flags) {
    word_add(&syncs, 1);
    return real_sync(file, flags);
}

/* The unix VFS has one table of methods for databases and one for other files, with one xSync. */
static int count_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out) {
    static sqlite3_io_methods counted[2];
    sqlite3_vfs *unix_vfs = sqlite3_vfs_find("unix");
    (void)vfs;
    int rc = unix_vfs->xOpen(unix_vfs, name, file, flags, out);
    if (rc == SQLITE_OK) {
        sqlite3_io_methods *mine = &counted[flags & SQLITE_OPEN_MAIN_DB ? 1 : 0];
        real_sync = file->pMethods->xSync;
        *mine = *file->pMethods;
        mine->xSync = count_sync;
        file->pMethods = mine;
    }
    return rc;
}

static void count_syncs(void) {
    counting = *sqlite3_vfs_find("unix");
    counting.zName = "counting";
    counting.xOpen = count_open;
    counting.pNext = NULL;
    sqlite3_vfs_register(&counting, 0);
}

/* --- the floor -------------------------------------------------------------------------------- */

static double measure_floor(void) {
    static char block[4096];
    char name[440];
    snprintf(name, sizeof name, "%s/floor", directory);
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        die(name, "cannot be made");
    }
    for (int i = 0; i < 64; i++) { /* so that later writes change no size */
        if (pwrite(fd, block, sizeof block, i * 4096) != (ssize_t)sizeof block) {
            die(name, "cannot be written");
        }
    }
    fsync(fd);
    int count = 0;
    int64_t start = clock_now(), now = start;
    for (; now - start < SPAN; now = clock_now()) {
        block[0] = (char)count;
        if (pwrite(fd, block, sizeof block, count % 64 * 4096) != (ssize_t)sizeof block ||
            fdatasync(fd) != 0) {
            die(name, "cannot be synced");
        }
        count++;
    }
    close(fd);
    unlink(name);
    return count / ((double)(now - start) / (double)HARDY_SECOND);
}

/* --- steps ------------------------------------------------------------------------------------ */

struct submitter {
    struct store *store;
    int number, step;
    int64_t until;
    bool chained, ended;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;

static void draft(const struct submitter *s, char key[2][48], struct store_op ops[2]) {
    static const char value[256] = "{\"state\":\"done\",\"output\":\"";
    snprintf(key[0], 48, "run-%04d/%08d", s->number, s->step);
    snprintf(key[1], 48, "run-%04d/%08d", s->number, s->step + 1);
    ops[0] = (struct store_op){.kind = s->step ? STORE_UPDATE : STORE_PUT,
                               .row_kind = "step",
                               .key = key[0],
                               .if_fence = 1,
                               .fence = 2,
                               .value = value,
                               .len = sizeof value};
    ops[1] = (struct store_op){.kind = STORE_INSERT,
                               .row_kind = "step",
                               .key = key[1],
                               .fence = 1,
                               .value = value,
                               .len = 128};
}

static void *run_thread(void *arg) {
    struct submitter *s = arg;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    while (clock_now() < s->until) {
        char key[2][48];
        struct store_op ops[2];
        draft(s, key, ops);
        if (store_apply(s->store, ops, 2, clock_now() + 30 * HARDY_SECOND, NULL, &error) !=
            HARDY_OK) {
            die(error.where, error.message);
        }
        s->step++;
    }
    return NULL;
}

static void chain_done(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct submitter *s = ctx;
    char key[2][48];
    struct store_op ops[2];
    (void)failed;
    if (status != HARDY_OK) {
        die(error->where, error->message);
    }
    s->step++;
    if (clock_now() < s->until) {
        draft(s, key, ops);
        store_submit(s->store, ops, 2, chain_done, s);
        return;
    }
    pthread_mutex_lock(&mutex);
    s->ended = true;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&mutex);
}

static void start(struct submitter *s, pthread_t *thread) {
    char key[2][48];
    struct store_op ops[2];
    if (s->chained) {
        draft(s, key, ops);
        store_submit(s->store, ops, 2, chain_done, s);
    } else if (pthread_create(thread, NULL, run_thread, s) != 0) {
        die("thread", "cannot be started");
    }
}

static void join(struct submitter *s, pthread_t thread) {
    if (!s->chained) {
        pthread_join(thread, NULL);
        return;
    }
    pthread_mutex_lock(&mutex);
    while (!s->ended) {
        pthread_cond_wait(&ended, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

struct result {
    double steps, ratio, syncs;
};

/* Runs of one measurement go on in the same store: its log is in use, as it is in a program. */
static struct result measure(struct store *store, int count, bool chained) {
    static int runs;
    struct submitter s[SUBMITTERS_MAX];
    pthread_t thread[SUBMITTERS_MAX] = {0};
    double before = measure_floor();
    uint64_t synced = word_load(&syncs);
    int64_t begin = clock_now();
    for (int i = 0; i < count; i++) {
        s[i] = (struct submitter){store, runs++, 0, begin + SPAN, chained, false};
        start(&s[i], &thread[i]);
    }
    int steps = 0;
    for (int i = 0; i < count; i++) {
        join(&s[i], thread[i]);
        steps += s[i].step;
    }
    double seconds = (double)(clock_now() - begin) / (double)HARDY_SECOND;
    synced = word_load(&syncs) - synced;
    double floor = (before + measure_floor()) / 2;
    return (struct result){steps / seconds, steps / seconds / floor, (double)synced / steps};
}

static int by_ratio(const void *a, const void *b) {
    double x = ((const struct result *)a)->ratio, y = ((const struct result *)b)->ratio;
    return x < y ? -1 : x > y;
}

int main(int argc, char **argv) {
    static const char *const suffix[] = {"", "-wal", "-shm", "-lock"};
    static const int counts[] = {1, 10, 50};
    struct store *store;
    hardy_error error;
    int rounds = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 5;
    rounds = rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds;
    snprintf(directory, sizeof directory, "%s/durable-XXXXXX", argc > 1 ? argv[1] : ".");
    if (!mkdtemp(directory)) {
        die(directory, "cannot be made");
    }
    snprintf(path, sizeof path, "%s/state.db", directory);
    hardy_error_init(&error, sizeof error);
    count_syncs();
    struct store_options options = {
        .path = path, .create = true, .purpose = "bench", .vfs = "counting"};
    if (store_open(&options, &store, &error) != HARDY_OK) {
        die(error.where, error.message);
    }
    printf("%-8s %10s %10s %8s %12s\n", "", "submitters", "steps/s", "x floor", "syncs/step");
    for (int chained = 0; chained < 2; chained++) {
        for (int i = 0; i < 3; i++) {
            struct result results[ROUNDS_MAX];
            for (int round = 0; round < rounds; round++) {
                results[round] = measure(store, counts[i], chained);
            }
            qsort(results, (size_t)rounds, sizeof *results, by_ratio);
            struct result *r = &results[rounds / 2];
            printf("%-8s %10d %10.0f %8.2f %12.3f\n", chained ? "chains" : "threads", counts[i],
                   r->steps, r->ratio, r->syncs);
        }
    }
    printf("floor: 4 KiB overwritten and synced, %.0f/s\n", measure_floor());
    store_close(store);
    for (size_t i = 0; i < 4; i++) {
        char name[440];
        snprintf(name, sizeof name, "%s%s", path, suffix[i]);
        unlink(name);
    }
    return rmdir(directory);
}
