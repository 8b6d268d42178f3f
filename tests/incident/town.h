/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_INCIDENT_TOWN_H
#define TESTS_INCIDENT_TOWN_H
/*
 * A simulated world with a service that breaks and is restarted, a pager, a store that survives,
 * and the lives of programs that watch. Everything in virtual time.
 *
 * Programs: `ask` is the check; `look` a source; `restart` and `reset` are remedies; `probe` says
 * whether a restart has taken effect.
 */
#include "../notify/pager.h"
#include "base/buf.h"
#include "incident/watch.h"
#include "io/sim.h"
#include "support.h"

enum { MAX_LIVES = 8 };
struct remedy_plan {
    int64_t takes;
    int code;
    bool heals;   /* the service is up when it has begun */
    bool settles; /* ... only when it ends */
};
struct life {
    struct town *town;
    struct http_client *client;
    struct watch *watch;
    struct buf told; /* "what: detail" lines */
    size_t trouble;
    bool over, unsent;
    enum incident_state state; /* of the incident it ended with */
    bool has_incident;
    hardy_status error;
};
struct town {
    struct loop *loop;
    struct store *store; /* what programs use: the spy */
    struct store *inner; /* memory, for looking */
    struct settings settings;
    struct pager pager;
    char state[64]; /* path of the state: locks lie beside it */
    bool up;
    int64_t check_takes, look_takes;
    struct remedy_plan restart, reset;
    int restarts, resets, probes;
    int probe_code;
    size_t refuse; /* so many batches are refused with `refusal` */
    hardy_status refusal;
    bool refuse_always;
    const char *usurp_at; /* another host takes the incident over when this is told; NULL = never */
    struct remedy_inside inside; /* what hardy does itself: counted; the last is told */
    int inside_count;
    bool inside_heals;
    char inside_key[100], inside_action[64];
    struct life lives[MAX_LIVES];
    size_t life_count;
    size_t batches_with_page_and_state; /* escalation and its pages came together */
    size_t pages_alone;                 /* pages without the incident's row */
};
/* With this configuration: checks that run `ask`, a target `pager`, a service `web`. */
void town_begin_as(struct town *t, const char *yaml, const struct sim_options *options);
/* `more` = keys of the service, lines with six spaces; `options` NULL = without faults. */
void town_begin(struct town *t, const char *more, const struct sim_options *options);
void town_end(struct town *t);
/* A program that watches; `once`; `by_hand` = the summary of one opened by hand, NULL = none. */
struct life *town_watch(struct town *t, bool once, const char *by_hand);
void town_pass(struct town *t, int64_t span);
/* Until that life is over, an hour at most. */
void town_wait(struct town *t, const struct life *l);
/* Until a line with `text` was told in that life, an hour at most. */
void town_wait_told(struct town *t, const struct life *l, const char *text);
void town_stop(struct town *t, struct life *l);
/* The service goes down (or up) after `span`. */
void town_break(struct town *t, int64_t span, bool up);
/* Kill -9 of everything that watches, then a new life. */
void town_kill(struct town *t, int64_t span, bool once);
/* The lines were told in this order. */
void town_in_order(const struct life *l, const char *const *lines);
#define IN_ORDER(l, ...) town_in_order(l, (const char *const[]){__VA_ARGS__, NULL})
size_t told(const struct life *l, const char *text); /* how many lines hold it */
/* The latest incident of the service; released by the next call and by town_end(). */
const struct incident *town_incident(struct town *t);
size_t town_incidents(struct town *t); /* how many there are */
/* Another host, where the lock is not seen, writes the incident. */
void town_usurp(struct town *t);
#endif
