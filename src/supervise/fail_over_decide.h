/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_FAIL_OVER_DECIDE_H
#define SUPERVISE_FAIL_OVER_DECIDE_H
/*
 * Whether to switch, as a step machine: told what the checks answer and what time it is, it says
 * what is to be done, and why in a sentence for people. Times are monotonic.
 *
 * It never switches to a candidate that is not up (not known is not up), nor while the check of
 * either one flaps, nor sooner than `dwell` after the last switch.
 */
#include "health/check.h"

struct fail_over_rule {
    int64_t after;          /* the active one has been down for so long */
    int64_t dwell;          /* between two switches, also back */
    uint32_t passes;        /* of the primary's check in a row, before going back */
    bool fail_back;         /* go back at all */
    int64_t escalate_after; /* of trouble, whichever; then a person is told */
};

/* What is known of a candidate. */
struct fail_over_seen {
    const char *name;    /* borrowed */
    int64_t fresh_for;   /* what is older says nothing */
    int64_t at;          /* of the last answer; HARDY_NEVER = none yet */
    int64_t level_since; /* when this level was first heard of */
    enum check_result last;
    enum check_level level;
    bool flapping;
    uint32_t passes; /* in a row; an answer that is none ends the row */
};
void fail_over_seen_init(struct fail_over_seen *s, const char *name, int64_t fresh_for);
void fail_over_see(struct fail_over_seen *s, enum check_result last, enum check_level level,
                   bool flapping, int64_t now);

enum fail_over_condition {
    FAIL_OVER_WELL,
    FAIL_OVER_DEGRADED, /* it works, but not as it should: not on the primary, no backup is up */
    FAIL_OVER_UNKNOWN,  /* nobody knows whether the active one is up */
    FAIL_OVER_OUT       /* the active one is down */
};
const char *fail_over_condition_text(enum fail_over_condition condition);

struct fail_over_machine {
    const struct fail_over_rule *rule;
    struct fail_over_seen *seen;
    size_t count, active;
    int64_t switched; /* when last; HARDY_NEVER = never */
    /* The worst that people were told of, and not yet of its end; FAIL_OVER_WELL = nothing. */
    enum fail_over_condition told;
    const char *hands; /* why hardy must not switch by itself: "automation is observe"; NULL */
    bool quiet;        /* ... because a person wants so, who need not be told */
    enum fail_over_condition condition;
    int64_t since; /* of trouble, or of being well */
};
/* `seen` borrowed. */
void fail_over_machine_init(struct fail_over_machine *m, const struct fail_over_rule *rule,
                            struct fail_over_seen *seen, size_t count, int64_t now);

enum fail_over_kind {
    FAIL_OVER_STAY,
    FAIL_OVER_PROPOSE, /* would switch to `to`, if it might */
    FAIL_OVER_SWITCH   /* to `to` */
};
enum fail_over_tell {
    FAIL_OVER_TELL_NOTHING,
    FAIL_OVER_PAGE,   /* people have to know now, and have not been told of anything as bad */
    FAIL_OVER_RESOLVE /* they were told, and it is over */
};
struct fail_over_next {
    enum fail_over_kind kind;
    size_t to;
    bool back; /* to the primary because that is well again */
    enum fail_over_tell tell;
    int64_t again; /* ask at this time, if nothing is heard before; HARDY_NEVER */
    char why[320];
};
struct fail_over_next fail_over_decide(struct fail_over_machine *m, int64_t now);
/* The same for a switch that somebody asks for: without waiting for the active one to be down. */
struct fail_over_next fail_over_asked(const struct fail_over_machine *m, int64_t now);
/* People have been told. */
void fail_over_told(struct fail_over_machine *m, enum fail_over_tell tell);
/* The switch has been made. */
void fail_over_moved(struct fail_over_machine *m, size_t to, int64_t now);
#endif
