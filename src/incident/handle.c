/* SPDX-License-Identifier: Apache-2.0 */
/* One step after another: what is to be done is decided, done, and written. */
#include "degrade/answer.h"
#include "durable/seeded.h"
#include "incident/handle_inside.h"
#include "notify/notify.h"
#include "supervise/maintenance.h"
#include <string.h>
#include <unistd.h>

/* What was found longer ago than this is looked at again before anything is done about it. */
static const int64_t stale = HARDY_MINUTE;

static void free_handler(struct handler *h) {
    loop_timer_stop(h->world.loop, &h->timer);
    if (h->gathering)
        gathering_cancel(h->gathering);
    handler_stop_checks(h);
    if (h->command)
        command_leave(h->command);
    if (h->lock_fd >= 0)
        close(h->lock_fd);
    step_place_free(&h->place);
    remedy_free(&h->remedy);
    incident_free(&h->i);
    past_free(&h->past);
    signal_free(&h->answer);
    free(h->checks);
    free(h->severity);
    free(h->summary);
    free(h);
}

/* The lock goes first, so that whoever waits for it finds everything written. */
void handler_end(struct handler *h, const hardy_error *error) {
    if (h->lock_fd >= 0)
        close(h->lock_fd);
    h->lock_fd = -1;
    (void)journal_leave(&h->journal); /* nothing is being written */
    h->events->ended(h->ctx, h->i.id ? &h->i : NULL, error);
    free_handler(h);
}

void handler_end_without_memory(struct handler *h) {
    hardy_error_init(&h->error, sizeof h->error);
    (void)fail(&h->error, HARDY_E_NOMEM, NULL, "no memory to handle %s",
               h->i.id ? h->i.id : h->service->name);
    handler_end(h, &h->error);
}

int64_t handler_wall(const struct handler *h) {
    return loop_wall(h->world.loop);
}

bool handler_replace(char **text, const char *with) {
    char *copy = str_dup(with);
    free(*text);
    *text = copy;
    return copy || !with;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void on_told(void *ctx, int64_t at, const char *what, const char *detail) {
    struct handler *h = ctx;
    h->events->told(h->ctx, &h->i, at, what, detail);
}

void handler_trouble(struct handler *h, const hardy_error *error, int64_t pause) {
    bool first = !h->has_trouble;
    h->has_trouble = true;
    h->i.told = true; /* whoever hears of it now wants to hear its end */
    h->events->trouble(h->ctx, &h->i, error, pause, first);
}

static void on_trouble(void *ctx, const hardy_error *error, int64_t pause) {
    handler_trouble(ctx, error, pause);
}

static void on_written(void *ctx) {
    struct handler *h = ctx;
    h->has_row = true;
    if (h->pages)
        h->events->paged(h->ctx);
    h->pages = false;
    h->then(h);
}

void handler_write_failed(struct handler *h, const hardy_error *error) {
    hardy_error_init(&h->error, sizeof h->error);
    if (error->status == HARDY_E_FENCED || error->status == HARDY_E_EXISTS)
        (void)fail(&h->error, HARDY_E_FENCED, NULL, "another hardy has written %s meanwhile",
                   h->i.id);
    else
        h->error = *error;
    handler_end(h, &h->error);
}

static void on_write_failed(void *ctx, const hardy_error *error) {
    handler_write_failed(ctx, error);
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

void handler_save(struct handler *h, void (*then)(struct handler *h)) {
    h->then = then;
    journal_write(&h->journal, &h->i, h->has_row);
}

bool handler_add_past(struct handler *h) {
    struct buf value;
    buf_init(&value, HANDLER_VALUE);
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

void handler_save_with_past(struct handler *h) {
    if (handler_add_past(h))
        handler_save(h, handler_step);
    else
        handler_end_without_memory(h);
}

/* Pages to everybody the service names, into the next batch. */
bool handler_add_pages(struct handler *h, const struct incident *i, const char *action,
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
        if (outbox_row(target, &notice, handler_wall(h), &op, &memory, &h->error) != HARDY_OK ||
            !journal_add(&h->journal, &op, memory))
            return false;
        h->pages = true;
    }
    return true;
}

bool handler_page(struct handler *h, const char *what) {
    char summary[1000]; /* pagers take 1024 */
    snprintf(summary, sizeof summary, "%.63s: %.450s; %.450s", h->i.service,
             h->i.cause ? h->i.cause : h->i.summary, what);
    h->i.told = true;
    return handler_add_pages(h, &h->i, "trigger", summary);
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

/* The sources', and behind them what the checks say; NULL = no memory. */
static hardy_component *with_checks(const struct handler *h, const hardy_component *components,
                                    size_t count) {
    hardy_component *all = calloc(count + 1, sizeof *all);
    if (!all)
        return NULL;
    memcpy(all, components, count * sizeof *all);
    all[count] = (hardy_component){.name = HEAL_EVIDENCE,
                                   .weight = 1,
                                   .state = HARDY_COMPONENT_FRESH,
                                   .data = handler_results(h)};
    all[count].len = all[count].data ? strlen(all[count].data) : 0;
    if (all[count].data)
        return all;
    free(all);
    return NULL;
}

static void on_gathered(void *ctx, const hardy_component *components, size_t count) {
    struct handler *h = ctx;
    struct buf answer, text;
    hardy_component *all = h->service->heals ? with_checks(h, components, count) : NULL;
    h->gathering = NULL;
    if (h->service->heals && !all) {
        handler_end_without_memory(h);
        return;
    }
    buf_init(&answer, HANDLER_VALUE);
    buf_init(&text, HANDLER_TEXT);
    gathered_to_json(all ? all : components, count + (all != NULL), &answer);
    describe(components, count, &text);
    if (all)
        free(all[count].data);
    free(all);
    free(h->i.evidence);
    h->i.evidence = answer.failed ? NULL : buf_take(&answer);
    h->i.gathered = handler_wall(h);
    h->i.state = INCIDENT_GATHERED;
    journal_note(&h->journal, &h->i, "gathered", false, "%s", text.data ? text.data : "");
    buf_free(&answer);
    buf_free(&text);
    handler_save(h, handler_step);
}

static void gather_sources(struct handler *h) {
    const struct gathering_world world = {.loop = h->world.loop,
                                          .store = h->world.store,
                                          .client = h->world.client,
                                          .cwd = h->world.cwd,
                                          .env = h->world.env};
    const struct gathering_plan plan = {.name = h->service->name,
                                        .deadline = h->service->gather_deadline,
                                        .sources = &h->service->sources};
    if (gathering_start(&world, &plan, on_gathered, h, &h->gathering, &h->error) != HARDY_OK)
        handler_end(h, &h->error);
}

static void gather(struct handler *h) {
    h->rechecked = false;
    if (h->service->heals)
        handler_ask_round(h, gather_sources);
    else
        gather_sources(h);
}

/* By the checks that are down. */
static bool analyse_checks(struct handler *h) {
    struct buf plan;
    char cause[200];
    buf_init(&plan, HANDLER_TEXT * 4);
    hardy_status status = heal_analyse(&h->i, h->service, h->world.checks, cause, &plan);
    bool good = status == HARDY_OK && handler_replace(&h->i.rule, plan.len ? "heal" : NULL) &&
                handler_replace(&h->i.cause, cause) &&
                handler_replace(&h->i.plan, plan.len ? plan.data : "");
    h->i.confidence = 1;
    if (plan.len)
        journal_note(&h->journal, &h->i, "analysed", false, "%s; remedies: %s", cause, plan.data);
    else
        journal_note(&h->journal, &h->i, "analysed", false, "%s; there is no remedy", cause);
    buf_free(&plan);
    return good;
}

static bool plan_of(const struct rule_settings *rule, char **out) {
    struct buf plan;
    buf_init(&plan, HANDLER_TEXT * 4);
    for (size_t n = 0; rule && n < rule->actions.count; n++)
        buf_printf(&plan, "%s%s", n ? " " : "", rule->actions.items[n]);
    free(*out);
    *out = plan.failed ? NULL : plan.len ? buf_take(&plan) : str_dup("");
    buf_free(&plan);
    return *out != NULL;
}

/* By the rules over the evidence. */
static bool analyse_evidence(struct handler *h) {
    struct buf problems;
    buf_init(&problems, HANDLER_TEXT);
    const struct rule_settings *rule = incident_analyse(&h->i, h->service, &problems);
    bool good = handler_replace(&h->i.rule, rule ? rule->name : NULL) &&
                handler_replace(&h->i.cause, rule ? rule->cause : NULL) &&
                plan_of(rule, &h->i.plan);
    h->i.confidence = rule ? rule->confidence : 0;
    if (problems.len)
        journal_note(&h->journal, &h->i, "rule error", false, "%s", problems.data);
    if (rule)
        journal_note(&h->journal, &h->i, "analysed", false, "%s (rule %s, confidence %.2f)",
                     rule->cause, rule->name, rule->confidence);
    else
        journal_note(&h->journal, &h->i, "analysed", false, "no rule explains it");
    buf_free(&problems);
    return good;
}

static void analyse(struct handler *h) {
    if (!(h->service->heals ? analyse_checks(h) : analyse_evidence(h))) {
        handler_end_without_memory(h);
        return;
    }
    h->i.state = INCIDENT_ANALYSED;
    h->i.asked = 0;
    handler_replace(&h->i.waits, NULL);
    handler_save(h, handler_step);
}

int64_t handler_next_pause(const struct handler *h) {
    uint32_t doublings = h->i.round > 20 ? 20 : h->i.round - 1;
    if (h->i.round == 0 || h->i.round >= h->service->max_attempts)
        return 0;
    return time_scale(h->service->pause, (double)(UINT64_C(1) << doublings));
}

const char *handler_then_text(const struct handler *h, char out[80]) {
    char span[48];
    int64_t pause = handler_next_pause(h);
    out[0] = '\0';
    if (pause > 0) {
        format_duration_short(pause, span);
        snprintf(out, 80, "; next attempt in %s", span);
    }
    return out;
}

void handler_resolve(struct handler *h, const char *outcome) {
    char span[48], summary[HANDLER_TEXT];
    h->i.state = INCIDENT_RESOLVED;
    h->i.ended = handler_wall(h);
    h->i.asked = 0;
    handler_replace(&h->i.waits, NULL);
    handler_replace(&h->i.outcome, outcome);
    format_duration_short(h->i.ended - h->i.created, span);
    journal_note(&h->journal, &h->i, "resolved", false, "%s, %s after it was noticed", outcome,
                 span);
    snprintf(summary, sizeof summary, "%.63s: %.300s", h->i.service, outcome);
    h->past.resolved++;
    if (h->i.told && !SEEDED_BUG(BUG_HEAL_UNRESOLVED) &&
        !handler_add_pages(h, &h->i, "resolve", summary))
        handler_end_without_memory(h);
    else
        handler_save_with_past(h);
}

/* --- verify ----------------------------------------------------------------------------------- */

static void on_verified(struct handler *h, bool good, const char *message) {
    char text[HANDLER_TEXT], span[48], then[80];
    if (!past_add_result(&h->past, h->i.action, good)) {
        handler_end_without_memory(h);
        return;
    }
    if (good) {
        journal_note(&h->journal, &h->i, "verified", false, "%u good %s in a row", h->passes,
                     h->passes == 1 ? "answer" : "answers");
        if (h->i.round == 1)
            snprintf(text, sizeof text, "%s helped", h->i.action);
        else
            snprintf(text, sizeof text, "%s helped at attempt %u", h->i.action, h->i.round);
        handler_resolve(h, text);
        return;
    }
    h->i.state = INCIDENT_RECEIVED;
    h->i.last = LAST_NOT_VERIFIED;
    format_duration_short(h->service->verify.window, span);
    handler_replace(&h->i.outcome, message);
    journal_note(&h->journal, &h->i, "not verified", false,
                 "no %u good answers in a row within %s, but: %s%s", h->service->verify.passes,
                 span, message, handler_then_text(h, then));
    handler_save_with_past(h);
}

/* --- a person --------------------------------------------------------------------------------- */

void handler_escalate(struct handler *h, const struct incident_next *next) {
    struct buf places;
    buf_init(&places, HANDLER_TEXT);
    for (size_t n = 0; n < h->service->escalate.count; n++)
        buf_printf(&places, "%s%s", n ? ", " : "", h->service->escalate.items[n]);
    if (next->action)
        journal_note(&h->journal, &h->i, "proposed", false, "%s", next->action);
    h->i.state = INCIDENT_ESCALATED;
    h->i.ended = handler_wall(h);
    h->i.asked = 0;
    handler_replace(&h->i.waits, NULL);
    handler_replace(&h->i.outcome, next->why);
    if (places.len)
        journal_note(&h->journal, &h->i, "escalated", false, "%s; telling %s", next->why,
                     places.data);
    else
        journal_note(&h->journal, &h->i, "escalated", false,
                     "%s; telling nobody, for `escalate:` is empty", next->why);
    buf_free(&places);
    h->past.escalated++;
    if (!SEEDED_BUG(BUG_HEAL_UNTOLD) && !handler_page(h, next->why))
        handler_end_without_memory(h);
    else
        handler_save_with_past(h);
}

static void warn(struct handler *h, const char *why) {
    journal_note(&h->journal, &h->i, "warned", false, "%s", why);
    if (!handler_page(h, why))
        handler_end_without_memory(h);
    else
        handler_save(h, handler_step);
}

/* --- one step after another ------------------------------------------------------------------- */

/* It may be well again by itself, or by somebody's hand: then nothing is touched and nobody woken.
 */
void handler_recovered(struct handler *h) {
    char text[HANDLER_TEXT];
    snprintf(text, sizeof text, "recovered by itself, %u good %s in a row", h->passes,
             h->passes == 1 ? "answer" : "answers");
    handler_resolve(h, text);
}

static void on_rechecked(struct handler *h, bool good, const char *message) {
    (void)message;
    if (good) {
        handler_recovered(h);
        return;
    }
    h->rechecked = true;
    handler_step(h);
}

static void on_paused(struct loop_timer *timer) {
    gather(timer->ctx);
}

/* Before another attempt the world gets time, twice as much each time. */
static void gather_after_pause(struct handler *h) {
    loop_timer_init(&h->timer, on_paused, h);
    loop_timer_start(h->world.loop, &h->timer,
                     time_add(loop_now(h->world.loop), handler_next_pause(h)));
}

/* Whether the checks are asked once more before this step. */
static bool recheck_first(struct handler *h, enum incident_next_kind kind) {
    if (h->i.by_hand || h->rechecked || SEEDED_BUG(BUG_HEAL_WELL))
        return false;
    if (kind == INCIDENT_ACT)
        return h->i.state == INCIDENT_ANALYSED ||
               (h->i.state == INCIDENT_ACTING && !handler_remedy_begun(h));
    return (kind == INCIDENT_ESCALATE || kind == INCIDENT_ASK || kind == INCIDENT_WARN) &&
           h->i.state == INCIDENT_ANALYSED;
}

bool handler_is_stale(const struct handler *h) {
    return handler_wall(h) - h->i.gathered > stale;
}

/* What a person has said to the question; nothing, while nothing is asked. */
static const struct signal *answer(struct handler *h) {
    signal_free(&h->answer);
    char *key = incident_asks(&h->i) ? incident_remedy_key(&h->i) : NULL;
    hardy_status status =
        key ? signal_load(h->world.store, key, &h->answer, NULL) : HARDY_E_NOT_FOUND;
    free(key);
    return status == HARDY_OK ? &h->answer : NULL;
}

/* Hands may be off one remedy only. */
static bool action_is_off(struct handler *h, const char *action, struct hands_off *off) {
    char *target = str_format("%s/%s", h->service->name, action);
    if (target)
        (void)hands_off(h->world.maintenance, h->world.store, target, handler_wall(h), off, NULL);
    free(target);
    return target && off->off;
}

struct incident_next handler_next(struct handler *h) {
    const struct incident_settings *all = h->world.settings;
    struct incident_around around = {.wall = handler_wall(h), .past = &h->past};
    struct hands_off off = {.off = false};
    if (h->i.state != INCIDENT_ANALYSED)
        return incident_decide(&h->i, all, h->service, &around);
    around.answer = answer(h);
    (void)past_all_runs(h->world.store, time_add(around.wall, -all->healing.per), &around.runs,
                        NULL);
    (void)hands_off(h->world.maintenance, h->world.store, h->service->name, around.wall, &off,
                    NULL);
    around.hands_off = off.off ? off.why : NULL;
    struct incident_next next = incident_decide(&h->i, all, h->service, &around);
    bool touches = next.kind == INCIDENT_ACT || next.kind == INCIDENT_ASK;
    if (touches && !h->i.by_hand && action_is_off(h, next.action, &off)) {
        around.hands_off = off.why;
        next = incident_decide(&h->i, all, h->service, &around);
    }
    return next;
}

void handler_step(struct handler *h) {
    struct incident_next next = handler_next(h);
    /* What was waited for is over; what was found before the wait may not be true any more. */
    if (next.kind == INCIDENT_ACT && h->i.state == INCIDENT_ANALYSED && !h->i.asked &&
        handler_is_stale(h)) {
        h->i.state = INCIDENT_RECEIVED;
        gather(h);
        return;
    }
    if (recheck_first(h, next.kind)) {
        handler_ask(h, 0, on_rechecked);
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
        handler_act(h, &next);
        break;
    case INCIDENT_VERIFY:
        handler_ask(h, time_add(loop_now(h->world.loop), h->service->verify.window), on_verified);
        break;
    case INCIDENT_WAIT:
        handler_wait(h, &next);
        break;
    case INCIDENT_ASK:
        handler_ask_person(h, &next);
        break;
    case INCIDENT_WARN:
        warn(h, next.why);
        break;
    case INCIDENT_ESCALATE:
        handler_escalate(h, &next);
        break;
    case INCIDENT_FINISH:
        handler_end(h, NULL);
        break;
    }
}

/* --- the handler -------------------------------------------------------------------------------
 */

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
    h->began = handler_wall(h);
    h->severity = str_dup(severity);
    h->summary = str_dup(summary);
    hardy_error_init(&h->error, sizeof h->error);
    journal_init(&h->journal, world->loop, world->store, world->settings->keep, &journal_events, h);
    loop_timer_init(&h->timer, handler_begin, h);
    hardy_status status = handler_find_checks(h, error);
    if (status == HARDY_OK)
        status = step_place_find(world->state, "service", s->name, &h->place, error);
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
    handler_stop_checks(h);
    if (h->command)
        command_leave(h->command);
    h->command = NULL;
    if (!journal_leave(&h->journal))
        return false; /* the lock stays until what is being written is written */
    free_handler(h);
    return true;
}
