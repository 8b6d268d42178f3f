/* SPDX-License-Identifier: Apache-2.0 */
#include "incident/handle.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "degrade/answer.h"
#include "degrade/gathering.h"
#include "incident/journal.h"
#include "incident/remedy.h"
#include "notify/notify.h"
#include "work/place.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TEXT = 400, MAX_VALUE = 16 << 20 };
static const int64_t poll_min = 20 * HARDY_MILLISECOND, poll_max = HARDY_SECOND;
/* What was found longer ago than this is looked at again before anything is done about it. */
static const int64_t stale = HARDY_MINUTE;

struct handler {
    struct handler_world world;
    const struct service_settings *service;
    const struct check_settings *check;
    const struct handler_events *events;
    void *ctx;
    enum handle_why why;
    char *severity, *summary; /* of one that is opened */

    struct step_place place;
    int lock_fd; /* held: this process handles the service; -1 = not yet */
    int64_t began, poll;

    struct incident i;
    struct past past;
    bool has_row, has_trouble, left;
    struct journal journal;
    void (*then)(struct handler *h);

    struct loop_timer timer; /* next step, pause, time between two probes */
    struct gathering *gathering;
    struct remedy remedy;
    struct command *command;
    struct check_probe *probe;
    uint32_t passes;
    int64_t probe_until; /* 0: the first failure ends it */
    void (*probed)(struct handler *h, bool good, const char *message);
    bool rechecked; /* right before this step, and it is still down */
    hardy_error error;
};

static void step(struct handler *h);

static void free_handler(struct handler *h) {
    loop_timer_stop(h->world.loop, &h->timer);
    if (h->gathering)
        gathering_cancel(h->gathering);
    if (h->probe)
        check_probe_cancel(h->probe);
    if (h->command)
        command_leave(h->command);
    if (h->lock_fd >= 0)
        close(h->lock_fd);
    step_place_free(&h->place);
    remedy_free(&h->remedy);
    incident_free(&h->i);
    past_free(&h->past);
    free(h->severity);
    free(h->summary);
    free(h);
}

/* The lock goes first, so that whoever waits for it finds everything written. */
static void end(struct handler *h, const hardy_error *error) {
    if (h->lock_fd >= 0)
        close(h->lock_fd);
    h->lock_fd = -1;
    (void)journal_leave(&h->journal); /* nothing is being written */
    h->events->ended(h->ctx, h->i.id ? &h->i : NULL, error);
    free_handler(h);
}

static void end_without_memory(struct handler *h) {
    hardy_error_init(&h->error, sizeof h->error);
    (void)fail(&h->error, HARDY_E_NOMEM, NULL, "no memory to handle %s",
               h->i.id ? h->i.id : h->service->name);
    end(h, &h->error);
}

static int64_t wall(const struct handler *h) {
    return loop_wall(h->world.loop);
}

static bool replace(char **text, const char *with) {
    char *copy = str_dup(with);
    free(*text);
    *text = copy;
    return copy || !with;
}

static void tell(struct handler *h, const struct incident *i, const char *what,
                 const char *detail) {
    h->events->told(h->ctx, i, wall(h), what, detail);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void on_told(void *ctx, int64_t at, const char *what, const char *detail) {
    struct handler *h = ctx;
    h->events->told(h->ctx, &h->i, at, what, detail);
}

static void on_trouble(void *ctx, const hardy_error *error, int64_t pause) {
    struct handler *h = ctx;
    bool first = !h->has_trouble;
    h->has_trouble = true;
    h->i.told = true; /* whoever hears of it now wants to hear its end */
    h->events->trouble(h->ctx, &h->i, error, pause, first);
}

static void on_written(void *ctx) {
    struct handler *h = ctx;
    h->has_row = true;
    h->then(h);
}

static void on_write_failed(void *ctx, const hardy_error *error) {
    struct handler *h = ctx;
    hardy_error_init(&h->error, sizeof h->error);
    if (error->status == HARDY_E_FENCED || error->status == HARDY_E_EXISTS)
        (void)fail(&h->error, HARDY_E_FENCED, NULL, "another hardy has written %s meanwhile",
                   h->i.id);
    else
        h->error = *error;
    end(h, &h->error);
}

static void on_journal_gone(void *ctx) {
    struct handler *h = ctx;
    const struct handler_events *events = h->events;
    void *events_ctx = h->ctx;
    free_handler(h);
    events->gone(events_ctx);
}

static const struct journal_events journal_events = {on_told, on_trouble, on_written,
                                                     on_write_failed, on_journal_gone};

static void save(struct handler *h, void (*then)(struct handler *h)) {
    h->then = then;
    journal_write(&h->journal, &h->i, h->has_row);
}

/* The service's row, into the next batch. */
static bool add_past(struct handler *h) {
    struct buf value;
    buf_init(&value, MAX_VALUE);
    past_encode(&h->past, &value);
    int64_t before = h->past.fence;
    h->past.fence = before < 0 ? 1 : before + 1;
    struct store_op op = {.kind = before < 0 ? STORE_INSERT : STORE_UPDATE,
                          .row_kind = "service",
                          .key = h->service->name,
                          .if_fence = before,
                          .fence = h->past.fence,
                          .len = value.len};
    char *text = value.failed ? NULL : buf_take(&value);
    buf_free(&value);
    op.value = text;
    return text && journal_add(&h->journal, &op, text);
}

/* Pages to everybody the service names, into the next batch. */
static bool add_pages(struct handler *h, const struct incident *i, const char *action,
                      const char *summary) {
    const struct notice notice = {.action = action,
                                  .dedup_key = i->id,
                                  .summary = summary,
                                  .severity = i->severity,
                                  .source = i->service,
                                  .began = i->created,
                                  .details = i->evidence};
    for (size_t n = 0; n < h->service->escalate.count; n++) {
        const struct notify_target *target =
            notify_find(h->world.targets, h->service->escalate.items[n]);
        struct store_op op;
        void *memory;
        if (!target)
            continue; /* refused when the configuration was read */
        if (outbox_row(target, &notice, wall(h), &op, &memory, &h->error) != HARDY_OK ||
            !journal_add(&h->journal, &op, memory))
            return false;
    }
    return true;
}

static bool page(struct handler *h, const char *what) {
    char summary[1000]; /* pagers take 1024 */
    snprintf(summary, sizeof summary, "%.63s: %.450s; %.450s", h->i.service,
             h->i.cause ? h->i.cause : h->i.summary, what);
    h->i.told = true;
    return add_pages(h, &h->i, "trigger", summary);
}

/* --- gather and analyse ----------------------------------------------------------------------- */

static void describe(const hardy_component *components, size_t count, struct buf *out) {
    size_t fresh = 0;
    for (size_t n = 0; n < count; n++)
        fresh += components[n].state == HARDY_COMPONENT_FRESH;
    buf_printf(out, "%zu of %zu sources", fresh, count);
    for (size_t n = 0, told = 0; n < count; n++) {
        const hardy_component *c = &components[n];
        char span[48];
        if (c->state == HARDY_COMPONENT_FRESH)
            continue;
        format_duration_short(c->age, span);
        buf_printf(out, "%s%s %s%s (%s)", told++ ? ", " : "; ", c->name,
                   c->state == HARDY_COMPONENT_CACHED   ? "as it was before: "
                   : c->state == HARDY_COMPONENT_STATIC ? "assumed"
                                                        : "missing",
                   c->state == HARDY_COMPONENT_CACHED ? span : "", c->error);
    }
}

static void on_gathered(void *ctx, const hardy_component *components, size_t count) {
    struct handler *h = ctx;
    struct buf answer, text;
    h->gathering = NULL;
    buf_init(&answer, MAX_VALUE);
    buf_init(&text, MAX_TEXT);
    gathered_to_json(components, count, &answer);
    describe(components, count, &text);
    free(h->i.evidence);
    h->i.evidence = answer.failed ? NULL : buf_take(&answer);
    h->i.gathered = wall(h);
    h->i.state = INCIDENT_GATHERED;
    journal_note(&h->journal, &h->i, "gathered", false, "%s", text.data ? text.data : "");
    buf_free(&answer);
    buf_free(&text);
    save(h, step);
}

static void gather(struct handler *h) {
    const struct gathering_world world = {.loop = h->world.loop,
                                          .store = h->world.store,
                                          .client = h->world.client,
                                          .cwd = h->world.cwd,
                                          .env = h->world.env};
    const struct gathering_plan plan = {.name = h->service->name,
                                        .deadline = h->service->gather_deadline,
                                        .sources = &h->service->sources};
    h->rechecked = false;
    if (gathering_start(&world, &plan, on_gathered, h, &h->gathering, &h->error) != HARDY_OK)
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
    if (problems.len)
        journal_note(&h->journal, &h->i, "rule error", false, "%s", problems.data);
    if (rule)
        journal_note(&h->journal, &h->i, "analysed", false, "%s (rule %s, confidence %.2f)",
                     rule->cause, rule->name, rule->confidence);
    else
        journal_note(&h->journal, &h->i, "analysed", false, "no rule explains it");
    buf_free(&problems);
    save(h, step);
}

/* --- asking the check ------------------------------------------------------------------------- */

static void probe(struct handler *h);

static void on_probe_again(struct loop_timer *timer) {
    probe(timer->ctx);
}

static void on_probed(void *ctx, enum check_result result, const char *message, int64_t took) {
    struct handler *h = ctx;
    int64_t now = loop_now(h->world.loop);
    (void)took;
    h->probe = NULL;
    h->passes = result == CHECK_PASS ? h->passes + 1 : 0;
    if (h->passes >= h->service->verify.passes) {
        h->probed(h, true, message);
    } else if (h->passes == 0 && now >= h->probe_until) {
        h->probed(h, false, message);
    } else {
        loop_timer_init(&h->timer, on_probe_again, h);
        loop_timer_start(h->world.loop, &h->timer, time_add(now, h->check->interval));
    }
}

static void probe(struct handler *h) {
    h->probe = check_probe_start(h->world.loop, h->world.client, h->check, on_probed, h);
    if (!h->probe)
        end_without_memory(h);
}

/* Asks until it has passed as often as a repair has to, or fails after `until`. */
static void ask_check(struct handler *h, int64_t until,
                      void (*probed)(struct handler *h, bool good, const char *message)) {
    h->passes = 0;
    h->probe_until = until;
    h->probed = probed;
    probe(h);
}

static void resolve(struct handler *h, const char *outcome) {
    char span[48], summary[MAX_TEXT];
    h->i.state = INCIDENT_RESOLVED;
    h->i.ended = wall(h);
    replace(&h->i.outcome, outcome);
    format_duration_short(h->i.ended - h->i.created, span);
    journal_note(&h->journal, &h->i, "resolved", false, "%s, %s after it was noticed", outcome,
                 span);
    snprintf(summary, sizeof summary, "%.63s: %.300s", h->i.service, outcome);
    if (h->i.told && !add_pages(h, &h->i, "resolve", summary))
        end_without_memory(h);
    else
        save(h, step);
}

/* --- the remedy ------------------------------------------------------------------------------- */

static void run_remedy(struct handler *h);

static void on_command_event(void *ctx, enum command_event what, const struct record *record,
                             const char *detail) {
    struct handler *h = ctx;
    char text[MAX_TEXT];
    const char *name = h->i.action;
    switch (what) {
    case COMMAND_STARTED:
        if (record->attempt > 1)
            snprintf(text, sizeof text, "%s started again, attempt %u", name, record->attempt);
        else
            snprintf(text, sizeof text, "%s started", name);
        break;
    case COMMAND_ATTACHED:
        snprintf(text, sizeof text, "%s is running already: attached, not started again", name);
        break;
    case COMMAND_COLLECTED:
        snprintf(text, sizeof text, "%s ended while nobody watched", name);
        break;
    case COMMAND_PROBED:
        snprintf(text, sizeof text, "nobody knows how %s ended; %s", name, detail);
        break;
    case COMMAND_RETRY:
        snprintf(text, sizeof text, "%s: %s", name, detail);
        break;
    case COMMAND_REPLAYED:
        snprintf(text, sizeof text, "%s was done before", name);
        break;
    }
    str_make_printable(text);
    /* Told at once, recorded with the result: the remedy's own record is durable already. */
    journal_note(&h->journal, &h->i, "remedy", true, "%s", text);
    tell(h, &h->i, "remedy", text);
}

/* The pause before the attempt after this one; 0: there is none. */
static int64_t next_pause(const struct handler *h) {
    uint32_t doublings = h->i.round > 20 ? 20 : h->i.round - 1;
    if (h->i.round == 0 || h->i.round >= h->service->max_attempts)
        return 0;
    return time_scale(h->service->pause, (double)(UINT64_C(1) << doublings));
}

static const char *then_text(const struct handler *h, char out[80]) {
    char span[48];
    int64_t pause = next_pause(h);
    out[0] = '\0';
    if (pause > 0) {
        format_duration_short(pause, span);
        snprintf(out, 80, "; next attempt in %s", span);
    }
    return out;
}

static void in_doubt(struct handler *h) {
    char *key = incident_remedy_key(&h->i);
    char text[MAX_TEXT];
    bool told = h->i.state == INCIDENT_IN_DOUBT; /* before */
    snprintf(text, sizeof text,
             "%s was started and nobody knows how it ended; find out, then type: "
             "hardy --state %s actions resolve %s --done (or --retry, --fail)",
             h->i.action, h->world.state, key ? key : "");
    free(key);
    h->i.state = INCIDENT_IN_DOUBT;
    replace(&h->i.outcome, text);
    if (told) {
        end(h, NULL);
        return;
    }
    journal_note(&h->journal, &h->i, "in doubt", false, "%s", text);
    if (!page(h, text))
        end_without_memory(h);
    else
        save(h, step);
}

static void escalate(struct handler *h, const char *why);

static void on_rest_over(struct loop_timer *timer) {
    run_remedy(timer->ctx);
}

/* The state could not be written or a process not be made: not the remedy's fault, tried again. */
static void rest_and_run(struct handler *h, const hardy_error *error) {
    const int64_t pause = 5 * HARDY_SECOND;
    on_trouble(h, error, pause);
    loop_timer_init(&h->timer, on_rest_over, h);
    loop_timer_start(h->world.loop, &h->timer, time_add(loop_now(h->world.loop), pause));
}

static void remedy_failed(struct handler *h, const struct record *r, const char *span,
                          const char *message) {
    char hint[MAX_TEXT], then[80];
    const char *why = r && r->detail ? r->detail : message;
    remedy_hint(r ? r->output : NULL, hint, sizeof hint);
    h->i.state = INCIDENT_RECEIVED;
    h->i.last = LAST_REMEDY_FAILED;
    replace(&h->i.outcome, why);
    journal_note(&h->journal, &h->i, "remedy", false, "%s failed%s%s: %s%s%s%s", h->i.action,
                 span[0] ? " after " : "", span, why, hint[0] ? ": " : "", hint,
                 then_text(h, then));
    save(h, step);
}

static void on_command_ended(void *ctx, const struct command_result *result) {
    struct handler *h = ctx;
    const struct record *r = result->record;
    char span[48] = "";
    h->command = NULL;
    if (r && r->started && r->ended)
        format_duration_short(r->ended - r->started, span);
    switch (result->status) {
    case HARDY_OK:
        h->i.state = INCIDENT_ACTED;
        h->i.last = LAST_REMEDY_DONE;
        replace(&h->i.outcome, "the remedy ran");
        journal_note(&h->journal, &h->i, "remedy", false, "%s done%s%s", h->i.action,
                     span[0] ? " in " : "", span);
        save(h, step);
        return;
    case HARDY_E_IN_DOUBT:
        in_doubt(h);
        return;
    case HARDY_E_MISMATCH: {
        char why[MAX_TEXT];
        snprintf(why, sizeof why,
                 "%.60s was changed in the configuration while it was under way; "
                 "nobody knows how "
                 "it ended",
                 h->i.action);
        escalate(h, why);
        return;
    }
    case HARDY_E_NOSPACE:
    case HARDY_E_NOMEM:
    case HARDY_E_FULL:
    case HARDY_E_TIMEOUT:
        if (!r || r->state != RECORD_FAILED) {
            rest_and_run(h, result->error);
            return;
        }
        break;
    default:
        if (!r || r->state != RECORD_FAILED) {
            on_write_failed(h, result->error);
            return;
        }
        break;
    }
    remedy_failed(h, r, span, result->error->message);
}

static void run_remedy(struct handler *h) {
    static const struct command_events events = {.event = on_command_event,
                                                 .ended = on_command_ended};
    const struct action_settings *action = incident_action(h->service, h->i.action);
    hardy_status status = remedy_prepare(&h->remedy, &h->i, action, h->world.env, h->world.cwd,
                                         h->world.settings->keep, &h->error);
    if (status == HARDY_OK)
        status = command_start(h->world.loop, h->world.store, h->world.state, &h->remedy.spec,
                               &events, h, &h->command, &h->error);
    if (status != HARDY_OK)
        end(h, &h->error);
}

/* Begun before: its own record decides whether it is started, attached to or collected. */
static bool remedy_begun(struct handler *h) {
    struct store_row row;
    char *key = incident_remedy_key(&h->i);
    hardy_status status =
        key ? store_get(h->world.store, "remedy", key, &row, &h->error) : HARDY_E_NOT_FOUND;
    free(key);
    if (status == HARDY_OK)
        store_row_free(&row);
    return status != HARDY_E_NOT_FOUND;
}

static void act(struct handler *h, const struct incident_next *next) {
    const struct action_settings *action = incident_action(h->service, next->action);
    int64_t now = wall(h);
    if (h->i.state != INCIDENT_ANALYSED) {
        run_remedy(h);
        return;
    }
    h->i.state = INCIDENT_ACTING;
    h->i.round = next->round;
    if (!replace(&h->i.action, next->action) ||
        !past_add_run(&h->past, next->action, now, time_add(now, -action->per)) || !add_past(h)) {
        end_without_memory(h);
        return;
    }
    journal_note(&h->journal, &h->i, "acting", false, "%s, attempt %u of %u", next->action,
                 next->round, h->service->max_attempts);
    save(h, run_remedy);
}

/* --- verify ----------------------------------------------------------------------------------- */

static void on_verified(struct handler *h, bool good, const char *message) {
    char text[MAX_TEXT], span[48], then[80];
    if (good) {
        journal_note(&h->journal, &h->i, "verified", false, "%u good %s in a row", h->passes,
                     h->passes == 1 ? "answer" : "answers");
        if (h->i.round == 1)
            snprintf(text, sizeof text, "%s helped", h->i.action);
        else
            snprintf(text, sizeof text, "%s helped at attempt %u", h->i.action, h->i.round);
        resolve(h, text);
        return;
    }
    h->i.state = INCIDENT_RECEIVED;
    h->i.last = LAST_NOT_VERIFIED;
    format_duration_short(h->service->verify.window, span);
    replace(&h->i.outcome, message);
    journal_note(&h->journal, &h->i, "not verified", false,
                 "no %u good answers in a row within %s, but: %s%s", h->service->verify.passes,
                 span, message, then_text(h, then));
    save(h, step);
}

/* --- a person --------------------------------------------------------------------------------- */

static void escalate(struct handler *h, const char *why) {
    struct buf places;
    buf_init(&places, MAX_TEXT);
    for (size_t n = 0; n < h->service->escalate.count; n++)
        buf_printf(&places, "%s%s", n ? ", " : "", h->service->escalate.items[n]);
    h->i.state = INCIDENT_ESCALATED;
    h->i.ended = wall(h);
    replace(&h->i.outcome, why);
    if (places.len)
        journal_note(&h->journal, &h->i, "escalated", false, "%s; telling %s", why, places.data);
    else
        journal_note(&h->journal, &h->i, "escalated", false,
                     "%s; telling nobody, for `escalate:` is empty", why);
    buf_free(&places);
    if (!page(h, why))
        end_without_memory(h);
    else
        save(h, step);
}

/* --- one step after another ------------------------------------------------------------------- */

/* It may be well again by itself, or by somebody's hand: then nothing is touched and nobody woken.
 */
static void on_rechecked(struct handler *h, bool good, const char *message) {
    char text[MAX_TEXT];
    (void)message;
    if (!good) {
        h->rechecked = true;
        step(h);
        return;
    }
    snprintf(text, sizeof text, "recovered by itself, %u good %s in a row", h->passes,
             h->passes == 1 ? "answer" : "answers");
    resolve(h, text);
}

static void on_paused(struct loop_timer *timer) {
    gather(timer->ctx);
}

/* Before another attempt the world gets time, twice as much each time. */
static void gather_after_pause(struct handler *h) {
    loop_timer_init(&h->timer, on_paused, h);
    loop_timer_start(h->world.loop, &h->timer, time_add(loop_now(h->world.loop), next_pause(h)));
}

/* Whether the check is asked once more before this step. */
static bool recheck_first(struct handler *h, enum incident_next_kind kind) {
    if (h->i.by_hand || h->rechecked)
        return false;
    if (kind == INCIDENT_ACT)
        return h->i.state == INCIDENT_ANALYSED ||
               (h->i.state == INCIDENT_ACTING && !remedy_begun(h));
    return kind == INCIDENT_ESCALATE && h->i.state == INCIDENT_ANALYSED;
}

static void step(struct handler *h) {
    struct incident_next next =
        incident_decide(&h->i, h->world.settings, h->service, &h->past, wall(h));
    if (recheck_first(h, next.kind)) {
        ask_check(h, 0, on_rechecked);
        return;
    }
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
        ask_check(h, time_add(loop_now(h->world.loop), h->service->verify.window), on_verified);
        break;
    case INCIDENT_ESCALATE:
        escalate(h, next.why);
        break;
    case INCIDENT_FINISH:
        end(h, NULL);
        break;
    }
}

/* --- beginning -------------------------------------------------------------------------------- */

static char *make_id(struct handler *h) {
    char text[40];
    clock_format_wall(wall(h), text); /* 2026-11-23T01:02:03.456Z */
    return str_format("inc-%.4s%.2s%.2s-%.2s%.2s%.2s-%04x", text, text + 5, text + 8, text + 11,
                      text + 14, text + 17, (unsigned)(loop_random(h->world.loop) & 0xffff));
}

/* One that was with a person is closed in the batch that opens the next. */
static bool close_former(struct handler *h, const char *by) {
    struct buf value;
    char outcome[MAX_TEXT], summary[MAX_TEXT];
    struct incident *former = &h->i;
    int64_t before = former->fence++;
    snprintf(outcome, sizeof outcome, "handled again as %s", by);
    snprintf(summary, sizeof summary, "%.63s: %.300s", former->service, outcome);
    former->state = INCIDENT_RESOLVED;
    former->ended = wall(h);
    bool good = replace(&former->outcome, outcome);
    journal_note(&h->journal, former, "closed", true, "%s", outcome);
    buf_init(&value, MAX_VALUE);
    incident_encode(former, &value);
    struct store_op op = {.kind = STORE_UPDATE,
                          .row_kind = "incident",
                          .if_fence = before,
                          .fence = former->fence,
                          .len = value.len,
                          .expires = time_add(former->ended, h->world.settings->keep)};
    /* Its key behind its value: one piece of memory. */
    good = good && buf_append(&value, "", 1) && buf_puts(&value, former->id);
    char *text = good ? buf_take(&value) : NULL;
    buf_free(&value);
    op.value = text;
    op.key = text ? text + op.len + 1 : NULL;
    return text && journal_add(&h->journal, &op, text) &&
           (!former->told || add_pages(h, former, "resolve", summary));
}

static void open_incident(struct handler *h) {
    char *id = make_id(h);
    bool good = id && (h->i.state != INCIDENT_ESCALATED || close_former(h, id));
    incident_free(&h->i);
    h->i = (struct incident){.id = id,
                             .service = str_dup(h->service->name),
                             .severity = str_dup(h->severity),
                             .summary = str_dup(h->summary),
                             .owner = str_dup(h->world.self),
                             .created = wall(h),
                             .by_hand = h->why == HANDLE_BY_HAND};
    if (!good || !h->i.service || !h->i.severity || !h->i.summary ||
        !replace(&h->past.incident, id) || !add_past(h)) {
        end_without_memory(h);
        return;
    }
    journal_note(&h->journal, &h->i, "opened", false, "%s, %s: %s", h->i.id, h->i.severity,
                 h->i.summary);
    save(h, step);
}

static void take_up(struct handler *h) {
    replace(&h->i.owner, h->world.self);
    h->has_row = true;
    bool old = h->i.state == INCIDENT_GATHERED || h->i.state == INCIDENT_ANALYSED;
    journal_note(&h->journal, &h->i, "taken up", false, "%s was left in state %s; goes on there",
                 h->i.id, incident_state_text(h->i.state));
    if (old && wall(h) - h->i.gathered > stale)
        h->i.state = INCIDENT_RECEIVED;
    if (h->i.state == INCIDENT_IN_DOUBT)
        h->i.state = INCIDENT_ACTING; /* a person has said how it ended */
    save(h, step);
}

/* The check is up: what is with a person or in doubt is over. */
static void settle_up(struct handler *h) {
    char text[MAX_TEXT];
    h->has_row = true;
    if (h->i.state == INCIDENT_IN_DOUBT)
        snprintf(text, sizeof text, "well again; how %s ended was never found out",
                 h->i.action ? h->i.action : "the remedy");
    else
        snprintf(text, sizeof text, "well again, after a person was told");
    resolve(h, text);
}

static bool still_in_doubt(struct handler *h) {
    struct record r;
    char *key = incident_remedy_key(&h->i);
    hardy_status status =
        key ? record_load(h->world.store, "remedy", key, &r, &h->error) : HARDY_E_NOMEM;
    free(key);
    if (status != HARDY_OK)
        return false;
    bool in_doubt = r.state == RECORD_IN_DOUBT;
    record_free(&r);
    return in_doubt;
}

static void leave_alone(struct handler *h) {
    char text[MAX_TEXT], span[48];
    format_duration_short(wall(h) - h->i.ended, span);
    snprintf(text, sizeof text,
             "%s is with a person, for %s now; nothing is tried until %s has been up", h->i.id,
             span, h->service->name);
    tell(h, &h->i, "left alone", text);
    end(h, NULL);
}

/* What there is, now that this process has the lock. */
static void begin(struct handler *h) {
    hardy_status status = past_load(h->world.store, h->service->name, &h->past, &h->error);
    if (status == HARDY_OK && h->past.incident)
        status = incident_load(h->world.store, h->past.incident, &h->i, &h->error);
    if (status != HARDY_OK && status != HARDY_E_NOT_FOUND) {
        end(h, &h->error);
        return;
    }
    bool known = h->i.id != NULL, up = h->why == HANDLE_UP;
    bool with_person = known && h->i.state == INCIDENT_ESCALATED;
    bool doubtful = known && h->i.state == INCIDENT_IN_DOUBT;
    /* Another process had the lock, and has ended it: its result is the answer. */
    bool waited = h->poll > 0 && known && !incident_under_way(&h->i) && h->i.ended >= h->began;
    if (up && (with_person || doubtful))
        settle_up(h);
    else if (doubtful && still_in_doubt(h))
        end(h, NULL);
    else if (doubtful || (known && incident_under_way(&h->i)))
        take_up(h);
    else if (waited || up || h->why == HANDLE_LEFT)
        end(h, NULL);
    else if (with_person && h->why == HANDLE_DOWN)
        leave_alone(h);
    else
        open_incident(h);
}

static void on_begin(struct loop_timer *timer);

/* Looks again now and then until the other one is done, or dead. */
static void wait_for_other(struct handler *h) {
    struct past past;
    struct incident other = {0};
    char text[MAX_TEXT];
    if (h->poll == 0) {
        if (past_load(h->world.store, h->service->name, &past, NULL) == HARDY_OK && past.incident)
            (void)incident_load(h->world.store, past.incident, &other, NULL);
        bool open = other.id && incident_under_way(&other); /* else it is about to open one */
        snprintf(text, sizeof text, "%s handles %s; waits for it",
                 open && other.owner ? other.owner : "another hardy",
                 open ? other.id : h->service->name);
        if (!other.id) {
            other.id = str_dup("");
            other.service = str_dup(h->service->name);
        }
        if (other.id && other.service)
            tell(h, &other, "waiting", text);
        incident_free(&other);
        past_free(&past);
    }
    h->poll = h->poll == 0 ? poll_min : 2 * h->poll > poll_max ? poll_max : 2 * h->poll;
    loop_timer_init(&h->timer, on_begin, h);
    loop_timer_start(h->world.loop, &h->timer, time_add(loop_now(h->world.loop), h->poll));
}

static void on_begin(struct loop_timer *timer) {
    struct handler *h = timer->ctx;
    hardy_status status = step_place_lock(&h->place, &h->lock_fd, &h->error);
    if (status == HARDY_E_RUNNING)
        wait_for_other(h);
    else if (status != HARDY_OK)
        end(h, &h->error);
    else
        begin(h);
}

hardy_status handle_start(const struct handler_world *world, const struct service_settings *s,
                          enum handle_why why, const char *severity, const char *summary,
                          const struct handler_events *events, void *ctx, struct handler **out,
                          hardy_error *error) {
    struct handler *h = calloc(1, sizeof *h);
    if (!h)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for an incident");
    h->world = *world;
    h->service = s;
    h->events = events;
    h->ctx = ctx;
    h->why = why;
    h->lock_fd = -1;
    h->past.fence = -1;
    h->began = wall(h);
    h->severity = str_dup(severity);
    h->summary = str_dup(summary);
    hardy_error_init(&h->error, sizeof h->error);
    journal_init(&h->journal, world->loop, world->store, world->settings->keep, &journal_events, h);
    loop_timer_init(&h->timer, on_begin, h);
    h->check = incident_check(world->checks, s->check);
    hardy_status status =
        h->check ? step_place_find(world->state, "service", s->name, &h->place, error)
                 : fail(error, HARDY_E_NOT_FOUND, NULL,
                        "service `%s` names the check `%s`, which is not under checks:", s->name,
                        s->check);
    if (status == HARDY_OK && ((severity && !h->severity) || (summary && !h->summary)))
        status = fail(error, HARDY_E_NOMEM, NULL, "no memory for an incident");
    if (status != HARDY_OK) {
        free_handler(h);
        return status;
    }
    loop_timer_start(world->loop, &h->timer, loop_now(world->loop));
    *out = h;
    return HARDY_OK;
}

bool handle_leave(struct handler *h) {
    h->left = true;
    loop_timer_stop(h->world.loop, &h->timer);
    if (h->gathering)
        gathering_cancel(h->gathering);
    h->gathering = NULL;
    if (h->probe)
        check_probe_cancel(h->probe);
    h->probe = NULL;
    if (h->command)
        command_leave(h->command);
    h->command = NULL;
    if (!journal_leave(&h->journal))
        return false; /* the lock stays until what is being written is written */
    free_handler(h);
    return true;
}
