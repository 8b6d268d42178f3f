/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_SEEDED_H
#define DURABLE_SEEDED_H
/* Mistakes that the simulations and the kill loops of tests/work, tests/notify and tests/supervise
 * have to find, in programs made for nothing else. */
#ifdef HARDY_SEEDED_BUGS
extern int seeded_bug;
#define SEEDED_BUG(n) (seeded_bug == (n))
#else
#define SEEDED_BUG(n) false
#endif
enum {
    BUG_RECORD_AFTER = 1,      /* the start is not recorded before the effect */
    BUG_NO_LOCK = 2,           /* a step that runs is not noticed */
    BUG_NEVER_RAN = 3,         /* a step that was lost counts as never begun */
    BUG_NO_COLLECT = 4,        /* a result that is not recorded yet is not looked for */
    BUG_BEGINS_AFTER_FAIL = 5, /* steps begin although another one has failed */
    BUG_UNDO_ORDER = 6,        /* what was done first is undone first */
    BUG_SLEEP_ANEW = 7,        /* a sleep begins anew after a kill */
    BUG_PAGE_LOST = 8,         /* a page is removed before it is taken */
    BUG_PAGE_KEPT = 9,         /* a page that was taken is not removed */
    BUG_PAGE_PASSED = 10,      /* a page that cannot be sent does not keep the later ones */
    BUG_PAGE_STALE = 11,       /* a trigger is sent though its end waits */
    BUG_PAGE_LEFT = 12,        /* a refused trigger outlives its end */
    BUG_CHILD_INTENSITY = 20,  /* one restart more than is allowed */
    BUG_CHILD_RESET = 21,      /* the delays begin anew after any life */
    BUG_CHILD_LEFT = 22,       /* started while something of it lives on */
    BUG_CHILD_LADDER = 23,     /* who says that it ends is killed without being asked */
    BUG_CHILD_TWICE = 24,      /* what runs already is not looked for */
    BUG_HEAL_COOLDOWN = 30,    /* a remedy may run again at once */
    BUG_HEAL_LIMIT = 31,       /* all services together have no limit */
    BUG_HEAL_PAUSED = 32,      /* people's pauses are not looked at */
    BUG_HEAL_WELL = 33,        /* not asked once more before it is touched */
    BUG_HEAL_UNTOLD = 34,      /* handed to a person who does not hear of it */
    BUG_HEAL_OBSERVED = 35,    /* what is only to be observed is run */
    BUG_HEAL_UNRESOLVED = 36   /* whoever was told does not hear of the end */
};
#endif
