/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/figures.h"
#include "base/str.h"
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define RATE_PRESSURE 5 /* fewer requests left than that */

/* The bounds of OpenTelemetry's conventions for generative AI. */
static const double seconds[] = {0.01, 0.02, 0.04, 0.08,  0.16,  0.32,  0.64,
                                 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92};
static const double tokens[] = {1,     4,     16,     64,      256,     1024,     4096,
                                16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};
static const double overheads[] = {0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005,
                                   0.001,   0.002,   0.005,   0.01,   0.1};

bool figures_init(struct figures *f) {
    memset(f, 0, sizeof *f);
    f->models = calloc(FIGURES_MODELS + 1, sizeof *f->models);
    histogram_init(&f->overhead, overheads, COUNT(overheads));
    return f->models != NULL;
}

void figures_free(struct figures *f) {
    free(f->models);
    f->models = NULL;
}

static size_t index_of(const struct figures *f, const char *upstream) {
    size_t i = 0;
    while (i < f->upstream_count && !str_eq(f->upstreams[i].name, upstream)) {
        i++;
    }
    return i;
}

const struct upstream_figures *figures_find(const struct figures *f, const char *upstream) {
    size_t i = index_of(f, upstream);
    return i < f->upstream_count ? &f->upstreams[i] : NULL;
}

static struct upstream_figures *find_upstream(struct figures *f, const struct request_record *r) {
    size_t i = index_of(f, r->upstream);
    if (i < f->upstream_count) {
        return &f->upstreams[i];
    }
    if (f->upstream_count == FIGURES_UPSTREAMS) {
        return NULL;
    }
    struct upstream_figures *u = &f->upstreams[f->upstream_count++];
    str_copy(u->name, sizeof u->name, r->upstream);
    u->speaks = r->speaks;
    histogram_init(&u->duration, seconds, COUNT(seconds));
    histogram_init(&u->first_content, seconds, COUNT(seconds));
    return u;
}

static struct model_figures *find_model(struct figures *f, const struct request_record *r) {
    const char *provider = upstream_protocol_text(r->speaks);
    struct model_figures *m;
    size_t i = 0;
    for (; i < f->model_count; i++) {
        m = &f->models[i];
        if (str_eq(m->model, r->model) && str_eq(m->provider, provider)) {
            return m;
        }
    }
    bool other = i >= FIGURES_MODELS;
    m = &f->models[other ? FIGURES_MODELS : i];
    if (!other || m->model[0] == '\0') {
        str_copy(m->model, sizeof m->model, other ? "other" : r->model);
        str_copy(m->provider, sizeof m->provider, other ? "other" : provider);
        histogram_init(&m->duration, seconds, COUNT(seconds));
        histogram_init(&m->first_chunk, seconds, COUNT(seconds));
        histogram_init(&m->input, tokens, COUNT(tokens));
        histogram_init(&m->output, tokens, COUNT(tokens));
        f->model_count = i + 1 <= FIGURES_MODELS + 1 ? i + 1 : FIGURES_MODELS + 1;
    }
    return m;
}

void figures_add_attempt(struct figures *f, const struct request_record *r,
                         enum attempt_result result) {
    struct upstream_figures *u = find_upstream(f, r);
    if (u) {
        u->attempts[result]++;
    }
}

static double span_seconds(int64_t span) {
    return (double)span / (double)HARDY_SECOND;
}

static void add_model(struct figures *f, const struct request_record *r) {
    struct model_figures *m = find_model(f, r);
    histogram_add(&m->duration, span_seconds(r->ended - r->arrived));
    if (r->content > 0) {
        histogram_add(&m->first_chunk, span_seconds(r->content - r->arrived));
    }
    if (r->usage.input >= 0) {
        histogram_add(&m->input, (double)usage_input_total(&r->usage));
    }
    if (r->usage.output >= 0) {
        histogram_add(&m->output, (double)r->usage.output);
    }
}

void figures_add_request(struct figures *f, const struct request_record *r) {
    struct upstream_figures *u = find_upstream(f, r);
    if (u) {
        u->requests[r->outcome]++;
        u->bytes_in += r->bytes_in;
        u->bytes_out += r->bytes_out;
        histogram_add(&u->duration, span_seconds(r->ended - r->arrived));
        if (r->content > 0) {
            histogram_add(&u->first_content, span_seconds(r->content - r->arrived));
        }
        if (r->attempts > 1) {
            u->retries++;
            u->retries_succeeded += r->outcome == REQUEST_OK;
        }
    }
    if (r->attempts > 0) {
        histogram_add(&f->overhead, span_seconds(r->overhead));
    }
    /* A model that the provider does not know is whatever somebody typed. */
    if (r->protocol != PROTOCOL_PLAIN && r->model[0] && r->outcome == REQUEST_OK) {
        add_model(f, r);
    }
}

/* --- exposition ------------------------------------------------------------------------------- */

static void write_upstreams(const struct figures *f, struct exposition *x) {
    exposition_family(x, "hardy_gateway_requests_total", "counter",
                      "Requests that ended, by upstream and by whose doing");
    for (size_t i = 0; i < f->upstream_count; i++) {
        for (int o = 0; o < REQUEST_OUTCOME_COUNT; o++) {
            exposition_sample(x, "hardy_gateway_requests_total",
                              (double)f->upstreams[i].requests[o], "upstream", f->upstreams[i].name,
                              "outcome", request_outcome_text((enum request_outcome)o), NULL);
        }
    }
    exposition_family(x, "hardy_gateway_attempts_total", "counter",
                      "Attempts at an upstream that ended, by how");
    for (size_t i = 0; i < f->upstream_count; i++) {
        for (int r = 0; r < ATTEMPT_COUNT; r++) {
            exposition_sample(x, "hardy_gateway_attempts_total",
                              (double)f->upstreams[i].attempts[r], "upstream", f->upstreams[i].name,
                              "result", attempt_result_text((enum attempt_result)r), NULL);
        }
    }
    exposition_family(x, "hardy_retry_attempts_total", "counter",
                      "Requests that were tried again, and whether they succeeded in the end");
    for (size_t i = 0; i < f->upstream_count; i++) {
        const struct upstream_figures *u = &f->upstreams[i];
        exposition_sample(x, "hardy_retry_attempts_total", (double)u->retries_succeeded, "service",
                          u->name, "success", "true", NULL);
        exposition_sample(x, "hardy_retry_attempts_total",
                          (double)(u->retries - u->retries_succeeded), "service", u->name,
                          "success", "false", NULL);
    }
    exposition_family(x, "hardy_gateway_request_duration_seconds", "histogram",
                      "From a whole request to the end of its answer");
    for (size_t i = 0; i < f->upstream_count; i++) {
        exposition_histogram(x, "hardy_gateway_request_duration_seconds", &f->upstreams[i].duration,
                             "upstream", f->upstreams[i].name, NULL);
    }
    exposition_family(x, "hardy_gateway_first_content_seconds", "histogram",
                      "From a whole request to the first content handed on");
    for (size_t i = 0; i < f->upstream_count; i++) {
        exposition_histogram(x, "hardy_gateway_first_content_seconds",
                             &f->upstreams[i].first_content, "upstream", f->upstreams[i].name,
                             NULL);
    }
    exposition_family(x, "hardy_gateway_body_bytes_total", "counter",
                      "Bytes of bodies: in from clients, out to them");
    for (size_t i = 0; i < f->upstream_count; i++) {
        const struct upstream_figures *u = &f->upstreams[i];
        exposition_sample(x, "hardy_gateway_body_bytes_total", (double)u->bytes_in, "upstream",
                          u->name, "direction", "in", NULL);
        exposition_sample(x, "hardy_gateway_body_bytes_total", (double)u->bytes_out, "upstream",
                          u->name, "direction", "out", NULL);
    }
}

/* One histogram of each model, under a name, with what the conventions want beside the model. */
static void write_models(const struct figures *f, struct exposition *x) {
    exposition_family(x, "gen_ai_client_operation_duration_seconds", "histogram",
                      "Operations at the model's provider, as the client sees them");
    for (size_t i = 0; i < f->model_count; i++) {
        const struct model_figures *m = &f->models[i];
        exposition_histogram(x, "gen_ai_client_operation_duration_seconds", &m->duration,
                             "gen_ai_operation_name", "chat", "gen_ai_provider_name", m->provider,
                             "gen_ai_request_model", m->model, NULL);
    }
    exposition_family(x, "gen_ai_client_operation_time_to_first_chunk_seconds", "histogram",
                      "From the request to the first content");
    for (size_t i = 0; i < f->model_count; i++) {
        const struct model_figures *m = &f->models[i];
        exposition_histogram(x, "gen_ai_client_operation_time_to_first_chunk_seconds",
                             &m->first_chunk, "gen_ai_operation_name", "chat",
                             "gen_ai_provider_name", m->provider, "gen_ai_request_model", m->model,
                             NULL);
    }
    exposition_family(x, "gen_ai_client_token_usage", "histogram",
                      "Tokens of an operation, as the provider told them");
    for (size_t i = 0; i < f->model_count; i++) {
        const struct model_figures *m = &f->models[i];
        exposition_histogram(x, "gen_ai_client_token_usage", &m->input, "gen_ai_operation_name",
                             "chat", "gen_ai_provider_name", m->provider, "gen_ai_request_model",
                             m->model, "gen_ai_token_type", "input", NULL);
        exposition_histogram(x, "gen_ai_client_token_usage", &m->output, "gen_ai_operation_name",
                             "chat", "gen_ai_provider_name", m->provider, "gen_ai_request_model",
                             m->model, "gen_ai_token_type", "output", NULL);
    }
}

static void stats_of(const struct upstream_guard *g, hardy_guard_stats *stats) {
    *stats = (hardy_guard_stats){.size = sizeof *stats};
    stats->breaker.size = sizeof stats->breaker;
    hardy_guard_get_stats(g->guard, stats);
}

static void write_guards(const struct upstream_set *set, int64_t now, struct exposition *x) {
    hardy_guard_stats s;
    exposition_family(x, "hardy_circuit_breaker_state", "gauge",
                      "0 closed, 1 half open, 2 open, 3 forced open, 4 disabled");
    for (size_t i = 0; i < set->guard_count; i++) {
        stats_of(&set->guards[i], &s);
        exposition_sample(x, "hardy_circuit_breaker_state", (double)s.breaker.state, "service",
                          set->guards[i].name, NULL);
    }
    exposition_family(x, "hardy_circuit_breaker_opened_total", "counter",
                      "How often the breaker opened");
    for (size_t i = 0; i < set->guard_count; i++) {
        stats_of(&set->guards[i], &s);
        exposition_sample(x, "hardy_circuit_breaker_opened_total", (double)s.breaker.times_opened,
                          "service", set->guards[i].name, NULL);
    }
    exposition_family(x, "hardy_retries_suppressed_total", "counter",
                      "Retries that the retry budget refused");
    for (size_t i = 0; i < set->guard_count; i++) {
        stats_of(&set->guards[i], &s);
        exposition_sample(x, "hardy_retries_suppressed_total", (double)s.retries_suppressed,
                          "service", set->guards[i].name, NULL);
    }
    exposition_family(x, "hardy_bulkhead_calls", "gauge", "Calls with a slot, and waiting for one");
    for (size_t i = 0; i < set->guard_count; i++) {
        stats_of(&set->guards[i], &s);
        exposition_sample(x, "hardy_bulkhead_calls", s.running, "service", set->guards[i].name,
                          "state", "running", NULL);
        exposition_sample(x, "hardy_bulkhead_calls", s.waiting, "service", set->guards[i].name,
                          "state", "waiting", NULL);
    }
    exposition_family(x, "hardy_bulkhead_limit", "gauge",
                      "Calls let through at once at present, lowered and adapted as it may be");
    for (size_t i = 0; i < set->guard_count; i++) {
        stats_of(&set->guards[i], &s);
        exposition_sample(x, "hardy_bulkhead_limit", s.concurrency_limit, "service",
                          set->guards[i].name, NULL);
    }
    exposition_family(x, "hardy_concurrency_limit", "gauge",
                      "Calls let through at once while a remedy has lowered them; 0 = it has not");
    for (size_t i = 0; i < set->guard_count; i++) {
        exposition_sample(x, "hardy_concurrency_limit", upstream_guard_lowered(&set->guards[i]),
                          "guard", set->guards[i].name, NULL);
    }
    exposition_family(x, "hardy_rate_limit_pressure", "gauge",
                      "1 while fewer than 5 requests are left of a limit, given or learned");
    for (size_t i = 0; i < set->count; i++) {
        const struct upstream *u = &set->upstreams[i];
        bool pressure = false;
        for (size_t n = 0; n < u->standing->learned_count; n++) {
            double left = learned_left(&u->standing->learned[n], LEARNED_REQUESTS, now);
            pressure = pressure || (left >= 0 && left < RATE_PRESSURE);
        }
        stats_of(u->guard, &s);
        pressure = pressure || (s.rate_left >= 0 && s.rate_left < RATE_PRESSURE);
        exposition_sample(x, "hardy_rate_limit_pressure", pressure, "service", u->settings->name,
                          NULL);
    }
}

void figures_write(const struct figures *f, const struct upstream_set *set,
                   const struct figures_now *state, int64_t now, struct exposition *x) {
    write_upstreams(f, x);
    exposition_family(x, "hardy_gateway_overhead_seconds", "histogram",
                      "Hardy's own work on a request before the answer's first byte");
    exposition_histogram(x, "hardy_gateway_overhead_seconds", &f->overhead, NULL);
    exposition_family(x, "hardy_gateway_requests", "gauge", "Requests that are not over");
    exposition_sample(x, "hardy_gateway_requests", (double)state->active, "state", "calling", NULL);
    exposition_sample(x, "hardy_gateway_requests", (double)state->waiting, "state", "waiting",
                      NULL);
    exposition_family(x, "hardy_gateway_connections", "gauge", "Connections of clients");
    exposition_sample(x, "hardy_gateway_connections", (double)state->connections, NULL);
    exposition_family(x, "hardy_gateway_connections_closed_total", "counter",
                      "Connections of clients that ended, by reason");
    for (int i = 0; i <= CLOSE_ERROR; i++) {
        exposition_sample(x, "hardy_gateway_connections_closed_total",
                          (double)f->connections_closed[i], "reason",
                          close_reason_text((enum close_reason)i), NULL);
    }
    exposition_family(x, "hardy_gateway_draining", "gauge", "1 after SIGTERM");
    exposition_sample(x, "hardy_gateway_draining", state->draining, NULL);
    write_guards(set, now, x);
    write_models(f, x);
}
