/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy guards`: what the guards shared on this host are doing, and setting them by hand. */
#include "settings/guards.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/guards.h"
#include "cli/say.h"
#include "cli/state.h"
#include "gateway/settings.h"
#include "guard/explain.h"
#include "shared/host.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)4 << 20)

struct row { /* one guard, as it was when it was looked at */
    char name[64];
    struct host_entry entry;
    hardy_breaker_stats stats;
    double rate_available, budget_left;
    uint32_t slots_taken;
};
static void look(struct host *host, const struct host_entry *entry, int64_t now, struct row *row) {
    row->entry = *entry;
    str_copy(row->name, sizeof row->name, entry->name);
    row->entry.name = row->name;
    if (entry->has_breaker) {
        breaker_stats(entry->slot.breaker, &entry->breaker, now, &row->stats);
    }
    if (entry->has_rate) {
        struct gcra rate;
        gcra_init(&rate, &entry->rate);
        row->rate_available = gcra_available(entry->slot.rate, &rate, HARDY_PRIORITY_HIGH, now);
    }
    if (entry->has_budget) {
        row->budget_left = budget_left(entry->slot.budget, &entry->budget, now);
    }
    row->slots_taken = host_slots_taken(host, &entry->slot, entry->max_concurrent);
}

struct guard_list {
    struct host *host; /* only while they are looked at */
    int64_t now;
    struct row rows[HOST_NAMES];
    size_t count;
};

static bool collect(void *ctx, const struct host_entry *entry) {
    struct guard_list *list = ctx;
    look(list->host, entry, list->now, &list->rows[list->count++]);
    return list->count < HOST_NAMES;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct row *)a)->name, ((const struct row *)b)->name);
}

/* --- as JSON ------------------------------------------------------------------------------ */

static void json_seconds(struct json_out *j, const char *key, int64_t span) {
    json_out_key(j, key);
    if (span == HARDY_NEVER) {
        json_out_null(j);
    } else {
        json_out_double(j, (double)span / (double)HARDY_SECOND);
    }
}

static void json_number(struct json_out *j, const char *key, double value) {
    json_out_key(j, key);
    json_out_double(j, value);
}

static void json_breaker(struct json_out *j, const struct row *row) {
    const hardy_breaker_config *c = &row->entry.breaker;
    const hardy_breaker_stats *s = &row->stats;
    json_out_key(j, "state");
    json_out_string(j, hardy_breaker_state_name(s->state));
    json_seconds(j, "time_until_retry_s", s->time_until_retry);
    json_out_member_count(j, "recent_failures", s->recent_failures);
    json_out_member_count(j, "recent_calls", s->recent_calls);
    json_out_member_count(j, "total_calls", s->total_calls);
    json_out_member_count(j, "total_successes", s->total_successes);
    json_out_member_count(j, "total_failures", s->total_failures);
    json_out_member_count(j, "total_rejected", s->total_rejected);
    json_number(j, "success_rate", s->success_rate);
    json_out_member_count(j, "times_opened", s->times_opened);
    json_out_member_count(j, "hung_calls", s->hung_calls);
    json_out_key(j, "breaker");
    json_out_object(j);
    json_out_key(j, "failure_mode");
    json_out_string(j, breaker_mode_name(c->failure_mode));
    if (c->failure_mode != HARDY_FAILURE_RATE) {
        json_out_member_count(j, "failure_threshold", c->failure_threshold);
    }
    json_number(j, "failure_rate", c->failure_rate);
    json_number(j, "slow_call_rate", c->slow_call_rate);
    json_out_key(j, "shadow");
    json_out_bool(j, c->shadow);
    json_seconds(j, "failure_window_s", c->failure_window);
    json_seconds(j, "recovery_timeout_s", c->recovery_timeout);
    json_out_member_count(j, "success_threshold", c->success_threshold);
    json_out_member_count(j, "half_open_max_calls", c->half_open_max_calls);
    json_out_key(j, "counts");
    json_out_string(j, c->counts_attempts ? "attempt" : "operation");
    json_out_object_end(j);
}

static void json_members(struct json_out *j, const struct row *row) {
    const struct host_entry *e = &row->entry;
    json_out_key(j, "name");
    json_out_string(j, row->name);
    if (e->has_breaker) {
        json_breaker(j, row);
    }
    if (e->has_rate) {
        json_out_key(j, "rate");
        json_out_object(j);
        json_number(j, "requests", e->rate.events);
        json_seconds(j, "per_s", e->rate.period);
        json_number(j, "burst", e->rate.burst);
        json_number(j, "available", row->rate_available);
        json_out_object_end(j);
    }
    if (e->has_budget) {
        json_out_key(j, "budget");
        json_out_object(j);
        json_number(j, "ratio", e->budget.ratio);
        json_number(j, "floor", e->budget.floor);
        json_seconds(j, "ttl_s", e->budget.ttl);
        json_out_key(j, "timeout_cost");
        json_out_int(j, e->budget.timeout_cost);
        json_number(j, "left", row->budget_left);
        json_out_object_end(j);
    }
    if (e->max_concurrent) {
        json_out_key(j, "slots");
        json_out_object(j);
        json_out_member_count(j, "max_concurrent", e->max_concurrent);
        json_out_member_count(j, "taken", row->slots_taken);
        json_out_object_end(j);
    }
}

static void json_row(struct json_out *j, const struct row *row) {
    json_out_object(j);
    json_members(j, row);
    json_out_object_end(j);
}

/* --- for a person ------------------------------------------------------------------------- */

static const char *color_of(hardy_breaker_state state) {
    switch (state) {
    case HARDY_CLOSED:
        return "\033[32m";
    case HARDY_HALF_OPEN:
    case HARDY_DISABLED:
        return "\033[33m";
    case HARDY_OPEN:
    case HARDY_FORCED_OPEN:
        break;
    }
    return "\033[31m";
}

static void span_text(int64_t span, char out[48]) {
    if (span == HARDY_NEVER) {
        str_copy(out, 48, "never");
    } else if (span == 0) {
        str_copy(out, 48, "-");
    } else {
        format_duration_short(span, out);
    }
}

void guard_list_print(const struct guard_list *list, bool color) {
    int width = 4;
    for (size_t i = 0; i < list->count; i++) {
        int len = (int)strlen(list->rows[i].name);
        width = len > width ? len : width;
    }
    printf("%-*s  %-11s  %8s  %8s  %7s  %7s  %8s  %7s  %-10s  %s\n", width, "NAME", "STATE",
           "FAILURES", "RETRY IN", "CALLS", "FAILED", "REJECTED", "SUCCESS", "RATE", "SLOTS");
    for (size_t i = 0; i < list->count; i++) {
        const struct row *row = &list->rows[i];
        const struct host_entry *e = &row->entry;
        const hardy_breaker_stats *s = &row->stats;
        char retry[48] = "-", rate[96] = "-", slots[32] = "-", failures[32] = "-";
        const char *state = "-";
        if (e->has_breaker) {
            state = hardy_breaker_state_name(s->state);
            span_text(s->time_until_retry, retry);
            if (e->breaker.failure_mode == HARDY_FAILURE_RATE) {
                snprintf(failures, sizeof failures, "%u of %llu", s->recent_failures,
                         (unsigned long long)s->recent_calls);
            } else {
                snprintf(failures, sizeof failures, "%u/%u", s->recent_failures,
                         e->breaker.failure_threshold);
            }
        }
        if (e->has_rate) {
            format_rate(e->rate.events, e->rate.period, rate);
        }
        if (e->max_concurrent) {
            snprintf(slots, sizeof slots, "%u/%u", row->slots_taken, e->max_concurrent);
        }
        bool paint = color && e->has_breaker;
        printf("%-*s  %s%-11s%s  %8s  %8s  %7llu  %7llu  %8llu  %6.1f%%  %-10s  %s\n", width,
               row->name, paint ? color_of(s->state) : "", state, paint ? "\033[0m" : "", failures,
               retry, (unsigned long long)s->total_calls, (unsigned long long)s->total_failures,
               (unsigned long long)s->total_rejected, 100 * s->success_rate, rate, slots);
    }
}

/* --- the forms ---------------------------------------------------------------------------- */

struct call { /* of this command */
    struct options *o;
    struct state state;
    int64_t span;                /* --for */
    hardy_explain_options fleet; /* --clients, --capacity, --load, --effects */
    bool by_request;             /* the requests of an upstream say whether they may be repeated */
    hardy_error error;
};

static int failed(struct call *c) {
    say_error(c->o, &c->error);
    return EXIT_FAILED;
}

/* HARDY_E_NOT_FOUND when no guard was ever used with this state. */
static hardy_status open_host(struct call *c, struct host **host) {
    if (!state_is_file(&c->state)) {
        hardy_error_init(&c->error, sizeof c->error);
        c->error.status = HARDY_E_UNSUPPORTED;
        snprintf(c->error.message, sizeof c->error.message,
                 "processes share no guards under the state \"%.200s\": that needs a file",
                 c->state.path);
        return HARDY_E_UNSUPPORTED;
    }
    return host_open(c->state.path, false, host, &c->error);
}

hardy_status guard_list_load(const struct state *state, struct guard_list **out,
                             hardy_error *error) {
    struct guard_list *list = calloc(1, sizeof *list);
    *out = list;
    if (!list) {
        return fail(error, HARDY_E_NOMEM, NULL, "no memory");
    }
    if (!state_is_file(state)) {
        return HARDY_OK;
    }
    hardy_status status = host_open(state->path, false, &list->host, error);
    if (status == HARDY_OK) {
        list->now = clock_now();
        status = host_each(list->host, collect, list, error);
        qsort(list->rows, list->count, sizeof *list->rows, by_name);
    }
    host_close(list->host);
    list->host = NULL;
    return status == HARDY_E_NOT_FOUND ? HARDY_OK : status; /* none was ever used */
}

size_t guard_list_count(const struct guard_list *list) {
    return list->count;
}

static void json_begin(struct json_out *j, struct buf *text) {
    buf_init(text, TEXT_MAX);
    json_out_init(j, text, 2);
}

static void json_print(struct buf *text) {
    buf_putc(text, '\n');
    fwrite(text->data ? text->data : "", 1, text->len, stdout);
    buf_free(text);
}

void guard_list_to_json(const struct guard_list *list, struct json_out *j) {
    json_out_array(j);
    for (size_t i = 0; i < list->count; i++) {
        json_row(j, &list->rows[i]);
    }
    json_out_array_end(j);
}

static void print_list(const struct call *c, const struct guard_list *list) {
    if (c->o->globals.json) {
        struct buf text;
        struct json_out j;
        json_begin(&j, &text);
        json_out_object(&j);
        json_out_key(&j, "state");
        json_out_string(&j, c->state.path);
        json_out_key(&j, "guards");
        guard_list_to_json(list, &j);
        json_out_object_end(&j);
        json_print(&text);
    } else if (list->count == 0) {
        say(c->o, HARDY_LOG_INFO, "no guard has been used with the state %s", c->state.path);
    } else {
        guard_list_print(list, options_color(&c->o->globals, STDOUT_FILENO));
    }
}

static int run_list(struct call *c) {
    struct guard_list *list;
    hardy_status status = guard_list_load(&c->state, &list, &c->error);
    if (status == HARDY_OK) {
        print_list(c, list);
    }
    free(list);
    return status == HARDY_OK ? EXIT_DONE : failed(c);
}

/* The state in words, and what comes next. */
static void print_state(const struct row *row) {
    const hardy_breaker_config *c = &row->entry.breaker;
    const hardy_breaker_stats *s = &row->stats;
    char span[48];
    span_text(s->time_until_retry, span);
    switch (s->state) {
    case HARDY_CLOSED:
        if (c->failure_mode == HARDY_FAILURE_RATE) {
            printf("The breaker is closed: calls go through. Of %llu calls that count now %u "
                   "failed.\n",
                   (unsigned long long)s->recent_calls, s->recent_failures);
        } else {
            printf("The breaker is closed: calls go through. %u of %u failures count towards "
                   "opening it.\n",
                   s->recent_failures, c->failure_threshold);
        }
        break;
    case HARDY_HALF_OPEN:
        printf("The breaker is half open: %u calls at once are let through as trials; %u %s\n",
               c->half_open_max_calls, c->success_threshold,
               c->trial_decision == HARDY_TRIALS_RATIO
                   ? "of them decide by their share of failures."
                   : "successes close it, one failure opens it again.");
        break;
    case HARDY_OPEN:
        if (s->time_until_retry == 0) {
            printf("The breaker is open, and its time is over: the next call is a trial.\n");
        } else {
            printf("The breaker is open: calls are refused at once for another %s, then trials "
                   "are let through.\n",
                   span);
        }
        break;
    case HARDY_FORCED_OPEN:
        printf("The breaker was opened by hand: calls are refused%s%s; 'hardy guards reset %s' "
               "ends that.\n",
               s->time_until_retry == HARDY_NEVER ? "" : " for another ",
               s->time_until_retry == HARDY_NEVER ? "" : span, row->name);
        break;
    case HARDY_DISABLED:
        printf("The breaker was disabled by hand: calls go through and nothing is learned; 'hardy "
               "guards reset %s' ends that.\n",
               row->name);
        break;
    }
    printf("So far: %llu calls let through, %llu succeeded, %llu failed, %llu refused; opened %llu "
           "times.\n",
           (unsigned long long)s->total_calls, (unsigned long long)s->total_successes,
           (unsigned long long)s->total_failures, (unsigned long long)s->total_rejected,
           (unsigned long long)s->times_opened);
}

/* As the gateway uses it, or as `guards:` says, or the one that calls of models have without a
 * file; E_NOT_FOUND: none of them. */
static hardy_status find_settings(struct call *c, const char *name, struct guard_settings *out) {
    const struct config *config = c->state.config;
    struct gateway_settings gateway = {0};
    struct guard_source source = {.base = GUARD_DEFAULTS, .name = name};
    bool looked = gateway_settings_look(config, &gateway, NULL) == HARDY_OK;
    bool used = looked && gateway_guard_base(&gateway, name, &source.base);
    hardy_status status = guard_settings_find(config, name, source.base, out, &c->error);
    if (status == HARDY_E_NOT_FOUND && !config->file && str_eq(name, "llm")) {
        source.base = GUARD_LLM;
        used = true;
    }
    if (status == HARDY_E_NOT_FOUND && used) {
        status = guard_settings_read(&source, out, &c->error);
    }
    if (used && source.base == GUARD_LLM) {
        out->retry.repeatable = true; /* as the gateway declares each call of a model */
    }
    c->by_request = looked && gateway_guard_is_plain(&gateway, name);
    gateway_settings_free(&gateway);
    return status;
}

static void list_codes(const struct guard_settings *s, struct buf *out) {
    for (size_t i = 0; i < s->retry_on_count; i++) {
        const struct guard_codes *codes = &s->retry_on[i];
        buf_printf(out, "%s%d", i > 0 ? ", " : "", codes->from);
        if (codes->to != codes->from) {
            buf_printf(out, "-%d", codes->to);
        }
    }
}

/* What the guard will do; `named` may be NULL. */
static void tell_settings(const struct call *c, const hardy_guard_config *config,
                          const struct guard_settings *named, struct json_out *j) {
    struct explain_more more = {.by_request = c->by_request};
    struct buf text, codes;
    buf_init(&codes, TEXT_MAX);
    if (named) {
        list_codes(named, &codes);
        more.connect = named->timeout_connect;
        more.tokens = named->given_tokens ? &named->tokens : NULL;
        more.retry_on = codes.data;
    }
    if (j) {
        json_out_key(j, "explained");
        explain_json(config, &more, &c->fleet, j);
    } else {
        buf_init(&text, TEXT_MAX);
        explain_text(config, &more, &c->fleet, &text);
        fwrite(text.data ? text.data : "", 1, text.len, stdout);
        buf_free(&text);
    }
    buf_free(&codes);
}

/* With the stored settings where there are any, else as the configuration says; `named` NULL: that
 * knows nothing of it. */
static void explain_row(const struct call *c, const struct row *row,
                        const struct guard_settings *named, struct json_out *j) {
    hardy_guard_config config;
    hardy_guard_config_init(&config, sizeof config);
    if (named) {
        config = named->config;
    }
    const struct host_entry *e = &row->entry;
    hardy_bulkhead_config slots;
    hardy_bulkhead_config_init(&slots, sizeof slots);
    slots.max_concurrent = e->max_concurrent;
    config.name = row->name;
    config.breaker = e->has_breaker ? &e->breaker : NULL;
    config.rate = e->has_rate ? &e->rate : NULL;
    config.budget = e->has_budget ? &e->budget : NULL;
    config.bulkhead = e->max_concurrent ? &slots : config.bulkhead;
    if (!j) {
        putchar('\n');
    }
    tell_settings(c, &config, named, j);
    if (!named && !j) {
        printf("\nDeadline, timeout and retries are each call's own.\n");
    }
}

static void explain_used(const struct call *c, struct host *host, const struct host_entry *entry,
                         const struct guard_settings *named) {
    struct row row = {0};
    look(host, entry, clock_now(), &row);
    if (c->o->globals.json) {
        struct buf text;
        struct json_out j;
        json_begin(&j, &text);
        json_out_object(&j);
        json_members(&j, &row);
        explain_row(c, &row, named, &j);
        json_out_object_end(&j);
        json_print(&text);
        return;
    }
    if (entry->has_breaker) {
        print_state(&row);
    }
    explain_row(c, &row, named, NULL);
}

/* A guard that nobody has used here yet. */
static void explain_unused(const struct call *c, const struct guard_settings *named) {
    if (c->o->globals.json) {
        struct buf text;
        struct json_out j;
        json_begin(&j, &text);
        json_out_object(&j);
        json_out_member_string(&j, "name", named->name);
        tell_settings(c, &named->config, named, &j);
        json_out_object_end(&j);
        json_print(&text);
        return;
    }
    printf("Not used with this state yet.\n\n");
    tell_settings(c, &named->config, named, NULL);
}

static int run_explain(struct call *c, const char *name) {
    struct guard_settings settings;
    struct host *host = NULL;
    struct host_entry entry;
    int code = EXIT_DONE;
    hardy_status found = find_settings(c, name, &settings);
    const struct guard_settings *named = found == HARDY_OK ? &settings : NULL;
    if (found != HARDY_OK && found != HARDY_E_NOT_FOUND) {
        say_error(c->o, &c->error);
        return EXIT_USAGE;
    }
    const hardy_error not_in_file = c->error;
    bool of_file = c->state.config->file != NULL;
    hardy_status status = open_host(c, &host);
    if (status == HARDY_OK) {
        status = host_find(host, name, &entry, &c->error);
    }
    if (status == HARDY_OK) {
        explain_used(c, host, &entry, named);
    } else if (named && (status == HARDY_E_NOT_FOUND || status == HARDY_E_UNSUPPORTED)) {
        explain_unused(c, named);
    } else {
        bool unknown = status == HARDY_E_NOT_FOUND || status == HARDY_E_UNSUPPORTED;
        c->error = unknown && of_file ? not_in_file : c->error;
        code = failed(c);
    }
    host_close(host);
    guard_settings_free(&settings);
    return code;
}

/* Opens or disables the breaker by hand. */
static int run_force(struct call *c, struct host *host, const struct host_entry *entry,
                     hardy_breaker_state state) {
    struct host_policies policies = {.want_breaker = HOST_IF_STORED};
    struct host_slot slot;
    if (host_attach(host, entry->name, &policies, &slot, &c->error) != HARDY_OK) {
        return failed(c);
    }
    if (!slot.breaker) {
        say(c->o, HARDY_LOG_ERROR, "\"%s\" has no breaker", entry->name);
        return EXIT_FAILED;
    }
    int64_t now = clock_now();
    char span[48];
    span_text(c->span, span);
    breaker_force(slot.breaker, state, hardy_time_add(now, c->span), now);
    say(c->o, HARDY_LOG_INFO, "\"%s\" is %s %s%s", entry->name,
        state == HARDY_DISABLED ? "disabled" : "open",
        c->span == HARDY_NEVER ? "until 'hardy guards reset'" : "for ",
        c->span == HARDY_NEVER ? "" : span);
    return EXIT_DONE;
}

static int run_reset(struct call *c, struct host *host, const char *name) {
    if (host_reset(host, name, clock_now(), &c->error) != HARDY_OK) {
        return failed(c);
    }
    say(c->o, HARDY_LOG_INFO, "\"%s\" is forgotten: its settings, counters and state", name);
    return EXIT_DONE;
}

static int run_one(struct call *c, const char *form, const char *name) {
    struct host *host = NULL;
    struct host_entry entry;
    if (str_eq(form, "explain")) {
        return run_explain(c, name);
    }
    hardy_status status = open_host(c, &host);
    if (status == HARDY_OK) {
        status = host_find(host, name, &entry, &c->error);
    }
    int code;
    if (status != HARDY_OK) {
        code = failed(c);
    } else if (str_eq(form, "force-open")) {
        code = run_force(c, host, &entry, HARDY_FORCED_OPEN);
    } else if (str_eq(form, "disable")) {
        code = run_force(c, host, &entry, HARDY_DISABLED);
    } else {
        code = run_reset(c, host, name);
    }
    host_close(host);
    return code;
}

enum { OPT_FOR = 1, OPT_CLIENTS, OPT_CAPACITY, OPT_LOAD, OPT_EFFECTS };

static const struct option_row rows[] = {
    {OPT_FOR, "for", 0, "DURATION", "force-open and disable: how long; else until it is reset"},
    {OPT_CLIENTS, "clients", 0, "N", "explain: so many share what is called"},
    {OPT_CAPACITY, "capacity", 0, "RATE", "explain: what is called can serve so many calls"},
    {OPT_LOAD, "load", 0, "RATE", "explain: so many operations begin, of all clients"},
    {OPT_EFFECTS, "effects", 0, NULL,
     "explain: calls change something over there, and carry no idempotency key"},
    {0}};

static int wrong_form(const struct options *o, const char *form) {
    static const char *const forms[] = {"list", "explain", "force-open", "disable", "reset"};
    const char *nearest = str_nearest(form, forms, sizeof forms / sizeof *forms);
    return nearest ? options_wrong(o, "\"%s\" is no form, did you mean \"%s\"?", form, nearest)
                   : options_wrong(o, "\"%s\" is none of list, explain, force-open, disable, reset",
                                   form);
}

static int dispatch(struct call *c, bool span_given, bool fleet_given) {
    const struct options *o = c->o;
    const char *form = o->argc > 0 ? o->argv[0] : "list";
    bool lists = str_eq(form, "list");
    bool forces = str_eq(form, "force-open") || str_eq(form, "disable");
    if (!lists && !forces && !str_eq(form, "explain") && !str_eq(form, "reset")) {
        return wrong_form(o, form);
    }
    if (span_given && !forces) {
        return options_wrong(o, "--for goes with force-open and disable, not with %s", form);
    }
    if (fleet_given && !str_eq(form, "explain")) {
        return options_wrong(
            o, "--clients, --capacity, --load and --effects go with explain, not with %s", form);
    }
    if (o->argc > (lists ? 1 : 2)) {
        return options_wrong(o, "\"%s\" is too much", o->argv[lists ? 1 : 2]);
    }
    if (!lists && o->argc < 2) {
        return options_wrong(o, "%s which guard? 'hardy guards list' shows them", form);
    }
    if (state_find(o, &c->state, &c->error) != HARDY_OK) {
        say_error(o, &c->error);
        return EXIT_USAGE;
    }
    return lists ? run_list(c) : run_one(c, form, o->argv[1]);
}

static hardy_status take_option(struct call *c, int id, const char *value) {
    hardy_status status;
    switch (id) {
    case OPT_FOR:
        status = parse_duration(value, &c->span, &c->error);
        return status == HARDY_OK && c->span == 0
                   ? fail(&c->error, HARDY_E_INVALID, NULL,
                          "expected a duration above 0 such as 10m, not \"%s\"", value)
                   : status;
    case OPT_CLIENTS:
        return parse_number(value, 1, 1e9, &c->fleet.clients, &c->error);
    case OPT_CAPACITY:
        return parse_per_second(value, &c->fleet.capacity, &c->error);
    case OPT_LOAD:
        return parse_per_second(value, &c->fleet.load, &c->error);
    default:
        c->fleet.effects_without_key = true;
        return HARDY_OK;
    }
}

static int run(struct options *o) {
    static const char *const names[] = {[OPT_FOR] = "for",
                                        [OPT_CLIENTS] = "clients",
                                        [OPT_CAPACITY] = "capacity",
                                        [OPT_LOAD] = "load"};
    struct call c = {.o = o, .span = HARDY_NEVER};
    bool span_given = false, fleet_given = false;
    hardy_error_init(&c.error, sizeof c.error);
    hardy_explain_options_init(&c.fleet, sizeof c.fleet);
    int id;
    while ((id = options_next(o)) > 0) {
        if (take_option(&c, id, o->value) != HARDY_OK) {
            return options_wrong(o, "--%s: %s", names[id], c.error.message);
        }
        span_given = span_given || id == OPT_FOR;
        fleet_given = fleet_given || id != OPT_FOR;
    }
    if (id < 0) {
        return o->exit;
    }
    int code = dispatch(&c, span_given, fleet_given);
    state_close(&c.state);
    return code;
}

const struct command command_guards = {
    .name = "guards",
    .alias = "guard",
    .synopsis = "[list]\nexplain NAME [--clients N] [--capacity RATE] [--load "
                "RATE] [--effects]\nforce-open|disable NAME [--for DURATION]\nreset NAME",
    .summary = "show and set the guards that the processes of this host share",
    .options = rows,
    .details =
        "Guards come into being with 'hardy exec --name NAME'. A breaker that was opened by hand\n"
        "refuses every call, a disabled one refuses none. 'reset' closes the breaker and forgets\n"
        "counters and settings, so that the next call may bring other settings.\n\n"
        "'explain' prints what applies, when and how long is waited, and warns of what cannot\n"
        "hold. --load against --capacity tells whether retries could keep an outage up, --clients\n"
        "whether they would all come back at once, --effects whether one of them can be had "
        "twice.\n"
        "RATE is 10/s, 600/m or the number of one second.\n\n"
        "They live beside the state, in PATH-guards, and start anew when the machine does.",
    .examples = "hardy guards list\n"
                "hardy guards list --json\n"
                "hardy guards explain search\n"
                "hardy guards explain search --clients 1000 --capacity 100/s --load 50/s\n"
                "hardy guards force-open search --for 10m\n"
                "hardy guards disable search --for 1h\n"
                "hardy guards reset search",
    .run = run,
};
