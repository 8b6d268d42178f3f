/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/claims.h"
#include "sim/model.h"
#include <stdio.h>
#include <string.h>

#define SEED 42
#define LINE 100 /* of what is printed */

/* What is looked at in a run. */
enum figure {
    PEAK_OF_CAPACITY, /* calls in the highest second after the trouble over the capacity */
    PEAK_OF_LOAD,     /* or over what is offered when all is well */
    DOOMED,           /* calls that arrive during the outage */
    RECOVERED,    /* seconds after the trouble until it serves as before; S: until all are done */
    AVAILABILITY, /* no run: percent, if incidents that made 99.9 % with 30 minutes each take
                     `minutes` */
};
struct test_case {
    const char *setting;
    bool base; /* what the claim compares with */
    enum figure figure;
    enum sim_model model;
    enum strategy_kind strategy;
    unsigned controls;
    uint32_t clients, attempts; /* 0: the model's; no limit */
    double capacity;            /* 0: the model's */
    int64_t outage;             /* 0: the model's */
    double minutes;
};
struct claim {
    const char *says, *unit;
    double from, to; /* what is claimed, or so near to it that it is called that */
    const char *why;
    struct test_case cases[CLAIM_CASES]; /* up to one without a setting */
};

static const struct claim claims[CLAIMS] = {
    {"linear back-off makes peaks of about 10 times",
     "x",
     9,
     11,
     "Without chance, who failed together comes back together, all in one second: the peak is the "
     "number of callers over the capacity, whatever the back-off is. 10 is that ratio of whoever "
     "measured it.",
     {{.setting = "10000 at once, capacity 1000/s",
       .figure = PEAK_OF_CAPACITY,
       .model = SIM_S,
       .strategy = STRATEGY_LINEAR},
      {.setting = "10000 at once, capacity 200/s",
       .figure = PEAK_OF_CAPACITY,
       .model = SIM_S,
       .strategy = STRATEGY_LINEAR,
       .capacity = 200},
      {.setting = "500/s at random, any number of attempts",
       .figure = PEAK_OF_LOAD,
       .model = SIM_O,
       .clients = 5000,
       .strategy = STRATEGY_LINEAR},
      {.setting = "500/s at random, at most 5 attempts",
       .figure = PEAK_OF_LOAD,
       .model = SIM_O,
       .clients = 5000,
       .strategy = STRATEGY_LINEAR,
       .attempts = 5}}},
    {"exponential back-off without jitter makes peaks of 3 to 5 times",
     "x",
     2.8,
     5.3,
     "Only where operations come at random and give up after five attempts, and there each "
     "strategy has such a peak, jittered or not: it is the number of attempts. Who failed together "
     "comes back together, as with linear back-off.",
     {{.setting = "10000 at once, capacity 1000/s",
       .figure = PEAK_OF_CAPACITY,
       .model = SIM_S,
       .strategy = STRATEGY_EXPONENTIAL},
      {.setting = "500/s at random, any number of attempts",
       .figure = PEAK_OF_LOAD,
       .model = SIM_O,
       .clients = 5000,
       .strategy = STRATEGY_EXPONENTIAL},
      {.setting = "500/s at random, at most 5 attempts",
       .figure = PEAK_OF_LOAD,
       .model = SIM_O,
       .clients = 5000,
       .strategy = STRATEGY_EXPONENTIAL,
       .attempts = 5}}},
    {"with jitter the peak is about 1.2 times",
     "x",
     1.0,
     1.4,
     "Jitter spreads callers that failed together, over the longest wait: 2N/(max_delay * C), "
     "which "
     "can be far less than 1.2. Operations that come at random are spread already, and there it "
     "changes nothing. What leaves 1.2 is a retry budget or a breaker, with jitter or without.",
     {{.setting = "10000 at once, full jitter",
       .figure = PEAK_OF_CAPACITY,
       .model = SIM_S,
       .strategy = STRATEGY_FULL},
      {.setting = "500/s at random, full jitter",
       .figure = PEAK_OF_LOAD,
       .model = SIM_O,
       .clients = 5000,
       .strategy = STRATEGY_FULL},
      {.setting = "500/s at random, full jitter, at most 5 attempts",
       .figure = PEAK_OF_LOAD,
       .model = SIM_O,
       .clients = 5000,
       .strategy = STRATEGY_FULL,
       .attempts = 5},
      {.setting = "500/s at random, full jitter, a budget",
       .figure = PEAK_OF_LOAD,
       .model = SIM_O,
       .clients = 5000,
       .strategy = STRATEGY_FULL,
       .controls = SIM_BUDGET,
       .attempts = 5},
      {.setting = "500/s at random, no jitter, a budget",
       .figure = PEAK_OF_LOAD,
       .model = SIM_O,
       .clients = 5000,
       .strategy = STRATEGY_EXPONENTIAL,
       .controls = SIM_BUDGET,
       .attempts = 5},
      {.setting = "500/s at random, no jitter, a breaker each",
       .figure = PEAK_OF_LOAD,
       .model = SIM_O,
       .clients = 5000,
       .strategy = STRATEGY_EXPONENTIAL,
       .controls = SIM_BREAKER,
       .attempts = 5}}},
    {"a breaker leaves 5 of 400 doomed calls",
     "calls",
     5,
     5,
     "It opens with the fifth failure that is heard: calls that are under way by then are doomed "
     "too, and so is one trial each time it looks whether the service is back. It has to be one "
     "breaker: 100 users with 4 attempts each never come to 5 failures of their own.",
     {{.setting = "100 users at once, no breaker",
       .base = true,
       .figure = DOOMED,
       .model = SIM_S,
       .strategy = STRATEGY_FULL,
       .clients = 100,
       .attempts = 4},
      {.setting = "100 users at once, a breaker each",
       .figure = DOOMED,
       .model = SIM_S,
       .strategy = STRATEGY_FULL,
       .controls = SIM_BREAKER,
       .clients = 100,
       .attempts = 4},
      {.setting = "100 users at once, one breaker, 10 s",
       .figure = DOOMED,
       .model = SIM_S,
       .strategy = STRATEGY_FULL,
       .controls = SIM_SHARED_BREAKER,
       .clients = 100,
       .attempts = 4,
       .outage = 10 * HARDY_SECOND},
      {.setting = "100 users in 10 s, one breaker",
       .figure = DOOMED,
       .model = SIM_O,
       .strategy = STRATEGY_FULL,
       .controls = SIM_SHARED_BREAKER,
       .clients = 100,
       .attempts = 4,
       .outage = 10 * HARDY_SECOND}}},
    {"what heals itself is back in 30 s (a person takes 30 min)",
     "s",
     0,
     30,
     "What a person takes, and the time to notice and to mend, no model has: this is how long it "
     "stays down after its cause is mended. Retries alone may keep it down for ever; a budget "
     "leaves the queue to drain; it is quick when calls stop, or when what nobody waits for any "
     "more is not worked on.",
     {{.setting = "10000 at once, full jitter",
       .figure = RECOVERED,
       .model = SIM_S,
       .strategy = STRATEGY_FULL},
      {.setting = "overload, 4 attempts, full jitter",
       .figure = RECOVERED,
       .model = SIM_M,
       .strategy = STRATEGY_FULL,
       .attempts = 4},
      {.setting = "overload, 4 attempts, full jitter, a budget",
       .figure = RECOVERED,
       .model = SIM_M,
       .strategy = STRATEGY_FULL,
       .controls = SIM_BUDGET,
       .attempts = 4},
      {.setting = "overload, 4 attempts, full jitter, a breaker each",
       .figure = RECOVERED,
       .model = SIM_M,
       .strategy = STRATEGY_FULL,
       .controls = SIM_BREAKER,
       .attempts = 4},
      {.setting = "overload, 4 attempts, full jitter, one breaker",
       .figure = RECOVERED,
       .model = SIM_M,
       .strategy = STRATEGY_FULL,
       .controls = SIM_SHARED_BREAKER,
       .attempts = 4},
      {.setting = "overload, 4 attempts, full jitter, deadlines",
       .figure = RECOVERED,
       .model = SIM_M,
       .strategy = STRATEGY_FULL,
       .controls = SIM_DEADLINE,
       .attempts = 4}}},
    {"and so 99.9 % become 99.99 %",
     "%",
     99.985,
     99.995,
     "The one does not follow from the other: incidents of 30 min that leave 99.9 % leave more "
     "than "
     "99.99 % when each takes 30 s, and less when it takes 5 min. For 99.99 % it is 3 min.",
     {{.setting = "each incident takes 30 min",
       .base = true,
       .figure = AVAILABILITY,
       .minutes = 30},
      {.setting = "each incident takes 5 min", .figure = AVAILABILITY, .minutes = 5},
      {.setting = "each incident takes 3 min", .figure = AVAILABILITY, .minutes = 3},
      {.setting = "each incident takes 30 s", .figure = AVAILABILITY, .minutes = 0.5}}},
};

/* --- measuring ------------------------------------------------------------------------------- */

static double figure_of(const struct test_case *t, const struct sim_settings *s,
                        const struct sim_result *r) {
    switch (t->figure) {
    case PEAK_OF_CAPACITY:
        return r->peak_over_capacity_1s;
    case PEAK_OF_LOAD:
        return r->peak_over_capacity_1s / sim_utilisation(s);
    case DOOMED:
        return (double)series_sum(&r->calls_over_time, r->trouble_from, r->trouble_until);
    case RECOVERED:
        return r->recovered_after_s;
    case AVAILABILITY:
        break;
    }
    return SIM_NEVER;
}

static hardy_status run_case(const struct test_case *t, double *measured, hardy_error *error) {
    struct sim_settings s;
    struct sim_result r;
    if (t->figure == AVAILABILITY) {
        *measured = 100 - 0.1 * t->minutes / 30;
        return HARDY_OK;
    }
    sim_settings_init(&s, t->model, t->clients);
    s.seed = SEED;
    s.strategy.kind = t->strategy;
    s.controls = t->controls;
    s.attempts = t->attempts;
    s.capacity = t->capacity > 0 ? t->capacity : s.capacity;
    s.outage = t->outage > 0 ? t->outage : s.outage;
    hardy_status status = sim_run(&s, &r, error);
    *measured = status == HARDY_OK ? figure_of(t, &s, &r) : SIM_NEVER;
    sim_result_free(&r);
    return status;
}

hardy_status claims_measure(struct claims *c, hardy_error *error) {
    hardy_status status = HARDY_OK;
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < CLAIMS; i++) {
        for (size_t k = 0; k < CLAIM_CASES && claims[i].cases[k].setting; k++) {
            status = run_case(&claims[i].cases[k], &c->measured[i][k], error);
            if (status != HARDY_OK) {
                return status;
            }
        }
    }
    return status;
}

/* --- telling --------------------------------------------------------------------------------- */

static bool holds(const struct claim *claim, double measured) {
    return measured >= claim->from && measured <= claim->to;
}

enum verdict { NOWHERE, SOMEWHERE, EVERYWHERE };

static enum verdict verdict_of(const struct claim *claim, const double *measured) {
    size_t cases = 0, held = 0;
    for (size_t k = 0; k < CLAIM_CASES && claim->cases[k].setting; k++) {
        cases += !claim->cases[k].base;
        held += !claim->cases[k].base && holds(claim, measured[k]);
    }
    return held == 0 ? NOWHERE : held < cases ? SOMEWHERE : EVERYWHERE;
}

static const char *model_of(const struct test_case *t) {
    return t->figure == AVAILABILITY ? NULL : sim_model_name(t->model);
}

/* In lines, each begun with blanks. */
static void put_wrapped(const char *text, size_t indent, struct buf *out) {
    size_t column = LINE;
    for (const char *word = text; *word;) {
        size_t len = strcspn(word, " ");
        if (column + 1 + len > LINE) {
            buf_printf(out, "%s%*s%.*s", word == text ? "" : "\n", (int)indent, "", (int)len, word);
            column = indent + len;
        } else {
            buf_printf(out, " %.*s", (int)len, word);
            column += 1 + len;
        }
        word += len + (word[len] == ' ');
    }
    buf_putc(out, '\n');
}

static void put_case(const struct claim *claim, const struct test_case *t, double measured,
                     struct buf *out) {
    const char *model = model_of(t);
    char value[32] = "never";
    if (measured >= 0) {
        snprintf(value, sizeof value,
                 t->figure == AVAILABILITY ? "%.4f"
                 : t->figure == DOOMED     ? "%.0f"
                                           : "%.2f",
                 measured);
    }
    buf_printf(out, "  %-2s %-52s %9s %-6s %s\n", model ? model : "", t->setting, value,
               measured < 0 ? "" : claim->unit,
               t->base                                ? "to compare with"
               : holds(claim, measured)               ? "holds"
               : measured < 0 || measured > claim->to ? "does not hold: more"
                                                      : "does not hold: less");
}

void claims_text(const struct claims *c, struct buf *out) {
    static const char *const verdicts[] = {"does not hold", "holds in some cases", "holds"};
    for (size_t i = 0; i < CLAIMS; i++) {
        const struct claim *claim = &claims[i];
        buf_printf(out, "%s\"%s\": %s\n", i > 0 ? "\n" : "", claim->says,
                   verdicts[verdict_of(claim, c->measured[i])]);
        for (size_t k = 0; k < CLAIM_CASES && claim->cases[k].setting; k++) {
            put_case(claim, &claim->cases[k], c->measured[i][k], out);
        }
        put_wrapped(claim->why, 2, out);
    }
    buf_printf(out,
               "\nModels: S a herd after an outage, O operations that come at random, M an "
               "overload. Seed %d.\n",
               SEED);
}

static void put_measured(struct json_out *j, const struct claim *claim, const struct test_case *t,
                         double measured) {
    json_out_object(j);
    json_out_member_string(j, "model", model_of(t));
    json_out_member_string(j, "setting", t->setting);
    json_out_key(j, "measured");
    if (measured < 0) {
        json_out_null(j);
    } else {
        json_out_double(j, measured);
    }
    json_out_key(j, "holds");
    if (t->base) {
        json_out_null(j);
    } else {
        json_out_bool(j, holds(claim, measured));
    }
    json_out_object_end(j);
}

void claims_json(const struct claims *c, struct buf *out) {
    static const char *const verdicts[] = {"nowhere", "somewhere", "everywhere"};
    struct json_out j;
    json_out_init(&j, out, 0);
    json_out_object(&j);
    json_out_member_count(&j, "seed", SEED);
    json_out_key(&j, "claims");
    json_out_array(&j);
    for (size_t i = 0; i < CLAIMS; i++) {
        const struct claim *claim = &claims[i];
        json_out_object(&j);
        json_out_member_string(&j, "claim", claim->says);
        json_out_member_string(&j, "unit", claim->unit);
        json_out_key(&j, "from");
        json_out_double(&j, claim->from);
        json_out_key(&j, "to");
        json_out_double(&j, claim->to);
        json_out_member_string(&j, "holds", verdicts[verdict_of(claim, c->measured[i])]);
        json_out_member_string(&j, "why", claim->why);
        json_out_key(&j, "cases");
        json_out_array(&j);
        for (size_t k = 0; k < CLAIM_CASES && claim->cases[k].setting; k++) {
            put_measured(&j, claim, &claim->cases[k], c->measured[i][k]);
        }
        json_out_array_end(&j);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_object_end(&j);
    buf_putc(out, '\n');
}
