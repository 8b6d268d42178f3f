/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WORK_RETAIN_H
#define WORK_RETAIN_H
/*
 * Retention as it is configured (`retention:`), and made: finished runs, files of steps and results
 * that belong to nothing any more. At most once an hour for each state, by whichever process of it
 * lives long enough. All of it waits for the store: for a thread, or the end of a command.
 */
#include "config/config.h"
#include "durable/retention.h"
#include "io/loop.h"

struct retain_settings {
    bool off;
    int64_t age;
    uint32_t count;
    uint64_t bytes;
};
extern const struct schema_section retain_section;
/* The section's defaults where it is absent. `config` may be NULL. Nothing to free. */
hardy_status retain_settings_read(const struct config *config, struct retain_settings *out,
                                  hardy_error *error);
struct retention_policy retain_policy(const struct retain_settings *s);

struct retain_world {
    struct loop *loop; /* for the files of steps; from any thread */
    struct store *store;
    const char *state; /* path of the database */
};
struct retain_report {
    struct retention_report rows;
    uint64_t files; /* of steps, removed */
    uint64_t blobs; /* large results, removed */
    uint64_t blob_bytes;
};

/* At the end of a command that began at `begun` (monotonic): nothing when it was short or nothing
 * is due, else a sweep that takes a small part of the time that the command took. `swept`: whether
 * there was one; its failure is nothing a command should fail for. */
hardy_status retain_at_end(const struct retain_world *w, const struct retain_settings *s,
                           int64_t begun, bool *swept, struct retain_report *out,
                           hardy_error *error);

/* In a thread of its own, as long as the process lives: for those that serve. Borrows `store` and
 * copies the rest. retain_stop() waits for the batch that is being written. */
struct retainer;
struct retainer *retain_start(struct store *store, const char *state,
                              const struct retain_settings *s, hardy_error *error);
void retain_stop(struct retainer *r);

/* Now, as a person asks for it (`hardy workflows prune`), and gives the space back as far as that
 * goes within some seconds. */
struct retain_prune {
    int64_t older_than; /* age of what goes; HARDY_NEVER = as configured */
    int64_t keep;       /* so many are kept, however old; -1 = as configured */
    bool dry_run;
    void (*told)(void *ctx, const struct retention_run *run); /* each that goes; NULL */
    void *ctx;
};
hardy_status retain_prune(const struct retain_world *w, const struct retain_settings *s,
                          const struct retain_prune *how, struct retain_report *out,
                          hardy_error *error);

/* Removes files of steps whose record is gone or has begun anew since, if they are older than an
 * hour (leftovers.c). */
hardy_status leftovers_sweep(const struct retain_world *w, int64_t wall, uint64_t *removed,
                             hardy_error *error);
/* The same for large results that no row names. */
hardy_status leftovers_blobs(const struct retain_world *w, int64_t wall, struct retain_report *out,
                             hardy_error *error);
#endif
