/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHARED_HOST_H
#define SHARED_HOST_H
/*
 * Policies shared by all processes of this host that use the same state: `PATH-guards`, mapped
 * memory, 0600, the same policy code over the same single words, no sync. The header carries a
 * layout version and the boot id: after another boot it starts anew. Each name has one of 256
 * slots, with the settings of each policy; other settings under the same name are refused, saying
 * both. Concurrency slots are byte locks, so that the dead give theirs back.
 *
 * A handle is used by one thread; the words it points to by any number of threads and processes.
 */
#include "policy/breaker.h"
#include "policy/budget.h"
#include "policy/gcra.h"

#define HOST_NAMES 256

struct host;
/* `state`: path of the state database; the file is made beside it, with `create`. E_NOT_FOUND: it
 * is not there and `create` is false. E_UNSUPPORTED: a network file system, where neither locks nor
 * mapped memory are shared. E_CORRUPT, E_NEWER: not such a file; it is left as it is. E_READONLY,
 * E_NOSPACE. */
hardy_status host_open(const char *state, bool create, struct host **out, hardy_error *error);
void host_close(struct host *host); /* NULL is fine; the words are gone */
const char *host_path(const struct host *host);

/* What a caller does with a policy. What is stored under the name applies in each case. */
enum host_want {
    HOST_IF_STORED, /* nothing stored: the caller goes without */
    HOST_DEFAULT,   /* nothing stored: the caller's settings are stored */
    HOST_GIVEN      /* the same; settings that differ from the stored ones are refused */
};
struct host_policies { /* in: the caller's settings; out: what applies */
    enum host_want want_breaker, want_rate, want_budget, want_slots;
    hardy_breaker_config breaker;
    hardy_rate_config rate; /* `reject`, `low_priority` and `debt` are the call's own */
    hardy_budget_config budget;
    uint32_t max_concurrent; /* out: 0 = no limit */
};
struct host_slot { /* a NULL member: that policy is not used under this name */
    struct breaker_words *breaker;
    struct gcra_words *rate;
    struct budget_words *budget;
    uint32_t index; /* for host_take_slot() */
};
/* Finds or makes the slot `name`. E_MISMATCH: other settings are stored under this name; the
 * message shows both and the line that forgets them. E_INVALID: a setting is out of range.
 * E_NOSPACE: all names are taken. Nothing is changed on failure. */
hardy_status host_attach(struct host *host, const char *name, struct host_policies *policies,
                         struct host_slot *slot, hardy_error *error);
/* A concurrency slot, held until *fd is closed by all who have it. E_FULL when all are taken. */
hardy_status host_take_slot(struct host *host, const struct host_slot *slot,
                            uint32_t max_concurrent, int *fd, hardy_error *error);
/* How many of the first `max_concurrent` concurrency slots are taken. */
uint32_t host_slots_taken(struct host *host, const struct host_slot *slot, uint32_t max_concurrent);

struct host_entry { /* for lists */
    const char *name;
    bool has_breaker, has_rate, has_budget;
    hardy_breaker_config breaker;
    hardy_rate_config rate;
    hardy_budget_config budget;
    uint32_t max_concurrent; /* 0 = no limit */
    struct host_slot slot;
};
/* Every name, in the order of the table; the entry is borrowed for the call. `fn` returns false to
 * stop. */
hardy_status host_each(struct host *host, bool (*fn)(void *ctx, const struct host_entry *entry),
                       void *ctx, hardy_error *error);
/* One of them; E_NOT_FOUND names the nearest. `name` is borrowed by the entry. */
hardy_status host_find(struct host *host, const char *name, struct host_entry *out,
                       hardy_error *error);
/* Forgets only the settings of a name, so that the next host_attach() may bring others; counters
 * and state stay. E_NOT_FOUND names the nearest. */
hardy_status host_forget_settings(struct host *host, const char *name, hardy_error *error);
/* Forgets settings, counters and state of a name; processes that use it now go on with the
 * settings they have. `now`: the host's monotonic clock. E_NOT_FOUND names the nearest. */
hardy_status host_reset(struct host *host, const char *name, int64_t now, hardy_error *error);
#endif
