/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/fail_over_record.h"
#include "base/error.h"
#include "base/str.h"
#include "durable/field.h"
#include <stdlib.h>
#include <string.h>

static void forget_key(struct fail_over_key *k) {
    free(k->key);
    free(k->detail);
    *k = (struct fail_over_key){0};
}

void fail_over_record_free(struct fail_over_record *r) {
    free(r->active);
    free(r->from);
    free(r->why);
    free(r->outcome);
    free(r->owner);
    for (size_t n = 0; n < FAIL_OVER_KEYS; n++)
        forget_key(&r->keys[n]);
    *r = (struct fail_over_record){.fence = -1};
}

static void put_bool(struct json_out *j, const char *key, bool value) {
    json_out_key(j, key);
    json_out_bool(j, value);
}

void fail_over_record_encode(const struct fail_over_record *r, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_member_string(&j, "active", r->active);
    json_out_member_string(&j, "from", r->from);
    json_out_member_string(&j, "why", r->why);
    json_out_member_string(&j, "outcome", r->outcome);
    moment_put(&j, "switched", &r->switched);
    field_put_time(&j, "at", r->at);
    json_out_member_count(&j, "number", r->number);
    put_bool(&j, "carried", r->carried);
    put_bool(&j, "doubt", r->doubt);
    put_bool(&j, "told", r->told);
    put_bool(&j, "told_out", r->told_out);
    json_out_member_count(&j, "proposed", r->proposed);
    json_out_member_count(&j, "events", r->events);
    json_out_member_string(&j, "owner", r->owner);
    json_out_key(&j, "keys");
    json_out_array(&j);
    for (size_t n = 0; n < FAIL_OVER_KEYS && r->keys[n].key; n++) {
        json_out_object(&j);
        json_out_member_string(&j, "key", r->keys[n].key);
        json_out_member_count(&j, "number", r->keys[n].number);
        put_bool(&j, "over", r->keys[n].over);
        json_out_key(&j, "status");
        json_out_int(&j, r->keys[n].status);
        json_out_member_string(&j, "detail", r->keys[n].detail);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_object_end(&j);
}

static uint64_t count(const json_t *o, const char *key) {
    return (uint64_t)json_integer_value(json_object_get(o, key));
}

static bool is_true(const json_t *o, const char *key) {
    return json_is_true(json_object_get(o, key));
}

static void decode(const json_t *o, struct fail_over_record *out) {
    const json_t *keys = json_object_get(o, "keys");
    out->active = field_text(o, "active");
    out->from = field_text(o, "from");
    out->why = field_text(o, "why");
    out->outcome = field_text(o, "outcome");
    out->owner = field_text(o, "owner");
    moment_get(o, "switched", &out->switched);
    out->at = field_time(o, "at");
    out->number = count(o, "number");
    out->carried = is_true(o, "carried");
    out->doubt = is_true(o, "doubt");
    out->told = is_true(o, "told");
    out->told_out = is_true(o, "told_out");
    out->proposed = count(o, "proposed");
    out->events = count(o, "events");
    for (size_t n = 0; n < FAIL_OVER_KEYS && n < json_array_size(keys); n++) {
        const json_t *k = json_array_get(keys, n);
        out->keys[n] = (struct fail_over_key){
            .key = field_text(k, "key"),
            .number = count(k, "number"),
            .over = is_true(k, "over"),
            .status = (hardy_status)json_integer_value(json_object_get(k, "status")),
            .detail = field_text(k, "detail")};
    }
}

hardy_status fail_over_record_load(struct store *store, const char *name,
                                   struct fail_over_record *out, hardy_error *error) {
    struct store_row row;
    *out = (struct fail_over_record){.fence = -1};
    hardy_status status = store_get(store, FAIL_OVER_ROW, name, &row, error);
    if (status != HARDY_OK)
        return status;
    json_t *o = json_loadb(row.value, row.len, JSON_REJECT_DUPLICATES, NULL);
    decode(o, out);
    out->fence = row.fence;
    json_decref(o);
    store_row_free(&row);
    if (out->active)
        return HARDY_OK;
    fail_over_record_free(out);
    return fail(error, HARDY_E_CORRUPT, NULL, "the record of fail_over %s cannot be read", name);
}

void fail_over_record_op(struct fail_over_record *r, const char *name, struct buf *value,
                         struct store_op *op) {
    int64_t before = r->fence;
    r->fence = before < 0 ? 1 : before + 1;
    buf_reset(value);
    fail_over_record_encode(r, value);
    *op = (struct store_op){.kind = before < 0 ? STORE_INSERT : STORE_UPDATE,
                            .row_kind = FAIL_OVER_ROW,
                            .key = name,
                            .if_fence = before,
                            .fence = r->fence,
                            .value = value->data,
                            .len = value->len};
}

struct fail_over_key *fail_over_record_key(struct fail_over_record *r, const char *key) {
    for (size_t n = 0; n < FAIL_OVER_KEYS && r->keys[n].key; n++)
        if (str_eq(r->keys[n].key, key))
            return &r->keys[n];
    return NULL;
}

struct fail_over_key *fail_over_record_open_key(struct fail_over_record *r) {
    struct fail_over_key *latest = &r->keys[0];
    return latest->key && !latest->over && latest->number == r->number ? latest : NULL;
}

bool fail_over_record_add_key(struct fail_over_record *r, const char *key) {
    char *copy = str_dup(key);
    if (!copy)
        return false;
    forget_key(&r->keys[FAIL_OVER_KEYS - 1]);
    memmove(&r->keys[1], &r->keys[0], (FAIL_OVER_KEYS - 1) * sizeof r->keys[0]);
    r->keys[0] = (struct fail_over_key){.key = copy, .number = r->number};
    return true;
}
