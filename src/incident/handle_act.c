/* SPDX-License-Identifier: Apache-2.0 */
/* The remedy of an incident: a durable command, or something hardy does itself. */
#include "incident/handle_inside.h"
#include "notify/notify.h"

static void run_remedy(struct handler *h);

static void on_command_event(void *ctx, enum command_event what, const struct record *record,
                             const char *detail) {
    struct handler *h = ctx;
    char text[HANDLER_TEXT];
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
    h->events->told(h->ctx, &h->i, handler_wall(h), "remedy", text);
}

static void in_doubt(struct handler *h) {
    char *key = incident_remedy_key(&h->i);
    char text[HANDLER_TEXT];
    bool told = h->i.state == INCIDENT_IN_DOUBT; /* before */
    snprintf(text, sizeof text,
             "%s was started and nobody knows how it ended; find out, then type: "
             "hardy --state %s actions resolve %s --done (or --retry, --fail)",
             h->i.action, h->world.state, key ? key : "");
    free(key);
    h->i.state = INCIDENT_IN_DOUBT;
    handler_replace(&h->i.outcome, text);
    if (told) {
        handler_end(h, NULL);
        return;
    }
    journal_note(&h->journal, &h->i, "in doubt", false, "%s", text);
    if (!handler_page(h, text))
        handler_end_without_memory(h);
    else
        handler_save(h, handler_step);
}

/* While the state took nothing, what was decided has grown old: the service may be well by now,
 * people may have paused, and a cooldown counts from what is done, not from what was meant. */
static void decide_anew(struct handler *h) {
    journal_note(&h->journal, &h->i, "decided anew", false, "%s was not begun for %.0f s",
                 h->i.action, (double)(loop_now(h->world.loop) - h->decided) / HARDY_SECOND);
    past_drop_run(&h->past);
    h->i.state = INCIDENT_ANALYSED;
    h->i.round--;
    h->i.asked = h->was_asked;
    h->rechecked = false;
    if (!handler_add_past(h))
        handler_end_without_memory(h);
    else
        handler_step(h);
}

static void run_if_fresh(struct handler *h) {
    static const int64_t fresh = 5 * HARDY_SECOND;
    if (loop_now(h->world.loop) - h->decided > fresh)
        decide_anew(h);
    else
        run_remedy(h);
}

static void on_rest_over(struct loop_timer *timer) {
    struct handler *h = timer->ctx;
    if (h->decided && !handler_remedy_begun(h))
        run_if_fresh(h);
    else
        run_remedy(h);
}

/* The state could not be written or a process not be made: not the remedy's fault, tried again. */
static void rest_and_run(struct handler *h, const hardy_error *error) {
    const int64_t pause = 5 * HARDY_SECOND;
    handler_trouble(h, error, pause);
    loop_timer_init(&h->timer, on_rest_over, h);
    loop_timer_start(h->world.loop, &h->timer, time_add(loop_now(h->world.loop), pause));
}

static void remedy_failed(struct handler *h, const struct record *r, const char *span,
                          const char *message) {
    char hint[HANDLER_TEXT], then[80];
    const char *why = r && r->detail ? r->detail : message;
    remedy_hint(r ? r->output : NULL, hint, sizeof hint);
    h->i.state = INCIDENT_RECEIVED;
    h->i.last = LAST_REMEDY_FAILED;
    handler_replace(&h->i.outcome, why);
    journal_note(&h->journal, &h->i, "remedy", false, "%s failed%s%s: %s%s%s%s", h->i.action,
                 span[0] ? " after " : "", span, why, hint[0] ? ": " : "", hint,
                 handler_then_text(h, then));
    if (past_add_result(&h->past, h->i.action, false))
        handler_save_with_past(h);
    else
        handler_end_without_memory(h);
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
        handler_replace(&h->i.outcome, "the remedy ran");
        journal_note(&h->journal, &h->i, "remedy", false, "%s done%s%s", h->i.action,
                     span[0] ? " in " : "", span);
        handler_save(h, handler_step);
        return;
    case HARDY_E_IN_DOUBT:
        in_doubt(h);
        return;
    case HARDY_E_MISMATCH: {
        struct incident_next next = {.kind = INCIDENT_ESCALATE};
        snprintf(next.why, sizeof next.why,
                 "%.60s was changed in the configuration while it was under way; nobody knows how "
                 "it ended",
                 h->i.action);
        handler_escalate(h, &next);
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
            handler_write_failed(h, result->error);
            return;
        }
        break;
    }
    remedy_failed(h, r, span, result->error->message);
}

/* --- what hardy does itself
 * ----------------------------------------------------------------------- */

/* Under the key one thing has one effect, so that it may be done again after a kill. */
static void run_inside(struct handler *h, const struct action_settings *action) {
    const struct remedy_inside *inside = h->world.inside;
    char *key = incident_remedy_key(&h->i);
    char told[200] = "";
    hardy_error error;
    hardy_error_init(&error, sizeof error);
    hardy_status status =
        !key      ? HARDY_E_NOMEM
        : !inside ? fail(&error, HARDY_E_UNSUPPORTED, NULL, "this process has nothing of the kind")
                  : inside->act(inside->ctx, action, key, told, &error);
    free(key);
    if (status == HARDY_E_NOMEM) {
        handler_end_without_memory(h);
        return;
    }
    if (status != HARDY_OK) {
        remedy_failed(h, NULL, "", error.message);
        return;
    }
    h->i.state = INCIDENT_ACTED;
    h->i.last = LAST_REMEDY_DONE;
    handler_replace(&h->i.outcome, "the remedy ran");
    journal_note(&h->journal, &h->i, "remedy", false, "%s done: %s", h->i.action, told);
    handler_save(h, handler_step);
}

/* --- beginning
 * -------------------------------------------------------------------------------------- */

static void run_remedy(struct handler *h) {
    static const struct command_events events = {.event = on_command_event,
                                                 .ended = on_command_ended};
    const struct action_settings *action = incident_action(h->service, h->i.action);
    if (action_is_inside(action)) {
        run_inside(h, action);
        return;
    }
    hardy_status status = remedy_prepare(&h->remedy, &h->i, action, h->world.env, h->world.cwd,
                                         h->world.settings->keep, &h->error);
    if (status != HARDY_OK && status != HARDY_E_NOMEM) { /* its settings do not fit what is known */
        remedy_failed(h, NULL, "", h->error.message);
        return;
    }
    if (status == HARDY_OK)
        status = command_start(h->world.loop, h->world.store, h->world.state, &h->remedy.spec,
                               &events, h, &h->command, &h->error);
    if (status != HARDY_OK)
        handler_end(h, &h->error);
}

bool handler_remedy_begun(struct handler *h) {
    struct store_row row;
    char *key = incident_remedy_key(&h->i);
    hardy_status status =
        key ? store_get(h->world.store, "remedy", key, &row, &h->error) : HARDY_E_NOT_FOUND;
    free(key);
    if (status == HARDY_OK)
        store_row_free(&row);
    return status != HARDY_E_NOT_FOUND;
}

/* How long runs are remembered: as long as anything counts them. */
static int64_t remembered(const struct handler *h) {
    const struct action_settings *list = h->service->actions.items;
    int64_t longest = h->world.settings->healing.per;
    for (size_t n = 0; n < h->service->actions.count; n++) {
        longest = list[n].per > longest ? list[n].per : longest;
        longest = list[n].cooldown > longest ? list[n].cooldown : longest;
    }
    return longest;
}

void handler_act(struct handler *h, const struct incident_next *next) {
    int64_t now = handler_wall(h);
    if (h->i.state != INCIDENT_ANALYSED) {
        run_remedy(h);
        return;
    }
    if (h->i.asked)
        journal_note(&h->journal, &h->i, "approved", false, "%s by %s", next->action,
                     h->answer.who ? h->answer.who : "somebody");
    h->i.state = INCIDENT_ACTING;
    h->i.round = next->round;
    h->decided = loop_now(h->world.loop);
    h->was_asked = h->i.asked;
    h->i.asked = 0;
    handler_replace(&h->i.waits, NULL);
    if (!handler_replace(&h->i.action, next->action) ||
        !past_add_run(&h->past, next->action, now, time_add(now, -remembered(h))) ||
        !handler_add_past(h)) {
        handler_end_without_memory(h);
        return;
    }
    journal_note(&h->journal, &h->i, "acting", false, "%s, attempt %u of %u", next->action,
                 next->round, h->service->max_attempts);
    handler_save(h, run_if_fresh);
}
