/* SPDX-License-Identifier: Apache-2.0 */
#include "durable/run.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "durable/field.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 10000 };

static const char *const state_words[] = {"running",  "done",    "failed",
                                          "in_doubt", "waiting", "cancelled"};

const char *run_state_text(enum run_state state) {
    return state_words[state];
}

void run_free(struct run *run) {
    for (size_t i = 0; i < run->count; i++) {
        free(run->steps[i].name);
        record_free(&run->steps[i].record);
    }
    free(run->steps);
    free(run->id);
    free(run->name);
    free(run->file);
    free(run->input);
    free(run->detail);
    memset(run, 0, sizeof *run);
}

void run_encode(const struct run *run, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_key(&j, "name");
    json_out_string(&j, run->name);
    json_out_key(&j, "file");
    json_out_string(&j, run->file);
    json_out_key(&j, "state");
    json_out_string(&j, run_state_text(run->state));
    json_out_key(&j, "definition");
    json_out_string(&j, run->definition);
    json_out_key(&j, "input_hash");
    json_out_string(&j, run->input_hash);
    field_put_time(&j, "created", run->created);
    field_put_time(&j, "ended", run->ended);
    json_out_key(&j, "detail");
    json_out_string(&j, run->detail);
    json_out_key(&j, "verdict");
    json_out_string(&j, hardy_status_name(run->verdict));
    json_out_key(&j, "input");
    json_out_raw(&j, run->input);
    json_out_key(&j, "steps");
    json_out_array(&j);
    for (size_t i = 0; i < run->count; i++) {
        json_out_object(&j);
        json_out_key(&j, "name");
        json_out_string(&j, run->steps[i].name);
        json_out_key(&j, "definition");
        json_out_string(&j, run->steps[i].definition);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_object_end(&j);
}

static hardy_status get_status(const json_t *o, const char *key) {
    const char *name = json_string_value(json_object_get(o, key));
#define X(symbol, value, class_, text)                                                             \
    if (str_eq(name, #symbol))                                                                     \
        return HARDY_##symbol;
    HARDY_STATUS_MAP(X)
#undef X
    return HARDY_OK;
}

static bool decode(const json_t *o, struct run *run) {
    const char *state = json_string_value(json_object_get(o, "state"));
    const json_t *steps = json_object_get(o, "steps");
    const json_t *input = json_object_get(o, "input");
    bool known = false;
    for (size_t i = 0; i < sizeof state_words / sizeof *state_words; i++)
        if (str_eq(state, state_words[i])) {
            run->state = (enum run_state)i;
            known = true;
        }
    size_t count = json_array_size(steps);
    if (!known || !input || !json_is_array(steps) || count > MAX_STEPS)
        return false;
    run->name = str_dup(json_string_value(json_object_get(o, "name")));
    run->file = str_dup(json_string_value(json_object_get(o, "file")));
    run->detail = str_dup(json_string_value(json_object_get(o, "detail")));
    field_copy(run->definition, sizeof run->definition, o, "definition");
    field_copy(run->input_hash, sizeof run->input_hash, o, "input_hash");
    run->verdict = get_status(o, "verdict");
    run->created = field_time(o, "created");
    run->ended = field_time(o, "ended");
    run->input = json_dumps(input, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    run->steps = calloc(count ? count : 1, sizeof *run->steps);
    if (!run->name || !run->file || !run->input || !run->steps)
        return false;
    run->count = count;
    for (size_t i = 0; i < count; i++) {
        const json_t *step = json_array_get(steps, i);
        run->steps[i].name = str_dup(json_string_value(json_object_get(step, "name")));
        field_copy(run->steps[i].definition, sizeof run->steps[i].definition, step, "definition");
        if (!run->steps[i].name)
            return false;
    }
    return true;
}

char *run_step_key(const char *id, size_t index, const char *name) {
    return str_format("%s/%04zu.%s", id, index + 1, name);
}

hardy_status run_load_steps(struct store *store, struct run *run, hardy_error *error) {
    for (size_t i = 0; i < run->count; i++) {
        char *key = run_step_key(run->id, i, run->steps[i].name);
        hardy_status status =
            key ? record_load(store, "step", key, &run->steps[i].record, error)
                : fail(error, HARDY_E_NOMEM, NULL, "no memory for run %s", run->id);
        free(key);
        if (status != HARDY_OK && status != HARDY_E_NOT_FOUND)
            return status;
    }
    return HARDY_OK;
}

hardy_status run_decode(const struct store_row *row, struct run *out, hardy_error *error) {
    json_error_t why;
    memset(out, 0, sizeof *out);
    json_t *o = json_loadb(row->value, row->len, JSON_REJECT_DUPLICATES, &why);
    bool good = json_is_object(o) && decode(o, out);
    json_decref(o);
    out->id = str_dup(row->key);
    out->fence = row->fence;
    if (good && out->id)
        return HARDY_OK;
    run_free(out);
    return fail(error, HARDY_E_CORRUPT, NULL, "the record of run %s cannot be read", row->key);
}

hardy_status run_load(struct store *store, const char *id, struct run *out, hardy_error *error) {
    struct store_row row;
    memset(out, 0, sizeof *out);
    hardy_status status = store_get(store, "run", id, &row, error);
    if (status != HARDY_OK)
        return status;
    status = run_decode(&row, out, error);
    store_row_free(&row);
    if (status == HARDY_OK)
        status = run_load_steps(store, out, error);
    if (status != HARDY_OK)
        run_free(out);
    return status;
}

struct run_next run_next(const struct run *run) {
    if (run->state != RUN_RUNNING && run->state != RUN_IN_DOUBT && run->state != RUN_WAITING)
        return (struct run_next){.kind = RUN_NEXT_FINISH, .state = run->state};
    for (size_t i = 0; i < run->count; i++) {
        const struct record *r = &run->steps[i].record;
        if (r->state == RECORD_DONE)
            continue;
        if (r->state == RECORD_FAILED)
            return (struct run_next){.kind = RUN_NEXT_FINISH, .state = RUN_FAILED, .step = i};
        return (struct run_next){.kind = RUN_NEXT_STEP, .step = i};
    }
    return (struct run_next){.kind = RUN_NEXT_FINISH, .state = RUN_DONE};
}

hardy_status run_check_definition(const struct run *recorded, const struct run *now,
                                  hardy_error *error) {
    for (size_t i = 0; i < recorded->count; i++) {
        const struct run_step *was = &recorded->steps[i];
        if (was->record.state == RECORD_PENDING)
            continue; /* never begun, or settled as not done: it may change */
        if (i >= now->count)
            return fail(error, HARDY_E_MISMATCH, now->file,
                        "step %zu `%s` of run %s is %s, but the file has only %zu steps now", i + 1,
                        was->name, recorded->id, record_state_text(was->record.state), now->count);
        const struct run_step *is = &now->steps[i];
        if (!str_eq(was->name, is->name))
            return fail(error, HARDY_E_MISMATCH, now->file,
                        "step %zu of run %s was `%s` and is %s; the file now says `%s`", i + 1,
                        recorded->id, was->name, record_state_text(was->record.state), is->name);
        if (!str_eq(was->definition, is->definition))
            return fail(error, HARDY_E_MISMATCH, now->file,
                        "step %zu `%s` of run %s is %s, and its definition has changed since",
                        i + 1, was->name, recorded->id, record_state_text(was->record.state));
    }
    return HARDY_OK;
}
