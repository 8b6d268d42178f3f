/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power losses in the middle of runs of twenty steps, their batches being the engine's own: at
 * every write and sync of a disk that loses, tears and reorders what was not synced. After each
 * loss the runs are read and gone on with as the engine does it; the effects, which no power loss
 * undoes, are counted.
 *
 *   test_power LOSSES [SEED [BUG]]
 *   test_power faults
 *
 * BUG 1: an effect before its start is durable; 2: what is started and lost is done again without a
 * question; 3: a result told before it is durable. Each must be found.
 *
 * faults: instead, one call of the disk after the other fails (EIO, ENOSPC; once, or from then on),
 * and the run is gone on with on a disk that works again.
 */
#include "../store/crash_vfs.h"
#include "base/error.h"
#include "base/prng.h"
#include "base/str.h"
#include "drafts.h"
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RUNS = 4, STEPS = 20 };
enum { BUG_EFFECT_FIRST = 1, BUG_AGAIN, BUG_TOLD_FIRST };
static int bug;
static char directory[] = "/tmp/hardy-power-XXXXXX";

/* What the world outside remembers of a run. */
struct driven {
    struct world *world;
    int number;
    struct drafts drafts;
    bool drafted, stored; /* stored: the run was acknowledged */
    int effects[STEPS], allowed[STEPS];
    bool told[STEPS]; /* done, as acknowledged */
    bool asked;       /* in doubt was shown, and settled by a person */
};
struct world {
    struct store *store;
    struct prng random;
    int64_t wall;
    struct driven runs[RUNS];
    int count, next_number;
    bool one_each; /* no run comes after the first one */
    pthread_mutex_t mutex;
    pthread_cond_t idle;
    int active;
    char wrong[480];
    uint64_t losses, steps, in_doubt, questions, acknowledged;
};

static int64_t world_wall(void *ctx) {
    struct world *w = ctx;
    return w->wall += HARDY_MILLISECOND;
}

static void wrong(struct driven *d, const char *what, int step) {
    if (!d->world->wrong[0]) {
        snprintf(d->world->wrong, sizeof d->world->wrong, "run %d, step %d: %s", d->number,
                 step + 1, what);
    }
}

/* Of each three steps one asks a person, one has a probe, one may be repeated. */
static enum in_doubt_policy policy(int step) {
    static const enum in_doubt_policy policies[] = {IN_DOUBT_ASK, IN_DOUBT_PROBE, IN_DOUBT_RERUN};
    return policies[step % 3];
}

static void new_run(struct world *w, struct driven *d) {
    if (d->drafted) {
        drafts_free(&d->drafts);
    }
    *d = (struct driven){.world = w, .number = w->next_number++};
}

static void have_effect(struct driven *d, int step) {
    if (++d->effects[step] > 1 + d->allowed[step]) {
        wrong(d, "its effect is repeated, and nobody was shown why", step);
    }
}

/* --- the engine's way, on the store's thread ----------------------------------------------------
 */

static void step_started(struct driven *d);

static int place_of(const struct driven *d) {
    const struct run_step *s = drafts_step(&d->drafts);
    return s ? (int)s->place : STEPS;
}

static void leave(struct driven *d) {
    struct world *w = d->world;
    pthread_mutex_lock(&w->mutex);
    w->active--;
    pthread_cond_signal(&w->idle);
    pthread_mutex_unlock(&w->mutex);
}

static void on_stored(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct driven *d = ctx;
    (void)failed;
    if (status == HARDY_OK) {
        d->stored = true;
        d->world->acknowledged++;
        step_started(d);
        return;
    }
    if (status == HARDY_E_FENCED || status == HARDY_E_EXISTS || status == HARDY_E_CORRUPT) {
        wrong(d, error->message, place_of(d));
    }
    leave(d);
}

static void submit(struct driven *d) {
    if (bug == BUG_EFFECT_FIRST && place_of(d) < STEPS) {
        have_effect(d, place_of(d));
    }
    store_submit(d->world->store, d->drafts.ops, d->drafts.count, on_stored, d);
}

static void begin(struct driven *d) {
    char id[16];
    snprintf(id, sizeof id, "r%06d", d->number);
    drafts_new(&d->drafts, id, STEPS);
    d->drafted = true;
    draft_begin(&d->drafts, world_wall(d->world));
    submit(d);
}

/* What is known is durable: the step has its effect, its result goes with the start of the next. */
static void step_started(struct driven *d) {
    char output[64];
    int step = place_of(d);
    for (int i = 0; i < step; i++) {
        d->told[i] = true;
    }
    d->world->steps += step > 0;
    if (step == STEPS && d->world->one_each) {
        leave(d);
        return;
    }
    if (step == STEPS) {
        new_run(d->world, d);
        begin(d);
        return;
    }
    if (!d->world->one_each && prng_below(&d->world->random, 40) == 0) { /* hardy is killed here */
        leave(d);
        return;
    }
    if (bug != BUG_EFFECT_FIRST) {
        have_effect(d, step);
    }
    d->told[step] = d->told[step] || bug == BUG_TOLD_FIRST;
    snprintf(output, sizeof output, "{\"run\":%d,\"step\":%d}", d->number, step);
    draft_go_on(&d->drafts, output, world_wall(d->world));
    submit(d);
}

/* --- after a loss -------------------------------------------------------------------------------
 */

/* What is recorded holds all that was told, and nothing that did not happen. */
static void look(struct driven *d) {
    const struct run *r = &d->drafts.run;
    int done = place_of(d);
    for (int i = 0; i < STEPS; i++) {
        const struct record *step = &r->root->children[i]->record;
        char output[64];
        snprintf(output, sizeof output, "{\"run\":%d,\"step\":%d}", d->number, i);
        if (d->told[i] && i >= done) {
            wrong(d, "it was acknowledged as done, and is not", i);
        } else if (i < done && d->effects[i] == 0) {
            wrong(d, "it is done without its effect", i);
        } else if (i < done && !str_eq(step->output, output) && !str_eq(step->output, "by hand")) {
            wrong(d, "its result is not the one that was recorded", i);
        } else if (i > done && step->state != RECORD_PENDING) {
            wrong(d, "it has begun though the one before is not done", i);
        } else if (i == done && step->state != RECORD_STARTED) {
            wrong(d, "it comes next and has not begun: half a batch", i);
        }
    }
    if ((r->state == RUN_DONE) != (done == STEPS)) {
        wrong(d, "the run's row does not fit its steps: half a batch", done);
    }
}

/* The step that was started when the power went; its files are gone, so the world is lost. */
static void settle(struct driven *d) {
    int step = place_of(d);
    const struct record *r = &drafts_step(&d->drafts)->record;
    enum record_next next = record_decide(r, r->fingerprint, WORLD_LOST, policy(step));
    bool happened = d->effects[step] > 0;
    d->world->in_doubt++;
    if (next == NEXT_PROBE) {
        next = record_after_probe(happened ? PROBE_DONE : PROBE_NOT_DONE);
    } else if (next == NEXT_ASK) {
        d->world->questions++;
        next = happened ? NEXT_COLLECT : NEXT_RUN;
    } else if (next == NEXT_RUN && policy(step) == IN_DOUBT_RERUN) {
        d->allowed[step]++;
    } else {
        wrong(d, "it was lost while it ran, and that is not seen", step);
    }
    if (bug == BUG_AGAIN) {
        next = NEXT_RUN;
    }
    if (next == NEXT_COLLECT) {
        draft_go_on(&d->drafts, "by hand", world_wall(d->world));
    } else {
        draft_again(&d->drafts, world_wall(d->world));
    }
}

/* The lease is taken first, as the next owner does. */
static void on_taken_over(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct driven *d = ctx;
    (void)failed;
    (void)error;
    if (status != HARDY_OK) {
        leave(d);
        return;
    }
    settle(d);
    submit(d);
}

static void resume(struct driven *d) {
    struct world *w = d->world;
    hardy_error error;
    char id[16];
    hardy_error_init(&error, sizeof error);
    snprintf(id, sizeof id, "r%06d", d->number);
    if (d->drafted) {
        drafts_free(&d->drafts);
        d->drafted = false;
    }
    hardy_status status = drafts_load(&d->drafts, w->store, id, &error);
    d->drafted = true;
    if (status == HARDY_E_NOT_FOUND) {
        if (d->stored) {
            wrong(d, "the run was acknowledged, and is not there", 0);
        }
        drafts_free(&d->drafts);
        begin(d);
        return;
    }
    if (status != HARDY_OK) {
        if (!disk_is_dead() && !disk_has_failed()) {
            wrong(d, error.message, 0);
        }
        leave(d);
        return;
    }
    d->stored = true;
    look(d);
    if (w->wrong[0]) {
        leave(d);
    } else if (place_of(d) == STEPS && w->one_each) {
        leave(d);
    } else if (place_of(d) == STEPS) {
        new_run(w, d);
        begin(d);
    } else {
        draft_take_over(&d->drafts, world_wall(w));
        store_submit(w->store, d->drafts.ops, d->drafts.count, on_taken_over, d);
    }
}

/* The first batch goes on with all runs from its `done`, so that this thread never races with them.
 */
static void on_open(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct world *w = ctx;
    (void)failed;
    (void)error;
    for (int i = 0; i < w->count && status == HARDY_OK; i++) {
        pthread_mutex_lock(&w->mutex);
        w->active++;
        pthread_mutex_unlock(&w->mutex);
        resume(&w->runs[i]);
    }
    pthread_mutex_lock(&w->mutex);
    w->active--;
    pthread_cond_signal(&w->idle);
    pthread_mutex_unlock(&w->mutex);
}

/* --- from power-on to power loss ------------------------------------------------------------- */

/* Opens the store, and goes on with all runs until none of them can. */
static void go_on(struct world *w) {
    char path[64];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    snprintf(path, sizeof path, "%s/state.db", directory);
    struct store_options options = {.path = path,
                                    .create = true,
                                    .wall = world_wall,
                                    .wall_ctx = w,
                                    .purpose = "power test",
                                    .vfs = "crash",
                                    .log_max = prng_below(&w->random, 2) ? 20000 : 0};
    hardy_status status = store_open(&options, &w->store, &error);
    if (status == HARDY_OK) {
        w->active = 1;
        store_submit(w->store, NULL, 0, on_open, w);
        pthread_mutex_lock(&w->mutex);
        while (w->active > 0) {
            pthread_cond_wait(&w->idle, &w->mutex);
        }
        pthread_mutex_unlock(&w->mutex);
        store_close(w->store);
    } else if (!disk_is_dead() && !disk_has_failed()) {
        snprintf(w->wrong, sizeof w->wrong, "cannot open: %s", error.message);
    }
}

static void live(struct world *w) {
    static const uint64_t spans[] = {6, 30, 150, 400};
    disk_arm(1 + prng_below(&w->random, spans[prng_below(&w->random, 4)]));
    go_on(w);
    disk_reboot();
    w->losses++;
}

static void chain(struct world *w, uint64_t seed, uint64_t losses) {
    prng_seed(&w->random, seed);
    disk_new(prng_next(&w->random));
    w->count = 1 + (int)prng_below(&w->random, RUNS);
    for (int i = 0; i < w->count; i++) {
        new_run(w, &w->runs[i]);
    }
    for (uint64_t lives = 1 + prng_below(&w->random, 60);
         lives > 0 && w->losses < losses && !w->wrong[0]; lives--) {
        live(w);
    }
    for (int i = 0; i < w->count; i++) {
        if (w->runs[i].drafted) {
            drafts_free(&w->runs[i].drafts);
        }
        w->runs[i] = (struct driven){0};
    }
}

/* Whether the n-th call of the disk was there to fail. */
static bool fault(struct world *w, enum disk_fault kind, uint64_t n, bool stays) {
    struct driven *d = &w->runs[0];
    disk_new(n);
    new_run(w, d);
    disk_fail(kind, n, stays);
    go_on(w);
    bool reached = disk_has_failed();
    disk_fail(FAULT_NONE, 0, false);
    if (!w->wrong[0]) {
        go_on(w);
    }
    if (!w->wrong[0] && (!d->drafted || place_of(d) != STEPS)) {
        wrong(d, "the run does not come to its end on a disk that works again", 0);
    }
    w->losses += reached;
    return reached;
}

static void fault_all(struct world *w) {
    prng_seed(&w->random, 1);
    w->count = 1;
    w->one_each = true;
    for (int i = 0; i < 4 && !w->wrong[0]; i++) {
        uint64_t n = 1;
        while (!w->wrong[0] && fault(w, i % 2 ? FAULT_NOSPACE : FAULT_IO, n, i >= 2)) {
            n++;
        }
        printf("# %s %s: each of %llu calls failed in turn\n", i % 2 ? "ENOSPC" : "EIO",
               i >= 2 ? "from then on" : "once", (unsigned long long)n - 1);
        if (w->wrong[0]) {
            printf("# call %llu: %s\n", (unsigned long long)n, w->wrong);
        }
    }
    drafts_free(&w->runs[0].drafts);
}

static void result(int number, bool good, const char *what) {
    printf("%sok %d - %s\n", good ? "" : "not ", number, what);
}

int main(int argc, char **argv) {
    static struct world w;
    bool faults = argc > 1 && str_eq(argv[1], "faults");
    uint64_t losses = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, chains = 0;
    bug = argc > 3 ? (int)strtol(argv[3], NULL, 10) : 0;
    if (!mkdtemp(directory)) {
        perror(directory);
        return 1;
    }
    pthread_mutex_init(&w.mutex, NULL);
    pthread_cond_init(&w.idle, NULL);
    w.wall = HARDY_DAY;
    if (faults) {
        fault_all(&w);
        losses = 100; /* at least, or the disk has not been asked for much */
    }
    while (!faults && w.losses < losses && !w.wrong[0]) {
        chain(&w, prng_mix(seed ^ prng_mix(++chains)), losses);
    }
    disk_free();
    printf("# %llu losses in %llu chains: %d runs, %llu steps done, %llu batches acknowledged; "
           "lost while they ran %llu, of these put to a person %llu\n",
           (unsigned long long)w.losses, (unsigned long long)chains, w.next_number,
           (unsigned long long)w.steps, (unsigned long long)w.acknowledged,
           (unsigned long long)w.in_doubt, (unsigned long long)w.questions);
    if (w.wrong[0]) {
        printf("# seed %llu, chain %llu, loss %llu: %s\n", (unsigned long long)seed,
               (unsigned long long)chains, (unsigned long long)w.losses, w.wrong);
    }
    bool good = bug ? w.wrong[0] != '\0' : !w.wrong[0] && w.steps > losses && w.in_doubt > 0;
    if (bug) {
        result(1, good, "the seeded mistake is found");
    } else {
        result(1, good, "nothing acknowledged is lost, nothing is repeated unseen, no half batch");
    }
    printf("1..1\n");
    char path[64];
    snprintf(path, sizeof path, "%s/state.db-lock", directory);
    unlink(path);
    rmdir(directory);
    return good ? 0 : 1;
}
