/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/record.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/str.h"
#include "durable/field.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ENCODED = 16 << 20, MAX_PARAMS = 64 << 10, MAX_SHOWN = 130 };

static const char *const state_words[] = {"pending",  "running", "done",   "failed",
                                          "in_doubt", "waiting", "skipped"};

const char *record_state_text(enum record_state state) {
    return state_words[state];
}

void record_init(struct record *r) {
    memset(r, 0, sizeof *r);
}

void record_free(struct record *r) {
    free(r->row_kind);
    free(r->key);
    free(r->name);
    free(r->output);
    free(r->detail);
    free(r->idempotency_key);
    free(r->params);
    free(r->owner);
    free(r->claim);
    record_init(r);
}

hardy_status record_fingerprint(const char *scope, const char *name, const char *params,
                                char out[65], hardy_error *error) {
    struct buf canonical;
    buf_init(&canonical, MAX_ENCODED);
    hardy_status status = json_canonical(params, strlen(params), &canonical, error);
    if (status == HARDY_OK) {
        struct sha256 hash;
        sha256_init(&hash);
        sha256_add_part(&hash, scope, strlen(scope));
        sha256_add_part(&hash, name, strlen(name));
        sha256_add_part(&hash, canonical.data, canonical.len);
        sha256_done_hex(&hash, out);
    }
    buf_free(&canonical);
    return status;
}

char *record_params(const char *params) {
    size_t len = strlen(params); /* it is told by its fingerprint; this is for people */
    return len > MAX_PARAMS ? str_format("{\"bytes\":%zu}", len) : str_dup(params);
}

/* Both are named, long ones around the place where they begin to differ. */
hardy_status record_mismatch(const struct record *r, const char *params, hardy_error *error) {
    const char *was = r->params ? r->params : "(not recorded)";
    struct buf canonical;
    buf_init(&canonical, MAX_ENCODED);
    if (json_canonical(params, strlen(params), &canonical, NULL) == HARDY_OK) {
        params = canonical.data;
    }
    size_t same = 0;
    while (was[same] && was[same] == params[same]) {
        same++;
    }
    size_t skip = strlen(was) + strlen(params) > 2 * MAX_SHOWN && same > MAX_SHOWN / 2
                      ? same - MAX_SHOWN / 4
                      : 0;
    while (skip > 0 && ((unsigned char)was[skip] & 0xc0) == 0x80) {
        skip--;
    }
    hardy_status status =
        fail(error, HARDY_E_MISMATCH, NULL,
             "the key %.60s was used for other parameters: %s%.*s; now: %s%.*s", r->key,
             skip ? "..." : "", MAX_SHOWN, was + skip, skip ? "..." : "", MAX_SHOWN, params + skip);
    buf_free(&canonical);
    return status;
}

/* Bytes that are not UTF-8 would not come back from a JSON string as they were, and control
 * characters would take six bytes each: such an output is written in hexadecimal. */
static bool is_text(const char *output, size_t len) {
    size_t control = 0;
    for (size_t i = 0; i < len; i++)
        control += (unsigned char)output[i] < 0x20 && !memchr("\b\t\n\f\r", output[i], 5);
    return control <= len / 8 && str_valid_utf8(output, len);
}

static void encode_output(struct json_out *j, const struct record *r) {
    if (r->blob[0]) {
        json_out_member_string(j, "output_blob", r->blob);
        return;
    }
    if (!r->output)
        return;
    if (is_text(r->output, r->output_len)) {
        json_out_key(j, "output");
        json_out_stringn(j, r->output, r->output_len);
        return;
    }
    char *hex = malloc(2 * r->output_len + 1);
    if (!hex) {
        j->to->failed = true;
        return;
    }
    str_hex(r->output, r->output_len, hex);
    json_out_key(j, "output_hex");
    json_out_string(j, hex);
    free(hex);
}

void record_encode(const struct record *r, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_key(&j, "name");
    json_out_string(&j, r->name);
    json_out_key(&j, "state");
    json_out_string(&j, record_state_text(r->state));
    json_out_key(&j, "fingerprint");
    json_out_string(&j, r->fingerprint);
    json_out_key(&j, "idempotency_key");
    json_out_string(&j, r->idempotency_key);
    json_out_key(&j, "attempt");
    json_out_int(&j, r->attempt);
    json_out_key(&j, "boot");
    json_out_string(&j, r->boot);
    field_put_time(&j, "created", r->created);
    field_put_time(&j, "started", r->started);
    field_put_time(&j, "ended", r->ended);
    json_out_key(&j, "code");
    json_out_int(&j, r->code);
    json_out_key(&j, "signal");
    json_out_int(&j, r->signal);
    json_out_key(&j, "timed_out");
    json_out_bool(&j, r->timed_out);
    json_out_key(&j, "truncated");
    json_out_bool(&j, r->truncated);
    json_out_key(&j, "detail");
    json_out_string(&j, r->detail);
    if (r->inputs[0])
        json_out_member_string(&j, "inputs", r->inputs);
    if (r->order)
        json_out_member_count(&j, "order", r->order);
    if (r->items)
        json_out_member_count(&j, "items", r->items);
    moment_put(&j, "until", &r->until);
    if (r->params) {
        json_out_key(&j, "params");
        json_out_raw(&j, r->params);
    }
    if (r->owner) {
        json_out_member_string(&j, "owner", r->owner);
        if (r->claim) {
            json_out_member_string(&j, "claim", r->claim);
        }
        moment_put(&j, "lease", &r->lease);
        field_put_time(&j, "ended_by", r->ended_by);
        field_put_time(&j, "ttl", r->ttl);
    }
    encode_output(&j, r);
    json_out_object_end(&j);
}

static void decode_output(const json_t *o, struct record *out) {
    const json_t *text = json_object_get(o, "output");
    const json_t *hex = json_object_get(o, "output_hex");
    size_t len = hex ? json_string_length(hex) / 2 : json_string_length(text);
    field_copy(out->blob, sizeof out->blob, o, "output_blob");
    if (!json_is_string(hex ? hex : text))
        return;
    out->output = malloc(len + 1);
    if (!out->output)
        return;
    out->output_len = len;
    out->output[len] = '\0';
    if (!hex) {
        memcpy(out->output, json_string_value(text), len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        char pair[3] = {json_string_value(hex)[2 * i], json_string_value(hex)[2 * i + 1], '\0'};
        out->output[i] = (char)strtoul(pair, NULL, 16);
    }
}

/* As people write it: 0.1, where jansson would write all 17 digits. */
static char *params_text(const json_t *params) {
    char *text = json_dumps(params, JSON_COMPACT | JSON_ENCODE_ANY);
    struct buf canonical;
    buf_init(&canonical, MAX_ENCODED);
    if (!text || json_canonical(text, strlen(text), &canonical, NULL) != HARDY_OK) {
        buf_free(&canonical);
        return text;
    }
    free(text);
    return buf_take(&canonical);
}

hardy_status record_decode(const struct store_row *row, struct record *out, hardy_error *error) {
    json_error_t why;
    json_t *o = json_loadb(row->value, row->len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &why);
    record_init(out);
    if (!json_is_object(o)) {
        json_decref(o);
        return fail(error, HARDY_E_CORRUPT, NULL, "the record %s %s is not a JSON object",
                    row->kind, row->key);
    }
    out->row_kind = str_dup(row->kind);
    out->key = str_dup(row->key);
    out->fence = row->fence;
    out->expires = row->expires;
    out->name = field_text(o, "name");
    const char *state = json_string_value(json_object_get(o, "state"));
    bool known = false;
    for (size_t i = 0; i < sizeof state_words / sizeof *state_words; i++)
        if (str_eq(state, state_words[i])) {
            out->state = (enum record_state)i;
            known = true;
        }
    const char *text = json_string_value(json_object_get(o, "fingerprint"));
    str_copy(out->fingerprint, sizeof out->fingerprint, text ? text : "");
    text = json_string_value(json_object_get(o, "boot"));
    str_copy(out->boot, sizeof out->boot, text ? text : "");
    out->idempotency_key = field_text(o, "idempotency_key");
    out->attempt = (uint32_t)json_integer_value(json_object_get(o, "attempt"));
    out->created = field_time(o, "created");
    out->started = field_time(o, "started");
    out->ended = field_time(o, "ended");
    out->code = (int)json_integer_value(json_object_get(o, "code"));
    out->signal = (int)json_integer_value(json_object_get(o, "signal"));
    out->timed_out = json_is_true(json_object_get(o, "timed_out"));
    out->truncated = json_is_true(json_object_get(o, "truncated"));
    out->detail = field_text(o, "detail");
    field_copy(out->inputs, sizeof out->inputs, o, "inputs");
    out->order = (uint32_t)json_integer_value(json_object_get(o, "order"));
    out->items = (uint32_t)json_integer_value(json_object_get(o, "items"));
    moment_get(o, "until", &out->until);
    const json_t *params = json_object_get(o, "params");
    if (params)
        out->params = params_text(params);
    out->owner = field_text(o, "owner");
    out->claim = field_text(o, "claim");
    moment_get(o, "lease", &out->lease);
    out->ended_by = field_time(o, "ended_by");
    out->ttl = field_time(o, "ttl");
    decode_output(o, out);
    json_decref(o);
    if (!known || !out->row_kind || !out->key || !out->name) {
        record_free(out);
        return fail(error, HARDY_E_CORRUPT, NULL,
                    "the record %s %s lacks its name or a known state", row->kind, row->key);
    }
    return HARDY_OK;
}

hardy_status record_load(struct store *store, const char *row_kind, const char *key,
                         struct record *out, hardy_error *error) {
    struct store_row row;
    record_init(out);
    hardy_status status = store_get(store, row_kind, key, &row, error);
    if (status != HARDY_OK)
        return status;
    status = record_decode(&row, out, error);
    store_row_free(&row);
    if (status == HARDY_OK)
        status = record_fill(store, out, error);
    if (status != HARDY_OK)
        record_free(out);
    return status;
}

void record_set_output(struct record *r, char *data, size_t len) {
    free(r->output);
    r->output = data;
    r->output_len = data ? len : 0;
    r->blob[0] = '\0';
}

void record_put_output(struct store *store, struct record *r) {
    const char *state = store_path(store);
    hardy_error ignored;
    hardy_error_init(&ignored, sizeof ignored);
    r->blob[0] = '\0';
    if (state && r->output && r->output_len > RECORD_IN_ROW &&
        blob_put(state, r->output, r->output_len, r->blob, &ignored) != HARDY_OK)
        r->blob[0] = '\0';
}

hardy_status record_fill(struct store *store, struct record *r, hardy_error *error) {
    const char *state = store_path(store);
    struct buf output;
    if (!r->blob[0] || r->output)
        return HARDY_OK;
    buf_init(&output, BLOB_MAX);
    hardy_status status =
        state ? blob_get(state, r->blob, &output, error)
              : fail(error, HARDY_E_NOT_FOUND, NULL, "there is no file %s", r->blob);
    if (status == HARDY_OK) {
        r->output_len = output.len;
        r->output = buf_take(&output);
        status = r->output ? status : fail(error, HARDY_E_NOMEM, NULL, "no memory for a result");
    } else {
        error_prefix(error, "the result of %s", r->key);
    }
    buf_free(&output);
    return status;
}

void record_settle(struct record *r, enum resolve_how how, const char *result, const char *who,
                   int64_t wall) {
    static const char *const words[] = {"done", "not done, to be run again", "failed"};
    free(r->detail);
    r->detail = str_format("resolved as %s by %s", words[how], who);
    r->code = how == RESOLVE_FAIL ? 1 : 0;
    r->signal = 0;
    r->timed_out = false;
    r->state = how == RESOLVE_DONE    ? RECORD_DONE
               : how == RESOLVE_RETRY ? RECORD_PENDING
                                      : RECORD_FAILED;
    r->ended = how == RESOLVE_RETRY ? 0 : wall;
    char *output = how == RESOLVE_DONE ? str_dup(result ? result : "") : NULL;
    record_set_output(r, output, output ? strlen(output) : 0);
    r->lease = (struct moment){0};
    r->expires = r->ended && r->ttl && r->ttl != HARDY_NEVER ? time_add(wall, r->ttl) : 0;
}

void record_op(const struct record *r, int64_t before, struct buf *value, struct store_op *op) {
    record_encode(r, value);
    *op = (struct store_op){.kind = before < 0 ? STORE_INSERT : STORE_UPDATE,
                            .row_kind = r->row_kind,
                            .key = r->key,
                            .if_fence = before,
                            .fence = r->fence,
                            .value = value->data,
                            .len = value->len,
                            .expires = r->expires};
}

/* The output as its reader wants it: JSON when it is an object or array, else text. What an owner
 * gave as its result is JSON whatever it is. */
static void put_output(struct json_out *j, const struct record *r) {
    json_out_key(j, "output");
    if (!r->output || (r->owner && r->output_len == 0)) {
        json_out_null(j);
        return;
    }
    size_t start = strspn(r->output, " \t\r\n");
    if ((r->owner || r->output[start] == '{' || r->output[start] == '[') &&
        json_check(r->output, r->output_len, NULL) == HARDY_OK)
        json_out_raw(j, r->output);
    else
        json_out_stringn(j, r->output, r->output_len);
}

void record_to_json(const struct record *r, struct json_out *j) {
    json_out_object(j);
    record_members_to_json(r, record_state_text(r->state), j);
    json_out_object_end(j);
}

void record_members_to_json(const struct record *r, const char *state, struct json_out *j) {
    json_out_member_string(j, "name", r->name);
    json_out_member_string(j, "key", r->key);
    json_out_member_string(j, "state", state);
    json_out_member_count(j, "attempts", r->attempt);
    json_out_member_wall(j, "started", r->started);
    json_out_member_wall(j, "ended", r->ended);
    json_out_key(j, "code");
    if (r->ended)
        json_out_int(j, r->code);
    else
        json_out_null(j);
    if (r->signal) {
        json_out_key(j, "signal");
        json_out_int(j, r->signal);
    }
    if (r->state == RECORD_WAITING && r->until.wall != HARDY_NEVER)
        json_out_member_wall(j, "until", r->until.wall);
    if (r->detail) {
        json_out_key(j, "detail");
        json_out_string(j, r->detail);
    }
    if (r->truncated) {
        json_out_key(j, "truncated");
        json_out_bool(j, true);
    }
    if (r->idempotency_key) {
        json_out_key(j, "idempotency_key");
        json_out_string(j, r->idempotency_key);
    }
    if (r->params) {
        json_out_key(j, "params");
        json_out_raw(j, r->params);
    }
    if (r->owner) {
        json_out_member_string(j, "owner", r->owner);
        json_out_key(j, "fence");
        json_out_int(j, r->ended_by ? r->ended_by : r->fence); /* as its owner knows it */
    }
    if (moment_is_set(&r->lease)) {
        json_out_member_wall(j, "lease_expires", r->lease.wall);
    }
    put_output(j, r);
}

static enum record_next in_doubt_next(enum in_doubt_policy policy) {
    switch (policy) {
    case IN_DOUBT_RERUN:
        return NEXT_RUN;
    case IN_DOUBT_PROBE:
        return NEXT_PROBE;
    case IN_DOUBT_FAIL:
        return NEXT_FAIL;
    case IN_DOUBT_ASK:
        break;
    }
    return NEXT_ASK;
}

enum record_next record_decide(const struct record *r, const char *fingerprint,
                               enum record_world world, enum in_doubt_policy policy) {
    if (r->state == RECORD_PENDING)
        return world == WORLD_RUNNING ? NEXT_ATTACH : NEXT_RUN;
    if (!str_eq(r->fingerprint, fingerprint))
        return NEXT_MISMATCH;
    switch (r->state) {
    case RECORD_DONE:
        return NEXT_REPLAY;
    case RECORD_FAILED:
        return world == WORLD_RUNNING ? NEXT_ATTACH : NEXT_RUN;
    case RECORD_IN_DOUBT:
        return world == WORLD_RUNNING ? NEXT_ATTACH : in_doubt_next(policy);
    case RECORD_STARTED:
    case RECORD_PENDING:
    case RECORD_WAITING:
    case RECORD_SKIPPED:
        break;
    }
    switch (world) {
    case WORLD_RUNNING:
        return NEXT_ATTACH;
    case WORLD_ENDED:
        return NEXT_COLLECT;
    case WORLD_NEVER_RAN:
        return NEXT_RUN;
    case WORLD_LOST:
        break;
    }
    return in_doubt_next(policy);
}

enum record_next record_after_probe(enum probe_answer answer) {
    switch (answer) {
    case PROBE_DONE:
        return NEXT_COLLECT;
    case PROBE_NOT_DONE:
        return NEXT_RUN;
    case PROBE_UNKNOWN:
        break;
    }
    return NEXT_ASK;
}
