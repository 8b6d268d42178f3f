/* SPDX-License-Identifier: Apache-2.0 */
#ifndef HEALTH_CHECK_H
#define HEALTH_CHECK_H
/*
 * One health check: its settings (a row of `checks:`), its probe, and the level its results add up
 * to. *Unknown* is a result of its own: a check that could not run is not a failed one.
 */
#include "base/json.h"
#include "config/config.h"
#include "http/url.h"
#include "io/loop.h"

enum check_result { CHECK_PASS, CHECK_FAIL, CHECK_UNKNOWN };
const char *check_result_text(enum check_result result);
enum check_level { LEVEL_UNKNOWN, LEVEL_UP, LEVEL_DOWN };
const char *check_level_text(enum check_level level);

enum check_kind {
    CHECK_HTTP,
    CHECK_TCP,
    CHECK_COMMAND,
    CHECK_MEMORY,
    CHECK_DISK,
    CHECK_PROCESS,
    CHECK_NUMBER,
    CHECK_GUARD,
    CHECK_REDIS,
    CHECK_POSTGRESQL,
    CHECK_KINDS
};
const char *check_kind_text(enum check_kind kind); /* the key that makes a check one of this kind */

struct check_settings {
    char *name;
    bool given[CHECK_KINDS]; /* exactly one, which is: */
    enum check_kind kind;
    char *http;                    /* URL: passes on 2xx and 3xx */
    char *tcp;                     /* "host:port": passes when it connects */
    struct schema_command command; /* passes on exit 0; unknown on 126 and 127 */
    /* memory, disk: of this host or container */
    double memory_below; /* fraction of the limit */
    char *disk;          /* path; passes while free >= disk_free */
    uint64_t disk_free;
    struct check_process { /* one of them */
        char *pid_file, *name;
    } process;
    struct check_number { /* one source; `json` leads to the number in it */
        struct schema_command command;
        char *file, *http, *json;
        double below, above;
        bool has_below, has_above;
    } number;
    char *guard; /* name of a guard that the processes of this host share */
    struct check_redis {
        char *address, *user, *password_file;
    } redis;
    struct check_postgresql {
        char *address, *user, *database;
    } postgresql;
    int64_t response_below; /* what answers later has failed; 0 = no limit */
    int64_t interval, timeout, grace;
    uint32_t failure_threshold, success_threshold; /* in a row */
    struct check_last {                            /* failures among the last results */
        uint32_t count, of;
        bool off;
    } failures_in_last;
    struct check_flap { /* shares of change */
        double high, low;
        bool off;
    } flap;
    bool critical; /* makes /health/ready answer 503; false = warns */
    char *folder;  /* of the configuration: where commands and relative paths begin; NULL = ours */
    const char *state; /* beside which guards are shared; NULL = they are not */
};
extern const struct schema_section check_section;
/* Reads `checks:`; exactly one kind each, names unique, timeout at most interval... `list` of
 * check_settings. */
hardy_status checks_read(const struct config *config, struct schema_list *list, hardy_error *error);
/* Tells checks of guards where those are: beside this state, a file; borrowed. NULL = nowhere, and
 * such checks are unknown. */
void checks_use_state(struct schema_list *list, const char *state);
void checks_free(struct schema_list *list); /* also after a failure */
/* What is looked at, in a line: a URL, an address, a path, a command. */
void check_target(const struct check_settings *c, struct buf *out);
/* Whom it asks over the network; false = it looks at this host. */
bool check_address(const struct check_settings *c, struct http_authority *out);

/* --- level: pure ------------------------------------------------------------------------------ */
#define CHECK_LAST_MAX 64 /* results that can be looked back at */
#define CHECK_FLAP_RESULTS 21
struct check_state { /* all zero at first, but for watched_since and since */
    enum check_level level;
    uint32_t failures, successes, unknowns; /* in a row */
    int64_t since;                          /* wall of the last change of level */
    int64_t last_at;                        /* wall of the last result, 0 = none */
    enum check_result last;
    bool flapping;      /* it changes too often to act upon */
    bool flap_turned;   /* with the last result it began to, or ended */
    bool graced;        /* the last result was a failure that does not count yet */
    char message[200];  /* of the last result */
    int64_t took;       /* ns, of the last run */
    uint64_t counts[3]; /* of all results, by check_result */
    /* private to level.c, but for what begins it */
    int64_t watched_since; /* monotonic */
    int64_t last_seen;     /* monotonic, of the last result; 0 = none */
    uint64_t recent;       /* failures as bits, the newest in bit 0, since it came up */
    uint32_t changes;      /* between results, as bits, over ups and downs */
};
/* Adds a result. UNKNOWN changes no level, breaks no row and is no change: the check could not run.
 * The same goes for a failure in the grace, until the first pass. Returns whether the level
 * changed. `now` monotonic, `wall` for people. */
bool check_state_add(struct check_state *s, const struct check_settings *c,
                     enum check_result result, const char *message, int64_t took, int64_t now,
                     int64_t wall);
/* How much it changes, 0 to 0.99: changes among the last CHECK_FLAP_RESULTS passes and failures,
 * the newer ones weighing more. */
double check_flap_share(const struct check_state *s);
uint32_t check_flap_changes(const struct check_state *s); /* how many those are */
/* Whether there is no news: no result for three intervals and a time-out, or three unknowns in a
 * row. What was known may no longer be so. */
bool check_stale(const struct check_state *s, const struct check_settings *c, int64_t now);

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
/* In the order of the configuration; NULL behind the last. */
const struct check_state *health_at(const struct health *h, size_t n,
                                    const struct check_settings **settings);
const struct check_state *health_find(const struct health *h, const char *name,
                                      const struct check_settings **settings);
struct loop *health_loop(const struct health *h);
/* No check runs any more; what is known stays. */
void health_halt(struct health *h);
void health_stop(struct health *h); /* and is freed */
/* What is known of the checks with the same names is taken over, so that new settings do not make
 * everything unknown. Before the first result. */
void health_take_over(struct health *h, const struct health *from);
/* What is known now, as a set whose checks do not run; its settings are borrowed still. NULL = no
 * memory. */
struct health *health_keep(const struct health *h);

/* --- what is told of them: report.c ----------------------------------------------------------- */
/* application/health+json of all checks (`h` NULL: none); *ready = every critical check is up, not
 * down and not unknown, and there is no `objection` (NULL = none). Cached results only. */
void health_report(const struct health *h, const char *objection, bool details, struct buf *out,
                   bool *ready);
/* One check as an object: its settings, and what is known of it (`s` NULL: nothing). */
void check_to_json(struct json_out *j, const struct check_settings *c, const struct check_state *s,
                   int64_t now, int64_t wall);
#endif
