/* SPDX-License-Identifier: Apache-2.0 */
/* What there is when a handler begins: an incident that was left, one that another process handles,
 * or none, and one is opened. */
#include "incident/handle_inside.h"
#include "notify/notify.h"
#include <string.h>

static const int64_t poll_min = 20 * HARDY_MILLISECOND, poll_max = HARDY_SECOND;

static char *make_id(struct handler *h) {
    char text[40];
    clock_format_wall(handler_wall(h), text); /* 2026-11-23T01:02:03.456Z */
    return str_format("inc-%.4s%.2s%.2s-%.2s%.2s%.2s-%04x", text, text + 5, text + 8, text + 11,
                      text + 14, text + 17, (unsigned)(loop_random(h->world.loop) & 0xffff));
}

/* One that was with a person is closed in the batch that opens the next. */
static bool close_former(struct handler *h, const char *by) {
    struct buf value;
    char outcome[HANDLER_TEXT], summary[HANDLER_TEXT];
    struct incident *former = &h->i;
    int64_t before = former->fence++;
    snprintf(outcome, sizeof outcome, "handled again as %s", by);
    snprintf(summary, sizeof summary, "%.63s: %.300s", former->service, outcome);
    former->state = INCIDENT_RESOLVED;
    h->past.resolved++;
    former->ended = handler_wall(h);
    bool good = handler_replace(&former->outcome, outcome);
    journal_note(&h->journal, former, "closed", true, "%s", outcome);
    buf_init(&value, HANDLER_VALUE);
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
           (!former->told || handler_add_pages(h, former, "resolve", summary));
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
                             .created = handler_wall(h),
                             .by_hand = h->why == HANDLE_BY_HAND,
                             .flaps = h->why == HANDLE_FLAPS};
    h->past.opened++;
    if (!good || !h->i.service || !h->i.severity || !h->i.summary ||
        !handler_replace(&h->past.incident, id) || !handler_add_past(h)) {
        handler_end_without_memory(h);
        return;
    }
    journal_note(&h->journal, &h->i, "opened", false, "%s, %s: %s", h->i.id, h->i.severity,
                 h->i.summary);
    handler_save(h, handler_step);
}

static void take_up(struct handler *h) {
    handler_replace(&h->i.owner, h->world.self);
    h->has_row = true;
    /* Whoever was asked is not asked anew. */
    bool old = (h->i.state == INCIDENT_GATHERED || h->i.state == INCIDENT_ANALYSED) && !h->i.asked;
    journal_note(&h->journal, &h->i, "taken up", false, "%s was left in state %s; goes on there",
                 h->i.id, incident_state_text(h->i.state));
    if (old && handler_is_stale(h))
        h->i.state = INCIDENT_RECEIVED;
    if (h->i.state == INCIDENT_IN_DOUBT)
        h->i.state = INCIDENT_ACTING; /* a person has said how it ended */
    handler_save(h, handler_step);
}

/* The check is up: what is with a person or in doubt is over. */
static void settle_up(struct handler *h) {
    char text[HANDLER_TEXT];
    h->has_row = true;
    if (h->i.flaps)
        snprintf(text, sizeof text, "steady and up again");
    else if (h->i.state == INCIDENT_IN_DOUBT)
        snprintf(text, sizeof text, "well again; how %s ended was never found out",
                 h->i.action ? h->i.action : "the remedy");
    else
        snprintf(text, sizeof text, "well again, after a person was told");
    handler_resolve(h, text);
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
    char text[HANDLER_TEXT], span[48];
    format_duration_short(handler_wall(h) - h->i.ended, span);
    snprintf(text, sizeof text,
             "%s is with a person, for %s now; nothing is tried until %s has been up", h->i.id,
             span, h->service->name);
    h->events->told(h->ctx, &h->i, handler_wall(h), "left alone", text);
    handler_end(h, NULL);
}

/* What there is, now that this process has the lock. */
static void begin(struct handler *h) {
    hardy_status status = past_load(h->world.store, h->service->name, &h->past, &h->error);
    if (status == HARDY_OK && h->past.incident)
        status = incident_load(h->world.store, h->past.incident, &h->i, &h->error);
    if (status != HARDY_OK && status != HARDY_E_NOT_FOUND) {
        handler_end(h, &h->error);
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
        handler_end(h, NULL);
    else if (doubtful || (known && incident_under_way(&h->i)))
        take_up(h);
    else if (waited || up || h->why == HANDLE_LEFT)
        handler_end(h, NULL);
    else if (with_person && h->why != HANDLE_BY_HAND)
        leave_alone(h);
    else
        open_incident(h);
}

/* Looks again now and then until the other one is done, or dead. */
static void wait_for_other(struct handler *h) {
    struct past past;
    struct incident other = {0};
    char text[HANDLER_TEXT];
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
            h->events->told(h->ctx, &other, handler_wall(h), "waiting", text);
        incident_free(&other);
        past_free(&past);
    }
    h->poll = h->poll == 0 ? poll_min : 2 * h->poll > poll_max ? poll_max : 2 * h->poll;
    loop_timer_init(&h->timer, handler_begin, h);
    loop_timer_start(h->world.loop, &h->timer, time_add(loop_now(h->world.loop), h->poll));
}

void handler_begin(struct loop_timer *timer) {
    struct handler *h = timer->ctx;
    hardy_status status = step_place_lock(&h->place, &h->lock_fd, &h->error);
    if (status == HARDY_E_RUNNING)
        wait_for_other(h);
    else if (status != HARDY_OK)
        handler_end(h, &h->error);
    else
        begin(h);
}
