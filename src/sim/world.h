/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H
/*
 * A simulated world: events in the order of their times, chance from one seed, a network, a server
 * with a queue, and counts over time. Times are nanoseconds of the world's own clock, which begins
 * at 0; nothing here waits or reads a clock. What was begun with a seed goes the same way each
 * time: all of it is whole numbers, without the mathematics of a libc that might round otherwise.
 */
#include "base/prng.h"
#include "sim/agenda.h"
#include <hardy/env.h>

/* --- events --------------------------------------------------------------------------------- */

/* After so many a run ends with E_TOO_LARGE: some minutes of a machine's time. */
#define WORLD_EVENTS_MAX UINT64_C(1000000000)

struct world {
    struct agenda agenda;
    int64_t now;
    uint64_t handled, most;   /* events so far; at most; WORLD_EVENTS_MAX */
    bool no_memory, too_long; /* for what it counts over time */
    /* Streams apart, so that what one draws more of leaves the others as they are. */
    struct prng arrivals, network, callers;
};

void world_init(struct world *w, uint64_t seed);
void world_free(struct world *w); /* events are their owners' */
/* Sets an event that is not set, for `at` or now, whichever is later. Without memory the run ends.
 */
void world_set(struct world *w, struct event *e, int64_t at);
void world_clear(struct world *w, struct event *e); /* nothing when it is not set */
/* Until no event is left or the next is after `end`; the clock then stands at the last event.
 * E_NOMEM, E_TOO_LARGE. */
hardy_status world_advance(struct world *w, int64_t end, hardy_error *error);

/* --- chance --------------------------------------------------------------------------------- */

/* A network's one-way delay: |N(10 ms, 2 ms)|, as in AWS's simulator of backoffs. */
int64_t world_delay(struct world *w);
/* Exponentially distributed: the time between two arrivals of a Poisson process. */
int64_t chance_exponential(struct prng *p, int64_t mean);
/* Uniform in [low, high]. */
int64_t chance_between(struct prng *p, int64_t low, int64_t high);

/* --- a server ------------------------------------------------------------------------------- */

/* One at a time, first come first served. How long something takes is settled when it arrives, also
 * when the trouble ends before its turn has come. */
struct server {
    int64_t service;     /* for one, when all is well: 1 / capacity */
    int64_t queue_limit; /* longest wait; who would wait longer is refused at once */
    int64_t trouble_from, trouble_until;
    double trouble_share; /* of its capacity meanwhile; 0: it refuses everything at once */
    int64_t busy_until;
};
#define SERVER_REFUSED (-1)
/* When what arrives now will be done, or SERVER_REFUSED. `patience`: refuse also who would wait
 * longer than that for its turn. */
int64_t server_take(struct server *s, int64_t now, int64_t patience);

/* --- counts over time ----------------------------------------------------------------------- */

#define SERIES_WIDTH (100 * HARDY_MILLISECOND)
#define SERIES_BINS_MAX (1u << 20) /* 29 hours */
struct series {
    int64_t origin; /* where bins begin; at most one width above 0 time */
    uint32_t *bins;
    size_t count, cap; /* bins up to the last that counted something */
};
/* Bins that begin at `edge`, too. */
void series_init(struct series *s, int64_t edge);
void series_free(struct series *s);
/* One more at a time that is not before 0. False: no memory, or beyond SERIES_BINS_MAX. */
bool series_count(struct series *s, int64_t at);
/* The same, and the run ends when it cannot be counted. */
void world_count(struct world *w, struct series *s, int64_t at);
/* How many in [from, until), both at an edge. */
uint64_t series_sum(const struct series *s, int64_t from, int64_t until);
/* The most in any of the spans [from + i * span, + span) that begin before `until`. */
uint64_t series_peak(const struct series *s, int64_t from, int64_t until, int64_t span);
#endif
