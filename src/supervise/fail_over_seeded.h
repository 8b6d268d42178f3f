/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_FAIL_OVER_SEEDED_H
#define SUPERVISE_FAIL_OVER_SEEDED_H
/* Mistakes that the simulation of tests/supervise has to find, in a program made for nothing else.
 */
#ifdef HARDY_SEEDED_BUGS
extern int seeded_bug;
#define FAIL_OVER_BUG(n) (seeded_bug == (n))
#else
#define FAIL_OVER_BUG(n) false
#endif
enum {
    BUG_BACK_AT_ONCE = 1,  /* going back does not wait for the dwell */
    BUG_UNKNOWN_IS_UP = 2, /* what is not known to be down can take over */
    BUG_OLD_LEVEL = 3,     /* a level counts from the first answer, not from when it began */
    BUG_PASSES_KEPT = 4,   /* a failure does not end a row of passes */
    BUG_FLAPPING = 5       /* a check that flaps is believed */
};
#endif
