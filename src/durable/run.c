/* SPDX-License-Identifier: Apache-2.0 */
/* A run's row and the rows of its steps, written and read. */
#include "durable/run.h"
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "durable/field.h"
#include "durable/signal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_words[] = {"running",  "done",    "failed",
                                          "in_doubt", "waiting", "cancelled"};
static const char *const kind_words[] = {"step", "sequence", "parallel", "each"};

const char *run_state_text(enum run_state state) {
    return state_words[state];
}

void run_free(struct run *run) {
    run_step_free(run->root);
    free(run->id);
    free(run->name);
    free(run->file);
    free(run->input);
    free(run->detail);
    free(run->forked_from);
    memset(run, 0, sizeof *run);
}

/* --- writing ------------------------------------------------------------------------------------
 */

static void encode_step(const struct run_step *step, struct json_out *j) {
    json_out_object(j);
    json_out_member_string(j, "name", step->name);
    json_out_member_string(j, "definition", step->definition);
    if (step->kind != RUN_LEAF) {
        json_out_member_string(j, "kind", kind_words[step->kind]);
    }
    if (step->limit) {
        json_out_member_count(j, "limit", step->limit);
    }
    if (step->asks) {
        json_out_member_raw(j, "asks", "true");
    }
    if (step->compensates) {
        json_out_member_raw(j, "compensates", "true");
    }
    if (step->item) {
        json_out_key(j, "item");
        encode_step(step->item, j);
    } else if (step->kind != RUN_LEAF) {
        json_out_key(j, "steps");
        json_out_array(j);
        for (size_t i = 0; i < step->count; i++) {
            encode_step(step->children[i], j);
        }
        json_out_array_end(j);
    }
    json_out_object_end(j);
}

void run_encode(const struct run *run, struct buf *out) {
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_member_string(&j, "name", run->name);
    json_out_member_string(&j, "file", run->file);
    json_out_member_string(&j, "state", run_state_text(run->state));
    json_out_member_string(&j, "definition", run->definition);
    json_out_member_string(&j, "input_hash", run->input_hash);
    field_put_time(&j, "created", run->created);
    field_put_time(&j, "ended", run->ended);
    json_out_member_string(&j, "detail", run->detail);
    json_out_member_string(&j, "verdict", hardy_status_name(run->verdict));
    if (run->forked_from) {
        json_out_member_string(&j, "forked_from", run->forked_from);
    }
    json_out_member_raw(&j, "input", run->input);
    json_out_key(&j, "steps");
    json_out_array(&j);
    for (size_t i = 0; i < run->root->count; i++) {
        encode_step(run->root->children[i], &j);
    }
    json_out_array_end(&j);
    json_out_object_end(&j);
}

/* --- reading ------------------------------------------------------------------------------------
 */

static hardy_status get_status(const json_t *o, const char *key) {
    const char *name = json_string_value(json_object_get(o, key));
#define X(symbol, value, class_, text)                                                             \
    if (str_eq(name, #symbol))                                                                     \
        return HARDY_##symbol;
    HARDY_STATUS_MAP(X)
#undef X
    return HARDY_OK;
}

struct decoding {
    size_t count; /* of steps so far */
};

static bool decode_steps(struct decoding *d, struct run_step *parent, const json_t *list,
                         unsigned depth);

static struct run_step *decode_step(struct decoding *d, struct run_step *parent, const json_t *o,
                                    unsigned depth) {
    const char *name = json_string_value(json_object_get(o, "name"));
    const char *word = json_string_value(json_object_get(o, "kind"));
    const json_t *item = json_object_get(o, "item");
    size_t kind = 0;
    while (word && kind < sizeof kind_words / sizeof *kind_words &&
           !str_eq(word, kind_words[kind])) {
        kind++;
    }
    if (!name || kind == sizeof kind_words / sizeof *kind_words || d->count++ >= RUN_STEPS_MAX ||
        depth > RUN_DEPTH_MAX) {
        return NULL;
    }
    struct run_step *step = run_step_new(parent, (enum run_step_kind)kind, name);
    if (!step) {
        return NULL;
    }
    field_copy(step->definition, sizeof step->definition, o, "definition");
    step->limit = (uint32_t)json_integer_value(json_object_get(o, "limit"));
    step->asks = json_is_true(json_object_get(o, "asks"));
    step->compensates = json_is_true(json_object_get(o, "compensates"));
    bool good = true;
    if (kind == RUN_EACH) {
        step->item = decode_step(d, NULL, item, depth + 1);
        good = step->item != NULL;
        if (good) {
            step->item->parent = step;
        }
    } else if (kind != RUN_LEAF) {
        good = decode_steps(d, step, json_object_get(o, "steps"), depth + 1);
    }
    if (!good && !parent) {
        run_step_free(step);
    }
    return good ? step : NULL;
}

static bool decode_steps(struct decoding *d, struct run_step *parent, const json_t *list,
                         unsigned depth) {
    bool good = json_is_array(list);
    for (size_t i = 0; i < json_array_size(list) && good; i++) {
        good = decode_step(d, parent, json_array_get(list, i), depth) != NULL;
    }
    return good;
}

static bool decode(const json_t *o, struct run *run) {
    const char *state = json_string_value(json_object_get(o, "state"));
    const json_t *input = json_object_get(o, "input");
    struct decoding d = {0};
    bool known = false;
    for (size_t i = 0; i < sizeof state_words / sizeof *state_words; i++) {
        if (str_eq(state, state_words[i])) {
            run->state = (enum run_state)i;
            known = true;
        }
    }
    run->name = field_text(o, "name");
    run->file = field_text(o, "file");
    run->detail = field_text(o, "detail");
    run->forked_from = field_text(o, "forked_from");
    field_copy(run->definition, sizeof run->definition, o, "definition");
    field_copy(run->input_hash, sizeof run->input_hash, o, "input_hash");
    run->verdict = get_status(o, "verdict");
    run->created = field_time(o, "created");
    run->ended = field_time(o, "ended");
    run->input = input ? json_dumps(input, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) : NULL;
    run->root = run_step_new(NULL, RUN_SEQUENCE, "");
    return known && run->name && run->file && run->input && run->root &&
           decode_steps(&d, run->root, json_object_get(o, "steps"), 1);
}

hardy_status run_decode(const struct store_row *row, struct run *out, hardy_error *error) {
    json_error_t why;
    memset(out, 0, sizeof *out);
    json_t *o = json_loadb(row->value, row->len, JSON_REJECT_DUPLICATES, &why);
    bool good = json_is_object(o) && decode(o, out);
    json_decref(o);
    out->id = str_dup(row->key);
    out->expires = row->expires;
    if (good && out->id && run_step_make_keys(out->root, out->id)) {
        return HARDY_OK;
    }
    run_free(out);
    return fail(error, HARDY_E_CORRUPT, NULL, "the record of run %s cannot be read", row->key);
}

/* --- the steps' records -------------------------------------------------------------------------
 */

/* The step whose rows have this key: each part of it says its step's place. */
static struct run_step *find_by_key(const struct run *run, const char *key) {
    struct run_step *step = run->root;
    size_t at = strlen(run->id);
    while (step && key[at] == '/') {
        size_t place = strtoul(key + at + 1, NULL, 10);
        step = place >= 1 && place <= step->count ? step->children[place - 1] : NULL;
        at += 1 + strcspn(key + at + 1, "/");
    }
    return step && step != run->root && str_eq(step->key, key) ? step : NULL;
}

struct loading {
    struct store *store;
    struct run *run;
    bool undo;
    hardy_status status;
    hardy_error *error;
};

/* Rows come before those of what is below them, so items are known before their records come. A row
 * that is no step's any more is of a definition that was changed before the step began. */
static bool load_one(void *ctx, const struct store_row *row) {
    struct loading *l = ctx;
    struct run_step *step = find_by_key(l->run, row->key);
    if (!step) {
        return true;
    }
    struct record *r = l->undo ? &step->undo : &step->record;
    l->status = record_decode(row, r, l->error);
    if (l->status == HARDY_OK) {
        l->status = record_fill(l->store, r, l->error);
    }
    if (l->status == HARDY_OK && step->kind == RUN_EACH && r->state == RECORD_STARTED) {
        bool made = run_step_make_items(step, r->items) && run_step_make_keys(step, l->run->id);
        l->status =
            made ? HARDY_OK
                 : fail(l->error, HARDY_E_NOMEM, NULL, "no memory for the items of %s", row->key);
    }
    return l->status == HARDY_OK;
}

hardy_status run_hear_cancel(struct store *store, struct run *run, hardy_error *error) {
    struct signal said;
    hardy_error why;
    char *key = signal_cancel_key(run->id);
    hardy_error_init(&why, sizeof why);
    hardy_status status = key ? signal_load(store, key, &said, &why)
                              : fail(&why, HARDY_E_NOMEM, NULL, "no memory for run %s", run->id);
    free(key);
    run->cancelled = status == HARDY_OK;
    if (status == HARDY_OK) {
        signal_free(&said);
    } else if (status != HARDY_E_NOT_FOUND && error) {
        *error = why;
    }
    return status == HARDY_E_NOT_FOUND ? HARDY_OK : status;
}

hardy_status run_load_steps(struct store *store, struct run *run, hardy_error *error) {
    static const char *const kinds[] = {"step", "undo"};
    hardy_status status = HARDY_OK;
    char *prefix = str_format("%s/", run->id);
    if (!prefix) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for run %s", run->id);
    }
    for (int i = 0; i < 2 && status == HARDY_OK; i++) {
        struct loading l = {.store = store, .run = run, .undo = i == 1, .error = error};
        status = store_scan(store, kinds[i], prefix, NULL, SIZE_MAX, load_one, &l, error);
        status = status == HARDY_OK ? l.status : status;
    }
    free(prefix);
    return status == HARDY_OK ? run_hear_cancel(store, run, error) : status;
}

hardy_status run_load_row(struct store *store, const char *id, struct run *out,
                          hardy_error *error) {
    struct store_row row;
    memset(out, 0, sizeof *out);
    hardy_status status = store_get(store, "run", id, &row, error);
    if (status == HARDY_OK) {
        status = run_decode(&row, out, error);
        store_row_free(&row);
    }
    return status;
}

hardy_status run_load(struct store *store, const char *id, struct run *out, hardy_error *error) {
    hardy_status status = run_load_row(store, id, out, error);
    if (status == HARDY_OK) {
        status = run_load_steps(store, out, error);
        if (status != HARDY_OK) {
            run_free(out);
        }
    }
    return status;
}
