/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHARED_HOST_H
#define SHARED_HOST_H
/*
 * Policies shared by all processes of this host that use the same state: `PATH-guards`, mapped
 * memory, 0600, the same policy code over the same single words, no sync. The header carries a
 * layout version and the boot id: after another boot it starts anew. Each name has one slot with a
 * fingerprint for each policy's settings; other settings under the same name are refused, saying both.
 * Concurrency slots are byte locks, so that the dead give theirs back.
 */
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/gcra.h"

struct host;
/* `state`: path of the state database; the file is made beside it. E_UNSUPPORTED on a network file
 * system, E_CORRUPT when it is not such a file, E_READONLY. */
hardy_status host_open(const char *state, bool create, struct host **out, hardy_error *error);
void host_close(struct host *host);

/* What a caller brings: NULL = does not use or does not give that policy's settings, then the stored
 * ones apply and are copied out. */
struct host_policies {
    hardy_breaker_config *breaker;
    hardy_rate_config *rate;
    hardy_budget_config *budget;
    uint32_t *max_concurrent;
    bool given_breaker, given_rate, given_budget, given_slots; /* false: use the stored ones if there are any */
};
struct host_slot {
    struct breaker_words *breaker;
    struct gcra_words *rate;
    struct budget_words *budget;
    void *internal;
};
/* Finds or makes the slot `name`. E_MISMATCH: other settings are stored under this name; the
 * message shows both and says how to change them (`hardy guards reset NAME`). */
hardy_status host_attach(struct host *host, const char *name, struct host_policies *policies,
                         struct host_slot *slot, hardy_error *error);
/* A concurrency slot; *fd holds it until closed. E_FULL when all are taken. */
hardy_status host_take_slot(struct host *host, const struct host_slot *slot, uint32_t max_concurrent, int *fd,
                            hardy_error *error);
/* For `guards list`: name, settings, words. `fn` returns false to stop. */
struct host_entry {
    const char *name;
    bool has_breaker, has_rate, has_budget;
    hardy_breaker_config breaker_config;
    hardy_rate_config rate_config;
    hardy_budget_config budget_config;
    uint32_t max_concurrent; /* 0 = none */
    struct host_slot slot;
};
void host_each(struct host *host, bool (*fn)(void *ctx, const struct host_entry *entry), void *ctx);
/* Forgets settings, counters and state of a name. E_NOT_FOUND names the nearest. */
hardy_status host_reset(struct host *host, const char *name, hardy_error *error);
#endif
