/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/workflows: runs as `hardy workflows --json` shows them, and what people say to them. */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "daemon/aside.h"
#include "durable/tell.h"
#include "http/problem.h"
#include "work/resolve.h"
#include <stdlib.h>
#include <string.h>

#define WORKFLOWS "/api/v1/workflows/"

static bool put_run(void *ctx, const struct store_row *row) {
    struct aside *a = ctx;
    struct run run;
    a->status = run_decode(row, &run, &a->error);
    if (a->status != HARDY_OK) {
        return false;
    }
    a->status = run_load_steps(a->store, &run, &a->error);
    if (a->status == HARDY_OK) {
        run_to_json(&run, &a->j);
    }
    run_free(&run);
    return a->status == HARDY_OK && !a->text.failed;
}

static void make_list(struct aside *a) {
    aside_list(a, "workflows", put_run);
}

static void make_one(struct aside *a) {
    struct run run;
    a->status = run_load(a->store, a->key, &run, &a->error);
    if (a->status == HARDY_E_NOT_FOUND) {
        fail(&a->error, a->status, "", "there is no run `%s`", a->key);
    }
    if (a->status == HARDY_OK) {
        run_to_json(&run, &a->j);
        run_free(&run);
    }
}

void workflows_answer_list(void *ctx, struct http_request *r) {
    static const char *const kinds[] = {"run", NULL};
    aside_answer_list(ctx, r, kinds, make_list);
}

void workflows_answer_one(void *ctx, struct http_request *r) {
    aside_answer_one(ctx, r, WORKFLOWS, make_one);
}

/* --- what people say ----------------------------------------------------------------------------
 */

enum verb { APPROVE, CANCEL, RESOLVE };

#define SAY_WITHIN (5 * HARDY_SECOND)

/* Texts of the body, which was looked at; NULL = not given. */
static const char *given(const struct aside *a, const char *name) {
    return json_string_value(json_object_get(a->body.rest, name));
}

static struct telling tells(const struct aside *a) {
    const char *by = given(a, "by");
    return (struct telling){.who = by ? by : "the admin API",
                            .comment = given(a, "comment"),
                            .now = a->now,
                            .deadline = time_add(a->now.monotonic, SAY_WITHIN)};
}

static void make_approval(struct aside *a) {
    const struct telling how = tells(a);
    const char *step = given(a, "step");
    bool refuse = json_is_true(json_object_get(a->body.rest, "refuse"));
    a->status = tell_approval(a->store, a->key, step, refuse, &how, &a->error);
    json_out_object(&a->j);
    json_out_member_string(&a->j, "id", a->key);
    json_out_member_string(&a->j, "step", step);
    json_out_member_string(&a->j, "said", signal_text(refuse ? SIGNAL_REFUSE : SIGNAL_APPROVE));
    json_out_member_string(&a->j, "by", how.who);
    json_out_object_end(&a->j);
}

/* Whoever drives the run ends it; when nobody does, the next one who takes it up. */
static void make_cancel(struct aside *a) {
    const struct telling how = tells(a);
    enum run_state state = RUN_RUNNING;
    a->status = tell_cancel(a->store, a->key, &how, &state, &a->error);
    json_out_object(&a->j);
    json_out_member_string(&a->j, "id", a->key);
    json_out_member_string(&a->j, "state", run_state_text(state));
    json_out_member_raw(&a->j, "cancelled", "true");
    json_out_member_string(&a->j, "by", how.who);
    json_out_object_end(&a->j);
}

static void on_resolved(void *ctx, hardy_status status, const struct record *record,
                        const hardy_error *error) {
    struct aside *a = ctx;
    if (!a->call.request) {
        aside_free(a); /* answered already */
        return;
    }
    if (status == HARDY_OK) {
        record_to_json(record, &a->j);
        buf_putc(&a->text, '\n');
        admin_answer(a->call.request, 200, "application/json", &a->text);
    } else {
        daemon_state_refused(a->call.request, status, error);
    }
    aside_free(a);
}

static hardy_status resolve(struct aside *a, int way, hardy_error *error) {
    static const enum resolve_how meant[] = {RESOLVE_DONE, RESOLVE_RETRY, RESOLVE_FAIL};
    struct daemon *d = a->call.daemon;
    struct run run;
    struct run_step *step = NULL;
    hardy_status status = run_load(a->store, a->key, &run, error);
    if (status == HARDY_E_NOT_FOUND) {
        fail(error, status, "", "there is no run `%s`", a->key);
    }
    if (status != HARDY_OK) {
        return status;
    }
    status = run_find_step(&run, given(a, "step"), &step, error);
    if (status == HARDY_OK) {
        const char *by = given(a, "by");
        char *name;
        struct resolution how = resolution_of_step(&run, step, &name);
        how.how = meant[way];
        how.result = a->body.large;
        how.who = by ? by : "the admin API";
        status =
            record_resolve_start(d->loop, a->store, d->options.state, &how, on_resolved, a, error);
        free(name);
    }
    run_free(&run);
    return status;
}

/* The body's members, of the right kinds; false: answered. */
static bool read_body(struct aside *a, enum verb verb, int *way) {
    static const char *const approve[] = {"step", "refuse", "comment", "by", NULL};
    static const char *const cancel[] = {"comment", "by", NULL};
    static const char *const settle[] = {"step", "as", "by", NULL};
    static const char *const ways[] = {"done", "retry", "fail", NULL};
    static const char *const texts[] = {"step", "comment", "by"};
    struct http_request *r = a->call.request;
    const char *step = NULL, *text = NULL;
    bool flag = false;
    if (!body_read(r, verb == RESOLVE ? "result" : NULL,
                   verb == APPROVE  ? approve
                   : verb == CANCEL ? cancel
                                    : settle,
                   &a->body)) {
        return false;
    }
    a->has_body = true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (!body_text(r, &a->body, texts[i], i == 0 ? &step : &text)) {
            return false;
        }
    }
    if (!body_flag(r, &a->body, "refuse", &flag) || !body_word(r, &a->body, "as", ways, way)) {
        return false;
    }
    const char *wrong = verb != CANCEL && !step       ? "step is missing: which of the run's"
                        : verb == RESOLVE && *way < 0 ? "as is missing: done, retry or fail"
                        : a->body.large && *way != 0  ? "result goes with \"as\": \"done\""
                                                      : NULL;
    if (wrong) {
        http_problem(r, 400, NULL, NULL, NULL, wrong);
    }
    return !wrong;
}

void workflows_change(void *ctx, struct http_request *r) {
    static const char *const verbs[] = {"approve", "cancel", "resolve"};
    const char *path = http_request_path(r) + strlen(WORKFLOWS), *slash = strrchr(path, '/');
    size_t verb = 0;
    while (verb < 3 && !(slash && str_eq(slash + 1, verbs[verb]))) {
        verb++;
    }
    if (verb == 3) {
        http_problem(r, 404, NULL, NULL, NULL, "POST ID/approve, ID/cancel or ID/resolve");
        return;
    }
    struct aside *a = aside_change(ctx, r, path, (size_t)(slash - path),
                                   verb == APPROVE ? make_approval : make_cancel);
    hardy_error error;
    int way = -1;
    hardy_error_init(&error, sizeof error);
    if (!a) {
        return;
    }
    if (!read_body(a, (enum verb)verb, &way)) {
        aside_free(a);
    } else if (verb != RESOLVE) {
        aside_start(a);
    } else if (resolve(a, way, &error) != HARDY_OK) {
        daemon_state_refused(r, error.status, &error);
        aside_free(a);
    }
}
