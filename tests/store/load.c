/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"
#include "base/error.h"
#include "base/str.h"
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void load_init(struct load *l, uint64_t seed, int runs, size_t value_max) {
    *l = (struct load){.seed = seed, .runs = runs, .value_max = value_max, .wall = HARDY_DAY};
    prng_seed(&l->random, seed);
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->idle, NULL);
    for (int i = 0; i < runs; i++) {
        l->run[i] = (struct load_run){.load = l, .number = l->next_number++, .acknowledged = -1};
    }
}

void load_free(struct load *l) {
    pthread_cond_destroy(&l->idle);
    pthread_mutex_destroy(&l->mutex);
}

/* Called by the store's thread; nobody looks meanwhile. */
int64_t load_wall(void *load) {
    struct load *l = load;
    return l->wall += 10 * HARDY_SECOND;
}

static bool wrong(struct load *l, const char *format, ...) HARDY_PRINTF(2, 3);
static bool wrong(struct load *l, const char *format, ...) {
    if (!l->wrong[0]) {
        va_list args;
        va_start(args, format);
        vsnprintf(l->wrong, sizeof l->wrong, format, args);
        va_end(args);
    }
    return false;
}

/* --- what the rows hold: a function of seed, run, step and state ------------------------------ */

static size_t value_of(const struct load *l, int run, int step, int state, char *out) {
    uint64_t mark =
        prng_mix(l->seed ^ prng_mix((uint64_t)run << 32 | (uint64_t)step << 8 | (uint64_t)state));
    size_t len = (size_t)snprintf(out, 64, "{\"run\":%d,\"step\":%d,\"state\":%d,\"x\":\"", run,
                                  step, state);
    /* Most values are small, some need pages of their own. */
    size_t more = mark % 8 == 0 ? (size_t)(mark >> 8) % l->value_max : (size_t)(mark >> 8) % 200;
    for (size_t i = 0; i < more; i++) {
        out[len++] = (char)('a' + (mark >> (i % 57)) % 26);
    }
    out[len++] = '"';
    out[len++] = '}';
    return len;
}

/* --- writing ---------------------------------------------------------------------------------- */

#define OPS (LOAD_STEPS + 8)

struct draft {
    struct store_op op[OPS];
    char key[OPS][32];
    char *value[OPS];
    size_t count;
};

static void add(struct load *l, struct draft *d, enum store_op_kind kind, const char *row_kind,
                int run, int step, int64_t before, int64_t fence, int state) {
    struct store_op *op = &d->op[d->count];
    char *key = d->key[d->count];
    assert(d->count < OPS);
    *op = (struct store_op){.kind = kind, .row_kind = row_kind, .key = key, .if_fence = before};
    op->fence = fence;
    snprintf(key, sizeof d->key[0], step ? "%06d/%04d" : "%06d", run, step);
    if (kind == STORE_INSERT || kind == STORE_UPDATE || kind == STORE_PUT) {
        d->value[d->count] = malloc(l->value_max + 128);
        assert(d->value[d->count]);
        op->value = d->value[d->count];
        op->len = value_of(l, run, step, state, d->value[d->count]);
    }
    d->count++;
}

/* The batch after `n` acknowledged ones: 0 makes the run and starts step 1, n finishes step n and
 * starts n + 1, the last one finishes the run. Then the run's rows go, in one batch, and with it
 * comes the next run. */
static void draft_batch(struct load *l, const struct load_run *run, struct draft *d) {
    int n = run->acknowledged + 1;
    if (n > LOAD_STEPS) {
        add(l, d, STORE_DELETE, "run", run->number, 0, LOAD_STEPS + 1, 0, 0);
        for (int i = 1; i <= LOAD_STEPS; i++) {
            add(l, d, STORE_DELETE, "step", run->number, i, 2, 0, 0);
        }
        return;
    }
    add(l, d, n == 0 ? STORE_INSERT : STORE_UPDATE, "run", run->number, 0, n, n + 1, n);
    if (n > 0) {
        add(l, d, STORE_UPDATE, "step", run->number, n, 1, 2, 2);
    }
    if (n < LOAD_STEPS) {
        add(l, d, STORE_INSERT, "step", run->number, n + 1, 0, 1, 1);
    }
    if (n % 3 == 0) { /* something that retention removes */
        add(l, d, STORE_PUT, "note", run->number, n + 1, 0, 1, 0);
        d->op[d->count - 1].expires = l->wall + HARDY_MINUTE;
    }
}

/* One that must leave nothing behind: it writes, then asks for what is not so. */
static void draft_refused(struct load *l, const struct load_run *run, struct draft *d) {
    add(l, d, STORE_PUT, "never", run->number, 0, 0, 1, 9);
    add(l, d, STORE_PUT, "run", run->number, 0, 0, 77, 9);
    add(l, d, STORE_REQUIRE, "run", run->number, 0, 4711, 0, 0);
}

static void go_on(struct load_run *run);

static void batch_done(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct load_run *run = ctx;
    struct load *l = run->load;
    (void)failed;
    run->under_way = status == HARDY_E_IO || status == HARDY_E_CLOSED || status == HARDY_E_NOSPACE;
    bool good = status == HARDY_OK;
    if (run->tries_refused) {
        run->under_way = false;
        good = status == HARDY_E_FENCED;
    } else if (good) {
        l->acknowledged++;
        run->acknowledged++;
        if (run->acknowledged > LOAD_STEPS) {
            run->number = l->next_number++;
            run->acknowledged = -1;
        }
    }
    if (good && l->stopped_by == HARDY_OK && l->left > 0) {
        go_on(run);
        return;
    }
    if (!good && l->stopped_by == HARDY_OK) {
        l->stopped_by = status;
        if (status == HARDY_OK || status == HARDY_E_FENCED || status == HARDY_E_EXISTS ||
            status == HARDY_E_CORRUPT || status == HARDY_E_NEWER || status == HARDY_E_INVALID) {
            wrong(l, "a batch of run %d after %d ended with %s: %s", run->number, run->acknowledged,
                  hardy_status_name(status), error->message);
        }
    }
    pthread_mutex_lock(&l->mutex);
    l->active--;
    pthread_cond_signal(&l->idle);
    pthread_mutex_unlock(&l->mutex);
}

static void go_on(struct load_run *run) {
    struct load *l = run->load;
    struct draft d = {.count = 0};
    l->left--;
    run->tries_refused = prng_below(&l->random, 12) == 0;
    if (run->tries_refused) {
        draft_refused(l, run, &d);
    } else {
        draft_batch(l, run, &d);
    }
    run->under_way = !run->tries_refused;
    store_submit(l->store, d.op, d.count, batch_done, run);
    for (size_t i = 0; i < d.count; i++) {
        free(d.value[i]);
    }
}

/* The first batch starts all runs from its `done`, so that this thread never races with them. */
static void started(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct load *l = ctx;
    (void)failed;
    (void)error;
    l->stopped_by = status;
    for (int i = 0; i < l->runs && status == HARDY_OK; i++) {
        pthread_mutex_lock(&l->mutex);
        l->active++;
        pthread_mutex_unlock(&l->mutex);
        go_on(&l->run[i]);
    }
    pthread_mutex_lock(&l->mutex);
    l->active--;
    pthread_cond_signal(&l->idle);
    pthread_mutex_unlock(&l->mutex);
}

hardy_status load_go(struct load *l, struct store *store, int batches) {
    l->store = store;
    l->left = batches;
    l->stopped_by = HARDY_OK;
    l->active = 1;
    store_submit(store, NULL, 0, started, l);
    pthread_mutex_lock(&l->mutex);
    while (l->active > 0) {
        pthread_cond_wait(&l->idle, &l->mutex);
    }
    pthread_mutex_unlock(&l->mutex);
    return l->stopped_by;
}

/* --- looking ---------------------------------------------------------------------------------- */

struct look {
    struct load *l;
    char *expected;
    int count[LOAD_RUNS]; /* steps found */
    int batches[LOAD_RUNS];
    bool found[LOAD_RUNS];
};

static bool check_value(struct look *k, const struct store_row *row, int run, int step, int state) {
    size_t len = value_of(k->l, run, step, state, k->expected);
    return (row->len == len && memcmp(row->value, k->expected, len) == 0) ||
           wrong(k->l, "%s %s: its %zu bytes are not what was stored", row->kind, row->key,
                 row->len);
}

static int run_index(const struct load *l, int number) {
    for (int i = 0; i < l->runs; i++) {
        if (l->run[i].number == number) {
            return i;
        }
    }
    return -1;
}

static bool see_run(void *ctx, const struct store_row *row) {
    struct look *k = ctx;
    int number = (int)strtol(row->key, NULL, 10), i = run_index(k->l, number);
    if (i < 0) {
        return wrong(k->l, "run %s was removed, acknowledged, and is there again", row->key);
    }
    k->found[i] = true;
    k->batches[i] = (int)row->fence - 1;
    return check_value(k, row, number, 0, (int)row->fence - 1);
}

static bool see_step(void *ctx, const struct store_row *row) {
    struct look *k = ctx;
    char *rest;
    int number = (int)strtol(row->key, &rest, 10), i = run_index(k->l, number);
    int step = (int)strtol(rest + 1, NULL, 10);
    if (i < 0) {
        return wrong(k->l, "step %s of a run that was removed is there again", row->key);
    }
    if (step != ++k->count[i]) {
        return wrong(k->l, "step %s where step %d of the run is due", row->key, k->count[i]);
    }
    if (!k->found[i] || row->fence != (step <= k->batches[i] ? 2 : 1)) {
        return wrong(k->l, "step %s has fence %d, but %d batches of the run are there", row->key,
                     (int)row->fence, k->found[i] ? k->batches[i] : -1);
    }
    return check_value(k, row, number, step, (int)row->fence);
}

static bool see_note(void *ctx, const struct store_row *row) {
    struct look *k = ctx;
    char *rest;
    int number = (int)strtol(row->key, &rest, 10);
    return check_value(k, row, number, (int)strtol(rest + 1, NULL, 10), 0);
}

static bool see_never(void *ctx, const struct store_row *row) {
    struct look *k = ctx;
    return wrong(k->l, "%s %s was written by a batch that was refused", row->kind, row->key);
}

/* A run's rows say how many of its batches are there; that must be all that were acknowledged, and
 * at most the one under way besides. */
static bool settle_run(struct look *k, int i) {
    struct load *l = k->l;
    struct load_run *run = &l->run[i];
    int there = k->found[i] ? k->batches[i] : -1;
    bool removed = !k->found[i] && run->acknowledged == LOAD_STEPS && run->under_way;
    if (removed) {
        run->number = l->next_number++;
        run->acknowledged = -1;
    } else if (there < run->acknowledged) {
        return wrong(l, "run %d: %d batches were acknowledged, %d are there", run->number,
                     run->acknowledged + 1, there + 1);
    } else if (there > run->acknowledged + (run->under_way ? 1 : 0)) {
        return wrong(l, "run %d: %d batches were submitted, %d are there", run->number,
                     run->acknowledged + 1, there + 1);
    } else {
        run->acknowledged = there;
    }
    run->under_way = false;
    int due = there < 0 ? 0 : there < LOAD_STEPS ? there + 1 : LOAD_STEPS;
    return k->count[i] == due || wrong(l, "run %d: %d steps are there, not %d: half a batch",
                                       run->number, k->count[i], due);
}

bool load_verify(struct load *l, struct store *store) {
    struct look k = {.l = l, .expected = malloc(l->value_max + 128)};
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert(k.expected);
    hardy_status status = store_scan(store, "run", "", NULL, SIZE_MAX, see_run, &k, &error);
    if (status == HARDY_OK) {
        status = store_scan(store, "step", "", NULL, SIZE_MAX, see_step, &k, &error);
    }
    if (status == HARDY_OK) {
        status = store_scan(store, "note", "", NULL, SIZE_MAX, see_note, &k, &error);
    }
    if (status == HARDY_OK) {
        status = store_scan(store, "never", "", NULL, SIZE_MAX, see_never, &k, &error);
    }
    free(k.expected);
    if (status != HARDY_OK) {
        wrong(l, "cannot read: %s: %s", hardy_status_name(status), error.message);
    }
    for (int i = 0; i < l->runs && !l->wrong[0]; i++) {
        settle_run(&k, i);
    }
    struct buf text;
    buf_init(&text, 1 << 16);
    status = store_describe(store, true, &text, &error);
    if (status != HARDY_OK || !strstr(text.data, "\"integrity\":\"ok\"")) {
        wrong(l, "integrity: %s", status == HARDY_OK ? text.data : error.message);
    }
    buf_free(&text);
    return !l->wrong[0];
}
