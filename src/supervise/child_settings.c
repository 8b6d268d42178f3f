/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise/child_settings.h"
#include "base/error.h"
#include "base/parse.h"
#include "base/str.h"
#include "health/check.h"
#include "http/url.h"
#include "io/file.h"
#include "notify/notify.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define PART(field, member)                                                                        \
    (offsetof(struct child_settings, field.member) - offsetof(struct child_settings, field))
#define SIZE(field) sizeof((struct child_settings){0}.field)

static const char *const restart_words[] = {"always", "on_failure", "never", NULL};
static const char *const exhausted_words[] = {"delay", "fail", NULL};

static const struct schema_key backoff_keys[] = {
    {.name = "min",
     .kind = SCHEMA_DURATION,
     .offset = PART(backoff, min),
     .def = "100ms",
     .min = "1ms",
     .max = "1h",
     .help = "the first delay"},
    {.name = "max",
     .kind = SCHEMA_DURATION,
     .offset = PART(backoff, max),
     .def = "30s",
     .min = "1ms",
     .max = "1d",
     .help = "no delay is longer"},
    {.name = "steps",
     .kind = SCHEMA_UNSIGNED,
     .offset = PART(backoff, steps),
     .def = "8",
     .min = "0",
     .max = "100",
     .help = "restarts from the first delay to the longest, each longer by the same factor"},
    {.name = "jitter",
     .kind = SCHEMA_NUMBER,
     .offset = PART(backoff, jitter),
     .def = "0.25",
     .min = "0",
     .max = "1",
     .help = "share of the delay that is added at random, never above max"},
};
static const struct schema_section backoff_section = {"backoff", backoff_keys, COUNT(backoff_keys),
                                                      SIZE(backoff)};

static const struct schema_key intensity_keys[] = {
    {.name = "restarts",
     .kind = SCHEMA_UNSIGNED,
     .offset = PART(intensity, restarts),
     .def = "5",
     .min = "1",
     .max = "100",
     .help = "so many restarts ..."},
    {.name = "within",
     .kind = SCHEMA_DURATION,
     .offset = PART(intensity, within),
     .def = "60s",
     .min = "1s",
     .max = "30d",
     .help = "... in this time, and one more is too many"},
};
static const struct schema_section intensity_section = {"intensity", intensity_keys,
                                                        COUNT(intensity_keys), SIZE(intensity)};

static const struct schema_key permanent_keys[] = {
    {.name = "deaths",
     .kind = SCHEMA_UNSIGNED,
     .offset = PART(permanent_if, deaths),
     .def = "5",
     .min = "1",
     .max = "100",
     .help = "so many deaths of these kinds ..."},
    {.name = "within",
     .kind = SCHEMA_DURATION,
     .offset = PART(permanent_if, within),
     .def = "60s",
     .min = "1s",
     .max = "30d",
     .help = "... in this time"},
    {.name = "on",
     .kind = SCHEMA_STRINGS,
     .offset = PART(permanent_if, on),
     .def = "SEGV,ABRT",
     .help = "signals by name, exit codes by number"},
};
static const struct schema_section permanent_section = {"permanent_if", permanent_keys,
                                                        COUNT(permanent_keys), SIZE(permanent_if)};

static const struct schema_key stop_keys[] = {
    {.name = "signal",
     .kind = SCHEMA_STRING,
     .offset = PART(stop, signal),
     .def = "TERM",
     .help = "asks it, and all it has started, to end"},
    {.name = "timeout",
     .kind = SCHEMA_DURATION,
     .offset = PART(stop, timeout),
     .def = "10s",
     .min = "10ms",
     .max = "1d",
     .help = "then KILL"},
};
static const struct schema_section stop_section = {"stop", stop_keys, COUNT(stop_keys), SIZE(stop)};

static const struct schema_key reload_keys[] = {
    {.name = "signal",
     .kind = SCHEMA_STRING,
     .offset = PART(reload, signal),
     .help = "sent to the process"},
    {.name = "command",
     .kind = SCHEMA_COMMAND,
     .offset = PART(reload, command),
     .help = "run in its place; finds MAINPID in its environment"},
};
static const struct schema_section reload_section = {"reload", reload_keys, COUNT(reload_keys),
                                                     SIZE(reload)};

static const struct schema_key log_keys[] = {
    {.name = "file",
     .kind = SCHEMA_STRING,
     .offset = PART(log, file),
     .help = "gets what it writes to standard output and error; without it they are hardy's own"},
    {.name = "max_size",
     .kind = SCHEMA_SIZE,
     .offset = PART(log, max_size),
     .def = "10MiB",
     .min = "4KiB",
     .help = "then the file becomes FILE.1, and a new one begins with the next line"},
    {.name = "keep",
     .kind = SCHEMA_UNSIGNED,
     .offset = PART(log, keep),
     .def = "5",
     .min = "0",
     .max = "1000",
     .help = "older files that are kept"},
};
static const struct schema_section log_section = {"log", log_keys, COUNT(log_keys), SIZE(log)};

static const struct schema_key child_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct child_settings, name),
     .help = "of the child"},
    {.name = "command",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct child_settings, command),
     .required = true,
     .help = "runs in the foreground: its end is the child's"},
    {.name = "cwd",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct child_settings, cwd),
     .help = "where it begins, relative to this file; this file's folder without it"},
    {.name = "env",
     .kind = SCHEMA_NODE,
     .offset = offsetof(struct child_settings, env_node),
     .help = "a map of variables besides hardy's own"},
    {.name = "after",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct child_settings, after),
     .help = "children that have to be ready before it starts, and are stopped after it"},
    {.name = "ready",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct child_settings, ready),
     .def = "none",
     .help = "notify (it says so itself, sd_notify), tcp HOST:PORT (it can be connected to), check "
             "NAME (of checks:), or none (when it has lived for min_uptime)"},
    {.name = "start_timeout",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct child_settings, start_timeout),
     .def = "90s",
     .min = "10ms",
     .max = "1d",
     .help = "not ready by then, it is ended and counts as failed; not for ready: none"},
    {.name = "min_uptime",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct child_settings, min_uptime),
     .def = "1s",
     .min = "0s",
     .max = "1h",
     .help = "for ready: none"},
    {.name = "restart",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct child_settings, restart),
     .words = restart_words,
     .def = "always",
     .help = "when it has ended by itself; a failure is all but exit code 0"},
    {.name = "backoff",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct child_settings, backoff),
     .section = &backoff_section,
     .help = "delays before restarts; none before the first of a child that was ready for 1s"},
    {.name = "reset_after",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct child_settings, reset_after),
     .def = "60s",
     .min = "1s",
     .max = "1d",
     .help = "ready for so long, the delays begin anew"},
    {.name = "intensity",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct child_settings, intensity),
     .section = &intensity_section,
     .help = "how many restarts are too many"},
    {.name = "on_exhausted",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct child_settings, on_exhausted),
     .words = exhausted_words,
     .def = "delay",
     .help = "then: delay, wait for retry_after and try again; fail, leave it. A person is told"},
    {.name = "retry_after",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct child_settings, retry_after),
     .def = "10m",
     .min = "1s",
     .max = "30d",
     .help = "for on_exhausted: delay; not below intensity.within"},
    {.name = "never_restart_on",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct child_settings, never_restart_on),
     .def = "78,125",
     .help = "exit codes that mean that starting it again would not help"},
    {.name = "permanent_if",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct child_settings, permanent_if),
     .section = &permanent_section,
     .help = "when deaths mean the same"},
    {.name = "stop",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct child_settings, stop),
     .section = &stop_section,
     .shorthand = "signal",
     .help = "how it is ended"},
    {.name = "watchdog",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct child_settings, watchdog),
     .def = "0s",
     .min = "0s",
     .max = "1d",
     .help = "it must be heard of within (WATCHDOG=1, sd_notify), or it gets ABRT, then KILL; 0s = "
             "it need not"},
    {.name = "reload",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct child_settings, reload),
     .section = &reload_section,
     .shorthand = "signal",
     .help = "how it is told to read its configuration again"},
    {.name = "log",
     .kind = SCHEMA_MAP,
     .offset = offsetof(struct child_settings, log),
     .section = &log_section,
     .shorthand = "file",
     .help = "where its output goes"},
    {.name = "critical",
     .kind = SCHEMA_BOOL,
     .offset = offsetof(struct child_settings, critical),
     .def = "false",
     .help = "/health/ready answers 503 while it is not ready"},
    {.name = "restart_dependents",
     .kind = SCHEMA_BOOL,
     .offset = offsetof(struct child_settings, restart_dependents),
     .def = "false",
     .help = "when somebody asks for its restart, those after it are stopped before and started "
             "again after"},
    {.name = "escalate",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct child_settings, escalate),
     .help = "names under notify:, told when it is given up or rests after too many restarts"},
};
const struct schema_section child_section = {"supervise", child_keys, COUNT(child_keys),
                                             sizeof(struct child_settings)};

/* --- words ------------------------------------------------------------------------------------ */

int child_signal(const char *text) {
    int64_t number;
    if (parse_integer(text, 1, 64, &number, NULL) == HARDY_OK)
        return (int)number;
    const char *name = str_starts(text, "SIG") ? text + 3 : text;
    for (int n = 1; n < NSIG; n++)
        if (str_eq(sigabbrev_np(n), name))
            return n;
    return 0;
}

const char *child_signal_text(int number) {
    static _Thread_local char text[24];
    const char *name = sigabbrev_np(number);
    if (name)
        return name;
    snprintf(text, sizeof text, "signal %d", number);
    return text;
}

static hardy_status wrong(const struct yaml_node *node, const char *key, hardy_error *error,
                          const struct child_settings *s, const char *format, ...)
    HARDY_PRINTF(5, 6);
static hardy_status wrong(const struct yaml_node *node, const char *key, hardy_error *error,
                          const struct child_settings *s, const char *format, ...) {
    const struct yaml_node *at = yaml_get(node, key) ? yaml_get(node, key) : node;
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return at ? yaml_fail(at, error, "child `%s`: %s: %s", s->name, key, text)
              : fail(error, HARDY_E_INVALID, NULL, "child `%s`: %s: %s", s->name, key, text);
}

static bool add_code(struct child_ends *e, const char *text) {
    int64_t code;
    if (parse_integer(text, 0, 255, &code, NULL) != HARDY_OK)
        return false;
    e->codes[code / 64] |= UINT64_C(1) << (code % 64);
    return true;
}

static bool add_end(struct child_ends *e, const char *text) {
    int number = text[0] >= '0' && text[0] <= '9' ? 0 : child_signal(text);
    if (number > 0)
        e->signals |= UINT64_C(1) << number;
    return number > 0 || add_code(e, text);
}

static bool read_readiness(struct child_settings *s) {
    struct http_authority address;
    if (str_eq(s->ready, "none")) {
        s->readiness = READY_BY_UPTIME;
        return true;
    }
    if (str_eq(s->ready, "notify")) {
        s->readiness = READY_BY_NOTIFY;
        return true;
    }
    s->ready_of = strchr(s->ready, ' ');
    s->ready_of = s->ready_of ? s->ready_of + strspn(s->ready_of, " ") : "";
    if (str_starts(s->ready, "tcp ")) {
        s->readiness = READY_BY_TCP;
        return http_authority_parse(s->ready_of, strlen(s->ready_of), &address, NULL) == HARDY_OK &&
               address.port > 0;
    }
    s->readiness = READY_BY_CHECK;
    return str_starts(s->ready, "check ") && str_valid_name(s->ready_of);
}

static hardy_status read_env(struct child_settings *s, hardy_error *error) {
    const struct yaml_node *node = s->env_node;
    if (!node || node->kind == YAML_NULL)
        return HARDY_OK;
    if (node->kind != YAML_MAP)
        return yaml_fail(node, error, "child `%s`: env: a map of names to values is needed",
                         s->name);
    s->env = calloc(node->count + 1, sizeof *s->env);
    for (size_t n = 0; s->env && n < node->count; n++) {
        const struct yaml_node *value = node->items[n];
        if (value->kind != YAML_SCALAR || strchr(node->keys[n]->text, '='))
            return yaml_fail(value, error, "child `%s`: env: `%s` needs a text", s->name,
                             node->keys[n]->text);
        s->env[n] = str_format("%s=%s", node->keys[n]->text, value->text);
        if (!s->env[n])
            return fail(error, HARDY_E_NOMEM, NULL, "no memory for children");
    }
    return s->env ? HARDY_OK : fail(error, HARDY_E_NOMEM, NULL, "no memory for children");
}

hardy_status child_settings_finish(struct child_settings *s, const struct yaml_node *node,
                                   hardy_error *error) {
    struct child_rules *r = &s->rules;
    *r = (struct child_rules){.restart = s->restart,
                              .start_timeout = s->start_timeout,
                              .min_uptime = s->min_uptime,
                              .backoff_min = s->backoff.min,
                              .backoff_max = s->backoff.max,
                              .backoff_steps = s->backoff.steps,
                              .jitter = s->backoff.jitter,
                              .reset_after = s->reset_after,
                              .restarts = s->intensity.restarts,
                              .within = s->intensity.within,
                              .on_exhausted = s->on_exhausted,
                              .retry_after = s->retry_after,
                              .crashes = s->permanent_if.deaths,
                              .crash_within = s->permanent_if.within,
                              .stop_signal = child_signal(s->stop.signal),
                              .stop_timeout = s->stop.timeout,
                              .watchdog = s->watchdog};
    if (!s->command.argv || !s->command.argv[0])
        return wrong(node, "command", error, s, "%s", "it is empty");
    if (!read_readiness(s))
        return wrong(node, "ready", error, s,
                     "`%s` is none of notify, tcp HOST:PORT, check NAME, none", s->ready);
    r->announced = s->readiness != READY_BY_UPTIME;
    if (r->stop_signal == 0)
        return wrong(node, "stop", error, s, "there is no signal `%s`", s->stop.signal);
    s->reload_signal = s->reload.signal ? child_signal(s->reload.signal) : 0;
    if (s->reload.signal && s->reload_signal == 0)
        return wrong(node, "reload", error, s, "there is no signal `%s`", s->reload.signal);
    if (s->reload.signal && s->reload.command.argv)
        return wrong(node, "reload", error, s, "%s", "signal or command, not both");
    if (s->backoff.max < s->backoff.min)
        return wrong(node, "backoff", error, s, "%s", "max is below min");
    if (s->on_exhausted == EXHAUSTED_DELAY && s->retry_after < s->intensity.within)
        return wrong(node, "retry_after", error, s, "%s",
                     "it is below intensity.within: its restarts would still be too many");
    for (size_t n = 0; n < s->never_restart_on.count; n++)
        if (!add_code(&r->never, s->never_restart_on.items[n]))
            return wrong(node, "never_restart_on", error, s, "`%s` is no exit code (0 to 255)",
                         s->never_restart_on.items[n]);
    for (size_t n = 0; n < s->permanent_if.on.count; n++)
        if (!add_end(&r->crash, s->permanent_if.on.items[n]))
            return wrong(node, "permanent_if", error, s, "`%s` is neither a signal nor a code",
                         s->permanent_if.on.items[n]);
    return HARDY_OK;
}

/* --- the map ---------------------------------------------------------------------------------- */

const struct child_settings *child_settings_find(const struct schema_list *list, const char *name) {
    const struct child_settings *items = list->items;
    for (size_t n = 0; n < list->count; n++)
        if (str_eq(items[n].name, name))
            return &items[n];
    return NULL;
}

static const struct yaml_node *after_of(const struct yaml_node *map, size_t n) {
    return yaml_get(map->items[n], "after");
}

/* Each can be begun when those it comes after are; who never can waits for itself. */
static hardy_status check_order(const struct yaml_node *map, const struct schema_list *list,
                                hardy_error *error) {
    const struct child_settings *items = list->items;
    bool *begun = calloc(list->count + 1, sizeof *begun);
    hardy_status status = begun ? HARDY_OK : fail(error, HARDY_E_NOMEM, NULL, "no memory");
    size_t count = 0, before = SIZE_MAX;
    while (status == HARDY_OK && count != before) {
        before = count;
        for (size_t n = 0; n < list->count && status == HARDY_OK; n++) {
            size_t ready = 0;
            for (size_t k = 0; k < items[n].after.count; k++) {
                const struct child_settings *first =
                    child_settings_find(list, items[n].after.items[k]);
                if (!first)
                    status = yaml_fail(after_of(map, n), error,
                                       "child `%s`: after: there is no child `%s`", items[n].name,
                                       items[n].after.items[k]);
                else
                    ready += begun[first - items];
            }
            if (!begun[n] && ready == items[n].after.count) {
                begun[n] = true;
                count++;
            }
        }
    }
    for (size_t n = 0; n < list->count && status == HARDY_OK; n++)
        if (!begun[n])
            status = yaml_fail(after_of(map, n), error,
                               "child `%s`: after: it would have to start after itself, or after "
                               "one that would",
                               items[n].name);
    free(begun);
    return status;
}

static hardy_status read_one(const struct config *config, const struct yaml_node *name,
                             const struct yaml_node *node, struct child_settings *s,
                             hardy_error *error) {
    hardy_status status = schema_defaults(&child_section, s);
    if (status == HARDY_OK && !str_valid_name(name->text))
        return yaml_fail(name, error,
                         "supervise: `%s` is not a name: letters, digits, . _ -, at most 63",
                         name->text);
    s->name = str_dup(name->text);
    s->folder = file_folder(config->path ? config->path : "");
    if (status != HARDY_OK || !s->name || !s->folder)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for children");
    status = schema_apply(&child_section, node, true, s, error);
    if (status == HARDY_OK)
        status = read_env(s, error);
    return status == HARDY_OK ? child_settings_finish(s, node, error) : status;
}

hardy_status children_settings_read(const struct config *config, struct schema_list *list,
                                    hardy_error *error) {
    const struct yaml_node *node = config_section(config, "supervise");
    *list = (struct schema_list){0};
    if (!node || node->kind == YAML_NULL)
        return HARDY_OK;
    if (node->kind != YAML_MAP)
        return yaml_fail(node, error, "supervise: a map of names to children is needed");
    struct child_settings *items = calloc(node->count + 1, sizeof *items);
    if (!items)
        return fail(error, HARDY_E_NOMEM, NULL, "no memory for children");
    list->items = items;
    for (size_t n = 0; n < node->count; n++) {
        list->count++;
        hardy_status status = read_one(config, node->keys[n], node->items[n], &items[n], error);
        if (status != HARDY_OK)
            return status;
    }
    return check_order(node, list, error);
}

static bool has_check(const struct schema_list *checks, const char *name) {
    const struct check_settings *items = checks->items;
    for (size_t n = 0; n < checks->count; n++)
        if (str_eq(items[n].name, name))
            return true;
    return false;
}

size_t children_settings_check(const struct config *config, const struct schema_list *list,
                               const struct schema_list *checks, const struct schema_list *targets,
                               schema_report report, void *ctx) {
    const struct yaml_node *map = config_section(config, "supervise");
    const struct child_settings *items = list->items;
    size_t wrong_names = 0;
    for (size_t n = 0; n < list->count; n++) {
        const struct yaml_node *node = yaml_get(map, items[n].name);
        hardy_error error;
        hardy_error_init(&error, sizeof error);
        if (items[n].readiness == READY_BY_CHECK && !has_check(checks, items[n].ready_of)) {
            yaml_fail(yaml_get(node, "ready"), &error, "child `%s`: there is no check `%s`",
                      items[n].name, items[n].ready_of);
            report(ctx, &error);
            wrong_names++;
        }
        for (size_t k = 0; k < items[n].escalate.count; k++) {
            if (notify_find(targets, items[n].escalate.items[k]))
                continue;
            yaml_fail(yaml_get(node, "escalate"), &error,
                      "child `%s`: escalate: there is no `%s` under notify:", items[n].name,
                      items[n].escalate.items[k]);
            report(ctx, &error);
            wrong_names++;
        }
    }
    return wrong_names;
}

hardy_status child_settings_init(struct child_settings *s, const char *name, const char *folder) {
    hardy_status status = schema_defaults(&child_section, s);
    s->name = str_dup(name);
    s->folder = str_dup(folder);
    return status == HARDY_OK && s->folder ? HARDY_OK : HARDY_E_NOMEM;
}

void child_settings_free(struct child_settings *s) {
    for (char **e = s->env; e && *e; e++)
        free(*e);
    free(s->env);
    free(s->folder);
    schema_free(&child_section, s);
}

void children_settings_free(struct schema_list *list) {
    struct child_settings *items = list->items;
    for (size_t n = 0; n < list->count; n++)
        child_settings_free(&items[n]);
    free(items);
    *list = (struct schema_list){0};
}
