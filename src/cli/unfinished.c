/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/unfinished.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "durable/record.h"
#include <stdio.h>
#include <stdlib.h>

#define PRINTED 20

static const char *const kinds[] = {"action", "step", "undo", "remedy"}; /* of records */

struct finding {
    struct unfinished_list *list;
    struct store *older; /* NULL: what runs; else what this one does not know */
    hardy_error *error;
};

static bool add(struct finding *f, const struct record *r) {
    struct unfinished_list *list = f->list;
    list->total++;
    if (list->count == UNFINISHED_MAX) {
        return true;
    }
    if (!list->items) {
        list->items = calloc(UNFINISHED_MAX, sizeof *list->items);
    }
    struct unfinished *u = list->items ? &list->items[list->count] : NULL;
    if (u) {
        *u = (struct unfinished){str_dup(r->row_kind), str_dup(r->key),
                                 str_dup(record_state_text(r->state)), r->started};
        list->count++;
    }
    if (!u || !u->kind || !u->key || !u->state) {
        list->status = fail(f->error, HARDY_E_NOMEM, NULL, "no memory to list what runs");
    }
    return list->status == HARDY_OK;
}

/* Whether the older state knows of this start. */
static bool knows(struct finding *f, const struct record *r) {
    struct record known;
    hardy_status status = record_load(f->older, r->row_kind, r->key, &known, f->error);
    bool same = status == HARDY_OK && known.attempt >= r->attempt && known.started >= r->started;
    if (status == HARDY_OK) {
        record_free(&known);
    } else if (status != HARDY_E_NOT_FOUND) {
        f->list->status = status;
    }
    return same;
}

static bool look(void *ctx, const struct store_row *row) {
    struct finding *f = ctx;
    struct record r;
    hardy_error ignored;
    hardy_error_init(&ignored, sizeof ignored);
    if (record_decode(row, &r, &ignored) != HARDY_OK) {
        return true; /* what cannot be read is told by those who need it */
    }
    bool open = r.state == RECORD_STARTED || r.state == RECORD_IN_DOUBT;
    bool wanted = f->older ? r.started > 0 && !knows(f, &r) : open;
    bool more = f->list->status == HARDY_OK && (!wanted || add(f, &r));
    record_free(&r);
    return more;
}

static hardy_status find(struct store *store, struct store *older, struct unfinished_list *out,
                         hardy_error *error) {
    struct finding f = {out, older, error};
    hardy_status status = HARDY_OK;
    *out = (struct unfinished_list){0};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && status == HARDY_OK; i++) {
        status = store_scan(store, kinds[i], "", NULL, SIZE_MAX, look, &f, error);
        status = status == HARDY_OK ? out->status : status;
    }
    return status;
}

hardy_status unfinished_find(struct store *store, struct unfinished_list *out, hardy_error *error) {
    return find(store, NULL, out, error);
}

hardy_status unfinished_since(struct store *store, struct store *later, struct unfinished_list *out,
                              hardy_error *error) {
    return find(later, store, out, error);
}

void unfinished_free(struct unfinished_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].kind);
        free(list->items[i].key);
        free(list->items[i].state);
    }
    free(list->items);
    *list = (struct unfinished_list){0};
}

void unfinished_to_json(const struct unfinished_list *list, struct json_out *j) {
    json_out_array(j);
    for (size_t i = 0; i < list->count; i++) {
        char started[40];
        clock_format_wall(list->items[i].started, started);
        json_out_object(j);
        json_out_member_string(j, "kind", list->items[i].kind);
        json_out_member_string(j, "key", list->items[i].key);
        json_out_member_string(j, "state", list->items[i].state);
        json_out_member_string(j, "started", started);
        json_out_object_end(j);
    }
    json_out_array_end(j);
}

void unfinished_print(const struct unfinished_list *list) {
    for (size_t i = 0; i < list->count && i < PRINTED; i++) {
        const struct unfinished *u = &list->items[i];
        char started[40], key[96];
        clock_format_wall(u->started, started);
        str_copy(key, sizeof key, u->key);
        str_make_printable(key);
        fprintf(stderr, "  %-7s %-40s %-9s started %s\n", u->kind, key, u->state, started);
    }
    if (list->total > PRINTED) {
        fprintf(stderr, "  ... and %zu more\n", list->total - PRINTED);
    }
}
