/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HEALTH_CHECK_H
#define HEALTH_CHECK_H
/*
 * One health check: its settings (a row of `checks:`), its probe, and the level its results add up
 * to. *Unknown* is a result of its own: a check that could not run is not a failed one.
 */
#include "config/config.h"
#include "io/loop.h"

enum check_result { CHECK_PASS, CHECK_FAIL, CHECK_UNKNOWN };
enum check_level { LEVEL_UNKNOWN, LEVEL_UP, LEVEL_DOWN };
const char *check_level_text(enum check_level level);

struct check_settings {
    char *name;
    char *http;                    /* URL: passes on 2xx and 3xx */
    char *tcp;                     /* "host:port": passes when it connects */
    struct schema_command command; /* passes on exit 0; unknown on 126 and 127 */
    /* memory, disk: of this host or container */
    double memory_below; /* fraction of the limit; 0 = not this kind */
    char *disk;          /* path; passes while free >= disk_free */
    uint64_t disk_free;
    int64_t interval, timeout;
    uint32_t failure_threshold, success_threshold;
    bool critical; /* makes /health/ready answer 503; false = warns */
    char *folder;  /* of the configuration: where commands and relative paths begin; NULL = ours */
};
extern const struct schema_section check_section;
/* Reads `checks:`; exactly one kind each, names unique, timeout < interval... `list` of
 * check_settings. */
hardy_status checks_read(const struct config *config, struct schema_list *list, hardy_error *error);
void checks_free(struct schema_list *list); /* also after a failure */

/* --- level: pure ------------------------------------------------------------------------------ */
struct check_state {
    enum check_level level;
    uint32_t failures, successes, unknowns; /* in a row */
    int64_t since;                          /* wall of the last change of level */
    int64_t last_at;                        /* wall of the last result, 0 = none */
    enum check_result last;
    char message[200]; /* of the last result */
    int64_t took;      /* ns, of the last run */
};
/* Adds a result. UNKNOWN changes no level and breaks no row: the check could not run. Returns
 * whether the level changed. */
bool check_state_add(struct check_state *s, const struct check_settings *c,
                     enum check_result result, const char *message, int64_t took, int64_t wall);

/* --- probe: one run, on the loop; always answers within the timeout --------------------------- */
struct http_client;
struct check_probe;
typedef void (*check_done)(void *ctx, enum check_result result, const char *message, int64_t took);
struct check_probe *check_probe_start(struct loop *loop, struct http_client *client,
                                      const struct check_settings *c, check_done done, void *ctx);
void check_probe_cancel(struct check_probe *p); /* no answer comes any more */

/* --- a set of checks that run by themselves --------------------------------------------------- */
struct health;
struct health_events {
    void (*result)(void *ctx, const struct check_settings *c, const struct check_state *s,
                   bool changed);
};
struct health *health_start(struct loop *loop, struct http_client *client,
                            const struct schema_list *checks, const struct health_events *events,
                            void *ctx, hardy_error *error);
const struct check_state *health_find(const struct health *h, const char *name,
                                      const struct check_settings **settings);
void health_stop(struct health *h);
/* What is known of the checks with the same names is taken over, so that new settings do not make
 * everything unknown. Before the first result. */
void health_take_over(struct health *h, const struct health *from);
/* application/health+json of all checks (`h` NULL: none); *ready = every critical check is up, not
 * down and not unknown, and there is no `objection` (NULL = none). Cached results only. */
void health_report(const struct health *h, const char *objection, bool details, struct buf *out,
                   bool *ready);
#endif
