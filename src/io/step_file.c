/* SPDX-License-Identifier: Apache-2.0 */
#include "io/step_file.h"
#include "base/error.h"
#include "base/prng.h"
#include "io/file.h"
#include <stdio.h>
#include <string.h>

#define MAGIC "hardy-step 1 "
#define MAGIC_LEN (sizeof MAGIC - 1)
#define SUM_LEN 16
#define FIELDS                                                                                     \
    "code=%d signal=%d timed_out=%d cancelled=%d truncated=%d not_started=%d "                     \
    "started=%lld ended=%lld output=%zu"

/* Tells a torn file from a whole one; eight bytes at a time, for outputs may be large. */
static uint64_t sum_of(const char *data, size_t len) {
    uint64_t sum = len;
    while (len > 0) {
        uint64_t word = 0;
        size_t n = len < sizeof word ? len : sizeof word;
        memcpy(&word, data, n);
        sum = prng_mix(sum ^ word);
        data += n;
        len -= n;
    }
    return sum;
}

static void format_sum(const struct buf *file, char out[SUM_LEN + 1]) {
    size_t covered = MAGIC_LEN + SUM_LEN;
    snprintf(out, SUM_LEN + 1, "%016llx",
             (unsigned long long)sum_of(file->data + covered, file->len - covered));
}

void step_file_seal(struct buf *file, const struct shim_result *r) {
    char head[STEP_HEAD], sum[SUM_LEN + 1];
    int n = snprintf(head, sizeof head, MAGIC "%*s " FIELDS, SUM_LEN, "", r->code, r->signal,
                     r->timed_out, r->cancelled, r->truncated, r->not_started,
                     (long long)r->started, (long long)r->ended, file->len - STEP_HEAD);
    memset(head + n, ' ', (size_t)(STEP_HEAD - 1 - n));
    head[STEP_HEAD - 1] = '\n';
    memcpy(file->data, head, STEP_HEAD);
    format_sum(file, sum);
    memcpy(file->data + MAGIC_LEN, sum, SUM_LEN);
}

static bool parse(const struct buf *file, struct shim_result *r) {
    char head[STEP_HEAD], sum[SUM_LEN + 1];
    if (file->len < STEP_HEAD || memcmp(file->data, MAGIC, MAGIC_LEN) != 0) {
        return false;
    }
    format_sum(file, sum);
    if (memcmp(file->data + MAGIC_LEN, sum, SUM_LEN) != 0) {
        return false;
    }
    memcpy(head, file->data, STEP_HEAD);
    head[STEP_HEAD - 1] = '\0';
    int timed_out, cancelled, truncated;
    long long started, ended;
    size_t output;
    if (sscanf(head + MAGIC_LEN + SUM_LEN, " " FIELDS, &r->code, &r->signal, &timed_out, &cancelled,
               &truncated, &r->not_started, &started, &ended, &output) != 9 ||
        output != file->len - STEP_HEAD) {
        return false;
    }
    r->timed_out = timed_out != 0;
    r->cancelled = cancelled != 0;
    r->truncated = truncated != 0;
    r->started = started;
    r->ended = ended;
    return true;
}

hardy_status step_file_read(const char *path, struct shim_result *result, hardy_error *error) {
    struct buf file;
    *result = (struct shim_result){0};
    buf_init(&file, STEP_OUTPUT_MAX + STEP_HEAD);
    hardy_status status = file_read(path, &file, error);
    if (status == HARDY_OK && !parse(&file, result)) {
        status = fail(error, HARDY_E_CORRUPT, path, "not a whole result of a step");
    }
    if (status != HARDY_OK) {
        buf_free(&file);
        *result = (struct shim_result){0};
        return status;
    }
    buf_consume(&file, STEP_HEAD);
    result->output = file;
    return HARDY_OK;
}
