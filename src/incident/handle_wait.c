/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing may be done now: hands are off, a remedy has just been run, or a person is asked.
 * Meanwhile the checks are asked as ever, for it may get well by itself. */
#include "incident/handle_inside.h"

/* What a person says, or that hands are on again, is noticed after this long. */
static const int64_t look_every = HARDY_SECOND;

static void wait_on(struct handler *h);

static bool still_waits(enum incident_next_kind kind) {
    return kind == INCIDENT_WAIT || kind == INCIDENT_ASK;
}

static void on_looked(struct loop_timer *timer) {
    struct handler *h = timer->ctx;
    struct incident_next next = handler_next(h);
    if (still_waits(next.kind))
        wait_on(h);
    else
        handler_step(h);
}

static void on_well_or_not(struct handler *h, bool good, const char *message) {
    (void)message;
    if (good) {
        handler_recovered(h);
        return;
    }
    h->rechecked = true;
    h->wait_round = time_add(loop_now(h->world.loop), handler_interval(h));
    wait_on(h);
}

static void wait_on(struct handler *h) {
    int64_t now = loop_now(h->world.loop), next = time_add(now, look_every);
    if (now >= h->wait_round && !h->i.by_hand) {
        handler_ask(h, 0, on_well_or_not);
        return;
    }
    h->rechecked = false; /* before anything is done it is asked once more */
    loop_timer_init(&h->timer, on_looked, h);
    loop_timer_start(h->world.loop, &h->timer, next);
}

static void begin(struct handler *h) {
    h->wait_round = loop_now(h->world.loop);
    wait_on(h);
}

/* Noted once for each reason; how long it still takes is none. */
void handler_wait(struct handler *h, const struct incident_next *next) {
    if (h->i.waits) {
        begin(h);
        return;
    }
    if (!handler_replace(&h->i.waits, next->why)) {
        handler_end_without_memory(h);
        return;
    }
    journal_note(&h->journal, &h->i, "held", false, "%s", next->why);
    handler_save(h, begin);
}

void handler_ask_person(struct handler *h, const struct incident_next *next) {
    char text[HANDLER_TEXT];
    if (h->i.asked && str_eq(h->i.action, next->action)) { /* before, perhaps by another process */
        begin(h);
        return;
    }
    snprintf(text, sizeof text,
             "may %s be run? Type: hardy --state %s incidents approve %s %s (or --refuse)",
             next->action, h->world.state, h->i.id, next->action);
    h->i.asked = handler_wall(h);
    if (!handler_replace(&h->i.action, next->action) || !handler_replace(&h->i.waits, text)) {
        handler_end_without_memory(h);
        return;
    }
    journal_note(&h->journal, &h->i, "asked", false, "%s", text);
    if (!handler_page(h, text))
        handler_end_without_memory(h);
    else
        handler_save(h, begin);
}
