/* SPDX-License-Identifier: Apache-2.0 */
/* /api/v1/pause and /api/v1/resume: what `hardy pause` and `hardy resume` do, and what is paused.
 */
#include "durable/pause.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon/aside.h"
#include "http/problem.h"
#include "supervise/maintenance.h"
#include "supervise/targets.h"

#define WITHIN (5 * HARDY_SECOND)

static bool put_entry(void *ctx, const struct hands_off_entry *e) {
    struct json_out *j = ctx;
    hands_off_entry_to_json(e, j);
    return !j->to->failed;
}

void pause_to_json(const struct daemon *d, struct json_out *j) {
    struct maintenance m;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status = d->store ? maintenance_read(d->config, &m, &error)
                                   : fail(&error, HARDY_E_CLOSED, NULL, "the state cannot be used");
    json_out_key(j, "paused");
    json_out_array(j);
    if (status == HARDY_OK) {
        status = hands_off_each(&m, d->store, loop_wall(d->loop), put_entry, j, &error);
        maintenance_free(&m);
    }
    json_out_array_end(j);
    json_out_member_string(j, "paused_problem", status == HARDY_OK ? NULL : error.message);
}

void pause_write_metrics(const struct daemon *d, struct exposition *x) {
    struct maintenance m;
    if (d->store && maintenance_read(d->config, &m, NULL) == HARDY_OK) {
        hands_off_write_metrics(&m, d->store, loop_wall(d->loop), x);
        maintenance_free(&m);
    }
}

/* --- changes ------------------------------------------------------------------------------------
 */

static const char *given(const struct aside *a, const char *name, const char *absent) {
    const char *text = json_string_value(json_object_get(a->body.rest, name));
    return text ? text : absent;
}

static struct pause asked(const struct aside *a) {
    return (struct pause){.target = (char *)(uintptr_t)given(a, "target", PAUSE_EVERYTHING),
                          .who = (char *)(uintptr_t)given(a, "by", "the admin API"),
                          .reason = (char *)(uintptr_t)given(a, "reason", NULL),
                          .at = a->now.wall,
                          .until = a->limit ? time_add(a->now.wall, a->limit) : 0};
}

static void make_pause(struct aside *a) {
    const struct pause p = asked(a);
    a->status = pause_set(a->store, &p, time_add(a->now.monotonic, WITHIN), &a->error);
    json_out_object(&a->j);
    json_out_member_string(&a->j, "target", p.target);
    json_out_member_string(&a->j, "who", p.who);
    json_out_member_string(&a->j, "reason", p.reason);
    json_out_member_wall(&a->j, "at", p.at);
    json_out_member_wall(&a->j, "until", p.until);
    json_out_object_end(&a->j);
}

static void make_resume(struct aside *a) {
    const struct pause p = asked(a);
    a->status = pause_clear(a->store, p.target, p.who, a->now.wall,
                            time_add(a->now.monotonic, WITHIN), &a->error);
    json_out_object(&a->j);
    json_out_member_string(&a->j, "target", p.target);
    json_out_member_raw(&a->j, "resumed", "true");
    json_out_member_string(&a->j, "by", p.who);
    json_out_object_end(&a->j);
}

/* The body's members, of the right kinds; false: answered. */
static bool read_body(struct aside *a, const char *const *known, bool *force) {
    struct http_request *r = a->call.request;
    const char *text = NULL;
    int64_t span = HARDY_NEVER;
    if (!body_read(r, NULL, known, &a->body)) {
        return false;
    }
    a->has_body = true;
    if (!body_text(r, &a->body, "target", &text) || !body_text(r, &a->body, "reason", &text) ||
        !body_text(r, &a->body, "by", &text) || !body_flag(r, &a->body, "force", force) ||
        !body_span(r, &a->body, "for", &span)) {
        return false;
    }
    if (span == 0) {
        http_problem(r, 400, NULL, NULL, NULL, "for: expected a duration above 0");
        return false;
    }
    a->limit = span == HARDY_NEVER ? 0 : span;
    return true;
}

void pause_begin(void *ctx, struct http_request *r) {
    static const char *const known[] = {"target", "for", "reason", "by", "force", NULL};
    struct daemon *d = ctx;
    struct aside *a = aside_change(d, r, NULL, 0, make_pause);
    bool force = false;
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    if (!a) {
        return;
    }
    if (!read_body(a, known, &force)) {
        aside_free(a);
        return;
    }
    const struct pause p = asked(a);
    hardy_status status = force ? HARDY_OK : target_check(d->config, p.target, &error);
    if (status != HARDY_OK) {
        daemon_state_refused(r, status, &error);
        aside_free(a);
        return;
    }
    log_event(HARDY_LOG_WARNING, "paused by hand", "target", p.target, "by", p.who, "peer",
              http_request_peer(r), NULL);
    aside_start(a);
}

void pause_end(void *ctx, struct http_request *r) {
    static const char *const known[] = {"target", "by", NULL};
    struct aside *a = aside_change(ctx, r, NULL, 0, make_resume);
    bool force = false;
    if (!a) {
        return;
    }
    if (read_body(a, known, &force)) {
        aside_start(a);
    } else {
        aside_free(a);
    }
}
