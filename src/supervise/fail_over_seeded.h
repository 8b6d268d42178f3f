/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_FAIL_OVER_SEEDED_H
#define SUPERVISE_FAIL_OVER_SEEDED_H
/* Mistakes that the simulations of tests/supervise have to find, in programs made for nothing else:
 * the first ones in what is decided, the others in the driver. */
#ifdef HARDY_SEEDED_BUGS
extern int seeded_bug, seeded_calls;
#define FAIL_OVER_BUG(n) (seeded_bug == (n))
#define FAIL_OVER_BUG_COUNT(n) (FAIL_OVER_BUG(n) ? (unsigned)++seeded_calls : 0U)
#else
#define FAIL_OVER_BUG(n) false
#define FAIL_OVER_BUG_COUNT(n) 0U
#endif
enum {
    BUG_BACK_AT_ONCE = 1,  /* going back does not wait for the dwell */
    BUG_UNKNOWN_IS_UP = 2, /* what is not known to be down can take over */
    BUG_OLD_LEVEL = 3,     /* a level counts from the first answer, not from when it began */
    BUG_PASSES_KEPT = 4,   /* a failure does not end a row of passes */
    BUG_FLAPPING = 5,      /* a check that flaps is believed */
    BUG_NO_DWELL = 6,      /* a restart forgets when the last switch was */
    BUG_UNFINISHED = 7,    /* a switch that was left unfinished is not gone on with */
    BUG_NEW_KEY = 8,       /* what is gone on with is another action */
    BUG_AIM = 9            /* connections go on to the former one */
};
#endif
