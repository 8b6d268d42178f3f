/* SPDX-License-Identifier: Apache-2.0 */
/* What every store does, run on each implementation. */
#include "base/clock.h"
#include "base/error.h"
#include "base/prng.h"
#include "store/store.h"
#include "store/upkeep.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
// cmocka.h needs those before it
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic int64_t wall = 1000 * HARDY_SECOND;
static int64_t test_wall(void *ctx) {
    (void)ctx;
    return wall;
}

struct place {
    char directory[32], path[48];
    struct store *store;
};

static int setup(void **state) {
    const char *kind = *state;
    struct place *p = calloc(1, sizeof *p);
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    memcpy(p->directory, "/tmp/hardy-store-XXXXXX", sizeof "/tmp/hardy-store-XXXXXX");
    if (!mkdtemp(p->directory)) {
        return -1;
    }
    snprintf(p->path, sizeof p->path, "%s/state.db", p->directory);
    wall = 1000 * HARDY_SECOND;
    struct store_options options = {.path = strcmp(kind, "sqlite") == 0 ? p->path : NULL,
                                    .create = true,
                                    .wall = test_wall,
                                    .purpose = "test"};
    *state = p;
    return store_open(&options, &p->store, &error) == HARDY_OK ? 0 : -1;
}

static int teardown(void **state) {
    static const char *const suffix[] = {"", "-wal", "-shm", "-lock"};
    struct place *p = *state;
    store_close(p->store);
    for (size_t i = 0; i < 4; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s%s", p->path, suffix[i]);
        unlink(path);
    }
    int failed = rmdir(p->directory);
    free(p);
    return failed;
}

static struct store_op op_of(enum store_op_kind kind, const char *key, int64_t if_fence,
                             int64_t fence, const char *value) {
    return (struct store_op){.kind = kind,
                             .row_kind = "row",
                             .key = key,
                             .if_fence = if_fence,
                             .fence = fence,
                             .value = value,
                             .len = value ? strlen(value) : 0};
}

static int last_failed;
static hardy_error last_error;

static hardy_status apply_ops(struct store *s, const struct store_op *ops, size_t count) {
    hardy_error_init(&last_error, sizeof last_error);
    return store_apply(s, ops, count, clock_now() + 30 * HARDY_SECOND, &last_failed, &last_error);
}

static hardy_status apply(struct store *s, enum store_op_kind kind, const char *key,
                          int64_t if_fence, int64_t fence, const char *value) {
    struct store_op op = op_of(kind, key, if_fence, fence, value);
    return apply_ops(s, &op, 1);
}

/* "fence value" of a row, "" when it is not there. */
static const char *show(struct store *s, const char *key) {
    static char text[256];
    struct store_row row;
    hardy_status status = store_get(s, "row", key, &row, NULL);
    if (status == HARDY_E_NOT_FOUND) {
        return "";
    }
    assert_int_equal(status, HARDY_OK);
    assert_int_equal(strlen(row.value), row.len);
    snprintf(text, sizeof text, "%lld %s", (long long)row.fence, row.value);
    store_row_free(&row);
    return text;
}

static void test_conditions(void **state) {
    struct store *s = ((struct place *)*state)->store;
    assert_int_equal(apply(s, STORE_INSERT, "a", 0, 1, "one"), HARDY_OK);
    assert_int_equal(apply(s, STORE_INSERT, "a", 0, 9, "other"), HARDY_E_EXISTS);
    assert_int_equal(last_failed, 0);
    assert_non_null(strstr(last_error.message, "row a: the row exists already, with fence 1"));
    assert_string_equal(show(s, "a"), "1 one");

    assert_int_equal(apply(s, STORE_UPDATE, "a", 1, 2, "two"), HARDY_OK);
    assert_int_equal(apply(s, STORE_UPDATE, "a", 1, 3, "late"), HARDY_E_FENCED);
    assert_non_null(strstr(last_error.message, "row a: the row has fence 2, not 1"));
    assert_int_equal(apply(s, STORE_UPDATE, "b", 1, 3, "late"), HARDY_E_FENCED);
    assert_non_null(strstr(last_error.message, "row b: there is no such row"));
    assert_string_equal(show(s, "a"), "2 two");
    assert_string_equal(show(s, "b"), "");
    assert_int_equal(apply(s, STORE_UPDATE, "a", STORE_ANY_FENCE, 5, "three"), HARDY_OK);
    assert_int_equal(apply(s, STORE_UPDATE, "b", STORE_ANY_FENCE, 5, "x"), HARDY_E_FENCED);

    assert_int_equal(apply(s, STORE_PUT, "a", 77, 0, ""), HARDY_OK);
    assert_int_equal(apply(s, STORE_PUT, "b", 77, 6, "b"), HARDY_OK);
    assert_string_equal(show(s, "a"), "0 ");
    assert_string_equal(show(s, "b"), "6 b");

    assert_int_equal(apply(s, STORE_REQUIRE, "a", 0, 0, NULL), HARDY_OK);
    assert_int_equal(apply(s, STORE_REQUIRE, "b", STORE_ANY_FENCE, 0, NULL), HARDY_OK);
    assert_int_equal(apply(s, STORE_REQUIRE, "a", 1, 0, NULL), HARDY_E_FENCED);
    assert_int_equal(apply(s, STORE_REQUIRE, "c", 0, 0, NULL), HARDY_E_FENCED);
    assert_int_equal(apply(s, STORE_REQUIRE, "c", STORE_ANY_FENCE, 0, NULL), HARDY_E_FENCED);

    assert_int_equal(apply(s, STORE_DELETE, "a", 1, 0, NULL), HARDY_E_FENCED);
    assert_string_equal(show(s, "a"), "0 ");
    assert_int_equal(apply(s, STORE_DELETE, "a", 0, 0, NULL), HARDY_OK);
    assert_int_equal(apply(s, STORE_DELETE, "b", STORE_ANY_FENCE, 0, NULL), HARDY_OK);
    assert_int_equal(apply(s, STORE_DELETE, "b", 4, 0, NULL), HARDY_OK);
    assert_string_equal(show(s, "a"), "");
    assert_string_equal(show(s, "b"), "");
}

static void test_kinds_are_apart(void **state) {
    struct store *s = ((struct place *)*state)->store;
    struct store_op op = op_of(STORE_INSERT, "a", 0, 1, "x");
    assert_int_equal(apply_ops(s, &op, 1), HARDY_OK);
    op.row_kind = "other";
    assert_int_equal(apply_ops(s, &op, 1), HARDY_OK);
    op.kind = STORE_DELETE;
    op.if_fence = STORE_ANY_FENCE;
    assert_int_equal(apply_ops(s, &op, 1), HARDY_OK);
    assert_string_equal(show(s, "a"), "1 x");
}

static void test_atomic(void **state) {
    struct store *s = ((struct place *)*state)->store;
    assert_int_equal(apply(s, STORE_INSERT, "kept", 0, 1, "kept"), HARDY_OK);
    assert_int_equal(apply(s, STORE_INSERT, "gone", 0, 1, "gone"), HARDY_OK);
    /* Operations of one batch see one another; the last one fails, and nothing is left of them. */
    struct store_op ops[] = {
        op_of(STORE_INSERT, "new", 0, 1, "1"),       op_of(STORE_UPDATE, "new", 1, 2, "2"),
        op_of(STORE_UPDATE, "kept", 1, 2, "change"), op_of(STORE_DELETE, "gone", 1, 0, NULL),
        op_of(STORE_INSERT, "gone", 0, 7, "again"),  op_of(STORE_PUT, "put", 0, 1, "put"),
        op_of(STORE_REQUIRE, "kept", 1, 0, NULL),
    };
    assert_int_equal(apply_ops(s, ops, 7), HARDY_E_FENCED);
    assert_int_equal(last_failed, 6);
    assert_string_equal(show(s, "new"), "");
    assert_string_equal(show(s, "put"), "");
    assert_string_equal(show(s, "kept"), "1 kept");
    assert_string_equal(show(s, "gone"), "1 gone");
    ops[6].if_fence = 2;
    assert_int_equal(apply_ops(s, ops, 7), HARDY_OK);
    assert_int_equal(last_failed, -1);
    assert_string_equal(show(s, "new"), "2 2");
    assert_string_equal(show(s, "kept"), "2 change");
    assert_string_equal(show(s, "gone"), "7 again");
    assert_int_equal(apply_ops(s, NULL, 0), HARDY_OK);
}

static void test_refused(void **state) {
    struct store *s = ((struct place *)*state)->store;
    char long_key[600];
    memset(long_key, 'k', sizeof long_key);
    long_key[513] = '\0';
    assert_int_equal(apply(s, STORE_PUT, long_key, 0, 1, ""), HARDY_E_INVALID);
    long_key[512] = '\0';
    assert_int_equal(apply(s, STORE_PUT, long_key, 0, 1, "long"), HARDY_OK);
    assert_string_equal(show(s, long_key), "1 long");
    assert_int_equal(apply(s, STORE_PUT, "", 0, 1, ""), HARDY_E_INVALID);
    assert_int_equal(apply(s, STORE_PUT, "\xff", 0, 1, ""), HARDY_E_INVALID);
    assert_int_equal(apply(s, STORE_PUT, "a", 0, -1, ""), HARDY_E_INVALID);
    assert_int_equal(apply(s, STORE_UPDATE, "a", -2, 1, ""), HARDY_E_INVALID);
    assert_int_equal(apply(s, (enum store_op_kind)9, "a", 0, 1, ""), HARDY_E_INVALID);
    struct store_op op = op_of(STORE_PUT, "a", 0, 1, "");
    op.row_kind = "a kind of more than thirty-two bytes";
    assert_int_equal(apply_ops(s, &op, 1), HARDY_E_INVALID);
    op.row_kind = "row";
    op.len = STORE_VALUE_MAX + 1;
    assert_int_equal(apply_ops(s, &op, 1), HARDY_E_TOO_LARGE);
    op.value = NULL;
    op.len = 1;
    assert_int_equal(apply_ops(s, &op, 1), HARDY_E_INVALID);
    assert_string_equal(show(s, "a"), "");
}

static void test_big_values(void **state) {
    struct store *s = ((struct place *)*state)->store;
    static const size_t sizes[] = {0, 1, 100, 4000, 5000, 70000, (size_t)1 << 20, STORE_VALUE_MAX};
    char *value = malloc(STORE_VALUE_MAX);
    struct prng random;
    prng_seed(&random, 7);
    for (size_t i = 0; i < STORE_VALUE_MAX; i++) {
        value[i] = (char)prng_next(&random); /* zero bytes too */
    }
    for (size_t i = 0; i < 8; i++) {
        struct store_op op = op_of(STORE_PUT, "big", 0, (int64_t)i, NULL);
        struct store_row row;
        op.value = value + i;
        op.len = sizes[i] > i ? sizes[i] - i : 0;
        wall += HARDY_SECOND;
        assert_int_equal(apply_ops(s, &op, 1), HARDY_OK);
        assert_int_equal(store_get(s, "row", "big", &row, NULL), HARDY_OK);
        assert_int_equal(row.len, op.len);
        assert_memory_equal(row.value, value + i, row.len);
        assert_int_equal(row.value[row.len], 0);
        assert_int_equal(row.changed, wall);
        assert_string_equal(row.kind, "row");
        assert_string_equal(row.key, "big");
        store_row_free(&row);
    }
    /* A batch that is undone leaves the big value as it was. */
    struct store_op ops[] = {op_of(STORE_PUT, "big", 0, 99, "small"),
                             op_of(STORE_REQUIRE, "nothing", 0, 0, NULL)};
    struct store_row row;
    assert_int_equal(apply_ops(s, ops, 2), HARDY_E_FENCED);
    assert_int_equal(store_get(s, "row", "big", &row, NULL), HARDY_OK);
    assert_int_equal(row.fence, 7);
    assert_memory_equal(row.value, value + 7, row.len);
    store_row_free(&row);
    free(value);
}

/* --- scans ------------------------------------------------------------------------------------ */

struct seen {
    char text[400];
    int stop_after;
    struct store *store;
};

static bool see(void *ctx, const struct store_row *row) {
    struct seen *seen = ctx;
    size_t len = strlen(seen->text);
    snprintf(seen->text + len, sizeof seen->text - len, "%s=%s ", row->key, row->value);
    if (seen->store) { /* the store may be used while it is read */
        assert_int_equal(apply(seen->store, STORE_DELETE, row->key, STORE_ANY_FENCE, 0, NULL),
                         HARDY_OK);
    }
    return --seen->stop_after != 0;
}

static const char *scan(struct store *s, const char *kind, const char *prefix, const char *after,
                        size_t limit) {
    static struct seen seen;
    seen = (struct seen){.stop_after = -1};
    assert_int_equal(store_scan(s, kind, prefix, after, limit, see, &seen, NULL), HARDY_OK);
    return seen.text;
}

static void test_scan(void **state) {
    struct store *s = ((struct place *)*state)->store;
    static const char *const keys[] = {"b",  "a/2",      "a",     "a/10", "a/1",
                                       "a0", "\xc3\xa4", "a/1/x", "Z"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char value[8];
        snprintf(value, sizeof value, "%zu", i);
        assert_int_equal(apply(s, STORE_INSERT, keys[i], 0, 1, value), HARDY_OK);
    }
    struct store_op other = op_of(STORE_INSERT, "a/1", 0, 1, "other");
    other.row_kind = "rox";
    assert_int_equal(apply_ops(s, &other, 1), HARDY_OK);

    assert_string_equal(scan(s, "row", "", NULL, 100),
                        "Z=8 a=2 a/1=4 a/1/x=7 a/10=3 a/2=1 a0=5 b=0 \xc3\xa4=6 ");
    assert_string_equal(scan(s, "row", "a/", NULL, 100), "a/1=4 a/1/x=7 a/10=3 a/2=1 ");
    assert_string_equal(scan(s, "row", "a/1", NULL, 100), "a/1=4 a/1/x=7 a/10=3 ");
    assert_string_equal(scan(s, "row", "a/", NULL, 2), "a/1=4 a/1/x=7 ");
    assert_string_equal(scan(s, "row", "a/", "a/1/x", 2), "a/10=3 a/2=1 ");
    assert_string_equal(scan(s, "row", "a/", "a/1/", 1), "a/1/x=7 ");
    assert_string_equal(scan(s, "row", "a/", "A", 1), "a/1=4 ");
    assert_string_equal(scan(s, "row", "a/", "a/", 1), "a/1=4 ");
    assert_string_equal(scan(s, "row", "a/", "b", 100), "");
    assert_string_equal(scan(s, "row", "", "b", 100), "\xc3\xa4=6 ");
    assert_string_equal(scan(s, "row", "c", NULL, 100), "");
    assert_string_equal(scan(s, "row", "", NULL, 0), "");
    assert_string_equal(scan(s, "none", "", NULL, 100), "");
    assert_string_equal(scan(s, "rox", "", NULL, SIZE_MAX), "a/1=other ");

    struct seen seen = {.stop_after = 3};
    assert_int_equal(store_scan(s, "row", "", NULL, 100, see, &seen, NULL), HARDY_OK);
    assert_string_equal(seen.text, "Z=8 a=2 a/1=4 ");

    seen = (struct seen){.stop_after = -1, .store = s};
    assert_int_equal(store_scan(s, "row", "a", NULL, 100, see, &seen, NULL), HARDY_OK);
    assert_string_equal(seen.text, "a=2 a/1=4 a/1/x=7 a/10=3 a/2=1 a0=5 ");
    assert_string_equal(scan(s, "row", "", NULL, 100), "Z=8 b=0 \xc3\xa4=6 ");
}

static bool count_bytes(void *ctx, const struct store_row *row) {
    size_t *sum = ctx;
    sum[0] += row->len;
    sum[1]++;
    assert_int_equal(row->fence, (int64_t)sum[1]);
    return true;
}

/* More than is held in memory at once. */
static void test_scan_large(void **state) {
    struct store *s = ((struct place *)*state)->store;
    char *value = calloc(1, STORE_VALUE_MAX);
    for (int i = 1; i <= 6; i++) {
        char key[8];
        snprintf(key, sizeof key, "%d", i);
        struct store_op op = op_of(STORE_INSERT, key, 0, i, NULL);
        op.value = value;
        op.len = STORE_VALUE_MAX;
        assert_int_equal(apply_ops(s, &op, 1), HARDY_OK);
    }
    size_t sum[2] = {0, 0};
    assert_int_equal(store_scan(s, "row", "", NULL, 100, count_bytes, sum, NULL), HARDY_OK);
    assert_int_equal(sum[0], 6 * STORE_VALUE_MAX);
    sum[0] = sum[1] = 0;
    assert_int_equal(store_scan(s, "row", "", NULL, 5, count_bytes, sum, NULL), HARDY_OK);
    assert_int_equal(sum[1], 5);
    free(value);
}

/* --- order, chains, threads ------------------------------------------------------------------- */

struct chain {
    struct store *store;
    int at, count;
    bool inside;
    pthread_mutex_t mutex;
    pthread_cond_t end;
};

static void chain_next(struct chain *c);

static void chain_done(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct chain *c = ctx;
    (void)failed;
    assert_int_equal(status, HARDY_OK);
    assert_int_equal(error->message[0], 0);
    if (c->at == 7) { /* waiting for oneself is refused */
        assert_int_equal(apply(c->store, STORE_PUT, "x", 0, 1, ""), HARDY_E_INVALID);
    }
    chain_next(c);
}

static void chain_next(struct chain *c) {
    if (c->at == c->count) {
        pthread_mutex_lock(&c->mutex);
        c->at++;
        pthread_cond_signal(&c->end);
        pthread_mutex_unlock(&c->mutex);
        return;
    }
    struct store_op op = op_of(c->at ? STORE_UPDATE : STORE_INSERT, "chain", c->at, c->at + 1, "");
    c->at++;
    store_submit(c->store, &op, 1, chain_done, c);
}

/* Each batch submitted in the done of the one before: neither the stack nor the order suffers. */
static void test_chain(void **state) {
    struct store *s = ((struct place *)*state)->store;
    struct chain c = {.store = s, .count = 1000};
    pthread_mutex_init(&c.mutex, NULL);
    pthread_cond_init(&c.end, NULL);
    chain_next(&c);
    pthread_mutex_lock(&c.mutex);
    while (c.at <= c.count) {
        pthread_cond_wait(&c.end, &c.mutex);
    }
    pthread_mutex_unlock(&c.mutex);
    assert_string_equal(show(s, "chain"), "1000 ");
    assert_string_equal(show(s, "x"), "");
    pthread_cond_destroy(&c.end);
    pthread_mutex_destroy(&c.mutex);
}

static int order_expected;
static hardy_status order_status[400];

static void order_done(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    int number = (int)(intptr_t)ctx;
    (void)failed;
    (void)error;
    assert_int_equal(number, order_expected);
    order_expected++;
    order_status[number] = status;
}

/* Many under way at once: applied and told in the order of submission, each seeing those before;
 * one that is refused undoes nothing of the others. Closing waits for all of them. */
static void test_order(void **state) {
    struct place *p = *state;
    struct store *s = p->store;
    order_expected = 0;
    for (int i = 0; i < 400; i++) {
        bool bad = i % 7 == 3;
        int before = i - i / 7 - (i % 7 > 3 ? 1 : 0); /* good ones so far */
        struct store_op ops[] = {
            op_of(i ? STORE_UPDATE : STORE_INSERT, "n", before, before + 1, bad ? "bad" : "good"),
            op_of(STORE_REQUIRE, bad ? "none" : "n", before + 1, 0, NULL)};
        store_submit(s, ops, 2, order_done, (void *)(intptr_t)i);
    }
    assert_int_equal(apply(s, STORE_PUT, "last", 0, 1, ""), HARDY_OK);
    assert_int_equal(order_expected, 400);
    for (int i = 0; i < 400; i++) {
        assert_int_equal(order_status[i], i % 7 == 3 ? HARDY_E_FENCED : HARDY_OK);
    }
    assert_string_equal(show(s, "n"), "343 good");
    order_expected = 0;
    for (int i = 0; i < 100; i++) {
        struct store_op op = op_of(STORE_PUT, "close", 0, i, "");
        store_submit(s, &op, 1, order_done, (void *)(intptr_t)i);
    }
    store_close(s);
    p->store = NULL;
    assert_int_equal(order_expected, 100);
}

struct worker {
    struct store *store;
    int number, done;
};

/* A shared counter and a row of its own in one batch, against seven others. */
static void *work(void *arg) {
    struct worker *w = arg;
    char key[16];
    while (w->done < 25) {
        struct store_row row;
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        int64_t fence = 0;
        if (store_get(w->store, "row", "shared", &row, &error) == HARDY_OK) {
            fence = row.fence;
            store_row_free(&row);
        }
        snprintf(key, sizeof key, "%d/%d", w->number, w->done);
        struct store_op ops[] = {
            op_of(fence ? STORE_UPDATE : STORE_INSERT, "shared", fence, fence + 1, key),
            op_of(STORE_INSERT, key, 0, fence + 1, "")};
        hardy_status status =
            store_apply(w->store, ops, 2, clock_now() + 30 * HARDY_SECOND, NULL, &error);
        if (status == HARDY_OK) {
            w->done++;
        } else if (status != HARDY_E_FENCED && status != HARDY_E_EXISTS) {
            return NULL;
        }
    }
    return arg;
}

static void test_threads(void **state) {
    struct store *s = ((struct place *)*state)->store;
    struct worker w[8];
    pthread_t thread[8];
    for (int i = 0; i < 8; i++) {
        w[i] = (struct worker){s, i, 0};
        assert_int_equal(pthread_create(&thread[i], NULL, work, &w[i]), 0);
    }
    bool used[201] = {false};
    for (int i = 0; i < 8; i++) {
        void *result;
        pthread_join(thread[i], &result);
        assert_non_null(result);
        for (int k = 0; k < 25; k++) {
            char key[16];
            struct store_row row;
            snprintf(key, sizeof key, "%d/%d", i, k);
            assert_int_equal(store_get(s, "row", key, &row, NULL), HARDY_OK);
            assert_true(row.fence >= 1 && row.fence <= 200 && !used[row.fence]);
            used[row.fence] = true;
            store_row_free(&row);
        }
    }
    assert_int_equal(strncmp(show(s, "shared"), "200 ", 4), 0);
}

/* --- retention -------------------------------------------------------------------------------- */

static void test_expiry(void **state) {
    struct store *s = ((struct place *)*state)->store;
    for (int i = 0; i < 150; i++) {
        char key[16];
        snprintf(key, sizeof key, "e%03d", i);
        struct store_op op = op_of(STORE_PUT, key, 0, 1, "");
        op.expires = wall + 10 * HARDY_SECOND;
        assert_int_equal(apply_ops(s, &op, 1), HARDY_OK);
    }
    struct store_op later = op_of(STORE_PUT, "later", 0, 1, "");
    later.expires = wall + HARDY_DAY;
    assert_int_equal(apply_ops(s, &later, 1), HARDY_OK);
    struct store_row row;
    assert_int_equal(store_get(s, "row", "e000", &row, NULL), HARDY_OK);
    assert_int_equal(row.expires, wall + 10 * HARDY_SECOND);
    store_row_free(&row);
    assert_int_equal(apply(s, STORE_PUT, "never", 0, 1, ""), HARDY_OK);

    /* Removed with the next batches, some at a time, once the clock has passed. */
    wall += 2 * HARDY_MINUTE;
    int rounds = 0;
    while (*scan(s, "row", "e", NULL, 1)) {
        assert_int_equal(apply(s, STORE_PUT, "never", 0, 1, ""), HARDY_OK);
        rounds++;
        assert_true(rounds < 10);
    }
    assert_true(rounds >= 2);
    assert_string_equal(show(s, "later"), "1 ");
    assert_string_equal(show(s, "never"), "1 ");
}

/* "key:length:value fence changed," of each row. */
static bool note_row(void *ctx, const struct store_row *row) {
    char *text = ctx;
    size_t at = strlen(text);
    snprintf(text + at, 400 - at, "%s:%zu:%s %lld %lld,", row->key, row->len, row->value,
             (long long)row->fence, (long long)(row->changed / HARDY_SECOND));
    return true;
}

static void test_keys(void **state) {
    struct store *s = ((struct place *)*state)->store;
    char text[400] = "", large[5001];
    memset(large, 'x', 5000);
    large[5000] = '\0';
    assert_int_equal(apply(s, STORE_PUT, "a/1", 0, 1, "one"), HARDY_OK);
    assert_int_equal(apply(s, STORE_PUT, "a/2", 0, 2, large), HARDY_OK);
    assert_int_equal(apply(s, STORE_PUT, "a/3", 0, 3, ""), HARDY_OK);
    assert_int_equal(apply(s, STORE_PUT, "b", 0, 1, "other"), HARDY_OK);
    /* A row that is copied keeps the time of its change. */
    struct store_op copied = op_of(STORE_INSERT, "a/4", 0, 7, "copied");
    copied.changed = 5 * HARDY_SECOND;
    assert_int_equal(apply_ops(s, &copied, 1), HARDY_OK);
    copied.changed = -1;
    assert_int_equal(apply_ops(s, &copied, 1), HARDY_E_INVALID);
    assert_int_equal(store_scan_keys(s, "row", "a/", NULL, 100, note_row, text, NULL), HARDY_OK);
    assert_string_equal(text, "a/1:3: 1 1000,a/2:5000: 2 1000,a/3:0: 3 1000,a/4:6: 7 5,");
    text[0] = '\0';
    assert_int_equal(store_scan_keys(s, "row", "a/", "a/1", 1, note_row, text, NULL), HARDY_OK);
    assert_string_equal(text, "a/2:5000: 2 1000,");
}

static void test_health(void **state) {
    struct store *s = ((struct place *)*state)->store;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(store_health(s, &error), HARDY_OK);
    assert_int_equal(store_health(s, NULL), HARDY_OK);
    assert_int_equal(apply(s, STORE_REQUIRE, "none", 1, 0, NULL), HARDY_E_FENCED);
    assert_int_equal(store_health(s, &error), HARDY_OK); /* a refusal is no trouble */
}

static void test_copy(void **state) {
    struct store *s = ((struct place *)*state)->store, *other;
    struct store_options options = {.wall = test_wall};
    struct store_copied copied;
    char all[400] = "", there[400] = "";
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    assert_int_equal(apply(s, STORE_PUT, "a", 0, 3, "one"), HARDY_OK);
    wall += HARDY_SECOND;
    assert_int_equal(apply(s, STORE_PUT, "b", 0, 4, "two"), HARDY_OK);
    struct store_op expires = op_of(STORE_PUT, "c", 0, 1, "");
    expires.expires = wall + HARDY_DAY;
    expires.row_kind = "other";
    assert_int_equal(apply_ops(s, &expires, 1), HARDY_OK);
    assert_int_equal(store_open(&options, &other, NULL), HARDY_OK);
    wall += HARDY_SECOND;
    assert_int_equal(store_copy(s, other, &copied, &error), HARDY_OK);
    assert_int_equal(copied.rows, 3);
    assert_int_equal(copied.bytes, 6);
    assert_int_equal(store_scan(s, "row", "", NULL, 9, note_row, all, NULL), HARDY_OK);
    assert_int_equal(store_scan(other, "row", "", NULL, 9, note_row, there, NULL), HARDY_OK);
    assert_string_equal(all, there);
    assert_string_equal(all, "a:3:one 3 1000,b:3:two 4 1001,");
    struct store_row row;
    assert_int_equal(store_get(other, "other", "c", &row, NULL), HARDY_OK);
    assert_true(row.expires == expires.expires);
    store_row_free(&row);
    assert_int_equal(store_copy(s, other, &copied, &error), HARDY_E_EXISTS);
    assert_int_equal(store_copy(other, s, &copied, &error), HARDY_E_EXISTS);
    store_close(other);
}

static void test_describe(void **state) {
    struct store *s = ((struct place *)*state)->store;
    struct buf out;
    assert_int_equal(apply(s, STORE_PUT, "a", 0, 1, ""), HARDY_OK);
    assert_int_equal(apply(s, STORE_PUT, "b", 0, 1, ""), HARDY_OK);
    buf_init(&out, 10000);
    assert_int_equal(store_describe(s, true, &out, NULL), HARDY_OK);
    assert_non_null(strstr(out.data, "\"rows\":{\"row\":2}"));
    assert_non_null(strstr(out.data, "\"kinds\":{\"row\":{\"rows\":2,\"bytes\":0,"
                                     "\"oldest\":\"1000000000000\","
                                     "\"newest\":\"1000000000000\"}}"));
    assert_non_null(strstr(out.data, "\"integrity\":\"ok\""));
    if (strstr(out.data, "\"implementation\":\"sqlite\"")) {
        assert_non_null(strstr(out.data, "\"synchronous\":\"full\""));
        assert_non_null(strstr(out.data, "\"journal_mode\":\"wal\""));
        assert_non_null(strstr(out.data, "\"schema\":1"));
        assert_non_null(strstr(out.data, "\"log_bytes\":"));
    }
    buf_free(&out);
    buf_init(&out, 20);
    assert_int_equal(store_describe(s, false, &out, NULL), HARDY_E_NOMEM);
    buf_free(&out);
}

/* Whatever is done at random, both stores give the same answers. */
static void random_op(struct prng *random, struct store_op *op, char *key, const char *value) {
    snprintf(key, 8, "k%d", (int)prng_below(random, 12));
    *op = op_of((enum store_op_kind)prng_below(random, 5), key, (int64_t)prng_below(random, 4) - 1,
                (int64_t)prng_below(random, 3), value);
}

static void test_as_reference(void **state) {
    struct store *s = ((struct place *)*state)->store, *reference;
    struct store_options options = {.wall = test_wall};
    struct prng random;
    prng_seed(&random, 42);
    assert_int_equal(store_open(&options, &reference, NULL), HARDY_OK);
    int refused = 0;
    for (int i = 0; i < 700; i++) {
        struct store_op ops[4];
        char keys[4][8], value[16];
        size_t count = 1 + (size_t)prng_below(&random, 4);
        snprintf(value, sizeof value, "%d", i);
        for (size_t k = 0; k < count; k++) {
            random_op(&random, &ops[k], keys[k], value);
        }
        hardy_status status = apply_ops(s, ops, count);
        int failed = last_failed;
        char message[400];
        snprintf(message, sizeof message, "%s", last_error.message);
        assert_int_equal(apply_ops(reference, ops, count), status);
        assert_int_equal(last_failed, failed);
        assert_string_equal(last_error.message, message);
        refused += status != HARDY_OK ? 1 : 0;
        if (i % 50 == 0) {
            char all[400];
            snprintf(all, sizeof all, "%s", scan(s, "row", "", NULL, 100));
            assert_string_equal(scan(reference, "row", "", NULL, 100), all);
        }
    }
    assert_true(refused > 100 && refused < 600);
    store_close(reference);
}

#define ON(kind, f)                                                                                \
    { kind ": " #f, f, setup, teardown, (void *)kind }
#define BOTH(f) ON("memory", f), ON("sqlite", f)

int main(void) {
    const struct CMUnitTest tests[] = {
        BOTH(test_conditions),   BOTH(test_kinds_are_apart),
        BOTH(test_atomic),       BOTH(test_refused),
        BOTH(test_big_values),   BOTH(test_scan),
        BOTH(test_scan_large),   BOTH(test_chain),
        BOTH(test_order),        BOTH(test_threads),
        BOTH(test_expiry),       BOTH(test_describe),
        BOTH(test_as_reference), BOTH(test_keys),
        BOTH(test_health),       BOTH(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
