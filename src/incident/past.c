/* SPDX-License-Identifier: Apache-2.0 */
/* The row of a service: which incident is its latest, how many there were, and when which remedy
 * was run. */
#include "base/error.h"
#include "base/json.h"
#include "base/str.h"
#include "incident/incident.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void past_free(struct past *p) {
    for (size_t n = 0; n < p->count; n++)
        free(p->runs[n].action);
    free(p->runs);
    for (size_t n = 0; n < p->result_count; n++)
        free(p->results[n].action);
    free(p->results);
    free(p->incident);
    *p = (struct past){.fence = -1};
}

uint32_t past_runs(const struct past *p, const char *action, int64_t since) {
    uint32_t count = 0;
    for (size_t n = 0; n < p->count; n++)
        count += p->runs[n].at > since && (!action || str_eq(p->runs[n].action, action));
    return count;
}

int64_t past_last_run(const struct past *p, const char *action) {
    int64_t last = INT64_MIN;
    for (size_t n = 0; n < p->count; n++)
        if (p->runs[n].at > last && str_eq(p->runs[n].action, action))
            last = p->runs[n].at;
    return last;
}

static struct past_result *result_of(struct past *p, const char *action) {
    for (size_t n = 0; n < p->result_count; n++)
        if (str_eq(p->results[n].action, action))
            return &p->results[n];
    struct past_result *results = realloc(p->results, (p->result_count + 1) * sizeof *results);
    char *name = str_dup(action);
    if (results)
        p->results = results;
    if (!results || !name) {
        free(name);
        return NULL;
    }
    results[p->result_count] = (struct past_result){.action = name};
    return &results[p->result_count++];
}

bool past_add_result(struct past *p, const char *action, bool healed) {
    struct past_result *r = result_of(p, action);
    if (!r)
        return false;
    r->healed += healed;
    r->not_healed += !healed;
    return true;
}

uint32_t past_open(const struct past *p) {
    return p->opened > p->resolved ? p->opened - p->resolved : 0;
}

bool past_add_run(struct past *p, const char *action, int64_t at, int64_t forget) {
    size_t kept = 0;
    for (size_t n = 0; n < p->count; n++) {
        if (p->runs[n].at > forget)
            p->runs[kept++] = p->runs[n];
        else
            free(p->runs[n].action);
    }
    p->count = kept;
    struct past_run *runs = realloc(p->runs, (kept + 1) * sizeof *runs);
    char *name = str_dup(action);
    if (runs)
        p->runs = runs;
    if (!runs || !name) {
        free(name);
        return false;
    }
    runs[p->count++] = (struct past_run){name, at};
    return true;
}

void past_drop_run(struct past *p) {
    if (p->count > 0)
        free(p->runs[--p->count].action);
}

void past_encode(const struct past *p, struct buf *out) {
    struct json_out j;
    char text[24];
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_key(&j, "incident");
    json_out_string(&j, p->incident);
    json_out_key(&j, "runs");
    json_out_array(&j);
    for (size_t n = 0; n < p->count; n++) {
        snprintf(text, sizeof text, "%lld", (long long)p->runs[n].at);
        json_out_object(&j);
        json_out_key(&j, "action");
        json_out_string(&j, p->runs[n].action);
        json_out_key(&j, "at");
        json_out_string(&j, text);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_key(&j, "results");
    json_out_array(&j);
    for (size_t n = 0; n < p->result_count; n++) {
        json_out_object(&j);
        json_out_member_string(&j, "action", p->results[n].action);
        json_out_key(&j, "healed");
        json_out_int(&j, p->results[n].healed);
        json_out_key(&j, "not_healed");
        json_out_int(&j, p->results[n].not_healed);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_member_count(&j, "opened", p->opened);
    json_out_member_count(&j, "resolved", p->resolved);
    json_out_member_count(&j, "escalated", p->escalated);
    json_out_object_end(&j);
}

static uint32_t count_at(const json_t *o, const char *key) {
    return (uint32_t)json_integer_value(json_object_get(o, key));
}

hardy_status past_decode(const struct store_row *row, struct past *out, hardy_error *error) {
    json_t *o = json_loadb(row->value, row->len, JSON_REJECT_DUPLICATES, NULL);
    json_t *runs = json_object_get(o, "runs"), *run, *result;
    size_t n;
    bool good = json_is_array(runs);
    *out = (struct past){.fence = -1};
    out->fence = row->fence;
    out->incident = str_dup(json_string_value(json_object_get(o, "incident")));
    json_array_foreach(runs, n, run) {
        const char *action = json_string_value(json_object_get(run, "action"));
        const char *at = json_string_value(json_object_get(run, "at"));
        good = good && action && at && past_add_run(out, action, strtoll(at, NULL, 10), 0);
    }
    json_array_foreach(json_object_get(o, "results"), n, result) {
        const char *action = json_string_value(json_object_get(result, "action"));
        struct past_result *r = good && action ? result_of(out, action) : NULL;
        good = r != NULL;
        if (r) {
            r->healed = count_at(result, "healed");
            r->not_healed = count_at(result, "not_healed");
        }
    }
    out->opened = count_at(o, "opened");
    out->resolved = count_at(o, "resolved");
    out->escalated = count_at(o, "escalated");
    json_decref(o);
    if (good)
        return HARDY_OK;
    past_free(out);
    return fail(error, HARDY_E_CORRUPT, NULL, "the record of service %s cannot be read", row->key);
}

hardy_status past_load(struct store *store, const char *service, struct past *out,
                       hardy_error *error) {
    struct store_row row;
    *out = (struct past){.fence = -1};
    hardy_error why;
    hardy_error_init(&why, sizeof why);
    hardy_status status = store_get(store, "service", service, &row, &why);
    if (status == HARDY_E_NOT_FOUND)
        return HARDY_OK;
    if (status != HARDY_OK) {
        if (error)
            *error = why;
        return status;
    }
    status = past_decode(&row, out, error);
    store_row_free(&row);
    return status;
}

struct counting {
    int64_t since;
    uint32_t runs;
};

static bool count_runs(void *ctx, const struct store_row *row) {
    struct counting *c = ctx;
    struct past past;
    if (past_decode(row, &past, NULL) == HARDY_OK) {
        c->runs += past_runs(&past, NULL, c->since);
        past_free(&past);
    }
    return true;
}

hardy_status past_all_runs(struct store *store, int64_t since, uint32_t *out, hardy_error *error) {
    struct counting c = {.since = since};
    hardy_status status = store_scan(store, "service", "", NULL, SIZE_MAX, count_runs, &c, error);
    *out = c.runs;
    return status;
}

double past_success_rate(const struct past_result *r) {
    double runs = (double)r->healed + r->not_healed;
    return runs > 0 ? r->healed / runs : 0;
}

struct each_result {
    void (*fn)(void *ctx, const char *service, const struct past_result *r);
    void *ctx;
};

static bool tell_results(void *ctx, const struct store_row *row) {
    const struct each_result *e = ctx;
    struct past past;
    if (past_decode(row, &past, NULL) == HARDY_OK) {
        for (size_t n = 0; n < past.result_count; n++)
            e->fn(e->ctx, row->key, &past.results[n]);
        past_free(&past);
    }
    return true;
}

hardy_status past_each_result(struct store *store,
                              void (*fn)(void *ctx, const char *service,
                                         const struct past_result *r),
                              void *ctx, hardy_error *error) {
    struct each_result e = {fn, ctx};
    return store_scan(store, "service", "", NULL, SIZE_MAX, tell_results, &e, error);
}
