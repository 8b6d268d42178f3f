/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SUPERVISE_VILLAGE_H
#define TESTS_SUPERVISE_VILLAGE_H
/*
 * A simulated host with all that `hardy supervise` looks after, put together as it does: checks,
 * children, services that are healed, a primary with backups, pages. The world outside has faults
 * of which it knows what is right, a pager that is sometimes away, and people who pause; hardy is
 * killed at any moment. The village judges every effect when it happens; see village_wrong().
 */
#include <hardy/env.h>
#include <stddef.h>
#include <stdint.h>

enum place_id { SHOP, API, QUEUE, CACHE, STUCK, WATCHED, ASKED, OUTSIDE, DB, PLACES };
enum fault {
    WELL,
    CRASH,      /* of the child; it is started again */
    CRASH_LOOP, /* and again: it does not stay up */
    HANG,       /* its remedy mends it, once that has an effect */
    BROWN_OUT,  /* many answers come too late */
    FLAPPING,   /* up and down for some time; no remedy helps */
    FULL_QUEUE, /* more workers mend it, while more may be had */
    MEMORY,     /* clearing mends it */
    NO_REMEDY,  /* what is configured does not help */
    UNSEEN,     /* the check cannot run; the service is well */
    BLIP,       /* of a dependency outside that nobody here can mend */
    PRIMARY,    /* the active one is dead */
    FAULTS
};
extern const char *const fault_texts[FAULTS];

enum pager_mood {
    TAKES,
    FAILS,
    HANGS,
    LOSES,
    AWAY,
    PAGER_MOODS
}; /* LOSES: takes, does not say so */

struct figures {
    uint64_t faults[FAULTS];
    uint64_t mended[FAULTS];    /* by what hardy did */
    uint64_t told[FAULTS];      /* a page was taken; then it ended */
    uint64_t by_itself[FAULTS]; /* before either was due */
    uint64_t heals, restarts, switches, pages, resolves, copies, kills, pauses, outages, full;
    int64_t hours; /* ns */
};
extern struct figures figures;

/* Everything is well, and hardy begins. `jitter`: single failed checks, below every threshold. */
void village_begin(uint64_t seed, bool jitter);
/* What is wrong ends, hands are on, everything is looked at until it is well; false = see
 * village_wrong(). */
bool village_end(void);
/* Frees what can be freed. */
void village_drop(void);
/* A rule was broken, NULL = none was: nothing goes on then. */
const char *village_wrong(void);
void village_pass(int64_t span);
/* Only where it is well and has been for some minutes; false = not now. `lasts`: HARDY_NEVER =
 * until it is mended. */
bool village_fault(enum place_id place, enum fault fault, int64_t lasts);
bool village_is_well(enum place_id place);
void village_pager(enum pager_mood mood);
void village_full(bool full);                          /* the state takes nothing */
void village_pause(int place, bool pause);             /* PLACES = everything */
void village_kill(int64_t span, int64_t away);         /* and a new life `away` after it */
void village_answers(double approves, double refuses); /* what people say when they are asked */
uint64_t village_random(uint64_t below);
#endif
