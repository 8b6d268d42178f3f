/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/signal.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "durable/field.h"
#include <stdlib.h>

enum { MAX_SIGNAL = 64 << 10 };

static const char *const words[] = {"approved", "refused", "cancelled"};

const char *signal_text(enum signal_what what) {
    return words[what];
}

void signal_free(struct signal *s) {
    free(s->who);
    free(s->comment);
    *s = (struct signal){0};
}

char *signal_cancel_key(const char *run_id) {
    return str_format("%s/cancel", run_id);
}

static hardy_status decode(const struct store_row *row, struct signal *out, hardy_error *error) {
    json_t *o = json_loadb(row->value, row->len, JSON_REJECT_DUPLICATES, NULL);
    const char *what = json_string_value(json_object_get(o, "what"));
    bool known = false;
    *out = (struct signal){0};
    for (size_t i = 0; i < sizeof words / sizeof *words && !known; i++) {
        known = str_eq(what, words[i]);
        out->what = (enum signal_what)i;
    }
    out->who = field_text(o, "who");
    out->comment = field_text(o, "comment");
    out->at = field_time(o, "at");
    out->fence = row->fence;
    json_decref(o);
    if (known && out->who) {
        return HARDY_OK;
    }
    signal_free(out);
    return fail(error, HARDY_E_CORRUPT, NULL, "what was said to %s cannot be read", row->key);
}

hardy_status signal_load(struct store *store, const char *key, struct signal *out,
                         hardy_error *error) {
    struct store_row row;
    hardy_status status = store_get(store, "signal", key, &row, error);
    if (status == HARDY_OK) {
        status = decode(&row, out, error);
        store_row_free(&row);
    }
    return status;
}

static hardy_status said_before(const struct signal *before, hardy_error *error) {
    char at[40];
    clock_format_wall(before->at, at);
    return fail(error, HARDY_E_EXISTS, NULL, "was %s before, by %s at %s", words[before->what],
                before->who, at);
}

static hardy_status apply(struct store *store, struct store_op *op, int64_t deadline,
                          hardy_error *error) {
    struct signal before;
    hardy_status status = store_apply(store, op, 1, deadline, NULL, error);
    if (status != HARDY_E_EXISTS) {
        return status;
    }
    status = signal_load(store, op->key, &before, error);
    if (status == HARDY_OK && before.fence < op->fence) { /* it answered what was asked before */
        op->kind = STORE_UPDATE;
        op->if_fence = before.fence;
        status = store_apply(store, op, 1, deadline, NULL, error);
    } else if (status == HARDY_OK) {
        status = said_before(&before, error);
    }
    signal_free(&before);
    return status;
}

hardy_status signal_send(struct store *store, const char *key, const struct signal *say,
                         int64_t deadline, hardy_error *error) {
    struct buf value;
    struct json_out j;
    buf_init(&value, MAX_SIGNAL);
    json_out_init(&j, &value, 0);
    json_out_object(&j);
    json_out_member_string(&j, "what", words[say->what]);
    json_out_member_string(&j, "who", say->who);
    json_out_member_string(&j, "comment", say->comment);
    field_put_time(&j, "at", say->at);
    json_out_object_end(&j);
    struct store_op op = {.kind = STORE_INSERT,
                          .row_kind = "signal",
                          .key = key,
                          .fence = say->fence,
                          .value = value.data,
                          .len = value.len};
    hardy_status status = value.failed
                              ? fail(error, HARDY_E_TOO_LARGE, NULL, "the comment is too long")
                              : apply(store, &op, deadline, error);
    buf_free(&value);
    return status;
}
