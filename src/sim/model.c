/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/model.h"
#include "base/clock.h"
#include "base/error.h"
#include "sim/callers.h"

#define S HARDY_SECOND
#define MS HARDY_MILLISECOND
#define CAPACITY_MAX 1e7
#define ATTEMPTS_MAX 1000

static const struct defaults {
    uint32_t clients, attempts;
    double capacity, utilisation; /* capacity of a client; or of its load */
    double rate;
    int64_t outage, base, cap;
} defaults[SIM_MODELS] = {
    [SIM_A] = {.clients = 1000, .base = 5 * MS, .cap = 2 * S},
    [SIM_S] =
        {.clients = 10000, .capacity = 0.1, .outage = 60 * S, .base = 500 * MS, .cap = 30 * S},
    [SIM_O] = {.clients = 10000,
               .rate = 0.1,
               .utilisation = 0.5,
               .outage = 60 * S,
               .base = 500 * MS,
               .cap = 30 * S},
    [SIM_M] = {.clients = 1000,
               .attempts = 4,
               .rate = 0.7,
               .utilisation = 0.7,
               .outage = 10 * S,
               .base = 100 * MS,
               .cap = 5 * S},
};

const char *sim_model_name(enum sim_model model) {
    static const char *const names[SIM_MODELS] = {"A", "S", "O", "M"};
    return names[model];
}

void sim_settings_init(struct sim_settings *s, enum sim_model model, uint32_t clients) {
    const struct defaults *d = &defaults[model];
    *s = (struct sim_settings){
        .model = model,
        .clients = clients ? clients : d->clients,
        .outage = d->outage,
        .attempts = d->attempts,
        .seed = 42,
        .strategy = {.kind = STRATEGY_FULL, .base = d->base, .cap = d->cap},
    };
    s->capacity = s->clients * (d->rate > 0 ? d->rate / d->utilisation : d->capacity);
}

double sim_utilisation(const struct sim_settings *s) {
    return s->capacity > 0 ? s->clients * defaults[s->model].rate / s->capacity : 0;
}

static hardy_status check_controls(const struct sim_settings *s, hardy_error *error) {
    static const unsigned pairs[] = {SIM_BUDGET | SIM_SHARED_BUDGET,
                                     SIM_BREAKER | SIM_SHARED_BREAKER,
                                     SIM_THROTTLE | SIM_SHARED_THROTTLE, SIM_RAMP | SIM_CLOSE_RATE};
    if (s->model == SIM_A && s->controls) {
        return fail(
            error, HARDY_E_INVALID, "controls",
            "model A has none: its clients only contend; expected one of the models S, O, M");
    }
    if (s->model != SIM_M && s->controls & SIM_DEADLINE) {
        return fail(error, HARDY_E_INVALID, "controls",
                    "deadline needs callers that give up, and those of model %s do not; expected "
                    "model M",
                    sim_model_name(s->model));
    }
    if (s->controls & SIM_RAMP && !(s->controls & (SIM_BREAKER | SIM_SHARED_BREAKER))) {
        return fail(error, HARDY_E_INVALID, "controls",
                    "ramp is of a breaker that closes; expected breaker or shared-breaker with it");
    }
    if (s->controls & SIM_CLOSE_RATE && !(s->controls & SIM_SHARED_BREAKER)) {
        return fail(
            error, HARDY_E_INVALID, "controls",
            "close-rate is the pace of one breaker for all; expected shared-breaker with it");
    }
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if ((s->controls & pairs[i]) == pairs[i]) {
            return fail(
                error, HARDY_E_INVALID, "controls",
                "two of them exclude each other: a control of each client and the same that all "
                "share, or ramp and close-rate");
        }
    }
    return HARDY_OK;
}

hardy_status sim_settings_check(const struct sim_settings *s, hardy_error *error) {
    if (s->clients < 1 || s->clients > SIM_CLIENTS_MAX) {
        return fail(error, HARDY_E_INVALID, "clients", "%u is not from 1 to %d", s->clients,
                    SIM_CLIENTS_MAX);
    }
    if (s->model != SIM_A && !(s->capacity >= 1e-3 && s->capacity <= CAPACITY_MAX)) {
        return fail(error, HARDY_E_INVALID, "capacity",
                    "%g calls a second is not from 0.001 to %.0f", s->capacity, CAPACITY_MAX);
    }
    if (s->model == SIM_A && (s->capacity != 0 || s->outage != 0)) {
        return fail(error, HARDY_E_INVALID, s->capacity != 0 ? "capacity" : "outage",
                    "model A has none: its clients only contend; expected one of the models S, "
                    "O, M");
    }
    if (s->outage < 0 || s->outage > HARDY_DAY) {
        return fail(error, HARDY_E_INVALID, "outage", "it is to be from 0 to 24h");
    }
    if (s->attempts > ATTEMPTS_MAX) {
        return fail(error, HARDY_E_INVALID, "attempts", "%u is not from 0 (no limit) to %d",
                    s->attempts, ATTEMPTS_MAX);
    }
    if (s->strategy.base < 0 || s->strategy.base > HARDY_HOUR) {
        return fail(error, HARDY_E_INVALID, "base-delay", "it is to be from 0 to 1h");
    }
    if (s->strategy.cap < s->strategy.base || s->strategy.cap > HARDY_DAY) {
        return fail(error, HARDY_E_INVALID, "max-delay", "it is to be from the base delay to 24h");
    }
    return check_controls(s, error);
}

/* --- measures ------------------------------------------------------------------------------- */

/* Since the trouble ended, when the first 10 s begin whose successes are at least 95 % of those
 * before the trouble. */
static double recovered_after(const struct sim_result *r) {
    const int64_t span = 10 * S;
    double before = (double)series_sum(&r->successes_over_time, span, r->trouble_from) /
                    (double)(r->trouble_from - span);
    if (before <= 0) {
        return SIM_NEVER; /* there was nothing to come back to */
    }
    for (int64_t at = r->trouble_until; at + span <= r->end; at += SERIES_WIDTH) {
        if ((double)series_sum(&r->successes_over_time, at, at + span) >=
            0.95 * before * (double)span) {
            return (double)(at - r->trouble_until) / (double)S;
        }
    }
    return SIM_NEVER;
}

static double over_capacity(const struct sim_settings *s, const struct sim_result *r,
                            int64_t span) {
    uint64_t peak = series_peak(&r->calls_over_time, r->trouble_until, r->end, span);
    return (double)peak / (s->capacity * (double)span / (double)S);
}

static void measure(const struct sim_settings *s, struct sim_result *r) {
    r->calls_per_operation = r->operations ? (double)r->calls / (double)r->operations : 0;
    if (s->model == SIM_A) {
        return;
    }
    r->peak_over_capacity_1s = over_capacity(s, r, S);
    r->peak_over_capacity_100ms = over_capacity(s, r, 100 * MS);
    if (s->model == SIM_S) {
        r->recovered_after_s = r->done_after_s;
        return;
    }
    int64_t minute = r->end - HARDY_MINUTE;
    uint64_t begun = series_sum(&r->operations_over_time, minute, r->end);
    r->done_after_s = SIM_NEVER;
    r->goodput_last_minute =
        begun ? (double)series_sum(&r->successes_over_time, minute, r->end) / (double)begun : 0;
    r->recovered_after_s = recovered_after(r);
}

hardy_status sim_run(const struct sim_settings *settings, struct sim_result *result,
                     hardy_error *error) {
    *result = (struct sim_result){.done_after_s = SIM_NEVER,
                                  .peak_over_capacity_1s = SIM_NEVER,
                                  .peak_over_capacity_100ms = SIM_NEVER,
                                  .goodput_last_minute = SIM_NEVER,
                                  .recovered_after_s = SIM_NEVER};
    hardy_status status = settings->model == SIM_A ? contention_run(settings, result, error)
                                                   : callers_run(settings, result, error);
    if (status == HARDY_OK) {
        measure(settings, result);
    }
    return status;
}

void sim_result_free(struct sim_result *r) {
    series_free(&r->operations_over_time);
    series_free(&r->calls_over_time);
    series_free(&r->successes_over_time);
}
