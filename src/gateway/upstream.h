/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_UPSTREAM_H
#define GATEWAY_UPSTREAM_H
/*
 * The upstreams of one reading of the configuration. Requests hold on to the set they began with,
 * so that a reload changes nothing under them; what must outlive a reload (guards, learned limits)
 * lies outside of the set. A guard gets the settings of the new reading when all of it is known to
 * be right, and its operations go by the old ones to their end.
 */
#include "gateway/learned.h"
#include "gateway/settings.h"
#include "guard/guard.h"
#include "io/loop.h"
#include "shared/host.h"

#define UPSTREAM_CREDENTIALS 16 /* learned limits kept for each upstream */

/* What belongs to a name and outlives a reload. */
struct standing {
    struct standing *next;
    char name[64];
    hardy_guard *guard;       /* of this name; NULL: there is none */
    struct gcra_words tokens; /* of the guard */
    /* of the guard of this name, while it is lowered: until when (monotonic), to how many at once,
     * and how many were under way before */
    int64_t lowered_until;
    uint32_t lowered_to, lowered_from;
    struct learned learned[UPSTREAM_CREDENTIALS]; /* of the upstream of this name */
    size_t learned_count;
};
struct standings {
    struct standing *first;
    struct host *host; /* shared by the processes of this host; NULL = none */
};
void standings_free(struct standings *s);

struct upstream_guard {
    char name[64];
    hardy_guard *guard; /* the standing's */
    int64_t timeout_connect, timeout_idle, deadline;
    bool low_priority;
    bool limits_tokens, tokens_reject;
    struct gcra tokens;
    struct gcra_words *token_words;
    struct standing *standing;
    struct loop *loop;
    struct loop_timer lift; /* while it is lowered */
    struct guard_settings settings;
};
struct upstream {
    const struct upstream_settings *settings;
    enum upstream_protocol protocol;
    const struct upstream_guard *guard;
    struct standing *standing;
};
struct upstream_set {
    size_t references;
    struct gateway_settings settings;
    struct upstream *upstreams;
    size_t count;
    struct upstream_guard *guards;
    size_t guard_count;
};
/* `settings` are taken, also on failure, which changes nothing. */
hardy_status upstream_set_new(struct loop *loop, const struct config *config,
                              struct gateway_settings *settings, struct standings *standings,
                              struct upstream_set **out, hardy_error *error);
struct upstream_set *upstream_set_hold(struct upstream_set *set);
void upstream_set_release(struct upstream_set *set); /* NULL is fine */
/* By the first part of a path, "/anthropic/v1/messages"; *rest = what follows it, "" or "/...". */
const struct upstream *upstream_find(const struct upstream_set *set, const char *path,
                                     const char **rest);
const struct upstream_guard *upstream_guard_find(const struct upstream_set *set, const char *name);
/* Lets only `share` (0 to 1) of what is under way through at once, but one at least, until `until`
 * (monotonic), also after a reload. What is above waits for a slot as with a full bulkhead. While
 * it is lowered already, the share is of what was under way before, so that asking twice lowers
 * once.
 */
void upstream_guard_lower(struct upstream_guard *guard, double share, int64_t until);
/* To how many; 0 = it is not lowered now. */
uint32_t upstream_guard_lowered(const struct upstream_guard *guard);
/* The limits learned for this credential (its hash); the oldest gives way to a new one. */
struct learned *upstream_learned(const struct upstream *u, uint64_t credential);
#endif
