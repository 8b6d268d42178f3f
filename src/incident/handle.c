/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/parse.h"
#include "base/str.h"
#include "incident/incident.h"
#include "notify/notify.h"
#include "work/command.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_VALUE = 16 << 20,
    MAX_REMEDY_OUTPUT = 64 << 10,
    MAX_TEXT = 480,
};

struct told { /* an event in the batch under way */
    char *what, *detail, *key, *value;
    int64_t wall;
    bool shown;
};

struct handler {
    struct handler_world world;
    const struct service_settings *service;
    const struct check_settings *check;
    const struct handler_events *events;
    void *ctx;
    struct incident i;
    bool has_row, left;

    struct loop_timer timer; /* next step, pause, time between two verifications */
    struct gathering *gathering;
    struct command *command;
    struct command_spec spec;
    char *remedy_key;
    char *env_service, *env_incident;
    const char **env;

    struct check_probe *probe;
    uint32_t passes;
    int64_t verify_until;

    /* the batch under way */
    struct loop_post written;
    bool writing;
    struct told told[8];
    size_t told_count;
    void (*then)(struct handler *h);
    hardy_status write_status;
    hardy_error error;
};

static void step(struct handler *h);

static void forget_last_told(struct handler *h) {
    struct told *t = &h->told[--h->told_count];
    free(t->what);
    free(t->detail);
    free(t->key);
    free(t->value);
}

static void forget_told(struct handler *h) {
    while (h->told_count > 0)
        forget_last_told(h);
}

static void free_handler(struct handler *h) {
    loop_timer_stop(h->world.loop, &h->timer);
    if (h->gathering)
        gathering_cancel(h->gathering);
    if (h->probe)
        check_probe_cancel(h->probe);
    if (h->command)
        command_leave(h->command);
    forget_told(h);
    incident_free(&h->i);
    free(h->remedy_key);
    free(h->env_service);
    free(h->env_incident);
    free(h->env);
    free(h);
}

static void end(struct handler *h, const hardy_error *error) {
    if (!h->left)
        h->events->ended(h->ctx, &h->i, error);
    free_handler(h);
}

/* --- writing: the incident, what happened, pages, in one batch
 * ------------------------------------- */

static void note(struct handler *h, const char *what, const char *format, ...) HARDY_PRINTF(3, 4);

static void note(struct handler *h, const char *what, const char *format, ...) {
    char detail[MAX_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    /* More than fits one batch: the latest note of the remedy gives way. */
    if (h->told_count == sizeof h->told / sizeof *h->told)
        forget_last_told(h);
    struct told *t = &h->told[h->told_count++];
    *t = (struct told){0};
    struct buf value;
    struct json_out j;
    char wall[40];
    t->wall = loop_wall(h->world.loop);
    t->what = str_dup(what);
    t->detail = str_dup(detail);
    t->key = str_format("%s/%06u", h->i.id, ++h->i.events);
    buf_init(&value, MAX_VALUE);
    json_out_init(&j, &value, 0);
    clock_format_wall(t->wall, wall);
    json_out_object(&j);
    json_out_key(&j, "at");
    json_out_string(&j, wall);
    json_out_key(&j, "what");
    json_out_string(&j, what);
    json_out_key(&j, "detail");
    json_out_string(&j, detail);
    json_out_object_end(&j);
    t->value = buf_take(&value);
    buf_free(&value);
}

static void on_written(struct loop_post *post) {
    struct handler *h = post->ctx;
    loop_release(h->world.loop);
    h->writing = false;
    if (h->left) {
        free_handler(h);
        return;
    }
    if (h->write_status != HARDY_OK) {
        end(h, &h->error);
        return;
    }
    h->has_row = true;
    for (size_t n = 0; n < h->told_count; n++)
        if (h->events->told && !h->told[n].shown)
            h->events->told(h->ctx, &h->i, h->told[n].wall, h->told[n].what, h->told[n].detail);
    forget_told(h);
    h->then(h);
}

static void on_stored(void *ctx, hardy_status status, int failed, const hardy_error *error) {
    struct handler *h = ctx;
    (void)failed;
    h->write_status = status;
    if (status != HARDY_OK && error)
        h->error = *error;
    loop_post(h->world.loop, &h->written);
}

static void save_with(struct handler *h, const struct store_op *extra, size_t count,
                      void (*then)(struct handler *h)) {
    struct store_op ops[sizeof h->told / sizeof *h->told + 1 + 16];
    struct buf value;
    size_t n = 0;
    buf_init(&value, MAX_VALUE);
    int64_t before = h->i.fence;
    h->i.fence++;
    incident_encode(&h->i, &value);
    ops[n++] = (struct store_op){.kind = h->has_row ? STORE_UPDATE : STORE_INSERT,
                                 .row_kind = "incident",
                                 .key = h->i.id,
                                 .if_fence = before,
                                 .fence = h->i.fence,
                                 .value = value.data,
                                 .len = value.len};
    for (size_t t = 0; t < h->told_count; t++)
        ops[n++] = (struct store_op){.kind = STORE_INSERT,
                                     .row_kind = "event",
                                     .key = h->told[t].key,
                                     .value = h->told[t].value,
                                     .len = h->told[t].value ? strlen(h->told[t].value) : 0};
    for (size_t e = 0; e < count; e++)
        ops[n++] = extra[e];
    h->then = then;
    h->writing = true;
    h->written = (struct loop_post){.fn = on_written, .ctx = h};
    loop_hold(h->world.loop);
    hardy_error_init(&h->error, sizeof h->error);
    if (value.failed)
        on_stored(
            h,
            fail(&h->error, HARDY_E_TOO_LARGE, NULL, "incident %s does not fit a record", h->i.id),
            -1, &h->error);
    else
        store_submit(h->world.store, ops, n, on_stored, h);
    buf_free(&value);
}

static void save(struct handler *h, void (*then)(struct handler *h)) {
    save_with(h, NULL, 0, then);
}

static void replace(char **text, const char *with) {
    char *copy = str_dup(with);
    free(*text);
    *text = copy;
}

/* --- gather and analyse
 * ---------------------------------------------------------------------------- */

static void on_gathered(void *ctx, const struct component *components, size_t count) {
    struct handler *h = ctx;
    struct buf answer, missing;
    h->gathering = NULL;
    buf_init(&answer, MAX_VALUE);
    buf_init(&missing, MAX_TEXT);
    gather_to_json(components, count, &answer);
    size_t fresh = 0;
    for (size_t n = 0; n < count; n++) {
        fresh += components[n].state == COMPONENT_FRESH;
        if (components[n].state != COMPONENT_FRESH)
            buf_printf(&missing, "; %s: %s%s", components[n].name,
                       components[n].state == COMPONENT_CACHED   ? "cached, "
                       : components[n].state == COMPONENT_STATIC ? "static, "
                                                                 : "missing, ",
                       components[n].error);
    }
    free(h->i.evidence);
    h->i.evidence = buf_take(&answer);
    h->i.state = INCIDENT_GATHERED;
    note(h, "gathered", "%zu of %zu sources fresh, degradation %s%s", fresh, count,
         degrade_level_text(degrade_level_of(components, count)), missing.data ? missing.data : "");
    buf_free(&answer);
    buf_free(&missing);
    save(h, step);
}

static void gather(struct handler *h) {
    if (gathering_start(h->world.loop, h->world.store, h->world.client, h->service, h->world.env,
                        on_gathered, h, &h->gathering, &h->error) != HARDY_OK)
        end(h, &h->error);
}

static void analyse(struct handler *h) {
    struct buf problems;
    buf_init(&problems, MAX_TEXT);
    const struct rule_settings *rule = incident_analyse(&h->i, h->service, &problems);
    replace(&h->i.rule, rule ? rule->name : NULL);
    replace(&h->i.cause, rule ? rule->cause : NULL);
    h->i.confidence = rule ? rule->confidence : 0;
    h->i.state = INCIDENT_ANALYSED;
    if (rule)
        note(h, "analysed", "%s (rule %s, confidence %.2f)", rule->cause, rule->name,
             rule->confidence);
    else
        note(h, "analysed", "no rule explains it%s%s", problems.len ? ": " : "",
             problems.len ? problems.data : "");
    buf_free(&problems);
    save(h, step);
}

/* --- the remedy
 * -------------------------------------------------------------------------------------- */

static void on_command_event(void *ctx, enum command_event what, const struct record *record,
                             const char *detail) {
    static const char *const words[] = {[COMMAND_STARTED] = "started",
                                        [COMMAND_ATTACHED] = "attached",
                                        [COMMAND_COLLECTED] = "ended while nobody watched",
                                        [COMMAND_PROBED] = "probed",
                                        [COMMAND_RETRY] = "retried",
                                        [COMMAND_REPLAYED] = "was done before"};
    struct handler *h = ctx;
    char text[MAX_TEXT];
    if (what == COMMAND_STARTED)
        snprintf(text, sizeof text, "`%s` started (attempt %u, key %.12s)", h->i.action,
                 record->attempt, record->idempotency_key);
    else if (what == COMMAND_ATTACHED)
        snprintf(text, sizeof text, "`%s` is running already: attached to it, not started again",
                 h->i.action);
    else
        snprintf(text, sizeof text, "`%s` %s%s%s", h->i.action, words[what], detail[0] ? ": " : "",
                 detail);
    /* Told at once, recorded with the result: the record of the remedy itself is durable already.
     */
    note(h, "remedy", "%s", text);
    h->told[h->told_count - 1].shown = true;
    if (h->events->told)
        h->events->told(h->ctx, &h->i, loop_wall(h->world.loop), "remedy", text);
}

static void stop_in_doubt(struct handler *h) {
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    fail(&error, HARDY_E_IN_DOUBT, NULL,
         "`%s` was started and nobody knows how it ended; find out, then type: hardy actions "
         "resolve "
         "%s --done (or --retry, --fail)",
         h->i.action, h->remedy_key);
    end(h, &error);
}

static void on_command_ended(void *ctx, const struct command_result *result) {
    struct handler *h = ctx;
    const struct record *r = result->record;
    char span[48] = "";
    h->command = NULL;
    if (h->left) {
        free_handler(h);
        return;
    }
    if (r && r->started && r->ended)
        format_duration_short(r->ended - r->started, span);
    if (result->status == HARDY_E_IN_DOUBT) {
        h->i.state = INCIDENT_IN_DOUBT;
        replace(&h->i.outcome, result->error->message);
        note(h, "in doubt", "%s", result->error->message);
        save(h, stop_in_doubt);
        return;
    }
    if (result->status == HARDY_OK) {
        h->i.state = INCIDENT_ACTED;
        h->i.last = LAST_REMEDY_DONE;
        replace(&h->i.outcome, "the remedy ran");
        note(h, "remedy", "`%s` done%s%s", h->i.action, span[0] ? " in " : "", span);
    } else if (hardy_status_class_of(result->status) == HARDY_CLASS_PERMANENT &&
               result->status != HARDY_E_FAILED) {
        end(h, result->error); /* the store or the step's files, not the remedy */
        return;
    } else {
        h->i.state = INCIDENT_RECEIVED;
        h->i.last = LAST_REMEDY_FAILED;
        const char *why = r && r->detail ? r->detail : result->error->message;
        replace(&h->i.outcome, why);
        note(h, "remedy", "`%s` failed%s%s: %s", h->i.action, span[0] ? " after " : "", span, why);
    }
    save(h, step);
}

static void run_remedy(struct handler *h) {
    static const struct command_events events = {.event = on_command_event,
                                                .ended = on_command_ended};
    const struct action_settings *action = incident_action(h->service, h->i.action);
    if (!action) {
        fail(&h->error, HARDY_E_MISMATCH, NULL,
             "incident %s was at the action `%s`, which is not configured any more", h->i.id,
             h->i.action);
        end(h, &h->error);
        return;
    }
    size_t count = 0;
    while (h->world.env[count])
        count++;
    free(h->remedy_key);
    free(h->env);
    free(h->env_incident);
    free(h->env_service);
    h->remedy_key = str_format("%s/%u.%s", h->i.id, h->i.round, h->i.action);
    h->env_incident = str_format("HARDY_INCIDENT=%s", h->i.id);
    h->env_service = str_format("HARDY_SERVICE=%s", h->i.service);
    h->env = calloc(count + 3, sizeof *h->env);
    if (!h->remedy_key || !h->env || !h->env_incident || !h->env_service) {
        fail(&h->error, HARDY_E_NOMEM, NULL, "no memory for the remedy");
        end(h, &h->error);
        return;
    }
    memcpy(h->env, h->world.env, count * sizeof *h->env);
    h->env[count] = h->env_incident;
    h->env[count + 1] = h->env_service;
    h->spec = (struct command_spec){.row_kind = "remedy",
                                    .key = h->remedy_key,
                                    .name = h->i.action,
                                    .scope = h->remedy_key,
                                    .argv = (const char *const *)action->run.argv,
                                    .env = h->env,
                                    .cwd = h->world.cwd,
                                    .timeout = action->timeout,
                                    .deadline = HARDY_NEVER,
                                    .ttl = HARDY_NEVER,
                                    .max_output = MAX_REMEDY_OUTPUT,
                                    .in_doubt = (enum in_doubt_policy)action->in_doubt,
                                    .probe = (const char *const *)action->probe.argv,
                                    .attach = true};
    if (command_start(h->world.loop, h->world.store, h->world.state, &h->spec, &events, h,
                      &h->command, &h->error) != HARDY_OK)
        end(h, &h->error);
}

static void act(struct handler *h, const struct incident_next *next) {
    if (h->i.state != INCIDENT_ANALYSED) { /* begun before: the remedy's own record decides */
        run_remedy(h);
        return;
    }
    h->i.state = INCIDENT_ACTING;
    h->i.round = next->round;
    replace(&h->i.action, next->action);
    note(h, "acting", "attempt %u of %u: %s", next->round, h->service->max_attempts, next->action);
    save(h, run_remedy);
}

/* --- verify
 * -------------------------------------------------------------------------------------------- */

static void verify_once(struct handler *h);

static void on_verify_again(struct loop_timer *timer) {
    verify_once(timer->ctx);
}

static void on_probed(void *ctx, enum check_result result, const char *message, int64_t took) {
    struct handler *h = ctx;
    char span[48];
    (void)took;
    h->probe = NULL;
    h->passes = result == CHECK_PASS ? h->passes + 1 : 0;
    if (h->passes >= h->service->verify.passes) {
        h->i.state = INCIDENT_RESOLVED;
        h->i.ended = loop_wall(h->world.loop);
        replace(&h->i.outcome, "resolved");
        format_duration_short(h->i.ended - h->i.created, span);
        note(h, "verified", "%u good answers in a row", h->passes);
        note(h, "resolved", "after %u %s, %s after it was noticed", h->i.round,
             h->i.round == 1 ? "attempt" : "attempts", span);
        save(h, step);
        return;
    }
    if (loop_now(h->world.loop) >= h->verify_until) {
        h->i.state = INCIDENT_RECEIVED;
        h->i.last = LAST_NOT_VERIFIED;
        format_duration_short(h->service->verify.window, span);
        replace(&h->i.outcome, message);
        note(h, "not verified", "no %u good answers in a row within %s; the last one: %s",
             h->service->verify.passes, span, message);
        save(h, step);
        return;
    }
    loop_timer_init(&h->timer, on_verify_again, h);
    loop_timer_start(h->world.loop, &h->timer,
                     time_add(loop_now(h->world.loop), h->check->interval));
}

static void verify_once(struct handler *h) {
    h->probe = check_probe_start(h->world.loop, h->world.client, h->check, on_probed, h);
    if (!h->probe) {
        fail(&h->error, HARDY_E_NOMEM, NULL, "no memory to run the check %s", h->check->name);
        end(h, &h->error);
    }
}

static void verify(struct handler *h) {
    h->passes = 0;
    h->verify_until = time_add(loop_now(h->world.loop), h->service->verify.window);
    verify_once(h);
}

/* --- a person
 * ---------------------------------------------------------------------------------------------- */

static void escalate(struct handler *h, const char *why) {
    struct store_op ops[16];
    void *memory[16];
    size_t count = 0;
    char summary[MAX_TEXT];
    hardy_status status = HARDY_OK;
    snprintf(summary, sizeof summary, "%s: %s; %s", h->i.service,
             h->i.cause ? h->i.cause : h->i.summary, why);
    struct notice notice = {.action = "trigger",
                            .dedup_key = h->i.id,
                            .summary = summary,
                            .severity = h->i.severity,
                            .source = h->i.service,
                            .details = h->i.evidence};
    for (size_t n = 0; n < h->service->escalate.count && count < 16 && status == HARDY_OK; n++) {
        const struct notify_target *target =
            notify_find(h->world.targets, h->service->escalate.items[n]);
        if (!target)
            continue; /* refused when the configuration was read */
        status = outbox_row(target, &notice, loop_wall(h->world.loop), &ops[count], &memory[count],
                            &h->error);
        count += status == HARDY_OK;
    }
    if (status == HARDY_OK) {
        h->i.state = INCIDENT_ESCALATED;
        h->i.ended = loop_wall(h->world.loop);
        replace(&h->i.outcome, why);
        note(h, "escalated", "%s; telling %zu %s", why, count, count == 1 ? "place" : "places");
        save_with(h, ops, count, step);
    }
    for (size_t n = 0; n < count; n++)
        free(memory[n]);
    if (status != HARDY_OK)
        end(h, &h->error);
}

/* --- one step after another
 * ----------------------------------------------------------------------------------- */

static void on_paused(struct loop_timer *timer) {
    gather(timer->ctx);
}

/* Before another attempt the world gets time, twice as much each time. */
static void gather_after_pause(struct handler *h) {
    int64_t pause = 0;
    if (h->i.round > 0 && h->i.round < h->service->max_attempts)
        pause = time_scale(h->service->pause,
                           (double)(UINT64_C(1) << (h->i.round > 20 ? 20 : h->i.round - 1)));
    loop_timer_init(&h->timer, on_paused, h);
    loop_timer_start(h->world.loop, &h->timer, time_add(loop_now(h->world.loop), pause));
}

static void step(struct handler *h) {
    struct incident_next next = incident_decide(&h->i, h->world.settings, h->service);
    switch (next.kind) {
    case INCIDENT_GATHER:
        gather_after_pause(h);
        break;
    case INCIDENT_ANALYSE:
        analyse(h);
        break;
    case INCIDENT_ACT:
        act(h, &next);
        break;
    case INCIDENT_VERIFY:
        verify(h);
        break;
    case INCIDENT_ESCALATE:
        escalate(h, next.why);
        break;
    case INCIDENT_FINISH:
        end(h, NULL);
        break;
    }
}

static void make_id(struct handler *h, char out[64]) {
    char wall[40];
    clock_format_wall(loop_wall(h->world.loop), wall); /* 2026-11-23T01:02:03.456Z */
    snprintf(out, 64, "inc-%.4s%.2s%.2s-%.2s%.2s%.2s-%04x", wall, wall + 5, wall + 8, wall + 11,
             wall + 14, wall + 17, (unsigned)(loop_random(h->world.loop) & 0xffff));
}

static void on_begin(struct loop_timer *timer) {
    struct handler *h = timer->ctx;
    if (h->has_row) {
        note(h, "taken up", "found in state %s, goes on there", incident_state_text(h->i.state));
    } else {
        note(h, "opened", "%s (%s)", h->i.summary, h->i.severity);
    }
    save(h, step);
}

static const struct check_settings *find_check(const struct schema_list *checks, const char *name) {
    const struct check_settings *list = checks->items;
    for (size_t n = 0; n < checks->count; n++)
        if (str_eq(list[n].name, name))
            return &list[n];
    return NULL;
}

hardy_status incident_start(const struct handler_world *world, const struct service_settings *s,
                            const char *severity, const char *summary,
                            const struct handler_events *events, void *ctx, struct handler **out,
                            hardy_error *error) {
    struct handler *h = calloc(1, sizeof *h);
    if (!h)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for an incident");
    h->world = *world;
    h->service = s;
    h->events = events;
    h->ctx = ctx;
    hardy_error_init(&h->error, sizeof h->error);
    loop_timer_init(&h->timer, on_begin, h);
    h->check = find_check(world->checks, s->check);
    hardy_status status =
        h->check ? incident_find_open(world->store, s->name, &h->i, error)
                 : fail(error, HARDY_E_NOT_FOUND, NULL,
                        "service `%s` names the check `%s`, which is not under checks:", s->name,
                        s->check);
    if (h->check && status == HARDY_E_NOT_FOUND) {
        char id[64];
        make_id(h, id);
        h->i.id = str_dup(id);
        h->i.service = str_dup(s->name);
        h->i.severity = str_dup(severity);
        h->i.summary = str_dup(summary);
        h->i.created = loop_wall(world->loop);
        status = h->i.id && h->i.service && h->i.severity && h->i.summary
                     ? HARDY_OK
                     : fail(error, HARDY_E_NOMEM, NULL, "no memory for an incident");
    } else if (status == HARDY_OK) {
        h->has_row = true;
    }
    if (status != HARDY_OK) {
        free_handler(h);
        return status;
    }
    loop_timer_init(&h->timer, on_begin, h);
    loop_timer_start(world->loop, &h->timer, loop_now(world->loop));
    *out = h;
    return HARDY_OK;
}

void incident_leave(struct handler *h) {
    h->left = true;
    if (!h->writing)
        free_handler(h);
}
