/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DURABLE_PAUSE_H
#define DURABLE_PAUSE_H
/*
 * A person's "hands off": no automatic repair of a target for a while. A row of its own (kind
 * "pause", key = the target) that nobody owns: whoever repairs looks at it before it acts, in
 * whatever process, now or after a restart. What was begun is not stopped by it.
 *
 * That somebody has paused or resumed is a row too (kind "pause_event", key = its time and the
 * target), kept for 90 days.
 */
#include "store/store.h"

/* Stands for every target there is. */
#define PAUSE_EVERYTHING "*"

struct pause {
    char *target;  /* a name, SERVICE/ACTION, or PAUSE_EVERYTHING */
    char *who;     /* Unix user or token's name */
    char *reason;  /* NULL */
    int64_t at;    /* wall */
    int64_t until; /* wall, 0 = until it is resumed; then it is over, and as if it had never been */
};
void pause_free(struct pause *p);
/* For people: "everything" in place of the star. */
const char *pause_target_text(const char *target);

/* A later one replaces an earlier one of the same target. E_INVALID: that can be no target's name,
 * or the reason is too long. Waits for the store until `deadline` (monotonic). */
hardy_status pause_set(struct store *store, const struct pause *p, int64_t deadline,
                       hardy_error *error);
/* Ends the pause of exactly this target; `who` does. E_NOT_FOUND: it was not paused; `error` tells
 * what is. */
hardy_status pause_clear(struct store *store, const char *target, const char *who, int64_t wall,
                         int64_t deadline, hardy_error *error);
/* The pause that keeps hands off the target: its own, else that of what it belongs to (`web` of
 * `web/restart`), else that of everything. E_NOT_FOUND: it is not paused. On any other error nobody
 * knows: not a time to repair. */
hardy_status pause_find(struct store *store, const char *target, int64_t wall, struct pause *out,
                        hardy_error *error);
/* Every pause that is not over, by target, PAUSE_EVERYTHING first. `fn` returns false to stop; the
 * pause is borrowed. */
hardy_status pause_list(struct store *store, int64_t wall,
                        bool (*fn)(void *ctx, const struct pause *p), void *ctx,
                        hardy_error *error);

struct pause_event {
    bool resumed;
    struct pause pause; /* of one that was resumed: target, who and at */
};
/* What people have said since a moment, the oldest first. `fn` returns false to stop; the event is
 * borrowed. */
hardy_status pause_events(struct store *store, int64_t since,
                          bool (*fn)(void *ctx, const struct pause_event *e), void *ctx,
                          hardy_error *error);
#endif
