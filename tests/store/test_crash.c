/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power losses: durable runs on a disk that loses, tears and reorders what was not synced, at
 * random moments, the reopening after a loss included. After each: everything acknowledged is
 * there, no batch is there in part, every run's steps are contiguous, the database is sound.
 *
 * A disk that lies about syncs, and a store that is wrong on purpose (STORE_BUG), must be found
 * out.
 *
 * test_crash [LOSSES [SEED]]
 */
#include "crash_vfs.h"
#include "load.h"
#include <hardy/status.h>
// cmocka.h needs these before it
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
// and itself last
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef STORE_BUG
#define STORE_BUG 0
#endif

static uint64_t losses_wanted = 500, base_seed = 1;
static char directory[] = "/tmp/hardy-crash-XXXXXX";

struct tally {
    uint64_t losses, acknowledged, opens_hit;
    uint64_t chains;
};

static hardy_status open_store(struct load *l, uint64_t log_max, struct store **store) {
    char path[64];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    snprintf(path, sizeof path, "%s/state.db", directory);
    struct store_options options = {.path = path,
                                    .create = true,
                                    .wall = load_wall,
                                    .wall_ctx = l,
                                    .purpose = "crash test",
                                    .vfs = "crash",
                                    .log_max = (size_t)log_max};
    hardy_status status = store_open(&options, store, &error);
    if (status != HARDY_OK && !disk_is_dead()) {
        snprintf(l->wrong, sizeof l->wrong, "cannot open: %s: %s", hardy_status_name(status),
                 error.message);
    }
    return status;
}

/* From power-on to power loss. */
static void live(struct load *l, struct prng *random, struct tally *tally) {
    static const uint64_t spans[] = {6, 30, 150, 600};
    static const uint64_t logs[] = {1, 20000, 200000};
    struct store *store = NULL;
    bool at_rest = prng_below(random, 10) == 0;
    uint64_t moment = 1 + prng_below(random, spans[prng_below(random, 4)]);
    disk_arm(at_rest ? 0 : moment);
    if (open_store(l, logs[prng_below(random, 3)], &store) == HARDY_OK) {
        if (load_verify(l, store)) {
            load_go(l, store, at_rest ? (int)prng_below(random, 40) : 1 << 30);
        } else if (disk_is_dead()) {
            l->wrong[0] = '\0'; /* nothing could be read any more */
        }
    } else {
        tally->opens_hit++;
    }
    store_close(store);
    disk_reboot();
    tally->losses++;
}

/* The first thing that was wrong, with the seed that shows it, else "". */
static void crash(uint64_t seed, uint64_t losses, unsigned lies, struct tally *tally, char *wrong,
                  size_t size) {
    *tally = (struct tally){0};
    wrong[0] = '\0';
    while (tally->losses < losses && !wrong[0]) {
        uint64_t chain = prng_mix(seed ^ prng_mix(++tally->chains));
        struct prng random;
        struct load load;
        prng_seed(&random, chain);
        disk_new(prng_next(&random));
        disk_lie(lies);
        load_init(&load, chain, 1 + (int)prng_below(&random, LOAD_RUNS),
                  prng_below(&random, 4) == 0 ? 60000 : 2000);
        uint64_t lives = 1 + prng_below(&random, 40);
        for (uint64_t i = 0; i < lives && tally->losses < losses && !load.wrong[0]; i++) {
            live(&load, &random, tally);
        }
        if (load.wrong[0]) {
            snprintf(wrong, size, "seed %llu, chain %llu, loss %llu: %s", (unsigned long long)seed,
                     (unsigned long long)tally->chains, (unsigned long long)tally->losses,
                     load.wrong);
        }
        tally->acknowledged += load.acknowledged;
        load_free(&load);
    }
    disk_free();
}

static void test_power_losses(void **state) {
    (void)state;
    struct tally tally;
    char wrong[800];
    crash(base_seed, losses_wanted, 0, &tally, wrong, sizeof wrong);
    struct disk_report r = disk_report();
    printf("# %llu losses (%llu at an opening, %llu writes, %llu syncs, %llu truncations, %llu"
           " creations, %llu deletions, %llu at rest), %llu batches acknowledged; sectors %llu"
           " kept, %llu lost, %llu garbage; %llu sizes and %llu names lost\n",
           (unsigned long long)tally.losses, (unsigned long long)tally.opens_hit,
           (unsigned long long)r.at_write, (unsigned long long)r.at_sync,
           (unsigned long long)r.at_truncate, (unsigned long long)r.at_open,
           (unsigned long long)r.at_name, (unsigned long long)r.at_rest,
           (unsigned long long)tally.acknowledged, (unsigned long long)r.sectors_kept,
           (unsigned long long)r.sectors_lost, (unsigned long long)r.garbage,
           (unsigned long long)r.sizes_lost, (unsigned long long)r.names_lost);
    if (STORE_BUG) {
        printf("# found: %s\n", wrong);
        assert_true(wrong[0] != '\0');
        return;
    }
    assert_string_equal(wrong, "");
    assert_int_equal(tally.losses, losses_wanted);
    /* The losses were losses, and, if there were enough of them, of every kind. */
    assert_true(r.at_write > 0 && r.at_sync > 0 && r.at_rest > 0);
    assert_true(tally.opens_hit > tally.losses / 100);
    assert_true(r.sectors_lost > 0 && r.sectors_kept > 0);
    if (losses_wanted >= 5000) {
        assert_true(r.at_open > 0 && r.at_name > 0 && r.at_truncate > 0);
        assert_true(r.names_lost > 0 && r.sizes_lost > 0 && r.garbage > 0);
    }
    assert_true(tally.acknowledged > tally.losses);
}

static void finds(unsigned lie) {
    struct tally tally;
    char wrong[800];
    crash(base_seed, 2000, lie, &tally, wrong, sizeof wrong);
    printf("# found after %llu losses: %s\n", (unsigned long long)tally.losses, wrong);
    assert_true(wrong[0] != '\0');
}

static void test_finds_log_sync_lie(void **state) {
    (void)state;
    finds(LIE_LOG_SYNC);
}

static void test_finds_database_sync_lie(void **state) {
    (void)state;
    finds(LIE_DATABASE_SYNC);
}

static void test_finds_directory_sync_lie(void **state) {
    (void)state;
    finds(LIE_DIRECTORY_SYNC);
}

int main(int argc, char **argv) {
    const struct CMUnitTest all[] = {
        cmocka_unit_test(test_power_losses),
        cmocka_unit_test(test_finds_log_sync_lie),
        cmocka_unit_test(test_finds_database_sync_lie),
        cmocka_unit_test(test_finds_directory_sync_lie),
    };
    const struct CMUnitTest of_wrong_store[] = {cmocka_unit_test(test_power_losses)};
    losses_wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : losses_wanted;
    base_seed = argc > 2 ? strtoull(argv[2], NULL, 10) : base_seed;
    if (!mkdtemp(directory)) {
        perror(directory);
        return 1;
    }
    int failed = STORE_BUG ? cmocka_run_group_tests(of_wrong_store, NULL, NULL)
                           : cmocka_run_group_tests(all, NULL, NULL);
    char path[64];
    snprintf(path, sizeof path, "%s/state.db-lock", directory);
    unlink(path);
    rmdir(directory);
    return failed;
}
