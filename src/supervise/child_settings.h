/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SUPERVISE_CHILD_SETTINGS_H
#define SUPERVISE_CHILD_SETTINGS_H
/* `supervise:` of the configuration: a map from names to children. */
#include "config/config.h"
#include "supervise/child.h"

enum child_readiness { READY_BY_UPTIME, READY_BY_NOTIFY, READY_BY_TCP, READY_BY_CHECK };

struct child_settings {
    char *name;
    struct schema_command command;
    char *cwd;
    const struct yaml_node *env_node; /* borrowed */
    char **env;                       /* "K=V", what `env` says; NULL-terminated */
    struct schema_strings after;
    char *ready; /* "notify", "tcp HOST:PORT", "check NAME", "none" */
    enum child_readiness readiness;
    const char *ready_of; /* HOST:PORT or NAME, inside `ready` */
    int64_t start_timeout, min_uptime, reset_after, watchdog;
    int restart;
    struct {
        int64_t min, max;
        uint32_t steps;
        double jitter;
    } backoff;
    struct {
        uint32_t restarts;
        int64_t within;
    } intensity;
    int on_exhausted;
    int64_t retry_after;
    struct schema_strings never_restart_on;
    struct {
        uint32_t deaths;
        int64_t within;
        struct schema_strings on;
    } permanent_if;
    struct {
        char *signal;
        int64_t timeout;
    } stop;
    struct {
        char *signal;
        struct schema_command command;
    } reload;
    int reload_signal; /* 0 = a command, or it cannot */
    struct {
        char *file; /* where its output goes; NULL = to ours */
        uint64_t max_size;
        uint32_t keep; /* older files */
    } log;
    bool critical; /* /health/ready answers 503 while it is not ready */
    bool restart_dependents;
    struct schema_strings escalate;
    char *folder;             /* of the configuration: where commands and relative paths begin */
    struct child_rules rules; /* of the above */
};
extern const struct schema_section child_section;

/* List of child_settings, in the file's order. The config must outlive it. E_SYNTAX with the place:
 * also for what is `after` itself, or after a child that there is not. */
hardy_status children_settings_read(const struct config *config, struct schema_list *list,
                                    hardy_error *error);
/* Whether the names they use exist: `checks` of check_settings, `targets` of notify_target. Returns
 * how many do not, each told. */
size_t children_settings_check(const struct config *config, const struct schema_list *list,
                               const struct schema_list *checks, const struct schema_list *targets,
                               schema_report report, void *ctx);
void children_settings_free(struct schema_list *list); /* also after a failure */
const struct child_settings *child_settings_find(const struct schema_list *list, const char *name);

/* One child without a file: defaults, and `folder` as its own. */
hardy_status child_settings_init(struct child_settings *s, const char *name, const char *folder);
void child_settings_free(struct child_settings *s);
/* Completes what was set key by key. `node`: for the place, may be NULL. */
hardy_status child_settings_finish(struct child_settings *s, const struct yaml_node *node,
                                   hardy_error *error);

/* A signal by its name, "TERM" or "SIGTERM", or number; 0 = there is none. */
int child_signal(const char *text);
/* "TERM"; "signal 40" for those without a name. */
const char *child_signal_text(int signal);
#endif
