/* SPDX-License-Identifier: Apache-2.0 */
/* Remedies as they are configured: their kinds, how far hardy may go, how many there are to be. */
#include "base/error.h"
#include "base/str.h"
#include "http/url.h"
#include "incident/settings.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static const char *const in_doubt_words[] = {"ask", "probe", "rerun", "fail", NULL};
static const char *const method_words[] = {"POST", "PUT", "PATCH", "DELETE", "GET"};

static const struct schema_key call_keys[] = {
    {.name = "method",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct call_settings, method),
     .def = "POST",
     .help = "POST, PUT, PATCH, DELETE or GET"},
    {.name = "url",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct call_settings, url),
     .required = true,
     .help = "of the request; 2xx is done"},
    {.name = "body",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct call_settings, body),
     .help = "of the request"},
    {.name = "headers",
     .kind = SCHEMA_STRINGS,
     .offset = offsetof(struct call_settings, headers),
     .help = "\"Name: value\" each"},
};
static const struct schema_section call_section = {"http", call_keys, COUNT(call_keys),
                                                   sizeof(struct call_settings)};

static const struct schema_key lower_keys[] = {
    {.name = "guard",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct lower_settings, guard),
     .help = "whose requests; without it everything's"},
    {.name = "to",
     .kind = SCHEMA_NUMBER,
     .offset = offsetof(struct lower_settings, to),
     .def = "0.5",
     .min = "0.01",
     .max = "1",
     .help = "share of what is under way at that moment"},
    {.name = "lasts",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct lower_settings, lasts),
     .def = "5m",
     .min = "1s",
     .max = "1d",
     .help = "afterwards it is as before"},
};
static const struct schema_section lower_section = {
    "lower_concurrency", lower_keys, COUNT(lower_keys), sizeof(struct lower_settings)};

static const struct schema_key scale_keys[] = {
    {.name = "source",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct scale_settings, source),
     .required = true,
     .help = "one of sources: that brings how many there are now, a whole number"},
    {.name = "by",
     .kind = SCHEMA_INTEGER,
     .offset = offsetof(struct scale_settings, by),
     .def = "1",
     .min = "-1000000",
     .max = "1000000",
     .help = "how many more; below 0 fewer"},
    {.name = "min",
     .kind = SCHEMA_INTEGER,
     .offset = offsetof(struct scale_settings, min),
     .def = "1",
     .min = "0",
     .max = "1000000",
     .help = "never fewer"},
    {.name = "max",
     .kind = SCHEMA_INTEGER,
     .offset = offsetof(struct scale_settings, max),
     .required = true,
     .min = "0",
     .max = "1000000",
     .help = "never more"},
};
static const struct schema_section scale_section = {"scale", scale_keys, COUNT(scale_keys),
                                                    sizeof(struct scale_settings)};

static const struct schema_key action_keys[] = {
    {.name = "name",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct action_settings, name),
     .help = "of the action"},
    {.name = "run",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct action_settings, run),
     .help =
         "the remedy, a command; idempotent if it can be. HARDY_INCIDENT and HARDY_SERVICE tell it "
         "what for"},
    {.name = "http",
     .kind = SCHEMA_MAP,
     .section = &call_section,
     .offset = offsetof(struct action_settings, http),
     .help = "the remedy, a request; it carries an Idempotency-Key"},
    {.name = "restart",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct action_settings, restart),
     .help = "the remedy: restarts this child of supervise:"},
    {.name = "reload",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct action_settings, reload),
     .help = "the remedy: this child of supervise: reads its configuration again"},
    {.name = "fail_over",
     .kind = SCHEMA_NAME,
     .offset = offsetof(struct action_settings, fail_over),
     .help = "the remedy: this one of fail_over: goes to a backup that is up"},
    {.name = "clear_cache",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct action_settings, clear_cache),
     .help = "the remedy: hardy forgets cached answers whose key begins so; \"\" = all"},
    {.name = "reset_connections",
     .kind = SCHEMA_STRING,
     .offset = offsetof(struct action_settings, reset_connections),
     .help = "the remedy: hardy closes its idle connections to this upstream; \"\" = to all"},
    {.name = "lower_concurrency",
     .kind = SCHEMA_MAP,
     .section = &lower_section,
     .offset = offsetof(struct action_settings, lower),
     .given_offset = offsetof(struct action_settings, lowers),
     .help = "the remedy: for a while hardy lets fewer requests through at once"},
    {.name = "scale",
     .kind = SCHEMA_MAP,
     .section = &scale_section,
     .offset = offsetof(struct action_settings, scale),
     .help =
         "with run or http: HARDY_SCALE_FROM and HARDY_SCALE_TO tell how many there are and are to "
         "be; at its limit the remedy is passed over"},
    {.name = "probe",
     .kind = SCHEMA_COMMAND,
     .offset = offsetof(struct action_settings, probe),
     .help = "asked when nobody knows how it ended: exit 0 done, 1 not done"},
    {.name = "in_doubt",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct action_settings, in_doubt),
     .words = in_doubt_words,
     .def = "ask",
     .help = "what then: ask, probe, rerun or fail"},
    {.name = "timeout",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct action_settings, timeout),
     .def = "1m",
     .min = "100ms",
     .max = "1d",
     .help = "time the remedy may take"},
    {.name = "max_runs",
     .kind = SCHEMA_UNSIGNED,
     .offset = offsetof(struct action_settings, max_runs),
     .def = "10",
     .min = "1",
     .max = "1000",
     .help = "how often it may run within `per`, over all incidents; then a "
             "person is told"},
    {.name = "per",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct action_settings, per),
     .def = "1h",
     .min = "1s",
     .max = "30d",
     .help = "the time that max_runs counts over"},
    {.name = "cooldown",
     .kind = SCHEMA_DURATION,
     .offset = offsetof(struct action_settings, cooldown),
     .given_offset = offsetof(struct action_settings, cooldown_given),
     .def = "0s",
     .max = "30d",
     .help =
         "from one run to the next, over all incidents and restarts of hardy; under heal: 5m, for "
         "restart 1m, unless it is given"},
    {.name = "automation",
     .kind = SCHEMA_ENUM,
     .offset = offsetof(struct action_settings, automation),
     .words = automation_words,
     .def = "inherit",
     .help = "observe: only propose it; ask: run it when a person approves; act: run it"},
};
const struct schema_section action_section = {"action", action_keys, COUNT(action_keys),
                                              sizeof(struct action_settings)};

enum automation incident_automation(const struct incident_settings *all,
                                    const struct service_settings *s,
                                    const struct action_settings *a) {
    return automation_resolve(a->automation, s->automation, all->automation);
}

bool action_is_inside(const struct action_settings *a) {
    return a->restart || a->reload || a->fail_over || a->clear_cache || a->reset_connections ||
           a->lowers;
}

static hardy_status check_call(const struct yaml_node *node, const struct action_settings *a,
                               hardy_error *error) {
    struct http_url url;
    hardy_error why;
    bool known = false;
    hardy_error_init(&why, sizeof why);
    if (http_url_parse(a->http.url, &url, &why) != HARDY_OK)
        return yaml_fail(yaml_get(node, "url"), error, "action `%s`: %s", a->name, why.message);
    http_url_free(&url);
    for (size_t n = 0; n < COUNT(method_words); n++)
        known |= str_eq(a->http.method, method_words[n]);
    if (!known)
        return yaml_fail(yaml_get(node, "method"), error,
                         "action `%s`: method `%s` is not one of POST, PUT, PATCH, DELETE, GET",
                         a->name, a->http.method);
    for (size_t n = 0; n < a->http.headers.count; n++)
        if (!strchr(a->http.headers.items[n], ':'))
            return yaml_fail(yaml_get(node, "headers"), error,
                             "action `%s`: header `%s` is not \"Name: value\"", a->name,
                             a->http.headers.items[n]);
    return HARDY_OK;
}

static bool is_source(const struct service_settings *s, const char *name) {
    const struct source_settings *sources = s->sources.items;
    for (size_t n = 0; n < s->sources.count; n++)
        if (str_eq(sources[n].name, name))
            return true;
    return false;
}

static hardy_status check_scale(const struct yaml_node *node, const struct service_settings *s,
                                const struct action_settings *a, hardy_error *error) {
    const struct scale_settings *scale = &a->scale;
    if (action_is_inside(a))
        return yaml_fail(node, error, "action `%s`: scale goes with run or http", a->name);
    if (!is_source(s, scale->source))
        return yaml_fail(yaml_get(node, "source"), error,
                         "action `%s` scales by `%s`, which is not under sources:", a->name,
                         scale->source);
    if (scale->by == 0)
        return yaml_fail(yaml_get(node, "by"), error, "action `%s` scales by nothing", a->name);
    if (scale->min > scale->max)
        return yaml_fail(node, error, "action `%s`: min %lld is above max %lld", a->name,
                         (long long)scale->min, (long long)scale->max);
    return HARDY_OK;
}

hardy_status action_check(const struct yaml_node *node, const struct service_settings *s,
                          const struct action_settings *a, hardy_error *error) {
    int kinds = (a->run.argv != NULL) + (a->http.url != NULL) + (a->restart != NULL) +
                (a->reload != NULL) + (a->fail_over != NULL) + (a->clear_cache != NULL) +
                (a->reset_connections != NULL) + a->lowers;
    if (kinds != 1)
        return yaml_fail(node, error,
                         "action `%s` has %s; one of run, http, restart, reload, fail_over, "
                         "clear_cache, reset_connections, lower_concurrency is needed",
                         a->name, kinds ? "several kinds" : "no kind");
    if (a->in_doubt == IN_DOUBT_PROBE && !a->probe.argv)
        return yaml_fail(node, error, "action `%s` says in_doubt: probe and has no probe", a->name);
    hardy_status status = a->http.url ? check_call(yaml_get(node, "http"), a, error) : HARDY_OK;
    return status == HARDY_OK && a->scale.source ? check_scale(yaml_get(node, "scale"), s, a, error)
                                                 : status;
}

/* --- how many --------------------------------------------------------------------------------- */

static bool whole_number(const json_t *data, int64_t *out) {
    char *end;
    if (json_is_integer(data)) {
        *out = json_integer_value(data);
        return true;
    }
    const char *text = json_string_value(data);
    if (!text || !*text)
        return false;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && end != text && end[strspn(end, " \t\r\n")] == '\0';
}

hardy_status action_scale(const struct action_settings *a, const char *evidence, int64_t *from,
                          int64_t *to, hardy_error *error) {
    const struct scale_settings *s = &a->scale;
    json_t *e = evidence ? json_loads(evidence, 0, NULL) : NULL;
    json_t *component = json_object_get(json_object_get(e, "components"), s->source);
    /* What is cached or assumed may have been changed since: it is not what there is now. */
    bool fresh = json_is_true(json_object_get(component, "success")) &&
                 !json_is_true(json_object_get(component, "degraded"));
    bool known = fresh && whole_number(json_object_get(component, "data"), from);
    json_decref(e);
    if (!known)
        return fail(error, HARDY_E_NOT_FOUND, NULL, "%s does not tell how many there are now",
                    s->source);
    int64_t wanted = *from + s->by;
    *to = wanted < s->min ? s->min : wanted > s->max ? s->max : wanted;
    if ((s->by > 0 && *to <= *from) || (s->by < 0 && *to >= *from))
        return fail(error, HARDY_E_FULL, NULL, "there are %lld already, and %lld is the %s",
                    (long long)*from, (long long)(s->by > 0 ? s->max : s->min),
                    s->by > 0 ? "most" : "least");
    return HARDY_OK;
}
