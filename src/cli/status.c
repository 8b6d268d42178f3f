/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy status`: one screen about the gateway, its limits and guards, and what needs a person. */
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/child_list.h"
#include "cli/command.h"
#include "cli/guards.h"
#include "cli/hands_off.h"
#include "cli/history.h"
#include "cli/needs.h"
#include "cli/remote.h"
#include "cli/requests.h"
#include "cli/say.h"
#include "cli/serving.h"
#include "cli/session.h"
#include "gateway/record.h"
#include "incident/show.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIMIT (5 * HARDY_SECOND)
#define TEXT_MAX ((size_t)32 << 20)
#define FAILED_SHOWN 5
#define FAILED_LOOKED_AT 200
#define ALL_KEPT 10000

enum { OPT_SINCE = 1, OPT_ADMIN };

static const struct option_row rows[] = {
    {OPT_SINCE, "since", 0, "DURATION",
     "what happened since then, such as 12h, and what hardy did or would have done"},
    {OPT_ADMIN, "admin", 0, "HOST:PORT",
     "the daemon's admin address; the configuration's "
     "without it"},
    {0},
};

struct screen {
    struct options *o;
    const char *admin;
    int64_t since_wall; /* 0 = from the daemon's start */
    char since[40];     /* the same as the records tell their time; "" */
    hardy_error error;
    json_t *status, *upstreams, *guards, *requests; /* NULL: no daemon answers */
    struct guard_list *shared;                      /* without one */
    struct needs needs;                             /* of the state */
    bool unread;                                    /* the state, though there is one */
    const char *state_path;
    struct session *session; /* the state; NULL = it cannot be read */
    struct history history;  /* with --since */
};

static json_t *parsed(const struct buf *text) {
    json_t *value = text->data ? json_loadb(text->data, text->len, 0, NULL) : NULL;
    return value ? value : json_null();
}

/* --- asking the daemon ------------------------------------------------------------------------ */

static void ask_daemon(struct screen *s, const struct config *config) {
    struct remote remote = {0};
    char path[64];
    signal(SIGPIPE, SIG_IGN);
    struct loop *loop = loop_uv_new(&s->error);
    if (loop && remote_open(&remote, s->o, loop, config, s->admin, &s->error) == HARDY_OK) {
        snprintf(path, sizeof path, "/api/v1/requests?n=%d",
                 s->since[0] ? ALL_KEPT : FAILED_LOOKED_AT);
        s->status = remote_get(&remote, "/api/v1/status", LIMIT, &s->error);
        s->upstreams =
            s->status ? remote_get(&remote, "/api/v1/upstreams", LIMIT, &s->error) : NULL;
        s->guards = s->upstreams ? remote_get(&remote, "/api/v1/guards", LIMIT, &s->error) : NULL;
        s->requests = s->guards ? remote_get(&remote, path, LIMIT, &s->error) : NULL;
    }
    remote_close(&remote);
    if (loop) {
        loop_free(loop);
    }
}

/* Whether the record's request came within --since. */
static bool recent(const struct screen *s, const json_t *r) {
    return strcmp(remote_text(r, "at"), s->since) >= 0;
}

/* With --since the counts of an upstream are of the records, which reach back only so far. */
static void count_again(struct screen *s) {
    json_t *list = json_object_get(s->upstreams, "upstreams"), *u, *r;
    size_t i, n;
    json_array_foreach(list, i, u) {
        json_t *counts = json_object();
        for (int o = 0; o < REQUEST_OUTCOME_COUNT; o++) {
            const char *outcome = request_outcome_text((enum request_outcome)o);
            json_int_t count = 0;
            json_array_foreach(json_object_get(s->requests, "requests"), n, r) {
                count += recent(s, r) && str_eq(remote_text(r, "outcome"), outcome) &&
                         str_eq(remote_text(r, "upstream"), remote_text(u, "name"));
            }
            (void)json_object_set_new(counts, outcome, json_integer(count));
        }
        (void)json_object_set_new(u, "requests", counts);
    }
}

/* The last ones that did not end well, the newest first. */
static json_t *failed_lately(const struct screen *s) {
    json_t *failed = json_array(), *r;
    size_t i;
    json_array_foreach(json_object_get(s->requests, "requests"), i, r) {
        const char *outcome = remote_text(r, "outcome");
        if (json_array_size(failed) < FAILED_SHOWN && !str_eq(outcome, "ok") &&
            !str_eq(outcome, "cancelled") && recent(s, r)) {
            (void)json_array_append(failed, r);
        }
    }
    return failed;
}

/* --- for a person ----------------------------------------------------------------------------- */

static void span_text(double seconds, char out[48]) {
    format_duration_short(time_scale(HARDY_SECOND, seconds), out);
}

static void print_gateway(const struct screen *s) {
    const json_t *g = json_object_get(s->status, "gateway");
    const char *problem = remote_text(s->status, "state_problem");
    const char *config = remote_text(s->status, "config");
    const char *started = remote_text(s->status, "started");
    char up[48];
    span_text(remote_number(g, "up_s"), up);
    printf("gateway   %s on %s for %s; %.0f running, %.0f waiting, %.0f connections\n",
           remote_text(g, "state"), remote_text(g, "listen"), up,
           remote_number(g, "active") - remote_number(g, "waiting"), remote_number(g, "waiting"),
           remote_number(g, "connections"));
    printf("daemon    hardy %s, pid %.0f, since %.10s %.8s UTC, %s%s; admin on %s\n",
           remote_text(s->status, "version"), remote_number(s->status, "pid"), started,
           strlen(started) > 19 ? started + 11 : "",
           json_is_true(json_object_get(s->status, "ready")) ? "ready" : "not ready",
           str_eq(remote_text(s->status, "mode"), "wrap") ? ", for one command (hardy wrap)" : "",
           remote_text(s->status, "admin"));
    printf("config    %s\n", config[0] ? config : "none: defaults");
    if (problem[0]) {
        printf("state     guards are not shared: %s\n", problem);
    } else if (json_is_true(json_object_get(s->status, "guards_shared"))) {
        printf("state     %s, guards shared with the processes of this host\n",
               remote_text(s->status, "state"));
    }
    const char *store = remote_text(s->status, "store_problem");
    if (store[0] && !problem[0]) {
        printf("state     no actions and no checkpoints are served: %s\n", store);
    }
}

/* "requests 48/50, tokens 39000/40000" of the credential that was used last. */
static void limits_text(const json_t *upstream, char *out, size_t size) {
    static const char *const kinds[] = {"requests", "tokens", "input_tokens", "output_tokens"};
    json_t *limits = json_object_get(upstream, "limits");
    size_t used = 0, count = json_array_size(limits);
    const json_t *last = json_array_get(limits, count > 0 ? count - 1 : 0);
    str_copy(out, size, "-");
    for (size_t i = 0; last && i < sizeof kinds / sizeof *kinds; i++) {
        const json_t *limit = json_object_get(last, kinds[i]);
        if (limit && used < size) {
            int len =
                snprintf(out + used, size - used, "%s%s %.0f/%.0f", used > 0 ? ", " : "", kinds[i],
                         remote_number(limit, "left"), remote_number(limit, "limit"));
            used += len > 0 ? (size_t)len : 0;
        }
    }
    if (count > 1 && used > 0 && used < size) {
        snprintf(out + used, size - used, " (1 of %zu credentials)", count);
    }
}

static void print_upstreams(const struct screen *s) {
    json_t *list = json_object_get(s->upstreams, "upstreams"), *u;
    char limits[200];
    size_t i;
    printf("\n%-16s  %8s  %8s  %8s  %8s  %8s  %9s  %8s  %s\n", "UPSTREAM", "OK", "CALLER", "POLICY",
           "PROVIDER", "CUT", "CANCELLED", "GATEWAY", "LIMITS LEFT");
    json_array_foreach(list, i, u) {
        const json_t *n = json_object_get(u, "requests");
        limits_text(u, limits, sizeof limits);
        printf("%-16s  %8.0f  %8.0f  %8.0f  %8.0f  %8.0f  %9.0f  %8.0f  %s\n",
               remote_text(u, "name"), remote_number(n, "ok"), remote_number(n, "caller"),
               remote_number(n, "policy"), remote_number(n, "provider"), remote_number(n, "cut"),
               remote_number(n, "cancelled"), remote_number(n, "gateway"), limits);
    }
}

static const char *color_of(const char *state) {
    return str_eq(state, "closed")                                   ? "\033[32m"
           : str_eq(state, "half_open") || str_eq(state, "disabled") ? "\033[33m"
                                                                     : "\033[31m";
}

static void print_guards(const struct screen *s, bool color) {
    json_t *list = json_object_get(s->guards, "guards"), *g;
    char retry[48];
    size_t i;
    printf("\n%-16s  %-11s  %10s  %8s  %8s  %8s  %8s  %8s\n", "GUARD", "STATE", "RETRY IN",
           "FAILURES", "OPENED", "RETRIES", "RUNNING", "WAITING");
    json_array_foreach(list, i, g) {
        const char *state = remote_text(g, "state");
        bool open = !str_eq(state, "closed");
        str_copy(retry, sizeof retry, "-");
        if (open && json_is_null(json_object_get(g, "time_until_retry_s"))) {
            str_copy(retry, sizeof retry, "never");
        } else if (open) {
            span_text(remote_number(g, "time_until_retry_s"), retry);
        }
        printf("%-16s  %s%-11s%s  %10s  %8.0f  %8.0f  %8.0f  %8.0f  %8.0f\n",
               remote_text(g, "name"), color ? color_of(state) : "", state, color ? "\033[0m" : "",
               retry, remote_number(g, "recent_failures"), remote_number(g, "times_opened"),
               remote_number(g, "retries"), remote_number(g, "running"),
               remote_number(g, "waiting"));
        if (json_is_integer(json_object_get(g, "lowered_to"))) {
            printf("%18sa remedy lets at most %.0f through at once\n", "",
                   remote_number(g, "lowered_to"));
        }
    }
}

static void print_checks(const struct screen *s) {
    json_t *list = json_object_get(s->status, "checks"), *c;
    size_t i;
    json_array_foreach(list, i, c) {
        printf("%s%-16s  %-8s  %s%s%s%s\n", i == 0 ? "\nCHECK             LEVEL     MESSAGE\n" : "",
               remote_text(c, "name"), remote_text(c, "level"), remote_text(c, "message"),
               json_is_true(json_object_get(c, "critical")) ? " (critical)" : "",
               json_is_true(json_object_get(c, "flapping")) ? " (flapping)" : "",
               json_is_true(json_object_get(c, "stale")) ? " (stale)" : "");
    }
}

static void print_gatherings(const struct screen *s) {
    json_t *list = json_object_get(s->status, "gatherings"), *g, *state;
    size_t i;
    json_array_foreach(list, i, g) {
        const char *level = remote_text(g, "level"), *component;
        printf("%s%-16s  %-8s ", i == 0 ? "\nGATHERING         LEVEL     NOT FRESH\n" : "",
               remote_text(g, "name"), level[0] ? level : "-");
        json_object_foreach(json_object_get(g, "components"), component, state) {
            const char *word = json_string_value(state);
            if (word && !str_eq(word, "fresh") && !str_eq(word, "waiting")) {
                printf(" %s: %s", component, word);
            }
        }
        printf("\n");
    }
}

static void print_failed(const struct screen *s) {
    json_t *failed = failed_lately(s), *r;
    size_t i;
    if (json_array_size(failed) > 0) {
        printf("\nfailed lately (hardy requests show ID tells more)\n");
    }
    json_array_foreach(failed, i, r) {
        char reason[300];
        str_copy(reason, sizeof reason, remote_text(r, "reason"));
        str_make_printable(reason);
        printf("  %.8s  %s  %-8s  %3.0f  %s: %s\n",
               strlen(remote_text(r, "at")) > 19 ? remote_text(r, "at") + 11 : "-",
               remote_text(r, "id"), remote_text(r, "outcome"), remote_number(r, "status"),
               remote_text(r, "upstream"), reason);
    }
    json_decref(failed);
}

static bool has_guards(const struct screen *s) {
    return s->shared && guard_list_count(s->shared) > 0;
}

/* On top, where nobody overlooks it. */
static void print_paused(const struct screen *s, bool color) {
    size_t count;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (print_hands_off(s->session, color, &count, &error) != HARDY_OK) {
        say_error(s->o, &error);
    } else if (count > 0 && (s->requests || has_guards(s))) {
        printf("\n");
    }
}

static void print_remedy(void *ctx, const char *service, const struct past_result *r) {
    bool *any = ctx;
    printf("%s%-16s  %-16s  %6u  %10u  %7.0f %%\n",
           *any ? "" : "\nSERVICE           REMEDY            HEALED  NOT HEALED  SUCCESS\n",
           service, r->action, r->healed, r->not_healed, 100 * past_success_rate(r));
    *any = true;
}

static void print_remedies(struct store *store) {
    bool any = false;
    (void)past_each_result(store, print_remedy, &any, NULL);
}

static void print_screen(const struct screen *s) {
    bool color = options_color(&s->o->globals, STDOUT_FILENO);
    if (s->session) {
        print_paused(s, color);
    }
    if (s->requests) {
        print_gateway(s);
        print_upstreams(s);
        print_guards(s, color);
        print_checks(s);
        print_gatherings(s);
        print_failed(s);
    } else if (has_guards(s)) {
        guard_list_print(s->shared, color);
    }
    if (s->session) {
        print_children(s->session->store);
    }
    if (s->session) {
        print_remedies(s->session->store);
    }
    print_open_incidents(&s->needs);
    if (s->session && s->since_wall) {
        print_history(&s->history);
    }
    if (s->unread) {
        printf("\nthe state cannot be read: what needs a person is not known\n");
    } else {
        print_needs(&s->needs);
    }
}

/* --- as JSON ---------------------------------------------------------------------------------- */

static json_t *shared_guards(const struct screen *s) {
    struct buf text;
    struct json_out j;
    buf_init(&text, TEXT_MAX);
    json_out_init(&j, &text, 0);
    if (s->shared) {
        guard_list_to_json(s->shared, &j);
    }
    json_t *list = s->shared ? parsed(&text) : json_array();
    buf_free(&text);
    return list;
}

static json_t *json_paused(const struct screen *s) {
    struct buf text;
    struct json_out j;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    buf_init(&text, TEXT_MAX);
    json_out_init(&j, &text, 0);
    if (s->session && json_hands_off(s->session, &j, &error) != HARDY_OK) {
        say_error(s->o, &error);
        buf_reset(&text);
    }
    json_t *list = parsed(&text);
    buf_free(&text);
    return list;
}

static json_t *json_children(const struct screen *s) {
    struct buf text;
    struct json_out j;
    buf_init(&text, TEXT_MAX);
    json_out_init(&j, &text, 0);
    if (s->session) {
        children_list_to_json(s->session->store, &j);
    }
    json_t *list = s->session ? parsed(&text) : json_array();
    buf_free(&text);
    return list;
}

static json_t *json_remedies(const struct screen *s) {
    struct buf text;
    struct json_out j;
    buf_init(&text, TEXT_MAX);
    json_out_init(&j, &text, 0);
    json_out_object(&j);
    remedies_to_json(s->session ? s->session->store : NULL, &j);
    json_out_object_end(&j);
    json_t *whole = parsed(&text);
    json_t *list = json_incref(json_object_get(whole, "remedies"));
    json_decref(whole);
    buf_free(&text);
    return list;
}

static json_t *json_history(const struct screen *s) {
    struct buf text;
    struct json_out j;
    buf_init(&text, TEXT_MAX);
    json_out_init(&j, &text, 0);
    if (s->session && s->since_wall) {
        history_to_json(&s->history, &j);
    }
    json_t *history = parsed(&text);
    buf_free(&text);
    return history;
}

static void print_json(const struct screen *s) {
    json_t *all = json_object();
    bool up = s->requests != NULL;
    (void)json_object_set_new(all, "running", json_boolean(up));
    (void)json_object_set(all, "daemon", up ? s->status : json_null());
    (void)json_object_set(all, "upstreams",
                          up ? json_object_get(s->upstreams, "upstreams") : json_null());
    (void)json_object_set_new(
        all, "guards", up ? json_incref(json_object_get(s->guards, "guards")) : shared_guards(s));
    (void)json_object_set_new(all, "failed", failed_lately(s));
    (void)json_object_set(all, "needs", s->unread ? json_null() : s->needs.people);
    (void)json_object_set(all, "incidents", s->unread ? json_null() : s->needs.incidents);
    (void)json_object_set_new(all, "children", json_children(s));
    (void)json_object_set_new(all, "remedies", json_remedies(s));
    (void)json_object_set_new(all, "paused", json_paused(s));
    (void)json_object_set_new(all, "history", json_history(s));
    remote_print(all);
    json_decref(all);
}

/* --- the command ------------------------------------------------------------------------------ */

/* Without a daemon: what this host's processes share, and how to start one. */
static void look_without(struct screen *s, const struct state *state) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (guard_list_load(state, &s->shared, &error) != HARDY_OK) {
        say_error(s->o, &error);
    }
    if (s->since_wall && s->error.status == HARDY_E_CONNECT) {
        say(s->o, HARDY_LOG_INFO, "no gateway runs; this is from the state");
        return;
    }
    say_error(s->o, &s->error);
    if (s->error.status == HARDY_E_CONNECT) {
        say(s->o, HARDY_LOG_ERROR, "no gateway runs there; 'hardy serve' starts one");
    }
}

static void look_at_state(struct screen *s, struct session *session) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    s->session = session;
    needs_load(session->store, &s->needs);
    if (s->since_wall && history_load(session->store, s->since_wall, clock_wall(), &s->history,
                                      &error) != HARDY_OK) {
        say_error(s->o, &error);
    }
}

static int look(struct screen *s) {
    struct session session = {0};
    struct state state;
    if (state_find(s->o, &state, &s->error) != HARDY_OK) {
        say_error(s->o, &s->error);
        state_close(&state);
        return EXIT_USAGE;
    }
    s->needs = (struct needs){json_array(), json_array()};
    ask_daemon(s, state.config);
    if (s->requests && s->since[0]) {
        count_again(s);
    }
    if (!s->requests) {
        look_without(s, &state);
    }
    if (state_is_file(&state)) {
        s->unread = session_open(s->o, SESSION_READ, "status", &session) != EXIT_DONE;
        if (!s->unread) {
            look_at_state(s, &session);
        }
    }
    if (s->o->globals.json) {
        print_json(s);
    } else {
        print_screen(s);
    }
    bool answered = s->requests || (s->session && s->since_wall);
    session_close(&session);
    state_close(&state);
    return s->error.status == HARDY_E_INVALID ? EXIT_USAGE : answered ? EXIT_DONE : EXIT_FAILED;
}

static int run(struct options *o) {
    struct screen s = {.o = o};
    int id;
    hardy_error_init(&s.error, sizeof s.error);
    while ((id = options_next(o)) > 0) {
        int64_t span;
        if (id == OPT_ADMIN) {
            s.admin = o->value;
        } else if (parse_duration(o->value, &span, &s.error) != HARDY_OK) {
            return options_wrong(o, "--since: %s", s.error.message);
        } else {
            s.since_wall = clock_wall() - span;
            clock_format_wall(s.since_wall, s.since);
        }
    }
    if (id < 0) {
        return o->exit;
    }
    if (o->argc > 0) {
        return options_wrong(o, "unexpected \"%s\"", o->argv[0]);
    }
    int code = look(&s);
    json_decref(s.status);
    json_decref(s.upstreams);
    json_decref(s.guards);
    json_decref(s.requests);
    json_decref(s.needs.people);
    json_decref(s.needs.incidents);
    history_free(&s.history);
    free(s.shared);
    return code;
}

const struct command command_status = {
    .name = "status",
    .synopsis = "[--since DURATION]",
    .summary =
        "one screen: gateway, limits, guards, incidents, what is paused and what needs a person",
    .options = rows,
    .details =
        "Asks the running gateway (hardy serve) and reads the state: what is paused, actions and "
        "workflows that are in doubt or wait, incidents that are open. Without a gateway it shows "
        "the guards that processes of this host share, and exits with 1.\n\n"
        "--since tells from the state what happened meanwhile, a line for each service and then "
        "one for each thing, the oldest first: incidents, the remedies that were run and whether "
        "they helped, and with `automation: observe` those that would have been run. It needs no "
        "gateway. Of one that runs it counts the requests that are kept (gateway.keep_requests); "
        "without it the counts are from the gateway's start.",
    .examples = "hardy status\n"
                "hardy status --since 12h --json",
    .run = run,
};
