/* SPDX-License-Identifier: Apache-2.0 */
/* `hardy notify`: whether a page arrives, and which have not. */
#include "base/clock.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/say.h"
#include "cli/serving.h"
#include "cli/session.h"
#include "cli/timeline.h"
#include "notify/message.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 64 << 20 };
enum { OPT_WAIT = 1 };

static const struct option_row rows[] = {
    {OPT_WAIT, "wait", 0, "SPAN", "test: how long to try; 15s"},
    {0},
};

/* --- test --------------------------------------------------------------------------------------
 */

static const char *const actions[] = {"trigger", "resolve"};
enum { ACTIONS = 2 };

struct testing {
    const struct options *o;
    const struct notify_target *target;
    struct loop *loop;
    struct http_client *client;
    struct store *store; /* an empty one: nothing else is sent */
    struct outbox *outbox;
    struct loop_timer limit;
    size_t taken;
    char said[ACTIONS][400];
    bool refused, over;
};

static void finish(struct testing *t) {
    if (!t->over)
        loop_stop(t->loop);
    t->over = true;
}

static void on_delivered(void *ctx, const char *target, const char *dedup_key, const char *said) {
    struct testing *t = ctx;
    (void)target;
    (void)dedup_key;
    str_copy(t->said[t->taken], sizeof t->said[0], said);
    if (++t->taken == ACTIONS)
        finish(t);
}

static void on_failed(void *ctx, const char *target, const char *why, int64_t next_try) {
    struct testing *t = ctx;
    (void)target;
    str_copy(t->said[t->taken], sizeof t->said[0], why);
    t->refused = next_try == HARDY_NEVER;
    if (t->refused)
        finish(t);
    else
        say(t->o, HARDY_LOG_DEBUG, "%s, trying again", why);
}

static void on_limit(struct loop_timer *timer) {
    finish(timer->ctx);
}

static void on_gone(void *ctx) {
    const struct testing *t = ctx;
    loop_stop(t->loop);
}

static hardy_status put(struct testing *t, hardy_error *error) {
    char key[40];
    hardy_status status = HARDY_OK;
    snprintf(key, sizeof key, "hardy-test-%016llx", (unsigned long long)loop_random(t->loop));
    for (size_t i = 0; i < ACTIONS && status == HARDY_OK; i++) {
        const struct notice notice = {.action = actions[i],
                                      .dedup_key = key,
                                      .summary = i ? "hardy notify test: it is over"
                                                   : "hardy notify test: nothing is wrong",
                                      .severity = "low",
                                      .source = "hardy"};
        status = outbox_tell(t->outbox, t->target, &notice, error);
    }
    return status;
}

static hardy_status send_test(struct testing *t, const struct schema_list *targets, int64_t span,
                              hardy_error *error) {
    static const struct outbox_events events = {on_delivered, on_failed, NULL};
    const struct store_options memory = {.path = NULL};
    struct http_client_options client;
    http_client_options_init(&client);
    signal(SIGPIPE, SIG_IGN);
    t->loop = loop_uv_new(error);
    t->client = t->loop ? http_client_new(t->loop, &client, error) : NULL;
    hardy_status status = t->client ? store_open(&memory, &t->store, error) : HARDY_E_NOMEM;
    const struct outbox_options options = {.loop = t->loop,
                                           .store = t->store,
                                           .client = t->client,
                                           .env = session_environment(),
                                           .targets = targets,
                                           .events = &events,
                                           .ctx = t};
    if (status == HARDY_OK)
        status = outbox_start(&options, &t->outbox, error);
    if (status == HARDY_OK)
        status = put(t, error);
    if (status != HARDY_OK)
        return status;
    loop_timer_init(&t->limit, on_limit, t);
    loop_timer_start(t->loop, &t->limit, time_add(loop_now(t->loop), span));
    loop_run(t->loop);
    return HARDY_OK;
}

static void end_test(struct testing *t) {
    if (t->outbox) {
        loop_timer_stop(t->loop, &t->limit);
        outbox_stop(t->outbox, on_gone, t);
        loop_run(t->loop);
    }
    if (t->client) {
        http_client_free(t->client);
        loop_run(t->loop); /* until the last connection is closed */
    }
    if (t->store)
        store_close(t->store);
    if (t->loop)
        loop_free(t->loop);
}

static const char *result_text(const struct testing *t, size_t i) {
    return i < t->taken   ? "taken"
           : i > t->taken ? "not sent"
           : t->refused   ? "refused"
                          : "not reached";
}

static void print_json(const struct testing *t) {
    struct buf text;
    struct json_out j;
    buf_init(&text, MAX_TEXT);
    json_out_init(&j, &text, 2);
    json_out_object(&j);
    json_out_member_string(&j, "target", t->target->name);
    json_out_member_string(&j, "type", notify_type_words[t->target->type]);
    json_out_member_string(&j, "result", result_text(t, t->taken == ACTIONS ? 0 : t->taken));
    json_out_key(&j, "notices");
    json_out_array(&j);
    for (size_t i = 0; i < ACTIONS; i++) {
        json_out_object(&j);
        json_out_member_string(&j, "action", actions[i]);
        json_out_member_string(&j, "result", result_text(t, i));
        json_out_member_string(&j, "said", t->said[i][0] ? t->said[i] : NULL);
        json_out_object_end(&j);
    }
    json_out_array_end(&j);
    json_out_object_end(&j);
    printf("%s\n", text.data ? text.data : "{}");
    buf_free(&text);
}

static int tell(const struct testing *t, int64_t span) {
    char limit[48];
    format_duration(span, limit);
    if (t->o->globals.json)
        print_json(t);
    for (size_t i = 0; i < t->taken && !t->o->globals.json; i++)
        printf("%s (%s) took the %s: %s\n", t->target->name, notify_type_words[t->target->type],
               actions[i], t->said[i]);
    if (t->taken == ACTIONS)
        return EXIT_DONE;
    if (t->refused)
        say(t->o, HARDY_LOG_ERROR, "%s refused the %s: %s", t->target->name, actions[t->taken],
            t->said[t->taken]);
    else
        say(t->o, HARDY_LOG_ERROR, "%s has not taken the %s within %s: %s", t->target->name,
            actions[t->taken], limit, t->said[t->taken][0] ? t->said[t->taken] : "no answer");
    return t->refused ? EXIT_FAILED : EXIT_PASSING;
}

static int unknown(const struct options *o, const struct schema_list *targets, const char *name) {
    const struct notify_target *items = targets->items;
    const char *names[64];
    size_t count = 0;
    for (size_t i = 0; i < targets->count && count < 64; i++)
        names[count++] = items[i].name;
    const char *nearest = str_nearest(name, names, count);
    return nearest ? options_wrong(o, "there is no `%s` under notify:, did you mean `%s`?", name,
                                   nearest)
                   : options_wrong(o, "there is no `%s` under notify:", name);
}

static int test(const struct options *o, const char *name, int64_t span) {
    struct schema_list targets = {0};
    struct testing t = {.o = o};
    hardy_error error;
    int code = EXIT_DONE;
    hardy_error_init(&error, sizeof error);
    struct config *config = serving_config(o, &code);
    if (!config)
        return code;
    hardy_status status = notify_read(config, &targets, &error);
    if (status == HARDY_OK)
        t.target = notify_find(&targets, name);
    if (status == HARDY_OK && !t.target) {
        code = unknown(o, &targets, name);
    } else {
        if (status == HARDY_OK)
            status = send_test(&t, &targets, span, &error);
        if (status != HARDY_OK) {
            say_error(o, &error);
            code = session_exit(status);
        } else {
            code = tell(&t, span);
        }
        end_test(&t);
    }
    notify_free(&targets);
    config_free(config);
    return code;
}

/* --- list --------------------------------------------------------------------------------------
 */

struct listing {
    struct json_out *json; /* NULL: a table */
    size_t count;
};

static bool list_one(void *ctx, const struct store_row *row) {
    struct listing *l = ctx;
    struct message m;
    char target[64], written[32];
    snprintf(target, sizeof target, "%.*s", (int)strcspn(row->key, "/"), row->key);
    json_t *whole = json_loadb(row->value, row->len, 0, NULL);
    const char *why = json_string_value(json_object_get(whole, "refused"));
    if (message_read(row->key, row->value, row->len, &m)) {
        int64_t wall = strtoll(row->key + strcspn(row->key, "/") + 1, NULL, 10);
        const char *state = str_eq(row->kind, "outbox") ? "waits" : "refused";
        if (l->json) {
            json_out_object(l->json);
            json_out_member_string(l->json, "target", target);
            json_out_member_string(l->json, "state", state);
            json_out_member_string(l->json, "written", m.timestamp);
            json_out_member_string(l->json, "action", m.action);
            json_out_member_string(l->json, "dedup_key", m.dedup_key);
            json_out_member_string(l->json, "summary", m.summary);
            json_out_member_string(l->json, "why", why);
            json_out_object_end(l->json);
        } else {
            char *summary =
                str_format("%s%s%s%s", m.summary, why ? " (" : "", why ? why : "", why ? ")" : "");
            moment_text(wall, written);
            if (l->count == 0)
                printf("%-16s  %-7s  %-19s  %-11s  %s\n", "TARGET", "STATE", "WRITTEN", "ACTION",
                       "SUMMARY");
            if (summary)
                str_make_printable(summary);
            printf("%-16s  %-7s  %-19s  %-11s  %s\n", target, state, written, m.action,
                   summary ? summary : "");
            free(summary);
        }
        l->count++;
    }
    message_free(&m);
    json_decref(whole);
    return true;
}

static int list(const struct options *o) {
    static const char *const kinds[] = {"outbox", "outbox_refused"};
    struct session s;
    struct buf text;
    struct json_out j;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    int code = session_open(o, SESSION_READ, "notify", &s);
    buf_init(&text, MAX_TEXT);
    json_out_init(&j, &text, 2);
    struct listing l = {.json = o->globals.json ? &j : NULL};
    hardy_status status = HARDY_OK;
    json_out_array(&j);
    for (size_t i = 0; code == EXIT_DONE && i < 2 && status == HARDY_OK; i++)
        status = store_scan(s.store, kinds[i], "", NULL, SIZE_MAX, list_one, &l, &error);
    json_out_array_end(&j);
    if (code == EXIT_DONE && status != HARDY_OK) {
        say_error(o, &error);
        code = session_exit(status);
    } else if (code == EXIT_DONE && l.json) {
        printf("%s\n", text.data ? text.data : "[]");
    } else if (code == EXIT_DONE && l.count == 0) {
        printf("every notice was taken, in %s%s\n", s.state.path, session_missing(&s));
    }
    buf_free(&text);
    session_close(&s);
    return code;
}

/* ---------------------------------------------------------------------------------------------- */

static int run(struct options *o) {
    int64_t span = 15 * HARDY_SECOND;
    hardy_error error;
    bool given = false;
    int id;
    hardy_error_init(&error, sizeof error);
    while ((id = options_next(o)) > 0) {
        given = true;
        if (parse_duration(o->value, &span, &error) != HARDY_OK)
            return options_wrong(o, "--wait: %s", error.message);
    }
    if (id < 0)
        return o->exit;
    const char *what = o->argc > 0 ? o->argv[0] : "";
    if (str_eq(what, "test") && o->argc == 2)
        return test(o, o->argv[1], span);
    if (given)
        return options_wrong(o, "--wait goes with test");
    if (str_eq(what, "list") && o->argc == 1)
        return list(o);
    return options_wrong(o, "test NAME or list is needed%s%s", *what ? ", not " : "", what);
}

const struct command command_notify = {
    .name = "notify",
    .synopsis = "test [-c FILE] [--wait SPAN] NAME\nlist",
    .summary = "whether a page arrives, and which have not been taken",
    .details =
        "test sends a page under a key of its own to a place under notify:, and its end behind "
        "it, now and past the outbox, and prints what the far side said. What fails in passing is "
        "tried again for --wait. Exit codes: 0 taken, 1 refused, 75 not reached in time.\n\n"
        "list shows what waits in the outbox of the state, and what was refused for good, with "
        "the far side's words: it is offered once more when hardy supervise starts again.",
    .examples = "hardy notify list\nhardy notify test pager    # needs a configuration\n"
                "hardy notify test pager --wait 1m --json    # needs a configuration",
    .options = rows,
    .run = run,
};
