/* SPDX-License-Identifier: Apache-2.0 */
#ifndef INCIDENT_HANDLE_INSIDE_H
#define INCIDENT_HANDLE_INSIDE_H
/* What handle.c (one step after another), handle_check.c (asking the checks), handle_wait.c
 * (waiting, asking a person) and handle_act.c (the remedy) share; for these only. */
#include "base/clock.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "degrade/gathering.h"
#include "incident/handle.h"
#include "incident/journal.h"
#include "incident/remedy.h"
#include "work/place.h"
#include <stdio.h>
#include <stdlib.h>

enum { HANDLER_TEXT = 400, HANDLER_VALUE = 16 << 20 };

struct handler;
struct asked_check { /* one of the service's */
    struct handler *owner;
    const struct check_settings *check;
    struct check_probe *probe; /* under way */
    enum check_result result;  /* of the latest round */
    char message[200];
};

struct handler {
    struct handler_world world;
    const struct service_settings *service;
    const struct handler_events *events;
    void *ctx;
    enum handle_why why;
    char *severity, *summary; /* of one that is opened */

    struct step_place place;
    int lock_fd; /* held: this process handles the service; -1 = not yet */
    int64_t began, poll;

    struct incident i;
    struct past past;
    struct signal answer;                   /* of a person; empty = none */
    bool has_row, has_trouble, left, pages; /* pages: in the batch that is written next */
    struct journal journal;
    void (*then)(struct handler *h);

    struct loop_timer timer; /* next step, pause, time between two rounds of the checks */
    struct gathering *gathering;
    int64_t decided, was_asked; /* when the remedy was chosen, monotonic; `asked` of it */
    struct remedy remedy;
    struct command *command;

    /* the checks: a round is each of them once */
    struct asked_check *checks;
    size_t check_count, unanswered;
    void (*asked)(struct handler *h); /* the round is over */
    uint32_t passes;                  /* rounds in a row in which all passed */
    int64_t ask_until;                /* 0: the first failure ends it */
    void (*answered)(struct handler *h, bool good, const char *message);
    bool rechecked;     /* right before this step, and it is still down */
    int64_t wait_round; /* when the checks are asked again while it waits */

    hardy_error error;
};

/* --- handle.c --- */
void handler_step(struct handler *h);
void handler_end(struct handler *h, const hardy_error *error);
void handler_end_without_memory(struct handler *h);
int64_t handler_wall(const struct handler *h);
bool handler_replace(char **text, const char *with);
void handler_trouble(struct handler *h, const hardy_error *error, int64_t pause);
void handler_write_failed(struct handler *h, const hardy_error *error);
/* Writes what was noted, then goes on. */
void handler_save(struct handler *h, void (*then)(struct handler *h));
/* The service's row, into the next batch. */
bool handler_add_past(struct handler *h);
/* handler_save() with that, then the next step. */
void handler_save_with_past(struct handler *h);
/* Pages to everybody the service names, into the next batch. */
bool handler_page(struct handler *h, const char *what);
void handler_resolve(struct handler *h, const char *outcome);
void handler_recovered(struct handler *h); /* by itself */
void handler_escalate(struct handler *h, const struct incident_next *next);
/* The pause before the attempt after this one; 0: there is none. As a text: "; next attempt in
 * 20s". */
int64_t handler_next_pause(const struct handler *h);
const char *handler_then_text(const struct handler *h, char out[80]);
struct incident_next handler_next(struct handler *h); /* what is to be done now */
bool handler_is_stale(const struct handler *h);       /* the evidence is too old to act upon */
/* Pages to everybody the service names, of any incident of it, into the next batch. */
bool handler_add_pages(struct handler *h, const struct incident *i, const char *action,
                       const char *summary);

/* --- handle_begin.c --- */
void handler_begin(struct loop_timer *timer);

/* --- handle_check.c --- */
hardy_status handler_find_checks(struct handler *h, hardy_error *error);
void handler_stop_checks(struct handler *h);
void handler_ask_round(struct handler *h, void (*asked)(struct handler *h));
/* Rounds until all have passed as often as a repair has to, or one fails after `until`. */
void handler_ask(struct handler *h, int64_t until,
                 void (*answered)(struct handler *h, bool good, const char *message));
int64_t handler_interval(const struct handler *h); /* between two rounds */
/* What the latest round brought, as JSON: {"level": "critical", "results": {NAME: {...}}}; NULL =
 * no memory. */
char *handler_results(const struct handler *h);

/* --- handle_wait.c --- */
void handler_wait(struct handler *h, const struct incident_next *next);
void handler_ask_person(struct handler *h, const struct incident_next *next);

/* --- handle_act.c --- */
void handler_act(struct handler *h, const struct incident_next *next);
/* Begun before: its own record decides whether it is started, attached to or collected. */
bool handler_remedy_begun(struct handler *h);
#endif
