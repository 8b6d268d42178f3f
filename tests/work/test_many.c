/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eight processes want the same keys done, each in an order of its own: every one of them gets
 * every result, and each effect is there once, as counted by a process that did none of it.
 *
 *   test_many KEYS
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/prng.h"
#include "base/str.h"
#include "io/file.h"
#include "io/shim.h"
#include "work/command.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 8, KEYS_MAX = 10000 };
static char folder[] = "/tmp/hardy-many.XXXXXX";
static char state_path[64];
static int keys;

struct worker {
    struct loop *loop;
    struct store *store;
    char key[16];
    bool good;
    int ran, replayed, attached;
};

static void on_event(void *ctx, enum command_event what, const struct record *record,
                     const char *detail) {
    struct worker *w = ctx;
    (void)record;
    (void)detail;
    w->ran += what == COMMAND_STARTED;
    w->attached += what == COMMAND_ATTACHED;
}

static void on_ended(void *ctx, const struct command_result *result) {
    struct worker *w = ctx;
    const struct record *r = result->record;
    w->replayed += result->replayed;
    w->good = result->status == HARDY_OK && r && r->output && str_starts(r->output, w->key) &&
              r->output_len == strlen(w->key) + 1;
    if (!w->good) {
        printf("# %s: %s\n", w->key, result->error ? result->error->message : "another output");
    }
}

static bool do_key(struct worker *w, int number) {
    static const struct command_events events = {.event = on_event, .ended = on_ended};
    static const char *const env[] = {"PATH=/usr/bin:/bin", NULL};
    const char *const argv[] = {"sh", "-c", "echo $0 >>effects; echo $0", w->key, NULL};
    struct command *c;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    snprintf(w->key, sizeof w->key, "key-%d", number);
    const struct command_spec spec = {.row_kind = "action",
                                      .key = w->key,
                                      .name = "sh",
                                      .scope = "exec",
                                      .argv = argv,
                                      .env = env,
                                      .cwd = folder,
                                      .timeout = HARDY_NEVER,
                                      .deadline = HARDY_NEVER,
                                      .ttl = HARDY_NEVER,
                                      .max_output = 1000,
                                      .attach = true};
    w->good = false;
    if (command_start(w->loop, w->store, state_path, &spec, &events, w, &c, &error) != HARDY_OK) {
        printf("# %s: %s\n", w->key, error.message);
        return false;
    }
    loop_run(w->loop);
    return w->good;
}

/* The body of one of the eight: its exit code. */
static int work(int number) {
    struct worker w = {0};
    hardy_error error;
    int *order = calloc((size_t)keys, sizeof *order);
    struct store_options options = {.path = state_path, .create = true, .purpose = "many"};
    struct prng random;
    hardy_error_init(&error, sizeof error);
    prng_seed(&random, (uint64_t)number + 1);
    w.loop = loop_uv_new(&error);
    if (!order || !w.loop || store_open(&options, &w.store, &error) != HARDY_OK) {
        printf("# process %d: %s\n", number, error.message);
        return 1;
    }
    for (int i = 0; i < keys; i++) { /* near to one another, so that they meet */
        int j = i - (int)prng_below(&random, (uint64_t)(i < 10 ? i + 1 : 10));
        order[i] = order[j];
        order[j] = i;
    }
    bool good = true;
    for (int i = 0; i < keys && good; i++) {
        good = do_key(&w, order[i]);
    }
    printf("# process %d: ran %d, attached to %d, was given %d\n", number, w.ran, w.attached,
           w.replayed);
    fflush(stdout);
    store_close(w.store);
    loop_free(w.loop);
    free(order);
    return good ? 0 : 1;
}

static void result(int number, bool good, const char *what) {
    printf("%sok %d - %s\n", good ? "" : "not ", number, what);
}

static void count(int *once, int *more) {
    static int times[KEYS_MAX];
    FILE *f = fopen("effects", "re");
    char line[64];
    while (f && fgets(line, sizeof line, f)) {
        int number = str_starts(line, "key-") ? (int)strtol(line + 4, NULL, 10) : -1;
        if (number >= 0 && number < keys) {
            times[number]++;
        }
    }
    if (f) {
        fclose(f);
    }
    for (int i = 0; i < keys; i++) {
        *once += times[i] == 1;
        *more += times[i] > 1;
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && str_eq(argv[1], "__step")) {
        return shim_main(argc, argv);
    }
    keys = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 200;
    if (keys < 1 || keys > KEYS_MAX || !mkdtemp(folder) || chdir(folder) != 0) {
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    snprintf(state_path, sizeof state_path, "%s/hardy.db", folder);
    int64_t began = clock_now();
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() == 0) {
            exit(work(i));
        }
    }
    int failed = 0, status, once = 0, more = 0;
    while (wait(&status) > 0 || errno == EINTR) {
        failed += status != 0;
    }
    count(&once, &more);
    printf("# %d keys in %.1f s\n", keys, (double)(clock_now() - began) / (double)HARDY_SECOND);
    result(1, failed == 0, "all eight processes got all results");
    result(2, once == keys, "each effect is there once");
    result(3, more == 0, "none is there twice");
    printf("1..3\n");
    char line[64];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    return chdir("/") != 0 || system(line) != 0 || failed || once != keys;
}
