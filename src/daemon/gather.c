/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET /api/v1/gather/NAME: what a gathering has, as good as it is now, and what to switch because
 * of it; DELETE /api/v1/cache: the last good answers are forgotten.
 */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/inside.h"
#include "degrade/answer.h"
#include "http/problem.h"
#include "io/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GATHER "/api/v1/gather/"
#define PROBLEM_TYPE "application/problem+json"
enum { NAME_SIZE = 64 * 3 + 1, FRESH_MAX = 4096, WHY_MAX = 1000, PREFIX_MAX = 512 };

/* --- opening and the end ---------------------------------------------------------------------- */

hardy_status gather_open(struct daemon *d, const struct config *config, struct gatherer **out,
                         hardy_error *error) {
    char *folder = config->path && !str_eq(config->path, "-") ? file_folder(config->path) : NULL;
    const struct gatherer_world world = {
        .loop = d->loop, .client = d->client, .cache = &d->answers, .host = d->host, .cwd = folder};
    hardy_status status = HARDY_OK;
    if (!d->kept) {
        status = kept_open(d->loop, d->store, 1, 1, &d->kept, error); /* resized right below */
    }
    if (status == HARDY_OK) {
        d->answers = kept_cache(d->kept);
        status = gatherer_open(&world, config, out, error);
    }
    free(folder);
    return status;
}

void gather_take(struct daemon *d, struct gatherer *g) {
    const struct degrade_settings *s = gatherer_settings(g);
    kept_resize(d->kept, s->cache.answers, (size_t)s->cache.size);
    if (d->gatherer) {
        gatherer_take_over(g, d->gatherer);
        gatherer_retire(d->gatherer);
    }
    d->gatherer = g;
}

/* --- answering -------------------------------------------------------------------------------- */

struct asking { /* one request */
    struct daemon *d;
    struct http_request *request;
    struct gatherer_ask ask;
};

/* "metrics (connection refused), logs (exit code 1)"; "" = nothing is missing. */
static void name_failed(const struct gathered *g, char out[WHY_MAX]) {
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < g->count && used < WHY_MAX; i++) {
        const hardy_component *c = &g->components[i];
        if (!component_has_data(c)) {
            int len = snprintf(out + used, WHY_MAX - used, "%s%.63s (%.150s)", used ? ", " : "",
                               c->name, c->error);
            used += len > 0 ? (size_t)len : 0;
        }
    }
}

/* The members of a problem, before those of the answer: what there is may serve all the same. */
static void put_problem(struct json_out *j, const struct gathered *g) {
    char failed[WHY_MAX], detail[WHY_MAX + 200];
    name_failed(g, failed);
    snprintf(detail, sizeof detail, "degraded beyond max_degradation: %s, at worst %s; %s%s",
             hardy_level_text(g->level), hardy_level_text(gathering_worst(g->settings)),
             failed[0] ? "failed: " : "nothing is missing, but too much is old", failed);
    json_out_member_string(j, "type", "degraded");
    json_out_member_string(j, "title", http_status_text(503));
    json_out_key(j, "status");
    json_out_int(j, 503);
    json_out_member_string(j, "detail", detail);
}

static void answer(struct http_request *r, const struct gathered *g) {
    struct http_headers headers;
    struct buf text;
    struct json_out j;
    buf_init(&text, API_TEXT_MAX);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    if (!g->acceptable) {
        put_problem(&j, g);
    }
    json_out_member_string(&j, "gathering", g->settings->name);
    gathered_put(&j, g->components, g->count);
    json_out_member_raw(&j, "switches", g->switches);
    json_out_object_end(&j);
    buf_putc(&text, '\n');
    http_headers_init(&headers, HTTP_HEADERS_MAX, HTTP_HEAD_MAX);
    (void)http_headers_add(&headers, "x-hardy-degraded", hardy_level_text(g->level));
    admin_answer_with(r, g->acceptable ? 200 : 503, &headers,
                      g->acceptable ? "application/json" : PROBLEM_TYPE, &text);
    http_headers_free(&headers);
    buf_free(&text);
}

static void on_gathered(void *ctx, const struct gathered *g) {
    struct asking *a = ctx;
    if (g) {
        answer(a->request, g);
    } else {
        http_problem(a->request, 503, NULL, NULL, NULL, "hardy is shutting down");
    }
    free(a);
}

static void on_gone(void *ctx, struct http_request *r, enum close_reason reason) {
    struct asking *a = ctx;
    gatherer_ask_cancel(&a->ask);
    http_respond_abort(r, reason, "who asked has left");
    free(a);
}

/* What has to be fresh this time, by ?fresh= or the header: "" = nothing, "*" = everything. */
static void read_fresh(const struct http_request *r, struct buf *out) {
    const char *header = http_headers_get(http_request_headers(r), "x-hardy-fresh");
    if (!http_query_get(http_request_query(r), "fresh", out) && header) {
        buf_append(out, header, strlen(header));
    }
    const char *text = out->data ? out->data : "";
    bool all = str_eq(text, "1") || str_eq(text, "true");
    if (all || str_eq(text, "0") || str_eq(text, "false")) {
        buf_reset(out);
        buf_append(out, "*", all);
    }
}

void gather_answer(void *ctx, struct http_request *r) {
    static const struct http_request_events events = {.gone = on_gone};
    struct daemon *d = ctx;
    const char *path = http_request_path(r) + strlen(GATHER);
    char name[NAME_SIZE];
    struct buf fresh;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (!admin_may_read(d, r) || !daemon_state_path_key(r, path, strlen(path), name, sizeof name)) {
        return;
    }
    if (!d->gatherer) {
        http_problem(r, 503, NULL, NULL, NULL, "only hardy serve gathers, and not while it ends");
        return;
    }
    struct asking *a = calloc(1, sizeof *a);
    buf_init(&fresh, FRESH_MAX);
    read_fresh(r, &fresh);
    hardy_status status = HARDY_E_NOMEM;
    if (a) {
        *a = (struct asking){.d = d, .request = r, .ask = {.done = on_gathered, .ctx = a}};
        status =
            gatherer_ask(d->gatherer, name, fresh.len > 0 ? fresh.data : NULL, &a->ask, &error);
    }
    buf_free(&fresh);
    if (status != HARDY_OK) {
        free(a);
        http_problem(r, status == HARDY_E_NOT_FOUND ? 404 : 503, NULL, NULL, NULL,
                     error.message[0] ? error.message : "no memory to gather");
        return;
    }
    http_request_read(r, &events, a);
}

/* --- forgetting ------------------------------------------------------------------------------- */

hardy_status gather_clear(struct daemon *d, const char *prefix, size_t *removed,
                          hardy_error *error) {
    *removed = 0;
    return d->kept ? kept_remove(d->kept, prefix, removed, error)
                   : fail(error, HARDY_E_UNSUPPORTED, NULL, "only hardy serve keeps answers");
}

void gather_forget(void *ctx, struct http_request *r) {
    struct daemon *d = ctx;
    struct buf prefix, text;
    hardy_error error;
    size_t removed = 0;
    hardy_error_init(&error, sizeof error);
    if (!admin_may_write(d, r)) {
        return;
    }
    buf_init(&prefix, PREFIX_MAX);
    bool given = http_query_get(http_request_query(r), "prefix", &prefix);
    if (!given) {
        buf_free(&prefix);
        http_problem(
            r, 400, NULL, NULL, NULL,
            "?prefix= is needed: GATHERING/COMPONENT, GATHERING/, or nothing behind it for "
            "all");
        return;
    }
    hardy_status status = gather_clear(d, prefix.data ? prefix.data : "", &removed, &error);
    log_event(HARDY_LOG_INFO, "answers forgotten", "prefix", prefix.data ? prefix.data : "", "peer",
              http_request_peer(r), NULL);
    buf_free(&prefix);
    if (status == HARDY_E_UNSUPPORTED) {
        http_problem(r, 503, NULL, NULL, NULL, error.message);
        return;
    }
    if (status != HARDY_OK) {
        daemon_state_failed(r, status, &error);
        return;
    }
    buf_init(&text, 100);
    buf_printf(&text, "{\"removed\":%zu}\n", removed);
    admin_answer(r, 200, "application/json", &text);
    buf_free(&text);
}

/* --- telling ---------------------------------------------------------------------------------- */

static void put_components(const struct gatherer_figures *f, struct json_out *j) {
    const struct source_settings *components = f->settings->components.items;
    json_out_key(j, "components");
    json_out_object(j);
    for (size_t i = 0; i < f->settings->components.count; i++) {
        json_out_member_string(j, components[i].name, hardy_component_state_text(f->states[i]));
    }
    json_out_object_end(j);
}

void gather_put_status(const struct daemon *d, struct json_out *j) {
    char text[40];
    json_out_key(j, "gatherings");
    json_out_array(j);
    for (size_t i = 0; d->gatherer && i < gatherer_count(d->gatherer); i++) {
        struct gatherer_figures f;
        gatherer_look(d->gatherer, i, &f);
        json_out_object(j);
        json_out_member_string(j, "name", f.settings->name);
        json_out_member_string(j, "level", f.known ? hardy_level_text(f.level) : NULL);
        json_out_key(j, "acceptable");
        json_out_bool(j, !f.known || f.level <= gathering_worst(f.settings));
        if (f.known) {
            clock_format_wall(f.since, text);
        }
        json_out_member_string(j, "since", f.known ? text : NULL);
        put_components(&f, j);
        json_out_object_end(j);
    }
    json_out_array_end(j);
}

static void write_levels(const struct gatherer *g, struct exposition *x) {
    struct gatherer_figures f;
    exposition_family(x, "hardy_degradation_level", "gauge",
                      "Of the last answer: 0 full, 1 slight, 2 moderate, 3 minimal, 4 failed");
    for (size_t i = 0; i < gatherer_count(g); i++) {
        gatherer_look(g, i, &f);
        if (f.known) {
            exposition_sample(x, "hardy_degradation_level", f.level, "gathering", f.settings->name,
                              NULL);
        }
    }
    exposition_family(x, "hardy_degradation_seconds_total", "counter", "Time spent at each level");
    for (size_t i = 0; i < gatherer_count(g); i++) {
        gatherer_look(g, i, &f);
        for (int level = 0; level < LEVELS; level++) {
            exposition_sample(
                x, "hardy_degradation_seconds_total", (double)f.spent[level] / (double)HARDY_SECOND,
                "gathering", f.settings->name, "level", hardy_level_text((hardy_level)level), NULL);
        }
    }
    exposition_family(x, "hardy_gather_answers_total", "counter",
                      "Gatherings that ended, by level");
    for (size_t i = 0; i < gatherer_count(g); i++) {
        gatherer_look(g, i, &f);
        for (int level = 0; level < LEVELS; level++) {
            exposition_sample(x, "hardy_gather_answers_total", (double)f.answers[level],
                              "gathering", f.settings->name, "level",
                              hardy_level_text((hardy_level)level), NULL);
        }
    }
}

static void write_components(const struct gatherer *g, struct exposition *x) {
    struct gatherer_figures f;
    exposition_family(x, "hardy_component_state", "gauge",
                      "In the last answer: 1 fresh, 2 cached, 3 static, 4 missing");
    for (size_t i = 0; i < gatherer_count(g); i++) {
        gatherer_look(g, i, &f);
        const struct source_settings *components = f.settings->components.items;
        for (size_t c = 0; c < f.settings->components.count; c++) {
            if (f.states[c] != HARDY_COMPONENT_WAITING) {
                exposition_sample(x, "hardy_component_state", f.states[c], "gathering",
                                  f.settings->name, "component", components[c].name, NULL);
            }
        }
    }
}

static void write_sharing(const struct gatherer *g, struct exposition *x) {
    struct gatherer_figures f;
    exposition_family(x, "hardy_gather_runs_total", "counter", "Gatherings begun");
    for (size_t i = 0; i < gatherer_count(g); i++) {
        gatherer_look(g, i, &f);
        exposition_sample(x, "hardy_gather_runs_total", (double)f.runs, "gathering",
                          f.settings->name, NULL);
    }
    exposition_family(x, "hardy_gather_shared_total", "counter",
                      "Requests that shared one that was under way");
    for (size_t i = 0; i < gatherer_count(g); i++) {
        gatherer_look(g, i, &f);
        exposition_sample(x, "hardy_gather_shared_total", (double)f.shared, "gathering",
                          f.settings->name, NULL);
    }
}

void gather_write_metrics(const struct daemon *d, struct exposition *x) {
    if (!d->gatherer || gatherer_count(d->gatherer) == 0) {
        return;
    }
    struct kept_use use = kept_used(d->kept);
    write_levels(d->gatherer, x);
    write_components(d->gatherer, x);
    write_sharing(d->gatherer, x);
    exposition_family(x, "hardy_cache_answers", "gauge", "Last good answers in memory");
    exposition_sample(x, "hardy_cache_answers", (double)use.answers, NULL);
    exposition_family(x, "hardy_cache_bytes", "gauge", "Of these");
    exposition_sample(x, "hardy_cache_bytes", (double)use.bytes, NULL);
}
