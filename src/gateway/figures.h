/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_FIGURES_H
#define GATEWAY_FIGURES_H
/*
 * The gateway's counters and histograms. Labels are few and their values come from closed sets, or
 * from a table that is bounded: what a stranger can send must not make series without end.
 */
#include "gateway/record.h"
#include "gateway/upstream.h"
#include "observe/exposition.h"

#define FIGURES_UPSTREAMS 64
#define FIGURES_MODELS 32 /* further models are counted as "other" */

struct upstream_figures {
    char name[64];
    enum upstream_protocol speaks;
    uint64_t requests[REQUEST_OUTCOME_COUNT];
    uint64_t attempts[ATTEMPT_COUNT];
    uint64_t retries, retries_succeeded; /* requests with retries: all of them, and the ok ones */
    struct histogram duration, first_content;
    uint64_t bytes_in, bytes_out;
};
struct model_figures {
    char model[96];
    char provider[32];
    struct histogram duration, first_chunk, input, output;
};
struct figures {
    struct upstream_figures upstreams[FIGURES_UPSTREAMS];
    size_t upstream_count;
    struct model_figures *models; /* FIGURES_MODELS and the "other" one */
    size_t model_count;
    struct histogram overhead;
    uint64_t connections_closed[CLOSE_ERROR + 1]; /* by reason */
};
bool figures_init(struct figures *f);
void figures_free(struct figures *f);
/* NULL: nothing was asked of it yet. */
const struct upstream_figures *figures_find(const struct figures *f, const char *upstream);
void figures_add_attempt(struct figures *f, const struct request_record *r,
                         enum attempt_result result);
void figures_add_request(struct figures *f, const struct request_record *r);

struct figures_now { /* gauges */
    size_t active, waiting, connections;
    bool draining;
};
void figures_write(const struct figures *f, const struct upstream_set *set,
                   const struct figures_now *state, int64_t now, struct exposition *x);
#endif
