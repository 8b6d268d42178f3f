/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_CHILDREN_H
#define SUPERVISE_CHILDREN_H
/*
 * The children of a configuration, kept running. They outlive hardy when it is killed: the next one
 * adopts them. Which hardy a child belongs to is said by a lock that the kernel frees at a kill;
 * who finds it taken waits, and takes over.
 */
#include "base/json.h"
#include "health/check.h"
#include "store/store.h"
#include "supervise/child_settings.h"
#include "supervise/maintenance.h"

struct children_world { /* borrowed until gone */
    struct loop *loop;
    struct store *store;
    const char
        *folder;      /* children_folder(); NULL: no locks, logs and sockets (a simulated world) */
    const char *boot; /* file_boot_id() */
    const char *const *env;
    struct http_client *client;
    const struct schema_list *targets;     /* notify_target; NULL = nobody can be told */
    const struct maintenance *maintenance; /* windows; NULL = none */
};
struct children_events { /* each may be NULL */
    /* Something happened to a child: a word, and a text for people. */
    void (*told)(void *ctx, const char *name, int64_t wall, const char *what, const char *detail);
    void (*paged)(void *ctx); /* rows were put into the outbox */
    /* Nothing will happen any more by itself: each is done, or was given up. */
    void (*settled)(void *ctx);
};
struct children;
/* `list` of child_settings, borrowed until gone. From now on the loop reaps every child of this
 * process, also what children leave behind. The children start on the loop, each when those it
 * comes after are ready. */
hardy_status children_start(const struct children_world *world, const struct schema_list *list,
                            const struct children_events *events, void *ctx, struct children **out,
                            hardy_error *error);
/* Ends them, in the reverse order of their start, each within its ladder. `gone` is called from the
 * loop, when all have ended and the set is freed. */
void children_stop(struct children *c, void (*gone)(void *ctx), void *ctx);
/* A check's result, for those whose readiness it is. */
void children_checked(struct children *c, const struct check_settings *check,
                      const struct check_state *state);
/* Ends it and starts it again, also when it was given up. `key`: asked again with the same one, the
 * same life is not ended twice, also by another hardy; NULL = in any case. HARDY_OK: it is being
 * done; E_EXISTS: it has been done; E_NOT_FOUND: there is no such child; E_RUNNING: another hardy
 * has it. */
hardy_status children_restart(struct children *c, const char *name, const char *key,
                              hardy_error *error);
/* By its `reload`. E_NOT_FOUND; E_UNSUPPORTED: it has none; E_CLOSED: it does not run; E_RUNNING.
 */
hardy_status children_reload(struct children *c, const char *name, hardy_error *error);
struct child_view {
    const struct child_settings *settings;
    const struct child *machine;
    bool ready, elsewhere; /* another hardy has it */
    int pid;               /* 0 = it does not run */
    const char *status;    /* what it says of itself; "" */
};
bool children_find(const struct children *c, const char *name, struct child_view *out);
/* An array of objects. */
void children_to_json(const struct children *c, struct json_out *j);
/* Why this process is not ready: a critical child that is not; NULL = it is. Borrowed until the
 * next call. */
const char *children_objection(struct children *c);
#endif
