/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy actions`: what ran under a key, and settling what is in doubt. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/resolving.h"
#include "cli/say.h"
#include "cli/session.h"
#include "cli/timeline.h"
#include "durable/action.h"
#include "io/file.h"
#include <stdio.h>
#include <string.h>

enum { MAX_TEXT = 64 << 20, MAX_RESULT = 1 << 20 };
static const int64_t store_wait = 30 * HARDY_SECOND;

static const struct option_row rows[] = {RESOLVING_ROWS, {0}};

/* What hardy does not run itself is judged by its owner's lease. */
static struct moment present(void) {
    struct moment now = {.monotonic = clock_now(), .wall = clock_wall()};
    file_boot_id(now.boot);
    return now;
}

struct listing {
    struct store *store;
    struct json_out *json; /* NULL: a table */
    struct moment now;
    hardy_error *error;
    hardy_status status;
    size_t count;
};

static bool list_one(void *ctx, const struct store_row *row) {
    struct listing *l = ctx;
    struct record r;
    char started[32], span[48] = "-";
    l->status = record_decode(row, &r, l->error);
    if (l->status != HARDY_OK) {
        return false;
    }
    action_look(&r, &l->now);
    if (l->json) {
        l->status = record_fill(l->store, &r, l->error);
        record_to_json(&r, l->json);
    } else {
        if (l->count == 0) {
            printf("%-40s  %-8s  %-19s  %8s  %8s  %s\n", "KEY", "STATE", "STARTED", "TOOK",
                   "ATTEMPTS", "DETAIL");
        }
        moment_text(r.started, started);
        str_make_printable(r.key);
        if (r.started && r.ended) {
            format_duration_short(r.ended - r.started, span);
        }
        printf("%-40s  %-8s  %-19s  %8s  %8u  %s\n", r.key, record_state_text(r.state), started,
               span, r.attempt, r.detail ? r.detail : "");
    }
    l->count++;
    record_free(&r);
    return true;
}

static hardy_status list(const struct options *o, struct session *s, hardy_error *error) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_TEXT);
    json_out_init(&j, &text, 2);
    struct listing l = {
        .store = s->store, .json = o->globals.json ? &j : NULL, .now = present(), .error = error};
    hardy_status status = HARDY_OK;
    json_out_array(&j);
    for (size_t i = 0; i < ACTION_KINDS && status == HARDY_OK; i++) {
        status = store_scan(s->store, action_kinds[i], "", NULL, SIZE_MAX, list_one, &l, error);
        status = status == HARDY_OK ? l.status : status;
    }
    json_out_array_end(&j);
    if (status == HARDY_OK && l.json) {
        printf("%s\n", text.data);
    } else if (status == HARDY_OK && l.count == 0) {
        printf("no actions in %s%s\n", s->state.path, session_missing(s));
    }
    buf_free(&text);
    return status;
}

static hardy_status find(struct session *s, const char *key, struct record *out,
                         hardy_error *error) {
    hardy_status status = action_find(s->store, key, out, error);
    return status == HARDY_E_NOT_FOUND
               ? fail(error, status, s->state.path,
                      "there is no action `%s`; see hardy actions list", key)
               : status;
}

static void print_owner(const struct record *r) {
    char until[32];
    if (!r->owner) {
        return;
    }
    printf("  begun by %s, fence %lld", r->owner,
           (long long)(r->ended_by ? r->ended_by : r->fence));
    if (moment_is_set(&r->lease)) {
        moment_text(r->lease.wall, until);
        printf(", lease until %s", until);
    }
    putchar('\n');
}

static hardy_status show(const struct options *o, struct session *s, const char *key,
                         hardy_error *error) {
    struct record r;
    hardy_status status = find(s, key, &r, error);
    if (status != HARDY_OK) {
        return status;
    }
    const struct moment now = present();
    action_look(&r, &now);
    if (o->globals.json) {
        struct buf text;
        struct json_out j;
        buf_init(&text, MAX_TEXT);
        json_out_init(&j, &text, 2);
        record_to_json(&r, &j);
        printf("%s\n", text.data);
        buf_free(&text);
    } else {
        char created[32];
        moment_text(r.created, created);
        str_make_printable(r.key);
        printf("%s  %s\n  created %s, key handed to the command %s\n  %s\n", r.key,
               record_state_text(r.state), created, r.idempotency_key, r.params ? r.params : "");
        print_owner(&r);
        print_record(&r, 2);
        if (r.state == RECORD_IN_DOUBT) {
            printf("  in doubt: find out whether it took effect, then type one of\n");
            resolving_lines(stdout, s->state.path, "    ", "actions", key, NULL);
        }
    }
    record_free(&r);
    return HARDY_OK;
}

static hardy_status resolve(const struct options *o, struct session *s, const char *key,
                            struct resolving *how, hardy_error *error) {
    struct record r;
    struct buf result;
    char who[96];
    buf_init(&result, MAX_RESULT);
    hardy_status status = resolving_check(how, &result, error);
    if (status == HARDY_OK) {
        status = find(s, key, &r, error);
    }
    if (status == HARDY_OK) {
        const struct resolution as = {.row_kind = r.row_kind,
                                      .key = key,
                                      .how = how->how,
                                      .result = how->result ? result.data : NULL,
                                      .who = resolving_who(who)};
        status = record_resolve(s->loop, s->store, s->state.path, &as,
                                time_add(loop_now(s->loop), store_wait), error);
        record_free(&r);
    }
    if (status == HARDY_OK) {
        say(o, HARDY_LOG_INFO, "%s is %s", key,
            how->how == RESOLVE_DONE    ? "done"
            : how->how == RESOLVE_RETRY ? "run again by the next call"
                                        : "failed");
    }
    buf_free(&result);
    return status;
}

static int run(struct options *o) {
    static const char *const verbs[] = {"list", "show", "resolve"};
    struct resolving how = {0};
    struct session s;
    hardy_error error;
    size_t verb = 0;
    int id;
    hardy_error_init(&error, sizeof error);
    while ((id = options_next(o)) > 0) {
        resolving_option(&how, id, o);
    }
    if (id < 0) {
        return o->exit;
    }
    while (verb < 3 && (o->argc == 0 || !str_eq(o->argv[0], verbs[verb]))) {
        verb++;
    }
    if (verb == 3) {
        return options_wrong(o, "one of list, show KEY, resolve KEY is needed%s%s",
                             o->argc ? ", not " : "", o->argc ? o->argv[0] : "");
    }
    if (o->argc != (verb == 0 ? 1 : 2)) {
        return options_wrong(o, "%s takes %s", verbs[verb], verb == 0 ? "nothing more" : "one KEY");
    }
    if (verb != 2 && (how.given || how.result)) {
        return options_wrong(o, "--done, --retry, --fail and --result go with resolve");
    }
    int code = session_open(o, verb == 2 ? SESSION_WRITE : SESSION_READ, "actions", &s);
    if (code == EXIT_DONE) {
        hardy_status status = verb == 0   ? list(o, &s, &error)
                              : verb == 1 ? show(o, &s, o->argv[1], &error)
                                          : resolve(o, &s, o->argv[1], &how, &error);
        if (status != HARDY_OK) {
            say_error(o, &error);
            code = session_exit(status);
        }
    }
    session_close(&s);
    return code;
}

const struct command command_actions = {
    .name = "actions",
    .alias = "action",
    .synopsis = "list\nshow KEY\nresolve KEY --done [--result JSON|@FILE] | --retry | --fail",
    .summary = "what ran under a key, and settling what is in doubt",
    .details =
        "An action that was started and whose end nobody knows is in doubt. It is not run again "
        "by itself, unless it was declared safe or has a probe: find out what happened and "
        "resolve it. One that a program of its own has begun, through the API of hardy serve or "
        "with libhardy-durable, is in doubt when its owner has been silent for longer than its "
        "lease.",
    .examples = "hardy actions list\nhardy actions show order-12345    # needs that key\n"
                "hardy actions resolve order-12345 --done    # needs that key, in doubt",
    .options = rows,
    .run = run,
};
