/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint STATE NUMBERS REPORT [DELAY-MS]: adds up the numbers in a file, one a line, and writes
 * the sum as a line into REPORT. It can be killed at any moment, with -9 too, and started again: it
 * goes on from its last checkpoint, and the report gets its line once.
 *
 *     cc checkpoint.c $(pkg-config --cflags --libs hardy-durable)
 *
 * DELAY-MS makes each chunk of ten lines take that long, so that there is time to kill it.
 */
#include <hardy/durable.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHUNK = 10 };

struct work {
    const char *report;
    int64_t lines, sum; /* done so far */
    long offset;        /* where the next line begins */
};

static int tell(const hardy_error *error) {
    fprintf(stderr, "checkpoint: %s%s%s\n", error->where, error->where[0] ? ": " : "",
            error->message);
    return 1;
}

/* One chunk; false at the end of the file. */
static bool add_chunk(FILE *numbers, struct work *w) {
    char line[64];
    int done = 0;
    fseek(numbers, w->offset, SEEK_SET);
    while (done < CHUNK && fgets(line, sizeof line, numbers)) {
        w->sum += strtoll(line, NULL, 10);
        w->lines++;
        done++;
    }
    w->offset = ftell(numbers);
    return done > 0;
}

/* The effect that must happen once. Before it is done again after a kill, it is looked for: so it
 * is safe to repeat, and may be declared so. */
static hardy_status report(void *ctx, hardy_action *action, hardy_error *error) {
    const struct work *w = ctx;
    const char *key = hardy_action_idempotency_key(action);
    char line[160], result[80];
    bool there = false;
    FILE *file = fopen(w->report, "a+");
    (void)error;
    if (!file) {
        return HARDY_E_FAILED;
    }
    rewind(file);
    while (!there && fgets(line, sizeof line, file)) {
        there = strstr(line, key) != NULL;
    }
    if (!there) {
        fprintf(file, "%s: %" PRId64 " numbers, sum %" PRId64 "\n", key, w->lines, w->sum);
    }
    if (fclose(file) != 0) {
        return HARDY_E_IN_DOUBT; /* some of it may have been written */
    }
    snprintf(result, sizeof result, "{\"numbers\":%" PRId64 ",\"sum\":%" PRId64 "}", w->lines,
             w->sum);
    return hardy_action_set_result(action, result, error);
}

static int run(hardy_durable *durable, FILE *numbers, struct work *w, long delay) {
    hardy_error error;
    char *value = NULL, text[120];
    int64_t version = HARDY_CHECKPOINT_NEW;
    hardy_error_init(&error, sizeof error);
    hardy_status status = hardy_checkpoint_get(durable, "sum", &value, &version, &error);
    if (status == HARDY_OK) {
        sscanf(value, "[%" SCNd64 ",%" SCNd64 ",%ld]", &w->lines, &w->sum, &w->offset);
        printf("goes on after %" PRId64 " numbers\n", w->lines);
        hardy_durable_free(value);
    } else if (status != HARDY_E_NOT_FOUND) {
        return tell(&error);
    }
    while (add_chunk(numbers, w)) {
        nanosleep(&(struct timespec){delay / 1000, delay % 1000 * 1000000}, NULL);
        snprintf(text, sizeof text, "[%" PRId64 ",%" PRId64 ",%ld]", w->lines, w->sum, w->offset);
        /* Two of us at once would be noticed here: the version is no longer the one we have read.
         */
        if (hardy_checkpoint_put(durable, "sum", text, version, HARDY_NEVER, HARDY_NEVER, &version,
                                 &error) != HARDY_OK) {
            return tell(&error);
        }
    }
    hardy_action_options options;
    hardy_action_options_init(&options, sizeof options);
    options.lease = 500 * HARDY_MILLISECOND; /* how long we are waited for after a kill */
    options.in_doubt = HARDY_IN_DOUBT_RERUN;
    snprintf(text, sizeof text, "[%" PRId64 ",%" PRId64 "]", w->lines, w->sum);
    if (hardy_durable_step(durable, "sum", "report", text, &options, report, w, HARDY_NEVER, &value,
                           &error) != HARDY_OK) {
        return tell(&error);
    }
    printf("%s\n", value);
    hardy_durable_free(value);
    return 0;
}

int main(int argc, char **argv) {
    hardy_durable_config config;
    hardy_durable *durable;
    hardy_error error;
    struct work w = {0};
    if (argc < 4) {
        fprintf(stderr, "usage: checkpoint STATE NUMBERS REPORT [DELAY-MS]\n");
        return 2;
    }
    w.report = argv[3];
    FILE *numbers = fopen(argv[2], "r");
    if (!numbers) {
        perror(argv[2]);
        return 1;
    }
    hardy_error_init(&error, sizeof error);
    hardy_durable_config_init(&config, sizeof config);
    config.path = argv[1];
    config.owner = "checkpoint";
    if (hardy_durable_open(&config, &durable, &error) != HARDY_OK) {
        fclose(numbers);
        return tell(&error);
    }
    int code = run(durable, numbers, &w, argc > 4 ? strtol(argv[4], NULL, 10) : 0);
    hardy_durable_close(durable);
    fclose(numbers);
    return code;
}
