/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_MAINTENANCE_H
#define SUPERVISE_MAINTENANCE_H
/*
 * Hands off: whether a target may be repaired now. Not while a person has paused it
 * (durable/pause.h), and not in a maintenance window (`maintenance:`), whatever `automation` says.
 *
 * A window that passes midnight belongs to the day on which it begins. Where the clock is set
 * inside it, it is never shorter than its hours say: a begin or an end in the hour that comes twice
 * takes in both of them, and one in the hour that is left out counts from the hour before it, or to
 * the hour after.
 */
#include "config/config.h"
#include "supervise/local_time.h"
#include <hardy/env.h>

struct exposition;
struct json_out;
struct store;

struct maintenance_window {
    struct schema_strings targets; /* none = everything */
    struct schema_strings days;    /* mon to sun; none = every day */
    char *from, *to;               /* "22:00"; the same twice: a whole day */
    int zone;                      /* enum zone */
    char *reason;                  /* NULL */
    int from_minute, to_minute;
    unsigned weekdays; /* bit 0 = Sunday */
};
struct maintenance {
    struct schema_list windows; /* of maintenance_window */
};
extern const struct schema_section maintenance_section;
/* `out` needs maintenance_free() also on failure. */
hardy_status maintenance_read(const struct config *config, struct maintenance *out,
                              hardy_error *error);
void maintenance_free(struct maintenance *m);

/* Whether the window is open at `wall`; `until`: its end. */
bool maintenance_is_open(const struct maintenance_window *w, int64_t wall, int64_t *until);
/* The open window that keeps hands off the target, and until when it does together with those that
 * follow without a gap (0 = always); NULL = none. A window for `web` is one for `web/restart` too.
 */
const struct maintenance_window *maintenance_find(const struct maintenance *m, const char *target,
                                                  int64_t wall, int64_t *until);

struct hands_off {
    bool off;      /* the target must not be repaired now */
    int64_t until; /* wall; 0 = until somebody changes it */
    char why[320]; /* "paused by root until 03:00 CET: new disks", "maintenance window until 04:00
                      UTC" */
};
/* `m` may be NULL, and hold no windows. On failure nobody knows: `off` is set, and `why` tells it.
 */
hardy_status hands_off(const struct maintenance *m, struct store *store, const char *target,
                       int64_t wall, struct hands_off *out, hardy_error *error);

/* One thing from which hardy keeps its hands off. */
struct hands_off_entry {
    const char *target; /* or PAUSE_EVERYTHING */
    const char *who;    /* has paused it; NULL = it is in a window */
    const char *reason; /* NULL */
    int64_t at;         /* wall; 0 of a window */
    int64_t until;      /* wall; 0 = until somebody changes it */
    const char *why;    /* as in struct hands_off */
};
/* All that there are: pauses, then open windows. `fn` returns false to stop; the entry is borrowed.
 */
hardy_status hands_off_each(const struct maintenance *m, struct store *store, int64_t wall,
                            bool (*fn)(void *ctx, const struct hands_off_entry *e), void *ctx,
                            hardy_error *error);
/* As an object {target, by: "person"|"window", who, reason, at, until, why}. */
void hands_off_entry_to_json(const struct hands_off_entry *e, struct json_out *j);
/* hardy_paused and hardy_maintenance, by target; nothing when nobody knows. */
void hands_off_write_metrics(const struct maintenance *m, struct store *store, int64_t wall,
                             struct exposition *x);
#endif
