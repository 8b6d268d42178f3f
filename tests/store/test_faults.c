/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The n-th call to the disk fails, for n = 1, 2, 3 ... until a whole life passes without reaching
 * it: EIO and ENOSPC, once and from then on. Whatever is reported, nothing acknowledged is lost, no
 * batch is there in part, the database is sound and opens again, and a store that failed stays
 * failed but can be read. Half of the lives are followed by batches of a second store and a power
 * loss: what a failed sync has left in the page cache must not carry away what was acknowledged
 * after it.
 */
#include "base/clock.h"
#include "base/error.h"
#include "crash_vfs.h"
#include "load.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
// cmocka.h needs those before it
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BATCHES 30
#define LOG_MAX 30000 /* written back every few batches */

static char directory[] = "/tmp/hardy-faults-XXXXXX";

static int64_t pause_on_full; /* of the stores that are opened */

static hardy_status open_store(struct load *l, size_t log_max, struct store **store,
                               hardy_error *error) {
    char path[64];
    hardy_error_init(error, sizeof *error);
    snprintf(path, sizeof path, "%s/state.db", directory);
    struct store_options options = {.path = path,
                                    .create = true,
                                    .wall = load_wall,
                                    .wall_ctx = l,
                                    .vfs = "crash",
                                    .log_max = log_max,
                                    .pause_on_full = pause_on_full};
    return store_open(&options, store, error);
}

static hardy_status put(struct store *store, const char *key) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    struct store_op op = {.kind = STORE_PUT, .row_kind = "other", .key = key};
    return store_apply(store, &op, 1, clock_now() + 20 * HARDY_SECOND, NULL, &error);
}

/* What a store that stopped still does. */
static void check_stopped(struct load *l, struct store *store, hardy_status stopped, bool stays) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (stopped == HARDY_E_IO) {
        /* For as long as the process lives: nobody asks the disk again and believes it. */
        assert_int_equal(store_health(store, &error), HARDY_E_IO);
        assert_true(error.message[0] != '\0');
        assert_int_equal(put(store, "after"), HARDY_E_IO);
        assert_int_equal(put(store, "after"), HARDY_E_IO);
        assert_int_equal(store_health(store, &error), HARDY_E_IO);
    } else {
        assert_true(stopped == HARDY_E_NOSPACE);
        hardy_status again = put(store, "after");
        assert_true(again == HARDY_OK || (stays && again == HARDY_E_NOSPACE));
        assert_int_equal(store_health(store, &error), again);
    }
    if (!stays) {
        struct store_row row;
        hardy_status found = store_get(store, "other", "before", &row, &error);
        assert_int_equal(found, HARDY_OK);
        store_row_free(&row);
    }
    (void)l;
}

static void must_verify(struct load *l, struct store *store, const char *when, uint64_t n) {
    if (!load_verify(l, store)) {
        fail_msg("call %llu, %s: %s", (unsigned long long)n, when, l->wrong);
    }
}

struct outcome {
    bool reached, opened;
    hardy_status status;
};

static struct outcome one_life(enum disk_fault fault, bool stays, bool begun, uint64_t n,
                               struct load *l) {
    struct outcome outcome = {.status = HARDY_OK};
    struct store *store;
    hardy_error error;
    if (begun) { /* an old database, with a log to be recovered */
        assert_int_equal(open_store(l, LOG_MAX, &store, &error), HARDY_OK);
        assert_int_equal(load_go(l, store, 12), HARDY_OK);
        store_close(store);
    }
    disk_fail(fault, n, stays);
    outcome.status = open_store(l, LOG_MAX, &store, &error);
    outcome.opened = outcome.status == HARDY_OK;
    if (outcome.opened) {
        outcome.status = put(store, "before");
        if (outcome.status == HARDY_OK) {
            outcome.status = load_go(l, store, BATCHES);
            if (outcome.status != HARDY_OK) {
                check_stopped(l, store, outcome.status, stays);
            }
        }
        store_close(store);
    }
    outcome.reached = disk_has_failed();
    disk_fail(FAULT_NONE, 0, false);
    return outcome;
}

/* One call in so many fails in its turn; with a sanitizer not each. Odd. */
static uint64_t stride = 1;

static void every_call(enum disk_fault fault, bool stays, bool begun) {
    bool reached = true;
    uint64_t n, failed_opens = 0, failed = 0, unharmed = 0;
    for (n = 1; reached; n += stride) {
        struct load load, *l = &load;
        struct store *store;
        hardy_error error;
        disk_new(n);
        load_init(l, n, 2, 9000);
        struct outcome outcome = one_life(fault, stays, begun, n, l);
        hardy_status status = outcome.status;
        reached = outcome.reached;
        assert_string_equal(l->wrong, "");
        failed_opens += !outcome.opened ? 1 : 0;
        failed += outcome.opened && status != HARDY_OK ? 1 : 0;
        unharmed += status == HARDY_OK ? 1 : 0;
        if (status != HARDY_OK && status != (fault == FAULT_IO ? HARDY_E_IO : HARDY_E_NOSPACE) &&
            status != HARDY_E_IO) {
            fail_msg("call %llu: %s", (unsigned long long)n, hardy_status_name(status));
        }
        /* The disk is well again. The log is kept, for what was lost of it to be missed. */
        hardy_status again = open_store(l, (size_t)1 << 20, &store, &error);
        if (again != HARDY_OK) {
            fail_msg("call %llu: opened again: %s: %s", (unsigned long long)n,
                     hardy_status_name(again), error.message);
        }
        must_verify(l, store, "opened again", n);
        if (n % 2 == 0) {
            hardy_status went = load_go(l, store, 10);
            assert_int_equal(went, HARDY_OK);
            store_close(store);
            disk_reboot();
            again = open_store(l, LOG_MAX, &store, &error);
            if (again != HARDY_OK) {
                fail_msg("call %llu: opened after a power loss: %s: %s", (unsigned long long)n,
                         hardy_status_name(again), error.message);
            }
            must_verify(l, store, "after a power loss", n);
        }
        store_close(store);
        load_free(l);
        /* The mark of a failed sync belongs to the disk that is thrown away now. */
        char path[64];
        snprintf(path, sizeof path, "%s/state.db-lock", directory);
        unlink(path);
    }
    disk_free();
    printf("# %llu calls: %llu openings and %llu stores failed, %llu lives were not harmed\n",
           (unsigned long long)(n / stride), (unsigned long long)failed_opens,
           (unsigned long long)failed, (unsigned long long)unharmed);
    assert_true(n > 100 && failed_opens > 0 && failed * stride > 10);
}

static void test_io_once(void **state) {
    (void)state;
    every_call(FAULT_IO, false, false);
    every_call(FAULT_IO, false, true);
}

static void test_io_stays(void **state) {
    (void)state;
    every_call(FAULT_IO, true, false);
    every_call(FAULT_IO, true, true);
}

static void test_full_once(void **state) {
    (void)state;
    every_call(FAULT_NOSPACE, false, false);
    every_call(FAULT_NOSPACE, false, true);
}

static void test_full_stays(void **state) {
    (void)state;
    every_call(FAULT_NOSPACE, true, false);
    every_call(FAULT_NOSPACE, true, true);
}

/* With pause_on_full what found no room once is written all the same, once and in its order. Every
 * few calls only, for each costs a pause. */
static void test_full_paused(void **state) {
    (void)state;
    bool reached = true;
    int paused = 0;
    for (uint64_t n = 1; reached; n += 4 * stride) {
        struct load load, *l = &load;
        struct store *store;
        hardy_error error;
        disk_new(n);
        load_init(l, n, 2, 9000);
        pause_on_full = HARDY_MINUTE;
        assert_int_equal(open_store(l, LOG_MAX, &store, &error), HARDY_OK);
        disk_fail(FAULT_NOSPACE, n, false);
        hardy_status status = load_go(l, store, BATCHES);
        reached = disk_has_failed();
        disk_fail(FAULT_NONE, 0, false);
        paused += status == HARDY_OK && reached;
        assert_true(status == HARDY_OK || status == HARDY_E_IO); /* where it was a sync */
        if (status == HARDY_OK) { /* else what can be read was not promised */
            must_verify(l, store, "paused", n);
        }
        store_close(store);
        disk_reboot();
        pause_on_full = 0;
        assert_int_equal(open_store(l, LOG_MAX, &store, &error), HARDY_OK);
        must_verify(l, store, "after a power loss", n);
        store_close(store);
        load_free(l);
        char path[64];
        snprintf(path, sizeof path, "%s/state.db-lock", directory);
        unlink(path);
    }
    disk_free();
    printf("# %d lives went on when there was room again\n", paused);
    assert_true((uint64_t)paused * stride > 20);
}

/* test_faults [STRIDE] */
int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_io_once),     cmocka_unit_test(test_io_stays),
        cmocka_unit_test(test_full_once),   cmocka_unit_test(test_full_stays),
        cmocka_unit_test(test_full_paused),
    };
    stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    if (!mkdtemp(directory)) {
        perror(directory);
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(directory);
    return failed;
}
