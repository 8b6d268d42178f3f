/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/top.h"
#include "daemon/settings.h"
#include "degrade/settings.h"
#include "health/serve.h"
#include "incident/incident.h"
#include "notify/notify.h"
#include "settings/guards.h"
#include "supervise/child_settings.h"
#include "supervise/fail_over.h"
#include "supervise/maintenance.h"
#include "work/retain.h"
#include "work/settings.h"

struct top {
    char *state;
    int automation;
    int on_state_error;
    struct schema_list guards, upstreams, checks, fail_over, notify, maintenance, supervise;
    struct gateway_settings gateway;
    struct admin_settings admin;
    struct incident_settings incidents;
    struct degrade_settings degrade;
    struct health_settings health;
    struct workflows_settings workflows;
    struct retain_settings retention;
};

#define COUNT(a) (sizeof(a) / sizeof *(a))
/* Each section: its name, and the rest of its row. */
#define SECTIONS(X)                                                                                \
    X("state", .kind = SCHEMA_STRING, .offset = offsetof(struct top, state),                       \
      .help = "the database, relative to this file; memory, or postgresql://...")                  \
    X("on_state_error", .kind = SCHEMA_ENUM, .offset = offsetof(struct top, on_state_error),       \
      .def = "serve", .words = state_error_words,                                                  \
      .help = "hardy serve without its state: serve, on its own, or refuse to start")              \
    X("gateway", .kind = SCHEMA_MAP, .offset = offsetof(struct top, gateway),                      \
      .section = &gateway_section, .help = "where agents connect, and who may")                    \
    X("upstreams", .kind = SCHEMA_NAMED, .offset = offsetof(struct top, upstreams),                \
      .section = &upstream_section,                                                                \
      .help = "what the gateway hands requests on to, by name; anthropic and openai without it")   \
    X("admin", .kind = SCHEMA_MAP, .offset = offsetof(struct top, admin),                          \
      .section = &admin_section, .help = "where the API and the metrics are served")               \
    X("guards", .kind = SCHEMA_NAMED, .offset = offsetof(struct top, guards),                      \
      .section = &guard_section, .help = "what protects calls, by name")                           \
    X("automation", .kind = SCHEMA_ENUM, .offset = offsetof(struct top, automation),               \
      .def = "observe", .words = automation_words + 1,                                             \
      .help = "observe: only propose remedies; ask: carry out what a person approves; act: carry " \
              "them out")                                                                          \
    X("maintenance", .kind = SCHEMA_LIST, .offset = offsetof(struct top, maintenance),             \
      .section = &maintenance_section, .help = "windows in which nothing is repaired")             \
    X("checks", .kind = SCHEMA_LIST, .offset = offsetof(struct top, checks),                       \
      .section = &check_section, .help = "health checks")                                          \
    X("supervise", .kind = SCHEMA_NAMED, .offset = offsetof(struct top, supervise),                \
      .section = &child_section, .help = "processes that are kept running, by name")               \
    X("health", .kind = SCHEMA_MAP, .offset = offsetof(struct top, health),                        \
      .section = &health_section, .help = "where /health/live and /health/ready are served")       \
    X("notify", .kind = SCHEMA_NAMED, .offset = offsetof(struct top, notify),                      \
      .section = &notify_section, .help = "where people are told, by name")                        \
    X("fail_over", .kind = SCHEMA_NAMED, .offset = offsetof(struct top, fail_over),                \
      .section = &fail_over_section, .help = "primaries and their backups, by name")               \
    X("workflows", .kind = SCHEMA_MAP, .offset = offsetof(struct top, workflows),                  \
      .section = &workflows_section, .help = "how runs of workflows are driven")                   \
    X("retention", .kind = SCHEMA_MAP, .offset = offsetof(struct top, retention),                  \
      .section = &retain_section, .off_offset = offsetof(struct top, retention.off),               \
      .help = "how long finished runs are kept; or off")                                           \
    X("degrade", .kind = SCHEMA_MAP, .offset = offsetof(struct top, degrade),                      \
      .section = &degrade_section, .help = "what is gathered from several sources, by name")       \
    X("incidents", .kind = SCHEMA_MAP, .offset = offsetof(struct top, incidents),                  \
      .section = &incident_section, .help = "services, the causes of their trouble, remedies")     \
    X("heal", .kind = SCHEMA_MAP, .offset = offsetof(struct top, incidents.healing),               \
      .section = &heal_section,                                                                    \
      .help = "services whose remedies follow from the checks that fail")

const char *const top_names[] = {
#define X(title, ...) title,
    SECTIONS(X)
#undef X
        NULL};

static const struct schema_key top_keys[] = {
#define X(title, ...) {.name = title, __VA_ARGS__},
    SECTIONS(X)
#undef X
};
const struct schema_section top_section = {"the configuration", top_keys, COUNT(top_keys),
                                           sizeof(struct top)};

hardy_status top_check(const struct config *config, hardy_error *error) {
    struct top top = {0};
    hardy_status status = config_check_top(config, top_names, error);
    if (status == HARDY_OK && config->file) {
        status = schema_read(&top_section, config->file->root, &top, error);
        schema_free(&top_section, &top);
    }
    return status;
}
