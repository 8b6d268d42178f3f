/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ADVISE_ANSWERS_H
#define ADVISE_ANSWERS_H
/*
 * What has to be known about an operation before anybody can say what it needs, in the words of who
 * has it. One table: the flags of `hardy advise`, its questions on a terminal, and what it writes
 * down come from it. Side effects are asked first, for they decide whether anything may be
 * repeated.
 */
#include "base/parse.h"
#include <stdbool.h>

enum effects {
    EFFECTS_NONE,   /* it only reads or computes */
    EFFECTS_SAME,   /* twice is the same as once */
    EFFECTS_KEY,    /* the far side takes an idempotency key */
    EFFECTS_PROBE,  /* it can be looked up whether it has happened */
    EFFECTS_UNKNOWN /* none of these */
};
enum depends {
    DEPENDS_LLM,
    DEPENDS_API,
    DEPENDS_DATABASE,
    DEPENDS_KUBERNETES,
    DEPENDS_FILES,
    DEPENDS_NOTHING
};
enum if_down { IF_DOWN_FAIL, IF_DOWN_STALE, IF_DOWN_OMIT };

struct answers {
    int effects, depends, if_down; /* the enumerations above */
    int64_t steps, clients;
    int64_t takes;               /* ns of the whole when all goes well */
    int64_t deadline;            /* ns; HARDY_NEVER: nobody waits */
    double fails;                /* share, 0 to 1 */
    struct rate capacity, limit; /* events 0: not known, none */
    bool restartable, by_hand;
};

enum question_id {
    ASK_EFFECTS,
    ASK_DEPENDS,
    ASK_TAKES,
    ASK_STEPS,
    ASK_FAILS,
    ASK_DEADLINE,
    ASK_LIMIT,
    ASK_CLIENTS,
    ASK_CAPACITY,
    ASK_IF_DOWN,
    ASK_RESTARTABLE,
    ASK_BY_HAND,
    QUESTIONS
};
struct question {
    const char *name;         /* of the flag, without its dashes; of the member in JSON */
    const char *value;        /* what stands for the value in help */
    const char *def;          /* what is taken when nothing is said */
    const char *ask;          /* the question */
    const char *help;         /* one line without a full stop, for the flag */
    const char *explain;      /* what `?` answers: why it is asked, and what each word means */
    const char *const *words; /* NULL: not one of some words */
};
extern const struct question questions[QUESTIONS];

void answers_default(struct answers *a);
/* E_SYNTAX, E_INVALID: what would be right; the answer stays as it was. */
hardy_status answers_set(struct answers *a, enum question_id id, const char *text,
                         hardy_error *error);
/* Writes the answer as the flag takes it. */
void answers_text(const struct answers *a, enum question_id id, char *out, size_t size);
/* Whether the answer could change anything, given those before it. */
bool answers_matter(const struct answers *a, enum question_id id);
/* Whether the answers can hold together; E_INVALID names the flag. */
hardy_status answers_check(const struct answers *a, hardy_error *error);

/* Answers for operations that many have. */
struct scenario {
    const char *name, *summary;
    const char *guards;           /* one name for each service it depends on, spaces between */
    const char *flags[QUESTIONS]; /* by question; NULL: the default */
};
extern const struct scenario scenarios[];               /* ended by one without a name */
const struct scenario *scenario_find(const char *name); /* NULL */
hardy_status scenario_answers(const struct scenario *s, struct answers *a, hardy_error *error);
#endif
