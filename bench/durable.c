/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Durable steps a second: each is one batch that finishes step n and starts step n + 1, waited for
 * until it is on stable storage. "runs" are runs of five steps as the engine records them, one
 * begun when one is done: six batches for five steps. Beside it, in turns, the floor: overwriting 4
 * KiB and fdatasync in the same directory. What counts is the ratio of the two and the number of
 * syncs a step; both are the median of the rounds.
 *
 * "threads" wait in store_apply(), one step each at a time; "chains", and runs, submit the next
 * batch from the done of the one before, as code on an event loop does. In the end eight processes
 * write to the store at once, and what counts is how equal their shares are.
 *
 * durable [DIRECTORY [ROUNDS]]
 */
#include "base/atomic.h"
#include "base/clock.h"
#include "base/error.h"
#include "drafts.h"
#include "selftest/syncs.h"
#include "store/store.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPAN (400 * HARDY_MILLISECOND)
#define SUBMITTERS_MAX 50
#define ROUNDS_MAX 25
#define RUN_STEPS 5
#define WRITERS 8

static char directory[400], path[420];

static void die(const char *what, const char *why) {
    fprintf(stderr, "durable: %s: %s\n", what, why);
    exit(1);
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

enum manner { THREADS, CHAINS, RUNS, MANNERS };
static const char *const manner_names[MANNERS] = {"threads", "chains", "runs"};

struct submitter {
    struct store *store;
    int number, step;
    int64_t until;
    enum manner manner;
    bool ended;
    struct drafts drafts; /* RUNS */
    int batch;            /* of the run, 0 = none is stored yet */
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

static void end_chain(struct submitter *s) {
    pthread_mutex_lock(&mutex);
    s->ended = true;
    pthread_cond_signal(&ended);
    pthread_mutex_unlock(&mutex);
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
    end_chain(s);
}

static void run_done(void *ctx, hardy_status status, int failed, const hardy_error *error);

static void run_go_on(struct submitter *s) {
    if (s->batch == 0) {
        static atomic_word runs;
        char id[32];
        snprintf(id, sizeof id, "five-%08llu", (unsigned long long)word_add(&runs, 1));
        drafts_new(&s->drafts, id, RUN_STEPS);
        draft_begin(&s->drafts, clock_wall());
    } else {
        draft_go_on(&s->drafts, "", clock_wall());
    }
    s->batch++;
    store_submit(s->store, s->drafts.ops, s->drafts.count, run_done, s);
}

static void run_done(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct submitter *s = ctx;
    (void)failed;
    if (status != HARDY_OK) {
        die(error->where, error->message);
    }
    s->step += s->batch > 1;
    if (s->batch == RUN_STEPS + 1) {
        drafts_free(&s->drafts);
        s->batch = 0;
        if (clock_now() >= s->until) {
            end_chain(s);
            return;
        }
    }
    run_go_on(s);
}

static void start(struct submitter *s, pthread_t *thread) {
    char key[2][48];
    struct store_op ops[2];
    if (s->manner == CHAINS) {
        draft(s, key, ops);
        store_submit(s->store, ops, 2, chain_done, s);
    } else if (s->manner == RUNS) {
        run_go_on(s);
    } else if (pthread_create(thread, NULL, run_thread, s) != 0) {
        die("thread", "cannot be started");
    }
}

static void join(struct submitter *s, pthread_t thread) {
    if (s->manner == THREADS) {
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
static struct result measure(struct store *store, int count, enum manner manner) {
    static int runs;
    struct submitter s[SUBMITTERS_MAX];
    pthread_t thread[SUBMITTERS_MAX] = {0};
    double before = measure_floor();
    uint64_t synced = syncs_count();
    int64_t begin = clock_now();
    for (int i = 0; i < count; i++) {
        s[i] = (struct submitter){
            .store = store, .number = runs++, .until = begin + SPAN, .manner = manner};
        start(&s[i], &thread[i]);
    }
    int steps = 0;
    for (int i = 0; i < count; i++) {
        join(&s[i], thread[i]);
        steps += s[i].step;
    }
    double seconds = (double)(clock_now() - begin) / (double)HARDY_SECOND;
    synced = syncs_count() - synced;
    double floor = (before + measure_floor()) / 2;
    return (struct result){steps / seconds, steps / seconds / floor, (double)synced / steps};
}

static int by_ratio(const void *a, const void *b) {
    double x = ((const struct result *)a)->ratio, y = ((const struct result *)b)->ratio;
    return x < y ? -1 : x > y;
}

/* --- eight processes -------------------------------------------------------------------------- */

/* Commits until `until`; the process's end. */
static void write_alone(int number, int64_t until, int report) {
    struct store *store;
    hardy_error error;
    uint64_t count = 0;
    hardy_error_init(&error, sizeof error);
    struct store_options options = {.path = path, .purpose = "bench"};
    if (store_open(&options, &store, &error) != HARDY_OK) {
        die(error.where, error.message);
    }
    for (; clock_now() < until; count++) {
        char key[48];
        snprintf(key, sizeof key, "writer-%d", number);
        struct store_op op = {
            .kind = STORE_PUT, .row_kind = "writer", .key = key, .value = "{}", .len = 2};
        if (store_apply(store, &op, 1, clock_now() + 30 * HARDY_SECOND, NULL, &error) != HARDY_OK) {
            die(error.where, error.message);
        }
    }
    store_close(store);
    _exit(write(report, &count, sizeof count) == sizeof count ? 0 : 1);
}

static void measure_fairness(void) {
    int ends[2];
    uint64_t least = UINT64_MAX, most = 0, all = 0;
    int64_t until = clock_now() + 5 * SPAN;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        die("pipe", "cannot be made");
    }
    fflush(stdout);
    for (int i = 0; i < WRITERS; i++) {
        if (fork() == 0) {
            write_alone(i, until, ends[1]);
        }
    }
    close(ends[1]);
    for (int i = 0; i < WRITERS; i++) {
        uint64_t count;
        if (read(ends[0], &count, sizeof count) != sizeof count) {
            die("a writer", "did not come to its end");
        }
        least = count < least ? count : least;
        most = count > most ? count : most;
        all += count;
    }
    while (wait(NULL) > 0) {
    }
    close(ends[0]);
    printf("%d processes write at once: %.0f commits/s together, the most diligent %.2f times the "
           "least\n",
           WRITERS, (double)all / (5 * (double)SPAN / (double)HARDY_SECOND),
           (double)most / (double)(least ? least : 1));
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
    syncs_begin();
    struct store_options options = {
        .path = path, .create = true, .purpose = "bench", .vfs = SYNCS_VFS};
    if (store_open(&options, &store, &error) != HARDY_OK) {
        die(error.where, error.message);
    }
    printf("%-8s %10s %10s %8s %12s\n", "", "submitters", "steps/s", "x floor", "syncs/step");
    for (enum manner manner = THREADS; manner < MANNERS; manner++) {
        for (int i = 0; i < 3; i++) {
            struct result results[ROUNDS_MAX];
            for (int round = 0; round < rounds; round++) {
                results[round] = measure(store, counts[i], manner);
            }
            qsort(results, (size_t)rounds, sizeof *results, by_ratio);
            struct result *r = &results[rounds / 2];
            printf("%-8s %10d %10.0f %8.2f %12.3f\n", manner_names[manner], counts[i], r->steps,
                   r->ratio, r->syncs);
        }
    }
    printf("floor: 4 KiB overwritten and synced, %.0f/s\n", measure_floor());
    store_close(store);
    measure_fairness();
    for (size_t i = 0; i < 4; i++) {
        char name[440];
        snprintf(name, sizeof name, "%s%s", path, suffix[i]);
        unlink(name);
    }
    return rmdir(directory);
}
