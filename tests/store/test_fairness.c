/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eight processes write one state at once for two seconds, each as fast as it can: nobody starves,
 * nothing that was acknowledged is lost, the database is sound. The window begins when all are
 * ready.
 */
#include "base/clock.h"
#include "base/error.h"
#include "store/store.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
// cmocka.h needs those before it
#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRITERS 8
#define WINDOW (2 * HARDY_SECOND)

static char directory[] = "/tmp/hardy-fairness-XXXXXX";
static char path[64];

static struct store *open_store(void) {
    struct store *store;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    struct store_options options = {.path = path, .create = true, .purpose = "fairness"};
    if (store_open(&options, &store, &error) != HARDY_OK) {
        fprintf(stderr, "%s: %s\n", error.where, error.message);
        return NULL;
    }
    return store;
}

/* Each commit adds a row and raises the writer's counter. */
static hardy_status commit(struct store *store, int writer, int n) {
    char counter[16], row[32];
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    snprintf(counter, sizeof counter, "w%d", writer);
    snprintf(row, sizeof row, "w%d/%06d", writer, n);
    struct store_op ops[] = {
        {.kind = n ? STORE_UPDATE : STORE_INSERT,
         .row_kind = "writer",
         .key = counter,
         .if_fence = n,
         .fence = n + 1},
        {.kind = STORE_INSERT, .row_kind = "commit", .key = row, .value = "{}", .len = 2}};
    hardy_status status = store_apply(store, ops, 2, clock_now() + 30 * HARDY_SECOND, NULL, &error);
    if (status != HARDY_OK) {
        fprintf(stderr, "writer %d: %s\n", writer, error.message);
    }
    return status;
}

/* Tells what it committed inside the window. */
static int writer(int number, int ready, int go, int result) {
    char byte = 'x';
    int count = 0;
    struct store *store = open_store();
    if (!store || write(ready, &byte, 1) != 1 || read(go, &byte, 1) != 1) {
        return 1;
    }
    int64_t until = clock_now() + WINDOW;
    while (clock_now() < until) {
        if (commit(store, number, count) != HARDY_OK) {
            return 1;
        }
        count++;
    }
    store_close(store);
    int told[2] = {number, count};
    return write(result, told, sizeof told) == (ssize_t)sizeof told ? 0 : 1;
}

struct seen {
    int count[WRITERS];
    bool contiguous;
};

static bool see(void *ctx, const struct store_row *row) {
    struct seen *seen = ctx;
    int number = row->key[1] - '0';
    int n = (int)strtol(row->key + 3, NULL, 10);
    seen->contiguous = seen->contiguous && n == seen->count[number];
    seen->count[number]++;
    return true;
}

static void test_fair(void **state) {
    (void)state;
    int ready[2], go[2], result[2], counts[WRITERS], low = 1 << 30, high = 0;
    pid_t child[WRITERS];
    char bytes[WRITERS] = {0};
    assert_int_equal(pipe2(ready, O_CLOEXEC) + pipe2(go, O_CLOEXEC) + pipe2(result, O_CLOEXEC), 0);
    for (int i = 0; i < WRITERS; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            alarm(60);
            _exit(writer(i, ready[1], go[0], result[1]));
        }
    }
    close(ready[1]);
    close(result[1]);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(read(ready[0], &bytes[i], 1), 1);
    }
    assert_int_equal(write(go[1], bytes, WRITERS), WRITERS);
    for (int i = 0; i < WRITERS; i++) {
        int told[2];
        assert_int_equal(read(result[0], told, sizeof told), sizeof told);
        counts[told[0]] = told[1];
        low = told[1] < low ? told[1] : low;
        high = told[1] > high ? told[1] : high;
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    printf("# commits of each writer:");
    for (int i = 0; i < WRITERS; i++) {
        printf(" %d", counts[i]);
    }
    printf("\n");
    assert_true(low > 0 && high <= 2 * low);

    struct store *store = open_store();
    struct seen seen = {.contiguous = true};
    struct buf text;
    assert_non_null(store);
    assert_int_equal(store_scan(store, "commit", "", NULL, SIZE_MAX, see, &seen, NULL), HARDY_OK);
    assert_true(seen.contiguous);
    for (int i = 0; i < WRITERS; i++) {
        assert_int_equal(seen.count[i], counts[i]);
    }
    buf_init(&text, 10000);
    assert_int_equal(store_describe(store, true, &text, NULL), HARDY_OK);
    assert_non_null(strstr(text.data, "\"integrity\":\"ok\""));
    buf_free(&text);
    store_close(store);
}

int main(void) {
    static const char *const suffix[] = {"", "-wal", "-shm", "-lock"};
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fair)};
    if (!mkdtemp(directory)) {
        perror(directory);
        return 1;
    }
    snprintf(path, sizeof path, "%s/state.db", directory);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < 4; i++) {
        char name[80];
        snprintf(name, sizeof name, "%s%s", path, suffix[i]);
        unlink(name);
    }
    rmdir(directory);
    return failed;
}
